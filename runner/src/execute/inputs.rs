//! The inputs of one execution: which versions and files it reads, and the providers of exactly these.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{catalog::TableProvider, common::tree_node::TreeNodeRecursion, datasource::empty::EmptyTable, logical_expr::LogicalPlan};
use floe_graph::{
    analysis::stream_leaves,
    graph::ResolvedFlow,
    relation::{Relation, RelationKind, RelationSource},
    source_options::delta_stream_options,
};

use super::{
    Execution,
    complete::changes_rows,
    progress::{FlowMetrics, Moving},
    refresh::InputNow,
};
use crate::{
    commit::table,
    failure::Failure,
    functions::BatchClock,
    session::{self, Binding},
    source::{DeltaSource, FileSource, ReadCounters, files::listing_fingerprint},
    state::{BatchOffsets, FileEntry, SourceRange, StaticVersion},
    storage::{Location, layout},
};

/// What the sources of one execution count while they read.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// The inputs whose rows are the rows of the flow: streams, or all inputs of a batch query.
    main: Vec<Arc<ReadCounters>>,
}

impl Counters {
    fn start(&mut self) -> Arc<ReadCounters> {
        let counters = Arc::new(ReadCounters::default());
        self.main.push(Arc::clone(&counters));
        counters
    }

    /// The numbers so far.
    pub fn metrics(&self) -> FlowMetrics {
        let totals: Vec<_> = self.main.iter().map(|counters| counters.totals()).collect();
        FlowMetrics {
            num_input_rows: totals.iter().map(|t| t.rows).sum(),
            num_input_files: totals.iter().map(|t| t.files).sum(),
            num_corrupt_records: totals.iter().map(|t| t.corrupt_records).sum(),
            num_corrupt_files: totals.iter().map(|t| t.corrupt_files.len() as u64).sum(),
            ..FlowMetrics::default()
        }
    }

    /// How far the sources have been read.
    pub fn moving(&self) -> Moving {
        let totals: Vec<_> = self.main.iter().map(|counters| counters.totals()).collect();
        Moving { rows: 0, read: totals.iter().map(|t| t.passed).sum(), files: totals.iter().map(|t| t.files).sum() }
    }

    /// Files that were skipped because they could not be read.
    pub fn corrupt_files(&self) -> Vec<String> {
        self.main.iter().flat_map(|counters| counters.totals().corrupt_files).collect()
    }
}

/// The static inputs of a query, pinned.
#[derive(Clone, Debug, Default)]
pub struct PinnedInputs {
    /// Per table key the newest version.
    pub tables: BTreeMap<String, InputNow>,
    /// Per source id all files of the listing.
    pub files: BTreeMap<String, Vec<FileEntry>>,
}

impl PinnedInputs {
    /// Per source id the hash of its listing.
    pub fn listings(&self) -> BTreeMap<String, String> {
        self.files.iter().map(|(id, files)| (id.clone(), listing_fingerprint(files))).collect()
    }

    /// What an earlier execution of the same batch was pinned to.
    pub fn recorded(offsets: &BatchOffsets) -> Self {
        let tables = offsets.statics.iter().map(|(key, version)| (key.clone(), InputNow { version: version.clone(), changed: true }));
        Self { tables: tables.collect(), files: offsets.static_files.clone() }
    }

    /// The pinned versions as they are recorded with the offsets.
    pub fn versions(&self) -> BTreeMap<String, StaticVersion> {
        self.tables.iter().map(|(key, now)| (key.clone(), now.version.clone())).collect()
    }
}

