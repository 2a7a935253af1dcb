//! The options of a read, typed: `read_files(…)` and streaming reads of Delta tables. Pure: validation and the runner parse the same way.

mod catalog;
mod clean;
mod content;
mod names;
mod schema;

use std::collections::BTreeMap;

use datafusion_common::arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;

pub use catalog::{DELTA_STREAM, OptionStatus, READ_FILES, ReadOption};
pub use clean::{CleanAction, CleanSource};
pub use content::TextEncoding;
use names::with_nearest;
pub use schema::{EvolutionMode, SchemaReadOptions};

use crate::{
    definition::properties::not_a_time_zone,
    function::date_pattern::{self, PATTERN_HELP},
    origin::{Diagnostic, Severity},
    relation::{CHANGES_FROM_VERSION, OptionPlaces, Relation, RelationKind},
};

/// Limit of files of one micro-batch when the query names none.
pub const DEFAULT_MAX_FILES: usize = 1000;
const MICROS_PER_DAY: i64 = 24 * 3600 * 1_000_000;
const MIN_FILE_AGE_DAYS: i64 = 14;

/// Formats of files that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// One document per line, or per file.
    Json,
    /// Separated values.
    Csv,
    /// Columns by name.
    Parquet,
    /// Rows with a schema.
    Avro,
    /// Columns by name.
    Orc,
    /// Column `value`, one row per line.
    Text,
    /// One row per file.
    BinaryFile,
}

/// What happens to a malformed record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ParseMode {
    /// A row of NULLs, counted; the raw text goes to the corrupt-record column if the schema has it.
    #[default]
    Permissive,
    /// No row, counted.
    DropMalformed,
    /// The flow fails.
    FailFast,
}

/// Which `k=v` directories give columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PartitionColumns {
    /// Every one; of a schema that is given those that it names.
    #[default]
    All,
    /// Only these (none for an empty list).
    Named(Vec<String>),
}

/// How many files or commits one micro-batch takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// At least 1.
    pub max_files: usize,
    /// Soft: a batch has at least one file.
    pub max_bytes: Option<u64>,
}

impl FileFormat {
    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Avro => "avro",
            Self::Orc => "orc",
            Self::Text => "text",
            Self::BinaryFile => "binaryFile",
        }
    }
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { max_files: DEFAULT_MAX_FILES, max_bytes: None }
    }
}

/// JSON: one document per line, or one document or array per file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonReadOptions {
    /// A document may span lines; a file is one document or an array of them.
    pub multi_line: bool,
    /// Java patterns, as written.
    pub timestamp_format: Option<String>,
    /// As `timestamp_format`.
    pub date_format: Option<String>,
    /// For inference only.
    pub primitives_as_string: bool,
    /// Field names are compared with their letter case.
    pub case_sensitive: bool,
}

/// CSV, with Spark's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvReadOptions {
    /// The first record names the columns.
    pub header: bool,
    /// Between fields.
    pub separator: u8,
    /// Around fields.
    pub quote: Option<u8>,
    /// Before a quote that belongs to the field.
    pub escape: Option<u8>,
    /// Text that means NULL.
    pub null_value: String,
    /// Records left out at the beginning of each file, before the header.
    pub skip_rows: usize,
    /// Records that begin with it are left out.
    pub comment: Option<u8>,
    /// Quoted fields may hold line ends.
    pub multi_line: bool,
    /// Java patterns, as written.
    pub timestamp_format: Option<String>,
    /// As `timestamp_format`.
    pub date_format: Option<String>,
}

/// Which files a read takes, before any of them is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFilter {
    /// Glob over the name of a file.
    pub name_pattern: Option<String>,
    /// Directories below the path too.
    pub recursive: bool,
    /// Epoch microseconds, exclusive on both sides.
    pub modified_after: Option<i64>,
    /// As `modified_after`.
    pub modified_before: Option<i64>,
    /// Older files are ignored, in microseconds.
    pub max_age: Option<i64>,
}

