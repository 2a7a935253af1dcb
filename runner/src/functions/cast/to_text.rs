//! Every type to text.

use std::{fmt::Write, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, StringArray, StringBuilder},
        datatypes::{DataType, Date32Type, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType},
    },
    common::Result,
};

use super::{Rules, cast_array, plain};
use crate::functions::{
    call::Answer,
    temporal::{DAY_US, SECOND_US, civil_from_days},
};

pub(super) fn text_of(array: &ArrayRef, rules: &Rules) -> Answer {
    match array.data_type() {
        DataType::Float64 => Ok(written(array.as_primitive::<Float64Type>().iter(), double_text)),
        DataType::Float32 => Ok(written(array.as_primitive::<Float32Type>().iter(), float_text)),
        DataType::Date32 => Ok(written(array.as_primitive::<Date32Type>().iter(), |days, text| date_text(i64::from(days), text))),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let local = |us: i64| if zone.is_some() { rules.zone.to_local(us) } else { us };
            Ok(written(array.as_primitive::<TimestampMicrosecondType>().iter(), |us, text| timestamp_text(local(us), text)))
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>().iter().map(|bytes| bytes.map(String::from_utf8_lossy));
            let mut builder = StringBuilder::with_capacity(array.len(), array.get_array_memory_size());
            values.for_each(|text| builder.append_option(text));
            Ok(Arc::new(builder.finish()))
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let items = inner(list.values(), rules)?;
            nested(array, ("[", "]"), |row| list.offsets().get(row).zip(list.offsets().get(row + 1)), |item| item_text(&items, item))
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (keys, values) = (inner(map.keys(), rules)?, inner(map.values(), rules)?);
            let entry = |item| format!("{} -> {}", item_text(&keys, item), item_text(&values, item));
            nested(array, ("{", "}"), |row| map.offsets().get(row).zip(map.offsets().get(row + 1)), entry)
        }
        DataType::Struct(_) => structs(array, rules),
        _ => plain(array, &DataType::Utf8, rules),
    }
}

fn written<T>(values: impl ExactSizeIterator<Item = Option<T>>, write: impl Fn(T, &mut String)) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(values.len(), values.len() * 12);
    let mut text = String::new();
    for value in values {
        match value {
            Some(value) => {
                text.clear();
                write(value, &mut text);
                builder.append_value(&text);
            }
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

fn inner(values: &ArrayRef, rules: &Rules) -> Result<StringArray> {
    Ok(cast_array(values, &DataType::Utf8, rules)?.as_string::<i32>().clone())
}

fn item_text(texts: &StringArray, item: usize) -> String {
    if texts.is_valid(item) { texts.value(item).to_string() } else { "null".to_string() }
}

#[expect(clippy::unnecessary_wraps, reason = "every helper gives the answer of a kernel")]
fn nested<'a>(
    array: &'a ArrayRef,
    brackets: (&str, &str),
    range: impl Fn(usize) -> Option<(&'a i32, &'a i32)>,
    item: impl Fn(usize) -> String,
) -> Answer {
    let mut builder = StringBuilder::new();
    for row in 0..array.len() {
        match range(row).filter(|_| array.is_valid(row)) {
            Some((start, end)) => {
                let items: Vec<String> = (*start as usize..*end as usize).map(&item).collect();
                builder.append_value(format!("{}{}{}", brackets.0, items.join(", "), brackets.1));
            }
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn structs(array: &ArrayRef, rules: &Rules) -> Answer {
    let columns = array.as_struct().columns().iter().map(|column| inner(column, rules)).collect::<Result<Vec<_>>>()?;
    let mut builder = StringBuilder::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        let fields: Vec<String> = columns.iter().map(|column| item_text(column, row)).collect();
        builder.append_value(format!("{{{}}}", fields.join(", ")));
    }
    Ok(Arc::new(builder.finish()))
}

/// A DOUBLE as Java writes it.
pub(in crate::functions) fn double_text(value: f64, text: &mut String) {
    java_text(value, &format!("{value:e}"), text);
}

fn float_text(value: f32, text: &mut String) {
    java_text(f64::from(value), &format!("{value:e}"), text);
}

/// `scientific` is the shortest form that reads back as the same value, such as `-1.25e-7`.
fn java_text(value: f64, scientific: &str, text: &mut String) {
    if !value.is_finite() {
        text.push_str(if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-3..7).contains(&exponent) {
        text.push_str(mantissa);
        if !mantissa.contains('.') {
            text.push_str(".0");
        }
        // Writing into a string cannot fail.
        let _ = write!(text, "E{exponent}");
        return;
    }
    let (sign, unsigned) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = unsigned.chars().filter(|letter| *letter != '.').collect();
    text.push_str(sign);
    if exponent < 0 {
        text.push_str("0.");
        text.push_str(&"0".repeat(exponent.unsigned_abs() as usize - 1));
        text.push_str(&digits);
        return;
    }
    let whole = exponent as usize + 1;
    let padded = format!("{digits:0<whole$}");
    text.push_str(padded.get(..whole).unwrap_or(&padded));
    text.push('.');
    let fraction = padded.get(whole..).unwrap_or_default();
    text.push_str(if fraction.is_empty() { "0" } else { fraction });
}

fn date_text(days: i64, text: &mut String) {
    let (year, month, day) = civil_from_days(days);
    let sign = if year > 9_999 { "+" } else { "" };
    let _ = write!(text, "{sign}{year:04}-{month:02}-{day:02}");
}

/// `yyyy-MM-dd HH:mm:ss[.ffffff]` of a local time, without zeros at the end.
fn timestamp_text(local_us: i64, text: &mut String) {
    date_text(local_us.div_euclid(DAY_US), text);
    let within = local_us.rem_euclid(DAY_US);
    let (second, micros) = (within / SECOND_US, within % SECOND_US);
    let _ = write!(text, " {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
    if micros != 0 {
        let fraction = format!("{micros:06}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
}