/// The newest versions of all static inputs of `flow`. `known` are the versions of the last look: a table that has not moved since costs
/// two small requests.
pub async fn pin(execution: &Execution, flow: &ResolvedFlow, known: &BTreeMap<String, StaticVersion>) -> Result<PinnedInputs, Failure> {
    let mut pinned = PinnedInputs::default();
    for relation in flow.inputs.iter().filter(|relation| !relation.streaming) {
        if let RelationKind::Files { .. } = &relation.kind {
            let source = file_source(execution, relation)?;
            let files = source.list(chrono::Utc::now().timestamp_micros(), &|_| {}).await?;
            pinned.files.insert(source.id().to_string(), files);
        } else {
            let id = relation.source_id();
            let now = pin_table(execution, relation, known.get(&id)).await?;
            pinned.tables.insert(id, now);
        }
    }
    Ok(pinned)
}

async fn pin_table(execution: &Execution, relation: &Relation, known: Option<&StaticVersion>) -> Result<InputNow, Failure> {
    if let RelationKind::Delta { version: Some(version), .. } = &relation.kind {
        return Ok(InputNow { version: StaticVersion { table_id: relation.source_id(), version: *version }, changed: known.is_none() });
    }
    let location = location(execution, relation)?;
    let newest = table::newest_version(&location, known.map(|k| k.version)).await?.ok_or_else(|| no_table(relation, &location))?;
    if let Some(known) = known
        && newest >= known.version
    {
        let changed = match table::commits(&location, known.version, newest).await? {
            Some(commits) => commits.iter().any(|commit| changes_rows(&commit.actions)),
            None => true,
        };
        return Ok(InputNow { version: StaticVersion { version: newest, ..known.clone() }, changed });
    }
    let table_id = table_id(execution, relation, &location).await?;
    Ok(InputNow { version: StaticVersion { table_id, version: newest }, changed: true })
}

/// The Delta table id of an input: from the tables of this update, or from the log.
pub async fn table_id(execution: &Execution, relation: &Relation, location: &Location) -> Result<String, Failure> {
    if let RelationKind::Dataset { name } = &relation.kind
        && let Some(table) = execution.tables.get(name)
    {
        return Ok(table.id().to_string());
    }
    let found = table::look(location, None).await?.ok_or_else(|| no_table(relation, location))?;
    Ok(found.metadata.id)
}

/// The failure for an input that is not there.
pub fn no_table(relation: &Relation, location: &Location) -> Failure {
    Failure::user("DELTA_TABLE_NOT_FOUND", format!("there is no Delta table for {} at {location}", relation.source_id()))
        .help("check the location; a dataset of this pipeline is made by an update that selects it")
}

/// Where the table of a relation stands.
pub fn location(execution: &Execution, relation: &Relation) -> Result<Location, Failure> {
    match &relation.kind {
        RelationKind::Dataset { name } => {
            let private = execution.graph.datasets.values().any(|dataset| {
                dataset.definition.private && (dataset.definition.name == *name || dataset.quarantine.as_ref() == Some(name))
            });
            Ok(execution.storage.at(&layout::table_path(name, private)))
        }
        RelationKind::Delta { location, .. } => {
            execution.storage.stores().location(&crate::storage::parse_uri(location, &execution.project)?)
        }
        RelationKind::EventLog => Ok(execution.storage.at(layout::EVENT_LOG)),
        RelationKind::Files { path, .. } => Err(Failure::internal(format!("{path} is not a table"))),
    }
}

/// The source of a file relation.
pub fn file_source(execution: &Execution, relation: &Relation) -> Result<FileSource, Failure> {
    Ok(FileSource::new(relation, &execution.project, execution.storage.stores())?.with_time_zone(execution.time_zone.clone()))
}

/// The source of a Delta relation.
pub fn delta_source(execution: &Execution, relation: &Relation) -> Result<DeltaSource, Failure> {
    let source = DeltaSource::new(relation.source_id(), location(execution, relation)?);
    Ok(if matches!(relation.kind, RelationKind::Dataset { .. }) { source.managed() } else { source })
}

/// What a checkpoint knows a stream by: the canonical URI of files, the full name or location of a table.
pub fn stream_id(execution: &Execution, relation: &Relation) -> Result<String, Failure> {
    match &relation.kind {
        RelationKind::Files { .. } => Ok(format!("files:{}", file_source(execution, relation)?.id())),
        _ => Ok(format!("delta:{}", relation.source_id())),
    }
}

