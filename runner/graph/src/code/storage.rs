//! Storage and process.

use super::{Code, code};

pub(super) const STORAGE: &[Code] = &[
    code(
        &["STORAGE_ACCESS_DENIED"],
        "The store refuses the credentials, or they lack a right.",
        "Give the service account read and write below the storage root.",
    )
    .kind("storage"),
    code(
        &["STORAGE_CREDENTIALS_MISSING"],
        "No credentials for the store were found.",
        "`AWS_…`, `AZURE_…` or `GOOGLE_…` in the environment, or the identity of the pod.",
    )
    .kind("storage"),
    code(&["BUCKET_NOT_FOUND"], "The bucket or container does not exist.", "Make it, or correct the URI.").kind("storage"),
    code(&["NO_SPACE_LEFT"], "The disk is full, also of spilled data.", "Make room, or set `TMPDIR` to another disk.").kind("storage"),
    code(&["STORAGE_ERROR"], "The store refuses for another reason; its words say why.", "Correct what they name.").kind("storage"),
    code(&["STORAGE_UNAVAILABLE"], "The store cannot be reached, answers 5xx, or too late.", "Nothing: it is tried again.")
        .kind("transient"),
    code(
        &["CONCURRENT_UPDATE"],
        "Another process works on the same checkpoint although the lock was free.",
        "Start one runner per pipeline.",
    )
    .kind("transient"),
    code(
        &["STATE_FILE_CORRUPT"],
        "A file below `_floe/` cannot be read.",
        "Restore it, or reset the checkpoint of the flow that is named.",
    ),
    code(&["STATE_FORMAT_TOO_NEW"], "A newer Floe wrote the state.", "Use that release or a later one."),
    code(&["STATE_FORMAT_TOO_OLD"], "The state is from before the first release.", "Begin with an empty storage."),
    code(&["OUT_OF_MEMORY"], "A query does not fit into memory, even with spilling.", "Give more `--memory`."),
    code(&["INVALID_FAILPOINT"], "`FLOE_FAILPOINTS`, which only tests use, cannot be read.", "Take it out of the environment."),
    code(
        &["VALUE_TOO_LARGE"],
        "A task value or a result is over its limit; key and size are named.",
        "Write it to a table and hand over its name.",
    ),
    code(
        &["RUN_EXECUTION_ERROR"],
        "A file of a task value has a name that is not allowed, or cannot be read.",
        "Letters, digits, `_`, `-` and `.` in names.",
    ),
    code(&["REPORT_UNREACHABLE"], "`floe watch` is in no cluster, or its API server cannot be found.", "Run it as the operator starts it.")
        .kind("transient"),
    code(
        &["QUERY_EXECUTION_FAILED"],
        "The engine ended the query; its text says why.",
        "Correct what it names; if the query is right, please report it.",
    ),
    code(&["INTERNAL_ERROR"], "A fault of Floe; the flow fails, the tables are as before.", "Please report it with the event log.")
        .kind("internal"),
];
