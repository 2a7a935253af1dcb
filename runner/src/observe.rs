//! Facts from storage that planning needs, gathered cheaply: schemas of foreign tables, the catalog, newest versions.

mod files;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use floe_graph::{
    analysis::state::{StatefulOperator, state_of},
    cdc::snapshot_type,
    definition::DatasetKind,
    graph::{ResolvedDataset, ResolvedFlow, ResolvedGraph, ResolvedKind},
    name::DatasetName,
    origin::Diagnostic,
    plan::{StoredState, StoredTable},
    relation::{Relation, RelationKind},
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    commit::{KnownTable, TargetTable, properties::PIPELINE_ID},
    failure::Failure,
    source::{DeltaSource, ObservedTable},
    state::{
        Checkpoint,
        catalog::{Catalog, CatalogEntry, StoredKind},
        view,
    },
    storage::{Location, Storage, layout, parse_uri},
};

pub use files::{FilePlaces, file_schemas};

/// Small reads that wait for storage at once.
pub const CONCURRENT_READS: usize = 32;

/// Every external table that resolution needs, by source id. What cannot be read is an error where it is used.
pub async fn external_tables(
    storage: &Storage,
    root: &Path,
    relations: &[Relation],
) -> BTreeMap<String, Result<ObservedTable, Diagnostic>> {
    let tables = relations.iter().filter(|relation| matches!(relation.kind, RelationKind::Delta { .. }));
    let observed = stream::iter(tables).map(|relation| async move {
        let table = Box::pin(external_table(storage, root, relation)).await.map_err(|failure| diagnostic(failure, relation));
        (relation.source_id(), table)
    });
    observed.buffer_unordered(CONCURRENT_READS).collect().await
}

/// The names in every directory of snapshots, as the type of their sequence. Names that begin with `_` or `.` mean nothing.
pub async fn snapshot_directories(
    storage: &Storage,
    root: &Path,
    relations: &[Relation],
) -> BTreeMap<String, Result<SchemaRef, Diagnostic>> {
    let directories = relations.iter().filter_map(|relation| match &relation.kind {
        RelationKind::Files { path, .. } => Some((relation, path)),
        _ => None,
    });
    let observed = stream::iter(directories).map(|(relation, path)| async move {
        let named = async {
            let names = storage.stores().location(&parse_uri(path, root)?)?.names().await?;
            let names = names.iter().map(String::as_str).filter(|name| !name.starts_with(['_', '.']));
            Ok::<_, Failure>(Arc::new(Schema::new(vec![Field::new("sequence", snapshot_type(names), true)])))
        };
        (relation.source_id(), named.await.map_err(|failure| diagnostic(failure, relation)))
    });
    observed.buffer_unordered(CONCURRENT_READS).collect().await
}

async fn external_table(storage: &Storage, root: &Path, relation: &Relation) -> Result<ObservedTable, Failure> {
    let RelationKind::Delta { location, version, .. } = &relation.kind else {
        return Err(Failure::internal(format!("{} has no schema to look up", relation.source_id())));
    };
    let location = storage.stores().location(&parse_uri(location, root)?)?;
    let table = DeltaSource::new(relation.source_id(), location.clone()).observe(*version).await?;
    let missing = || Failure::user("DELTA_TABLE_NOT_FOUND", format!("there is no Delta table at {location}")).help("check the location");
    table.ok_or_else(missing)
}

fn diagnostic(failure: Failure, relation: &Relation) -> Diagnostic {
    let found = Diagnostic::error(failure.error, failure.message);
    let found = if let Some(help) = failure.help { found.help(help) } else { found };
    match &relation.origin {
        Some(origin) => found.at(origin),
        None => found,
    }
}

