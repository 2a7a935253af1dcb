//! Tables that Floe writes: made by an explicit first commit, opened without replaying their log, changed by metadata commits.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chrono::Utc;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use floe_graph::plan::{GENERATION_EXPRESSION, foreign_generated};
use serde_json::Map;
use uuid::Uuid;

use crate::{
    commit::{
        action::{Action, Format, MetaData},
        alter::{self, Types},
        log::{self, KnownTable, VersionActions},
        partition, properties,
        retype::{Copies, Rewriting},
        row_rules::RowRules,
        schema,
        transaction::{self, Attempt, CommitRequest},
    },
    failpoint,
    failure::Failure,
    storage::Location,
};

/// The table that a dataset wants.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Full name for messages.
    pub dataset: String,
    /// Where it stands: `storage.at(&layout::table_path(..))`.
    pub location: Location,
    /// Columns in order; partition columns among them. Field metadata `comment` becomes the comment of the column.
    pub schema: SchemaRef,
    /// Names of partition columns, in order.
    pub partition_by: Vec<String>,
    /// As the user wrote them; `pipelines.*` too.
    pub properties: BTreeMap<String, String>,
    /// Comment of the table.
    pub comment: Option<String>,
    /// Whose table it is; `None`: a table outside of the pipeline (a sink), which gets rows and columns and is else left as it is.
    pub pipeline_id: Option<String>,
    /// What every row keeps. `properties` and `schema` say the same in Delta's words.
    pub rules: Arc<RowRules>,
    /// The version whose rows were found to keep new rules.
    pub verified: Option<i64>,
}

/// A table that exists. Flows that write it at once share one value.
#[derive(Debug)]
pub struct TargetTable {
    location: Location,
    dataset: String,
    schema: SchemaRef,
    /// As it is in the log.
    pub(super) head: KnownTable,
    /// As the next overwrite makes it; the same as in `head` otherwise.
    pub(super) metadata: MetaData,
    /// The newest version seen, never behind `head.version`.
    newest: AtomicI64,
    rules: Arc<RowRules>,
    is_new: bool,
}

pub use super::alter::Altered;

impl TargetTable {
    /// The table of `spec`: made at version 0 if there is nothing, opened if it is ours. `known` (from the catalog) spares reading the log.
    /// A table of someone else, or a directory with other files, is refused and left as it is; a table outside of the pipeline is refused if it
    /// belongs to a pipeline.
    pub async fn open_or_create(spec: &TableSpec, known: Option<KnownTable>) -> Result<Self, Failure> {
        if let Some(head) = log::head(&spec.location, known).await? {
            return Self::ours(spec, head);
        }
        if spec.location.holds_anything().await? {
            // Another process may have made the table since the first look.
            if let Some(head) = log::head(&spec.location, None).await? {
                return Self::ours(spec, head);
            }
            let text = format!("{} holds files but is not a Delta table of this pipeline", spec.location);
            return Err(Failure::user("TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE", text)
                .about(&spec.dataset)
                .help("move the files away, or give the dataset another name or schema"));
        }
        let metadata = new_metadata(spec)?;
        let protocol = properties::protocol(&spec.schema, &metadata.configuration);
        let request = CommitRequest {
            operation: "CREATE TABLE",
            parameters: Map::from_iter([
                ("mode".to_owned(), "ErrorIfExists".into()),
                ("location".to_owned(), spec.location.to_string().into()),
            ]),
            ..CommitRequest::default()
        };
        let actions = [Action::Protocol(protocol.clone()), Action::MetaData(metadata.clone())];
        failpoint::reach("create::before")?;
        let attempt = transaction::attempt(&spec.location, 0, &request, false, &actions).await;
        let attempt = attempt.map_err(|refused| Failure::from(refused).about(&spec.dataset))?;
        failpoint::reach("create::after")?;
        if attempt == Attempt::Created {
            let head = KnownTable { version: 0, protocol, metadata, entry_tag: None };
            return Ok(Self { is_new: true, ..Self::with(spec, head)? });
        }
        match log::head(&spec.location, None).await? {
            Some(head) => Self::ours(spec, head),
            None => Err(Failure::transient("CONCURRENT_UPDATE", format!("{} was made and deleted by another process", spec.location))),
        }
    }

