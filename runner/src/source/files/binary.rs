//! Files as a whole: one row per file, columns `path`, `modificationTime`, `length`, `content`.

use std::{io::Read, sync::Arc};

use datafusion::arrow::{
    array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray, new_null_array},
    datatypes::SchemaRef,
};

use super::{
    location::shown,
    open::{ReadError, SourceFile},
    reader::{Emit, FileCounts},
};
use crate::failure::Failure;

/// The largest file that a value can hold.
const MAX_BYTES: u64 = i32::MAX as u64;

/// Reads whole files.
pub(super) struct BinaryReader {
    content: SchemaRef,
}

impl BinaryReader {
    pub(super) fn new(content: &SchemaRef) -> Self {
        Self { content: Arc::clone(content) }
    }

    pub(super) fn read(&self, file: &SourceFile<'_>, emit: &mut Emit<'_>) -> Result<FileCounts, ReadError> {
        let entry = file.entry;
        let mut columns: Vec<ArrayRef> = Vec::new();
        for field in self.content.fields() {
            columns.push(match field.name().to_ascii_lowercase().as_str() {
                "path" => Arc::new(StringArray::from(vec![entry.path.as_str()])),
                "modificationtime" => Arc::new(TimestampMicrosecondArray::from(vec![entry.modified_us]).with_timezone("UTC")),
                "length" => Arc::new(Int64Array::from(vec![entry.size as i64])),
                "content" => Arc::new(BinaryArray::from_vec(vec![&read_all(file)?])),
                _ => new_null_array(field.data_type(), 1),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.content), columns, &options).map_err(|error| {
            let text = "the schema of binaryFile is path STRING, modificationTime TIMESTAMP, length BIGINT, content BINARY";
            Failure::user("FILE_SCHEMA_NOT_COMPATIBLE", format!("{text}: {error}")).help("leave out the schema")
        })?;
        emit(batch)?;
        Ok(FileCounts { rows: 1, corrupt: 0 })
    }
}

fn read_all(file: &SourceFile<'_>) -> Result<Vec<u8>, ReadError> {
    if file.entry.size > MAX_BYTES {
        let text = format!("{} has {} bytes; a value holds at most {MAX_BYTES}", shown(&file.entry.path), file.entry.size);
        return Err(Failure::user("BINARY_FILE_TOO_LARGE", text).help("exclude the file with pathGlobFilter").into());
    }
    let mut bytes = Vec::with_capacity(file.entry.size as usize);
    file.raw()?.read_to_end(&mut bytes).map_err(|error| file.error(error))?;
    Ok(bytes)
}
