//! The inputs of one execution: which versions and files it reads, and the providers of exactly these.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use datafusion::{catalog::TableProvider, datasource::empty::EmptyTable};
use floe_graph::{
    analysis::stream_leaves,
    graph::ResolvedFlow,
    relation::{Relation, RelationKind, RelationSource},
    source_options::delta_stream_options,
};

use super::{
    Execution,
    progress::{FlowMetrics, Moving},
    refresh::InputNow,
};
use crate::{
    commit::{action::changes_rows, table},
    failure::Failure,
    functions::BatchClock,
    session::{self, Binding},
    source::{DeltaSource, FileSource, ReadCounters, files::listing_fingerprint},
    state::{BatchOffsets, FileEntry, SourceId, SourceRange, StaticVersion},
    storage::{Location, layout},
};

/// The lint of files that look like another format than they were read as.
pub const LOOK_ALIKE: &str = "W012";

/// What the sources of one execution count while they read.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// The inputs whose rows are the rows of the flow: streams, or all inputs of a batch query.
    main: Vec<Arc<ReadCounters>>,
    /// Reads that list what they leave out, with the place of the lists.
    listed: Vec<(String, Arc<ReadCounters>)>,
}

impl Counters {
    fn start(&mut self) -> Arc<ReadCounters> {
        let counters = Arc::new(ReadCounters::default());
        self.main.push(Arc::clone(&counters));
        counters
    }

    /// The lines of what the reads of `relation` leave out go to its `badRecordsPath`, if it has one.
    fn list_bad(&mut self, relation: &Relation, counters: &Arc<ReadCounters>) {
        if let (RelationKind::Files { .. }, Some(path)) = (&relation.kind, relation.options.get("badrecordspath")) {
            self.listed.push((path.clone(), Arc::clone(counters)));
        }
    }

    /// Writes the lists of what was left out, for the update and the flow with its micro-batch, over those of an earlier attempt.
    pub async fn write_bad_records(&self, execution: &Execution, flow: &str, batch: Option<i64>) -> Result<(), Failure> {
        let mut places: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for (path, counters) in &self.listed {
            places.entry(path).or_default().extend(counters.bad_records());
        }
        let batch = batch.map(|batch| format!("-{batch}")).unwrap_or_default();
        let name = format!("{}/{}{batch}.json", execution.update_id, layout::segment(flow));
        for (path, lines) in places.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            execution.storage.stores().location_of(path, &execution.project)?.put(&name, lines).await?;
        }
        Ok(())
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

    /// W012, in words: files that look like another format than they were read as.
    pub fn look_alikes(&self) -> Option<String> {
        let mut found: Vec<_> = self.main.iter().flat_map(|counters| counters.totals().look_alikes).collect();
        found.sort();
        let (file, looks_like) = found.first()?;
        let more = if found.len() > 1 { format!(" (and {} more)", found.len() - 1) } else { String::new() };
        Some(format!(
            "{file}{more} looks like {looks_like} and was read as another format: correct format => if all files are like this one, else leave \
             such files out (pathGlobFilter)"
        ))
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
    /// All files of each listing.
    pub files: BTreeMap<SourceId, Vec<FileEntry>>,
}

impl PinnedInputs {
    /// The hash of each listing.
    pub fn listings(&self) -> BTreeMap<SourceId, String> {
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
    pin_missing(execution, flow, known, &mut pinned).await?;
    Ok(pinned)
}

/// Adds what `pinned` does not have.
async fn pin_missing(
    execution: &Execution,
    flow: &ResolvedFlow,
    known: &BTreeMap<String, StaticVersion>,
    pinned: &mut PinnedInputs,
) -> Result<(), Failure> {
    for relation in flow.inputs.iter().filter(|relation| !relation.streaming) {
        if let RelationKind::Files { .. } = &relation.kind {
            let id = execution.places().listing_id(relation)?;
            if let Entry::Vacant(missing) = pinned.files.entry(id) {
                missing.insert(execution.places().files(relation)?.list(chrono::Utc::now().timestamp_micros(), &|_| {}).await?);
            }
        } else {
            let id = relation.source_id();
            if let Entry::Vacant(missing) = pinned.tables.entry(id) {
                let known = known.get(missing.key());
                missing.insert(pin_table(execution, relation, known).await?);
            }
        }
    }
    Ok(())
}

/// The newest version of a table, and whether its rows have changed since `known`.
pub(super) async fn pin_table(execution: &Execution, relation: &Relation, known: Option<&StaticVersion>) -> Result<InputNow, Failure> {
    if let RelationKind::Delta { version: Some(version), .. } = &relation.kind {
        let table_id = table_id(execution, relation, &execution.places().location(relation)?).await?;
        let changed = known.is_none_or(|known| known.table_id != table_id);
        return Ok(InputNow { version: StaticVersion { table_id, version: *version }, changed });
    }
    let location = execution.places().location(relation)?;
    // A table that was made again may have the same versions with other rows.
    let table_id = match (&relation.kind, known) {
        (RelationKind::EventLog, Some(known)) => known.table_id.clone(),
        _ => table_id(execution, relation, &location).await?,
    };
    let known = known.filter(|known| known.table_id == table_id);
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
    Ok(InputNow { version: StaticVersion { table_id, version: newest }, changed: true })
}

/// The Delta table id of an input, as this update has found it when it began.
fn known_id<'a>(execution: &'a Execution, relation: &Relation) -> Option<&'a str> {
    match &relation.kind {
        RelationKind::Dataset { name } => execution.tables.get(name).map(|table| table.id()),
        _ => execution.external_ids.get(&relation.source_id()).map(String::as_str),
    }
}

