//! One vocabulary of states, causes and classes for status, event log, metrics and logs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An enum whose variants are words: `as_str`, `Display`, `FromStr`-like `parse` and serde use the same text.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All values, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that status, event log, metrics and logs use.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The value of a word, letter case ignored.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str().eq_ignore_ascii_case(word))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

mod run;

pub use run::{RunResultState, RunState, TaskResultState, TaskState, TerminationCode};

words! {
    /// What happens to a row that violates an expectation, weakest first.
    ExpectationAction {
        /// The row is kept and counted.
        Warn = "WARN",
        /// The row is left out.
        Drop = "DROP",
        /// The row goes to the quarantine table.
        Quarantine = "QUARANTINE",
        /// The update fails.
        Fail = "FAIL",
    }
}

words! {
    /// States of an update.
    UpdateState {
        /// Another update of the pipeline is active.
        Queued = "QUEUED",
        /// Accepted, nothing has started.
        Created = "CREATED",
        /// A runner is asked for.
        WaitingForResources = "WAITING_FOR_RESOURCES",
        /// Register, analyse, validate, plan.
        Initializing = "INITIALIZING",
        /// Tables are emptied, checkpoints forgotten.
        Resetting = "RESETTING",
        /// All selected tables are created or evolved.
        SettingUpTables = "SETTING_UP_TABLES",
        /// Flows run.
        Running = "RUNNING",
        /// No new micro-batch starts.
        Stopping = "STOPPING",
        /// Every selected flow did its work.
        Completed = "COMPLETED",
        /// A flow or a phase failed.
        Failed = "FAILED",
        /// Stopped by a person or a tool.
        Canceled = "CANCELED",
    }
}

words! {
    /// States of a flow within an update.
    FlowState {
        /// Waits for its inputs or for a place.
        Queued = "QUEUED",
        /// A batch flow finds out what there is to do.
        Planning = "PLANNING",
        /// Sources are fixed, tables opened.
        Starting = "STARTING",
        /// Rows flow.
        Running = "RUNNING",
        /// Nothing to do now.
        Idle = "IDLE",
        /// All rows are committed.
        Completed = "COMPLETED",
        /// An error ended it.
        Failed = "FAILED",
        /// A flow that writes one of its inputs failed.
        Skipped = "SKIPPED",
        /// The update was stopped.
        Stopped = "STOPPED",
        /// Not selected in this update.
        Excluded = "EXCLUDED",
    }
}

words! {
    /// Whose fault a failure is; decides the exit code and whether a retry helps.
    FailureClass {
        /// Definition or data.
        User = "user",
        /// An expectation that fails the update.
        Expectation = "expectation",
        /// Storage or credentials.
        Storage = "storage",
        /// Another attempt may not meet it.
        Transient = "transient",
        /// Our own fault.
        Internal = "internal",
        /// Stopped from outside.
        Terminated = "terminated",
    }
}

words! {
    /// Why an update was created.
    Cause {
        /// A person started it.
        UserAction = "USER_ACTION",
        /// A tool started it.
        ApiCall = "API_CALL",
        /// A task of a Job started it.
        JobTask = "JOB_TASK",
        /// The definition changed.
        SchemaChange = "SCHEMA_CHANGE",
        /// The runner's image changed.
        ServiceUpgrade = "SERVICE_UPGRADE",
        /// An earlier attempt failed for a passing reason.
        RetryOnFailure = "RETRY_ON_FAILURE",
        /// An earlier attempt lost its place.
        InfrastructureMaintenance = "INFRASTRUCTURE_MAINTENANCE",
    }
}

words! {
    /// Severity of an event, lowest first.
    EventLevel {
        /// High volume, hidden by default.
        Metrics = "METRICS",
        /// Nothing special.
        Info = "INFO",
        /// Unexpected, not critical.
        Warn = "WARN",
        /// Needs attention.
        Error = "ERROR",
    }
}

impl FailureClass {
    /// The exit code of a process that ends with this failure.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::User | Self::Internal => 10,
            Self::Expectation => 11,
            Self::Storage => 12,
            Self::Transient => 20,
            Self::Terminated => 143,
        }
    }
}

