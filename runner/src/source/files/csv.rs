//! CSV files with Spark's rules: fields by position, or by the names of the header; a value of the wrong type is NULL, a record with the
//! wrong number of fields is malformed.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use floe_graph::source_options::{CsvReadOptions, ParseMode, TextEncoding};

use super::{
    csv_fields::{Dialect, Fields, column_names, header_texts},
    csv_values::{ValueColumn, ValueFormat},
    json::{malformed, pattern, zone},
    lines::Window,
    open::{ReadError, SourceFile},
    reader::{BATCH_BYTES, BATCH_ROWS, Bad, Emit, FileCounts, ReadColumns},
    scan::FileRead,
    surprise::{Surprising, new_fields, places},
};
use crate::{failure::Failure, functions::json::rescued_json};

/// Reads CSV files into the needed columns.
pub(super) struct CsvReader {
    decoded: SchemaRef,
    /// Columns of `decoded` that are needed, if not all are.
    needed: Option<Vec<usize>>,
    /// Names of all columns of a file by position; those for corrupt records and rescued data are none.
    positions: Vec<String>,
    corrupt: Option<usize>,
    rescued: Option<usize>,
    surprising: Surprising,
    /// Names that are no new columns.
    known: Vec<String>,
    /// Records that were left out, if they are kept.
    bad: Option<Vec<(Vec<u8>, String)>>,
    columns: Vec<ValueColumn>,
    dialect: Dialect,
    options: CsvReadOptions,
    /// The files themselves have told the columns.
    is_inferred: bool,
    encoding: TextEncoding,
    mode: ParseMode,
    window: Window,
    fields: Fields,
    rows: usize,
    bytes: usize,
}

/// How the records of one file are laid out.
struct Layout {
    /// Per decoded column the position in a record.
    fields: Vec<Option<usize>>,
    width: usize,
    /// Positions with names that the schema lacks.
    unknown: Vec<(usize, String)>,
}

impl CsvReader {
    pub(super) fn new(columns: &ReadColumns, read: &FileRead) -> Result<Self, Failure> {
        let options = read.options.csv.clone();
        let surprising = Surprising::new(columns, &read.options.schema);
        let decoded = surprising.decoded(columns);
        let is_corrupt = |name: &String| *name == read.options.corrupt_record_column;
        let rescued_name = read.options.schema.rescued_column.as_deref().unwrap_or_default();
        let is_own = |name: &String| is_corrupt(name) || name.eq_ignore_ascii_case(rescued_name);
        let format = Arc::new(ValueFormat {
            null_value: options.null_value.clone(),
            time_zone: zone(&read.options.time_zone)?,
            timestamp_format: options.timestamp_format.as_deref().map(pattern).transpose()?,
            date_format: options.date_format.as_deref().map(pattern).transpose()?,
        });
        let values = decoded.fields().iter().map(|field| ValueColumn::new(field, &format)).collect::<Result<_, _>>()?;
        Ok(Self {
            needed: places(&columns.needed, &decoded),
            positions: columns.content.fields().iter().map(|field| field.name().clone()).filter(|name| !is_own(name)).collect(),
            corrupt: decoded.fields().iter().position(|field| is_corrupt(field.name())),
            rescued: decoded.fields().iter().position(|field| surprising.is_rescued(field.name())),
            known: columns.known.clone(),
            bad: read.options.bad_records_path.is_some().then(Vec::new),
            decoded,
            surprising,
            columns: values,
            dialect: Dialect {
                separator: options.separator,
                quote: options.quote,
                escape: options.escape,
                comment: options.comment,
                multi_line: options.multi_line,
            },
            options,
            is_inferred: read.options.schema.inferred,
            encoding: read.options.encoding,
            mode: read.options.mode,
            window: Window::default(),
            fields: Fields::default(),
            rows: 0,
            bytes: 0,
        })
    }

