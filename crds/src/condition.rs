//! Conditions of all kinds: their types, their reasons and the rule by which they change.

use std::fmt::{self, Write};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::text::cut;

/// Longest message of a condition, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 2048;

/// Enums that are words in CamelCase, as the API wants them: the variant's name is the word.
macro_rules! camel_words {
    ($(#[$meta:meta])* $name:ident { $(#[doc = $about:literal] $variant:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $(#[doc = $about] $variant,)+
        }

        impl $name {
            /// All values, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the API.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }

            /// The value of a word of the API; `None` if this build does not know it.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }

            /// What the word means, as a sentence.
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about.trim(),)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

camel_words! {
    /// What a condition speaks of.
    ConditionType {
        /// The object passed all checks that need no runner.
        Accepted,
        /// The definition is valid: the graph for a pipeline, the place in it for a table; for a job, its watcher works too.
        Ready,
        /// The last update ended well.
        UpdateSucceeded,
        /// A continuous pipeline lost a flow.
        Degraded,
        /// The operator works towards the wanted state.
        Reconciling,
        /// It cannot go on until someone changes something.
        Stalled,
        /// The annotation `floe.dev/paused` is set.
        Paused,
        /// The dataset is declared now.
        Active,
        /// The last flow run for the table ended well.
        RefreshSucceeded,
        /// A view that could be maintained incrementally was computed anew.
        IncrementalDegraded,
        /// The table is younger than its `freshnessSeconds`.
        Fresh,
        /// The run waits for its place.
        Queued,
        /// The run ended well.
        Succeeded,
        /// What the tasks of a job name is there.
        ResolvedRefs,
        /// The run of the job that ended last ended well.
        LastRunSucceeded,
        /// The run takes too long, or its pipelines lag behind.
        HealthWarning,
    }
}

camel_words! {
    /// Why a condition has its status. The list is closed: people write alerts on these words.
    Reason {
        /// All checks passed.
        Accepted,
        /// All checks passed, but something is deprecated or has no effect.
        AcceptedWithWarnings,
        /// A field is wrong in a way that the schema cannot say.
        InvalidSpec,
        /// The storage cannot be used by this pipeline.
        InvalidStorage,
        /// The pod template overlay sets what it must not set.
        InvalidPodTemplate,
        /// A cron expression or time zone cannot be read.
        InvalidSchedule,
        /// Tasks wait for each other in a circle.
        InvalidGraph,
        /// A text refers to something that does not exist, or not there.
        InvalidReference,
        /// Jobs start one another by their ends in a circle.
        InvalidTriggerCycle,
        /// The SQL of a task cannot be read.
        InvalidSql,
        /// Another pipeline has the same storage root, or one inside it.
        StorageConflict,
        /// Two Tables of a pipeline declare one dataset.
        DuplicateDataset,
        /// A runner checks the definition.
        Validating,
        /// A runner found the graph right.
        GraphValid,
        /// A runner found errors in the graph.
        GraphInvalid,
        /// No validation is wanted.
        NotValidated,
        /// The pipeline is not there (yet).
        PipelineNotFound,
        /// The job is not there (yet).
        JobNotFound,
        /// Everything that is named is there.
        Resolved,
        /// A ConfigMap with definitions is not there (yet).
        ConfigMapNotFound,
        /// The operator lacks a right.
        PermissionDenied,
        /// A name that the operator needs belongs to an object of someone else.
        NameTaken,
        /// The run ended well, though a task failed on the way.
        SucceededWithFailures,
        /// The run never started.
        Skipped,
        /// A number is above what `health` allows.
        AboveLimit,
        /// Work is going on.
        Progressing,
        /// Nothing is due.
        Idle,
        /// There was no update yet.
        NoUpdateYet,
        /// No run has ended yet.
        NoRunYet,
        /// The update ended well.
        UpdateCompleted,
        /// The update ended with an error.
        UpdateFailed,
        /// The update was canceled.
        UpdateCanceled,
        /// An expectation failed the update.
        ExpectationFailed,
        /// Storage or credentials refused.
        StorageAccess,
        /// Passing errors, more often than allowed.
        TransientErrors,
        /// A running pod has not reported for two minutes.
        RunnerNotReporting,
        /// The pod's containers cannot start.
        PodStartFailed,
        /// No node takes the pod.
        Unschedulable,
        /// A quota forbids the pod.
        QuotaExceeded,
        /// A flow failed for good.
        FlowFailed,
        /// No flow has failed.
        AllFlowsHealthy,
        /// The dataset is not declared any more; its data are kept.
        RemovedFromSource,
        /// The dataset is declared.
        Declared,
        /// The view is maintained incrementally.
        Incremental,
        /// The view was computed anew.
        FullRecompute,
        /// Young enough.
        Fresh,
        /// Older than wanted.
        Stale,
        /// Another attempt follows.
        Retrying,
        /// `spec.suspend` is set.
        Suspended,
        /// The annotation is set.
        Paused,
        /// The annotation is not set.
        NotPaused,
        /// The object is being deleted.
        Deleting,
        /// The data of a deleted object could not be removed yet; the message says why and when they are given up.
        CleanupFailed,
        /// Waits in the queue.
        Queued,
        /// Waits for a pod.
        Pending,
        /// Runs.
        Running,
        /// Is being stopped.
        Terminating,
        /// Ended well.
        Succeeded,
        /// Ended with an error.
        Failed,
        /// Took longer than allowed.
        TimedOut,
        /// Stopped by someone.
        Canceled,
        /// Joined with an equal update that waits already.
        Coalesced,
        /// A newer one took its place.
        Superseded,
        /// Our own fault.
        InternalError,
    }
}

impl ConditionType {
    /// The types of a Pipeline; all are set from the first look on.
    pub const PIPELINE: &'static [Self] =
        &[Self::Accepted, Self::Ready, Self::UpdateSucceeded, Self::Degraded, Self::Reconciling, Self::Stalled, Self::Paused];
    /// The types of a Table.
    pub const TABLE: &'static [Self] = &[
        Self::Accepted,
        Self::Ready,
        Self::Active,
        Self::RefreshSucceeded,
        Self::IncrementalDegraded,
        Self::Fresh,
        Self::Reconciling,
        Self::Stalled,
    ];
    /// The types of a PipelineUpdate.
    pub const PIPELINE_UPDATE: &'static [Self] = &[Self::Accepted, Self::Succeeded, Self::Reconciling, Self::Stalled];
    /// The types of a Job.
    pub const JOB: &'static [Self] =
        &[Self::Accepted, Self::ResolvedRefs, Self::Ready, Self::LastRunSucceeded, Self::Reconciling, Self::Stalled, Self::Paused];
    /// The types of a JobRun.
    pub const JOB_RUN: &'static [Self] =
        &[Self::Accepted, Self::Queued, Self::Succeeded, Self::HealthWarning, Self::Reconciling, Self::Stalled];
    /// The types of each kind, in the order of the reference page.
    const BY_KIND: [&'static [Self]; 5] = [Self::PIPELINE, Self::TABLE, Self::PIPELINE_UPDATE, Self::JOB, Self::JOB_RUN];
}

/// The reference of condition types and reasons as Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Conditions\n\n\
         Every object says in `status.conditions` how it stands. `status` is `True`, `False` or `Unknown`; `reason` is one of the words below and is\n\
         meant for alerts; `message` is for people. `lastTransitionTime` changes only with `status`. An `observedGeneration` older than\n\
         `metadata.generation` means that the operator has not looked yet.\n\n\
         ## Types\n\n| type | meaning | Pipeline | Table | PipelineUpdate | Job | JobRun |\n|---|---|---|---|---|---|---|\n",
    );
    // Writing to a String cannot fail.
    for kind in ConditionType::ALL {
        let has = |types: &[ConditionType]| if types.contains(kind) { "yes" } else { "" };
        let columns = ConditionType::BY_KIND.map(has).join(" | ");
        let _ = writeln!(out, "| `{kind}` | {} | {columns} |", kind.about());
    }
    out.push_str("\n## Reasons\n\n| reason | meaning |\n|---|---|\n");
    for reason in Reason::ALL {
        let _ = writeln!(out, "| `{reason}` | {} |", reason.about());
    }
    out
}