    /// The table at `location`, or `None` if there is none. Whose it is is not asked.
    pub async fn open(location: &Location, known: Option<KnownTable>) -> Result<Option<Self>, Failure> {
        match log::head(location, known).await? {
            Some(head) => Self::of(location, head).map(Some),
            None => Ok(None),
        }
    }

    /// Brings columns (added at the end, never removed or changed), properties and comment in line with `spec` by at most one metadata commit.
    /// A type or partitioning that differs is `SCHEMA_CHANGE_REQUIRES_FULL_REFRESH`, and nothing is written.
    pub async fn alter(&mut self, spec: &TableSpec) -> Result<Altered, Failure> {
        Ok(self.alter_with(spec, None, &mut Copies::default()).await?.unwrap_or_default())
    }

    /// The same, but types may become wider: then the data files are written again in the commit that says so. A column that is wider already
    /// stays so. `None` if it was stopped: the table is what it was.
    pub async fn widen(&mut self, spec: &TableSpec, rewriting: &Rewriting<'_>) -> Result<Option<Altered>, Failure> {
        let mut copies = Copies::default();
        let altered = Box::pin(self.alter_with(spec, Some(rewriting), &mut copies)).await;
        copies.discard_quietly().await;
        altered
    }

    async fn alter_with(
        &mut self,
        spec: &TableSpec,
        rewriting: Option<&Rewriting<'_>>,
        copies: &mut Copies,
    ) -> Result<Option<Altered>, Failure> {
        let types = if rewriting.is_some() { Types::MayWiden } else { Types::Stay };
        for _ in 0..transaction::MAX_ATTEMPTS {
            let kept = spec.pipeline_id.is_none().then(|| alter::outside(self, spec));
            let spec = kept.as_ref().unwrap_or(spec);
            let plan = alter::plan(self, spec, types).await.map_err(|failure| alter::about(failure, spec))?;
            let Some(change) = plan else { return Ok(Some(Altered::default())) };
            let (mut actions, operation, version) = (change.actions(), change.operation(), self.version() + 1);
            let head = KnownTable { version, protocol: change.protocol, metadata: change.metadata, entry_tag: None };
            let altered = Self { is_new: self.is_new, ..Self::with(spec, head.clone())? };
            if let Some(rewriting) = rewriting.filter(|_| !change.altered.retyped.is_empty()) {
                // The rows have kept the rules of the table already.
                let rule_free = Self::of(&self.location, head)?;
                let moved = Box::pin(copies.actions(&rule_free, version - 1, rewriting)).await;
                let Some(moved) = moved.map_err(|failure| failure.about(&spec.dataset))? else { return Ok(None) };
                actions.extend(moved);
            }
            let request = CommitRequest { operation, info: copies.info(), ..CommitRequest::default() };
            failpoint::reach("metadata::before")?;
            let attempt = transaction::attempt(&self.location, version, &request, false, &actions).await;
            if !matches!(attempt, Ok(Attempt::Lost)) {
                // The commit names the copies, or may have done so.
                copies.forget();
            }
            if attempt? == Attempt::Created {
                failpoint::reach("metadata::after")?;
                *self = altered;
                transaction::checkpoint_if_due(self, version).await;
                return Ok(Some(Altered { version: Some(version), ..change.altered }));
            }
            // Someone else wrote that version: what has to change is decided again on what is there now.
            if let Some(head) = log::head(&self.location, Some(self.head.clone())).await? {
                *self = Self { is_new: self.is_new, ..Self::with(spec, head)? };
            }
        }
        Err(transaction::too_many_conflicts(self))
    }

