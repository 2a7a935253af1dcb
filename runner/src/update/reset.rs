//! RESETTING: tables are emptied and checkpoints start again. A marker is written first, so that a reset that was cut short is finished by
//! the next update.

use std::collections::BTreeMap;

use floe_graph::plan::{Reset, ResetKind};
use serde_json::{Map, Value};

use super::{Resolved, Update, tables};
use crate::{
    commit::{CommitRequest, StagedFiles, TargetTable, transaction},
    event_log::{
        EventLog,
        event::{Event, OperationStatus, ResetProgress, Subject},
    },
    failure::Failure,
    observe::{is_stored, parse_key},
    state::{
        Checkpoint,
        catalog::{Catalog, CatalogEntry, StoredKind},
        format::VERSION,
        reset::{self, ResetEntry, ResetMarker, StoredResetKind},
        view,
    },
    storage::Storage,
};

/// Finishes resets of updates that ended in the middle of one.
///
/// Comes before planning: what is stored is only known when no reset is half done. True if there was one.
pub async fn finish_earlier(resolved: &Resolved, catalog: &Catalog, update: &Update) -> Result<bool, Failure> {
    let unfinished = reset::unfinished(&resolved.storage, &update.id).await?;
    for marker in &unfinished {
        carry_out(resolved, catalog, marker, update).await?;
    }
    Ok(!unfinished.is_empty())
}

/// True if an earlier process has reset everything that `update` asks for.
pub async fn is_done(storage: &Storage, update: &str) -> Result<bool, Failure> {
    reset::is_done(storage, update).await
}

/// Resets what the plan names.
pub async fn reset(resolved: &Resolved, catalog: &Catalog, resets: &[Reset], update: &Update) -> Result<(), Failure> {
    let mut entries = Vec::with_capacity(resets.len());
    for planned in resets {
        entries.push(entry(resolved, catalog, planned).await?);
    }
    let marker = ResetMarker { version: VERSION, update: update.id.clone(), resets: entries, done: false };
    reset::begin(&resolved.storage, &marker).await?;
    carry_out(resolved, catalog, &marker, update).await
}

/// The whole reset as it is remembered: the definition may have changed when it is finished.
async fn entry(resolved: &Resolved, catalog: &Catalog, planned: &Reset) -> Result<ResetEntry, Failure> {
    let key = planned.dataset.to_lowercase();
    let table_id = catalog.datasets.get(&key).map(|entry| entry.table.metadata.id.as_str());
    let mut generations = BTreeMap::new();
    for flow in &planned.flows {
        let checkpoint = Checkpoint::open(&resolved.storage, flow).await?;
        // A flow that has left this dataset for another one goes on there.
        let is_declared = resolved.graph.flow(flow).is_some();
        if is_declared || checkpoint.target().is_none_or(|target| Some(target) == table_id) {
            generations.insert(flow.clone(), checkpoint.generation() + 1);
        }
    }
    // The catalog also knows a quarantine table that the definition has no more: its rows go with those of the table.
    let belongs = |(other, entry): &(&String, &CatalogEntry)| **other == key || entry.part_of.as_ref() == Some(&key);
    let tables = catalog.datasets.iter().filter(belongs).map(|(key, _)| key.clone()).collect();
    Ok(ResetEntry { dataset: planned.dataset.clone(), kind: planned.kind.into(), tables, generations })
}

/// Doing it twice has the effect of doing it once.
async fn carry_out(resolved: &Resolved, catalog: &Catalog, marker: &ResetMarker, update: &Update) -> Result<(), Failure> {
    let log = &update.log;
    for entry in &marker.resets {
        report(log, entry, OperationStatus::Started);
        let target = catalog.datasets.get(&entry.dataset.to_lowercase()).map(|entry| entry.table.metadata.id.as_str());
        if entry.kind == StoredResetKind::FullRefresh {
            for table in &entry.tables {
                empty(resolved, catalog, table, &marker.update).await?;
            }
        }
        for (flow, generation) in &entry.generations {
            Checkpoint::open(&resolved.storage, flow).await?.start_generation_at(*generation, target).await?;
        }
        report(log, entry, OperationStatus::Completed);
    }
    // Who asked for the update may have it run again under the same id.
    let may_go_on = marker.update == update.id && update.settings.requested.is_some();
    reset::end(&resolved.storage, marker, may_go_on).await
}

/// A streaming table and a quarantine table lose their rows in one commit; a view keeps them until its recompute.
async fn empty(resolved: &Resolved, catalog: &Catalog, key: &str, update: &str) -> Result<(), Failure> {
    let (Some(entry), Some(name)) = (catalog.datasets.get(key), parse_key(key)) else { return Ok(()) };
    let location = resolved.storage.at(&entry.path(&name));
    let Some(table) = TargetTable::open(&location, Some(entry.table.clone())).await? else { return Ok(()) };
    if entry.kind == StoredKind::MaterializedView {
        for flow in &entry.flows {
            view::forget(&resolved.storage, flow, table.version()).await?;
        }
        return Ok(());
    }
    // With the columns of its definition, if it still has one: what no longer fits the rows fits the empty table.
    let declared = resolved.graph.datasets.values().filter(|dataset| is_stored(dataset));
    let wanted = declared.map(|dataset| tables::wanted(resolved, dataset, &catalog.pipeline_id)).collect::<Result<Vec<_>, _>>()?;
    let table = match wanted.into_iter().flatten().find(|wanted| wanted.name == name && wanted.kind == Some(entry.kind)) {
        Some(wanted) => TargetTable::open_or_create(&wanted.spec, Some(entry.table.clone())).await?.replaced_by(&wanted.spec)?,
        None => table,
    };
    let request = CommitRequest {
        transactions: vec![(format!("{}/reset/{update}", catalog.pipeline_id), 0)],
        absent_until: None,
        operation: "WRITE",
        parameters: Map::from_iter([("mode".to_string(), Value::from("Overwrite"))]),
        info: Map::new(),
        step: Some("reset"),
    };
    transaction::overwrite(&table, StagedFiles::none(&location), request).await?;
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
