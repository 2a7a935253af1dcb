//! CSV files with Spark's rules: fields by position, or by the names of the header; a value of the wrong type is NULL, a record with the
//! wrong number of fields is malformed.

use std::sync::Arc;

use datafusion::arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{Schema, SchemaRef},
};
use floe_graph::source_options::{CsvReadOptions, ParseMode};

use super::{
    csv_fields::{Dialect, Fields},
    csv_values::{ValueColumn, ValueFormat},
    json::{malformed, pattern, zone},
    lines::Window,
    open::{ReadError, SourceFile},
    reader::{BATCH_BYTES, BATCH_ROWS, Emit, FileCounts},
    scan::FileRead,
};
use crate::failure::Failure;

/// Reads CSV files into the needed columns.
pub(super) struct CsvReader {
    content: SchemaRef,
    /// Names of all columns of a file by position, the one for corrupt records left out.
    positions: Vec<String>,
    corrupt: Option<usize>,
    columns: Vec<ValueColumn>,
    dialect: Dialect,
    options: CsvReadOptions,
    mode: ParseMode,
    window: Window,
    fields: Fields,
    rows: usize,
    bytes: usize,
}

/// How the records of one file are laid out.
struct Layout {
    /// Per column of the content the position in a record.
    fields: Vec<Option<usize>>,
    width: usize,
}

impl CsvReader {
    pub(super) fn new(content: &SchemaRef, file_schema: &Schema, read: &FileRead) -> Result<Self, Failure> {
        let options = read.options.csv.clone();
        let is_corrupt = |name: &String| *name == read.options.corrupt_record_column;
        let format = Arc::new(ValueFormat {
            null_value: options.null_value.clone(),
            time_zone: zone(&read.time_zone)?,
            timestamp_format: options.timestamp_format.as_deref().map(pattern).transpose()?,
            date_format: options.date_format.as_deref().map(pattern).transpose()?,
        });
        let columns = content.fields().iter().map(|field| ValueColumn::new(field, &format)).collect::<Result<_, _>>()?;
        Ok(Self {
            content: Arc::clone(content),
            positions: file_schema.fields().iter().map(|field| field.name().clone()).filter(|name| !is_corrupt(name)).collect(),
            corrupt: content.fields().iter().position(|field| is_corrupt(field.name())),
            columns,
            dialect: Dialect {
                separator: options.separator,
                quote: options.quote,
                escape: options.escape,
                comment: options.comment,
                multi_line: options.multi_line,
            },
            options,
            mode: read.options.mode,
            window: Window::default(),
            fields: Fields::default(),
            rows: 0,
            bytes: 0,
        })
    }

    pub(super) fn read(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>) -> Result<FileCounts, ReadError> {
        self.window.reset();
        let mut reader = file.reader()?;
        let mut counts = FileCounts::default();
        let mut layout = if self.options.header { None } else { Some(self.by_position()) };
        let mut skip = self.options.skip_rows;
        let mut line = 0;
        loop {
            self.window.fill(reader.as_mut()).map_err(|error| file.error(error))?;
            while let Some(record) = self.dialect.next_record(self.window.bytes(), self.window.is_last()) {
                line += 1;
                if skip > 0 {
                    skip -= 1;
                } else if !record.is_blank {
                    self.fields.split(self.window.bytes().get(..record.length).unwrap_or_default(), &self.dialect);
                    match &layout {
                        None => layout = Some(self.by_name()),
                        Some(layout) => self.append(file, layout, record.length, line, &mut counts)?,
                    }
                }
                self.bytes += record.used;
                line += record.extra_lines;
                self.window.consume(record.used);
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

    fn by_position(&self) -> Layout {
        let position = |name: &String| self.positions.iter().position(|column| column == name);
        Layout { fields: self.content.fields().iter().map(|field| position(field.name())).collect(), width: self.positions.len() }
    }

    /// By the names of the header that was just split. A header that knows none of the names is only a line to skip.
    fn by_name(&self) -> Layout {
        let header: Vec<String> = (0..self.fields.len()).map(|n| String::from_utf8_lossy(self.fields.get(n).0).trim().to_owned()).collect();
        let find = |name: &String| {
            let exact = header.iter().position(|column| column == name);
            exact.or_else(|| header.iter().position(|column| column.eq_ignore_ascii_case(name)))
        };
        if self.positions.iter().all(|name| find(name).is_none()) {
            return self.by_position();
        }
        Layout { fields: self.content.fields().iter().map(|field| find(field.name())).collect(), width: header.len() }
    }

    fn append(
        &mut self,
        file: &SourceFile<'_>,
        layout: &Layout,
        length: usize,
        line: u64,
        counts: &mut FileCounts,
    ) -> Result<(), ReadError> {
        counts.rows += 1;
        if self.fields.len() == layout.width && !self.fields.is_broken() {
            for (index, (column, field)) in self.columns.iter_mut().zip(&layout.fields).enumerate() {
                match field {
                    Some(field) if Some(index) != self.corrupt => {
                        let (bytes, quoted) = self.fields.get(*field);
                        column.append(bytes, quoted);
                    }
                    _ => column.append_null(),
                }
            }
            self.rows += 1;
            return Ok(());
        }
        counts.corrupt += 1;
        match self.mode {
            ParseMode::DropMalformed => Ok(()),
            ParseMode::FailFast => {
                let record = self.window.bytes().get(..length).unwrap_or_default();
                let excerpt: String = String::from_utf8_lossy(record).chars().take(200).collect();
                let reason =
                    format!("malformed CSV record in line {line}: {} fields where {} are expected", self.fields.len(), layout.width);
                Err(malformed(file, &reason, &excerpt))
            }
            ParseMode::Permissive => {
                let record = self.window.bytes().get(..length).unwrap_or_default();
                for (index, column) in self.columns.iter_mut().enumerate() {
                    if Some(index) == self.corrupt { column.append_text(record) } else { column.append_null() }
                }
                self.rows += 1;
                Ok(())
            }
        }
    }

    fn flush(&mut self, emit: &mut Emit<'_>) -> Result<(), ReadError> {
        if self.rows == 0 {
            return Ok(());
        }
        let arrays = self.columns.iter_mut().map(ValueColumn::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.content), arrays, &options);
        (self.rows, self.bytes) = (0, 0);
        emit(batch.map_err(|error| Failure::user("FILE_SCHEMA_NOT_COMPATIBLE", format!("the files do not fit the schema: {error}")))?)
    }
}
