//! Partition columns: which types they may have, how a value is written in the log and in the name of a directory.

use std::fmt::Write;

use chrono::DateTime;
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        datatypes::{DataType, Field, Schema, TimestampMicrosecondType},
        util::display::array_value_to_string,
    },
    common::scalar::ScalarValue,
};

use crate::failure::Failure;

/// The directory of NULL.
const NULL_DIRECTORY: &str = "__HIVE_DEFAULT_PARTITION__";

/// The partition columns `wanted` as the schema spells them.
pub(super) fn columns(schema: &Schema, wanted: &[String]) -> Result<Vec<String>, Failure> {
    let mut columns: Vec<String> = Vec::with_capacity(wanted.len());
    for name in wanted {
        let Some(field) = schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name)) else {
            return Err(Failure::user(
                "COLUMN_NOT_DEFINED_IN_TABLE",
                format!("the partition column `{name}` is not a column of the table"),
            )
            .help("partition by a column of the query"));
        };
        if field.data_type().is_nested() || matches!(field.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView) {
            let text = format!("a table cannot be partitioned by `{name}` of type {}", field.data_type());
            return Err(
                Failure::user("INVALID_PARTITION_COLUMN_DATA_TYPE", text).help("partition by a string, number, boolean, date or timestamp")
            );
        }
        if columns.contains(field.name()) {
            return Err(Failure::user("DUPLICATE_PARTITION_COLUMN", format!("the partition column `{name}` is named twice")));
        }
        columns.push(field.name().clone());
    }
    if !columns.is_empty() && columns.len() == schema.fields().len() {
        return Err(Failure::user("ALL_PARTITION_COLUMNS_NOT_ALLOWED", "a table needs at least one column that is not a partition column"));
    }
    Ok(columns)
}

/// The value of `array` at `row` as it stands in the log. An empty text is NULL there: Delta makes no difference.
pub(super) fn value(array: &ArrayRef, row: usize) -> Result<Option<String>, Failure> {
    if array.is_null(row) {
        return Ok(None);
    }
    let text = match array.data_type() {
        DataType::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let time =
                DateTime::from_timestamp_micros(micros).ok_or_else(|| Failure::internal(format!("timestamp {micros} µs has no date")))?;
            // With `Z` every reader takes it as the instant that it is, whatever its session's zone.
            let format = if zone.is_some() { "%Y-%m-%dT%H:%M:%S%.6fZ" } else { "%Y-%m-%d %H:%M:%S%.6f" };
            time.format(format).to_string()
        }
        _ => array_value_to_string(array, row).map_err(|error| Failure::internal(format!("partition value: {error}")))?,
    };
    Ok(if text.is_empty() { None } else { Some(text) })
}

/// The value of a partition column as the log writes it; empty text is NULL.
pub fn scalar(text: Option<&str>, field: &Field) -> ScalarValue {
    let null = || ScalarValue::try_from(field.data_type()).unwrap_or(ScalarValue::Null);
    match text {
        Some(text) if !text.is_empty() => ScalarValue::Utf8(Some(text.to_owned())).cast_to(field.data_type()).unwrap_or_else(|_| null()),
        _ => null(),
    }
}

/// `column=value` with everything escaped that is not safe in a file name.
pub(super) fn directory(column: &str, value: Option<&str>) -> String {
    format!("{}={}", escaped(column), value.map_or_else(|| NULL_DIRECTORY.to_owned(), escaped))
}

/// `path` as a URI reference, as the log wants it. Our paths hold nothing else that needs it.
pub(super) fn uri(path: &str) -> String {
    path.replace('%', "%25")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') {
            escaped.push(byte.into());
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