/// True, False or not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl Status {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// The value of a word of the API.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::True, Self::False, Self::Unknown].into_iter().find(|status| status.as_str() == word)
    }
}

impl From<bool> for Status {
    fn from(is: bool) -> Self {
        if is { Self::True } else { Self::False }
    }
}

/// What a condition should say now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// True, False or Unknown.
    pub status: Status,
    /// The word for machines.
    pub reason: Reason,
    /// The sentence for people; cut at 2,048 bytes.
    pub message: String,
}

impl Said {
    /// `status` because of `reason`.
    pub fn new(status: impl Into<Status>, reason: Reason, message: impl Into<String>) -> Self {
        Self { status: status.into(), reason, message: message.into() }
    }

    /// What `condition` says; `None` if another version of the operator wrote words that this one does not know.
    pub fn of(condition: &Condition) -> Option<Self> {
        Some(Self::new(Status::parse(&condition.status)?, Reason::parse(&condition.reason)?, condition.message.clone()))
    }
}

/// Sets the condition `kind`: its transition time changes only with its status.
pub fn set(conditions: &mut Vec<Condition>, kind: ConditionType, said: &Said, generation: Option<i64>, now: Timestamp) {
    let status = said.status.as_str();
    let before = conditions.iter().find(|condition| condition.type_ == kind.as_str());
    let last_transition_time = match before {
        Some(before) if before.status == status => before.last_transition_time.clone(),
        _ => Time(now),
    };
    let condition = Condition {
        type_: kind.as_str().to_string(),
        status: status.to_string(),
        reason: said.reason.as_str().to_string(),
        message: cut(&said.message, MAX_MESSAGE_BYTES).to_string(),
        observed_generation: generation,
        last_transition_time,
    };
    match conditions.iter_mut().find(|condition| condition.type_ == kind.as_str()) {
        Some(place) => *place = condition,
        None => conditions.push(condition),
    }
}

