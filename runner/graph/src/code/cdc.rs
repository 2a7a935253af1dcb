//! Auto CDC.

use super::{Code, code};

pub(super) const AUTO_CDC: &[Code] = &[
    code(&["AUTOCDC_SOURCE_NOT_STREAMING"], "The source is a subquery, a materialized view or a view over tables.", "Read a streaming table, or a temporary view over streams.").example("CREATE STREAMING TABLE c;\nCREATE FLOW f AS AUTO CDC INTO c FROM (SELECT * FROM orders) KEYS (id) SEQUENCE BY at;"),
    code(&["AUTOCDC_SNAPSHOT_SOURCE_NOT_A_TABLE"], "`FROM SNAPSHOT` of a query or a stream, which has no versions, or of a pattern of files.", "Name a table, or a directory with `read_files`."),
    code(&["AUTOCDC_SNAPSHOT_OUT_OF_ORDER"], "A snapshot is not newer than the last one that was taken; nothing was applied.", "Take it out of the directory, or `--full-refresh` of the target."),
    code(&["AUTOCDC_SNAPSHOT_NOT_DATED"], "A file or sub-directory of a directory of snapshots has no date or number in its name, more than one, or another kind than the others.", "Rename it, or leave it out with `pathGlobFilter`."),
    code(&["AUTOCDC_KEY_NOT_A_COLUMN"], "A key is an expression, a MAP, named twice, or left out by `COLUMNS`.", "Name columns that are stored.").example("CREATE STREAMING TABLE c;\nCREATE FLOW f AS AUTO CDC INTO c FROM STREAM(orders) KEYS (id + 1) SEQUENCE BY at;"),
    code(&["AUTOCDC_KEY_NOT_IN_SELECTED_SCHEMA"], "A key is an expression, a MAP, named twice, or left out by `COLUMNS`.", "Name columns that are stored.").example("CREATE STREAMING TABLE c;\nCREATE FLOW f AS AUTO CDC INTO c FROM STREAM(orders) KEYS (id) SEQUENCE BY at COLUMNS * EXCEPT (id);"),
    code(&["AUTOCDC_RESERVED_COLUMN_NAME_CONFLICT", "AUTOCDC_RESERVED_COLUMN_NAME_PREFIX_CONFLICT"], "The source has `__START_AT`, `__END_AT` or a column that begins with `__floe_`.", "Another name, in a view."),
    code(&["AUTOCDC_SEQUENCE_NOT_ORDERABLE"], "`SEQUENCE BY` gives an array, a map or nothing.", "A number, text, time, BOOLEAN, BINARY, or a STRUCT of these."),
    code(&["AUTOCDC_NON_DETERMINISTIC_EXPRESSION", "AUTOCDC_UNSUPPORTED_EXPRESSION"], "A clause depends on time or chance, or on more than one row: the same events would not always give the same table.", "Use columns of the source."),
    code(&["AUTOCDC_TRACK_HISTORY_REQUIRES_SCD2"], "The clause does not fit `STORED AS SCD TYPE`.", "Change one of them.").example("CREATE STREAMING TABLE c;\nCREATE FLOW f AS AUTO CDC INTO c FROM STREAM(orders) KEYS (id) SEQUENCE BY at TRACK HISTORY ON amount;"),
    code(&["AUTOCDC_TRUNCATE_REQUIRES_SCD1"], "The clause does not fit `STORED AS SCD TYPE`.", "Change one of them."),
    code(&["AUTOCDC_IGNORE_NULL_EMPTY_COLUMN_LIST"], "`IGNORE NULL UPDATES` means no column.", "Name one, or leave it out."),
    code(&["AUTOCDC_FLOWS_INCOMPATIBLE"], "Two flows into one target have other clauses, or one lacks a column that an expectation reads, or one reads snapshots.", "The same clauses, or two targets."),
    code(&["AUTOCDC_TARGET_HAS_OTHER_FLOWS"], "Auto CDC and `INSERT INTO` write one table.", "Two tables.").example("CREATE STREAMING TABLE c;\nCREATE FLOW f AS AUTO CDC INTO c FROM STREAM(orders) KEYS (id) SEQUENCE BY at;\nCREATE FLOW g AS INSERT INTO c BY NAME SELECT * FROM STREAM(orders);"),
    code(&["AUTOCDC_TARGET_SCHEMA_MISMATCH"], "The declared columns are not those that are stored (type 2: with `__START_AT` and `__END_AT` of the type of the sequence).", "Declare them, or leave the list out."),
    code(&["AUTOCDC_INVALID_STATE.KEY_SCHEMA_DRIFT", "AUTOCDC_INVALID_STATE.SCD_TYPE_DRIFT", "AUTOCDC_INVALID_STATE.SEQUENCING_TYPE_DRIFT", "AUTOCDC_INVALID_STATE.TRACK_HISTORY_DRIFT", "AUTOCDC_INVALID_STATE.IGNORE_NULL_DRIFT"], "The clauses are not those that the stored history was made with.", "The former clauses, or `--full-refresh` of the target."),
    code(&["AUTOCDC_SEQUENCE_TIE"], "`pipelines.cdc.onTie` is `fail`, and two different events have the same key and sequence; nothing of the micro-batch was applied.", "A sequence that tells them apart, or `resolve`."),
    code(&["AUTOCDC_INVALID_STATE.JOURNAL_MISSING", "AUTOCDC_INVALID_STATE.PROPERTY_MISSING", "AUTOCDC_INVALID_STATE.PROPERTY_MALFORMED"], "The journal of the target is missing or was changed.", "`--full-refresh` of the target."),
];
