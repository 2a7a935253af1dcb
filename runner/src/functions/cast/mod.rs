//! CAST and TRY_CAST by Spark's rules.

mod from_text;
mod to_text;

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray, PrimitiveArray,
            StructArray, new_null_array,
        },
        compute::{CastOptions, cast_with_options},
        datatypes::{
            DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
        },
        util::display::{ArrayFormatter, FormatOptions},
    },
    common::Result,
};

use floe_graph::analysis::ddl::type_text;

use super::{
    call::{Answer, Call, Kernel},
    error::FunctionError,
    number::parse_decimal,
    temporal::{DAY_US, SECOND_US, zone::Zone},
};

pub(super) use to_text::double_text;

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("$cast", |call| {
        let rules = Rules { ansi: call.settings.ansi, fractions: !call.settings.ansi, zone: call.settings.zone };
        run(call, &rules)
    }),
    ("$try_cast", |call| run(call, &Rules { ansi: false, fractions: false, zone: call.settings.zone })),
];

/// What decides about a cast besides the types.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Invalid input is an error instead of NULL.
    pub ansi: bool,
    /// Text to integer takes a fraction and cuts it off.
    pub fractions: bool,
    pub zone: Zone,
}

fn run(call: &Call<'_>, rules: &Rules) -> Answer {
    let value = call.array(0)?;
    cast_array(&value, call.returns, rules)
}

/// Integers as their bytes, the most significant first.
fn bytes_of(array: &ArrayRef, rules: &Rules) -> Answer {
    let width = array.data_type().primitive_width().unwrap_or(size_of::<i64>());
    let longs = plain(array, &DataType::Int64, rules)?;
    let bytes = longs.as_primitive::<Int64Type>().iter().map(|value| {
        let bytes = value?.to_be_bytes();
        bytes.get(bytes.len() - width..).map(<[u8]>::to_vec)
    });
    Ok(Arc::new(bytes.collect::<BinaryArray>()))
}

/// The values of `array` as values of type `to`.
pub(super) fn cast_array(array: &ArrayRef, to: &DataType, rules: &Rules) -> Answer {
    use DataType as D;
    let from = array.data_type();
    match (from, to) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        (D::Null, to) => Ok(new_null_array(to, array.len())),
        (_, D::Utf8) => to_text::text_of(array, rules),
        (D::Utf8, to) if !matches!(to, D::Binary) => from_text::parse(array, to, rules),
        (D::Int8 | D::Int16 | D::Int32 | D::Int64, D::Binary) => bytes_of(array, rules),
        (D::Boolean, D::Decimal128(..) | D::Timestamp(..)) => cast_array(&plain(array, &D::Int64, rules)?, to, rules),
        (D::Decimal128(..), D::Boolean) => {
            let values = array.as_primitive::<Decimal128Type>();
            Ok(Arc::new(values.iter().map(|value| value.map(|value| value != 0)).collect::<BooleanArray>()))
        }
        (D::Float32 | D::Float64, D::Decimal128(precision, scale)) => float_to_decimal(array, (*precision, *scale), rules),
        (from, D::Timestamp(TimeUnit::Microsecond, Some(_))) if from.is_numeric() => number_to_timestamp(array, to, rules),
        (D::Timestamp(TimeUnit::Microsecond, _), to) if to.is_numeric() => timestamp_to_number(array, to, rules),
        (D::Date32 | D::Timestamp(..), D::Date32 | D::Timestamp(..)) => between_times(array, to, rules),
        (D::List(_), D::List(field)) => {
            let list = array.as_list::<i32>();
            let values = cast_array(list.values(), field.data_type(), rules)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(field), list.offsets().clone(), values, list.nulls().cloned())?))
        }
        (D::Struct(_), D::Struct(fields)) => {
            let group = array.as_struct();
            let columns = group.columns().iter().zip(fields).map(|(column, field)| cast_array(column, field.data_type(), rules));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, group.nulls().cloned(), group.len())?))
        }
        (D::Map(..), D::Map(field, sorted)) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = cast_array(&entries, field.data_type(), rules)?.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(Arc::clone(field), map.offsets().clone(), entries, map.nulls().cloned(), *sorted)?))
        }
        (_, to) => plain(array, to, rules),
    }
}

/// Casts that Arrow does as Spark does.
fn plain(array: &ArrayRef, to: &DataType, rules: &Rules) -> Answer {
    let cast = cast_with_options(array, to, &CastOptions { safe: true, ..CastOptions::default() })?;
    checked(array, cast, rules)
}

/// With ANSI on a value that became NULL is an error.
fn checked(array: &ArrayRef, cast: ArrayRef, rules: &Rules) -> Answer {
    if rules.ansi && cast.null_count() > array.null_count() {
        let lost = (0..array.len()).find(|row| array.is_valid(*row) && cast.is_null(*row)).unwrap_or(0);
        let value = ArrayFormatter::try_new(array, &FormatOptions::default())?.value(lost).to_string();
        let message = format!("the value {value} of type {} does not fit {}", type_text(array.data_type()), type_text(cast.data_type()));
        return Err(FunctionError::new("CAST_OVERFLOW", message).into());
    }
    Ok(cast)
}