words! {
    /// What a flow does with its target.
    FlowType {
        /// Rows are appended.
        Append = "APPEND",
        /// Change events are merged.
        Change = "CHANGE",
        /// Differences of snapshots are merged.
        SnapshotChange = "SNAPSHOT_CHANGE",
        /// A batch query replaces or maintains the target.
        MaterializedView = "MATERIALIZED_VIEW",
        /// A query that is never stored.
        View = "VIEW",
    }
}

words! {
    /// What a dataset is, as the event log says it.
    DatasetType {
        /// Flows append to it, or Auto CDC merges into it.
        StreamingTable = "STREAMING_TABLE",
        /// Always equals the result of its query.
        MaterializedView = "MATERIALIZED_VIEW",
        /// A query that is never stored.
        View = "VIEW",
    }
}

words! {
    /// How a materialized view is brought up to date.
    MaintenanceType {
        /// Computed anew.
        CompleteRecompute = "MAINTENANCE_TYPE_COMPLETE_RECOMPUTE",
        /// Nothing changed.
        NoOp = "MAINTENANCE_TYPE_NO_OP",
        /// Changed rows are replaced.
        RowBased = "MAINTENANCE_TYPE_ROW_BASED",
        /// New rows are appended.
        AppendOnly = "MAINTENANCE_TYPE_APPEND_ONLY",
        /// Aggregates of changed groups are corrected by the change.
        GroupAggregate = "MAINTENANCE_TYPE_GROUP_AGGREGATE",
        /// Aggregates of changed groups are computed anew.
        GenericAggregate = "MAINTENANCE_TYPE_GENERIC_AGGREGATE",
        /// Window functions of changed partitions are computed anew.
        WindowFunction = "MAINTENANCE_TYPE_WINDOW_FUNCTION",
        /// Changed partitions are overwritten.
        PartitionOverwrite = "MAINTENANCE_TYPE_PARTITION_OVERWRITE",
    }
}

words! {
    /// What a pipeline does now.
    PipelineState {
        /// Its definition is checked for the first time.
        Deploying = "DEPLOYING",
        /// No update runs.
        Idle = "IDLE",
        /// An update has begun, no flow runs yet.
        Starting = "STARTING",
        /// Flows run.
        Running = "RUNNING",
        /// The update is being stopped.
        Stopping = "STOPPING",
        /// Tables are emptied, checkpoints forgotten.
        Resetting = "RESETTING",
        /// A new attempt takes over.
        Recovering = "RECOVERING",
        /// The definition cannot be run.
        Failed = "FAILED",
        /// The Pipeline is being deleted.
        Deleted = "DELETED",
    }
}

words! {
    /// How the last update of a pipeline ended.
    PipelineHealth {
        /// Completed or canceled.
        Healthy = "HEALTHY",
        /// Failed.
        Unhealthy = "UNHEALTHY",
    }
}

impl UpdateState {
    /// True if nothing comes after this state.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }

    /// The states that may follow this one.
    pub const fn successors(self) -> &'static [Self] {
        match self {
            Self::Queued => &[Self::Created, Self::Canceled, Self::Completed, Self::Failed],
            Self::Created => &[Self::WaitingForResources, Self::Initializing, Self::Canceled],
            Self::WaitingForResources => &[Self::Initializing, Self::Failed, Self::Canceled],
            Self::Initializing => {
                &[Self::Resetting, Self::SettingUpTables, Self::Completed, Self::Stopping, Self::Failed, Self::WaitingForResources]
            }
            Self::Resetting => &[Self::SettingUpTables, Self::Stopping, Self::Failed, Self::WaitingForResources],
            Self::SettingUpTables => &[Self::Running, Self::Stopping, Self::Failed, Self::WaitingForResources],
            Self::Running => &[Self::Stopping, Self::Completed, Self::Failed, Self::WaitingForResources],
            Self::Stopping => &[Self::Canceled, Self::Failed, Self::WaitingForResources],
            Self::Completed | Self::Failed | Self::Canceled => &[],
        }
    }

    /// True if an update in this state may come into `next`.
    pub fn may_become(self, next: Self) -> bool {
        self.successors().contains(&next)
    }
}

