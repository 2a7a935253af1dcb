//! The readers of the formats behind one face: the content of a file as batches of the needed columns.

use datafusion::arrow::{array::RecordBatch, datatypes::SchemaRef};
use floe_graph::source_options::FileFormat;

use super::{
    avro::AvroReader,
    binary::BinaryReader,
    csv::CsvReader,
    json::JsonReader,
    open::{ReadError, SourceFile},
    orc::OrcReader,
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

/// Takes the records that are left out, with the reasons, if somebody lists them. They come with the batches: no reader holds more of them
/// than of rows.
pub(super) type Bad<'a> = dyn FnMut(&[u8], &str) -> Result<(), Failure> + 'a;

/// What one file gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileCounts {
    pub rows: u64,
    pub corrupt: u64,
}

/// The columns of the files that a reader reads.
#[derive(Clone, Debug)]
pub(super) struct ReadColumns {
    /// Those that are needed.
    pub needed: SchemaRef,
    /// All that the content of a file has: CSV columns have a position.
    pub content: SchemaRef,
    /// Those of the relation, paths included: no field of these names is a new one.
    pub known: Vec<String>,
}

/// The reader of a scan's format; lives for all files of a partition that have the same columns.
pub(super) enum ContentReader {
    Json(Box<JsonReader>),
    Csv(Box<CsvReader>),
    Parquet(ParquetReader),
    Avro(AvroReader),
    Orc(OrcReader),
    Text(TextReader),
    Binary(BinaryReader),
}

impl ContentReader {
    pub(super) fn new(read: &FileRead, columns: &ReadColumns) -> Result<Self, Failure> {
        Ok(match read.options.format {
            FileFormat::Json => Self::Json(Box::new(JsonReader::new(columns, read)?)),
            FileFormat::Csv => Self::Csv(Box::new(CsvReader::new(columns, read)?)),
            FileFormat::Parquet => Self::Parquet(ParquetReader::new(columns, read)),
            FileFormat::Avro => Self::Avro(AvroReader::new(columns, read)),
            FileFormat::Orc => Self::Orc(OrcReader::new(columns, read)),
            FileFormat::Text => Self::Text(TextReader::new(&columns.needed, read.options.encoding)),
            FileFormat::BinaryFile => Self::Binary(BinaryReader::new(&columns.needed)),
        })
    }

    /// Gives all batches of `file` to `emit`, and to `bad` the records that are left out.
    pub(super) fn read(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>, bad: &mut Bad<'_>) -> Result<FileCounts, ReadError> {
        match self {
            Self::Json(reader) => reader.read(file, emit, bad),
            Self::Csv(reader) => reader.read(file, emit, bad),
            Self::Parquet(reader) => reader.read(file, emit),
            Self::Avro(reader) => reader.read(file, emit),
            Self::Orc(reader) => reader.read(file, emit),
            Self::Text(reader) => reader.read(file, emit),
            Self::Binary(reader) => reader.read(file, emit),
        }
    }
}
