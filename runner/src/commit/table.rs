//! Tables that Floe writes: made by an explicit first commit, opened without replaying their log, changed by metadata commits.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::{
    commit::action::{Action, MetaData, Protocol},
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
    pub partition_by: Vec<String>,
    /// As the user wrote them; `pipelines.*` too.
    pub properties: BTreeMap<String, String>,
    pub comment: Option<String>,
    pub pipeline_id: String,
}

/// What is known of a table from the last look at its log: enough to append to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownTable {
    /// The version up to which this is true.
    pub version: i64,
    pub protocol: Protocol,
    pub metadata: MetaData,
}

/// A table that exists.
#[derive(Debug)]
pub struct TargetTable {
    location: Location,
    schema: SchemaRef,
    metadata: MetaData,
}

/// The actions of one version.
#[derive(Clone, Debug)]
pub struct VersionActions {
    pub version: i64,
    pub actions: Vec<Action>,
}

/// What [`TargetTable::alter`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Altered {
    /// Columns that were added at the end.
    pub added: Vec<String>,
    /// Comment, properties or column comments changed.
    pub properties: bool,
    /// The version of the metadata commit, if one was needed.
    pub version: Option<i64>,
}

impl TargetTable {
    /// The table of `spec`: made at version 0 if there is nothing, opened if it is ours. `known` (from the catalog) spares reading the log.
    /// A table of someone else, or a directory with other files, is refused and left as it is.
    pub async fn open_or_create(spec: &TableSpec, known: Option<KnownTable>) -> Result<Self, Failure> {
        let _ = known;
        Err(Failure::internal(format!("cannot make {} yet", spec.dataset)))
    }

    /// The table at `location`, or `None` if there is none. Whose it is is not asked.
    pub async fn open(_location: &Location, _known: Option<KnownTable>) -> Result<Option<Self>, Failure> {
        Err(Failure::internal("cannot open tables yet"))
    }

    /// Brings columns (added at the end, never removed or changed), properties and comment in line with `spec` by at most one metadata commit.
    /// A type or partitioning that differs is `SCHEMA_CHANGE_REQUIRES_FULL_REFRESH`, and nothing is written.
    pub async fn alter(&mut self, _spec: &TableSpec) -> Result<Altered, Failure> {
        Err(Failure::internal("cannot alter tables yet"))
    }

    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The Delta table id.
    pub fn id(&self) -> &str {
        &self.metadata.id
    }

    /// All columns in order, partition columns among them: µs UTC timestamps, Utf8 text.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn partition_columns(&self) -> &[String] {
        &self.metadata.partition_columns
    }

    pub fn properties(&self) -> &BTreeMap<String, String> {
        &self.metadata.configuration
    }

    /// The newest version seen so far.
    pub fn version(&self) -> i64 {
        0
    }

    /// True if `open_or_create` made it.
    pub fn is_new(&self) -> bool {
        false
    }

    /// What the catalog keeps.
    pub fn known(&self) -> Result<KnownTable, Failure> {
        Err(Failure::internal("tables are not there yet"))
    }
}

/// The newest version of the table at `location`, or `None` if there is no table. From a known version it costs two small requests
/// and reads no content.
pub async fn newest_version(_location: &Location, _known: Option<i64>) -> Result<Option<i64>, Failure> {
    Err(Failure::internal("tables are not there yet"))
}

/// The actions of the versions after `after` up to and with `to`, in order. `None` for a version whose entry was cleaned up.
pub async fn commits(_location: &Location, _after: i64, _to: i64) -> Result<Option<Vec<VersionActions>>, Failure> {
    Err(Failure::internal("tables are not there yet"))
}

/// The newest version that the table's log records for `app_id`.
pub async fn transaction_version(_location: &Location, _app_id: &str) -> Result<Option<i64>, Failure> {
    Err(Failure::internal("tables are not there yet"))
}