impl FlowState {
    /// The states in which a flow enters an update.
    pub const INITIAL: &'static [Self] = &[Self::Queued, Self::Excluded];

    /// True if a flow stays in this state until the update ends. `Failed` is final once no retries are left.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Skipped | Self::Stopped | Self::Excluded)
    }

    /// The states that may follow this one; `Failed` is followed by `Queued` while retries are left.
    pub const fn successors(self) -> &'static [Self] {
        match self {
            Self::Queued => &[Self::Planning, Self::Starting, Self::Idle, Self::Skipped, Self::Stopped],
            Self::Planning => &[Self::Starting, Self::Completed, Self::Failed, Self::Stopped],
            Self::Starting | Self::Idle => &[Self::Running, Self::Failed, Self::Stopped],
            Self::Running => &[Self::Completed, Self::Failed, Self::Stopped, Self::Idle],
            Self::Failed => &[Self::Queued],
            Self::Completed | Self::Skipped | Self::Stopped | Self::Excluded => &[],
        }
    }

    /// True if a flow in this state may come into `next`.
    pub fn may_become(self, next: Self) -> bool {
        self.successors().contains(&next)
    }

    /// True if a flow that reads the target of a flow in this state may start.
    pub const fn lets_downstream_start(self) -> bool {
        matches!(self, Self::Completed | Self::Idle | Self::Excluded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_for_people_and_machines() {
        for state in UpdateState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(UpdateState::parse(&state.to_string().to_lowercase()), Some(*state));
        }
        assert_eq!(UpdateState::SettingUpTables.as_str(), "SETTING_UP_TABLES");
        assert_eq!(format!("{:<8}|", FlowState::Idle), "IDLE    |");
        assert_eq!(FlowState::parse("nope"), None);
        assert_eq!(serde_json::from_str::<MaintenanceType>("\"MAINTENANCE_TYPE_NO_OP\"").unwrap(), MaintenanceType::NoOp);
        assert!(ExpectationAction::Warn < ExpectationAction::Drop && ExpectationAction::Quarantine < ExpectationAction::Fail);
        assert!(EventLevel::Metrics < EventLevel::Info && EventLevel::Warn < EventLevel::Error);
    }

    #[test]
    fn update_transitions_are_those_of_the_event_log() {
        use UpdateState::*;
        let allowed: Vec<(UpdateState, UpdateState)> = UpdateState::ALL
            .iter()
            .flat_map(|from| UpdateState::ALL.iter().map(|to| (*from, *to)))
            .filter(|(a, b)| a.may_become(*b))
            .collect();
        assert_eq!(allowed.len(), 4 + 3 + 3 + 6 + 4 + 4 + 4 + 3);
        assert!(Created.may_become(Initializing), "local updates have no resources to wait for");
        assert!(Running.may_become(WaitingForResources), "a new attempt");
        assert!(Stopping.may_become(WaitingForResources), "a new pod, when the last one lost its place");
        assert!(!Running.may_become(Canceled), "canceled only by way of stopping");
        assert!(!Created.may_become(Running));
        for state in UpdateState::ALL {
            assert_eq!(state.is_terminal(), state.successors().is_empty());
            assert!(!state.may_become(*state));
        }
    }

    #[test]
    fn flow_transitions_are_those_of_the_event_log() {
        use FlowState::*;
        let path = [Queued, Starting, Running, Completed];
        assert!(path.windows(2).all(|pair| pair[0].may_become(pair[1])));
        assert!(Planning.may_become(Completed), "a materialized view with nothing to do");
        assert!(Queued.may_become(Idle), "a ONCE flow that is done");
        assert!(Failed.may_become(Queued) && Failed.successors().len() == 1, "only a retry leaves FAILED");
        assert!(!Queued.may_become(Running) && !Skipped.may_become(Queued) && !Excluded.may_become(Queued));
        for state in FlowState::ALL {
            assert_eq!(state.is_terminal(), state.successors().is_empty() || *state == Failed);
        }
        assert!(Idle.lets_downstream_start() && !Failed.lets_downstream_start());
    }
}
