//! Resets: a marker first, then tables are emptied by one commit each, then checkpoints begin a new generation, then the marker goes.
//! Doing any of it twice has the effect of doing it once.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::arrow::datatypes::SchemaRef;
use floe_graph::{
    definition::{DatasetKind, FlowKind},
    graph::{ResolvedDataset, ResolvedGraph},
    name::DatasetName,
    plan::{ResetKind, UpdatePlan},
    resolve::quarantine_schema,
};
use serde_json::{Map, Value};

use super::setup::table_spec;
use crate::{
    commit::{CommitRequest, StagedFiles, TableSpec, TargetTable, transaction},
    event_log::{
        EventLog,
        event::{Event, OperationStatus, ResetProgress, Subject},
    },
    failpoint,
    failure::Failure,
    observe::name_of_key,
    state::{
        Checkpoint,
        catalog::Catalog,
        format::VERSION,
        reset::{self, ResetEntry, ResetMarker, StoredResetKind},
        view,
    },
    storage::{Storage, layout},
};

/// What a reset works on.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub storage: &'a Storage,
    pub graph: &'a ResolvedGraph,
    pub catalog: &'a Catalog,
    pub update_id: &'a str,
}

/// Does the resets of `plan`.
pub(super) async fn run(context: Context<'_>, plan: &UpdatePlan, log: &EventLog) -> Result<(), Failure> {
    let mut resets = Vec::new();
    for planned in &plan.resets {
        let mut generations = BTreeMap::new();
        for flow in &planned.flows {
            let checkpoint = Checkpoint::open(context.storage, flow).await?;
            generations.insert(flow.clone(), checkpoint.generation() + 1);
        }
        resets.push(ResetEntry { dataset: planned.dataset.clone(), kind: planned.kind.into(), generations });
    }
    let marker = ResetMarker { version: VERSION, update: context.update_id.to_string(), resets };
    reset::begin(context.storage, &marker).await?;
    apply(context, &marker, log).await
}

/// Does what the marker says and removes it.
pub(super) async fn apply(context: Context<'_>, marker: &ResetMarker, log: &EventLog) -> Result<(), Failure> {
    for entry in &marker.resets {
        report(log, entry, OperationStatus::Started);
        if entry.kind == StoredResetKind::FullRefresh {
            Box::pin(empty(context, &entry.dataset)).await?;
        }
    }
    for entry in &marker.resets {
        for (flow, generation) in &entry.generations {
            Checkpoint::open(context.storage, flow).await?.start_generation_at(*generation).await?;
        }
        report(log, entry, OperationStatus::Completed);
    }
    reset::end(context.storage, &marker.update).await
}

fn report(log: &EventLog, entry: &ResetEntry, status: OperationStatus) {
    let kind = match entry.kind {
        StoredResetKind::FullRefresh => ResetKind::FullRefresh,
        StoredResetKind::CheckpointReset => ResetKind::CheckpointReset,
    };
    let generation = entry.generations.values().copied().max().unwrap_or(0);
    let progress = ResetProgress { dataset: entry.dataset.clone(), kind, generation, status };
    log.record(Event::reset_progress(Subject::dataset(entry.dataset.clone()), progress));
}

/// Empties a dataset: its table and its quarantine table, or for a materialized view what is known of its last refresh.
async fn empty(context: Context<'_>, dataset: &str) -> Result<(), Failure> {
    let Some(name) = name_of_key(dataset) else { return Err(Failure::internal(format!("{dataset} is no name of a dataset"))) };
    let Some(resolved) = context.graph.datasets.get(&name) else { return empty_undeclared(context, &name).await };
    if resolved.definition.kind == DatasetKind::MaterializedView {
        for flow in context.graph.flows.iter().filter(|flow| flow.target == name && flow.kind == FlowKind::Complete) {
            view::forget(context.storage, &flow.name).await?;
        }
        return Ok(());
    }
    let spec = |name: &DatasetName, schema: SchemaRef| spec_of(context, resolved, name, schema);
    if let Some(quarantine) = &resolved.quarantine {
        truncate(context, &spec(quarantine, quarantine_schema(&resolved.schema))).await?;
    }
    truncate(context, &spec(&name, Arc::clone(&resolved.schema))).await?;
    failpoint::reach("reset::truncated")
}

fn spec_of(context: Context<'_>, dataset: &ResolvedDataset, name: &DatasetName, schema: SchemaRef) -> TableSpec {
    table_spec(context.storage, dataset, name, schema, &context.catalog.pipeline_id)
}

/// One overwrite commit without rows; columns and partitioning become those of the definition.
async fn truncate(context: Context<'_>, spec: &TableSpec) -> Result<(), Failure> {
    let known = known(context, &spec.dataset);
    let Some(table) = TargetTable::open(&spec.location, known).await? else { return Ok(()) };
    let table = table.replaced_by(spec)?;
    transaction::overwrite(&table, StagedFiles::none(table.location()), request(context)).await.map(|_| ())
}

/// A dataset that an ended update was emptying and that no file declares any more keeps its columns.
async fn empty_undeclared(context: Context<'_>, name: &DatasetName) -> Result<(), Failure> {
    let Some(entry) = context.catalog.datasets.get(&name.key()) else { return Ok(()) };
    let location = context.storage.at(&layout::table_path(name, entry.private));
    let Some(table) = TargetTable::open(&location, Some(entry.table.clone())).await? else { return Ok(()) };
    transaction::overwrite(&table, StagedFiles::none(&location), request(context)).await.map(|_| ())
}

fn known(context: Context<'_>, dataset: &str) -> Option<crate::commit::KnownTable> {
    context.catalog.datasets.get(&dataset.to_lowercase()).map(|entry| entry.table.clone())
}

fn request(context: Context<'_>) -> CommitRequest {
    CommitRequest {
        operation: "TRUNCATE",
        info: Map::from_iter([("updateId".to_string(), Value::from(context.update_id))]),
        ..CommitRequest::default()
    }
}
