//! Tells of transitions: Kubernetes Events on the Pipeline, metrics, and one log line each.

use std::{sync::Arc, time::Duration};

use floe_crds::{
    condition::{self, ConditionType, Reason},
    pipeline_update::{AttemptClass, PipelineUpdateStatus, UpdateType},
    run_report::RunReport,
    state::UpdateState,
};
use kube::ResourceExt;

use super::{decide::Decision, observe::Observed};
use crate::{
    attempt::{end::End, retry::Sequel},
    context::Context,
    events::{EventReason, News, Severity},
    hub::reference,
    key::Key,
    metrics::{AttemptReason, is_gauge, parse_labels},
};

/// Failed flows that get an Event of their own.
const MAX_FLOW_EVENTS: usize = 5;

/// What a report counts changed columns under.
const SCHEMA_CHANGES: &str = "floe_schema_changes_total";
/// Class of the error of a runner that was asked to reset a table that must not be.
const RESET_REFUSED: &str = "RESET_NOT_ALLOWED";

/// What happened between the old status and the new one. Pure.
pub fn news(seen: &Observed, new: &PipelineUpdateStatus, decision: &Decision) -> Vec<News> {
    let (old, name) = (&seen.status, seen.update.name_any());
    let message = new.message.as_deref().unwrap_or_default();
    let mut told = Vec::new();
    if old.state != new.state {
        told.extend(new.state.and_then(|state| of_state(state, seen.update.spec.update_type, &name, message)));
    }
    if new.attempt == Some(1) && old.attempt.is_none() {
        told.push(News::new(Severity::Normal, EventReason::UpdateStarted, format!("update {name} started")));
    }
    if matches!(decision, Decision::Ended { sequel: Sequel::Attempt(_), .. }) {
        told.push(News::new(Severity::Warning, EventReason::UpdateRetrying, format!("update {name}: {message}")));
    }
    if let Decision::Ended { end, .. } = decision {
        told.extend(of_end(seen, &name, end));
    }
    if let Decision::Follow(following) = decision
        && following.is_news
        && let Some(reason) = of_waiting(following.reason)
        && (!was(old, following.reason) || old.message != new.message)
    {
        told.push(News::new(Severity::Warning, reason, format!("update {name}: {}", following.message)));
    }
    let known = |flow: &str| old.failed_flows.iter().any(|other| other.name == flow);
    let failed = new.failed_flows.iter().filter(|flow| !flow.error_class.is_empty() && !known(&flow.name)).take(MAX_FLOW_EVENTS);
    told.extend(failed.map(|flow| {
        let note = format!("[{}] update {name}, flow {}: {}", flow.error_class, flow.name, flow.message);
        News::new(Severity::Warning, EventReason::FlowFailed, note)
    }));
    told
}

/// What an attempt did that people should know of, however it ended.
fn of_end(seen: &Observed, name: &str, end: &End) -> Vec<News> {
    let report = seen.attempt.as_ref().and_then(|attempt| attempt.report.as_ref());
    let changes = report.and_then(|report| report.spec.counters.get(SCHEMA_CHANGES));
    let dataset = |labels: &String| parse_labels(labels)?.into_iter().find(|(label, _)| label == "dataset").map(|(_, name)| name);
    let datasets: Vec<String> = changes.into_iter().flatten().filter_map(|(labels, _)| dataset(labels)).collect();
    let mut told = Vec::new();
    if !datasets.is_empty() {
        let more = datasets.len().saturating_sub(MAX_FLOW_EVENTS);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let named = datasets.into_iter().take(MAX_FLOW_EVENTS).collect::<Vec<_>>().join(", ");
        let note = format!("update {name} changed the columns of {named}{more}");
        told.push(News::new(Severity::Normal, EventReason::SchemaChanged, note));
    }
    if end.result.error_class.as_deref() == Some(RESET_REFUSED) {
        told.push(News::new(Severity::Warning, EventReason::ResetRefused, format!("update {name}: {}", end.message())));
    }
    told
}

fn was(old: &PipelineUpdateStatus, reason: Reason) -> bool {
    condition::find(&old.conditions, ConditionType::Reconciling).is_some_and(|before| before.reason == reason.as_str())
}