    /// What [`alter`](Self::alter) and [`widen`](Self::widen) would refuse, found without writing.
    pub async fn check(&self, spec: &TableSpec, may_widen: bool) -> Result<(), Failure> {
        let kept = spec.pipeline_id.is_none().then(|| alter::outside(self, spec));
        let types = if may_widen { Types::MayWiden } else { Types::Stay };
        alter::plan(self, kept.as_ref().unwrap_or(spec), types).await.map_err(|failure| alter::about(failure, spec))?;
        Ok(())
    }

    /// This table as an overwrite makes it: with the columns, partitioning, properties and comment of `spec`. Writers of the new rows and
    /// [`transaction::overwrite`] take this value; nothing changes before.
    pub fn replaced_by(&self, spec: &TableSpec) -> Result<Self, Failure> {
        let wanted = new_metadata(spec)?;
        let configuration = properties::kept(&self.head.metadata.configuration, wanted.configuration);
        let metadata = MetaData {
            id: self.head.metadata.id.clone(),
            name: self.head.metadata.name.clone(),
            created_time: self.head.metadata.created_time,
            configuration,
            ..wanted
        };
        Ok(Self {
            location: self.location.clone(),
            dataset: spec.dataset.clone(),
            schema: schema::from_delta(&metadata.schema_string)?,
            head: self.head.clone(),
            metadata,
            newest: AtomicI64::new(self.version()),
            rules: Arc::clone(&spec.rules),
            is_new: self.is_new,
        })
    }

    /// The table as it stands in the log now, after another program has changed its metadata. What the next overwrite makes of it stays.
    pub async fn reopened(&self) -> Result<Self, Failure> {
        let head = log::head(&self.location, Some(self.head.clone())).await?;
        let head = head.ok_or_else(|| Failure::transient("CONCURRENT_UPDATE", format!("{} was deleted meanwhile", self.location)))?;
        let (dataset, rules) = (self.dataset.clone(), Arc::clone(&self.rules));
        let now = Self { dataset, rules, is_new: self.is_new, ..Self::of(&self.location, head)? };
        if now.properties().contains_key(properties::PIPELINE_ID) {
            now.computes_as(&self.schema).map_err(|failure| failure.about(&self.dataset))?;
        }
        if self.metadata == self.head.metadata {
            return Ok(now);
        }
        let configuration = properties::kept(&now.head.metadata.configuration, self.metadata.configuration.clone());
        let metadata = MetaData { id: now.head.metadata.id.clone(), configuration, ..self.metadata.clone() };
        Ok(Self { schema: schema::from_delta(&metadata.schema_string)?, metadata, ..now })
    }

    /// Where the table stands.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The full name of the dataset, or the location of a table that was opened without one.
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// The Delta table id.
    pub fn id(&self) -> &str {
        &self.metadata.id
    }

    /// All columns in order, partition columns among them: µs UTC timestamps, Utf8 text.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Names of the partition columns, in order.
    pub fn partition_columns(&self) -> &[String] {
        &self.metadata.partition_columns
    }

    /// Comment of the table.
    pub fn comment(&self) -> Option<&str> {
        self.metadata.description.as_deref()
    }

    /// What every row that is written from now on keeps.
    pub fn rules(&self) -> &Arc<RowRules> {
        &self.rules
    }

    /// All properties, ours too.
    pub fn properties(&self) -> &BTreeMap<String, String> {
        &self.metadata.configuration
    }

    /// Columns by which rows of the table are looked up and its files are sorted; none if it is no table by key.
    pub fn key_columns(&self) -> Vec<String> {
        properties::key_columns(self.properties())
    }

    /// Columns by which the rows of every file are sorted, by `CLUSTER BY`; none for a table by key.
    pub fn cluster_columns(&self) -> Vec<String> {
        properties::cluster_columns(self.properties())
    }