/// The same, or what the log says.
async fn table_id(execution: &Execution, relation: &Relation, location: &Location) -> Result<String, Failure> {
    if let Some(id) = known_id(execution, relation) {
        return Ok(id.to_owned());
    }
    let found = table::look(location, None).await?.ok_or_else(|| no_table(relation, location))?;
    Ok(found.metadata.id)
}

/// The failure for an input that is not there.
pub fn no_table(relation: &Relation, location: &Location) -> Failure {
    Failure::user("DELTA_TABLE_NOT_FOUND", format!("there is no Delta table for {} at {location}", relation.source_id()))
        .help("check the location; a dataset of this pipeline is made by an update that selects it")
}

/// The source of a Delta relation, with the id that this update found.
pub fn delta_source(execution: &Execution, relation: &Relation) -> Result<DeltaSource, Failure> {
    let source = execution.places().delta(relation)?;
    Ok(match known_id(execution, relation) {
        Some(id) => source.identified(id),
        None => source,
    })
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
    for leaf in session::leaves(&flow.plan) {
        let read = counters.start();
        counters.list_bad(&leaf.relation, &read);
        let provider = static_provider(execution, &leaf, pinned, &read).await?;
        providers.push((leaf, provider));
    }
    Ok((Binding { providers, clock }, counters))
}

/// What a stream over files does with fields that could become columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewFields {
    /// It stops.
    Stop,
    /// It rescues them: it is known that no column takes them.
    AreRescued,
}

impl NewFields {
    fn source(self, execution: &Execution, relation: &Relation) -> Result<FileSource, Failure> {
        let source = execution.places().files(relation)?;
        let is_known = self == Self::AreRescued && source.options().schema.evolution.adds_columns();
        Ok(if is_known { source.as_it_is_known() } else { source })
    }
}

/// Providers for one micro-batch: the recorded ranges of the streams, the recorded versions of everything else.
pub async fn batch_binding(
    execution: &Execution,
    flow: &ResolvedFlow,
    offsets: &BatchOffsets,
    new_fields: NewFields,
) -> Result<(Binding, Counters), Failure> {
    if flow.kind.is_snapshot() {
        return snapshot_binding(execution, flow, offsets, new_fields).await;
    }
    let mut pinned = PinnedInputs::recorded(offsets);
    // An input that the query got after the batch was planned.
    pin_missing(execution, flow, &BTreeMap::new(), &mut pinned).await?;
    let mut counters = Counters::default();
    let mut providers = Vec::new();
    let streams = stream_leaves(&flow.plan);
    let renamed = renamed_ranges(execution, &streams, offsets)?;
    for leaf in session::leaves(&flow.plan) {
        let provider = if leaf.relation.streaming {
            let id = execution.places().stream_id(&leaf.relation)?;
            let range = renamed.get(&id).copied().or_else(|| offsets.sources.get(&id));
            let read = counters.start();
            counters.list_bad(&leaf.relation, &read);
            stream_provider((execution, new_fields), &leaf, range, &read).await?
        } else {
            let read = if streams.is_empty() { counters.start() } else { Arc::default() };
            counters.list_bad(&leaf.relation, &read);
            static_provider(execution, &leaf, &pinned, &read).await?
        };
        providers.push((leaf, provider));
    }
    let clock = BatchClock { timestamp_us: offsets.timestamp_us };
    Ok((Binding { providers, clock }, counters))
}