fn of_state(state: UpdateState, update_type: UpdateType, name: &str, message: &str) -> Option<News> {
    let news = |severity, reason, verb: &str| {
        Some(News::new(severity, reason, format!("update {name} {verb}{}{message}", if message.is_empty() { "" } else { ": " })))
    };
    match state {
        UpdateState::Queued => news(Severity::Normal, EventReason::UpdateQueued, "is queued"),
        UpdateState::Completed if update_type == UpdateType::Maintenance => {
            news(Severity::Normal, EventReason::MaintenanceCompleted, "completed")
        }
        UpdateState::Completed => news(Severity::Normal, EventReason::UpdateCompleted, "completed"),
        UpdateState::Failed => news(Severity::Warning, EventReason::UpdateFailed, "failed"),
        UpdateState::Canceled => news(Severity::Normal, EventReason::UpdateCanceled, "was canceled"),
        _ => None,
    }
}

fn of_waiting(reason: Reason) -> Option<EventReason> {
    match reason {
        Reason::PodStartFailed => Some(EventReason::PodStartFailed),
        Reason::Unschedulable => Some(EventReason::Unschedulable),
        Reason::QuotaExceeded => Some(EventReason::QuotaExceeded),
        _ => None,
    }
}

/// Tells people and metrics what happened, after it was written down.
pub fn tell(ctx: &Context, seen: &Observed, status: &PipelineUpdateStatus, decision: &Decision) {
    let namespace = seen.update.namespace().unwrap_or_default();
    let pipeline = &seen.update.spec.pipeline;
    // What had ended before was counted then, by this process or by an earlier one.
    let ended_before = seen.status.state.is_some_and(UpdateState::is_terminal);
    if let Some(report) = seen.attempt.as_ref().and_then(|attempt| attempt.report.as_ref()).filter(|_| !ended_before) {
        ctx.metrics.absorb(report, &namespace, pipeline);
    }
    if status.state.is_some_and(UpdateState::is_terminal) {
        forget_counters(ctx, seen);
    }
    if *status == seen.status {
        return;
    }
    let update = reference(seen.update.as_ref());
    for news in news(seen, status, decision) {
        tracing::info!(pipeline, reason = news.reason.as_str(), "{}", news.note);
        let regarding = seen.pipeline.as_ref().map_or_else(|| update.clone(), |pipeline| reference(pipeline.as_ref()));
        ctx.recorder.publish(regarding, news, Some(update.clone()));
    }
    if let Decision::Ended { end, sequel, .. } = decision {
        if end.contradicted {
            tracing::error!(pipeline, exit_code = end.exit_code, "INTERNAL_ERROR: report and exit code of a runner contradict each other");
        }
        if matches!(sequel, Sequel::Attempt(_)) {
            ctx.metrics.attempt(&namespace, pipeline, attempt_reason(end.class, end.out_of_memory));
        }
    }
    if let Some(state) = status.state.filter(|state| state.is_terminal() && !ended_before) {
        ctx.starts.forget(&namespace, &seen.update.name_any());
        let duration = status.duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        ctx.metrics.update_ended(&namespace, pipeline, state, seen.update.spec.cause, duration);
    }
}

/// What runners counted was taken over, and their reports are kept for an hour: of the counters only gauges are read any more.
fn forget_counters(ctx: &Context, seen: &Observed) {
    let counts = |report: &&Arc<RunReport>| report.spec.counters.keys().any(|family| !is_gauge(family));
    for report in seen.leftovers.reports.iter().filter(counts) {
        ctx.caches.reports.thin(&Key::of(report.as_ref()), |report| report.spec.counters.retain(|family, _| is_gauge(family)));
    }
}

fn attempt_reason(class: AttemptClass, out_of_memory: bool) -> AttemptReason {
    match class {
        _ if out_of_memory => AttemptReason::Oom,
        AttemptClass::Interrupted => AttemptReason::Eviction,
        AttemptClass::Transient => AttemptReason::Transient,
        _ => AttemptReason::Unknown,
    }
}
