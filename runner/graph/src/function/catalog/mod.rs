//! The list of functions. One line per function; the doc text is the contract for its implementation.
//!
//! Common rules, not repeated in each text: a NULL argument gives NULL; text positions count characters from 1; "invalid" input gives
//! NULL, with ANSI on the error named in square brackets; times are read and written in the session's time zone.

mod aggregate;
mod collection;
mod lambda;
mod number;
mod operator;
mod text;
mod time;

use super::FunctionSpec;
pub use aggregate::{AGGREGATES, WINDOWS};
pub use collection::map_type;
pub use lambda::{LAMBDAS, LambdaKind, LambdaSpec, SORT_BY_LAMBDA};
pub use operator::map_types;

/// Scalar functions by subject.
pub static SCALAR_GROUPS: &[&[FunctionSpec]] =
    &[operator::OPERATORS, text::TEXT, number::NUMBERS, time::TIMES, collection::COLLECTIONS, collection::JSON];

/// A function without an implementation of its own: how it is written, and what it does.
#[derive(Debug)]
pub struct WrittenFunction {
    /// Lower-case name.
    pub name: &'static str,
    /// Arguments as users write them.
    pub arguments: &'static str,
    /// Type of the result.
    pub returns: &'static str,
    /// What it does.
    pub doc: &'static str,
}

const fn written(name: &'static str, arguments: &'static str, returns: &'static str, doc: &'static str) -> WrittenFunction {
    WrittenFunction { name, arguments, returns, doc }
}

/// Functions that turn one row into many.
pub static GENERATORS: &[WrittenFunction] = &[
    written("explode", "ARRAY or MAP", "col, or key and value", "One row per element or entry; none for NULL or an empty collection."),
    written("explode_outer", "ARRAY or MAP", "col, or key and value", "As explode; one row of NULLs for NULL or an empty collection."),
    written("posexplode", "ARRAY or MAP", "pos, and the columns of explode", "As explode, with the position from 0."),
    written("posexplode_outer", "ARRAY or MAP", "pos, and the columns of explode", "As explode_outer, with the position from 0."),
    written("inline", "ARRAY<STRUCT>", "the fields of the struct", "One row per element, one column per field."),
    written("inline_outer", "ARRAY<STRUCT>", "the fields of the struct", "As inline; one row of NULLs for NULL or an empty array."),
    written("json_tuple", "STRING, STRING literal, …", "c0, c1 …", "One row with the named fields of a JSON object as text."),
    written(
        "stack",
        "INT literal, T, …",
        "col0, col1 …",
        "As many rows as the first argument says, filled with the values in their order.",
    ),
];

/// Functions that planning writes as other expressions; nothing in the runner implements them.
pub static SYNTAX: &[WrittenFunction] = &[
    written("bigint", "any", "BIGINT", "CAST(x AS BIGINT)."),
    written("binary", "any", "BINARY", "CAST(x AS BINARY)."),
    written("boolean", "any", "BOOLEAN", "CAST(x AS BOOLEAN)."),
    written("cast", "any AS type", "the type", "See casts in the guide; TRY_CAST gives NULL where CAST fails."),
    written("count_distinct", "any, …", "BIGINT", "count(DISTINCT …)."),
    written("date", "any", "DATE", "CAST(x AS DATE)."),
    written(
        "date_part",
        "STRING literal, DATE or TIMESTAMP",
        "INT",
        "As EXTRACT(field FROM t): YEAR, QUARTER, MONTH, WEEK, DAY, DAYOFWEEK, DAYOFYEAR, HOUR, MINUTE, SECOND.",
    ),
    written("datediff", "DATE, DATE", "INT", "datediff(end, start): days; with a unit first as timestampdiff."),
    written("date_diff", "DATE, DATE", "INT", "As datediff."),
    written("dateadd", "DATE, INT", "DATE", "As date_add; with a unit first as timestampadd."),
    written("decimal", "any", "DECIMAL(10,0)", "CAST(x AS DECIMAL)."),
    written("double", "any", "DOUBLE", "CAST(x AS DOUBLE)."),
    written("float", "any", "FLOAT", "CAST(x AS FLOAT)."),
    written("grouping", "expression of GROUP BY", "TINYINT", "1 in a row that ROLLUP, CUBE or GROUPING SETS does not group by it, else 0."),
    written("grouping_id", "expressions of GROUP BY", "BIGINT", "grouping of each as the bits of a number; without arguments of all."),
    written("if", "BOOLEAN, T, T", "T", "The second if the first is true, else the third."),
    written("iff", "BOOLEAN, T, T", "T", "As if."),
    written("int", "any", "INT", "CAST(x AS INT)."),
    written("isnotnull", "any", "BOOLEAN", "x IS NOT NULL."),
    written("isnull", "any", "BOOLEAN", "x IS NULL."),
    written("nullif", "T, T", "T", "NULL if both are equal, else the first."),
    written("nvl2", "any, T, T", "T", "The second if the first is not NULL, else the third."),
    written("smallint", "any", "SMALLINT", "CAST(x AS SMALLINT)."),
    written("string", "any", "STRING", "CAST(x AS STRING)."),
    written("struct", "any, …", "STRUCT", "Struct with fields named by alias or column, otherwise col1, col2 …"),
    written("timestamp", "any", "TIMESTAMP", "CAST(x AS TIMESTAMP)."),
    written(
        "timestampadd",
        "unit, BIGINT, TIMESTAMP",
        "TIMESTAMP",
        "timestampadd(UNIT, n, t): t plus n units; MICROSECOND … WEEK, MONTH, QUARTER, YEAR.",
    ),
    written("timestampdiff", "unit, TIMESTAMP, TIMESTAMP", "BIGINT", "timestampdiff(UNIT, start, end): whole units, cut towards zero."),
    written(
        "arrays_zip",
        "ARRAY, …",
        "ARRAY<STRUCT>",
        "One struct per position; the fields are named by alias or column, otherwise 0, 1 …",
    ),
    written("datepart", "STRING literal, DATE or TIMESTAMP", "INT", "As date_part."),
    written("equal_null", "T, T", "BOOLEAN", "As a <=> b."),
    written("negative", "number or INTERVAL", "as the argument", "As -x."),
    written("nullifzero", "number", "as the argument", "NULL for 0."),
    written("positive", "number or INTERVAL", "as the argument", "As +x."),
    written("zeroifnull", "number", "as the argument", "0 for NULL."),
    written("to_timestamp_ntz", "STRING[, STRING]", "TIMESTAMP_NTZ", "Wall clock of text, read as to_timestamp does."),
    written("input_file_name", "", "STRING", "_metadata.file_path of the files that are read."),
    written("tinyint", "any", "TINYINT", "CAST(x AS TINYINT)."),
    written("typeof", "any", "STRING", "Name of the type in lower case."),
];

