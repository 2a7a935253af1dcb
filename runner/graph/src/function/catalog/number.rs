//! Functions on numbers, conditions and NULL.

use datafusion_common::{ScalarValue, arrow::datatypes::DataType};

use crate::function::{FunctionSpec, Param as P, Returns as R, SignatureError, coercion::bounded_decimal};

/// Numbers, and functions of several values of one type.
pub static NUMBERS: &[FunctionSpec] = &[
    FunctionSpec::scalar(
        "coalesce",
        &[P::Same],
        R::Argument(0),
        "The first argument that is not NULL; later ones are not evaluated for its rows.",
    )
    .variadic()
    .aliases(&["ifnull", "nvl"]),
    FunctionSpec::scalar(
        "greatest",
        &[P::Same, P::Same],
        R::Argument(0),
        "The greatest argument, NULLs skipped; NaN is the greatest number.",
    )
    .variadic(),
    FunctionSpec::scalar("least", &[P::Same, P::Same], R::Argument(0), "The least argument, NULLs skipped.").variadic(),
    FunctionSpec::scalar("isnan", &[P::Double], R::Boolean, "True for NaN; false for NULL."),
    FunctionSpec::scalar("nanvl", &[P::Double, P::Double], R::Double, "The first unless it is NaN, then the second."),
    FunctionSpec::scalar("abs", &[P::Number], R::Argument(0), "Absolute value; of the smallest integer [ARITHMETIC_OVERFLOW]."),
    FunctionSpec::scalar("sign", &[P::Double], R::Double, "-1.0, 0.0 or 1.0.").aliases(&["signum"]),
    FunctionSpec::scalar(
        "ceil",
        &[P::Number],
        R::OfTypes(whole),
        "Least whole number that is not smaller; DOUBLE to BIGINT (saturating), DECIMAL to scale 0.",
    )
    .aliases(&["ceiling"]),
    FunctionSpec::scalar("floor", &[P::Number], R::OfTypes(whole), "Greatest whole number that is not greater, types as ceil."),
    FunctionSpec::scalar(
        "round",
        &[P::Number, P::Int],
        R::Custom(rounded),
        "Rounded half up (away from zero) to n decimals (default 0; may be negative). Type of the argument; a DECIMAL gets the scale n.",
    )
    .optional(1),
    FunctionSpec::scalar("bround", &[P::Number, P::Int], R::Custom(rounded), "As round, half to even.").optional(1),
    FunctionSpec::scalar("sqrt", &[P::Double], R::Double, "Square root; NaN for negative numbers."),
    FunctionSpec::scalar("cbrt", &[P::Double], R::Double, "Cube root."),
    FunctionSpec::scalar("exp", &[P::Double], R::Double, "e to the power of the argument."),
    FunctionSpec::scalar("ln", &[P::Double], R::Double, "Natural logarithm; NULL for numbers <= 0."),
    FunctionSpec::scalar("log", &[P::Double, P::Double], R::Double, "log(x): natural; log(base, x); NULL for x <= 0.").optional(1),
    FunctionSpec::scalar("log2", &[P::Double], R::Double, "Logarithm to base 2; NULL for numbers <= 0."),
    FunctionSpec::scalar("log10", &[P::Double], R::Double, "Logarithm to base 10; NULL for numbers <= 0."),
    FunctionSpec::scalar("pow", &[P::Double, P::Double], R::Double, "Power.").aliases(&["power"]),
    FunctionSpec::scalar("pi", &[], R::Double, "The number pi."),
    FunctionSpec::scalar("pmod", &[P::Same, P::Same], R::Argument(0), "Remainder with the sign of the divisor; zero divisor as for %."),
    FunctionSpec::scalar("try_add", &[P::Same, P::Same], R::Argument(0), "a + b of one numeric type, NULL on overflow."),
    FunctionSpec::scalar("try_subtract", &[P::Same, P::Same], R::Argument(0), "a - b of one numeric type, NULL on overflow."),
    FunctionSpec::scalar("try_multiply", &[P::Same, P::Same], R::Argument(0), "a * b of one numeric type, NULL on overflow."),
    FunctionSpec::scalar("try_divide", &[P::Double, P::Double], R::Double, "a / b, NULL for a zero divisor."),
    FunctionSpec::scalar(
        "width_bucket",
        &[P::Double, P::Double, P::Double, P::Long],
        R::Long,
        "Bucket number of a value among n equal buckets between two bounds; 0 below, n + 1 above.",
    ),
];

fn whole(types: &[DataType]) -> DataType {
    match types.first() {
        Some(DataType::Decimal128(precision, scale)) => {
            let integral = i32::from(*precision) - i32::from(*scale);
            bounded_decimal(if *scale > 0 { integral + 1 } else { integral }, 0)
        }
        _ => DataType::Int64,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of all computations")]
fn rounded(types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    let Some(DataType::Decimal128(precision, scale)) = types.first() else {
        return Ok(types.first().cloned().unwrap_or(DataType::Null));
    };
    let decimals = match (types.len(), literals.get(1)) {
        (1, _) => 0,
        (_, Some(Some(ScalarValue::Int32(Some(decimals))))) => *decimals,
        _ => i32::from(*scale),
    };
    let (precision, scale) = (i32::from(*precision), i32::from(*scale));
    let kept = decimals.clamp(0, scale);
    Ok(bounded_decimal(precision - scale + kept + i32::from(kept < scale), kept))
}
