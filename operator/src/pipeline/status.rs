//! What the status of a Pipeline says after a look. Pure.

use std::sync::Arc;

use floe_crds::{
    condition::{self, ConditionType, Reason},
    pipeline::{LastSuccessfulUpdate, LastUpdate, PipelineStatus},
    pipeline_update::{PipelineUpdate, UpdateType},
    state::{PipelineHealth, PipelineState, UpdateState},
    text::cut,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::{
    apply::Applied,
    conditions::{Graph, View},
    decide::{Act, Decision},
    observe::Observed,
    validate::Verdict,
};
use crate::{
    error::Error,
    labels,
    updates::{self, state},
};

/// Failed flows that the status names.
const FAILED_FLOWS: usize = 10;
/// Longest text of a message in the status.
const MESSAGE_BYTES: usize = 2048;

/// The update that ended last, as conditions need it.
#[derive(Clone, Debug)]
pub struct LastEnd {
    /// Name of the update.
    pub name: String,
    /// How it ended.
    pub state: UpdateState,
    /// Why.
    pub reason: Reason,
    /// What a person should know.
    pub message: String,
}

/// The new status. It differs from the old one only if something is different.
pub fn status(observed: &Observed, verdict: &Verdict, decision: &Decision, applied: &Applied, failure: Option<&Error>) -> PipelineStatus {
    let before = observed.pipeline.status.clone().unwrap_or_default();
    let ended = ended_since(observed, &before);
    let last = ended.last().map(|update| last_end(update));
    let view = View { observed, verdict, decision, failure, last: last.as_ref(), writer: applied.writer.as_deref() };
    let graph = view.graph();
    let conditions = view.conditions(&before.conditions, &graph);
    let mut status = PipelineStatus {
        observed_generation: observed.pipeline.metadata.generation,
        last_handled_reconcile_at: labels::reconcile_request(observed.pipeline.as_ref()).map(str::to_string),
        state: Some(pipeline_state(observed, verdict, decision, &graph)),
        active_update: observed.active().map(|update| update.name_any()),
        update_counter: applied.counter.max(before.update_counter),
        queued: Some(i32::try_from(observed.queued().count()).unwrap_or(i32::MAX)),
        conditions,
        ..before
    };
    hashes(&mut status, observed, verdict, &graph);
    ends(&mut status, &ended);
    // While a right is missing nothing was made, so nothing was acted on.
    if failure.is_none() && !matches!(decision.outcome.act, Act::Pause) {
        handled(&mut status, observed, decision, applied);
    }
    status
}

fn hashes(status: &mut PipelineStatus, observed: &Observed, verdict: &Verdict, graph: &Graph) {
    if let Some(valid) = verdict.valid() {
        status.definition_hash = Some(valid.hash.clone());
        if matches!(graph, Graph::Valid(_)) {
            status.validated_hash = Some(valid.hash.clone());
        }
    }
    if let Some(graph) = observed.report.as_ref().and_then(|(report, _)| report.spec.graph.as_ref()).filter(|graph| graph.valid) {
        status.graph = Some(graph.counts.clone());
    }
}

/// Requests and instants that were acted on.
fn handled(status: &mut PipelineStatus, observed: &Observed, decision: &Decision, applied: &Applied) {
    if let Some(request) = observed.annotation(labels::UPDATE_REQUESTED_AT).map(|text| cut(text, 253)) {
        let is_made = |update: &PipelineUpdate| update.spec.request_id == request;
        if applied.started.as_ref().is_some_and(is_made) || observed.updates.iter().any(|update| is_made(update)) {
            status.last_handled_update_request = Some(request.to_string());
        }
    }
    let time = |at: Timestamp| Some(Time(at));
    // What was announced before something went missing is made up for when it is back.
    if !matches!(decision.outcome.act, Act::Refuse) {
        status.next_schedule_time = decision.schedule.next.and_then(time);
    }
    if let Some(instant) = decision.schedule.instant {
        status.last_schedule_time = Some(Time(instant));
    }
    let maintenance = applied.started.iter().chain(observed.updates.iter().map(Arc::as_ref));
    let made = maintenance.filter(|update| update.spec.update_type == UpdateType::Maintenance).filter_map(ResourceExt::creation_timestamp);
    status.last_maintenance_time =
        made.map(|time| time.0).chain(status.last_maintenance_time.clone().map(|time| time.0)).max().and_then(time);
}

/// Updates that tell whether the data are up to date: no validations, no maintenance, none that another one stood for.
fn counts(update: &PipelineUpdate) -> bool {
    let coalesced = update.status.as_ref().is_some_and(|status| status.coalesced_into.is_some());
    updates::refreshes(update) && !coalesced
}

/// Updates that ended after the one that the status names, the newest last.
fn ended_since<'a>(observed: &'a Observed, before: &PipelineStatus) -> Vec<&'a Arc<PipelineUpdate>> {
    let is_ended = |update: &&Arc<PipelineUpdate>| updates::is_terminal(update) && counts(update);
    let mut ended: Vec<&Arc<PipelineUpdate>> = observed.updates.iter().filter(is_ended).collect();
    ended.sort_by_cached_key(|update| updates::by_end(update));
    if let Some(known) = &before.last_update {
        let recorded = ended.iter().find(|update| update.name_any() == known.name).map(|update| updates::by_end(update));
        let since = recorded.unwrap_or_else(|| (known.end_time.as_ref().map(|time| time.0), 0, String::new()));
        ended.retain(|update| updates::by_end(update) >= since);
    }
    ended
}

