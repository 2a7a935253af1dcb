//! What the status of a Job says after a look. Pure.

use std::sync::Arc;

use floe_crds::{
    job::{JobStatus, LastRun, TriggerKind, TriggerStatus},
    job_run::JobRun,
    state::{RunResultState, RunState},
    text::cut,
};
use kube::ResourceExt;

use super::{
    apply::Applied,
    conditions::View,
    decide::{Act, Decision, request},
    observe::Observed,
    triggers::Look,
    validate::Verdict,
};
use crate::{error::Error, labels, runs};

/// Longest message of a run or trigger, in bytes.
const MESSAGE_BYTES: usize = 1000;

/// The new status. It differs from the old one only if something is different.
pub fn status(observed: &Observed, verdict: &Verdict, decision: &Decision, applied: &Applied, failure: Option<&Error>) -> JobStatus {
    let before = observed.job.status.clone().unwrap_or_default();
    let count = |is: fn(&JobRun) -> bool| i32::try_from(observed.runs.iter().filter(|run| is(run)).count()).unwrap_or(i32::MAX);
    let mut status = JobStatus {
        observed_generation: observed.job.metadata.generation,
        last_handled_reconcile_at: labels::reconcile_request(observed.job.as_ref()).map(str::to_string),
        schedule: schedule(observed),
        active: count(|run| runs::state(run).is_some_and(RunState::is_active)),
        queued: count(|run| runs::state(run).is_none_or(|state| state == RunState::Queued)),
        last_run: observed.runs.last().map(|run| last_run(run)).or_else(|| before.last_run.clone()),
        ..before.clone()
    };
    ends(&mut status, observed);
    // While a right is missing nothing was made, so nothing was acted on.
    if failure.is_none() && decision.act == Act::Work {
        handled(&mut status, observed, decision, applied);
    }
    status.conditions = View { observed, verdict, decision, failure, last: status.last_ended_run.as_ref() }.conditions(&before.conditions);
    status
}

/// Requests, instants and events that were acted on.
fn handled(status: &mut JobStatus, observed: &Observed, decision: &Decision, applied: &Applied) {
    if let Some(request) = request(observed) {
        status.last_handled_update_request = Some(request.to_string());
    }
    status.triggers = decision.looks.iter().map(|look| trigger(look, applied)).collect();
    let is_clock = |name: &str| {
        let trigger = observed.job.spec.triggers.iter().find(|trigger| trigger.name == name);
        matches!(trigger.and_then(floe_crds::job::Trigger::kind), Some(TriggerKind::Schedule(_) | TriggerKind::Periodic(_)))
    };
    let of_clocks = status.triggers.iter().filter(|trigger| is_clock(&trigger.name));
    status.next_run_time = of_clocks.filter_map(|trigger| trigger.next_fire_time.clone()).min_by_key(|at| at.0);
}

fn trigger(look: &Look, applied: &Applied) -> TriggerStatus {
    let refused = look.fires.iter().find_map(|fire| applied.refused.get(&fire.name));
    match refused {
        Some(why) => TriggerStatus { message: Some(cut(why, MESSAGE_BYTES).to_string()), ..look.status.clone() },
        None => look.status.clone(),
    }
}

/// The text of the first trigger by the clock.
fn schedule(observed: &Observed) -> Option<String> {
    observed.job.spec.triggers.iter().find_map(|trigger| match trigger.kind()? {
        TriggerKind::Schedule(schedule) => schedule.cron.clone().or_else(|| schedule.quartz_cron.clone()),
        TriggerKind::Periodic(periodic) => Some(format!("every {} s", periodic.every_seconds)),
        _ => None,
    })
}

fn last_run(run: &JobRun) -> LastRun {
    let status = run.status.clone().unwrap_or_default();
    LastRun {
        name: run.name_any(),
        state: status.state,
        result_state: status.result_state,
        start_time: status.start_time,
        end_time: status.end_time,
        message: status.message.map(|message| cut(&message, MESSAGE_BYTES).to_string()),
    }
}

/// Runs that ended after the one that the status names, the newest last. Those that never started tell nothing of what the Job does.
fn ended_since<'a>(observed: &'a Observed, known: Option<&LastRun>) -> Vec<&'a Arc<JobRun>> {
    let mut ended: Vec<&Arc<JobRun>> = observed.runs.iter().filter(|run| runs::result(run).is_some()).collect();
    ended.sort_by_cached_key(|run| runs::by_end(run));
    if let Some(known) = known {
        let at = known.end_time.as_ref().map(|at| at.0);
        let recorded = ended.iter().find(|run| run.name_any() == known.name && runs::ended(run) == at).map(|run| runs::by_end(run));
        let since = recorded.unwrap_or((at, 0, String::new()));
        ended.retain(|run| runs::by_end(run) >= since);
    }
    ended
}

/// Takes over the ends that the status does not know yet.
fn ends(status: &mut JobStatus, observed: &Observed) {
    let is_bad = |result: Option<RunResultState>| matches!(result, Some(RunResultState::Failed | RunResultState::TimedOut));
    for run in ended_since(observed, status.last_ended_run.clone().as_ref()) {
        let result = runs::result(run);
        // A repair that fails again is the same failure.
        let again = status.last_ended_run.as_ref().is_some_and(|last| last.name == run.name_any() && is_bad(last.result_state));
        if result.is_some_and(RunResultState::is_success) {
            status.consecutive_failures = 0;
            status.last_successful_time = run.status.as_ref().and_then(|status| status.end_time.clone());
        } else if is_bad(result) && !again {
            status.consecutive_failures = status.consecutive_failures.saturating_add(1);
        }
        status.last_ended_run = Some(last_run(run));
    }
}