/// All options of one `read_files`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the options are those that a user writes")]
pub struct FileReadOptions {
    /// Of all files.
    pub format: FileFormat,
    /// For malformed records.
    pub mode: ParseMode,
    /// Takes the text of malformed records if the schema has it.
    pub corrupt_record_column: String,
    /// True: a known file that changed is read again.
    pub allow_overwrites: bool,
    /// False: files that are there when the stream starts for the first time are taken as known, and never read.
    pub include_existing_files: bool,
    /// Of one micro-batch.
    pub limits: BatchLimits,
    /// At discovery.
    pub filter: FileFilter,
    /// Columns from the path.
    pub partition_columns: PartitionColumns,
    /// Columns from the content.
    pub schema: SchemaReadOptions,
    /// Of text.
    pub encoding: TextEncoding,
    /// Of timestamps without a zone, in JSON and CSV.
    pub time_zone: String,
    /// Where malformed records and unreadable files are listed; they are left out then.
    pub bad_records_path: Option<String>,
    /// Files leave their directory when they have been read.
    pub clean: Option<CleanSource>,
    /// Unreadable files are skipped as a whole.
    pub ignore_corrupt_files: bool,
    /// Files that are gone are skipped.
    pub ignore_missing_files: bool,
    /// For JSON.
    pub json: JsonReadOptions,
    /// For CSV.
    pub csv: CsvReadOptions,
}

/// Where a stream over a Delta table starts when it has no position yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeltaStart {
    /// All rows of the newest version, then what is added later.
    #[default]
    Snapshot,
    /// Commits from this version on.
    Version(i64),
    /// Commits made at or after this instant, in epoch microseconds.
    Timestamp(i64),
    /// Only commits that are made from now on.
    Latest,
}

/// All options of one `STREAM table`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeltaStreamOptions {
    /// A commit that updates or deletes is left out as a whole.
    pub skip_change_commits: bool,
    /// The change feed is read: what happened to each row.
    pub changes: bool,
    /// At the first start.
    pub start: DeltaStart,
    /// Of one micro-batch.
    pub limits: BatchLimits,
}

/// The options of a file relation and the lints about them, or every error.
pub fn file_options(relation: &Relation) -> Result<(FileReadOptions, Vec<Diagnostic>), Vec<Diagnostic>> {
    let RelationKind::Files { format, .. } = &relation.kind else {
        return Err(vec![Diagnostic::error("INTERNAL_ERROR", "file options of a relation that is not made of files")]);
    };
    let mut reader = OptionReader { options: &relation.options, given: &relation.given, findings: Vec::new() };
    reader.check_names();
    reader.refuse_later_features();
    let options = reader.file_options(format, relation);
    if let Some(options) = &options {
        reader.check_format(options.format);
    }
    if !relation.streaming && options.as_ref().is_some_and(|options| !options.include_existing_files) {
        let text = "`includeExistingFiles => false` has no meaning without STREAM: a batch read takes all files every time";
        let error = Diagnostic::error("INVALID_READ_OPTION", text).help("read the files with STREAM, or leave the option out");
        reader.find("includeexistingfiles", error);
    }
    reader.finish(relation, options)
}

/// The options of a stream over a Delta table, or every error.
pub fn delta_stream_options(relation: &Relation) -> Result<DeltaStreamOptions, Vec<Diagnostic>> {
    let mut reader = OptionReader { options: &relation.options, given: &relation.given, findings: Vec::new() };
    let is_unknown = |key: &&String| key.as_str() != CHANGES_FROM_VERSION && catalog::find(DELTA_STREAM, key).is_none();
    for key in relation.options.keys().filter(is_unknown) {
        let text = format!("a streaming read of a table has no option `{}`", reader.spelled(key));
        reader.find(key, with_nearest(Diagnostic::error("UNKNOWN_STREAM_OPTION", text), key, DELTA_STREAM));
    }
    let changes_from = reader.number(CHANGES_FROM_VERSION);
    let options = DeltaStreamOptions {
        skip_change_commits: reader.flag("skipchangecommits", false),
        changes: changes_from.is_some(),
        start: changes_from.map_or_else(|| reader.delta_start(), |version| DeltaStart::Version(version as i64)),
        limits: reader.limits(),
    };
    if options.changes {
        for key in
            ["skipchangecommits", "startingversion", "startingtimestamp"].into_iter().filter(|key| relation.options.contains_key(*key))
        {
            let text = format!("option `{}` has no meaning with CHANGES FROM VERSION", reader.spelled(key));
            reader.find(key, Diagnostic::error("INVALID_READ_OPTION", text).help("leave it out"));
        }
    }
    reader.finish(relation, Some(options)).map(|(options, _)| options)
}