/// Functions of Databricks that are known and refused, for one reason.
#[derive(Debug)]
pub struct RefusedFunctions {
    /// Why, or what to use instead.
    pub reason: &'static str,
    /// Lower-case names.
    pub names: &'static [&'static str],
}

/// Functions of Databricks that are known and refused. Names with the prefix `ai_` are refused as well.
pub static REFUSED: &[RefusedFunctions] = &[
    RefusedFunctions {
        reason: "it differs from one execution of the same rows to the next",
        names: &["monotonically_increasing_id", "rand", "randn", "random", "randstr", "shuffle", "uniform"],
    },
    RefusedFunctions {
        reason: "use the column _metadata of the file: _metadata.file_path, file_name, file_block_start",
        names: &["input_file_block_length", "input_file_block_start"],
    },
    RefusedFunctions {
        reason: "use a parameter (:name) that comes from a Secret or from FLOE_PARAM_<NAME>",
        names: &["secret", "try_secret"],
    },
    RefusedFunctions {
        reason: "a pipeline has no catalog, users or groups at run time",
        names: &[
            "current_catalog",
            "current_database",
            "current_schema",
            "current_user",
            "is_account_group_member",
            "is_member",
            "session_user",
            "user",
        ],
    },
    RefusedFunctions { reason: "it calls a service that Floe does not have", names: &["predict", "vector_search"] },
    RefusedFunctions {
        reason: "this format inside a column is not there yet; JSON is (from_json, to_json, x:path)",
        names: &[
            "from_avro",
            "from_csv",
            "from_protobuf",
            "from_xml",
            "parse_json",
            "schema_of_csv",
            "schema_of_xml",
            "to_avro",
            "to_csv",
            "to_xml",
            "variant_get",
            "xpath",
        ],
    },
    RefusedFunctions { reason: "the event log is read with floe sql: FROM event_log", names: &["event_log"] },
    RefusedFunctions { reason: "this form of grouping is not there yet", names: &["session_window", "window_time"] },
    RefusedFunctions {
        reason: "pictures of numbers are not there yet; format_number, format_string, CAST and regexp_replace are",
        names: &["to_char", "to_number", "to_varchar", "try_to_number"],
    },
    RefusedFunctions {
        reason: "sketches and estimated frequencies are not there; approx_count_distinct, percentile_approx and count … GROUP BY are",
        names: &[
            "approx_top_k",
            "bitmap_and_agg",
            "bitmap_bit_position",
            "bitmap_bucket_number",
            "bitmap_construct_agg",
            "bitmap_count",
            "bitmap_or_agg",
            "count_min_sketch",
            "histogram_numeric",
            "hll_sketch_agg",
            "hll_sketch_estimate",
            "hll_union",
            "hll_union_agg",
        ],
    },
    RefusedFunctions {
        reason: "encryption needs a key in the text of a query; encrypt where the data comes from",
        names: &["aes_decrypt", "aes_encrypt", "try_aes_decrypt"],
    },
    RefusedFunctions {
        reason: "not there yet",
        names: &["array_agg_distinct", "collate", "collation", "h3_longlatash3", "java_method", "reflect", "sentences", "try_reflect"],
    },
];