/// The condition `kind`, if it was ever set.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// True if the condition `kind` is True.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == Status::True.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn transition_time_changes_with_the_status_only() {
        let mut conditions = Vec::new();
        set(&mut conditions, ConditionType::Ready, &Said::new(Status::Unknown, Reason::Validating, "checking"), Some(1), at(1));
        set(&mut conditions, ConditionType::Ready, &Said::new(true, Reason::GraphValid, "7 datasets"), Some(1), at(2));
        set(&mut conditions, ConditionType::Ready, &Said::new(true, Reason::GraphValid, "8 datasets"), Some(2), at(3));
        let ready = find(&conditions, ConditionType::Ready).unwrap();
        assert_eq!((ready.last_transition_time.0, ready.message.as_str(), ready.observed_generation), (at(2), "8 datasets", Some(2)));
        assert_eq!(conditions.len(), 1);
        assert!(is_true(&conditions, ConditionType::Ready));
        assert!(!is_true(&conditions, ConditionType::Degraded));
    }

    #[test]
    fn what_was_said_can_be_read_back() {
        let mut conditions = Vec::new();
        let said = Said::new(Status::Unknown, Reason::Validating, "checking");
        set(&mut conditions, ConditionType::Ready, &said, Some(1), at(1));
        assert_eq!(Said::of(&conditions[0]), Some(said));
        assert_eq!(Said::of(&Condition { reason: "OfTomorrow".to_string(), ..conditions[0].clone() }), None);
        assert!(Reason::ALL.iter().all(|reason| Reason::parse(reason.as_str()) == Some(*reason)));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let mut conditions = Vec::new();
        set(&mut conditions, ConditionType::Ready, &Said::new(false, Reason::GraphInvalid, "é".repeat(2000)), None, at(1));
        assert_eq!(conditions[0].message.len(), MAX_MESSAGE_BYTES);
    }

    #[test]
    fn every_word_is_explained() {
        let page = reference();
        for reason in Reason::ALL {
            assert!(reason.about().ends_with('.'), "{reason} has no sentence");
            assert!(page.contains(&format!("| `{reason}` | {} |", reason.about())));
        }
        for kind in ConditionType::ALL {
            let used = ConditionType::BY_KIND.iter().any(|types| types.contains(kind));
            assert!(used && page.contains(&format!("| `{kind}` |")), "{kind} is on no kind");
        }
    }

    #[test]
    fn reasons_are_words_of_the_api() {
        for reason in Reason::ALL {
            assert!(reason.as_str().chars().all(|c| c.is_ascii_alphanumeric()) && reason.as_str().starts_with(char::is_uppercase));
        }
    }
}
