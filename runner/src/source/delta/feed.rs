//! The change feed of a table: what every commit did to its rows, row by row. A commit names files with its changes, or they follow from the
//! files that it adds and removes.

use std::{collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat};
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{Session, TableProvider},
    error::Result as EngineResult,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{ExecutionPlan, union::UnionExec},
};
use floe_graph::relation::CHANGE_COLUMNS;

use super::{
    DeltaSource,
    changes::DataFile,
    field_ids::FieldIds,
    renamed::{self, Renamed},
    scan::DataFiles,
    stream::{COMMITS_AT_ONCE, commit_time, commits},
};
use crate::{
    commit::{
        VersionActions,
        action::{Action, Add, MetaData, Remove},
    },
    failure::Failure,
    source::ReadCounters,
};

/// What one commit did.
pub(super) struct FeedCommit {
    pub version: i64,
    pub files: Vec<FeedFile>,
    pub metadata: Option<MetaData>,
}

/// Rows that a commit inserted, updated or deleted.
pub(super) struct FeedFile {
    pub file: DataFile,
    /// The file says itself what happened to each of its rows.
    is_recorded: bool,
}

impl FeedCommit {
    pub(super) fn of(source: &DeltaSource, commit: VersionActions) -> Result<Self, Failure> {
        let version = commit.version;
        let at = DateTime::from_timestamp_millis(commit_time(&commit.actions)).unwrap_or_default();
        let stamp = [version.to_string(), at.to_rfc3339_opts(SecondsFormat::Micros, true)];
        let (mut recorded, mut added, mut removed, mut metadata) = (Vec::new(), Vec::new(), Vec::new(), None);
        for action in commit.actions {
            match action {
                Action::Cdc(file) => recorded.push(DataFile {
                    path: file.path,
                    size: file.size.max(0) as u64,
                    partition_values: file.partition_values,
                    rows: None,
                    vector: None,
                    only: None,
                }),
                Action::Add(add) if add.data_change => added.push(add),
                Action::Remove(remove) if remove.data_change => removed.push(remove),
                Action::MetaData(new) => metadata = Some(new),
                _ => {}
            }
        }
        let is_recorded = !recorded.is_empty();
        let mut files: Vec<(DataFile, Option<&str>)> =
            if is_recorded { recorded.into_iter().map(|file| (file, None)).collect() } else { followed(source, version, added, removed)? };
        for (file, change) in &mut files {
            let values = [change.map(str::to_owned), Some(stamp[0].clone()), Some(stamp[1].clone())];
            for (column, value) in CHANGE_COLUMNS.iter().zip(values) {
                if value.is_some() {
                    file.partition_values.insert((*column).to_string(), value);
                }
            }
        }
        let files = files.into_iter().map(|(file, _)| FeedFile { file, is_recorded }).collect();
        Ok(Self { version, files, metadata })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.file.size).sum()
    }
}

/// The rows of removed files are deleted, those of added files inserted. Of a file that leaves and comes again with another vector it is
/// the rows in which the two differ.
fn followed(
    source: &DeltaSource,
    version: i64,
    added: Vec<Add>,
    removed: Vec<Remove>,
) -> Result<Vec<(DataFile, Option<&'static str>)>, Failure> {
    let unsupported = |what: &str| {
        let text = format!("version {version} of {} {what} without change data, which is not supported in this release", source.name);
        Failure::user("FEATURE_NOT_SUPPORTED", text).help("begin with a later version, or let the writer of the table record change data")
    };
    let mut files = Vec::with_capacity(added.len() + removed.len());
    let mut at: HashMap<String, usize> = added.iter().enumerate().map(|(at, add)| (add.path.clone(), at)).collect();
    let mut added: Vec<Option<Add>> = added.into_iter().map(Some).collect();
    for remove in removed {
        let again = at.remove(&remove.path).and_then(|at| added[at].take());
        if let Some(now) = again.map(DataFile::of) {
            let (before, after) = (remove.deletion_vector, now.vector.clone());
            if after.is_some() {
                files.push((DataFile { vector: before.clone(), only: after.clone(), ..now.clone() }, Some("delete")));
            }
            if before.is_some() {
                files.push((DataFile { vector: after, only: before, ..now }, Some("insert")));
            }
            continue;
        }
        let (Some(size), Some(partition_values)) = (remove.size, remove.partition_values) else {
            return Err(unsupported("removes files without their size"));
        };
        let file = DataFile {
            path: remove.path,
            size: size.max(0) as u64,
            partition_values,
            rows: None,
            vector: remove.deletion_vector,
            only: None,
        };
        files.push((file, Some("delete")));
    }
    files.extend(added.into_iter().flatten().map(|add| (DataFile::of(add), Some("insert"))));
    Ok(files)
}

/// The changes of the versions after `from` up to `to`, in the order of the commits.
pub(super) async fn provider(
    source: &DeltaSource,
    (from, to): (i64, i64),
    schema: &SchemaRef,
    counters: Arc<ReadCounters>,
) -> Result<Arc<dyn TableProvider>, Failure> {
    let (mut recorded, mut followed) = (Vec::new(), Vec::new());
    let (mut at, mut number) = (from, 0);
    while at < to {
        let end = (at + COMMITS_AT_ONCE).min(to);
        for commit in commits(source, at, end).await? {
            for FeedFile { file, is_recorded } in FeedCommit::of(source, commit)?.files {
                if is_recorded { &mut recorded } else { &mut followed }.push((number, file));
                number += 1;
            }
        }
        at = end;
    }
    let mapping = source.mapping().await?;
    let physical = match &mapping {
        None => Arc::clone(schema),
        Some(mapping) => renamed::physical(&source.name, schema, mapping)?,
    };
    let ids = mapping.as_ref().and_then(|mapping| FieldIds::of(&source.name, mapping));
    let table = |files| {
        let files = DataFiles::numbered(&source.location, files, &physical, Arc::clone(&counters))?;
        Ok::<_, Failure>(Arc::new(files.by_ids(ids.clone())))
    };
    let feed: Arc<dyn TableProvider> = match (followed.is_empty(), recorded.is_empty()) {
        (_, true) => table(followed)?,
        (true, false) => table(recorded)?,
        (false, false) => {
            let parts = vec![table(followed)?, table(recorded)?];
            Arc::new(Feed { schema: parts[0].schema(), parts })
        }
    };
    if mapping.is_some() { Ok(Arc::new(Renamed::new(feed, schema))) } else { Ok(feed) }
}

/// Files that say what happened to their rows, and files that do not.
struct Feed {
    schema: SchemaRef,
    parts: Vec<Arc<DataFiles>>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feed({:?})", self.parts)
    }
}

#[async_trait]
impl TableProvider for Feed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let mut scans = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            scans.push(part.scan(state, projection, filters, limit).await?);
        }
        UnionExec::try_new(scans)
    }
}
