//! The readers of the formats behind one face: the content of a file as batches of the needed columns.

use datafusion::arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use floe_graph::source_options::FileFormat;

use super::{
    binary::BinaryReader,
    csv::CsvReader,
    json::JsonReader,
    open::{ReadError, SourceFile},
    parquet::ParquetReader,
    scan::FileRead,
    text::TextReader,
};
use crate::failure::Failure;

/// Rows of one batch.
pub(super) const BATCH_ROWS: usize = 16 * 1024;
/// Bytes of content after which a batch ends early, so that long records do not make huge batches.
pub(super) const BATCH_BYTES: usize = 32 << 20;

/// Takes the batches of a file.
pub(super) type Emit<'a> = dyn FnMut(RecordBatch) -> Result<(), ReadError> + 'a;

/// What one file gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileCounts {
    pub rows: u64,
    pub corrupt: u64,
}

/// The reader of a scan's format; lives for all files of a partition that have the same columns.
pub(super) enum ContentReader {
    Json(Box<JsonReader>),
    Csv(Box<CsvReader>),
    Parquet(ParquetReader),
    Text(TextReader),
    Binary(BinaryReader),
}

impl ContentReader {
    /// `content` are the needed columns; `file_schema` are all columns that the content of a file has, needed or not: CSV columns have a
    /// position.
    pub(super) fn new(read: &FileRead, content: &SchemaRef, file_schema: &Schema) -> Result<Self, Failure> {
        Ok(match read.options.format {
            FileFormat::Json => Self::Json(Box::new(JsonReader::new(content, read)?)),
            FileFormat::Csv => Self::Csv(Box::new(CsvReader::new(content, file_schema, read)?)),
            FileFormat::Parquet => Self::Parquet(ParquetReader::new(content)),
            FileFormat::Text => Self::Text(TextReader::new(content)),
            FileFormat::BinaryFile => Self::Binary(BinaryReader::new(content)),
        })
    }

    /// Gives all batches of `file` to `emit`.
    pub(super) fn read(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>) -> Result<FileCounts, ReadError> {
        match self {
            Self::Json(reader) => reader.read(file, emit),
            Self::Csv(reader) => reader.read(file, emit),
            Self::Parquet(reader) => reader.read(file, emit),
            Self::Text(reader) => reader.read(file, emit),
            Self::Binary(reader) => reader.read(file, emit),
        }
    }
}
