//! Facts from storage that planning needs, gathered cheaply: schemas of foreign tables, the catalog, newest versions.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use datafusion::arrow::datatypes::SchemaRef;
use floe_graph::{
    definition::{DatasetKind, FlowKind},
    graph::ResolvedGraph,
    name::DatasetName,
    origin::Diagnostic,
    plan::{StoredState, StoredTable},
    relation::{Relation, RelationKind},
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    commit::{TargetTable, properties},
    failure::Failure,
    source::DeltaSource,
    state::{
        Checkpoint,
        catalog::{Catalog, StoredKind},
        view,
    },
    storage::{Storage, layout, parse_uri},
};

/// So many tables or checkpoints are looked at once.
pub(crate) const CONCURRENT_LOOKS: usize = 16;

/// The schema of every relation that resolution needs, by source id. What cannot be read is an error where it is used. Relative
/// locations begin at `project`.
pub async fn source_schemas(storage: &Storage, project: &Path, relations: &[Relation]) -> BTreeMap<String, Result<SchemaRef, Diagnostic>> {
    let look = |relation: &Relation| {
        let relation = relation.clone();
        async move { (relation.source_id(), source_schema(storage, project, &relation).await) }
    };
    let looks: Vec<_> = relations.iter().map(look).collect();
    stream::iter(looks).buffer_unordered(CONCURRENT_LOOKS).collect().await
}

async fn source_schema(storage: &Storage, project: &Path, relation: &Relation) -> Result<SchemaRef, Diagnostic> {
    let RelationKind::Delta { location, version, .. } = &relation.kind else {
        return Err(Diagnostic::error("INTERNAL_ERROR", format!("{} is not a table by location", relation.source_id())));
    };
    let found = async {
        let location = storage.stores().location(&parse_uri(location, project)?)?;
        Box::pin(DeltaSource::new(relation.source_id(), location).observe(*version)).await
    };
    match found.await {
        Ok(Some(table)) => Ok(table.schema),
        Ok(None) => Err(Diagnostic::error("DELTA_TABLE_NOT_FOUND", format!("there is no Delta table at {location}"))
            .help("correct the location, or create the table first")),
        Err(failure) => {
            let error = Diagnostic::error(failure.error.clone(), failure.message.clone());
            Err(match failure.help {
                Some(help) => error.help(help),
                None => error,
            })
        }
    }
}

/// What storage holds for the graph, and the tables that were opened to see it.
#[derive(Debug, Default)]
pub struct Stored {
    /// For planning.
    pub state: StoredState,
    /// The tables of the pipeline that exist, quarantine tables included.
    pub tables: BTreeMap<DatasetName, TargetTable>,
}

/// What storage holds for the graph. Reads newest version numbers and position files; replays the log only of tables that the catalog
/// does not know.
pub async fn stored_state(storage: &Storage, graph: &ResolvedGraph, catalog: Option<&Catalog>) -> Result<Stored, Failure> {
    let tables = existing_tables(storage, graph, catalog).await?;
    let mut state = StoredState { pipeline_id: catalog.map(|catalog| catalog.pipeline_id.clone()), ..StoredState::default() };
    for (name, table) in &tables {
        let entry = catalog.and_then(|catalog| catalog.datasets.get(&name.key()));
        state.tables.insert(name.clone(), stored_table(table, entry.map(|entry| entry.kind)));
    }
    state.inactive = inactive(graph, catalog);
    // Nothing was ever refreshed on a storage without a catalog.
    if catalog.is_some() {
        state.fingerprints = fingerprints(storage, graph).await?;
        state.completed_once = completed_once(storage, graph).await?;
    }
    Ok(Stored { state, tables })
}

/// Tables that the graph stores: name and whether they are private.
pub(crate) fn table_names(graph: &ResolvedGraph) -> impl Iterator<Item = (&DatasetName, bool)> {
    let stored = |kind| matches!(kind, DatasetKind::StreamingTable | DatasetKind::MaterializedView);
    graph.datasets.iter().filter(move |(_, dataset)| stored(dataset.definition.kind)).flat_map(|(name, dataset)| {
        let private = dataset.definition.private;
        std::iter::once((name, private)).chain(dataset.quarantine.as_ref().map(|quarantine| (quarantine, private)))
    })
}

async fn existing_tables(
    storage: &Storage,
    graph: &ResolvedGraph,
    catalog: Option<&Catalog>,
) -> Result<BTreeMap<DatasetName, TargetTable>, Failure> {
    let look = |(name, private): (&DatasetName, bool)| {
        let location = storage.at(&layout::table_path(name, private));
        let known = catalog.and_then(|catalog| catalog.datasets.get(&name.key())).map(|entry| entry.table.clone());
        let name = name.clone();
        async move {
            let table = TargetTable::open(&location, known).await.map_err(|failure| failure.about(name.to_string()))?;
            Ok::<_, Failure>(table.map(|table| (name, table)))
        }
    };
    let looks: Vec<_> = table_names(graph).map(look).collect();
    let found: Vec<Option<(DatasetName, TargetTable)>> = stream::iter(looks).buffer_unordered(CONCURRENT_LOOKS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

fn stored_table(table: &TargetTable, kind: Option<StoredKind>) -> StoredTable {
    StoredTable {
        kind: kind.and_then(|kind| match kind {
            StoredKind::StreamingTable => Some(DatasetKind::StreamingTable),
            StoredKind::MaterializedView => Some(DatasetKind::MaterializedView),
            StoredKind::Quarantine => None,
        }),
        pipeline_id: table.properties().get(properties::PIPELINE_ID).cloned(),
        table_id: table.id().to_string(),
        version: table.version(),
        schema: SchemaRef::clone(table.schema()),
        partition_by: table.partition_columns().to_vec(),
        properties: table.properties().clone(),
    }
}

/// Tables of the catalog that no file declares any more.
fn inactive(graph: &ResolvedGraph, catalog: Option<&Catalog>) -> Vec<DatasetName> {
    let declared: BTreeSet<String> = table_names(graph).map(|(name, _)| name.key()).collect();
    let keys = catalog.into_iter().flat_map(|catalog| catalog.datasets.keys());
    keys.filter(|key| !declared.contains(*key)).filter_map(|key| name_of_key(key)).collect()
}

/// The name that a key of the catalog stands for.
pub(crate) fn name_of_key(key: &str) -> Option<DatasetName> {
    let mut parts = key.splitn(3, '.').map(str::to_string);
    Some(DatasetName { catalog: parts.next()?, schema: parts.next()?, name: parts.next()? })
}

async fn fingerprints(storage: &Storage, graph: &ResolvedGraph) -> Result<BTreeMap<String, String>, Failure> {
    let views = graph.flows.iter().filter(|flow| flow.kind == FlowKind::Complete).map(|flow| flow.name.clone());
    let look = |flow: String| async move {
        let position = view::read(storage, &flow).await?;
        Ok::<_, Failure>(position.map(|position| (flow.to_lowercase(), position.fingerprint)))
    };
    let looks: Vec<_> = views.map(look).collect();
    let found: Vec<Option<(String, String)>> = stream::iter(looks).buffer_unordered(CONCURRENT_LOOKS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn completed_once(storage: &Storage, graph: &ResolvedGraph) -> Result<Vec<String>, Failure> {
    let mut completed = Vec::new();
    for flow in graph.flows.iter().filter(|flow| flow.kind == FlowKind::Once) {
        let checkpoint = Checkpoint::open(storage, &flow.name).await?;
        if checkpoint.pending().is_none() && checkpoint.next_batch() > 0 {
            completed.push(flow.name.clone());
        }
    }
    Ok(completed)
}
