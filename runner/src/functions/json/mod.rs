//! The columnar JSON decoder: one for `from_json` and for files of JSON lines. Bytes go in, Arrow arrays come out, in one pass.
//!
//! Fields that the schema lacks are skipped. A value of the wrong type is NULL for its field only; a text that is no JSON is a
//! malformed record. Of a key that comes twice the last value counts. Objects and arrays for a STRING keep their raw text.

mod column;
mod nested;
mod path;
mod scan;
mod surprise;
mod write;

use std::{collections::BTreeSet, sync::Arc};

use datafusion::arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};

use floe_graph::analysis::ddl::type_text;

use self::{
    column::{Column, Fit},
    nested::StructColumn,
    surprise::Surprises,
};
use crate::functions::temporal::{
    pattern::Pattern,
    zone::{UTC, Zone},
};

pub use self::write::value_text;
pub(crate) use self::write::{WriteOptions, write_value};
pub use self::{
    path::JsonPath,
    scan::{MAX_DEPTH, Malformed, Scanner},
    surprise::{SurpriseOptions, rescued_json},
};

/// What happens to a malformed record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParseMode {
    /// A row of NULLs, with the raw text in the column for corrupt records if the schema has one.
    #[default]
    Permissive,
    /// The record is left out and counted.
    DropMalformed,
    /// Decoding stops with the record's line.
    FailFast,
}

/// How to decode.
#[derive(Clone, Debug)]
pub struct DecoderOptions {
    /// What becomes of malformed records.
    pub mode: ParseMode,
    /// Name of the STRING column that takes the text of malformed records; filled only if the schema has it.
    pub corrupt_record_column: String,
    /// What a timestamp without a zone means.
    pub time_zone: Zone,
    /// Pattern of TIMESTAMP texts instead of the ISO forms.
    pub timestamp_format: Option<Pattern>,
    /// Pattern of DATE texts instead of `yyyy-MM-dd`.
    pub date_format: Option<Pattern>,
    /// Compare field names with their letter case.
    pub case_sensitive: bool,
    /// A record that is an array of objects gives one row per object (files, not `from_json`).
    pub array_as_rows: bool,
    /// What becomes of fields without a column and of values that do not fit.
    pub surprises: SurpriseOptions,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        Self {
            mode: ParseMode::Permissive,
            corrupt_record_column: "_corrupt_record".to_string(),
            time_zone: UTC,
            timestamp_format: None,
            date_format: None,
            case_sensitive: true,
            array_as_rows: false,
            surprises: SurpriseOptions::default(),
        }
    }
}

/// A schema that JSON cannot fill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecoderError {
    /// No JSON value fits the type.
    #[error("field '{field}' has type {data_type}, which JSON cannot be read into")]
    UnsupportedType {
        /// Path of the field, dots between the levels.
        field: String,
        /// Its type.
        data_type: String,
    },
    /// The column for corrupt records holds text.
    #[error("column '{name}' for corrupt records must be a STRING, but is {data_type}")]
    CorruptRecordType {
        /// Name of the column.
        name: String,
        /// Its type.
        data_type: String,
    },
}

/// What one record gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// The record is in the columns: one row, or as many as its array had objects.
    Rows(usize),
    /// The record is no JSON object. Under `Permissive` a row of NULLs stands for it, else nothing.
    Malformed(Malformed),
}

/// A malformed record under `FailFast`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed JSON record in line {line}: {cause}")]
pub struct MalformedLine {
    /// Line number, from 1, since the start of the file.
    pub line: u64,
    /// What is wrong, and where in the line.
    pub cause: Malformed,
    /// The first 200 characters of the record.
    pub excerpt: String,
}

/// Totals since the decoder was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeCounts {
    /// Rows appended, with the rows of NULLs.
    pub rows: u64,
    /// Malformed records, whatever became of them.
    pub malformed: u64,
    /// Values that did not fit their field and became NULL.
    pub mismatches: u64,
}

/// State of the record that is read.
#[derive(Debug)]
struct Reading<'o> {
    options: &'o DecoderOptions,
    misfits: u64,
    surprises_wanted: bool,
    surprises: Surprises,
}

