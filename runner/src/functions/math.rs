//! Functions on numbers.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, new_null_array},
        compute::{is_not_null, kernels::zip::zip},
        datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
        row::{RowConverter, SortField},
    },
    common::Result,
};

use floe_graph::analysis::ddl::type_text;

use super::{
    aggregate::unexpected,
    call::{Answer, Call, Kernel, gather},
    error::FunctionError,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("coalesce", coalesce),
    ("greatest", |call| extreme(call, true)),
    ("least", |call| extreme(call, false)),
    ("isnan", |call| {
        let value = call.double(0)?;
        call.booleans(|row| Some(value.at(row).is_some_and(f64::is_nan)))
    }),
    ("nanvl", |call| {
        let (value, other) = (call.double(0)?, call.double(1)?);
        call.doubles(|row| if value.at(row)?.is_nan() { other.at(row) } else { value.at(row) })
    }),
    ("abs", abs),
    ("sign", |call| unary(call, |value| Some(if value == 0.0 || value.is_nan() { value } else { value.signum() }))),
    ("ceil", |call| if call.has(1) { whole_to(call, true) } else { whole(call, f64::ceil, 1) }),
    ("floor", |call| if call.has(1) { whole_to(call, false) } else { whole(call, f64::floor, -1) }),
    ("round", |call| round(call, false)),
    ("bround", |call| round(call, true)),
    ("sqrt", |call| unary(call, |value| Some(value.sqrt()))),
    ("cbrt", |call| unary(call, |value| Some(value.cbrt()))),
    ("exp", |call| unary(call, |value| Some(value.exp()))),
    ("ln", |call| unary(call, |value| positive(value).map(f64::ln))),
    ("log", log),
    ("log2", |call| unary(call, |value| positive(value).map(f64::log2))),
    ("log10", |call| unary(call, |value| positive(value).map(f64::log10))),
    ("pow", |call| {
        let (base, exponent) = (call.double(0)?, call.double(1)?);
        call.doubles(|row| Some(base.at(row)?.powf(exponent.at(row)?)))
    }),
    ("pi", |call| call.doubles(|_| Some(std::f64::consts::PI))),
    ("width_bucket", width_bucket),
];

pub(super) fn unary(call: &Call<'_>, value: impl Fn(f64) -> Option<f64>) -> Answer {
    let given = call.double(0)?;
    call.doubles(|row| value(given.at(row)?))
}

fn positive(value: f64) -> Option<f64> {
    (value > 0.0 || value.is_nan()).then_some(value)
}

fn log(call: &Call<'_>) -> Answer {
    if !call.has(1) {
        return unary(call, |value| positive(value).map(f64::ln));
    }
    let (base, value) = (call.double(0)?, call.double(1)?);
    call.doubles(|row| Some(positive(value.at(row)?)?.ln() / positive(base.at(row)?)?.ln()))
}

fn coalesce(call: &Call<'_>) -> Answer {
    let mut result = call.array(call.args.len().saturating_sub(1))?;
    for index in (0..call.args.len().saturating_sub(1)).rev() {
        let value = call.array(index)?;
        let present = is_not_null(&value)?;
        result = zip(&present, &value, &result)?;
    }
    Ok(result)
}

fn extreme(call: &Call<'_>, greatest: bool) -> Answer {
    let arrays = (0..call.args.len()).map(|index| call.array(index)).collect::<Result<Vec<ArrayRef>>>()?;
    let converter = RowConverter::new(vec![SortField::new(call.returns.clone())])?;
    let rows = arrays.iter().map(|array| converter.convert_columns(&[Arc::clone(array)])).collect::<std::result::Result<Vec<_>, _>>()?;
    let all: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    let values = datafusion::arrow::compute::concat(&all)?;
    let best = |row: usize| {
        let candidates = rows.iter().zip(&arrays).enumerate().filter(|(_, (_, array))| array.is_valid(row));
        let candidates = candidates.map(|(index, (rows, _))| (rows.row(row), index));
        let found = if greatest { candidates.max() } else { candidates.min() };
        found.map(|(_, index)| (index * call.rows + row) as u64)
    };
    gather(&values, (0..call.rows).map(best).collect())
}

