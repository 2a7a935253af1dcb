//! Files of JSON lines, or of one document or array each (`multiLine`), through the columnar decoder.

use std::io::Read;

use floe_graph::{
    function::date_pattern::PATTERN_HELP,
    source_options::{ParseMode, TextEncoding},
};

use super::{
    lines::Window,
    location::shown,
    open::{ReadError, SourceFile},
    reader::{BATCH_BYTES, BATCH_ROWS, Bad, Emit, FileCounts, ReadColumns},
    scan::FileRead,
    surprise::{Surprising, new_fields, places},
};
use crate::{
    failure::Failure,
    functions::{
        json::{self, Decoder, DecoderOptions, RecordOutcome, SurpriseOptions},
        temporal::{pattern::Pattern, zone::Zone},
    },
};

/// Reads JSON files into the needed columns.
pub(super) struct JsonReader {
    decoder: Decoder,
    /// Columns of the decoder that are needed, if not all are.
    needed: Option<Vec<usize>>,
    window: Window,
    encoding: TextEncoding,
    multi_line: bool,
    mode: ParseMode,
}

impl JsonReader {
    pub(super) fn new(columns: &ReadColumns, read: &FileRead) -> Result<Self, Failure> {
        let options = &read.options;
        let surprising = Surprising::new(columns, &options.schema);
        let decoded = surprising.decoded(columns);
        let is_decoded = |name: &&String| decoded.fields().iter().any(|field| field.name() == *name);
        let decoder_options = DecoderOptions {
            mode: match options.mode {
                ParseMode::Permissive => json::ParseMode::Permissive,
                ParseMode::DropMalformed => json::ParseMode::DropMalformed,
                ParseMode::FailFast => json::ParseMode::FailFast,
            },
            corrupt_record_column: options.corrupt_record_column.clone(),
            time_zone: zone(&read.options.time_zone)?,
            timestamp_format: options.json.timestamp_format.as_deref().map(pattern).transpose()?,
            date_format: options.json.date_format.as_deref().map(pattern).transpose()?,
            case_sensitive: options.json.case_sensitive,
            array_as_rows: true,
            surprises: SurpriseOptions {
                known_fields: columns.known.iter().filter(|name| !is_decoded(name)).cloned().collect(),
                rescued_column: surprising.rescued_column.clone(),
                report_new_fields: surprising.stops,
                keep_malformed: options.bad_records_path.is_some(),
            },
        };
        let rows = Decoder::new(&decoded, decoder_options).map_err(|error| {
            Failure::user("UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE", error.to_string()).help("change the schema of read_files")
        })?;
        Ok(Self {
            decoder: rows,
            needed: places(&columns.needed, &decoded),
            window: Window::default(),
            encoding: options.encoding,
            multi_line: options.json.multi_line,
            mode: options.mode,
        })
    }

    pub(super) fn read(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>, bad: &mut Bad<'_>) -> Result<FileCounts, ReadError> {
        let before = self.decoder.counts();
        self.decoder.start_file(&file.entry.path);
        self.window.reset();
        let mut reader = file.text(self.encoding)?;
        if self.multi_line {
            self.read_document(file, reader.as_mut())?;
        } else {
            self.read_lines(file, reader.as_mut(), emit, bad)?;
        }
        self.flush(file, emit, bad)?;
        let counts = self.decoder.counts();
        let corrupt = counts.malformed - before.malformed;
        let rows = counts.rows - before.rows;
        // Dropped records are input too.
        Ok(FileCounts { rows: if self.mode == ParseMode::Permissive { rows } else { rows + corrupt }, corrupt })
    }

    fn read_lines(
        &mut self,
        file: &SourceFile<'_>,
        reader: &mut dyn Read,
        emit: &mut Emit<'_>,
        bad: &mut Bad<'_>,
    ) -> Result<(), ReadError> {
        let mut undelivered = 0;
        loop {
            self.window.fill(reader).map_err(|error| file.error(error))?;
            let last = self.window.is_last();
            loop {
                let bytes = self.window.bytes();
                let used = self
                    .decoder
                    .decode_lines(bytes, last, BATCH_ROWS)
                    .map_err(|error| malformed(file, &error.to_string(), &error.excerpt))?;
                self.window.consume(used);
                undelivered += used;
                if self.decoder.rows() < BATCH_ROWS && undelivered < BATCH_BYTES {
                    break;
                }
                self.flush(file, emit, bad)?;
                undelivered = 0;
            }
            if last && self.window.bytes().is_empty() {
                return Ok(());
            }
        }
    }

    fn read_document(&mut self, file: &SourceFile<'_>, reader: &mut dyn Read) -> Result<(), ReadError> {
        while !self.window.is_last() {
            self.window.fill(reader).map_err(|error| file.error(error))?;
        }
        let document = self.window.bytes().trim_ascii();
        if document.is_empty() {
            return Ok(());
        }
        if let (RecordOutcome::Malformed(cause), ParseMode::FailFast) = (self.decoder.decode_record(document), self.mode) {
            let excerpt: String = String::from_utf8_lossy(document).chars().take(200).collect();
            return Err(malformed(file, &format!("malformed JSON document: {cause}"), &excerpt));
        }
        Ok(())
    }

    fn flush(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>, bad: &mut Bad<'_>) -> Result<(), ReadError> {
        for (record, cause) in self.decoder.take_malformed() {
            bad(&record, &cause.to_string())?;
        }
        if !self.decoder.new_fields().is_empty() {
            return Err(new_fields(&file.entry.path, self.decoder.new_fields()).into());
        }
        if self.decoder.rows() == 0 {
            return Ok(());
        }
        let batch = self.decoder.finish().map_err(|error| Failure::internal(format!("decoded JSON made no batch: {error}")))?;
        let Some(needed) = &self.needed else { return emit(batch) };
        emit(batch.project(needed).map_err(|error| Failure::internal(format!("a decoded column is missing: {error}")))?)
    }
}

/// A record that `FAILFAST` does not let pass.
pub(super) fn malformed(file: &SourceFile<'_>, reason: &str, excerpt: &str) -> ReadError {
    Failure::user("MALFORMED_RECORD_IN_PARSING", format!("{}: {reason}: {excerpt}", shown(&file.entry.path)))
        .help("correct the record, or use mode => 'PERMISSIVE' to get a row of NULLs for it, or 'DROPMALFORMED' to leave it out")
        .into()
}

/// The session's time zone.
pub(super) fn zone(name: &str) -> Result<Zone, Failure> {
    Zone::parse(name).ok_or_else(|| {
        Failure::user("INVALID_TIMEZONE", format!("{name:?} is not a time zone"))
            .help("use a name such as Europe/Berlin, or an offset such as +01:00")
    })
}

/// A Java pattern of the options.
pub(super) fn pattern(text: &str) -> Result<Pattern, Failure> {
    Pattern::new(text).map_err(|error| Failure::user("INVALID_DATETIME_PATTERN", error.to_string()).help(PATTERN_HELP))
}
