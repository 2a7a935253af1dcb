//! Selections and changes.

use super::{Code, code};

pub(super) const CHANGES: &[Code] = &[
    code(
        &["UNKNOWN_DATASET_IN_SELECTION"],
        "A selection such as `--refresh` names no stored dataset or flow of the pipeline; the nearest name is given.",
        "Correct the name; `floe graph` lists them.",
    ),
    code(
        &["SINK_SCHEMA_MISMATCH"],
        "The table of a sink has a column of another type than its flows give. A sink gets new columns and no other change.",
        "Cast the column in the query to the type of the table, or write into another table.",
    ),
    code(&["CONFLICTING_PIPELINE_REFRESH_OPTIONS"], "`--full-refresh-all` with other selections.", "Use it alone."),
    code(&["RESET_NOT_ALLOWED"], "The table is protected.", "Leave it out, or change the property first."),
    code(&["FULL_REFRESH_BREAKS_STREAM"], "Other tables stream from it.", "Select them too, or `--cascade`."),
    code(&["SCHEMA_CHANGE_REQUIRES_FULL_REFRESH"], "Stored and new type or partitioning differ.", "Cast, or `--full-refresh`."),
    code(&["CANNOT_CHANGE_DATASET_TYPE"], "Streaming table ↔ materialized view.", "Another name."),
    code(
        &["TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE"],
        "The folder holds a table or files that this pipeline did not write.",
        "Another dataset name or storage.",
    ),
    code(&["TABLE_DELETED"], "A stored table is gone while its checkpoint is there.", "Restore it, or `--full-refresh`."),
    code(
        &["FLOW_TARGET_REPLACED"],
        "A flow wrote another table before, and the one that it writes now may hold rows of it already.",
        "`--full-refresh`, or put the earlier table back.",
    ),
    code(
        &["STORAGE_OF_ANOTHER_PIPELINE"],
        "`floe cleanup` was asked to remove what another Pipeline wrote last; both are named.",
        "Delete that Pipeline with `deletionPolicy: Delete`, or remove the data by hand.",
    ),
    code(&["PIPELINE_LOCKED"], "Another update of this storage runs; process, host and start are named.", "Wait."),
];