/// What storage holds for the graph. Reads the catalog and newest version numbers; opens only tables that the catalog does not know.
pub async fn stored_state(
    (storage, project): (&Storage, &Path),
    graph: &ResolvedGraph,
    catalog: Option<&Catalog>,
) -> Result<StoredState, Failure> {
    let mut state = StoredState { pipeline_id: catalog.map(|catalog| catalog.pipeline_id.clone()), ..StoredState::default() };
    let written = graph.datasets.values().filter(|dataset| is_written(dataset));
    let looks = stream::iter(written).map(|dataset| stored_table((storage, project), dataset, catalog));
    let tables: Vec<_> = looks.buffer_unordered(CONCURRENT_READS).try_collect().await?;
    state.tables = tables.into_iter().flatten().collect();
    state.inactive = inactive(graph, catalog);
    state.journals = journals(graph, catalog);
    let entries = catalog.into_iter().flat_map(|catalog| &catalog.datasets);
    state.quarantines =
        entries.clone().filter(|(_, entry)| entry.kind == StoredKind::Quarantine).filter_map(|(key, _)| parse_key(key)).collect();
    state.writers = entries.map(|(key, entry)| (key.clone(), entry.flows.clone())).collect();
    let batch_flows = graph.flows.iter().filter(|flow| flow.kind == ResolvedKind::Complete || flow.kind.is_once());
    let tables = &state.tables;
    let looks = stream::iter(batch_flows).map(|flow| async move {
        if flow.kind.is_once() {
            let checkpoint = Checkpoint::open(storage, &flow.name).await?;
            let written = tables.get(&flow.target).map(|table| table.table_id.as_str());
            let here = checkpoint.target().is_none_or(|target| Some(target) == written);
            let done = here && checkpoint.pending().is_none() && checkpoint.next_batch() > 0;
            return Ok::<_, Failure>((flow.name.clone(), None, done));
        }
        let fingerprint = view::last(storage, &flow.name).await?.map(|position| position.fingerprint);
        Ok((flow.name.clone(), fingerprint, false))
    });
    let flows: Vec<_> = looks.buffer_unordered(CONCURRENT_READS).try_collect().await?;
    for (flow, fingerprint, done) in flows {
        if done {
            state.completed_once.push(flow.clone());
        }
        if let Some(fingerprint) = fingerprint {
            state.fingerprints.insert(flow, fingerprint);
        }
    }
    state.completed_once.sort();
    state.operators = operators(storage, graph, catalog, &state).await?;
    Ok(state)
}

