//! REPORT: what an update did, per dataset, from how its flows ended. Pure.

use std::time::{Duration, Instant};

use floe_crds::state::{FlowState, UpdateState};
use floe_graph::{
    graph::{ResolvedDataset, ResolvedFlow, ResolvedKind},
    plan::{ResetKind, UpdatePlan},
};

use super::{
    Resolved,
    flows::{Ended, EndedFlow},
};
use crate::{
    execute::{expectation::DataQuality, progress::RefreshType},
    failure::Failure,
    observe::is_written,
    summary::{DatasetSummary, UpdateSummary},
};

/// The report of an update whose flows have ended.
pub fn report(update_id: &str, resolved: &Resolved, plan: UpdatePlan, mut ended: Ended, started: Instant) -> UpdateSummary {
    let datasets = in_order(resolved).map(|dataset| dataset_report(resolved, dataset, &plan, &ended)).collect();
    let failures = ended.flows.values_mut().filter_map(|flow| flow.failure.take()).map(|failed| failed.failure).collect();
    UpdateSummary {
        update_id: update_id.to_string(),
        pipeline: resolved.project.name.clone(),
        state: ended.state,
        datasets,
        changes: plan.changes,
        resets: plan.resets,
        notes: plan.warnings.into_iter().chain(plan.notes).collect(),
        lints: resolved.graph.lints.clone(),
        failures,
        tables: Vec::new(),
        removed: Vec::new(),
        duration_ms: millis(started.elapsed()),
    }
}

/// The report of a dry run: the plan, and nothing done.
pub fn dry_run(resolved: &Resolved, plan: UpdatePlan, started: Instant) -> UpdateSummary {
    let ended = Ended { state: UpdateState::Completed, flows: std::collections::BTreeMap::new(), tables: super::tables::Tables::new() };
    UpdateSummary { datasets: Vec::new(), ..report("", resolved, plan, ended, started) }
}

/// The report of an update that failed before its flows started.
pub fn failed(update_id: &str, pipeline: &str, failure: Failure, started: Instant) -> UpdateSummary {
    UpdateSummary { failures: vec![failure], ..ended(update_id, pipeline, UpdateState::Failed, started) }
}

/// The report of an update that ended in `state` without flows.
pub fn ended(update_id: &str, pipeline: &str, state: UpdateState, started: Instant) -> UpdateSummary {
    UpdateSummary {
        update_id: update_id.to_string(),
        pipeline: pipeline.to_string(),
        state,
        datasets: Vec::new(),
        changes: Vec::new(),
        resets: Vec::new(),
        notes: Vec::new(),
        lints: Vec::new(),
        failures: Vec::new(),
        tables: Vec::new(),
        removed: Vec::new(),
        duration_ms: millis(started.elapsed()),
    }
}

/// Stored datasets and sinks in the order in which their flows run.
fn in_order(resolved: &Resolved) -> impl Iterator<Item = &ResolvedDataset> {
    let mut names: Vec<_> = resolved.graph.flows.iter().map(|flow| &flow.target).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert((*name).clone()));
    names.into_iter().filter_map(|name| resolved.graph.datasets.get(name)).filter(|dataset| is_written(dataset))
}

fn dataset_report(resolved: &Resolved, dataset: &ResolvedDataset, plan: &UpdatePlan, ended: &Ended) -> DatasetSummary {
    let name = &dataset.definition.name;
    let flows: Vec<(&ResolvedFlow, &EndedFlow)> =
        resolved.graph.flows_into(name).filter_map(|flow| Some((flow, ended.flows.get(&flow.name)?))).collect();
    let mut quality = DataQuality::default();
    for (_, flow) in &flows {
        quality.add(&flow.result.total.data_quality);
        // Why the flow failed; its rows were neither written nor dropped.
        let failed = flow.failure.as_ref().map(|failed| failed.data_quality.expectations.clone()).unwrap_or_default();
        quality.add(&DataQuality { expectations: failed, ..DataQuality::default() });
    }
    let metrics = || flows.iter().map(|(_, flow)| &flow.result.total.metrics);
    let versions = flows.iter().filter_map(|(_, flow)| flow.result.total.target_version);
    DatasetSummary {
        dataset: name.short(&resolved.project.input.namespace),
        state: flows.iter().filter_map(|(_, flow)| flow.state).max_by_key(|state| severity(*state)),
        rows_written: metrics().filter_map(crate::execute::progress::FlowMetrics::rows_written).sum(),
        rows_deleted: metrics().filter_map(|metrics| Some(metrics.cdc?.deleted)).sum(),
        dropped: quality.dropped_records - quality.quarantined_records,
        quarantined: quality.quarantined_records,
        corrupt_records: metrics().map(|metrics| metrics.num_corrupt_records).sum(),
        corrupt_files: metrics().map(|metrics| metrics.num_corrupt_files).sum(),
        expectations: quality.expectations,
        version: ended.tables.get(name).map(|table| table.version()).max(versions.max()),
        refresh: refresh(dataset, plan, &flows),
        duration_ms: flows.iter().map(|(_, flow)| millis(flow.duration)).max().unwrap_or_default(),
    }
}

/// How bad a state is: a dataset with several flows shows the worst.
fn severity(state: FlowState) -> u8 {
    match state {
        FlowState::Failed => 9,
        FlowState::Skipped => 8,
        FlowState::Stopped => 7,
        FlowState::Running | FlowState::Starting | FlowState::Planning | FlowState::Queued => 6,
        FlowState::Completed => 3,
        FlowState::Idle => 2,
        FlowState::Excluded => 1,
    }
}

fn refresh(dataset: &ResolvedDataset, plan: &UpdatePlan, flows: &[(&ResolvedFlow, &EndedFlow)]) -> Option<String> {
    let full_name = dataset.definition.name.to_string();
    let reset = plan.resets.iter().find(|reset| reset.dataset.eq_ignore_ascii_case(&full_name));
    match reset.map(|reset| reset.kind) {
        Some(ResetKind::FullRefresh) => return Some("FULL_REFRESH".to_string()),
        Some(ResetKind::CheckpointReset) => return Some("CHECKPOINT_RESET".to_string()),
        None => {}
    }
    let (flow, ended) = flows.iter().find(|(_, ended)| ended.state == Some(FlowState::Completed)).or(flows.first())?;
    Some(match (&flow.kind, ended.result.refresh) {
        (_, Some(RefreshType::NoOp)) => "NO_OP".to_string(),
        (_, Some(RefreshType::CompleteRecompute)) => "COMPLETE_RECOMPUTE".to_string(),
        (ResolvedKind::Complete, None) => return None,
        (kind, _) if kind.is_once() => "ONCE".to_string(),
        (ResolvedKind::AutoCdc(_), _) => "AUTO_CDC".to_string(),
        _ => "APPEND".to_string(),
    })
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
