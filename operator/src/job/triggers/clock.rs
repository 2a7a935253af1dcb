//! Instants of the clock: each has a run of its own.

use floe_crds::{
    job::TriggerStatus,
    job_run::{RunTrigger, TriggerType},
    trigger::{clock::Clock, names},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Fire, Look, View};

/// The runs of all instants that have come and are not acted on.
pub fn look(view: View<'_>, clock: &Clock) -> Look {
    let found = clock.look(announced(view, clock), view.is_suspended, view.observed.now);
    let fire = |instant: &Timestamp| {
        let fire = view.run(TriggerType::Periodic, names::time_run(&view.observed.key.name, *instant));
        Fire { trigger: RunTrigger { time: Some(Time(*instant)), ..fire.trigger }, ..fire }
    };
    let fires: Vec<Fire> = found.fires.iter().map(fire).collect();
    let status = TriggerStatus {
        name: view.trigger.name.clone(),
        last_fire_time: found.fires.last().map(|instant| Time(*instant)).or_else(|| view.before.last_fire_time.clone()),
        next_fire_time: found.next.map(Time),
        last_run: fires.last().map(|fire| fire.name.clone()).or_else(|| view.before.last_run.clone()),
        ..TriggerStatus::default()
    };
    Look { status, fires, again: found.next, missed: found.dropped, ..Look::default() }
}

/// The instant that the status announces. One that is not of this clock is of an earlier one, and forgotten.
fn announced(view: View<'_>, clock: &Clock) -> Option<Timestamp> {
    let told = view.before.next_fire_time.as_ref()?.0;
    let just_before = told.saturating_sub(SignedDuration::from_secs(1)).unwrap_or(told);
    (clock.next(just_before) == Some(told)).then_some(told)
}