    pub(super) fn read(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>, bad: &mut Bad<'_>) -> Result<FileCounts, ReadError> {
        self.window.reset();
        let mut reader = file.text(self.encoding)?;
        let mut counts = FileCounts::default();
        let mut layout = None;
        let mut skip = self.options.skip_rows;
        let mut line = 0;
        loop {
            self.window.fill(reader.as_mut()).map_err(|error| file.error(error))?;
            while let Some(record) = self.dialect.next_record(self.window.bytes(), self.window.is_last()) {
                line += 1;
                if skip > 0 {
                    skip -= 1;
                } else if !record.is_blank {
                    self.take(file, &mut layout, (record.length, line), &mut counts)?;
                }
                self.bytes += record.used;
                line += record.extra_lines;
                self.window.consume(record.used);
                if self.rows == BATCH_ROWS || self.bytes > BATCH_BYTES {
                    self.flush(emit, bad)?;
                }
            }
            if self.window.is_last() {
                self.flush(emit, bad)?;
                return Ok(counts);
            }
        }
    }

    /// Takes the next record, which is `length` bytes long: the header, or a row.
    fn take(
        &mut self,
        file: &SourceFile<'_>,
        layout: &mut Option<Layout>,
        (length, line): (usize, u64),
        counts: &mut FileCounts,
    ) -> Result<(), ReadError> {
        self.fields.split(self.window.bytes().get(..length).unwrap_or_default(), &self.dialect);
        let is_header = layout.is_none() && self.options.header;
        let layout = match layout {
            Some(layout) => layout,
            None => layout.insert(self.layout(file)?),
        };
        if is_header { Ok(()) } else { self.append(file, layout, length, line, counts) }
    }

    /// What the first record, which was just split, says about the others.
    fn layout(&self, file: &SourceFile<'_>) -> Result<Layout, ReadError> {
        if self.options.header { self.by_name(file) } else { self.by_position(file) }
    }

    /// Columns in the order of the schema. The first record, which was just split, says how many a file has whose schema was inferred.
    fn by_position(&self, file: &SourceFile<'_>) -> Result<Layout, ReadError> {
        let position = |name: &String| self.positions.iter().position(|column| column == name);
        let fields = self.decoded.fields().iter().map(|field| position(field.name())).collect();
        let (known, found) = (self.positions.len(), self.fields.len());
        if !self.is_inferred || self.fields.is_broken() {
            return Ok(Layout { fields, width: known, unknown: Vec::new() });
        }
        let unknown: Vec<(usize, String)> = (known..found).map(|n| (n, format!("_c{n}"))).collect();
        self.may_be_new(file, &unknown)?;
        // A first record that is short is the one that is malformed, not those behind it.
        Ok(Layout { fields, width: found.max(known), unknown })
    }

    /// Ends the read if there are columns that nobody must pass over.
    fn may_be_new(&self, file: &SourceFile<'_>, unknown: &[(usize, String)]) -> Result<(), ReadError> {
        if !self.surprising.stops || unknown.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<String> = unknown.iter().map(|(_, name)| name.clone()).collect();
        Err(new_fields(&file.entry.path, &names).into())
    }

    /// By the names of the header that was just split. A header that knows none of the names is only a line to skip, unless somebody wants to
    /// know of new columns.
    fn by_name(&self, file: &SourceFile<'_>) -> Result<Layout, ReadError> {
        let (written, header) = (header_texts(&self.fields), column_names(&self.fields, true));
        let exact = |names: &[String], name: &String| names.iter().position(|column| column == name);
        let alike = |names: &[String], name: &String| names.iter().position(|column| column.eq_ignore_ascii_case(name));
        let find = |name: &String| {
            let found = exact(&header, name).or_else(|| exact(&written, name));
            found.or_else(|| alike(&header, name)).or_else(|| alike(&written, name))
        };
        let wants_new = self.surprising.stops || self.rescued.is_some();
        if !wants_new && self.positions.iter().all(|name| find(name).is_none()) {
            return self.by_position(file);
        }
        let is_new = |name: &str| !self.known.iter().any(|known| known.eq_ignore_ascii_case(name));
        let taken: BTreeSet<usize> = self.positions.iter().filter_map(find).collect();
        let is_unknown = |(n, name): &(usize, String)| wants_new && !taken.contains(n) && is_new(name);
        let unknown: Vec<(usize, String)> = header.iter().cloned().enumerate().filter(is_unknown).collect();
        self.may_be_new(file, &unknown)?;
        let fields = self.decoded.fields().iter().map(|field| find(field.name())).collect();
        Ok(Layout { fields, width: header.len(), unknown })
    }

