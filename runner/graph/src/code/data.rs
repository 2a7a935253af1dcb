//! Data.

use super::{Code, code};

pub(super) const DATA: &[Code] = &[
    code(&["EXPECTATION_VIOLATION"], "A `FAIL UPDATE` rule; exit code 11.", "Correct the data or the rule.").kind("expectation"),
    code(
        &[
            "CAST_INVALID_INPUT",
            "CAST_OVERFLOW",
            "CANNOT_PARSE_TIMESTAMP",
            "CONVERSION_INVALID_INPUT",
            "DATETIME_FIELD_OUT_OF_BOUNDS",
            "DATETIME_OVERFLOW",
        ],
        "With ANSI on (overflow of times always), or a value that its table's column does not take.",
        "`try_cast`, `try_to_timestamp`.",
    ),
    code(
        &["ARITHMETIC_OVERFLOW", "INTERVAL_ARITHMETIC_OVERFLOW", "DIVIDE_BY_ZERO", "REMAINDER_BY_ZERO"],
        "Overflow in both modes, the others with ANSI on.",
        "A wider type, `try_add`, `try_divide`.",
    ),
    code(&["INVALID_ARRAY_INDEX"], "With ANSI on, an index outside of an array.", "Use `try_element_at`, or ask `size` first."),
    code(&["INVALID_ARRAY_INDEX_IN_ELEMENT_AT"], "With ANSI on, `element_at` of an index outside of the array.", "Use `try_element_at`."),
    code(&["INVALID_INDEX_OF_ZERO"], "`element_at` counts from 1.", "Use 1 for the first element, or `array[0]`."),
    code(&["NULL_MAP_KEY"], "A key of a map is NULL.", "Filter or replace such keys."),
    code(
        &["COMPARATOR_RETURNS_NULL"],
        "The lambda of `array_sort` gave NULL for two items.",
        "Give a number for each pair, also for NULLs.",
    )
    .example("SELECT array_sort(array(2, 1), (a, b) -> NULL) AS s FROM orders"),
    code(&["CANNOT_DECODE_URL"], "Text that is no encoded address.", "Use `try_url_decode`."),
    code(&["USER_RAISED_EXCEPTION"], "`raise_error` or `assert_true` of the query.", "Correct the data or the query.")
        .example("SELECT raise_error('no orders') AS e FROM orders"),
    code(&["DUPLICATED_MAP_KEY"], "A map has one key twice.", "De-duplicate before."),
    code(
        &["COLLECTION_SIZE_LIMIT_EXCEEDED"],
        "A function would make an array that is too large.",
        "Make it smaller: a shorter range, fewer repetitions.",
    ),
    code(&["INVALID_DATETIME_PATTERN"], "A pattern of dates that cannot be read.", "Patterns are those of Java: `yyyy-MM-dd HH:mm:ss`."),
    code(&["INVALID_TIMEZONE"], "A time zone that does not exist.", "An IANA name such as `Europe/Berlin`, or `+02:00`."),
    code(
        &[
            "INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE",
            "INVALID_PARAMETER_VALUE.CHARSET",
            "INVALID_PARAMETER_VALUE.DATETIME_UNIT",
            "INVALID_PARAMETER_VALUE.LENGTH",
            "INVALID_PARAMETER_VALUE.PATTERN",
            "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX",
            "INVALID_PARAMETER_VALUE.SEQUENCE",
            "INVALID_PARAMETER_VALUE.START",
            "INVALID_OPTIONS.NON_MAP_FUNCTION",
            "PARSE_MODE_UNSUPPORTED",
        ],
        "An argument of a function has a value that it does not take; the message says which.",
        "A value as the message says.",
    ),
    code(&["DELTA_NOT_NULL_CONSTRAINT_VIOLATED"], "NULL in a `NOT NULL` column.", "An expectation that drops such rows."),
    code(
        &["DELTA_VIOLATE_CONSTRAINT_WITH_VALUES"],
        "A row breaks a `CHECK`, or the query gives a generated column another value.",
        "An expectation that drops such rows, or another query.",
    ),
    code(&["MALFORMED_RECORD_IN_PARSING"], "`FAILFAST`.", "Correct the record, or another mode."),
    code(
        &[
            "FAILED_READ_FILE.NO_HINT",
            "FILE_NOT_EXIST",
            "FILE_SCHEMA_NOT_COMPATIBLE",
            "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
            "BINARY_FILE_TOO_LARGE",
        ],
        "A file that cannot be read, is gone, or does not fit.",
        "Files.",
    ),
    code(&["PATH_NOT_FOUND"], "The path of a source does not exist.", "Correct the path, or make the directory before the update."),
    code(&["PATH_NOT_A_DIRECTORY"], "A path that has to be a directory is a file.", "Give the directory."),
    code(&["INVALID_GLOB"], "The pattern of a path cannot be read.", "`*`, `?`, `[a-z]` and `{a,b}` are known."),
    code(&["INVALID_URI"], "The URI of a source or of the storage cannot be read.", "Write `scheme://bucket/path`."),
    code(&["UNSUPPORTED_URI_SCHEME"], "No store is known for the scheme of the URI.", "`s3://`, `gs://`, `abfss://`, `file:///`."),
    code(
        &["UNKNOWN_FIELD_EXCEPTION.NEW_FIELDS_IN_FILE"],
        "With `failOnNewColumns`, a file has fields that the schema lacks.",
        "Add them to the schema, or choose another `schemaEvolutionMode`.",
    ),
    code(&["CF_EMPTY_DIR_FOR_SCHEMA_INFERENCE"], "No file tells the columns yet.", "Land a file, or give a `schema`."),
    code(&["FILE_SCHEMA_TOO_WIDE"], "The files have more than 5,000 fields.", "Give a `schema`."),
    code(&["FILE_SCHEMA_NOT_OBSERVED"], "Files without a schema were not looked at.", "Give a `schema`."),
    code(
        &["TOO_MANY_BAD_RECORDS"],
        "More than 64 MiB of malformed records in one micro-batch for `badRecordsPath`.",
        "Look whether the format is right, or take fewer files per micro-batch.",
    ),
];
