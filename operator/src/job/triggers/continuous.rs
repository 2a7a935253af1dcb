//! One run at all times: the next one follows the end of the one before, and one for an outdated definition gives way.

use std::sync::Arc;

use floe_crds::{
    job::TriggerStatus,
    job_run::{JobRun, TriggerType},
    pipeline_update::Cancel,
    state::RunResultState,
    trigger::{
        Cursor,
        continuous::{End, next_run, random_part},
        names,
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::{Look, View};
use crate::{labels, runs};

/// In the cursor: the end that was looked at last.
const END: &str = "end";
/// In the cursor: failures in a row until that end.
const FAILURES: &str = "failures";

/// What follows for the run that is there, or was.
pub fn look(view: View<'_>) -> Look {
    let mut status = TriggerStatus { message: None, pending_since: None, ..view.before.clone() };
    let mut own: Vec<&Arc<JobRun>> =
        view.observed.runs.iter().filter(|run| run.spec.trigger.trigger_type == TriggerType::Continuous).collect();
    own.sort_by_cached_key(|run| runs::by_creation(run));
    if let Some(live) = own.iter().find(|run| !runs::is_terminal(run)) {
        status.next_fire_time = None;
        let gives_way = !view.is_suspended && is_outdated(view, live) && live.spec.cancel == Cancel::None;
        return Look { status, stop: gives_way.then(|| Arc::clone(live)), ..Look::default() };
    }
    if view.is_suspended {
        status.next_fire_time = None;
        return Look { status, ..Look::default() };
    }
    let now = view.observed.now;
    let due = own.last().map_or_else(|| announced(view), |last| due(view, last, &mut status.cursor)).unwrap_or(now);
    if due > now {
        status.next_fire_time = Some(Time(due));
        return Look { status, again: Some(due), ..Look::default() };
    }
    let seen = status.cursor.iter().filter(|(key, _)| *key == END).map(|(key, value)| (key.clone(), value.clone())).collect();
    let fire = view.run(TriggerType::Continuous, names::event_run(&view.observed.key.name, &view.trigger.name, &seen));
    (status.last_fire_time, status.next_fire_time) = (Some(Time(now)), None);
    Look { status, ..Look::default() }.fires(fire)
}

fn announced(view: View<'_>) -> Option<Timestamp> {
    view.before.next_fire_time.as_ref().map(|at| at.0)
}

/// True if the run was made for another definition than that of now.
fn is_outdated(view: View<'_>, run: &JobRun) -> bool {
    run.annotations().get(labels::DEFINITION).is_some_and(|hash| *hash != view.observed.definition_hash())
}

/// When the run after `last` starts; its end is noted in `cursor`.
fn due(view: View<'_>, last: &JobRun, cursor: &mut Cursor) -> Option<Timestamp> {
    let ended = runs::ended(last).unwrap_or(view.observed.now);
    // Of one name there may be two ends, by a repair.
    let this = format!("{}@{}", last.name_any(), ended.as_second());
    if cursor.get(END) == Some(&this) {
        return announced(view);
    }
    let failures = cursor.get(FAILURES).and_then(|failures| failures.parse().ok()).unwrap_or_default();
    let lasted = runs::started(last).map_or(SignedDuration::ZERO, |started| ended.duration_since(started));
    let next = next_run(end(last), lasted, failures, random_part(&format!("{}{this}", last.uid().unwrap_or_default())));
    *cursor = Cursor::from([(END.to_string(), this), (FAILURES.to_string(), next.failures.to_string())]);
    ended.saturating_add(next.delay).ok()
}

fn end(run: &JobRun) -> End {
    match runs::result(run) {
        Some(RunResultState::Success | RunResultState::SuccessWithFailures) => End::Succeeded,
        Some(RunResultState::Canceled) if run.annotations().contains_key(labels::SUPERSEDED) => End::Replaced,
        Some(RunResultState::Canceled) => End::Canceled,
        Some(RunResultState::Failed | RunResultState::TimedOut) | None => End::Failed,
    }
}
