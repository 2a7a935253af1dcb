//! The report of an update: what became of each dataset, summed over its flows.

use std::{collections::BTreeMap, time::Duration};

use floe_crds::state::{FlowState, UpdateState};
use floe_graph::{
    definition::FlowKind,
    graph::{ResolvedFlow, ResolvedGraph},
    name::{DatasetName, Namespace},
    plan::{ResetKind, UpdatePlan},
};

use super::{drive::Ended, setup::Tables};
use crate::{
    execute::progress::RefreshType,
    report::{DatasetReport, UpdateReport},
};

/// A report of which only the id is known.
pub(super) fn empty(update_id: String) -> UpdateReport {
    UpdateReport {
        update_id,
        pipeline: String::new(),
        state: UpdateState::Created,
        datasets: Vec::new(),
        changes: Vec::new(),
        resets: Vec::new(),
        notes: Vec::new(),
        lints: Vec::new(),
        failures: Vec::new(),
        duration_ms: 0,
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What was planned becomes part of the report; notes of earlier steps stay.
pub(super) fn take_plan(report: &mut UpdateReport, plan: UpdatePlan) {
    report.changes = plan.changes;
    report.resets = plan.resets;
    let more: Vec<String> = plan.notes.into_iter().filter(|note| !report.notes.contains(note)).collect();
    report.notes.extend(more);
}

/// One entry per stored dataset, in the order of the flows.
pub(super) fn datasets(
    report: &mut UpdateReport,
    graph: &ResolvedGraph,
    namespace: &Namespace,
    plan: &UpdatePlan,
    ended: &Ended,
    tables: &Tables,
) {
    let mut by_dataset: BTreeMap<&DatasetName, DatasetReport> = BTreeMap::new();
    let mut order: Vec<&DatasetName> = Vec::new();
    for flow in &graph.flows {
        let entry = by_dataset.entry(&flow.target).or_insert_with(|| {
            order.push(&flow.target);
            DatasetReport { dataset: flow.target.short(namespace), ..DatasetReport::default() }
        });
        add(entry, flow, ended);
    }
    for (name, entry) in &mut by_dataset {
        entry.version = entry.version.max(tables.all.get(*name).map(|table| table.version()));
        let full = name.to_string();
        if plan.resets.iter().any(|reset| reset.dataset == full && reset.kind == ResetKind::FullRefresh) && entry.refresh.is_some() {
            entry.refresh = Some("FULL_REFRESH".to_string());
        }
    }
    report.datasets = order.into_iter().filter_map(|name| by_dataset.remove(name)).collect();
}

fn add(entry: &mut DatasetReport, flow: &ResolvedFlow, ended: &Ended) {
    let state = ended.states.get(&flow.name).copied();
    entry.state = worse(entry.state, state);
    let Some(done) = ended.flows.get(&flow.name) else { return };
    entry.duration_ms = entry.duration_ms.max(done.duration_ms);
    for count in &done.quality.expectations {
        match entry.expectations.iter_mut().find(|known| known.name == count.name && known.dataset == count.dataset) {
            Some(known) => {
                known.passed += count.passed;
                known.failed += count.failed;
            }
            None => entry.expectations.push(count.clone()),
        }
    }
    entry.dropped += done.quality.dropped_records;
    entry.quarantined += done.quality.quarantined_records;
    let Some(result) = &done.result else { return };
    entry.rows_written += result.total.metrics.num_output_rows.unwrap_or(0);
    entry.version = entry.version.max(result.total.target_version);
    let refresh = match (result.refresh, &flow.kind) {
        (Some(RefreshType::NoOp), _) => "NO_OP",
        (Some(RefreshType::CompleteRecompute), _) => "COMPLETE_RECOMPUTE",
        (None, FlowKind::Once) => "ONCE",
        (None, _) => "APPEND",
    };
    // A table with a stream and a ONCE flow is told by its stream.
    if entry.refresh.as_deref() != Some("APPEND") {
        entry.refresh = Some(refresh.to_string());
    }
}

/// The state that matters more: a failure before a stop before a success before what did not take part.
fn worse(left: Option<FlowState>, right: Option<FlowState>) -> Option<FlowState> {
    let weight = |state: &FlowState| match state {
        FlowState::Failed => 6,
        FlowState::Skipped => 5,
        FlowState::Stopped => 4,
        FlowState::Queued | FlowState::Planning | FlowState::Starting | FlowState::Running => 3,
        FlowState::Completed => 2,
        FlowState::Idle => 1,
        FlowState::Excluded => 0,
    };
    left.into_iter().chain(right).max_by_key(weight)
}