fn overflow(call: &Call<'_>) -> FunctionError {
    FunctionError::new("ARITHMETIC_OVERFLOW", format!("the result of {} does not fit {}", call.name, type_text(call.returns)))
}

fn each<T: ArrowPrimitiveType>(call: &Call<'_>, value: impl Fn(T::Native) -> Option<T::Native>) -> Answer {
    let array = call.array(0)?;
    let given = array.as_primitive::<T>();
    call.try_numbers::<T>(|row| {
        if given.is_null(row) { Ok(None) } else { value(given.value(row)).map(Some).ok_or_else(|| overflow(call).into()) }
    })
}

fn abs(call: &Call<'_>) -> Answer {
    match call.returns {
        DataType::Int8 => each::<Int8Type>(call, i8::checked_abs),
        DataType::Int16 => each::<Int16Type>(call, i16::checked_abs),
        DataType::Int32 => each::<Int32Type>(call, i32::checked_abs),
        DataType::Int64 => each::<Int64Type>(call, i64::checked_abs),
        DataType::Float32 => each::<Float32Type>(call, |value| Some(value.abs())),
        DataType::Float64 => each::<Float64Type>(call, |value| Some(value.abs())),
        DataType::Decimal128(..) => each::<Decimal128Type>(call, i128::checked_abs),
        DataType::Null => Ok(new_null_array(call.returns, call.rows)),
        _ => Err(unexpected(call.name)),
    }
}

/// `ceil` and `floor`; `away` is the step from the truncated decimal.
fn whole(call: &Call<'_>, double: impl Fn(f64) -> f64, away: i128) -> Answer {
    if let DataType::Decimal128(_, scale) = call.data_type(0) {
        let unit = 10i128.pow(u32::from(scale.unsigned_abs()));
        let array = call.array(0)?;
        let given = array.as_primitive::<Decimal128Type>();
        return call.numbers::<Decimal128Type>(|row| {
            let value = given.is_valid(row).then(|| given.value(row))?;
            let step = if value % unit != 0 && (value > 0) == (away > 0) { away } else { 0 };
            Some(value / unit + step)
        });
    }
    if call.data_type(0).is_integer() {
        let given = call.long(0)?;
        return call.longs(|row| given.at(row));
    }
    let given = call.double(0)?;
    // The cast saturates, as Java's does.
    call.longs(|row| Some(double(given.at(row)?) as i64))
}

/// `ceil` and `floor` of a DECIMAL to a number of decimals.
fn whole_to(call: &Call<'_>, up: bool) -> Answer {
    let (DataType::Decimal128(_, scale), DataType::Decimal128(_, kept)) = (call.data_type(0), call.returns) else {
        return Err(unexpected(call.name));
    };
    let decimals = bounded(call.int(1)?.at(0).unwrap_or(0));
    let power = |digits: i32| 10i128.checked_pow(digits.unsigned_abs());
    let unit = power(i32::from(scale) - decimals.min(i32::from(scale))).unwrap_or(i128::MAX);
    let back = power(i32::from(*kept) - decimals.min(i32::from(*kept)));
    each::<Decimal128Type>(call, |value| {
        let steps = value.div_euclid(unit) + i128::from(up && value.rem_euclid(unit) != 0);
        if steps == 0 { Some(0) } else { steps.checked_mul(back?) }
    })
}

fn round_integer(value: i128, unit: i128, even: bool) -> i128 {
    let (quotient, remainder) = (value / unit, value % unit);
    // Twice a remainder of 38 digits is no i128 any more.
    let (twice, unit) = (remainder.unsigned_abs() * 2, unit.unsigned_abs());
    let up = twice > unit || (twice == unit && (!even || quotient % 2 != 0));
    quotient + if up { value.signum() } else { 0 }
}

