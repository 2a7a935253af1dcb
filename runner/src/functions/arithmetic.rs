//! Arithmetic that sees overflow and zero divisors.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, new_null_array},
        compute::cast,
        datatypes::{
            ArrowNativeTypeOp, DataType, Decimal128Type, DecimalType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
            i256,
        },
    },
    common::Result,
};

use floe_graph::analysis::ddl::type_text;

use super::{
    aggregate::unexpected,
    call::{Answer, Call, Kernel},
    error::FunctionError,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("$add", |call| binary(call, Operation::Add, OnOverflow::Fail)),
    ("$subtract", |call| binary(call, Operation::Subtract, OnOverflow::Fail)),
    ("$multiply", |call| binary(call, Operation::Multiply, OnOverflow::Fail)),
    ("$divide", |call| binary(call, Operation::Divide, OnOverflow::Fail)),
    ("$remainder", |call| binary(call, Operation::Remainder, OnOverflow::Fail)),
    ("mod", |call| binary(call, Operation::Remainder, OnOverflow::Fail)),
    ("pmod", |call| binary(call, Operation::PositiveRemainder, OnOverflow::Fail)),
    ("$int_divide", int_divide),
    ("try_add", |call| binary(call, Operation::Add, OnOverflow::Null)),
    ("try_subtract", |call| binary(call, Operation::Subtract, OnOverflow::Null)),
    ("try_multiply", |call| binary(call, Operation::Multiply, OnOverflow::Null)),
    ("try_mod", |call| binary(call, Operation::Remainder, OnOverflow::Null)),
    ("try_divide", |call| binary(call, Operation::Divide, OnOverflow::Null)),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    PositiveRemainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnOverflow {
    Fail,
    /// The `try_` functions: NULL, also for a zero divisor with ANSI on.
    Null,
}

/// What stands for a row without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Overflow,
    ZeroDivisor,
}

impl Operation {
    fn divides(self) -> bool {
        matches!(self, Self::Divide | Self::Remainder | Self::PositiveRemainder)
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::PositiveRemainder => "pmod",
        }
    }

    fn apply<N: ArrowNativeTypeOp>(self, left: N, right: N) -> std::result::Result<N, Trouble> {
        if self.divides() && right.is_zero() {
            return Err(Trouble::ZeroDivisor);
        }
        let result = match self {
            Self::Add => left.add_checked(right),
            Self::Subtract => left.sub_checked(right),
            Self::Multiply => left.mul_checked(right),
            Self::Divide => left.div_checked(right),
            // The smallest integer % -1 is 0, though its quotient overflows.
            Self::Remainder => Ok(left.mod_wrapping(right)),
            Self::PositiveRemainder => {
                let remainder = left.mod_wrapping(right);
                if remainder.is_lt(N::ZERO) { Ok(remainder.add_wrapping(right).mod_wrapping(right)) } else { Ok(remainder) }
            }
        };
        result.map_err(|_| Trouble::Overflow)
    }
}

fn trouble(call: &Call<'_>, operation: Operation, mode: OnOverflow, found: Trouble) -> Result<()> {
    match (found, mode) {
        (_, OnOverflow::Null) => Ok(()),
        (Trouble::Overflow, OnOverflow::Fail) => {
            let message = format!("the result of {} does not fit {}", operation.symbol(), type_text(call.returns));
            Err(FunctionError::new("ARITHMETIC_OVERFLOW", message).into())
        }
        (Trouble::ZeroDivisor, OnOverflow::Fail) if !call.settings.ansi => Ok(()),
        (Trouble::ZeroDivisor, OnOverflow::Fail) => {
            let class = if operation == Operation::Divide { "DIVIDE_BY_ZERO" } else { "REMAINDER_BY_ZERO" };
            Err(FunctionError::new(class, "division by zero").into())
        }
    }
}

fn binary(call: &Call<'_>, operation: Operation, mode: OnOverflow) -> Answer {
    let (left, right) = (call.array(0)?, call.array(1)?);
    match (left.data_type(), right.data_type()) {
        (DataType::Int8, DataType::Int8) => typed::<Int8Type>(call, (&left, &right), operation, mode),
        (DataType::Int16, DataType::Int16) => typed::<Int16Type>(call, (&left, &right), operation, mode),
        (DataType::Int32, DataType::Int32) => typed::<Int32Type>(call, (&left, &right), operation, mode),
        (DataType::Int64, DataType::Int64) => typed::<Int64Type>(call, (&left, &right), operation, mode),
        (DataType::Float32, DataType::Float32) => typed::<Float32Type>(call, (&left, &right), operation, mode),
        (DataType::Float64, DataType::Float64) => typed::<Float64Type>(call, (&left, &right), operation, mode),
        (DataType::Decimal128(_, s1), DataType::Decimal128(_, s2)) => {
            let scales = (i32::from(*s1), i32::from(*s2));
            decimals(call, (&left, &right), scales, (operation, mode))
        }
        (DataType::Null, _) | (_, DataType::Null) => Ok(new_null_array(call.returns, call.rows)),
        _ => Err(unexpected(call.name)),
    }
}

