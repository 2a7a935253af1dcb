//! Tests of a project.

use super::{Code, code};

pub(super) const TESTS: &[Code] = &[
    code(&["NO_TESTS_FOUND"], "There is no folder `tests`, or none in it that `--filter` means.", "Make `tests/<name>/`, or name another."),
    code(
        &["TEST_FILE_NOT_KNOWN"],
        "A file in the folder of a test is none of its parts, or says the same rows as another.",
        "Rows are `input/<dataset>[.n].json` or `.csv`, and `expected/<dataset>.json` or `.csv`.",
    ),
    code(&["TEST_ROWS_INVALID"], "A file is neither JSON objects nor CSV with a header.", "Correct it; the place is named."),
    code(
        &["TEST_INPUT_MISSING"],
        "A dataset that must run reads a source.",
        "Give its rows, or those of a dataset between it and what is expected.",
    ),
    code(&["TEST_INPUT_NOT_ALLOWED"], "Rows of a quarantine table are given.", "Give those of its dataset."),
    code(&["TEST_RUNS_NOTHING"], "Nothing reads what is given, and nothing is expected.", "Add `expected/<dataset>.json`."),
];
