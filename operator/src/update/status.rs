//! The status of an update, from what was seen, decided and done. Pure.

use std::collections::BTreeMap;

use floe_crds::{
    condition::{self, ConditionType, Reason, Said, Status},
    pipeline_update::{Attempt, FailedFlow, FlowCounts, PipelineUpdateStatus, RunnerInfo, Totals},
    run_report::{FlowReport, RunReportSpec, RunResult},
    state::{FlowState, UpdateState},
    text::cut,
};
use k8s_openapi::{api::core::v1::ContainerStatus, apimachinery::pkg::apis::meta::v1::Time};
use kube::ResourceExt;

use super::{
    apply::Applied,
    decide::{Decision, Ending, Following, Waiting},
    observe::{Observation, Observed},
    queued,
};
use crate::{
    attempt::{
        end::{End, newest_pod, runner_start, runner_status},
        job_name,
        retry::Sequel,
    },
    labels, updates,
};

/// Attempts that the status lists.
const MAX_ATTEMPTS: usize = 10;
/// Flows that the status names.
const MAX_FAILED_FLOWS: usize = 20;
/// Longest message of the update.
const MAX_MESSAGE: usize = 2048;
/// Longest message of an attempt.
const MAX_ATTEMPT_MESSAGE: usize = 1024;

/// Notes the first time of a state.
pub fn with_phase(times: &mut BTreeMap<String, Time>, state: UpdateState, at: &Time) {
    times.entry(state.as_str().to_string()).or_insert_with(|| at.clone());
}

/// The new status.
pub fn status(seen: &Observed, decision: &Decision, applied: &Applied) -> PipelineUpdateStatus {
    let mut status = seen.status.clone();
    // An update that gets its owner is looked at once more.
    if matches!(decision, Decision::Adopt(_)) {
        return status;
    }
    status.last_handled_reconcile_at = labels::reconcile_request(seen.update.as_ref()).map(str::to_string);
    if matches!(decision, Decision::Rest) {
        late_image(&mut status, seen);
        return status;
    }
    status.observed_generation = seen.update.metadata.generation;
    status.id = seen.update.uid();
    status.position = None;
    status.coalesced_into = None;
    match decision {
        Decision::Rest | Decision::Adopt(_) => {}
        Decision::Wait(waiting) => waits(&mut status, seen, waiting),
        Decision::Coalesce(into) => coalesced(&mut status, seen, into),
        Decision::End(ending) => ends(&mut status, seen, ending),
        Decision::Start(number, _) => starts(&mut status, seen, *number, applied),
        Decision::Follow(following) => follows(&mut status, seen, following),
        Decision::Ended { end, sequel, retries } => {
            status.retries = Some(retries.clone());
            attempt_ended(&mut status, seen, end, sequel);
        }
    }
    status
}

/// The report of a short run may come before the kubelet's word of the image that ran.
fn late_image(status: &mut PipelineUpdateStatus, seen: &Observed) {
    let Some(runner) = status.runner.as_mut().filter(|runner| runner.image.is_empty()) else { return };
    let Some(pod) = status.attempts.last().and_then(|attempt| attempt.pod.as_ref()) else { return };
    let pod = seen.leftovers.pods.iter().find(|found| found.name_any() == *pod);
    if let Some(container) = pod.and_then(|pod| runner_status(pod)) {
        runner.image.clone_from(&container.image_id);
    }
}

fn now(seen: &Observed) -> Time {
    Time(seen.now)
}

/// The conditions: whether it is accepted, how it ended or why it has not, and whether it moves.
fn say(status: &mut PipelineUpdateStatus, seen: &Observed, accepted: Option<&Said>, succeeded: &Said, stuck: bool) {
    let generation = seen.update.metadata.generation;
    let is_open = succeeded.status == Status::Unknown;
    let moves = is_open && (!stuck || succeeded.reason == Reason::PipelineNotFound || succeeded.reason == Reason::ConfigMapNotFound);
    let fine = Said::new(true, Reason::Accepted, "the update is accepted");
    let reconciling = Said::new(moves, succeeded.reason, if is_open { succeeded.message.clone() } else { String::new() });
    let is_stalled = stuck || succeeded.status == Status::False;
    let stalled = Said::new(is_stalled, succeeded.reason, if is_stalled { succeeded.message.clone() } else { String::new() });
    let said = [
        (ConditionType::Accepted, accepted.unwrap_or(&fine)),
        (ConditionType::Succeeded, succeeded),
        (ConditionType::Reconciling, &reconciling),
        (ConditionType::Stalled, &stalled),
    ];
    for (kind, said) in said {
        condition::set(&mut status.conditions, kind, said, generation, seen.now);
    }
    status.message = Some(cut(&succeeded.message, MAX_MESSAGE).to_string()).filter(|message| !message.is_empty());
}

