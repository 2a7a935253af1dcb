//! RESETTING: tables are emptied and checkpoints start again. A marker is written first, so that a reset that was cut short is finished by
//! the next update.

use std::collections::BTreeMap;

use floe_graph::{
    graph::ResolvedDataset,
    plan::{Reset, ResetKind},
};
use serde_json::{Map, Value};

use super::{Resolved, tables};
use crate::{
    commit::{CommitRequest, StagedFiles, TargetTable, transaction},
    event_log::{
        EventLog,
        event::{Event, OperationStatus, ResetProgress, Subject},
    },
    failure::Failure,
    observe::known,
    state::{
        Checkpoint,
        catalog::{Catalog, StoredKind},
        format::VERSION,
        reset::{self, ResetEntry, ResetMarker, StoredResetKind},
        view,
    },
};

/// Finishes resets of updates that ended in the middle of one.
///
/// Comes before planning: what is stored is only known when no reset is half done. True if there was one.
pub async fn finish_earlier(resolved: &Resolved, catalog: &Catalog, log: &EventLog) -> Result<bool, Failure> {
    let unfinished = reset::unfinished(&resolved.storage).await?;
    for marker in &unfinished {
        carry_out(resolved, catalog, marker, log).await?;
    }
    Ok(!unfinished.is_empty())
}

/// Resets what the plan names.
pub async fn reset(resolved: &Resolved, catalog: &Catalog, resets: &[Reset], update_id: &str, log: &EventLog) -> Result<(), Failure> {
    let mut entries = Vec::with_capacity(resets.len());
    for planned in resets {
        let mut generations = BTreeMap::new();
        for flow in &planned.flows {
            generations.insert(flow.clone(), Checkpoint::open(&resolved.storage, flow).await?.generation() + 1);
        }
        entries.push(ResetEntry { dataset: planned.dataset.clone(), kind: planned.kind.into(), generations });
    }
    let marker = ResetMarker { version: VERSION, update: update_id.to_string(), resets: entries };
    reset::begin(&resolved.storage, &marker).await?;
    carry_out(resolved, catalog, &marker, log).await
}

/// Doing it twice has the effect of doing it once.
async fn carry_out(resolved: &Resolved, catalog: &Catalog, marker: &ResetMarker, log: &EventLog) -> Result<(), Failure> {
    for entry in &marker.resets {
        report(log, entry, OperationStatus::Started);
        let dataset =
            resolved.graph.datasets.values().find(|dataset| dataset.definition.name.to_string().eq_ignore_ascii_case(&entry.dataset));
        if let (Some(dataset), StoredResetKind::FullRefresh) = (dataset, entry.kind) {
            empty(resolved, catalog, dataset, &marker.update).await?;
        }
        for (flow, generation) in &entry.generations {
            Checkpoint::open(&resolved.storage, flow).await?.start_generation_at(*generation).await?;
        }
        report(log, entry, OperationStatus::Completed);
    }
    reset::end(&resolved.storage, &marker.update).await
}

/// Streaming tables and quarantine tables lose their rows in one commit each; a view keeps them until its recompute.
async fn empty(resolved: &Resolved, catalog: &Catalog, dataset: &ResolvedDataset, update: &str) -> Result<(), Failure> {
    for wanted in tables::wanted(resolved, dataset, &catalog.pipeline_id) {
        if wanted.kind == StoredKind::MaterializedView {
            for flow in resolved.graph.flows_into(&wanted.name) {
                view::forget(&resolved.storage, &flow.name).await?;
            }
            return Ok(());
        }
        let Some(_) = TargetTable::open(&wanted.spec.location, known(catalog, &wanted.name).cloned()).await? else { continue };
        let table = TargetTable::open_or_create(&wanted.spec, known(catalog, &wanted.name).cloned()).await?.replaced_by(&wanted.spec)?;
        let request = CommitRequest {
            transactions: vec![(format!("{}/reset/{update}", catalog.pipeline_id), 0)],
            absent_until: None,
            operation: "WRITE",
            parameters: Map::from_iter([("mode".to_string(), Value::from("Overwrite"))]),
            info: Map::new(),
            step: Some("reset"),
        };
        transaction::overwrite(&table, StagedFiles::none(&wanted.spec.location), request).await?;
    }
    Ok(())
}

fn report(log: &EventLog, entry: &ResetEntry, status: OperationStatus) {
    let kind = match entry.kind {
        StoredResetKind::FullRefresh => ResetKind::FullRefresh,
        StoredResetKind::CheckpointReset => ResetKind::CheckpointReset,
    };
    let generation = entry.generations.values().copied().max().unwrap_or_default();
    let progress = ResetProgress { dataset: entry.dataset.clone(), kind, generation, status };
    log.record(Event::reset_progress(Subject::dataset(entry.dataset.clone()), progress));
}
