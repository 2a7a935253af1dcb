//! ORC files: stripes of the needed columns, by the footer.

use std::{
    io::{self, ErrorKind, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{DataType, Field, Schema},
        error::ArrowError,
    },
    parquet::{
        errors::ParquetError,
        file::reader::{ChunkReader as ParquetChunks, Length},
    },
};
use object_store::Error as StoreError;
use orc_rust::{
    ArrowReader, ArrowReaderBuilder,
    error::OrcError,
    projection::ProjectionMask,
    reader::ChunkReader,
    schema::{DataType as OrcType, TimestampPrecision},
};

use super::{
    open::{Chunks, ReadError, SourceFile},
    reader::{BATCH_ROWS, Emit, FileCounts, ReadColumns},
    scan::FileRead,
    typed::Fitting,
};
use crate::{failure::Failure, source::files::location::shown};

/// Reads ORC files into the needed columns.
pub(super) struct OrcReader {
    fitting: Fitting,
}

impl OrcReader {
    pub(super) fn new(columns: &ReadColumns, read: &FileRead) -> Self {
        Self { fitting: Fitting::new(columns, read) }
    }

    pub(super) fn read(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>) -> Result<FileCounts, ReadError> {
        let mut counts = FileCounts::default();
        let Some(builder) = open(file)? else { return Ok(counts) };
        self.fitting.check(&builder.schema(), &file.entry.path)?;
        let wanted: Vec<String> =
            builder.schema().fields().iter().map(|field| field.name()).filter(|name| self.fitting.wants(name)).cloned().collect();
        let root = builder.file_metadata().root_data_type();
        let columns = root.children().iter();
        if let Some(union) =
            columns.filter(|column| wanted.iter().any(|name| name == column.name())).find(|column| has_union(column.data_type()))
        {
            return Err(no_unions(&file.entry.path, union.name()).into());
        }
        let mask = ProjectionMask::named_roots(root, &wanted);
        let mut reader = guarded(|| builder.with_projection(mask).with_batch_size(BATCH_ROWS).build())?;
        while let Some(batch) = next_batch(&mut reader, file)? {
            counts.rows += batch.num_rows() as u64;
            emit(self.fitting.fitted(&batch, &file.entry.path)?)?;
        }
        Ok(counts)
    }
}

/// The columns of a file; only its footer is read.
pub(super) fn columns(file: &SourceFile<'_>) -> Result<Schema, ReadError> {
    let Some(builder) = open(file)? else { return Ok(Schema::empty()) };
    // Whoever writes TIMESTAMP to ORC means instants, in the time zone of the writer.
    let column = |field: &Field| field.clone().with_data_type(instants(field.data_type()));
    Ok(Schema::new(builder.schema().fields().iter().map(|field| column(field)).collect::<Vec<_>>()))
}

fn open(file: &SourceFile<'_>) -> Result<Option<ArrowReaderBuilder<Chunks>>, ReadError> {
    if file.entry.size == 0 {
        return Ok(None);
    }
    let chunks = file.chunks()?;
    let builder = guarded(|| ArrowReaderBuilder::try_new(chunks))?.map_err(|error| orc_error(error, file))?;
    Ok(Some(builder.with_timestamp_precision(TimestampPrecision::Microsecond)))
}

fn next_batch(reader: &mut ArrowReader<Chunks>, file: &SourceFile<'_>) -> Result<Option<RecordBatch>, ReadError> {
    let read = || reader.next().transpose();
    let error = match guarded(read)? {
        Ok(batch) => return Ok(batch),
        Err(error) => error,
    };
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<OrcError>() {
            Ok(error) => Err(orc_error(*error, file)),
            Err(inner) => Err(ReadError::Corrupt(inner.to_string())),
        },
        error => Err(ReadError::Corrupt(error.to_string())),
    }
}

fn orc_error(error: OrcError, file: &SourceFile<'_>) -> ReadError {
    match error {
        OrcError::IoError { source, .. } => file.error(source),
        error => ReadError::Corrupt(error.to_string()),
    }
}

/// The decoder ends with a panic where bytes are not what they should be; the file is unreadable then, and nothing else.
fn guarded<T>(act: impl FnOnce() -> T) -> Result<T, ReadError> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|_| ReadError::Corrupt("its bytes are not what its footer says".to_owned()))
}

fn instants(data_type: &DataType) -> DataType {
    let field = |field: &Field| Arc::new(field.clone().with_data_type(instants(field.data_type())));
    match data_type {
        DataType::Timestamp(unit, None) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::List(item) => DataType::List(field(item)),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|inner| field(inner)).collect()),
        other => other.clone(),
    }
}

fn has_union(data_type: &OrcType) -> bool {
    match data_type {
        OrcType::Union { .. } => true,
        OrcType::List { child, .. } => has_union(child),
        OrcType::Map { key, value, .. } => has_union(key) || has_union(value),
        OrcType::Struct { children, .. } => children.iter().any(|child| has_union(child.data_type())),
        _ => false,
    }
}

fn no_unions(path: &str, column: &str) -> Failure {
    Failure::user("FEATURE_NOT_SUPPORTED", format!("column {column} of {} is a union, which is not read from ORC", shown(path)))
        .help("give a schema without the column")
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read>;

    fn len(&self) -> u64 {
        Length::len(self)
    }

    fn get_read(&self, start: u64) -> io::Result<Self::T> {
        ParquetChunks::get_read(self, start).map_err(io_error)
    }

    fn get_bytes(&self, start: u64, length: u64) -> io::Result<Bytes> {
        // A broken footer may promise more than any memory holds.
        if start.checked_add(length).is_none_or(|end| end > Length::len(self)) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        ParquetChunks::get_bytes(self, start, length as usize).map_err(io_error)
    }
}

fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<StoreError>() {
            Ok(error) => io::Error::other(*error),
            Err(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => *error,
                Err(inner) => io::Error::new(ErrorKind::InvalidData, inner),
            },
        },
        error => io::Error::new(ErrorKind::InvalidData, error),
    }
}
