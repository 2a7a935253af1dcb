//! Tells of transitions: Events on the Job, metrics, one log line each.

use std::time::Duration;

use floe_crds::{
    condition::{self, ConditionType, Reason},
    job::JobStatus,
};

use super::{
    apply::Applied,
    decide::{Act, Decision},
    observe::Observed,
};
use crate::{
    clock,
    context::Context,
    events::{EventReason, News, Severity},
    hub::reference,
    metrics::JobEvent,
};

/// Runs of one trigger that get an Event of their own.
const MOST_FIRES: usize = 5;

/// What people should be told: only what is different now. Pure.
pub fn news(before: Option<&JobStatus>, after: &JobStatus, decision: &Decision, applied: &Applied) -> Vec<News> {
    let old = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let mut told = Vec::new();
    let differs = |kind| {
        let new = condition::find(&after.conditions, kind)?;
        let same = condition::find(old, kind).is_some_and(|old| (&old.status, &old.reason) == (&new.status, &new.reason));
        (!same).then_some(new)
    };
    match differs(ConditionType::Accepted) {
        Some(accepted) if accepted.status == "True" => told.push(News::new(Severity::Normal, EventReason::Accepted, &accepted.message)),
        Some(accepted) => told.push(News::new(Severity::Warning, EventReason::Invalid, &accepted.message)),
        None => {}
    }
    let was_suspended = condition::find(old, ConditionType::Paused).is_some_and(|old| old.reason == Reason::Suspended.as_str());
    match differs(ConditionType::Paused) {
        Some(paused) if paused.reason == Reason::Suspended.as_str() => {
            told.push(News::new(Severity::Normal, EventReason::Suspended, &paused.message));
        }
        Some(paused) if was_suspended && paused.reason == Reason::NotPaused.as_str() => {
            told.push(News::new(Severity::Normal, EventReason::Resumed, "spec.suspend is not set any more: triggers fire again"));
        }
        _ => {}
    }
    told.extend(decision.looks.iter().flat_map(|look| {
        let made: Vec<&str> =
            look.fires.iter().map(|fire| fire.name.as_str()).filter(|name| applied.made.iter().any(|made| made == name)).collect();
        let trigger = &look.status.name;
        let fired = made
            .into_iter()
            .take(MOST_FIRES)
            .map(|run| News::new(Severity::Normal, EventReason::TriggerFired, format!("trigger {trigger} started run {run}")));
        let too_long = (!look.too_long.is_empty()).then(|| {
            let note = format!("trigger {trigger} does not fire for {}: ten jobs have led there by their ends", look.too_long.join(", "));
            News::new(Severity::Warning, EventReason::TriggerChainTooLong, note)
        });
        let missed = (look.missed > 0).then(|| {
            let note = format!("{} instants of trigger {trigger} passed without a run and are not made up for; see catchUp", look.missed);
            News::new(Severity::Warning, EventReason::MissedSchedules, note)
        });
        fired.chain(too_long).chain(missed).collect::<Vec<_>>()
    }));
    told.extend(
        failed_triggers(before, after)
            .map(|(trigger, message)| News::new(Severity::Warning, EventReason::TriggerError, format!("trigger {trigger}: {message}"))),
    );
    told
}

/// Triggers that have another problem than before.
fn failed_triggers<'a>(before: Option<&'a JobStatus>, after: &'a JobStatus) -> impl Iterator<Item = (&'a str, &'a str)> {
    let known = move |name: &str| before?.triggers.iter().find(|trigger| trigger.name == name)?.message.as_deref();
    let problem = |trigger: &'a floe_crds::job::TriggerStatus| Some((trigger.name.as_str(), trigger.message.as_deref()?));
    after.triggers.iter().filter_map(problem).filter(move |(name, message)| known(name) != Some(message))
}

/// Tells people, metrics and the log.
pub fn tell(ctx: &Context, observed: &Observed, status: &JobStatus, decision: &Decision, applied: &Applied) {
    let before = observed.status();
    for news in news(before, status, decision, applied) {
        tracing::info!(reason = news.reason.as_str(), "{}", news.note);
        ctx.recorder.publish(reference(observed.job.as_ref()), news, None);
    }
    for (trigger, _) in failed_triggers(before, status) {
        ctx.metrics.job_event(&observed.key, &JobEvent::TriggerFailed(trigger));
    }
}

/// Counts the runs that triggers made.
pub fn count(ctx: &Context, observed: &Observed, decision: &Decision, applied: &Applied) {
    if decision.act != Act::Work {
        return;
    }
    for look in &decision.looks {
        for fire in look.fires.iter().filter(|fire| applied.made.contains(&fire.name)) {
            ctx.metrics.job_event(&observed.key, &JobEvent::TriggerFired(&look.status.name));
            if let Some(instant) = &fire.trigger.time {
                ctx.metrics.schedule_delay(Duration::try_from(clock::now().duration_since(instant.0)).unwrap_or(Duration::ZERO));
            }
        }
    }
}