fn typed<T: ArrowPrimitiveType>(call: &Call<'_>, sides: (&ArrayRef, &ArrayRef), operation: Operation, mode: OnOverflow) -> Answer {
    let (left, right) = (sides.0.as_primitive::<T>(), sides.1.as_primitive::<T>());
    let mut builder = PrimitiveArray::<T>::builder(call.rows);
    for row in 0..call.rows {
        if left.is_null(row) || right.is_null(row) {
            builder.append_null();
            continue;
        }
        match operation.apply(left.value(row), right.value(row)) {
            Ok(value) => builder.append_value(value),
            Err(found) => {
                trouble(call, operation, mode, found)?;
                builder.append_null();
            }
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Decimals are computed in 256 bits and rounded half up to the scale of the result.
fn decimals(call: &Call<'_>, sides: (&ArrayRef, &ArrayRef), scales: (i32, i32), how: (Operation, OnOverflow)) -> Answer {
    let (operation, mode) = how;
    let DataType::Decimal128(precision, scale) = call.returns else { return Err(unexpected(call.name)) };
    let (left, right) = (sides.0.as_primitive::<Decimal128Type>(), sides.1.as_primitive::<Decimal128Type>());
    let mut builder = PrimitiveArray::<Decimal128Type>::builder(call.rows);
    for row in 0..call.rows {
        if left.is_null(row) || right.is_null(row) {
            builder.append_null();
            continue;
        }
        let operands = (i256::from_i128(left.value(row)), i256::from_i128(right.value(row)));
        let result = decimal(operation, operands, scales, i32::from(*scale)).and_then(|value| {
            let value = value.to_i128().ok_or(Trouble::Overflow)?;
            Decimal128Type::validate_decimal_precision(value, *precision, *scale).map_err(|_| Trouble::Overflow)?;
            Ok(value)
        });
        match result {
            Ok(value) => builder.append_value(value),
            Err(found) => {
                trouble(call, operation, mode, found)?;
                builder.append_null();
            }
        }
    }
    Ok(Arc::new(builder.finish().with_precision_and_scale(*precision, *scale)?))
}

fn power(exponent: i32) -> std::result::Result<i256, Trouble> {
    i256::from_i128(10).pow_checked(exponent.unsigned_abs()).map_err(|_| Trouble::Overflow)
}

/// `value` of one scale at another one, rounded half up.
fn rescaled(value: i256, from: i32, to: i32) -> std::result::Result<i256, Trouble> {
    if to >= from {
        return value.checked_mul(power(to - from)?).ok_or(Trouble::Overflow);
    }
    Ok(divided(value, power(from - to)?))
}

/// The quotient rounded half away from zero; the divisor is not zero.
fn divided(value: i256, divisor: i256) -> i256 {
    let (quotient, remainder) = (value.wrapping_div(divisor), value.wrapping_rem(divisor));
    let twice = remainder.wrapping_abs().wrapping_mul(i256::from_i128(2));
    if twice < divisor.wrapping_abs() {
        return quotient;
    }
    let negative = value.is_negative() != divisor.is_negative();
    if negative { quotient.wrapping_sub(i256::ONE) } else { quotient.wrapping_add(i256::ONE) }
}

fn decimal(operation: Operation, operands: (i256, i256), scales: (i32, i32), scale: i32) -> std::result::Result<i256, Trouble> {
    let (left, right) = operands;
    match operation {
        Operation::Multiply => rescaled(left.checked_mul(right).ok_or(Trouble::Overflow)?, scales.0 + scales.1, scale),
        Operation::Divide => {
            if right.is_zero() {
                return Err(Trouble::ZeroDivisor);
            }
            // left / 10^s1 / (right / 10^s2) * 10^scale
            let shift = scale + scales.1 - scales.0;
            let numerator = rescaled(left, 0, shift.max(0))?;
            Ok(divided(numerator, if shift < 0 { right.checked_mul(power(shift)?).ok_or(Trouble::Overflow)? } else { right }))
        }
        _ => {
            let common = scales.0.max(scales.1);
            let (left, right) = (rescaled(left, scales.0, common)?, rescaled(right, scales.1, common)?);
            rescaled(operation.apply(left, right)?, common, scale)
        }
    }
}

/// Whole quotients, also of decimals.
fn int_divide(call: &Call<'_>) -> Answer {
    if let (DataType::Decimal128(_, left), DataType::Decimal128(_, right)) = (call.data_type(0), call.data_type(1)) {
        return whole_quotients(call, (i32::from(left), i32::from(right)));
    }
    let quotient = binary(call, Operation::Divide, OnOverflow::Fail)?;
    Ok(if quotient.data_type() == call.returns { quotient } else { cast(&quotient, call.returns)? })
}

fn whole_quotients(call: &Call<'_>, scales: (i32, i32)) -> Answer {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let common = scales.0.max(scales.1);
    call.try_numbers::<Int64Type>(|row| {
        if left.is_null(row) || right.is_null(row) {
            return Ok(None);
        }
        let quotient = || {
            let divisor = rescaled(i256::from_i128(right.value(row)), scales.1, common)?;
            let number = rescaled(i256::from_i128(left.value(row)), scales.0, common)?;
            if divisor.is_zero() {
                return Err(Trouble::ZeroDivisor);
            }
            number.wrapping_div(divisor).to_i128().and_then(|whole| i64::try_from(whole).ok()).ok_or(Trouble::Overflow)
        };
        match quotient() {
            Ok(whole) => Ok(Some(whole)),
            Err(found) => trouble(call, Operation::Divide, OnOverflow::Fail, found).map(|()| None),
        }
    })
}
