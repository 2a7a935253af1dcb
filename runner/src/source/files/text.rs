//! Text files: one row per line, column `value`.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder, new_null_array},
    datatypes::SchemaRef,
};
use floe_graph::source_options::TextEncoding;

use super::{
    lines::Window,
    open::{ReadError, SourceFile},
    reader::{BATCH_BYTES, BATCH_ROWS, Emit, FileCounts},
};
use crate::failure::Failure;

/// Reads lines.
pub(super) struct TextReader {
    content: SchemaRef,
    encoding: TextEncoding,
    window: Window,
    lines: StringBuilder,
    rows: usize,
    bytes: usize,
}

impl TextReader {
    pub(super) fn new(content: &SchemaRef, encoding: TextEncoding) -> Self {
        Self { content: Arc::clone(content), encoding, window: Window::default(), lines: StringBuilder::new(), rows: 0, bytes: 0 }
    }

    pub(super) fn read(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>) -> Result<FileCounts, ReadError> {
        let mut counts = FileCounts::default();
        self.window.reset();
        let mut reader = file.text(self.encoding)?;
        loop {
            self.window.fill(reader.as_mut()).map_err(|error| file.error(error))?;
            while let Some((line, used)) = next_line(self.window.bytes(), self.window.is_last()) {
                let text = std::str::from_utf8(line).map_err(|_| ReadError::Corrupt("it is not UTF-8".to_owned()))?;
                self.lines.append_value(text);
                self.window.consume(used);
                self.rows += 1;
                self.bytes += used;
                counts.rows += 1;
                if self.rows == BATCH_ROWS || self.bytes > BATCH_BYTES {
                    self.flush(emit)?;
                }
            }
            if self.window.is_last() {
                self.flush(emit)?;
                return Ok(counts);
            }
        }
    }

    fn flush(&mut self, emit: &mut Emit<'_>) -> Result<(), ReadError> {
        if self.rows == 0 {
            return Ok(());
        }
        let lines = Arc::new(self.lines.finish());
        let columns = self.content.fields().iter().map(|field| {
            if field.name().eq_ignore_ascii_case("value") {
                Arc::clone(&lines) as ArrayRef
            } else {
                new_null_array(field.data_type(), self.rows)
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.content), columns.collect(), &options);
        (self.rows, self.bytes) = (0, 0);
        emit(batch.map_err(|error| {
            Failure::user("FILE_SCHEMA_NOT_COMPATIBLE", format!("text files have one column, value STRING: {error}"))
                .help("leave out the schema")
        })?)
    }
}

/// The next line without its end, and the bytes to consume for it.
pub(super) fn next_line(bytes: &[u8], last: bool) -> Option<(&[u8], usize)> {
    let (line, used) = match memchr::memchr(b'\n', bytes) {
        Some(end) => (bytes.get(..end)?, end + 1),
        None if last && !bytes.is_empty() => (bytes, bytes.len()),
        None => return None,
    };
    Some((line.strip_suffix(b"\r").unwrap_or(line), used))
}