/// Providers for a query over pinned inputs only.
pub async fn static_binding(
    execution: &Execution,
    flow: &ResolvedFlow,
    pinned: &PinnedInputs,
    clock: BatchClock,
) -> Result<(Binding, Counters), Failure> {
    let mut counters = Counters::default();
    let mut providers = Vec::new();
    for leaf in leaves(flow) {
        let provider = static_provider(execution, &leaf, pinned, &counters.start()).await?;
        providers.push((leaf, provider));
    }
    Ok((Binding { providers, clock }, counters))
}

/// Providers for one micro-batch: the recorded ranges of the streams, the recorded versions of everything else.
pub async fn batch_binding(execution: &Execution, flow: &ResolvedFlow, offsets: &BatchOffsets) -> Result<(Binding, Counters), Failure> {
    let pinned = PinnedInputs::recorded(offsets);
    let mut counters = Counters::default();
    let mut providers = Vec::new();
    let streams = stream_leaves(&flow.plan);
    for leaf in leaves(flow) {
        let provider = if leaf.relation.streaming {
            let range = offsets.sources.get(&stream_id(execution, &leaf.relation)?);
            stream_provider(execution, &leaf, range, &counters.start()).await?
        } else if streams.is_empty() {
            static_provider(execution, &leaf, &pinned, &counters.start()).await?
        } else {
            static_provider(execution, &leaf, &pinned, &Arc::new(ReadCounters::default())).await?
        };
        providers.push((leaf, provider));
    }
    let clock = BatchClock { timestamp_us: offsets.timestamp_us };
    Ok((Binding { providers, clock }, counters))
}

async fn static_provider(
    execution: &Execution,
    leaf: &RelationSource,
    pinned: &PinnedInputs,
    counters: &Arc<ReadCounters>,
) -> Result<Arc<dyn TableProvider>, Failure> {
    let (relation, schema) = (leaf.relation.as_ref(), Arc::clone(&leaf.schema));
    if let RelationKind::Files { .. } = &relation.kind {
        let source = file_source(execution, relation)?;
        let files = pinned.files.get(source.id()).cloned().unwrap_or_default();
        return source.provider(files, schema, counters);
    }
    let id = relation.source_id();
    let now = pinned.tables.get(&id).ok_or_else(|| Failure::internal(format!("no version of {id} was pinned")))?;
    delta_source(execution, relation)?.at_version(now.version.version, schema, counters).await
}

async fn stream_provider(
    execution: &Execution,
    leaf: &RelationSource,
    range: Option<&SourceRange>,
    counters: &Arc<ReadCounters>,
) -> Result<Arc<dyn TableProvider>, Failure> {
    let (relation, schema) = (leaf.relation.as_ref(), Arc::clone(&leaf.schema));
    match range {
        Some(SourceRange::Files { files, .. }) => file_source(execution, relation)?.provider(files.clone(), schema, counters),
        Some(SourceRange::Delta { from, to, .. }) => {
            let options = delta_stream_options(relation).map_err(crate::source::invalid_options)?;
            delta_source(execution, relation)?.appended(&options, (*from, *to), schema, counters).await
        }
        // A stream that has nothing in this micro-batch (another one has), or a source that was added after the batch was planned.
        Some(SourceRange::Once) | None => Ok(Arc::new(EmptyTable::new(schema))),
    }
}

/// The leaves of a flow's plan, each once. One relation stands there twice if one use needs `_metadata` and another does not.
fn leaves(flow: &ResolvedFlow) -> Vec<RelationSource> {
    let mut found: Vec<RelationSource> = Vec::new();
    let visited = flow.plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let source: &dyn std::any::Any = scan.source.as_ref();
            if let Some(leaf) = source.downcast_ref::<RelationSource>()
                && !found.iter().any(|known| session::same_leaf(known, leaf))
            {
                found.push(leaf.clone());
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    found
}