/// Takes over the ends that the status does not know yet.
fn ends(status: &mut PipelineStatus, ended: &[&Arc<PipelineUpdate>]) {
    for update in ended {
        let is_known =
            status.last_update.as_ref().is_some_and(|last| last.name == update.name_any() && last.id == update.uid().unwrap_or_default());
        let how = state(update);
        if !is_known {
            status.consecutive_failures = Some(match how {
                Some(UpdateState::Failed) => status.consecutive_failures.unwrap_or_default().saturating_add(1),
                Some(UpdateState::Completed) => 0,
                _ => status.consecutive_failures.unwrap_or_default(),
            });
        }
        let last = last_update(update);
        if how == Some(UpdateState::Completed) {
            status.last_successful_update = Some(LastSuccessfulUpdate { name: last.name.clone(), end_time: last.end_time.clone() });
        }
        status.health = Some(if how == Some(UpdateState::Failed) { PipelineHealth::Unhealthy } else { PipelineHealth::Healthy });
        status.last_update = Some(last);
    }
}

fn last_update(update: &PipelineUpdate) -> LastUpdate {
    let status = update.status.clone().unwrap_or_default();
    let totals = status.totals.unwrap_or_default();
    LastUpdate {
        name: update.name_any(),
        id: update.uid().unwrap_or_default(),
        state: status.state,
        cause: Some(update.spec.cause),
        start_time: status.start_time,
        end_time: status.end_time,
        message: cut(&status.message.unwrap_or_default(), MESSAGE_BYTES).to_string(),
        rows_written: totals.rows_written,
        dropped_rows: totals.dropped,
        quarantined_rows: totals.quarantined,
        failed_flows: status.failed_flows.into_iter().take(FAILED_FLOWS).map(|flow| flow.name).collect(),
    }
}

fn last_end(update: &PipelineUpdate) -> LastEnd {
    let status = update.status.clone().unwrap_or_default();
    let reason =
        condition::find(&status.conditions, ConditionType::Succeeded).map(|succeeded| succeeded.reason.clone()).unwrap_or_default();
    let general = [Reason::Failed, Reason::Succeeded, Reason::Canceled];
    let known = Reason::parse(&reason).filter(|reason| !general.contains(reason));
    let flow = status.failed_flows.first().map(|flow| format!("flow {}: {}", flow.name, flow.message));
    LastEnd {
        name: update.name_any(),
        state: status.state.unwrap_or(UpdateState::Failed),
        reason: known.unwrap_or(Reason::UpdateFailed),
        message: flow.or(status.message).unwrap_or_default(),
    }
}

fn pipeline_state(observed: &Observed, verdict: &Verdict, decision: &Decision, graph: &Graph) -> PipelineState {
    if matches!(decision.outcome.act, Act::Delete(_)) {
        return PipelineState::Deleted;
    }
    let Some(active) = observed.active() else {
        let cannot_run = matches!(verdict, Verdict::Refused(_)) || matches!(graph, Graph::Invalid(_));
        let first = observed.pipeline.status.as_ref().is_none_or(|status| status.validated_hash.is_none() && status.last_update.is_none());
        return match graph {
            _ if cannot_run => PipelineState::Failed,
            Graph::Checking if first => PipelineState::Deploying,
            _ => PipelineState::Idle,
        };
    };
    let attempt = active.status.as_ref().and_then(|status| status.attempt).unwrap_or(1);
    match state(active) {
        Some(UpdateState::Running) => PipelineState::Running,
        Some(UpdateState::Stopping) => PipelineState::Stopping,
        Some(UpdateState::Resetting) => PipelineState::Resetting,
        _ if attempt > 1 => PipelineState::Recovering,
        _ => PipelineState::Starting,
    }
}