/// A number of decimals beyond which nothing changes: no number has as many digits.
fn bounded(decimals: i32) -> i32 {
    decimals.clamp(-1_000, 1_000)
}

fn round(call: &Call<'_>, even: bool) -> Answer {
    let decimals = if call.has(1) { bounded(call.int(1)?.at(0).unwrap_or(0)) } else { 0 };
    if call.has(1) && call.int(1)?.at(0).is_none() {
        return call.nulls();
    }
    let unit_of = |digits: i32| 10i128.checked_pow(digits.unsigned_abs());
    match (call.data_type(0), call.returns) {
        (DataType::Decimal128(_, scale), DataType::Decimal128(_, kept)) => {
            // The result has the scale `kept`; digits before the point that are rounded away become zeros.
            let unit = unit_of(i32::from(scale) - decimals.min(i32::from(scale))).unwrap_or(i128::MAX);
            let back = unit_of(i32::from(*kept) - decimals.min(i32::from(*kept))).unwrap_or(0);
            each::<Decimal128Type>(call, |value| round_integer(value, unit, even).checked_mul(back))
        }
        (DataType::Float32, _) => each::<Float32Type>(call, |value| Some(round_double(f64::from(value), decimals, even) as f32)),
        (DataType::Float64, _) => each::<Float64Type>(call, |value| Some(round_double(value, decimals, even))),
        (DataType::Int8, _) => each::<Int8Type>(call, |value| round_whole(i128::from(value), decimals, even)?.try_into().ok()),
        (DataType::Int16, _) => each::<Int16Type>(call, |value| round_whole(i128::from(value), decimals, even)?.try_into().ok()),
        (DataType::Int32, _) => each::<Int32Type>(call, |value| round_whole(i128::from(value), decimals, even)?.try_into().ok()),
        (DataType::Int64, _) => each::<Int64Type>(call, |value| round_whole(i128::from(value), decimals, even)?.try_into().ok()),
        (DataType::Null, _) => call.nulls(),
        _ => Err(unexpected(call.name)),
    }
}

fn round_whole(value: i128, decimals: i32, even: bool) -> Option<i128> {
    if decimals >= 0 {
        return Some(value);
    }
    match 10i128.checked_pow(decimals.unsigned_abs()) {
        Some(unit) => round_integer(value, unit, even).checked_mul(unit),
        None => Some(0),
    }
}

/// Rounds the shortest decimal that reads back as `value`, as Spark does by way of BigDecimal: 2.675 to two places is 2.68.
fn round_double(value: f64, decimals: i32, even: bool) -> f64 {
    if !value.is_finite() || value == 0.0 {
        return value;
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let (exponent, decimals): (i64, i64) = (exponent.parse().unwrap_or(0), decimals.into());
    // value = digits * 10^place
    let place = exponent - (digits.len() as i64 - 1);
    let drop = -decimals - place;
    if drop <= 0 {
        return value;
    }
    let number: i128 = digits.parse().unwrap_or(0);
    let kept = match u32::try_from(drop).ok().and_then(|drop| 10i128.checked_pow(drop)) {
        Some(unit) => round_integer(number, unit, even),
        None => 0,
    };
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{kept}e{}", -decimals).parse().unwrap_or(value)
}

fn width_bucket(call: &Call<'_>) -> Answer {
    let (value, low, high, count) = (call.double(0)?, call.double(1)?, call.double(2)?, call.long(3)?);
    call.longs(|row| {
        let (value, low, high, count) = (value.at(row)?, low.at(row)?, high.at(row)?, count.at(row)?);
        if count <= 0 || count == i64::MAX || value.is_nan() || !low.is_finite() || !high.is_finite() || low.total_cmp(&high).is_eq() {
            return None;
        }
        let (value, low, high) = if low < high { (value, low, high) } else { (-value, -low, -high) };
        Some(if value < low {
            0
        } else if value >= high {
            count + 1
        } else {
            ((count as f64 * (value - low) / (high - low)) as i64).saturating_add(1)
        })
    })
}
