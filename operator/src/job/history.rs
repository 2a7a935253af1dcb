//! Which finished runs are kept. Pure.

use std::sync::Arc;

use floe_crds::{job_run::JobRun, state::RunResultState};
use jiff::{SignedDuration, Timestamp};
use kube::Resource;

use super::observe::Observed;
use crate::{owner, runs};

/// The most that one look removes.
const MAX_REMOVED: usize = 20;

/// What leaves the history.
#[derive(Debug, Default)]
pub struct Old {
    /// These go now.
    pub removes: Vec<Arc<JobRun>>,
    /// The next one goes then.
    pub again: Option<Timestamp>,
}

/// Finished runs beyond the limits or older than the time to live, oldest first. The newest one stays, and one that someone wants repaired. Runs
/// that belong to another run (of a task, or for slices of time) go with that.
pub fn old(observed: &Observed) -> Old {
    let limits = &observed.job.spec.run_history;
    let of_run = |run: &JobRun| owner::controller(run).is_some_and(|owner| owner.kind == JobRun::kind(&()));
    let mut finished: Vec<&Arc<JobRun>> = observed.runs.iter().filter(|run| runs::is_terminal(run) && !of_run(run)).collect();
    finished.sort_by_cached_key(|run| runs::by_end(run));
    let Some(newest) = finished.pop() else { return Old::default() };
    let is_good = |run: &JobRun| runs::result(run).is_some_and(RunResultState::is_success);
    let (mut good, mut bad) = if is_good(newest) { (1, 0) } else { (0, 1) };
    let (mut old, mut again) = (Vec::new(), None);
    for run in finished.into_iter().rev() {
        let (count, limit) = if is_good(run) { (&mut good, limits.successful_limit) } else { (&mut bad, limits.failed_limit) };
        let ended = runs::ended(run).unwrap_or(Timestamp::UNIX_EPOCH);
        let lives_until = ended.saturating_add(SignedDuration::from_secs(i64::from(limits.ttl_seconds_after_finished)));
        let is_old = lives_until.as_ref().is_ok_and(|until| *until <= observed.now);
        if *count >= limit || is_old {
            old.push(run);
        } else {
            *count += 1;
            again = again.into_iter().chain(lives_until).min();
        }
    }
    let removable = old.into_iter().rev().filter(|run| !runs::waits_for_repair(run) && run.metadata.deletion_timestamp.is_none());
    let mut removes: Vec<Arc<JobRun>> = removable.cloned().collect();
    if removes.len() > MAX_REMOVED {
        removes.truncate(MAX_REMOVED);
        again = Some(observed.now);
    }
    Old { removes, again }
}
