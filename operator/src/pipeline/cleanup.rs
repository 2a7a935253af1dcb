//! How a Pipeline goes: with its data kept, at once; with its data removed, after its runner has stopped and a clean-up has run. Only data of its own:
//! where an older Pipeline has the storage, nothing is removed. Pure.

use std::sync::Arc;

use floe_crds::{condition::Reason, pipeline::DeletionPolicy, pipeline_update::PipelineUpdate};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1 as batch;
use kube::ResourceExt;

use super::{
    begun::{Begun, Failed},
    decide::{Act, Outcome},
    observe::Observed,
    resources::{self, cleanup::Cleanup},
    validate::{self, Verdict},
};
use crate::{
    attempt::{Refused, end::job_end, waiting::Wait},
    clock::whole_seconds,
    labels, owner,
    updates::is_terminal,
};

/// Keeps a Pipeline until its data are gone.
pub const FINALIZER: &str = "floe.dev/pipeline-cleanup";
/// A clean-up is tried for so long.
const TRIED_SECONDS: i64 = 600;
/// So often it is looked whether the runner has stopped.
const STOPPING: SignedDuration = SignedDuration::from_secs(5);

/// How far a deletion is.
#[derive(Clone, Debug)]
pub enum Step {
    /// Nothing is to be removed, or nothing holds the object.
    Nothing,
    /// The runner is being stopped.
    Stopping,
    /// The clean-up must be started, in the place of one that was asked for something else.
    Start(Box<Cleanup>, Option<Arc<batch::Job>>),
    /// It runs, or waits for something.
    Running(Option<Box<Wait>>),
    /// It failed, and is tried again.
    Failed(Failed),
    /// No pod can be made for it.
    Impossible(Refused),
    /// It is over: the object may go.
    Release(Leftover),
}

impl Step {
    /// True if it goes no further by itself, as long as nobody changes something.
    pub fn needs_someone(&self) -> bool {
        match self {
            Self::Failed(failed) => failed.is_lasting,
            Self::Impossible(_) => true,
            _ => false,
        }
    }
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
    let deadline = deadline(observed);
    let (reason, message, again) = match &step {
        // Updates end by themselves when their Pipeline goes.
        Step::Stopping => {
            let soon = observed.now.saturating_add(STOPPING).unwrap_or(observed.now);
            (Reason::Deleting, "the Pipeline is being deleted; its updates end first".to_string(), Some(soon))
        }
        Step::Start(..) | Step::Running(None) => {
            (Reason::Deleting, "the Pipeline is being deleted; a clean-up removes its data".to_string(), None)
        }
        Step::Running(Some(wait)) => {
            let again = wait.again.and_then(|again| observed.now.checked_add(again).ok());
            (wait.reason, format!("the clean-up of the deleted Pipeline waits: {}{}", wait.message, until(deadline)), again)
        }
        Step::Failed(failed) => {
            let next = failed.again.map(|at| format!(" at {}", whole_seconds(at))).unwrap_or_default();
            let next = format!("; it is tried again{next}, and at once after a change or a new {}", labels::RECONCILE_REQUESTED_AT);
            let message = format!("the clean-up of the deleted Pipeline failed: {}{next}{}", failed.why, until(deadline));
            (Reason::CleanupFailed, message, failed.again)
        }
        Step::Impossible(refused) => {
            let message = format!("no clean-up of the deleted Pipeline can be made: {refused}{}", until(deadline));
            (refused.reason, message, None)
        }
        Step::Nothing | Step::Release(_) => {
            return Outcome::new(Act::Delete(step), Reason::Deleting, "the Pipeline is being deleted");
        }
    };
    let again = [again, deadline].into_iter().flatten().min();
    Outcome { again, ..Outcome::new(Act::Delete(step), reason, message) }
}

/// How the Pipeline goes without its data.
fn until(deadline: Option<Timestamp>) -> String {
    let at = deadline.map(|at| format!("at {} ", whole_seconds(at))).unwrap_or_default();
    format!("; {at}the Pipeline goes and leaves the data, at once with the annotation {}: \"true\"", labels::SKIP_CLEANUP)
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
    let begun = observed.cleanup.as_ref();
    // What was begun is ended, also when the Tables that asked for it are gone.
    if begun.is_none() && (!removes_data(observed, verdict) || !had_update(observed)) {
        return Step::Release(Leftover::Nothing);
    }
    if deadline(observed).is_some_and(|deadline| deadline <= observed.now) {
        return Step::Release(Leftover::Data(format!("given up after {TRIED_SECONDS} s: {}", unfinished(observed))));
    }
    if observed.updates.iter().any(|update| may_write(observed, update)) {
        return Step::Stopping;
    }
    if begun.is_some_and(Begun::is_done) {
        return Step::Release(Leftover::Nothing);
    }
    match resources::cleanup::cleanup(observed) {
        Ok(cleanup) => clean_up(observed, Box::new(cleanup)),
        Err(refused) => Step::Impossible(refused),
    }
}

/// How `cleanup` follows what was begun.
fn clean_up(observed: &Observed, cleanup: Box<Cleanup>) -> Step {
    let Some(begun) = &observed.cleanup else { return Step::Start(cleanup, None) };
    let is_outdated = !begun.was_asked(&cleanup.asked);
    if !begun.is_over() && (is_outdated || !begun.has_request) {
        // Something came between the Job and its request, or between both and now.
        return Step::Start(cleanup, is_outdated.then(|| begun.job.clone()));
    }
    match begun.failed(observed.now) {
        Some(failed) if begun.is_over() => {
            let is_due = failed.again.is_none_or(|again| again <= observed.now);
            let is_doubted = begun.is_doubted(labels::reconcile_request(observed.pipeline.as_ref()));
            if is_due || is_outdated || is_doubted { Step::Start(cleanup, None) } else { Step::Failed(failed) }
        }
        Some(failed) => Step::Failed(failed),
        None => Step::Running(begun.waits(observed.now).map(Box::new)),
    }
}

fn unfinished(observed: &Observed) -> String {
    let Some(begun) = &observed.cleanup else {
        return match resources::cleanup::cleanup(observed) {
            Ok(_) => "the clean-up could not begin, because something else wrote there or its pod was refused".to_string(),
            Err(refused) => format!("no clean-up could be made: {refused}"),
        };
    };
    let failed = begun.failed(observed.now).map(|failed| failed.why);
    let waited = || begun.waits(observed.now).map(|wait| wait.message);
    failed.or_else(waited).unwrap_or_else(|| "the clean-up did not end".to_string())
}

/// True if the update has a pod, or may get one.
fn may_write(observed: &Observed, update: &PipelineUpdate) -> bool {
    !is_terminal(update) || observed.attempts.iter().any(|job| job_end(job).is_none() && owner::is_owned_by(job.as_ref(), update))
}
