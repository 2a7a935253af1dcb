//! Change data: what a commit did to rows, row by row, in files of its own for readers of the change feed.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use crate::{
    commit::{
        action::Cdc,
        table::TargetTable,
        writer::{TableWriter, WriterOptions},
    },
    failure::Failure,
    storage::Location,
};

/// The directory of change data below a table.
const DIRECTORY: &str = "_change_data";
/// The column that says what happened to a row.
const CHANGE_TYPE: &str = "_change_type";

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeType {
    /// It is new.
    Insert,
    /// It was like this before an update.
    UpdatePreimage,
    /// It is like this after an update.
    UpdatePostimage,
    /// It is gone.
    Delete,
}

impl ChangeType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::UpdatePreimage => "update_preimage",
            Self::UpdatePostimage => "update_postimage",
            Self::Delete => "delete",
        }
    }
}

/// Files with change data that no commit names yet.
#[derive(Clone, Debug)]
pub struct StagedChangeData {
    location: Location,
    /// The files, as a commit names them.
    pub files: Vec<Cdc>,
    /// Rows of all files.
    pub rows: u64,
}

impl StagedChangeData {
    /// Deletes the files.
    pub async fn discard(self) -> Result<(), Failure> {
        for file in &self.files {
            self.location.delete(&file.path.replace("%25", "%")).await?;
        }
        Ok(())
    }
}

/// Writes the change data of one commit.
#[derive(Debug)]
pub struct ChangeDataWriter {
    writer: TableWriter,
    /// Of the files: those of the table and the kind of change.
    schema: SchemaRef,
    columns: SchemaRef,
}

impl ChangeDataWriter {
    /// A writer for changes of `table`. Nothing is written before the first row.
    pub fn new(table: &TargetTable, options: WriterOptions) -> Result<Self, Failure> {
        let columns = Arc::clone(table.schema());
        let kind = Arc::new(Field::new(CHANGE_TYPE, DataType::Utf8, true));
        let schema = Arc::new(Schema::new(columns.fields().iter().cloned().chain([kind]).collect::<Vec<_>>()));
        Ok(Self { writer: TableWriter::within(table, options, &schema, DIRECTORY)?, schema, columns })
    }

    /// Writes rows that all changed in the same way; their columns are fitted to those of the table. After a failure the writer must be aborted.
    pub async fn write(&mut self, rows: &RecordBatch, change: ChangeType) -> Result<(), Failure> {
        let rows = super::fit::fit(rows, &self.columns)?;
        let kinds: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(change.as_str(), rows.num_rows())));
        let columns = rows.columns().iter().cloned().chain([kinds]).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        self.writer.write(&batch.map_err(|error| Failure::internal(format!("change data: {error}")))?).await
    }

    /// Closes all files.
    pub async fn finish(self) -> Result<StagedChangeData, Failure> {
        let staged = self.writer.finish().await?;
        let file = |add: crate::commit::action::Add| Cdc {
            path: add.path,
            partition_values: add.partition_values,
            size: add.size,
            data_change: false,
            tags: None,
        };
        Ok(StagedChangeData { location: staged.location, files: staged.adds.into_iter().map(file).collect(), rows: staged.rows })
    }

    /// Deletes everything that was written.
    pub async fn abort(self) -> Result<(), Failure> {
        self.writer.abort().await
    }
}