fn mapped<F: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    array: &ArrayRef,
    to: &DataType,
    value: impl Fn(F::Native) -> Option<T::Native>,
) -> ArrayRef {
    let values = array.as_primitive::<F>().iter().map(|given| given.and_then(&value));
    Arc::new(values.collect::<PrimitiveArray<T>>().with_data_type(to.clone()))
}

fn float_to_decimal(array: &ArrayRef, shape: (u8, i8), rules: &Rules) -> Answer {
    let (precision, scale) = shape;
    let parse = |text: String| parse_decimal(text.as_bytes(), precision, scale);
    let values: Decimal128Array = match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().iter().map(|v| v.and_then(|v| parse(format!("{v:e}")))).collect(),
        _ => array.as_primitive::<Float64Type>().iter().map(|v| v.and_then(|v| parse(format!("{v:e}")))).collect(),
    };
    checked(array, Arc::new(values.with_precision_and_scale(precision, scale)?), rules)
}

fn number_to_timestamp(array: &ArrayRef, to: &DataType, rules: &Rules) -> Answer {
    let cast = match array.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let doubles = plain(array, &DataType::Float64, rules)?;
            mapped::<Float64Type, TimestampMicrosecondType>(&doubles, to, micros_of)
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10i128.pow(u32::from(scale.unsigned_abs()));
            mapped::<Decimal128Type, TimestampMicrosecondType>(array, to, |value| {
                i64::try_from(value.checked_mul(i128::from(SECOND_US))? / unit).ok()
            })
        }
        _ => {
            let longs = plain(array, &DataType::Int64, rules)?;
            mapped::<Int64Type, TimestampMicrosecondType>(&longs, to, |seconds| seconds.checked_mul(SECOND_US))
        }
    };
    checked(array, cast, rules)
}

/// Microseconds of epoch seconds with a fraction; nothing for what is no instant.
pub(super) fn micros_of(seconds: f64) -> Option<i64> {
    let micros = seconds * SECOND_US as f64;
    (micros.is_finite() && micros.abs() < 9.2e18).then_some(micros as i64)
}

fn timestamp_to_number(array: &ArrayRef, to: &DataType, rules: &Rules) -> Answer {
    let seconds = || mapped::<TimestampMicrosecondType, Int64Type>(array, &DataType::Int64, |us| Some(us.div_euclid(SECOND_US)));
    match to {
        DataType::Float32 | DataType::Float64 => {
            let doubles =
                mapped::<TimestampMicrosecondType, Float64Type>(array, &DataType::Float64, |us| Some(us as f64 / SECOND_US as f64));
            plain(&doubles, to, rules)
        }
        DataType::Decimal128(..) => {
            let decimals =
                mapped::<TimestampMicrosecondType, Decimal128Type>(array, &DataType::Decimal128(38, 6), |us| Some(i128::from(us)));
            plain(&decimals, to, rules)
        }
        _ => plain(&seconds(), to, rules),
    }
}

fn between_times(array: &ArrayRef, to: &DataType, rules: &Rules) -> Answer {
    use DataType as D;
    let zone = rules.zone;
    let day = |us: i64| i32::try_from(us.div_euclid(DAY_US)).ok();
    let midnight = |days: i32| i64::from(days).checked_mul(DAY_US);
    let cast = match (array.data_type(), to) {
        (D::Date32, D::Timestamp(TimeUnit::Microsecond, Some(_))) => {
            mapped::<Date32Type, TimestampMicrosecondType>(array, to, |days| zone.to_instant(midnight(days)?))
        }
        (D::Date32, D::Timestamp(TimeUnit::Microsecond, None)) => mapped::<Date32Type, TimestampMicrosecondType>(array, to, midnight),
        (D::Timestamp(TimeUnit::Microsecond, Some(_)), D::Date32) => {
            mapped::<TimestampMicrosecondType, Date32Type>(array, to, |us| day(zone.to_local(us)))
        }
        (D::Timestamp(TimeUnit::Microsecond, None), D::Date32) => mapped::<TimestampMicrosecondType, Date32Type>(array, to, day),
        (D::Timestamp(TimeUnit::Microsecond, Some(_)), D::Timestamp(TimeUnit::Microsecond, None)) => {
            mapped::<TimestampMicrosecondType, TimestampMicrosecondType>(array, to, |us| Some(zone.to_local(us)))
        }
        (D::Timestamp(TimeUnit::Microsecond, None), D::Timestamp(TimeUnit::Microsecond, Some(_))) => {
            mapped::<TimestampMicrosecondType, TimestampMicrosecondType>(array, to, |us| zone.to_instant(us))
        }
        _ => return plain(array, to, rules),
    };
    checked(array, cast, rules)
}

/// The arguments of kernels that count in INT.
pub(super) type IntArray = PrimitiveArray<Int32Type>;
