//! Trigonometry and its kin, and bits of integers.

use datafusion::arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type},
};

use super::{
    aggregate::unexpected,
    call::{Answer, Call, Kernel},
    encoding::delegate,
    error::FunctionError,
    math::unary,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("sin", |call| unary(call, |x| Some(x.sin()))),
    ("cos", |call| unary(call, |x| Some(x.cos()))),
    ("tan", |call| unary(call, |x| Some(x.tan()))),
    ("cot", |call| unary(call, |x| Some(1.0 / x.tan()))),
    ("sec", |call| unary(call, |x| Some(1.0 / x.cos()))),
    ("csc", |call| unary(call, |x| Some(1.0 / x.sin()))),
    ("asin", |call| unary(call, |x| Some(x.asin()))),
    ("acos", |call| unary(call, |x| Some(x.acos()))),
    ("atan", |call| unary(call, |x| Some(x.atan()))),
    ("sinh", |call| unary(call, |x| Some(x.sinh()))),
    ("cosh", |call| unary(call, |x| Some(x.cosh()))),
    ("tanh", |call| unary(call, |x| Some(x.tanh()))),
    ("asinh", |call| unary(call, |x| Some(x.asinh()))),
    ("acosh", |call| unary(call, |x| Some(x.acosh()))),
    ("atanh", |call| unary(call, |x| Some(x.atanh()))),
    ("degrees", |call| unary(call, |x| Some(x.to_degrees()))),
    ("radians", |call| unary(call, |x| Some(x.to_radians()))),
    ("expm1", |call| unary(call, |x| Some(x.exp_m1()))),
    ("log1p", |call| unary(call, |x| (x > -1.0 || x.is_nan()).then(|| x.ln_1p()))),
    ("rint", |call| unary(call, |x| Some(x.round_ties_even()))),
    ("e", |call| call.doubles(|_| Some(std::f64::consts::E))),
    ("atan2", |call| binary(call, |y, x| (y + 0.0).atan2(x + 0.0))),
    ("hypot", |call| binary(call, f64::hypot)),
    ("factorial", |call| {
        let given = call.int(0)?;
        call.longs(|row| {
            let n = i64::from(given.at(row)?);
            (0..=20).contains(&n).then(|| (1..=n).product())
        })
    }),
    ("$bit_not", bit_not),
    ("shiftleft", |call| shift(call, i32::wrapping_shl, i64::wrapping_shl)),
    ("shiftright", |call| shift(call, i32::wrapping_shr, i64::wrapping_shr)),
    ("shiftrightunsigned", |call| {
        shift(call, |x, n| (x as u32).wrapping_shr(n).cast_signed(), |x, n| (x as u64).wrapping_shr(n).cast_signed())
    }),
    ("bit_count", bit_count),
    ("getbit", getbit),
    ("luhn_check", |call| delegate(call, &datafusion_spark::function::string::luhn_check())),
];

fn binary(call: &Call<'_>, value: impl Fn(f64, f64) -> f64) -> Answer {
    let (left, right) = (call.double(0)?, call.double(1)?);
    call.doubles(|row| Some(value(left.at(row)?, right.at(row)?)))
}

fn bit_not(call: &Call<'_>) -> Answer {
    let array = call.array(0)?;
    macro_rules! inverted {
        ($kind:ty) => {{
            let given = array.as_primitive::<$kind>();
            call.numbers::<$kind>(|row| given.is_valid(row).then(|| !given.value(row)))
        }};
    }
    match call.returns {
        DataType::Int8 => inverted!(Int8Type),
        DataType::Int16 => inverted!(Int16Type),
        DataType::Int32 => inverted!(Int32Type),
        DataType::Int64 => inverted!(Int64Type),
        _ => Err(unexpected(call.name)),
    }
}

/// Only the low bits of the distance count, as in Java.
fn shift(call: &Call<'_>, int: impl Fn(i32, u32) -> i32, long: impl Fn(i64, u32) -> i64) -> Answer {
    let distance = call.int(1)?;
    if *call.returns == DataType::Int64 {
        let given = call.long(0)?;
        return call.longs(|row| Some(long(given.at(row)?, distance.at(row)?.cast_unsigned())));
    }
    let given = call.int(0)?;
    call.ints(|row| Some(int(given.at(row)?, distance.at(row)?.cast_unsigned())))
}

fn bit_count(call: &Call<'_>) -> Answer {
    if call.data_type(0) == DataType::Boolean {
        let given = call.boolean(0)?;
        return call.ints(|row| given.at(row).map(i32::from));
    }
    let given = call.long(0)?;
    call.ints(|row| given.at(row).map(|value| value.count_ones().cast_signed()))
}

fn getbit(call: &Call<'_>) -> Answer {
    let bits = match call.data_type(0) {
        DataType::Int8 => 8,
        DataType::Int16 => 16,
        DataType::Int32 => 32,
        _ => 64,
    };
    let (given, place) = (call.long(0)?, call.int(1)?);
    call.try_numbers::<datafusion::arrow::datatypes::Int8Type>(|row| {
        let (Some(value), Some(place)) = (given.at(row), place.at(row)) else { return Ok(None) };
        if !(0..bits).contains(&place) {
            let message = format!("{} counts bits from 0 to {}, not {place}", call.name, bits - 1);
            return Err(FunctionError::new("INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE", message).into());
        }
        Ok(Some(((value >> place) & 1) as i8))
    })
}