    /// True if rows are taken out of files by deletion vectors.
    pub fn has_deletion_vectors(&self) -> bool {
        let is_written = self.head.protocol.writer_features.iter().flatten().any(|feature| feature == properties::DELETION_VECTORS_FEATURE);
        is_written && self.has(properties::DELETION_VECTORS)
    }

    /// True if the property `name` is set to true.
    pub fn has(&self, name: &str) -> bool {
        properties::is_true(self.properties(), name)
    }

    /// The newest version seen so far: at opening, or written or met by a commit since.
    pub fn version(&self) -> i64 {
        self.newest.load(Ordering::Acquire)
    }

    /// True if the next overwrite changes columns, partitioning or properties; after that commit the table is [`reopened`](Self::reopened).
    pub fn is_replaced(&self) -> bool {
        self.metadata != self.head.metadata
    }

    /// True if `open_or_create` made it just now.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// What the catalog keeps.
    pub fn known(&self) -> KnownTable {
        let version = self.version();
        let entry_tag = self.head.entry_tag.clone().filter(|_| version == self.head.version);
        KnownTable { version, entry_tag, ..self.head.clone() }
    }

    pub(super) fn saw(&self, version: i64) {
        self.newest.fetch_max(version, Ordering::AcqRel);
    }

    fn of(location: &Location, head: KnownTable) -> Result<Self, Failure> {
        supported(location, &head)?;
        Ok(Self {
            location: location.clone(),
            dataset: location.to_string(),
            schema: schema::from_delta(&head.metadata.schema_string)?,
            metadata: head.metadata.clone(),
            newest: AtomicI64::new(head.version),
            head,
            rules: Arc::default(),
            is_new: false,
        })
    }

    fn with(spec: &TableSpec, head: KnownTable) -> Result<Self, Failure> {
        let table = Self { dataset: spec.dataset.clone(), rules: Arc::clone(&spec.rules), ..Self::of(&spec.location, head)? };
        if spec.pipeline_id.is_some() {
            table.computes_as(&spec.schema).map_err(|failure| failure.about(&spec.dataset))?;
        }
        Ok(table)
    }

    /// Fails if another program made a column of ours a generated one: our rows would not have the values that it promised. `expected` has the
    /// columns as we know them.
    fn computes_as(&self, expected: &Schema) -> Result<(), Failure> {
        let wanted = |name: &str| {
            let field = expected.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name));
            field.and_then(|field| field.metadata().get(GENERATION_EXPRESSION).cloned())
        };
        match foreign_generated(&self.schema, &self.head.metadata.configuration, wanted) {
            Some((column, text)) => {
                Err(unsupported(&self.location, &format!("the generated column {column} AS ({text}), which its definition lacks")))
            }
            None => Ok(()),
        }
    }

    /// Fails if the table of somebody else computes columns, which a flow into a sink would have to do for it.
    pub fn takes_rows_of_sinks(&self) -> Result<(), Failure> {
        if computes_columns(&self.schema) {
            return Err(unsupported(&self.location, "columns that it computes itself"));
        }
        Ok(())
    }

    fn ours(spec: &TableSpec, head: KnownTable) -> Result<Self, Failure> {
        let owner = head.metadata.configuration.get(properties::PIPELINE_ID);
        if spec.pipeline_id.is_none() && owner.is_none() {
            let table = Self::with(spec, head)?;
            table.takes_rows_of_sinks()?;
            return Ok(table);
        }
        if owner == spec.pipeline_id.as_ref() {
            return Self::with(spec, head);
        }
        let whose = owner.map_or_else(|| "was not made by Floe".to_owned(), |id| format!("belongs to the pipeline with id {id}"));
        Err(Failure::user("TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE", format!("the Delta table at {} {whose}", spec.location))
            .about(&spec.dataset)
            .help("move the table away, or give the dataset another name, schema or storage; nothing was changed"))
    }
}