/// The provider of one snapshot, as it was recorded.
async fn snapshot_binding(
    execution: &Execution,
    flow: &ResolvedFlow,
    offsets: &BatchOffsets,
    new_fields: NewFields,
) -> Result<(Binding, Counters), Failure> {
    let places = execution.places();
    let mut counters = Counters::default();
    let mut providers = Vec::new();
    for leaf in session::leaves(&flow.plan) {
        let (relation, schema) = (leaf.relation.as_ref(), Arc::clone(&leaf.schema));
        let provider = match offsets.sources.get(&places.stream_id(relation)?) {
            Some(SourceRange::DatedFiles { files, .. }) => {
                new_fields.source(execution, relation)?.provider(files.clone(), schema, &counters.start())?
            }
            Some(SourceRange::DatedVersion { version, .. }) => {
                places.delta(relation)?.at_version(*version, schema, &counters.start()).await?
            }
            _ => {
                let planned = offsets.sources.keys().next();
                return Err(planned.map_or_else(|| Failure::internal("a snapshot of nothing"), |id| pending_source_removed(offsets, id)));
            }
        };
        providers.push((leaf, provider));
    }
    let clock = BatchClock { timestamp_us: offsets.timestamp_us };
    Ok((Binding { providers, clock }, counters))
}

/// Ranges of a batch that was planned when the query called their place by another name, by the stream that reads them now.
fn renamed_ranges<'a>(
    execution: &Execution,
    streams: &[Arc<Relation>],
    offsets: &'a BatchOffsets,
) -> Result<BTreeMap<SourceId, &'a SourceRange>, Failure> {
    let places = execution.places();
    let ids = streams.iter().map(|relation| places.stream_id(relation)).collect::<Result<Vec<_>, _>>()?;
    let mut renamed = BTreeMap::new();
    let has_rows = |range: &SourceRange| match range {
        SourceRange::Files { files, .. } => !files.is_empty(),
        SourceRange::Delta { .. } | SourceRange::Snapshot { .. } | SourceRange::DatedFiles { .. } | SourceRange::DatedVersion { .. } => {
            true
        }
        SourceRange::Once => false,
    };
    for (id, range) in offsets.sources.iter().filter(|(id, range)| !ids.contains(id) && has_rows(range)) {
        let mut reader = None;
        if let SourceRange::Files { files, .. } = range {
            for (relation, now) in streams.iter().zip(&ids) {
                let is_free = !offsets.sources.contains_key(now) && !renamed.contains_key(now);
                if matches!(relation.kind, RelationKind::Files { .. })
                    && is_free
                    && places.files(relation)?.takes(files)?.into_iter().all(|taken| taken)
                {
                    reader = Some(now.clone());
                }
            }
        }
        renamed.insert(reader.ok_or_else(|| pending_source_removed(offsets, id))?, range);
    }
    Ok(renamed)
}

fn pending_source_removed(offsets: &BatchOffsets, id: &SourceId) -> Failure {
    let text = format!(
        "micro-batch {} was begun by an earlier update and has to read {id}, which the query does not read any more",
        offsets.batch
    );
    Failure::user("PENDING_SOURCE_REMOVED", text)
        .help("put the source back for one successful update and take it out after that, or reset the checkpoint of the flow")
}

async fn static_provider(
    execution: &Execution,
    leaf: &RelationSource,
    pinned: &PinnedInputs,
    counters: &Arc<ReadCounters>,
) -> Result<Arc<dyn TableProvider>, Failure> {
    let (relation, schema) = (leaf.relation.as_ref(), Arc::clone(&leaf.schema));
    if let RelationKind::Files { .. } = &relation.kind {
        let id = execution.places().listing_id(relation)?;
        let files = pinned.files.get(&id).cloned().ok_or_else(|| Failure::internal(format!("the files of {id} were not listed")))?;
        return execution.places().files(relation)?.provider(files, schema, counters);
    }
    let id = relation.source_id();
    let now = pinned.tables.get(&id).ok_or_else(|| Failure::internal(format!("no version of {id} was pinned")))?;
    execution.places().delta(relation)?.at_version(now.version.version, schema, counters).await
}

async fn stream_provider(
    (execution, new_fields): (&Execution, NewFields),
    leaf: &RelationSource,
    range: Option<&SourceRange>,
    counters: &Arc<ReadCounters>,
) -> Result<Arc<dyn TableProvider>, Failure> {
    let (relation, schema) = (leaf.relation.as_ref(), Arc::clone(&leaf.schema));
    match range {
        Some(SourceRange::Files { files, .. }) => new_fields.source(execution, relation)?.provider(files.clone(), schema, counters),
        Some(SourceRange::Delta { from, to, .. }) => {
            let options = delta_stream_options(relation).map_err(crate::source::invalid_options)?;
            execution.places().delta(relation)?.appended(&options, (*from, *to), schema, counters).await
        }
        Some(SourceRange::Snapshot { version, from, to, .. }) => {
            execution.places().delta(relation)?.snapshot_part(*version, (*from, *to), schema, counters).await
        }
        // A stream that has nothing in this micro-batch: another one has, or the source was added after the batch was planned.
        Some(SourceRange::Once | SourceRange::DatedFiles { .. } | SourceRange::DatedVersion { .. }) | None => {
            Ok(Arc::new(EmptyTable::new(schema)))
        }
    }
}
