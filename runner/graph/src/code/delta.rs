//! Delta tables.

use super::{Code, code};

pub(super) const DELTA: &[Code] = &[
    code(&["DELTA_TABLE_NOT_FOUND"], "There is no Delta table at the place.", "Correct name or location, or make the table first."),
    code(&["DELTA_VERSION_NOT_FOUND"], "The Delta table has no such version, or not any more.", "Choose a version of its history."),
    code(
        &["DELTA_MISSING_CHANGE_DATA"],
        "`STREAM … CHANGES FROM VERSION` of a table that records no changes.",
        "`delta.enableChangeDataFeed`, then a later version.",
    ),
    code(
        &["DELTA_SOURCE_TABLE_IGNORE_CHANGES", "DELTA_SOURCE_IGNORE_DELETE"],
        "The source of a stream had rows updated or deleted; the version is named.",
        "`skipChangeCommits`, or full refresh.",
    ),
    code(
        &["PENDING_BATCH_REDEFINED"],
        "A micro-batch was cut short between quarantine and target, and the query or its expectations have changed since.",
        "Run once with the earlier definition, or `--full-refresh`.",
    ),
    code(
        &["PENDING_SOURCE_REMOVED"],
        "A micro-batch that an earlier update began has to read a source that the query does not read any more.",
        "Put the source back for one successful update, or reset the checkpoint.",
    ),
    code(
        &["DELTA_SCHEMA_CHANGED"],
        "A column that the query reads was renamed or dropped in the table of another program while the update ran. Its rows are not read without it.",
        "Run again: the query is planned with the columns as they are now. Correct it if it names the old one.",
    ),
    code(&["STREAMING_SOURCE_REPLACED"], "The source was made anew (another table id).", "Reset the checkpoint, or full refresh."),
    code(
        &["DELTA_VERSIONS_NOT_CONTIGUOUS", "DATA_FILE_MISSING"],
        "Log entries or files that the stream needs were cleaned up.",
        "Reset the checkpoint with `startingVersion`, or full refresh; keep log and files longer.",
    ),
    code(
        &["DELTA_CANNOT_MODIFY_APPEND_ONLY"],
        "Rows of a table with `delta.appendOnly` would change.",
        "Remove the property from the definition.",
    ),
    code(
        &["DELTA_DELETION_VECTOR_CORRUPT"],
        "The file that says which rows of a data file count no more cannot be read.",
        "Restore the file or the table from a backup.",
    ),
    code(
        &[
            "DELTA_UNSUPPORTED_FEATURES_FOR_READ",
            "DELTA_UNSUPPORTED_FEATURES_FOR_WRITE",
            "DELTA_SCHEMA_NOT_READABLE",
            "DELTA_UNSUPPORTED_TYPE",
        ],
        "Table features or types that Floe does not have.",
        "Read a copy without them.",
    ),
    code(&["DELTA_LOG_CORRUPT", "DELTA_ERROR"], "The log cannot be read.", "Restore it."),
    code(
        &["DELTA_CONCURRENT_WRITE", "DELTA_METADATA_CHANGED"],
        "Transient: many writers at once; schema changed meanwhile.",
        "Tried again.",
    )
    .kind("transient"),
];
