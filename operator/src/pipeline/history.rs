//! Which finished updates are kept. Pure.

use std::sync::Arc;

use floe_crds::{pipeline_update::PipelineUpdate, state::UpdateState};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::{decide::answers_change, observe::Observed};
use crate::updates::{self, state};

/// The most that one look removes.
const MAX_REMOVED: usize = 20;

/// What leaves the history.
#[derive(Debug, Default)]
pub struct Old {
    /// These go now.
    pub removes: Vec<Arc<PipelineUpdate>>,
    /// The next one goes then.
    pub again: Option<Timestamp>,
}

/// Finished updates beyond the limits or older than the time to live, oldest first. The newest one stays, and so do the one whose graph
/// Tables are made from and the one that answers the newest definition: without it that would be a change again.
pub fn old(observed: &Observed) -> Old {
    let limits = &observed.pipeline.spec.update_history;
    let mut finished: Vec<&Arc<PipelineUpdate>> = observed.updates.iter().filter(|update| updates::is_terminal(update)).collect();
    finished.sort_by_cached_key(|update| updates::by_end(update));
    let Some(newest) = finished.pop() else { return Old::default() };
    let (mut good, mut bad) = (0, 0);
    match state(newest) {
        Some(UpdateState::Completed) => good += 1,
        _ => bad += 1,
    }
    let (mut old, mut again) = (Vec::new(), None);
    for update in finished.into_iter().rev() {
        let (count, limit) = match state(update) {
            Some(UpdateState::Completed) => (&mut good, limits.successful_limit),
            _ => (&mut bad, limits.failed_limit),
        };
        let ended = updates::ended(update).unwrap_or(Timestamp::UNIX_EPOCH);
        let lives_until = ended.saturating_add(SignedDuration::from_secs(i64::from(limits.ttl_seconds_after_finished)));
        let is_old = lives_until.as_ref().is_ok_and(|until| *until <= observed.now);
        if *count >= limit || is_old {
            old.push(update);
        } else {
            *count += 1;
            again = again.into_iter().chain(lives_until).min();
        }
    }
    let graph_owner = observed.report.as_ref().map(|(_, update)| update.uid());
    let policy = observed.pipeline.spec.update_policy.on_change;
    let answer = observed.updates.iter().rev().find(|update| answers_change(update, policy)).map(|update| update.uid());
    let is_kept = |update: &PipelineUpdate| Some(update.uid()) == graph_owner || Some(update.uid()) == answer;
    let removable = old.into_iter().rev().filter(|update| !is_kept(update) && update.metadata.deletion_timestamp.is_none());
    Old { removes: removable.take(MAX_REMOVED).cloned().collect(), again }
}