struct OptionReader<'a> {
    options: &'a BTreeMap<String, String>,
    given: &'a OptionPlaces,
    findings: Vec<Diagnostic>,
}

impl OptionReader<'_> {
    /// Something about the option `key`, at its place.
    fn find(&mut self, key: &str, finding: Diagnostic) {
        self.findings.push(match self.given.origin(key) {
            Some(origin) => finding.at(origin),
            None => finding,
        });
    }

    /// The option as the user spells it.
    fn spelled<'k>(&'k self, key: &'k str) -> &'k str {
        self.given.name(key).unwrap_or_else(|| catalog::spelled(key))
    }

    /// The options unless something is wrong; a finding without a place gets that of the relation.
    fn finish<T>(self, relation: &Relation, options: Option<T>) -> Result<(T, Vec<Diagnostic>), Vec<Diagnostic>> {
        let findings: Vec<_> = self
            .findings
            .into_iter()
            .map(|finding| match &relation.origin {
                Some(origin) if finding.origin.is_none() => finding.at(origin),
                _ => finding,
            })
            .collect();
        match options {
            Some(options) if findings.iter().all(|finding| finding.severity == Severity::Lint) => Ok((options, findings)),
            _ => Err(findings),
        }
    }

    fn file_options(&mut self, format: &str, relation: &Relation) -> Option<FileReadOptions> {
        let format = self.format(format);
        if matches!(format, Some(FileFormat::Json | FileFormat::Csv)) {
            self.check_date_patterns();
        }
        let bad_records_path = self.text("badrecordspath");
        let leaves_out = bad_records_path.is_some();
        let options = FileReadOptions {
            format: format.unwrap_or(FileFormat::Json),
            mode: if leaves_out { ParseMode::DropMalformed } else { self.mode() },
            bad_records_path,
            corrupt_record_column: self.text("columnnameofcorruptrecord").unwrap_or_else(|| "_corrupt_record".to_string()),
            allow_overwrites: self.flag("allowoverwrites", false),
            include_existing_files: self.flag("includeexistingfiles", true),
            limits: self.limits(),
            filter: self.filter(),
            partition_columns: self.partition_columns(),
            schema: self.schema(relation),
            encoding: self.encoding(),
            time_zone: self.time_zone(),
            clean: self.clean_source(relation),
            ignore_corrupt_files: self.flag("ignorecorruptfiles", false) || leaves_out,
            ignore_missing_files: self.flag("ignoremissingfiles", false),
            json: self.json(),
            csv: self.csv(),
        };
        format.map(|_| options)
    }

    fn format(&mut self, format: &str) -> Option<FileFormat> {
        match format.to_lowercase().as_str() {
            "json" | "jsonl" | "ndjson" => Some(FileFormat::Json),
            "csv" => Some(FileFormat::Csv),
            "parquet" => Some(FileFormat::Parquet),
            "avro" => Some(FileFormat::Avro),
            "orc" => Some(FileFormat::Orc),
            "text" => Some(FileFormat::Text),
            "binaryfile" => Some(FileFormat::BinaryFile),
            "xml" => {
                self.findings.push(Diagnostic::not_supported(&format!("format `{format}` of read_files")));
                None
            }
            _ => {
                let error = Diagnostic::error("UNKNOWN_FILE_FORMAT", format!("read_files knows no format `{format}`"));
                self.findings.push(error.help("use one of json, csv, parquet, avro, orc, text, binaryFile"));
                None
            }
        }
    }

    fn mode(&mut self) -> ParseMode {
        match self.text("mode").map(|mode| mode.to_uppercase()).as_deref() {
            None | Some("PERMISSIVE") => ParseMode::Permissive,
            Some("DROPMALFORMED") => ParseMode::DropMalformed,
            Some("FAILFAST") => ParseMode::FailFast,
            Some(other) => {
                self.invalid("mode", other, "PERMISSIVE, DROPMALFORMED or FAILFAST");
                ParseMode::Permissive
            }
        }
    }

    fn limits(&mut self) -> BatchLimits {
        let max_files = self.number("maxfilespertrigger").unwrap_or(DEFAULT_MAX_FILES as u64);
        if max_files == 0 {
            self.invalid("maxfilespertrigger", "0", "a number of files above 0");
        }
        BatchLimits { max_files: max_files.max(1) as usize, max_bytes: self.bytes("maxbytespertrigger") }
    }

    fn filter(&mut self) -> FileFilter {
        FileFilter {
            name_pattern: self.text("pathglobfilter").or_else(|| self.text("filenamepattern")),
            recursive: self.flag("recursivefilelookup", true),
            modified_after: self.instant("modifiedafter"),
            modified_before: self.instant("modifiedbefore"),
            max_age: self.file_age(),
        }
    }

    fn partition_columns(&self) -> PartitionColumns {
        match self.options.get("partitioncolumns") {
            None => PartitionColumns::All,
            Some(text) => {
                PartitionColumns::Named(text.split(',').map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect())
            }
        }
    }

    fn time_zone(&mut self) -> String {
        let zone = self.text("timezone").unwrap_or_else(|| "UTC".to_string());
        if let Some(help) = not_a_time_zone(&zone) {
            let error = Diagnostic::error("INVALID_READ_OPTION", format!("`timeZone => '{zone}'`: that is no time zone"));
            self.findings.push(error.help(help));
        }
        zone
    }

    fn check_date_patterns(&mut self) {
        for key in ["timestampformat", "dateformat"] {
            if let Some(error) = self.text(key).and_then(|pattern| date_pattern::items(&pattern).err()) {
                let text = format!("option `{}`: {error}", self.spelled(key));
                self.find(key, Diagnostic::error("INVALID_DATETIME_PATTERN", text).help(PATTERN_HELP));
            }
        }
    }

    fn json(&mut self) -> JsonReadOptions {
        JsonReadOptions {
            multi_line: self.flag("multiline", false),
            timestamp_format: self.text("timestampformat"),
            date_format: self.text("dateformat"),
            primitives_as_string: self.flag("primitivesasstring", false),
            case_sensitive: self.flag("readercasesensitive", true),
        }
    }

    fn csv(&mut self) -> CsvReadOptions {
        let separator = if self.options.contains_key("sep") { "sep" } else { "delimiter" };
        CsvReadOptions {
            header: self.flag("header", false),
            separator: self.character(separator, Some(b',')).unwrap_or(b','),
            quote: self.character("quote", Some(b'"')),
            escape: self.character("escape", Some(b'\\')),
            null_value: self.options.get("nullvalue").cloned().unwrap_or_default(),
            skip_rows: self.number("skiprows").unwrap_or(0) as usize,
            comment: self.character("comment", None),
            multi_line: self.flag("multiline", false),
            timestamp_format: self.text("timestampformat"),
            date_format: self.text("dateformat"),
        }
    }

    fn delta_start(&mut self) -> DeltaStart {
        match (self.text("startingversion"), self.instant("startingtimestamp")) {
            (Some(_), Some(_)) => {
                let text = "startingVersion and startingTimestamp exclude each other";
                self.find("startingtimestamp", Diagnostic::error("INVALID_READ_OPTION", text).help("leave one of them out"));
                DeltaStart::Snapshot
            }
            (None, None) => DeltaStart::Snapshot,
            (None, Some(instant)) => DeltaStart::Timestamp(instant),
            (Some(text), None) if text.eq_ignore_ascii_case("latest") => DeltaStart::Latest,
            (Some(_), None) => self.number("startingversion").map_or(DeltaStart::Snapshot, |version| DeltaStart::Version(version as i64)),
        }
    }

    fn text(&self, key: &str) -> Option<String> {
        self.options.get(key).map(|text| text.trim().to_string()).filter(|text| !text.is_empty())
    }

    fn invalid(&mut self, key: &str, value: &str, wanted: &str) {
        let value = self.options.get(key).map_or(value, String::as_str);
        let text = format!("option `{}` has the value `{value}`; it must be {wanted}", self.spelled(key));
        self.find(key, Diagnostic::error("INVALID_READ_OPTION", text));
    }

    fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.text(key).map(|text| text.to_lowercase()).as_deref() {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.invalid(key, other, "true or false");
                default
            }
        }
    }

    fn number(&mut self, key: &str) -> Option<u64> {
        let text = self.text(key)?;
        let number = text.parse().ok();
        if number.is_none() {
            self.invalid(key, &text, "a whole number, 0 or more");
        }
        number
    }

    fn bytes(&mut self, key: &str) -> Option<u64> {
        let text = self.text(key)?;
        let bytes = parse_bytes(&text).filter(|bytes| *bytes > 0);
        if bytes.is_none() {
            self.invalid(key, &text, "a size such as 1048576, 512m or 10g");
        }
        bytes
    }

    fn instant(&mut self, key: &str) -> Option<i64> {
        let text = self.text(key)?;
        let micros = string_to_timestamp_nanos(&text).ok().map(|nanos| nanos.div_euclid(1000));
        if micros.is_none() {
            self.invalid(key, &text, "a date or a timestamp such as 2024-01-31 or 2024-01-31T10:00:00Z");
        }
        micros
    }

    fn file_age(&mut self) -> Option<i64> {
        let text = self.text("maxfileage")?;
        let age = parse_interval(&text);
        match age {
            Some(micros) if micros >= MIN_FILE_AGE_DAYS * MICROS_PER_DAY => Some(micros),
            _ => {
                self.invalid("maxfileage", &text, "an interval of at least 14 days, such as '30 days'");
                None
            }
        }
    }

    /// One ASCII character; `\t` and the like are understood; an empty text switches the feature off.
    fn character(&mut self, key: &str, default: Option<u8>) -> Option<u8> {
        let Some(text) = self.options.get(key).cloned() else { return default };
        match text.as_bytes() {
            [] => None,
            [byte] => Some(*byte),
            b"\\t" => Some(b'\t'),
            b"\\0" => Some(0),
            b"\\\\" => Some(b'\\'),
            _ => {
                self.invalid(key, &text, "one ASCII character");
                default
            }
        }
    }
}

/// `1048576`, `512m`, `10 GB` in bytes.
fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.to_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let factor: u64 = match text[digits.len()..].trim() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// `30 days`, `interval 4 weeks`, `400 hours` in microseconds.
fn parse_interval(text: &str) -> Option<i64> {
    let text = text.to_lowercase();
    let mut words = text.split_whitespace().filter(|word| *word != "interval");
    let count: i64 = words.next()?.trim_matches('\'').parse().ok()?;
    let unit = match words.next()?.trim_matches('\'').trim_end_matches('s') {
        "second" => 1_000_000,
        "minute" => 60_000_000,
        "hour" => MICROS_PER_DAY / 24,
        "day" => MICROS_PER_DAY,
        "week" => 7 * MICROS_PER_DAY,
        "month" => 30 * MICROS_PER_DAY,
        "year" => 365 * MICROS_PER_DAY,
        _ => return None,
    };
    count.checked_mul(unit)
}

#[cfg(test)]
mod tests;
