//! Whom to tell of a run and its tasks, when, in which words, and what follows an answer.
//!
//! A delivery lives in the status of its run: it is written there before the first try, so nothing that became due is lost with a process. Its key is
//! the same in all tries.

mod due;
mod keep;
mod notice;
mod outcome;
mod place;
mod signature;
#[cfg(test)]
mod tests;

pub use due::due;
use jiff::Timestamp;
pub use keep::{is_due, keep, next_look};
pub use notice::{CLOUD_EVENTS, Letter, Notice};
pub use outcome::{Outcome, Tried, Verdict, of_http, of_smtp, retry_after};
pub use place::{Channel, Place};
use sha2::{Digest, Sha256};
pub use signature::signature;

use crate::{
    job::JobEvent,
    job_run::{JobRunStatus, RepairState, RunTrigger},
};

/// Which run.
#[derive(Clone, Copy, Debug)]
pub struct RunRef<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Name of its Job.
    pub job: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// What started it.
    pub trigger: &'a RunTrigger,
}

/// What makes a delivery the one that it is.
#[derive(Clone, Copy, Debug)]
struct Identity<'a> {
    event: JobEvent,
    /// Name of the entry in `notifications`.
    name: &'a str,
    /// Empty for the run itself.
    task: &'a str,
    repair: i32,
    /// Number of the attempt of a task; of a warning the instant; else 0.
    count: i64,
}

impl Identity<'_> {
    /// The same in all tries. No part of it can hold the separator.
    fn key(&self, run_uid: &str) -> String {
        let Self { event, name, task, repair, count } = self;
        let text = format!("{run_uid}\0{}\0{name}\0{task}\0{repair}\0{count}", event.as_str());
        format!("{:x}", Sha256::digest(text))
    }

    fn target(&self) -> String {
        if self.task.is_empty() { self.name.to_string() } else { format!("{}/{}", self.task, self.name) }
    }
}

/// The newest execution of the run: 0, or the id of the repair.
fn execution(status: &JobRunStatus) -> i32 {
    let taken_up = status.repairs.iter().filter(|repair| repair.state != RepairState::Rejected);
    taken_up.map(|repair| repair.id).max().unwrap_or(status.repair_count)
}

/// When the warning of `status` was raised, and its text; `None` if there is none.
fn warning(status: &JobRunStatus) -> Option<(Timestamp, &str)> {
    let condition = status.conditions.iter().find(|condition| condition.type_ == "HealthWarning" && condition.status == "True")?;
    Some((condition.last_transition_time.0, &condition.message))
}
