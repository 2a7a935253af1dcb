//! Statistics of a data file as the Delta log wants them, from the footer that the Parquet writer has just made.

use chrono::{DateTime, Duration, NaiveDate};
use datafusion::parquet::{
    basic::{LogicalType, TimeUnit},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        statistics::Statistics,
    },
    schema::types::ColumnDescriptor,
};
use serde_json::{Map, Value};

/// Leaf columns with statistics, counted from the left.
const MAX_COLUMNS: usize = 32;
/// A bound longer than this helps nobody and makes the log large.
const MAX_TEXT_BYTES: usize = 128;
/// Larger unscaled decimals do not survive the way through a JSON number.
const MAX_EXACT_DECIMAL: u128 = 1_000_000_000_000_000;

/// The statistics of the file with this footer. `not_a_number` names the top-level columns that hold NaN, which Parquet leaves out of its
/// bounds; floating-point columns within structs get no bounds at all.
pub(super) fn of_file(footer: &ParquetMetaData, not_a_number: &[String]) -> String {
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    let descriptor = footer.file_metadata().schema_descr();
    for (index, column) in descriptor.columns().iter().enumerate().take(MAX_COLUMNS) {
        // What repeats within a row has no value per row to compare with.
        if column.max_rep_level() > 0 {
            continue;
        }
        let chunks: Vec<&ColumnChunkMetaData> = footer.row_groups().iter().map(|group| group.column(index)).collect();
        let path = column.path().parts();
        if let Some(count) = null_count(&chunks) {
            insert(&mut nulls, path, count.into());
        }
        let floating = matches!(column.physical_type(), datafusion::parquet::basic::Type::FLOAT | datafusion::parquet::basic::Type::DOUBLE);
        if floating && (path.len() > 1 || path.first().is_some_and(|name| not_a_number.contains(name))) {
            continue;
        }
        if let Some((low, high)) = bounds(&chunks, column) {
            insert(&mut min, path, low);
            insert(&mut max, path, high);
        }
    }
    let mut stats = Map::new();
    stats.insert("numRecords".to_owned(), footer.file_metadata().num_rows().into());
    stats.insert("minValues".to_owned(), min.into());
    stats.insert("maxValues".to_owned(), max.into());
    stats.insert("nullCount".to_owned(), nulls.into());
    Value::Object(stats).to_string()
}

fn insert(into: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            into.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let nested = into.entry(name.clone()).or_insert_with(|| Map::new().into());
            if let Value::Object(nested) = nested {
                insert(nested, rest, value);
            }
        }
    }
}

fn null_count(chunks: &[&ColumnChunkMetaData]) -> Option<u64> {
    chunks.iter().map(|chunk| chunk.statistics().and_then(Statistics::null_count_opt)).sum()
}

/// A bound that can be compared within its column.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Bound {
    Integer(i128),
    Number(f64),
    Text(String),
}

/// Lowest and highest value over all row groups; `None` if a row group with values does not tell them.
fn bounds(chunks: &[&ColumnChunkMetaData], column: &ColumnDescriptor) -> Option<(Value, Value)> {
    let mut range: Option<(Bound, Bound)> = None;
    for chunk in chunks {
        let statistics = chunk.statistics()?;
        if statistics.null_count_opt() == Some(chunk.num_values() as u64) {
            continue;
        }
        let (low, high) = bounds_of_chunk(statistics, column)?;
        range = Some(match range {
            None => (low, high),
            Some((min, max)) => (if low < min { low } else { min }, if high > max { high } else { max }),
        });
    }
    let (low, high) = range?;
    Some((json(&low, column, false)?, json(&high, column, true)?))
}

fn bounds_of_chunk(statistics: &Statistics, column: &ColumnDescriptor) -> Option<(Bound, Bound)> {
    let integer = |low: i128, high: i128| Some((Bound::Integer(low), Bound::Integer(high)));
    match statistics {
        Statistics::Int32(values) => integer((*values.min_opt()?).into(), (*values.max_opt()?).into()),
        Statistics::Int64(values) => integer((*values.min_opt()?).into(), (*values.max_opt()?).into()),
        Statistics::Float(values) => number(f64::from(*values.min_opt()?), f64::from(*values.max_opt()?)),
        Statistics::Double(values) => number(*values.min_opt()?, *values.max_opt()?),
        Statistics::ByteArray(values) if is_text(column) => {
            let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| Bound::Text(text.to_owned()));
            Some((text(values.min_bytes_opt()?)?, text(values.max_bytes_opt()?)?))
        }
        Statistics::FixedLenByteArray(values) if is_decimal(column) => {
            integer(big_endian(values.min_bytes_opt()?)?, big_endian(values.max_bytes_opt()?)?)
        }
        _ => None,
    }
}

fn number(low: f64, high: f64) -> Option<(Bound, Bound)> {
    (low.is_finite() && high.is_finite()).then_some((Bound::Number(low), Bound::Number(high)))
}

fn big_endian(bytes: &[u8]) -> Option<i128> {
    let first = *bytes.first()?;
    let mut wide = [if first & 0x80 == 0 { 0 } else { 0xff }; 16];
    let start = 16_usize.checked_sub(bytes.len())?;
    wide[start..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

fn is_text(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::String))
}

fn is_decimal(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::Decimal { .. }))
}

/// The bound as JSON. Times are kept in milliseconds: the upper bound is rounded up, so that it stays one.
fn json(bound: &Bound, column: &ColumnDescriptor, upper: bool) -> Option<Value> {
    match bound {
        Bound::Text(text) => (text.len() <= MAX_TEXT_BYTES).then(|| text.as_str().into()),
        Bound::Number(number) => serde_json::Number::from_f64(*number).map(Value::Number),
        Bound::Integer(integer) => match column.logical_type_ref() {
            Some(LogicalType::Date) => {
                let date = NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(Duration::try_days(i64::try_from(*integer).ok()?)?)?;
                Some(date.format("%Y-%m-%d").to_string().into())
            }
            Some(LogicalType::Timestamp(timestamp)) if timestamp.unit == TimeUnit::MICROS => {
                let micros = i64::try_from(*integer).ok()?;
                let millis = if upper { -(-micros).div_euclid(1000) } else { micros.div_euclid(1000) };
                let time = DateTime::from_timestamp_millis(millis)?;
                let format = if timestamp.is_adjusted_to_u_t_c { "%Y-%m-%dT%H:%M:%S%.3fZ" } else { "%Y-%m-%dT%H:%M:%S%.3f" };
                Some(time.format(format).to_string().into())
            }
            Some(LogicalType::Timestamp(_)) => None,
            Some(LogicalType::Decimal(decimal)) => decimal_json(*integer, decimal.scale),
            _ => i64::try_from(*integer).ok().map(Value::from),
        },
    }
}

fn decimal_json(unscaled: i128, scale: i32) -> Option<Value> {
    if unscaled.unsigned_abs() >= MAX_EXACT_DECIMAL {
        return None;
    }
    if scale == 0 {
        return i64::try_from(unscaled).ok().map(Value::from);
    }
    let text = format!("{unscaled}e-{scale}");
    text.parse().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
}
