//! The list of options: names as users spell them, whether this release reads them, defaults, meaning. The reference is written from it.

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionStatus {
    /// It is read.
    Read,
    /// It is accepted without effect: lint W007.
    Ignored,
    /// It is known and refused by name.
    Refused,
}

/// One option of a read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOption {
    /// As users spell it; compared without regard to letter case.
    pub name: &'static str,
    /// Whether this release reads it.
    pub status: OptionStatus,
    /// Formats that it concerns; empty: all.
    pub formats: &'static str,
    /// Value if it is not given; empty: none.
    pub default: &'static str,
    /// What it does, or why it does nothing; without a final dot.
    pub doc: &'static str,
}

const fn read(name: &'static str, formats: &'static str, default: &'static str, doc: &'static str) -> ReadOption {
    ReadOption { name, status: OptionStatus::Read, formats, default, doc }
}

const fn ignored(name: &'static str, doc: &'static str) -> ReadOption {
    ReadOption { name, status: OptionStatus::Ignored, formats: "", default: "", doc }
}

const fn refused(name: &'static str, formats: &'static str, doc: &'static str) -> ReadOption {
    ReadOption { name, status: OptionStatus::Refused, formats, default: "", doc }
}

const LISTED: &str = "discovery always lists the directory";

/// Options of `read_files`, by name.
pub static READ_FILES: &[ReadOption] = &[
    read(
        "allowOverwrites",
        "",
        "false",
        "true: a file that was read and has changed since (size, modification time or ETag) is read again as a whole",
    ),
    refused(
        "avroSchema",
        "avro",
        "the schema of the writer stands in the file; schema, schemaHints and schemaEvolutionMode say what becomes of it",
    ),
    ignored("backfillInterval", "every update lists the whole directory"),
    read(
        "badRecordsPath",
        "",
        "",
        "URI of a folder: malformed records and unreadable files are left out, counted, and listed there in JSON lines; overrides mode and ignoreCorruptFiles",
    ),
    read("charset", "json, csv, text", "UTF-8", "another name of encoding"),
    read("cleanSource", "", "OFF", "of a stream: what becomes of files whose rows are committed; DELETE or MOVE after the retention"),
    read(
        "cleanSource.moveDestination",
        "",
        "",
        "directory for MOVE, in the same store and not below the path; files keep their path below it",
    ),
    read("cleanSource.retentionDuration", "", "30 days", "so long after a file was read it stays; more than 7 days for DELETE"),
    read(
        "columnNameOfCorruptRecord",
        "json, csv",
        "_corrupt_record",
        "column that takes the text of a malformed record, if the schema has it as STRING",
    ),
    read("comment", "csv", "", "records that begin with this character are left out"),
    read("dateFormat", "json, csv", "", "Java pattern of DATE columns; without it ISO 8601"),
    read("datetimeRebaseMode", "parquet, avro", "CORRECTED", "dates and times are read as they stand; EXCEPTION and LEGACY are refused"),
    read("delimiter", "csv", ",", "another name of sep"),
    read("encoding", "json, csv, text", "UTF-8", "of the text: UTF-8, UTF-16, UTF-16LE, UTF-16BE, ISO-8859-1, windows-1252 or US-ASCII"),
    read("escape", "csv", "\\", "character before a quote that belongs to the field"),
    ignored("fetchParallelism", LISTED),
    read("fileNamePattern", "", "", "another name of pathGlobFilter"),
    read(
        "format",
        "",
        "",
        "json, csv, parquet, avro, orc, text or binaryFile; without STREAM the suffix of the path may tell it; xml is refused",
    ),
    read("header", "csv", "false", "true: the first record names the columns, in any order; letter case is ignored where no name is equal"),
    read("ignoreCorruptFiles", "", "false", "true: an unreadable file gives no row, is counted (num_corrupt_files) and not read again"),
    read("ignoreMissingFiles", "", "false", "true: a file that vanished between listing and reading is passed over"),
    read("includeExistingFiles", "", "true", "false: a stream reads only files that come after its first start"),
    read("inferColumnTypes", "json, csv", "true", "false: every column of an inferred schema is STRING (the default of cloud_files)"),
    read("inferSchema", "json, csv", "true", "another name of inferColumnTypes"),
    read("int96RebaseMode", "parquet", "CORRECTED", "times of 96 bits are read as they stand; EXCEPTION and LEGACY are refused"),
    read("maxBytesPerTrigger", "", "", "bytes of one micro-batch (1048576, 512m, 10g); at least one file is read"),
    read("maxFileAge", "", "", "older files are ignored ('30 days'); at least 14 days"),
    read("maxFilesPerTrigger", "", "1000", "files of one micro-batch"),
    read("mergeSchema", "parquet, avro, orc", "true", "the columns of all files of the sample are merged; false is refused"),
    read(
        "mode",
        "json, csv",
        "PERMISSIVE",
        "malformed records: PERMISSIVE gives a row of NULLs, DROPMALFORMED none, FAILFAST fails the flow",
    ),
    read("modifiedAfter", "", "", "only files modified after this instant"),
    read("modifiedBefore", "", "", "only files modified before this instant"),
    read("multiLine", "json, csv", "false", "JSON: a file is one document or an array of them; CSV: quoted fields may hold line ends"),
    read("nullValue", "csv", "", "text of a field that means NULL"),
    read(
        "partitionColumns",
        "",
        "all",
        "names of k=v directories that give columns, with commas; '' for none; of a given schema those that it names",
    ),
    read("path", "", "", "the first argument: directory, file or glob"),
    read("pathGlobFilter", "", "", "glob over the names of files"),
    read("primitivesAsString", "json", "false", "true: numbers and booleans of an inferred schema are STRING"),
    read("quote", "csv", "\"", "character around fields; '' for none"),
    read("readerCaseSensitive", "json", "true", "false: field names are compared without regard to letter case"),
    read("recursiveFileLookup", "", "true", "false: only files of the directory itself"),
    read(
        "rescuedDataColumn",
        "json, csv, parquet, avro, orc",
        "_rescued_data",
        "STRING column that takes what does not fit the schema, as JSON; '' for none, which is the default if the schema is given",
    ),
    ignored("resourceTag", LISTED),
    read("schema", "", "", "columns in DDL: 'id BIGINT, tags ARRAY<STRING>'; without it the files tell them"),
    read(
        "schemaEvolutionMode",
        "json, csv, parquet, avro, orc",
        "addNewColumns",
        "fields that the schema lacks: addNewColumns, addNewColumnsWithTypeWidening, rescue, failOnNewColumns or none (the default if the schema is given)",
    ),
    read(
        "schemaHints",
        "json, csv, parquet, avro, orc",
        "",
        "types of some inferred columns in DDL, nested ones too: 'id BIGINT, address.zip STRING'",
    ),
    ignored("schemaLocation", "an inferred schema is kept in the checkpoint of its flow"),
    read("sep", "csv", ",", "character between fields; \\t for a tabulator"),
    read("skipRows", "csv", "0", "records left out at the beginning of each file, before the header"),
    read("timestampFormat", "json, csv", "", "Java pattern of TIMESTAMP columns; without it ISO 8601"),
    read("timeZone", "json, csv", "that of the session", "of timestamps without a zone: a region or an offset"),
    ignored("useIncrementalListing", LISTED),
    ignored("useManagedFileEvents", LISTED),
    ignored("useNotifications", LISTED),
    read("validateOptions", "", "true", "false: unknown options are no error"),
];

/// Options of a streaming read of a table, by name.
pub static DELTA_STREAM: &[ReadOption] = &[
    read("maxBytesPerTrigger", "", "", "bytes of the added files of one micro-batch; at least one commit is read"),
    read("maxFilesPerTrigger", "", "1000", "added files of one micro-batch; at least one commit is read"),
    read("skipChangeCommits", "", "false", "true: a commit that updates or deletes rows is left out as a whole, with a WARN event"),
    read("startingTimestamp", "", "", "at the first start only: commits made at or after this instant, no snapshot"),
    read("startingVersion", "", "", "at the first start only: commits from this version on, no snapshot; latest for those still to come"),
];

/// The option of that name, letter case ignored.
pub(super) fn find(options: &'static [ReadOption], name: &str) -> Option<&'static ReadOption> {
    options.iter().find(|option| option.name.eq_ignore_ascii_case(name))
}

/// The name as users spell it.
pub(super) fn spelled(name: &str) -> &str {
    find(READ_FILES, name).or_else(|| find(DELTA_STREAM, name)).map_or(name, |option| option.name)
}