impl<'o> Reading<'o> {
    fn new(options: &'o DecoderOptions) -> Self {
        Self { options, misfits: 0, surprises_wanted: options.surprises.are_wanted(), surprises: Surprises::default() }
    }
}

/// Bytes that one batch may hold, so that 32-bit offsets cannot overflow.
const BATCH_BYTES: usize = 1 << 30;

/// Decodes records of JSON into the columns of a schema.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    options: DecoderOptions,
    root: StructColumn,
    corrupt: Option<usize>,
    rescued: Option<usize>,
    /// Of the file that is read, for rescued data.
    file_path: String,
    new_fields: BTreeSet<String>,
    malformed: Vec<(Vec<u8>, Malformed)>,
    counts: DecodeCounts,
    line: u64,
    bytes: usize,
}

impl Decoder {
    /// A decoder for the columns of `schema`; fields are made nullable. Pass only the needed columns: all others are skipped fast.
    pub fn new(schema: &Schema, options: DecoderOptions) -> Result<Self, DecoderError> {
        let mut root = StructColumn::new(schema.fields(), "", options.case_sensitive)?;
        let corrupt = schema.fields().iter().position(|field| *field.name() == options.corrupt_record_column);
        let is_rescued = |field: &FieldRef| options.surprises.rescued_column.as_ref() == Some(field.name());
        let rescued = schema.fields().iter().position(is_rescued);
        root.leave_out(rescued, &options.surprises.known_fields);
        if let Some(field) = corrupt.or(rescued).and_then(|index| schema.fields().get(index))
            && *field.data_type() != DataType::Utf8
        {
            let data_type = field.data_type().to_string();
            return Err(DecoderError::CorruptRecordType { name: field.name().clone(), data_type });
        }
        let fields: Vec<FieldRef> = schema.fields().iter().map(nullable_field).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Ok(Self {
            schema,
            options,
            root,
            corrupt,
            rescued,
            file_path: String::new(),
            new_fields: BTreeSet::new(),
            malformed: Vec::new(),
            counts: DecodeCounts::default(),
            line: 0,
            bytes: 0,
        })
    }

    /// The schema of the batches: that of `new` with nullable fields.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows since the last `finish`.
    pub fn rows(&self) -> usize {
        self.root.len()
    }

    /// Totals since the decoder was made.
    pub fn counts(&self) -> DecodeCounts {
        self.counts
    }

    /// The file at `path` begins: lines are counted from 1 again.
    pub fn start_file(&mut self, path: &str) {
        self.line = 0;
        path.clone_into(&mut self.file_path);
        self.new_fields.clear();
    }

    /// Fields of this file that the schema lacks, if they are reported; nested ones with dots.
    pub fn new_fields(&self) -> &BTreeSet<String> {
        &self.new_fields
    }

    /// Malformed records that were left out since the last call, if they are kept.
    pub fn take_malformed(&mut self) -> Vec<(Vec<u8>, Malformed)> {
        std::mem::take(&mut self.malformed)
    }

    /// Decodes one record, which must be the whole text.
    pub fn decode_record(&mut self, record: &[u8]) -> RecordOutcome {
        let row = self.root.len();
        let mut reading = Reading::new(&self.options);
        let mut surprised = Surprised { rescued: self.rescued, file_path: &self.file_path, bytes: 0, new_fields: BTreeSet::new() };
        let result = if self.bytes.saturating_add(record.len()) > i32::MAX as usize {
            Err(Malformed { offset: 0, reason: "record too large for one batch" })
        } else {
            decode_root(&mut self.root, record, &mut reading, &mut surprised)
        };
        let (misfits, rescued_bytes, mut new_fields) = (reading.misfits, surprised.bytes, surprised.new_fields);
        match result {
            Ok(()) => {
                self.bytes += record.len() + rescued_bytes;
                self.new_fields.append(&mut new_fields);
                self.counts.mismatches += misfits;
                let rows = self.root.len() - row;
                self.counts.rows += rows as u64;
                RecordOutcome::Rows(rows)
            }
            Err(cause) => {
                self.root.truncate(row);
                self.counts.malformed += 1;
                match self.options.mode {
                    ParseMode::Permissive => self.append_corrupt(record),
                    _ if self.options.surprises.keep_malformed => self.malformed.push((record.to_vec(), cause)),
                    _ => {}
                }
                RecordOutcome::Malformed(cause)
            }
        }
    }

