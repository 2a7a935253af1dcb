//! Delta tables as inputs: what was appended since a position, and all rows at a version.

use std::sync::Arc;

use datafusion::{arrow::datatypes::SchemaRef, catalog::TableProvider};
use floe_graph::source_options::DeltaStreamOptions;

use super::ReadCounters;
use crate::{failure::Failure, state::SourceRange, storage::Location};

/// One Delta table as an input. `name` is what messages say.
#[derive(Clone, Debug)]
pub struct DeltaSource {
    name: String,
    location: Location,
}

/// What a stream has to read: micro-batches in order, and commits that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeltaPlan {
    pub table_id: String,
    /// Never empty ranges, but for one that only sets the first position (`startingVersion => 'latest'`).
    pub ranges: Vec<PlannedRange>,
    /// Commits that `skipChangeCommits` leaves out as a whole: a WARN event each.
    pub skipped: Vec<SkippedCommit>,
}

/// One micro-batch of a stream, and how much it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRange {
    /// Always `SourceRange::Delta`.
    pub range: SourceRange,
    pub files: u64,
    pub bytes: u64,
}

/// A commit that updated or deleted rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedCommit {
    pub version: i64,
    /// Rows that it added, as far as its statistics say.
    pub rows: u64,
}

/// What planning needs of an external table.
#[derive(Clone, Debug)]
pub struct ObservedTable {
    pub table_id: String,
    pub version: i64,
    pub schema: SchemaRef,
    pub partition_by: Vec<String>,
}

impl DeltaSource {
    /// The table at `location`. Reads nothing.
    pub fn new(name: impl Into<String>, location: Location) -> Self {
        Self { name: name.into(), location }
    }

    /// The micro-batches from `position` (table id and version, after the last batch) up to `newest`; without a position where
    /// `options` say. Reads one log entry per new version.
    pub async fn plan(&self, options: &DeltaStreamOptions, position: Option<(&str, i64)>, newest: i64) -> Result<DeltaPlan, Failure> {
        let _ = (options, position, newest, &self.name, &self.location);
        Err(Failure::internal("tables cannot be streamed yet"))
    }

    /// The rows that the versions after `from` up to and with `to` appended; without `from` all rows of version `to`.
    pub async fn appended(
        &self,
        options: &DeltaStreamOptions,
        (from, to): (Option<i64>, i64),
        schema: SchemaRef,
        counters: &Arc<ReadCounters>,
    ) -> Result<Arc<dyn TableProvider>, Failure> {
        let _ = (options, from, to, schema, counters);
        Err(Failure::internal("tables cannot be streamed yet"))
    }

    /// All rows of `version`.
    pub async fn at_version(
        &self,
        version: i64,
        schema: SchemaRef,
        counters: &Arc<ReadCounters>,
    ) -> Result<Arc<dyn TableProvider>, Failure> {
        let _ = (version, schema, counters);
        Err(Failure::internal("tables cannot be read yet"))
    }

    /// Schema, id and version of the table, at `version` or the newest. `None` if there is no table.
    pub async fn observe(&self, version: Option<i64>) -> Result<Option<ObservedTable>, Failure> {
        let _ = version;
        Err(Failure::internal("tables cannot be observed yet"))
    }
}