fn waits(status: &mut PipelineUpdateStatus, seen: &Observed, waiting: &Waiting) {
    let begun = status.state.is_some_and(|state| state != UpdateState::Queued);
    let state = if begun || waiting.has_turn { UpdateState::WaitingForResources } else { UpdateState::Queued };
    if state == UpdateState::Queued {
        status.position =
            updates::writes(&seen.update).then(|| i32::try_from(queued::position(&seen.update, &seen.updates)).unwrap_or(i32::MAX));
    } else {
        with_phase(&mut status.phase_times, UpdateState::Created, &now(seen));
    }
    enters(status, seen, state);
    let refused = waiting.is_refused.then(|| Said::new(false, waiting.reason, waiting.message.clone()));
    let open = Said::new(Status::Unknown, waiting.reason, waiting.message.clone());
    say(status, seen, refused.as_ref(), &open, waiting.is_stuck);
}

fn enters(status: &mut PipelineUpdateStatus, seen: &Observed, state: UpdateState) {
    status.state = Some(state);
    with_phase(&mut status.phase_times, state, &now(seen));
}

fn coalesced(status: &mut PipelineUpdateStatus, seen: &Observed, into: &str) {
    enters(status, seen, UpdateState::Queued);
    status.coalesced_into = Some(into.to_string());
    let message = format!("{into} waits already and is asked to do the same; this update ends with it");
    say(status, seen, None, &Said::new(Status::Unknown, Reason::Coalesced, message), false);
}

fn ends(status: &mut PipelineUpdateStatus, seen: &Observed, ending: &Ending) {
    let at = ending.at.unwrap_or(seen.now);
    finish(status, seen, ending, &Time(status.start_time.as_ref().map_or(at, |start| start.0.max(at))));
}

fn finish(status: &mut PipelineUpdateStatus, seen: &Observed, ending: &Ending, at: &Time) {
    status.state = Some(ending.state);
    with_phase(&mut status.phase_times, ending.state, at);
    status.duration_seconds = status.start_time.as_ref().map(|start| at.0.duration_since(start.0).as_secs().max(0));
    status.end_time = Some(at.clone());
    let succeeded = Said::new(ending.state == UpdateState::Completed, ending.reason, ending.message.clone());
    say(status, seen, None, &succeeded, false);
}

fn starts(status: &mut PipelineUpdateStatus, seen: &Observed, number: i32, applied: &Applied) {
    if let Some(ending) = &applied.ending {
        return ends(status, seen, ending);
    }
    if let Some(held) = &applied.held {
        return waits(status, seen, held);
    }
    let Some(job) = &applied.started else { return };
    with_phase(&mut status.phase_times, UpdateState::Created, &now(seen));
    enters(status, seen, UpdateState::WaitingForResources);
    begin(status, seen, number, job.creation_timestamp());
    say(status, seen, None, &Said::new(Status::Unknown, Reason::Pending, format!("attempt {number} waits for its pod")), false);
}

/// Adds the attempt to the list.
fn begin(status: &mut PipelineUpdateStatus, seen: &Observed, number: i32, at: Option<Time>) {
    // The API server tells creations apart by seconds only: no attempt began before it might.
    let earliest = status.attempts.last().filter(|last| last.number < number).and_then(|last| last.next_attempt_time.clone());
    let at = at.unwrap_or_else(|| now(seen));
    let at = earliest.filter(|earliest| earliest.0 > at.0).unwrap_or(at);
    status.attempt = Some(number);
    status.start_time.get_or_insert_with(|| at.clone());
    if status.attempts.iter().all(|attempt| attempt.number != number) {
        let job = Some(job_name(&seen.update, number));
        status.attempts.push(Attempt { number, job, start_time: Some(at), ..Attempt::default() });
    }
    let extra = status.attempts.len().saturating_sub(MAX_ATTEMPTS);
    status.attempts.drain(..extra);
}

/// What is seen of the attempt that runs, or has just ended.
fn observed(status: &mut PipelineUpdateStatus, seen: &Observed) {
    let Some(attempt) = &seen.attempt else { return };
    begin(status, seen, attempt.number, attempt.job.as_ref().and_then(|job| job.creation_timestamp()));
    if let Some(entry) = status.attempts.iter_mut().find(|entry| entry.number == attempt.number) {
        note_pod(entry, attempt);
    }
    if let Some(started) = newest_pod(&attempt.pods).and_then(|pod| runner_start(pod)) {
        with_phase(&mut status.phase_times, UpdateState::Initializing, started);
    }
    if let Some(report) = &attempt.report {
        fold(status, &report.spec, newest_pod(&attempt.pods).and_then(|pod| runner_status(pod)));
    }
}

fn note_pod(entry: &mut Attempt, attempt: &Observation) {
    let Some(pod) = newest_pod(&attempt.pods) else { return };
    entry.pod = Some(pod.name_any());
    // The runner may tell where it is before the watch of pods does.
    let told = || attempt.report.as_ref().map(|report| report.spec.node_name.clone()).filter(|node| !node.is_empty());
    entry.node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).or_else(told);
    // Pods can be taken away at any time: the code is kept as soon as it is seen.
    let ended = runner_status(pod).and_then(|status| status.state.as_ref()?.terminated.as_ref());
    entry.exit_code = ended.map(|ended| ended.exit_code);
}