    fn append_corrupt(&mut self, record: &[u8]) {
        let row = self.root.len();
        self.root.append_null();
        self.counts.rows += 1;
        let Some(column) = self.corrupt.and_then(|index| self.root.column_mut(index)) else { return };
        if let Column::Text(bytes) = column {
            let text = String::from_utf8_lossy(record);
            self.bytes = self.bytes.saturating_add(text.len());
            if i32::try_from(self.bytes).is_ok() {
                bytes.truncate(row);
                bytes.push(text.as_bytes());
            }
        }
    }

    /// Decodes the lines of `buffer` until it ends or the batch has `max_rows` rows, and gives the bytes consumed. Blank lines are
    /// skipped. A last line without its end stays unread unless `last` says that the file ends here.
    pub fn decode_lines(&mut self, buffer: &[u8], last: bool, max_rows: usize) -> Result<usize, MalformedLine> {
        let mut at = 0;
        while at < buffer.len() && self.root.len() < max_rows && (self.bytes < BATCH_BYTES || self.root.len() == 0) {
            let rest = buffer.get(at..).unwrap_or_default();
            let (line, used) = match memchr::memchr(b'\n', rest) {
                Some(end) => (rest.get(..end).unwrap_or_default(), end + 1),
                None if last => (rest, rest.len()),
                None => break,
            };
            at += used;
            self.line += 1;
            let record = line.trim_ascii();
            if record.is_empty() {
                continue;
            }
            let outcome = self.decode_record(record);
            if let (RecordOutcome::Malformed(cause), ParseMode::FailFast) = (outcome, self.options.mode) {
                let excerpt = String::from_utf8_lossy(record).chars().take(200).collect();
                return Err(MalformedLine { line: self.line, cause, excerpt });
            }
        }
        Ok(at)
    }

    /// The rows since the last `finish` as a batch.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.bytes = 0;
        self.root.discard_nulls();
        let (_, arrays, rows) = self.root.finish_parts()?;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &RecordBatchOptions::new().with_row_count(Some(rows)))
    }
}

/// Where surprises of a row go.
struct Surprised<'a> {
    rescued: Option<usize>,
    file_path: &'a str,
    /// Of rescued data.
    bytes: usize,
    new_fields: BTreeSet<String>,
}

impl Surprised<'_> {
    /// The row that was read last is complete.
    fn settle(&mut self, root: &mut StructColumn, reading: &mut Reading<'_>) {
        if reading.surprises.len() == 0 {
            return;
        }
        if reading.options.surprises.report_new_fields {
            reading.surprises.name_new_fields(&mut self.new_fields);
        }
        let row = root.len() - 1;
        if let Some(Column::Text(column)) = self.rescued.and_then(|index| root.column_mut(index)) {
            let json = reading.surprises.take_json(self.file_path);
            self.bytes += json.len();
            column.truncate(row);
            column.push(&json);
        }
        reading.surprises.clear();
    }
}

fn decode_root(root: &mut StructColumn, record: &[u8], reading: &mut Reading<'_>, surprised: &mut Surprised<'_>) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(record);
    if reading.options.array_as_rows && scanner.take(b'[') {
        let mut more = !scanner.take(b']');
        while more {
            root.decode(&mut scanner, reading)?;
            surprised.settle(root, reading);
            more = scanner.take(b',');
            if !more {
                scanner.expect(b']', "expected a comma or the end of the array")?;
            }
        }
    } else {
        root.decode(&mut scanner, reading)?;
        surprised.settle(root, reading);
    }
    scanner.end()
}

/// Decodes texts of JSON into one array of any type: `from_json`.
#[derive(Debug)]
pub struct ValueDecoder {
    options: DecoderOptions,
    root: Column,
    /// The field of the outermost struct that takes texts which do not fit the schema.
    corrupt: Option<usize>,
    counts: DecodeCounts,
}

