//! Writes rows as Parquet files beside a table. They belong to it only when a commit names them.

use datafusion::arrow::array::RecordBatch;

use crate::{
    commit::{action::Add, table::TargetTable},
    failure::Failure,
    storage::Location,
};

/// How data files are written.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// A file is closed when it has grown to about this size.
    pub target_file_bytes: u64,
    /// Memory of one writer, all open files together.
    pub memory_bytes: u64,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { target_file_bytes: 256 << 20, memory_bytes: 64 << 20 }
    }
}

/// Files that a writer has finished.
#[derive(Clone, Debug)]
pub struct StagedFiles {
    pub location: Location,
    pub adds: Vec<Add>,
    pub rows: u64,
    pub bytes: u64,
}

impl StagedFiles {
    /// No files for the table at `location`.
    pub fn none(location: &Location) -> Self {
        Self { location: location.clone(), adds: Vec::new(), rows: 0, bytes: 0 }
    }

    /// These files and those of another writer of the same table.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.adds.extend(other.adds);
        self.rows += other.rows;
        self.bytes += other.bytes;
        self
    }

    /// Deletes the files: nothing will commit them.
    pub async fn discard(self) -> Result<(), Failure> {
        Err(Failure::internal("writing is not there yet"))
    }
}

/// Writes the rows of one partition of an execution. Several may write for one table at once.
#[derive(Debug)]
pub struct TableWriter {}

impl TableWriter {
    /// A writer for `table`. Nothing is written before the first row.
    pub fn new(_table: &TargetTable, _options: WriterOptions) -> Self {
        Self {}
    }

    /// Fits `batch` to the table (see [`crate::commit::fit`]) and writes it.
    pub async fn write(&mut self, _batch: &RecordBatch) -> Result<(), Failure> {
        Err(Failure::internal("writing is not there yet"))
    }

    /// Closes all files.
    pub async fn finish(self) -> Result<StagedFiles, Failure> {
        Err(Failure::internal("writing is not there yet"))
    }

    /// Deletes everything that was written.
    pub async fn abort(self) -> Result<(), Failure> {
        Err(Failure::internal("writing is not there yet"))
    }
}
