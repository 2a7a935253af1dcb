//! What the conditions of a Job say. Pure.

use floe_crds::{
    condition::{self, ConditionType, Reason, Said, Status},
    job::LastRun,
    state::RunResultState,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    decide::{Act, Decision},
    observe::Observed,
    validate::{Valid, Verdict},
    watcher::{self, Health},
};
use crate::error::{Error, ErrorClass};

/// What all conditions are made from.
pub struct View<'a> {
    pub observed: &'a Observed,
    pub verdict: &'a Verdict,
    pub decision: &'a Decision,
    pub failure: Option<&'a Error>,
    /// The run that ended last.
    pub last: Option<&'a LastRun>,
}

impl View<'_> {
    /// The conditions, in the order of their types. Times of transitions are taken over from `before`.
    pub fn conditions(&self, before: &[Condition]) -> Vec<Condition> {
        let mut conditions = before.to_vec();
        let (reconciling, stalled) = self.progress();
        let said = [
            (ConditionType::Accepted, self.accepted()),
            (ConditionType::ResolvedRefs, self.resolved_refs()),
            (ConditionType::Ready, self.ready()),
            (ConditionType::LastRunSucceeded, self.last_run_succeeded()),
            (ConditionType::Reconciling, reconciling),
            (ConditionType::Stalled, stalled),
            (ConditionType::Paused, self.paused()),
        ];
        for (kind, said) in said {
            condition::set(&mut conditions, kind, &said, self.observed.job.metadata.generation, self.observed.now);
        }
        conditions
    }

    fn accepted(&self) -> Said {
        match self.verdict {
            Verdict::Refused(refusal) => Said::new(false, refusal.reason, refusal.message.clone()),
            Verdict::Valid(valid) if !valid.warnings.is_empty() => Said::new(true, Reason::AcceptedWithWarnings, valid.warnings.join("; ")),
            Verdict::Valid(_) => Said::new(true, Reason::Accepted, "all checks passed"),
        }
    }

    fn resolved_refs(&self) -> Said {
        match self.verdict {
            Verdict::Refused(refusal) => Said::new(Status::Unknown, refusal.reason, "not looked for before the definition is accepted"),
            Verdict::Valid(valid) => match &valid.missing {
                Some(missing) => Said::new(false, missing.reason, missing.message.clone()),
                None => Said::new(true, Reason::Resolved, "everything that it names is there"),
            },
        }
    }

    /// The watcher, if there must be one.
    fn watcher(&self, valid: &Valid) -> Option<Health> {
        valid.watcher.as_ref().map(|_| watcher::health(self.observed.watcher.as_deref()))
    }

    fn ready(&self) -> Said {
        let valid = match self.verdict {
            Verdict::Refused(refusal) => return Said::new(false, refusal.reason, refusal.message.clone()),
            Verdict::Valid(valid) => valid,
        };
        match self.watcher(valid) {
            Some(Health::Starting) => Said::new(false, Reason::Progressing, "the watcher of its triggers is starting"),
            Some(Health::Broken(why)) => {
                Said::new(false, Reason::PodStartFailed, format!("the watcher of its triggers does not start: {why}"))
            }
            Some(Health::Works) | None => Said::new(true, Reason::Accepted, "runs can start"),
        }
    }

    /// Reconciling and Stalled. The first one says what happens now, or why nothing does.
    fn progress(&self) -> (Said, Said) {
        let Decision { act, reason, message, .. } = self.decision;
        let still = || Said::new(false, *reason, message.clone());
        let fine = || Said::new(false, Reason::Idle, "nothing is in the way");
        match self.failure.map(|error| (error.class(), error)) {
            Some((ErrorClass::Forbidden, error)) => {
                return (still(), Said::new(true, Reason::PermissionDenied, format!("{error}; give the operator this right")));
            }
            Some((ErrorClass::User, error)) => return (still(), Said::new(true, Reason::NameTaken, error.to_string())),
            _ => {}
        }
        let ready = self.ready();
        match (self.verdict, act) {
            (_, Act::Delete) => (Said::new(true, *reason, message.clone()), fine()),
            (Verdict::Refused(refusal), _) => (still(), Said::new(true, refusal.reason, refusal.message.clone())),
            (_, Act::Work) if ready.reason == Reason::PodStartFailed => (still(), Said { status: Status::True, ..ready }),
            (_, Act::Work) if ready.status != Status::True => (Said { status: Status::True, ..ready }, fine()),
            _ => (still(), fine()),
        }
    }

    fn last_run_succeeded(&self) -> Said {
        let Some(last) = self.last else { return Said::new(Status::Unknown, Reason::NoRunYet, "no run has ended yet") };
        let why = last.message.as_deref().filter(|message| !message.is_empty()).map(|message| format!(": {message}")).unwrap_or_default();
        let name = &last.name;
        match last.result_state {
            Some(RunResultState::Success) => Said::new(true, Reason::Succeeded, format!("run {name} ended well")),
            Some(RunResultState::SuccessWithFailures) => {
                Said::new(true, Reason::SucceededWithFailures, format!("run {name} ended well, with failures on the way{why}"))
            }
            Some(RunResultState::Canceled) => Said::new(Status::Unknown, Reason::Canceled, format!("run {name} was canceled{why}")),
            Some(RunResultState::TimedOut) => Said::new(false, Reason::TimedOut, format!("run {name} took too long{why}")),
            Some(RunResultState::Failed) | None => Said::new(false, Reason::Failed, format!("run {name} failed{why}")),
        }
    }

    fn paused(&self) -> Said {
        if self.decision.act == Act::Pause {
            return Said::new(true, self.decision.reason, self.decision.message.clone());
        }
        if self.observed.job.spec.suspend {
            return Said::new(false, Reason::Suspended, "spec.suspend is set: no trigger fires");
        }
        Said::new(false, Reason::NotPaused, "the operator works on this Job")
    }
}
