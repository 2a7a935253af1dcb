//! How a Pipeline goes: with its data kept, at once; with its data removed, after its runner has stopped and a clean-up has run. Only data of its own:
//! where an older Pipeline has the storage, nothing is removed. Pure.

use floe_crds::{condition::Reason, pipeline::DeletionPolicy, pipeline_update::PipelineUpdate};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::{
    decide::{Act, Outcome},
    observe::Observed,
    validate::{self, Verdict},
};
use crate::{attempt::end::job_end, labels, owner, updates::is_terminal};

/// Keeps a Pipeline until its data are gone.
pub const FINALIZER: &str = "floe.dev/pipeline-cleanup";
/// A clean-up is tried for so long.
const TRIED_SECONDS: i64 = 600;
/// So often it is looked whether the runner has stopped.
const STOPPING: SignedDuration = SignedDuration::from_secs(5);

/// How far a deletion is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is to be removed, or nothing holds the object.
    Nothing,
    /// The runner is being stopped.
    Stopping,
    /// The clean-up must be started.
    Start,
    /// It runs.
    Running,
    /// It is over: the object may go.
    Release(Leftover),
}

/// What a deletion left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// All data that should go are gone.
    Nothing,
    /// Some may be there still, for this reason.
    Data(String),
}

/// True if data go with the Pipeline or with one of its Tables.
pub fn removes_data(observed: &Observed, verdict: &Verdict) -> bool {
    let of_tables = observed.tables.iter().any(|table| table.spec.deletion_policy == Some(DeletionPolicy::Delete));
    let wanted = observed.pipeline.spec.deletion_policy == DeletionPolicy::Delete || of_tables;
    wanted && validate::owns_storage(observed, verdict)
}

/// True if the Pipeline had an update: without one it has no data.
fn had_update(observed: &Observed) -> bool {
    let status = observed.pipeline.status.as_ref();
    let is_recorded = status.is_some_and(|status| status.update_counter.is_some() || status.last_update.is_some());
    is_recorded || !observed.updates.is_empty()
}

/// True if the finalizer is there.
pub fn is_held(observed: &Observed) -> bool {
    observed.pipeline.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// What must happen next to a Pipeline that is being deleted. A deletion never starts an update.
pub fn decide(observed: &Observed, verdict: &Verdict) -> Outcome {
    let step = step(observed, verdict);
    let (message, again) = match &step {
        // Updates end by themselves when their Pipeline goes.
        Step::Stopping => {
            let soon = observed.now.saturating_add(STOPPING).unwrap_or(observed.now);
            ("the Pipeline is being deleted; its updates end first", Some(soon))
        }
        Step::Start | Step::Running => ("the Pipeline is being deleted; a clean-up removes its data", deadline(observed)),
        Step::Nothing | Step::Release(_) => ("the Pipeline is being deleted", None),
    };
    Outcome { again, ..Outcome::new(Act::Delete(step), Reason::Deleting, message) }
}

fn deadline(observed: &Observed) -> Option<Timestamp> {
    let deleted = observed.pipeline.metadata.deletion_timestamp.as_ref()?.0;
    deleted.saturating_add(SignedDuration::from_secs(TRIED_SECONDS)).ok()
}

fn step(observed: &Observed, verdict: &Verdict) -> Step {
    if !is_held(observed) {
        return Step::Nothing;
    }
    if observed.annotation(labels::SKIP_CLEANUP) == Some("true") {
        return Step::Release(Leftover::Data(format!("the annotation {} is set", labels::SKIP_CLEANUP)));
    }
    if !removes_data(observed, verdict) || !had_update(observed) {
        return Step::Release(Leftover::Nothing);
    }
    if deadline(observed).is_some_and(|deadline| deadline <= observed.now) {
        let told = observed.cleanup.as_deref().and_then(job_end).and_then(|end| end.message);
        let why = told.unwrap_or_else(|| unfinished(observed));
        return Step::Release(Leftover::Data(format!("given up after {TRIED_SECONDS} s: {why}")));
    }
    if observed.updates.iter().any(|update| may_write(observed, update)) {
        return Step::Stopping;
    }
    match observed.cleanup.as_deref().map(job_end) {
        None => Step::Start,
        Some(Some(end)) if end.is_complete => Step::Release(Leftover::Nothing),
        // Something came between the Job and its request.
        Some(None) if !observed.has_cleanup_request => Step::Start,
        Some(_) => Step::Running,
    }
}

fn unfinished(observed: &Observed) -> &'static str {
    match observed.cleanup {
        Some(_) => "the clean-up did not end",
        None => "the clean-up could not begin, because something else wrote there or no pod can be made",
    }
}

/// True if the update has a pod, or may get one.
fn may_write(observed: &Observed, update: &PipelineUpdate) -> bool {
    !is_terminal(update) || observed.attempts.iter().any(|job| job_end(job).is_none() && owner::is_owned_by(job.as_ref(), update))
}
