//! The list of functions. One line per function; the doc text is the contract for its implementation.
//!
//! Common rules, not repeated in each text: a NULL argument gives NULL; text positions count characters from 1; "invalid" input gives
//! NULL, with ANSI on the error named in square brackets; times are read and written in the session's time zone.

mod aggregate;
mod collection;
mod number;
mod operator;
mod text;
mod time;

use super::FunctionSpec;
pub use aggregate::{AGGREGATES, WINDOWS};

/// Scalar functions by subject.
pub static SCALAR_GROUPS: &[&[FunctionSpec]] =
    &[operator::OPERATORS, text::TEXT, number::NUMBERS, time::TIMES, collection::COLLECTIONS, collection::JSON];

/// Functions that turn one row into many.
pub static GENERATORS: &[&str] = &["explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer"];

/// Functions that planning writes as other expressions; nothing in the runner implements them.
pub static SYNTAX: &[&str] = &[
    "bigint",
    "binary",
    "boolean",
    "cast",
    "count_distinct",
    "date",
    "datediff",
    "date_diff",
    "dateadd",
    "decimal",
    "double",
    "float",
    "if",
    "iff",
    "int",
    "isnotnull",
    "isnull",
    "nullif",
    "nvl2",
    "smallint",
    "string",
    "struct",
    "timestamp",
    "timestampadd",
    "timestampdiff",
    "tinyint",
    "typeof",
];

/// Functions of Databricks that are known and refused. Names with the prefix `ai_` are refused as well.
pub static REFUSED: &[&str] = &[
    "acos",
    "aes_decrypt",
    "aes_encrypt",
    "aggregate",
    "array_agg_distinct",
    "asin",
    "atan",
    "atan2",
    "conv",
    "corr",
    "cos",
    "covar_pop",
    "covar_samp",
    "cube",
    "current_catalog",
    "current_database",
    "current_schema",
    "current_user",
    "event_log",
    "exists",
    "filter",
    "forall",
    "format_number",
    "format_string",
    "from_avro",
    "from_csv",
    "from_protobuf",
    "from_xml",
    "grouping",
    "grouping_id",
    "h3_longlatash3",
    "hash",
    "input_file_block_length",
    "input_file_block_start",
    "input_file_name",
    "is_account_group_member",
    "is_member",
    "json_tuple",
    "kurtosis",
    "map_filter",
    "monotonically_increasing_id",
    "parse_json",
    "parse_url",
    "percentile_disc",
    "percentile_cont",
    "predict",
    "printf",
    "rand",
    "randn",
    "random",
    "reduce",
    "secret",
    "session_user",
    "session_window",
    "shuffle",
    "sin",
    "skewness",
    "stack",
    "tan",
    "to_avro",
    "to_csv",
    "to_xml",
    "transform",
    "transform_keys",
    "transform_values",
    "try_secret",
    "user",
    "variant_get",
    "vector_search",
    "window_time",
    "xpath",
    "zip_with",
];