impl ValueDecoder {
    /// A decoder for values of `data_type` (a struct, array or map, as `from_json` takes them).
    pub fn new(data_type: &DataType, options: DecoderOptions) -> Result<Self, DecoderError> {
        let mut root = Column::new(data_type, "", options.case_sensitive)?;
        let mut corrupt = None;
        if let (DataType::Struct(fields), Column::Struct(group)) = (data_type, &mut root)
            && let Some((index, field)) = fields.iter().enumerate().find(|(_, field)| *field.name() == options.corrupt_record_column)
        {
            if *field.data_type() != DataType::Utf8 {
                let data_type = type_text(field.data_type());
                return Err(DecoderError::CorruptRecordType { name: field.name().clone(), data_type });
            }
            group.leave_out(Some(index), &[]);
            corrupt = Some(index);
        }
        Ok(Self { options, root, corrupt, counts: DecodeCounts::default() })
    }

    /// Appends a NULL.
    pub fn append_null(&mut self) {
        self.root.append_null();
        self.counts.rows += 1;
    }

    /// Appends the value of `text`. A malformed text gives a struct of NULLs, or NULL for another type; a blank one gives NULL. A text that is
    /// malformed, or has a value of another type than the schema, is in the field for corrupt records, if there is one; for `FailFast` it
    /// counts as malformed.
    pub fn decode(&mut self, text: &[u8]) -> RecordOutcome {
        let row = self.root.len();
        self.counts.rows += 1;
        let mut scanner = Scanner::new(text);
        if scanner.peek().is_none() {
            self.root.append_null();
            return RecordOutcome::Rows(1);
        }
        let mut reading = Reading::new(&self.options);
        let result = decode_value(&mut self.root, &mut scanner, &mut reading);
        let misfits = reading.misfits;
        match result {
            Ok(()) => {
                self.counts.mismatches += misfits;
                if misfits == 0 {
                    return RecordOutcome::Rows(1);
                }
                self.keep_corrupt(row, text);
                match self.options.mode {
                    ParseMode::FailFast => {
                        RecordOutcome::Malformed(Malformed { offset: 0, reason: "value of another type than the schema" })
                    }
                    _ => RecordOutcome::Rows(1),
                }
            }
            Err(cause) => {
                self.root.truncate(row);
                match &mut self.root {
                    Column::Struct(group) => group.append_empty(),
                    other => other.append_null(),
                }
                self.keep_corrupt(row, text);
                self.counts.malformed += 1;
                RecordOutcome::Malformed(cause)
            }
        }
    }

    fn keep_corrupt(&mut self, row: usize, text: &[u8]) {
        let (Some(index), Column::Struct(group)) = (self.corrupt, &mut self.root) else { return };
        if let Some(Column::Text(column)) = group.column_mut(index) {
            column.truncate(row);
            column.push(String::from_utf8_lossy(text).as_bytes());
        }
    }

    /// Totals since the decoder was made.
    pub fn counts(&self) -> DecodeCounts {
        self.counts
    }

    /// The array of all values since the last `finish`.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.root.finish()
    }
}

fn decode_value(root: &mut Column, scanner: &mut Scanner<'_>, reading: &mut Reading<'_>) -> Result<(), Malformed> {
    if scanner.word(b"null") {
        return Err(scanner.malformed("expected an object"));
    }
    match root.decode(scanner, reading)? {
        Fit::Fits => scanner.end(),
        Fit::Misfit => Err(scanner.malformed("value of another type than the schema")),
    }
}

/// The same field, nullable, and all below it; keys and entries of a map stay as Arrow wants them.
fn nullable_field(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(nullable_type(field.data_type())).with_nullable(true))
}

/// The same type with nullable fields at all levels.
pub fn nullable_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nullable_field).collect()),
        DataType::List(item) => DataType::List(nullable_field(item)),
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { return data_type.clone() };
            let [key, value] = fields.as_ref() else { return data_type.clone() };
            let fields = vec![Arc::clone(key), nullable_field(value)];
            let entries = Field::new(entries.name(), DataType::Struct(fields.into()), false);
            DataType::Map(Arc::new(entries), *sorted)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
