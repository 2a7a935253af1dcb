//! What one commit did to the rows of a table.

use std::collections::BTreeMap;

use crate::{
    commit::{
        VersionActions,
        action::{Action, Add, DeletionVector, MetaData},
    },
    failure::Failure,
};

/// A data file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataFile {
    /// Relative to the table, as it stands in the log.
    pub path: String,
    pub size: u64,
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Rows, those that are gone too, if the statistics say.
    pub rows: Option<u64>,
    /// Says which of them are gone.
    pub vector: Option<DeletionVector>,
    /// Says which of them count at all; `None`: all do.
    pub only: Option<DeletionVector>,
}

/// The effect of one commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub version: i64,
    /// Files with new rows; those of a compaction are not among them.
    pub added: Vec<DataFile>,
    /// Files whose rows were updated or deleted.
    pub removed: u64,
    pub metadata: Option<MetaData>,
    /// A new file has a deletion vector, which only happens when rows are deleted from it.
    pub has_deletion_vectors: bool,
}

impl Changes {
    pub(super) fn of(commit: VersionActions) -> Self {
        let mut changes = Self { version: commit.version, ..Self::default() };
        for action in commit.actions {
            match action {
                Action::Add(add) if add.data_change => {
                    changes.has_deletion_vectors |= add.deletion_vector.is_some();
                    changes.added.push(DataFile::of(add));
                }
                Action::Remove(remove) if remove.data_change => changes.removed += 1,
                Action::MetaData(metadata) => changes.metadata = Some(metadata),
                _ => {}
            }
        }
        changes
    }

    pub(super) fn bytes(&self) -> u64 {
        self.added.iter().map(|file| file.size).sum()
    }

    pub(super) fn rows(&self) -> u64 {
        self.added.iter().filter_map(|file| Some(file.rows? - file.gone())).sum()
    }

    /// The error of a stream that meets an update or delete.
    pub(super) fn refusal(&self, table: &str) -> Failure {
        let (class, what) = if self.added.is_empty() {
            ("DELTA_SOURCE_IGNORE_DELETE", "deleted data")
        } else {
            ("DELTA_SOURCE_TABLE_IGNORE_CHANGES", "a data update")
        };
        let text = format!("detected {what} in the source table {table} at version {}; a stream reads tables that only grow", self.version);
        Failure::user(class, text).help(
            "read with skipChangeCommits => true to leave such commits out as a whole, refresh the reading table fully, \
             or read the source without STREAM in a materialized view",
        )
    }
}

impl DataFile {
    pub(super) fn of(add: Add) -> Self {
        Self {
            rows: add.rows(),
            path: add.path,
            size: add.size.max(0) as u64,
            partition_values: add.partition_values,
            vector: add.deletion_vector,
            only: None,
        }
    }

    /// How many of the rows are gone.
    pub(super) fn gone(&self) -> u64 {
        cardinality(self.vector.as_ref())
    }

    /// How many of the rows are left of `rows` in the file. Of the rows that only count, those that were gone before are a part.
    pub(super) fn left(&self, rows: u64) -> u64 {
        let counted = if self.only.is_some() { cardinality(self.only.as_ref()) } else { rows };
        counted.saturating_sub(self.gone())
    }
}

fn cardinality(vector: Option<&DeletionVector>) -> u64 {
    vector.map_or(0, |vector| vector.cardinality.max(0) as u64)
}
