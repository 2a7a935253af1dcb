//! Text to every other type. Blanks around the text do not count.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, StringArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
        TimestampMicrosecondType,
    },
};
use floe_graph::analysis::ddl::type_text;

use super::Rules;
use crate::functions::{call::Answer, error::FunctionError, number::parse_decimal, temporal::parse as times};

pub(super) fn parse(array: &ArrayRef, to: &DataType, rules: &Rules) -> Answer {
    let texts = array.as_string::<i32>();
    let fractions = rules.fractions;
    match to {
        DataType::Boolean => booleans(texts, to, rules),
        DataType::Int8 => numbers::<Int8Type>(texts, to, rules, |text| integer(text, fractions)?.try_into().ok()),
        DataType::Int16 => numbers::<Int16Type>(texts, to, rules, |text| integer(text, fractions)?.try_into().ok()),
        DataType::Int32 => numbers::<Int32Type>(texts, to, rules, |text| integer(text, fractions)?.try_into().ok()),
        DataType::Int64 => numbers::<Int64Type>(texts, to, rules, |text| integer(text, fractions)),
        DataType::Float32 => numbers::<Float32Type>(texts, to, rules, |text| plain_number(text).parse().ok()),
        DataType::Float64 => numbers::<Float64Type>(texts, to, rules, |text| plain_number(text).parse().ok()),
        DataType::Decimal128(precision, scale) => {
            numbers::<Decimal128Type>(texts, to, rules, |text| parse_decimal(text.as_bytes(), *precision, *scale))
        }
        DataType::Date32 => numbers::<Date32Type>(texts, to, rules, |text| times::date(text.as_bytes())),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => numbers::<TimestampMicrosecondType>(texts, to, rules, |text| {
            let time = times::timestamp(text.as_bytes())?;
            if zone.is_some() { time.instant(rules.zone) } else { Some(time.local_us) }
        }),
        other => super::plain(array, other, rules),
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|letter: char| letter <= ' ')
}

/// A number without the suffix of a literal: `1.5d` and `2f` are numbers as well.
fn plain_number(text: &str) -> &str {
    match text.strip_suffix(['d', 'D', 'f', 'F']) {
        Some(number) if number.ends_with(|last: char| last.is_ascii_digit() || last == '.') => number,
        _ => text,
    }
}

fn invalid(text: &str, to: &DataType) -> FunctionError {
    let message = format!("the value '{text}' of type STRING cannot be cast to {} because it is malformed", type_text(to));
    FunctionError::new("CAST_INVALID_INPUT", message)
}

fn numbers<T: ArrowPrimitiveType>(texts: &StringArray, to: &DataType, rules: &Rules, value: impl Fn(&str) -> Option<T::Native>) -> Answer {
    let mut builder = PrimitiveArray::<T>::builder(texts.len());
    for text in texts {
        let parsed = text.and_then(|text| value(trimmed(text)));
        match (text, parsed) {
            (Some(text), None) if rules.ansi => return Err(invalid(text, to).into()),
            _ => builder.append_option(parsed),
        }
    }
    Ok(Arc::new(builder.finish().with_data_type(to.clone())))
}

fn booleans(texts: &StringArray, to: &DataType, rules: &Rules) -> Answer {
    let mut values = Vec::with_capacity(texts.len());
    for text in texts {
        let parsed = text.and_then(|text| match trimmed(text).to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "1" => Some(true),
            "f" | "false" | "n" | "no" | "0" => Some(false),
            _ => None,
        });
        match (text, parsed) {
            (Some(text), None) if rules.ansi => return Err(invalid(text, to).into()),
            _ => values.push(parsed),
        }
    }
    Ok(Arc::new(BooleanArray::from(values)))
}

/// A sign and digits, with a fraction that is cut off where that is allowed.
fn integer(text: &str, fractions: bool) -> Option<i64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if fractions => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if matches!(whole, "" | "+" | "-") {
        return if fraction.is_empty() { None } else { Some(0) };
    }
    whole.parse().ok()
}
