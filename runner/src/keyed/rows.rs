//! The rows of one version of a table.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use datafusion::{arrow::datatypes::SchemaRef, catalog::TableProvider};
use roaring::RoaringTreemap;

use super::{file_and_row, filter::KeyFilter, scan::KeyedTable, stats};
use crate::{
    commit::{GoingRows, action::Add, deletion_vector, files},
    engine_failure::engine_error,
    failure::Failure,
    storage::Location,
};

/// The files of one version of a table, and which of their rows are gone. Clones are the same files in the same order.
#[derive(Clone)]
pub struct TableRows(Arc<Snapshot>);

struct Snapshot {
    location: Location,
    version: i64,
    files: Vec<Add>,
    /// Per file the rows that its deletion vector marks.
    marked: Vec<Option<Arc<RoaringTreemap>>>,
}

impl fmt::Debug for TableRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableRows({}, version {}, {} files)", self.0.location, self.0.version, self.0.files.len())
    }
}

impl TableRows {
    /// The rows of `version` of the table at `location`.
    pub async fn open(location: &Location, version: i64) -> Result<Self, Failure> {
        let files = files::active(location, version).await?;
        if let Some(elsewhere) = files.iter().find(|file| file.path.contains("://")) {
            let text =
                format!("{location} has a data file elsewhere, {}: shallow clones are not supported in this release", elsewhere.path);
            return Err(Failure::user("FEATURE_NOT_SUPPORTED", text).help("make a full copy of the table and read that"));
        }
        let vectors: Vec<_> = files.iter().map(|file| file.deletion_vector.as_ref()).collect();
        let marked = deletion_vector::read(location, &vectors).await?;
        Ok(Self(Arc::new(Snapshot { location: location.clone(), version, files, marked })))
    }

    /// The rows of these files at `location`, which belong to no table.
    pub fn of_files(location: &Location, files: Vec<Add>) -> Self {
        let marked = vec![None; files.len()];
        Self(Arc::new(Snapshot { location: location.clone(), version: 0, files, marked }))
    }

    /// The version.
    pub fn version(&self) -> i64 {
        self.0.version
    }

    /// True if the table has no file.
    pub fn is_empty(&self) -> bool {
        self.0.files.is_empty()
    }

    /// The rows whose key may be among those of `filter`, or more: `columns` of the table (those that a file lacks are NULL) and behind them
    /// [`PLACE`](super::PLACE). Key columns are looked up by their names, whether they are among the `columns` or not.
    pub fn provider(&self, columns: &SchemaRef, filter: &Arc<KeyFilter>, counters: &Arc<KeyedCounters>) -> Arc<dyn TableProvider> {
        Arc::new(KeyedTable::new(self.clone(), columns, Arc::clone(filter), Arc::clone(counters)))
    }

    /// The rows at `places`, by file, as [`transaction::change`](crate::commit::transaction::change) takes them.
    pub fn going(&self, places: impl IntoIterator<Item = u64>) -> Result<Vec<GoingRows>, Failure> {
        let mut going: BTreeMap<usize, RoaringTreemap> = BTreeMap::new();
        for place in places {
            let (file, row) = file_and_row(place);
            going.entry(file).or_default().insert(row);
        }
        let rows = going.into_iter().map(|(index, rows)| {
            let file = self.0.files.get(index).cloned();
            let file = file.ok_or_else(|| Failure::internal(format!("{self:?} have no file {index}")))?;
            Ok(GoingRows { file, marked: self.0.marked[index].clone(), rows })
        });
        rows.collect()
    }

    pub(super) fn location(&self) -> &Location {
        &self.0.location
    }

    pub(super) fn file(&self, index: usize) -> &Add {
        &self.0.files[index]
    }

    pub(super) fn marked(&self, index: usize) -> Option<&Arc<RoaringTreemap>> {
        self.0.marked[index].as_ref()
    }

    /// Numbers of the files that may hold a wanted key, large ones first.
    pub(super) fn candidates(&self, filter: &KeyFilter) -> Result<Vec<usize>, Failure> {
        let files: Vec<&Add> = self.0.files.iter().collect();
        let kept = stats::files_with_keys(filter, &files).map_err(engine_error)?;
        let mut chosen: Vec<usize> = kept.iter().enumerate().filter(|(_, kept)| **kept).map(|(index, _)| index).collect();
        chosen.sort_by_key(|index| std::cmp::Reverse(self.0.files[*index].size));
        Ok(chosen)
    }

    pub(super) fn file_count(&self) -> usize {
        self.0.files.len()
    }
}

/// What reading by key cost; may be asked at any time.
#[derive(Debug, Default)]
pub struct KeyedCounters {
    pub(super) files: AtomicU64,
    pub(super) files_read: AtomicU64,
    pub(super) groups_read: AtomicU64,
    pub(super) rows_compared: AtomicU64,
    pub(super) rows_found: AtomicU64,
    pub(super) bytes_read: Arc<AtomicU64>,
}

/// Totals of reads by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyedTotals {
    /// Files of the tables.
    pub files: u64,
    /// Files that were opened, because their statistics leave it open whether they hold a wanted key.
    pub files_read: u64,
    /// Row groups of these files that were read.
    pub groups_read: u64,
    /// Rows whose key was read.
    pub rows_compared: u64,
    /// Rows that were given out.
    pub rows_found: u64,
    /// Bytes read.
    pub bytes_read: u64,
}

impl KeyedCounters {
    /// What was read so far.
    pub fn totals(&self) -> KeyedTotals {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KeyedTotals {
            files: of(&self.files),
            files_read: of(&self.files_read),
            groups_read: of(&self.groups_read),
            rows_compared: of(&self.rows_compared),
            rows_found: of(&self.rows_found),
            bytes_read: of(&self.bytes_read),
        }
    }
}