    /// A record as it is. Of one that is malformed (its whole text is given then) columns without a field are NULL, and fields without a
    /// column are rescued.
    fn append_record(&mut self, path: &str, layout: &Layout, malformed: Option<&[u8]>) {
        let mut misfits: Vec<(Vec<String>, Vec<u8>)> = Vec::new();
        let keep = |name: &str, bytes: &[u8]| {
            let text = serde_json::Value::from(String::from_utf8_lossy(bytes)).to_string();
            (vec![name.to_owned()], text.into_bytes())
        };
        for (index, (column, field)) in self.columns.iter_mut().zip(&layout.fields).enumerate() {
            match field {
                Some(field) if *field < self.fields.len() && Some(index) != self.corrupt && Some(index) != self.rescued => {
                    let (bytes, quoted) = self.fields.get(*field);
                    if !column.append(bytes, quoted) && self.rescued.is_some() {
                        misfits.push(keep(self.decoded.field(index).name(), bytes));
                    }
                }
                _ if Some(index) == self.rescued => {}
                _ => match malformed.filter(|_| Some(index) == self.corrupt) {
                    Some(text) => column.append_text(text),
                    None => column.append_null(),
                },
            }
        }
        let Some(rescued) = self.rescued.and_then(|index| self.columns.get_mut(index)) else { return };
        let beyond = (layout.width..self.fields.len()).map(|n| (n, format!("_c{n}")));
        for (position, name) in layout.unknown.iter().filter(|(n, _)| *n < self.fields.len()).cloned().chain(beyond) {
            let (bytes, quoted) = self.fields.get(position);
            if quoted || bytes != self.options.null_value.as_bytes() {
                misfits.push(keep(&name, bytes));
            }
        }
        if misfits.is_empty() {
            return rescued.append_null();
        }
        let values: Vec<(&[String], &[u8])> = misfits.iter().map(|(path, value)| (path.as_slice(), value.as_slice())).collect();
        rescued.append_text(&rescued_json(&values, path));
    }

    /// A record of which is not known where its fields end: nothing of it can be trusted.
    fn append_unreadable(&mut self, record: &[u8]) {
        for (index, column) in self.columns.iter_mut().enumerate() {
            if Some(index) == self.corrupt { column.append_text(record) } else { column.append_null() }
        }
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
            self.append_record(&file.entry.path, layout, None);
            self.rows += 1;
            return Ok(());
        }
        counts.corrupt += 1;
        match self.mode {
            ParseMode::DropMalformed => {
                if let Some(bad) = &mut self.bad {
                    let record = self.window.bytes().get(..length).unwrap_or_default().to_vec();
                    bad.push((record, format!("{} fields where {} are expected in line {line}", self.fields.len(), layout.width)));
                }
                Ok(())
            }
            ParseMode::FailFast => {
                let record = self.window.bytes().get(..length).unwrap_or_default();
                let excerpt: String = String::from_utf8_lossy(record).chars().take(200).collect();
                let reason =
                    format!("malformed CSV record in line {line}: {} fields where {} are expected", self.fields.len(), layout.width);
                Err(malformed(file, &reason, &excerpt))
            }
            ParseMode::Permissive => {
                let record = self.window.bytes().get(..length).unwrap_or_default().to_vec();
                if self.fields.is_broken() {
                    self.append_unreadable(&record);
                } else {
                    self.append_record(&file.entry.path, layout, Some(&record));
                }
                self.rows += 1;
                Ok(())
            }
        }
    }

    fn flush(&mut self, emit: &mut Emit<'_>, bad: &mut Bad<'_>) -> Result<(), ReadError> {
        for (record, reason) in self.bad.as_mut().map(std::mem::take).unwrap_or_default() {
            bad(&record, &reason)?;
        }
        if self.rows == 0 {
            self.bytes = 0;
            return Ok(());
        }
        let arrays = self.columns.iter_mut().map(ValueColumn::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.decoded), arrays, &options);
        (self.rows, self.bytes) = (0, 0);
        let batch = batch.and_then(|batch| match &self.needed {
            Some(needed) => batch.project(needed),
            None => Ok(batch),
        });
        emit(batch.map_err(|error| Failure::user("FILE_SCHEMA_NOT_COMPATIBLE", format!("the files do not fit the schema: {error}")))?)
    }
}