/// Takes over what the report tells. Totals are those of the attempt, so taking them twice changes nothing.
fn fold(status: &mut PipelineUpdateStatus, report: &RunReportSpec, container: Option<&ContainerStatus>) {
    let ended = status.ended_totals.clone().unwrap_or_default();
    status.totals = Some(ended.plus(&report.totals));
    // The kubelet knows the image by its digest; when the pod is gone, what it said is kept.
    let known = status.runner.take().map(|runner| runner.image).unwrap_or_default();
    let image = container.map(|container| container.image_id.clone()).filter(|image| !image.is_empty()).unwrap_or(known);
    status.runner = Some(RunnerInfo { version: report.runner_version.clone(), image, protocol: report.protocol });
    if !report.flows.is_empty() {
        status.flows = Some(FlowCounts::of(report.flows.iter().map(|flow| flow.state)));
        status.failed_flows = failed_flows(&report.flows);
    }
    for (word, at) in &report.phase_times {
        if let Some(state) = UpdateState::parse(word).filter(|state| !state.is_terminal()) {
            with_phase(&mut status.phase_times, state, at);
        }
    }
}

fn failed_flows(flows: &[FlowReport]) -> Vec<FailedFlow> {
    let of = |state: FlowState| flows.iter().filter(move |flow| flow.state == state);
    let named = of(FlowState::Failed).chain(of(FlowState::Skipped)).take(MAX_FAILED_FLOWS);
    named
        .map(|flow| FailedFlow {
            name: flow.name.clone(),
            dataset: flow.dataset.clone(),
            error_class: flow.error_class.clone().unwrap_or_default(),
            message: cut(flow.message.as_deref().unwrap_or_default(), 512).to_string(),
            origin: flow.origin.clone().unwrap_or_default(),
        })
        .collect()
}

fn follows(status: &mut PipelineUpdateStatus, seen: &Observed, following: &Following) {
    observed(status, seen);
    with_phase(&mut status.phase_times, UpdateState::Created, &now(seen));
    enters(status, seen, following.state);
    say(status, seen, None, &Said::new(Status::Unknown, following.reason, following.message.clone()), false);
}

fn attempt_ended(status: &mut PipelineUpdateStatus, seen: &Observed, end: &End, sequel: &Sequel) {
    observed(status, seen);
    let number = status.attempt.unwrap_or_default();
    let message = end.message();
    let at = status.start_time.as_ref().map_or(end.at, |start| end.at.max(start.0));
    if let Some(entry) = status.attempts.iter_mut().find(|entry| entry.number == number) {
        entry.end_time = Some(Time(at));
        entry.class = Some(end.class);
        entry.exit_code = end.exit_code;
        entry.message = Some(cut(&message, MAX_ATTEMPT_MESSAGE).to_string()).filter(|message| !message.is_empty());
        if let Sequel::Attempt(next) = sequel {
            entry.next_attempt_time = Some(Time(*next));
        }
    }
    // From here on the next attempt's numbers come on top.
    status.ended_totals.clone_from(&status.totals);
    match sequel {
        Sequel::Attempt(_) => {
            enters(status, seen, UpdateState::WaitingForResources);
            let message = format!("attempt {number} ended: {message}; another one follows");
            say(status, seen, None, &Said::new(Status::Unknown, Reason::Retrying, message), false);
        }
        Sequel::End { state, reason } => {
            if *state == UpdateState::Failed && status.failed_flows.is_empty() {
                status.failed_flows.extend(failed_flow(&end.result));
            }
            let message = if *state == UpdateState::Completed { completed(status, &message) } else { message };
            finish(status, seen, &Ending { state: *state, reason: *reason, message, at: None }, &Time(at));
        }
    }
}

/// The flow that the runner's last words name, when no report lists it.
fn failed_flow(result: &RunResult) -> Option<FailedFlow> {
    let name = result.flow.clone()?;
    Some(FailedFlow {
        name,
        dataset: result.dataset.clone().unwrap_or_default(),
        error_class: result.error_class.clone().unwrap_or_default(),
        message: cut(result.message.as_deref().unwrap_or_default(), 512).to_string(),
        origin: result.origin.clone().unwrap_or_default(),
    })
}

fn completed(status: &PipelineUpdateStatus, message: &str) -> String {
    let flows = status.flows.as_ref().map(|flows| format!("{} flows completed", flows.done)).unwrap_or_default();
    let rows = status.totals.as_ref().map(|totals| format!("{} rows written", written(totals))).unwrap_or_default();
    let parts = [flows.as_str(), rows.as_str(), message];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn written(totals: &Totals) -> i64 {
    totals.rows_written.saturating_add(totals.upserted)
}
