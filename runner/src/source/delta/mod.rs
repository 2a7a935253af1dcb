//! Delta tables as inputs: what was appended since a position, and all rows at a version.

mod changes;
mod feed;
mod field_ids;
mod observe;
mod renamed;
mod scan;
mod snapshot;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::{arrow::datatypes::SchemaRef, catalog::TableProvider};
use floe_graph::source_options::DeltaStreamOptions;
use tokio::sync::OnceCell;

use self::field_ids::FieldIds;
use self::renamed::Renamed;
use super::ReadCounters;
use crate::{
    commit::action::Add,
    failure::Failure,
    state::{SourcePosition, SourceRange},
    storage::Location,
};

pub use observe::ObservedTable;

/// One Delta table as an input. `name` is what messages say.
#[derive(Clone, Debug)]
pub struct DeltaSource {
    name: String,
    location: Location,
    /// Written by Floe: it has no column mapping.
    managed: bool,
    /// What data files call the columns, once somebody has looked; `None` inside if they have the names of the table.
    mapping: Arc<OnceCell<Option<SchemaRef>>>,
    /// The Delta table id, if somebody has looked already.
    id: Option<String>,
}

/// What a stream has to read: micro-batches in order, and commits that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeltaPlan {
    /// The id of the table that the ranges belong to.
    pub table_id: String,
    /// A range without files only moves the position: a first start at the newest version, or nothing but skipped commits.
    pub ranges: Vec<PlannedRange>,
    /// Commits that `skipChangeCommits` leaves out as a whole: a WARN event each.
    pub skipped: Vec<SkippedCommit>,
}

/// One micro-batch of a stream, and how much it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRange {
    /// `SourceRange::Delta`, or `Snapshot` if the first snapshot is more than one batch.
    pub range: SourceRange,
    /// Data files to read.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

/// A commit that updated or deleted rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedCommit {
    /// Its version.
    pub version: i64,
    /// Rows that it added and that are not read, as far as its statistics say.
    pub rows: u64,
}

impl DeltaSource {
    /// The table at `location`. Reads nothing.
    pub fn new(name: impl Into<String>, location: Location) -> Self {
        Self { name: name.into(), location, managed: false, mapping: Arc::default(), id: None }
    }

    /// The same table, known to be a dataset of this pipeline: spares a look at its metadata.
    #[must_use]
    pub fn managed(self) -> Self {
        Self { managed: true, ..self }
    }

    /// The same table, known to have this Delta table id: spares a look at its metadata if it has no news.
    #[must_use]
    pub fn identified(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// The micro-batches from `position` (after the last batch) up to `newest`; without a position where
    /// `options` say. Without news it reads nothing, else one log entry per new version.
    pub async fn plan(&self, options: &DeltaStreamOptions, position: Option<&SourcePosition>, newest: i64) -> Result<DeltaPlan, Failure> {
        stream::plan(self, options, position, newest).await
    }

    /// The rows that the versions after `from` up to and with `to` appended, or of a change feed what they did to rows; without `from` all rows of version `to`.
    pub async fn appended(
        &self,
        options: &DeltaStreamOptions,
        (from, to): (Option<i64>, i64),
        schema: SchemaRef,
        counters: &Arc<ReadCounters>,
    ) -> Result<Arc<dyn TableProvider>, Failure> {
        let Some(from) = from else { return self.at_version(to, schema, counters).await };
        if options.changes {
            return feed::provider(self, (from, to), &schema, Arc::clone(counters)).await;
        }
        let files = stream::appended_files(self, options, from, to).await?;
        self.files(files, &schema, counters).await
    }

    /// The rows of some files of `version`, counted in the order of the snapshot.
    pub async fn snapshot_part(
        &self,
        version: i64,
        (from, to): (u64, u64),
        schema: SchemaRef,
        counters: &Arc<ReadCounters>,
    ) -> Result<Arc<dyn TableProvider>, Failure> {
        let files = snapshot::active_files(self, version).await?;
        let part = files
            .get(from as usize..to as usize)
            .ok_or_else(|| Failure::internal(format!("version {version} of {} has {} files, not {to}", self.name, files.len())))?;
        self.files(part.to_vec(), &schema, counters).await
    }

    /// All rows of `version`.
    pub async fn at_version(
        &self,
        version: i64,
        schema: SchemaRef,
        counters: &Arc<ReadCounters>,
    ) -> Result<Arc<dyn TableProvider>, Failure> {
        self.files(snapshot::active_files(self, version).await?, &schema, counters).await
    }

    /// Data files as a table with the columns of `schema`.
    async fn files(
        &self,
        files: Vec<changes::DataFile>,
        schema: &SchemaRef,
        counters: &Arc<ReadCounters>,
    ) -> Result<Arc<dyn TableProvider>, Failure> {
        let open = |schema: &SchemaRef| scan::DataFiles::new(&self.location, files, schema, Arc::clone(counters));
        let Some(mapping) = self.mapping().await? else { return Ok(Arc::new(open(schema)?)) };
        let physical = renamed::physical(&self.name, schema, &mapping)?;
        Ok(Arc::new(Renamed::new(Arc::new(open(&physical)?.by_ids(FieldIds::of(&self.name, &mapping))), schema)))
    }

    /// The columns of the table with what files call them, if that is not the same.
    async fn mapping(&self) -> Result<Option<SchemaRef>, Failure> {
        if self.managed {
            return Ok(None);
        }
        let looked = self.mapping.get_or_try_init(|| async {
            match observe::look(self).await? {
                Some(table) => renamed::mapping(&table),
                None => Ok(None),
            }
        });
        looked.await.cloned()
    }

    /// The rows of some data files of a table that Floe writes, in no order.
    pub fn rows_of(&self, files: Vec<Add>, schema: &SchemaRef, counters: &Arc<ReadCounters>) -> Result<Arc<dyn TableProvider>, Failure> {
        let files = files.into_iter().map(changes::DataFile::of).collect();
        Ok(Arc::new(scan::DataFiles::new(&self.location, files, schema, Arc::clone(counters))?))
    }

    /// When `version` was committed, µs since 1970 UTC.
    pub async fn committed_us(&self, version: i64) -> Result<i64, Failure> {
        stream::committed_us(self, version).await
    }

    /// Schema, id and version of the table, at `version` or the newest. `None` if there is no table.
    pub async fn observe(&self, version: Option<i64>) -> Result<Option<ObservedTable>, Failure> {
        observe::observe(self, version).await
    }
}