/// Newest version, protocol and metadata of any table, also of one that Floe could not write; `None` if there is none.
pub async fn look(location: &Location, known: Option<KnownTable>) -> Result<Option<KnownTable>, Failure> {
    log::head(location, known).await
}

/// The newest version of the table at `location`, or `None` if there is no table. From a known version it costs two small requests
/// and reads no content.
pub async fn newest_version(location: &Location, known: Option<i64>) -> Result<Option<i64>, Failure> {
    log::newest_version(location, known).await
}

/// The actions of the versions after `after` up to and with `to`, in order. `None` if one of them was cleaned up.
pub async fn commits(location: &Location, after: i64, to: i64) -> Result<Option<Vec<VersionActions>>, Failure> {
    log::commits(location, after, to).await
}

/// When the entry of `version` was written, µs since 1970 UTC; `None` if it is not there.
pub async fn written_us(location: &Location, version: i64) -> Result<Option<i64>, Failure> {
    Ok(location.head(&log::entry(version)).await?.map(|entry| entry.last_modified.timestamp_micros()))
}

/// Per application id the newest version that the log of the table at `location` records.
pub async fn transaction_versions(location: &Location, app_ids: &[&str]) -> Result<Vec<Option<i64>>, Failure> {
    match log::newest_version(location, None).await? {
        Some(newest) => log::transactions(location, newest, app_ids).await,
        None => Ok(vec![None; app_ids.len()]),
    }
}

/// The metadata of a table that `spec` makes.
fn new_metadata(spec: &TableSpec) -> Result<MetaData, Failure> {
    let about = |failure: Failure| failure.about(&spec.dataset);
    let schema_string = schema::to_delta(&spec.schema).map_err(about)?;
    Ok(MetaData {
        id: Uuid::new_v4().to_string(),
        name: spec.dataset.rsplit('.').next().map(str::to_owned),
        description: spec.comment.clone(),
        format: Format { provider: "parquet".to_owned(), options: BTreeMap::new() },
        schema_string,
        partition_columns: partition::columns(&spec.schema, &spec.partition_by).map_err(about)?,
        configuration: properties::stored(spec),
        created_time: Some(Utc::now().timestamp_millis()),
    })
}

/// What a column of a table must keep by a text in its metadata.
const INVARIANTS: &str = "delta.invariants";

/// Features that Floe's own commits keep true.
const WRITER_FEATURES: [&str; 9] = [
    "appendOnly",
    "invariants",
    "checkConstraints",
    "generatedColumns",
    "timestampNtz",
    "changeDataFeed",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    properties::DELETION_VECTORS_FEATURE,
];

/// A table that another engine gave a feature which our commits would break is refused before anything is written.
fn supported(location: &Location, head: &KnownTable) -> Result<(), Failure> {
    let protocol = &head.protocol;
    let unknown = protocol.writer_features.iter().flatten().find(|feature| !WRITER_FEATURES.contains(&feature.as_str()));
    let feature = match unknown {
        Some(feature) => format!("table feature {feature}"),
        None if matches!(protocol.min_writer_version, 5 | 6 | 8..) || protocol.min_reader_version > 3 => {
            format!("writer version {}", protocol.min_writer_version)
        }
        None => match properties::foreign_check(&head.metadata.configuration) {
            Some(name) => format!("the check {name}, which its definition lacks"),
            None => return Ok(()),
        },
    };
    Err(unsupported(location, &feature))
}

/// True if a column is the result of an expression that only the writer of the table knows.
fn computes_columns(schema: &SchemaRef) -> bool {
    schema.fields().iter().any(|field| [GENERATION_EXPRESSION, INVARIANTS].iter().any(|key| field.metadata().contains_key(*key)))
}

fn unsupported(location: &Location, feature: &str) -> Failure {
    Failure::user("DELTA_UNSUPPORTED_FEATURES_FOR_WRITE", format!("the Delta table at {location} has {feature}: Floe does not write it"))
        .help("another program has changed the table; drop the feature, the check or the generated column there, or declare it in the definition")
}