/// What the checkpoints of flows that have state, or had it, were made for.
async fn operators(
    storage: &Storage,
    graph: &ResolvedGraph,
    catalog: Option<&Catalog>,
    state: &StoredState,
) -> Result<BTreeMap<String, Vec<StatefulOperator>>, Failure> {
    let had = |flow: &ResolvedFlow| {
        let entry = catalog.and_then(|catalog| catalog.datasets.get(&flow.target.key()));
        entry.is_some_and(|entry| entry.stateful.iter().any(|known| known.eq_ignore_ascii_case(&flow.name)))
    };
    let flows = graph.flows.iter().filter(|flow| flow.kind != ResolvedKind::Complete && !flow.kind.is_once());
    let flows = flows.filter(|flow| had(flow) || !state_of(&flow.plan).operators.is_empty());
    let looks = stream::iter(flows).map(|flow| async move {
        let mut checkpoint = Checkpoint::open(storage, &flow.name).await?;
        let written = state.tables.get(&flow.target).map(|table| table.table_id.as_str());
        // A flow that writes another table now begins anew.
        let begins = checkpoint.last_batch().is_none() || checkpoint.target().is_some_and(|target| Some(target) != written);
        if begins {
            return Ok(None);
        }
        let known = checkpoint.state().await?;
        let known = known.iter().flat_map(|state| &state.operators).map(|known| known.operator.clone()).collect();
        Ok::<_, Failure>(Some((flow.name.to_lowercase(), known)))
    });
    let found: Vec<_> = looks.buffer_unordered(CONCURRENT_READS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// True for datasets that have a table of this pipeline.
pub fn is_stored(dataset: &ResolvedDataset) -> bool {
    matches!(dataset.definition.kind, DatasetKind::StreamingTable | DatasetKind::MaterializedView)
}

/// True for what flows write: stored datasets and sinks.
pub fn is_written(dataset: &ResolvedDataset) -> bool {
    is_stored(dataset) || dataset.sink_location().is_some()
}

/// Where the table of a stored dataset or a sink stands.
pub fn location((storage, project): (&Storage, &Path), dataset: &ResolvedDataset) -> Result<Location, Failure> {
    match dataset.sink_location() {
        Some(path) if !path.contains("://") && !["file", "memory"].contains(&storage.root().url().scheme()) => {
            let message = format!(
                "sink {} has the relative path {path}, and the storage of the pipeline is not on this machine",
                dataset.definition.name.name
            );
            Err(Failure::user("INVALID_SINK_OPTION", message)
                .about(dataset.definition.name.to_string())
                .help("give the path as a URI: s3://, gs://, abfss:// or file:///"))
        }
        Some(path) => storage.stores().location_of(path, project),
        None => Ok(storage.at(&layout::table_path(&dataset.definition.name, dataset.definition.private))),
    }
}

async fn stored_table(
    place: (&Storage, &Path),
    dataset: &ResolvedDataset,
    catalog: Option<&Catalog>,
) -> Result<Option<(DatasetName, StoredTable)>, Failure> {
    let name = &dataset.definition.name;
    // A sink has no entry: one of its name is that of a former dataset, which stands elsewhere.
    let entry = catalog.filter(|_| is_stored(dataset)).and_then(|catalog| catalog.datasets.get(&name.key()));
    let location = location(place, dataset)?;
    let known = entry.map(|entry| entry.table.clone());
    let Some(table) = TargetTable::open(&location, known).await? else { return Ok(None) };
    if !is_stored(dataset) {
        table
            .takes_rows_of_sinks()
            .map_err(|failure| Failure { origin: Some(dataset.definition.origin.clone()), ..failure.about(name.to_string()) })?;
    }
    let stored = StoredTable {
        kind: entry.and_then(kind),
        pipeline_id: table.properties().get(PIPELINE_ID).cloned(),
        table_id: table.id().to_string(),
        version: table.version(),
        schema: table.schema().clone(),
        partition_by: table.partition_columns().to_vec(),
        comment: table.comment().map(str::to_string),
        properties: table.properties().clone(),
    };
    Ok(Some((name.clone(), stored)))
}

fn kind(entry: &CatalogEntry) -> Option<DatasetKind> {
    match entry.kind {
        StoredKind::StreamingTable => Some(DatasetKind::StreamingTable),
        StoredKind::MaterializedView => Some(DatasetKind::MaterializedView),
        StoredKind::Quarantine | StoredKind::Journal => None,
    }
}

/// What the journals of the targets that are set up were made for.
fn journals(graph: &ResolvedGraph, catalog: Option<&Catalog>) -> BTreeMap<DatasetName, Option<BTreeMap<String, String>>> {
    let Some(catalog) = catalog else { return BTreeMap::new() };
    let targets = graph.datasets.values().filter(|dataset| dataset.auto_cdc.is_some()).map(|dataset| &dataset.definition.name);
    let set_up = targets.filter(|name| catalog.datasets.contains_key(&name.key()));
    let properties = |name: &DatasetName| {
        let journal = catalog.datasets.get(&layout::journal_name(name).key())?;
        Some(journal.table.metadata.configuration.clone())
    };
    set_up.map(|name| (name.clone(), properties(name))).collect()
}

fn inactive(graph: &ResolvedGraph, catalog: Option<&Catalog>) -> Vec<DatasetName> {
    let declared: BTreeSet<String> =
        graph.datasets.values().filter(|dataset| is_stored(dataset)).map(|dataset| dataset.definition.name.key()).collect();
    let entries = catalog.into_iter().flat_map(|catalog| &catalog.datasets);
    let left = entries.filter(|(key, entry)| entry.part_of.is_none() && !declared.contains(*key));
    left.filter_map(|(key, _)| parse_key(key)).collect()
}

/// `catalog.schema.name` of the catalog's keys.
pub fn parse_key(key: &str) -> Option<DatasetName> {
    let mut parts = key.splitn(3, '.').map(str::to_string);
    Some(DatasetName { catalog: parts.next()?, schema: parts.next()?, name: parts.next()? })
}

/// What the catalog knows of a table.
pub fn known<'a>(catalog: &'a Catalog, name: &DatasetName) -> Option<&'a KnownTable> {
    catalog.datasets.get(&name.key()).map(|entry| &entry.table)
}
