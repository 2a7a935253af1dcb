//! Functions on numbers, conditions and NULL.

use datafusion_common::{ScalarValue, arrow::datatypes::DataType};

use super::operator::{product, quotient, remainder, sum};
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
        &[P::Number, P::Int],
        R::Custom(whole),
        "Least whole number that is not smaller; DOUBLE to BIGINT (saturating), DECIMAL to scale 0. With n (a literal, may be negative): the least \
         DECIMAL of n decimals that is not smaller.",
    )
    .optional(1)
    .aliases(&["ceiling"]),
    FunctionSpec::scalar("floor", &[P::Number, P::Int], R::Custom(whole), "Greatest whole number that is not greater, as ceil.").optional(1),
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
    FunctionSpec::scalar("mod", &[P::Number, P::Number], R::Custom(remainder), "a % b."),
    FunctionSpec::scalar("pmod", &[P::Number, P::Number], R::Custom(remainder), "Remainder with the sign of the divisor; zero divisor as for %."),
    FunctionSpec::scalar("try_add", &[P::Number, P::Number], R::Custom(sum), "a + b, NULL on overflow; times and intervals as with +."),
    FunctionSpec::scalar("try_subtract", &[P::Number, P::Number], R::Custom(sum), "a - b, as try_add."),
    FunctionSpec::scalar("try_multiply", &[P::Number, P::Number], R::Custom(product), "a * b, as try_add."),
    FunctionSpec::scalar("try_divide", &[P::Number, P::Number], R::Custom(quotient), "a / b, NULL for a zero divisor."),
    FunctionSpec::scalar("sin", &[P::Double], R::Double, "Sine of radians."),
    FunctionSpec::scalar("cos", &[P::Double], R::Double, "Cosine of radians."),
    FunctionSpec::scalar("tan", &[P::Double], R::Double, "Tangent of radians."),
    FunctionSpec::scalar("cot", &[P::Double], R::Double, "Cotangent of radians."),
    FunctionSpec::scalar("sec", &[P::Double], R::Double, "Secant of radians."),
    FunctionSpec::scalar("csc", &[P::Double], R::Double, "Cosecant of radians."),
    FunctionSpec::scalar("asin", &[P::Double], R::Double, "Arc sine; NaN outside of -1 to 1."),
    FunctionSpec::scalar("acos", &[P::Double], R::Double, "Arc cosine; NaN outside of -1 to 1."),
    FunctionSpec::scalar("atan", &[P::Double], R::Double, "Arc tangent."),
    FunctionSpec::scalar("sinh", &[P::Double], R::Double, "Hyperbolic sine."),
    FunctionSpec::scalar("cosh", &[P::Double], R::Double, "Hyperbolic cosine."),
    FunctionSpec::scalar("tanh", &[P::Double], R::Double, "Hyperbolic tangent."),
    FunctionSpec::scalar("asinh", &[P::Double], R::Double, "Inverse hyperbolic sine."),
    FunctionSpec::scalar("acosh", &[P::Double], R::Double, "Inverse hyperbolic cosine."),
    FunctionSpec::scalar("atanh", &[P::Double], R::Double, "Inverse hyperbolic tangent."),
    FunctionSpec::scalar("degrees", &[P::Double], R::Double, "Radians as degrees."),
    FunctionSpec::scalar("radians", &[P::Double], R::Double, "Degrees as radians."),
    FunctionSpec::scalar("expm1", &[P::Double], R::Double, "exp(x) - 1, exact near 0."),
    FunctionSpec::scalar("log1p", &[P::Double], R::Double, "ln(1 + x), exact near 0; NULL for x <= -1."),
    FunctionSpec::scalar("rint", &[P::Double], R::Double, "Nearest whole number as DOUBLE, half to even."),
    FunctionSpec::scalar("e", &[], R::Double, "The number e."),
    FunctionSpec::scalar("atan2", &[P::Double, P::Double], R::Double, "Angle of the point (second, first)."),
    FunctionSpec::scalar("hypot", &[P::Double, P::Double], R::Double, "Square root of the sum of the squares."),
    FunctionSpec::scalar("factorial", &[P::Int], R::Long, "n!; NULL outside of 0 to 20."),
    FunctionSpec::scalar("shiftleft", &[P::Integer, P::Int], R::OfTypes(shifted), "Bits moved to the left; INT, or BIGINT for a BIGINT."),
    FunctionSpec::scalar("shiftright", &[P::Integer, P::Int], R::OfTypes(shifted), "Bits moved to the right, the sign kept."),
    FunctionSpec::scalar("shiftrightunsigned", &[P::Integer, P::Int], R::OfTypes(shifted), "Bits moved to the right, zeros come in."),
    FunctionSpec::scalar("bit_count", &[P::Any], R::Int, "Number of bits that are 1, of an integer or BOOLEAN."),
    FunctionSpec::scalar(
        "getbit",
        &[P::Integer, P::Int],
        R::OfTypes(|_| DataType::Int8),
        "Bit at a place from 0 (the lowest); another place is [INVALID_PARAMETER_VALUE].",
    )
    .aliases(&["bit_get"]),
    FunctionSpec::scalar("bin", &[P::Long], R::Text, "The digits of a BIGINT to base 2."),
    FunctionSpec::scalar(
        "conv",
        &[P::Text, P::Int, P::Int],
        R::Text,
        "Digits of one base written in another, 2 to 36; a negative base gives a signed number.",
    ),
    FunctionSpec::scalar(
        "format_number",
        &[P::Number, P::Int],
        R::Text,
        "Text with groups of three digits and n places, rounded half to even; NULL for n < 0. A text in the place of n is a pattern as Java's \
         DecimalFormat has it: '#,##0.00', '0.0%', '00.0E0', '#,##0;(#,##0)'.",
    ),
    FunctionSpec::scalar("$format_pattern", &[P::Number, P::Text], R::Text, "A number by a pattern of DecimalFormat."),
    FunctionSpec::scalar("luhn_check", &[P::Text], R::Boolean, "The digits end in a right check digit (Luhn)."),
    FunctionSpec::scalar("try_mod", &[P::Number, P::Number], R::Custom(remainder), "a % b, NULL for a zero divisor."),
    FunctionSpec::scalar(
        "width_bucket",
        &[P::Double, P::Double, P::Double, P::Long],
        R::Long,
        "Bucket number of a value among n equal buckets between two bounds; 0 below, n + 1 above.",
    ),
];

fn shifted(types: &[DataType]) -> DataType {
    if types.first() == Some(&DataType::Int64) { DataType::Int64 } else { DataType::Int32 }
}

fn whole(types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    match types {
        [DataType::Decimal128(..), _] => rounded(types, literals),
        [DataType::Decimal128(precision, scale)] => {
            let integral = i32::from(*precision) - i32::from(*scale);
            Ok(bounded_decimal(if *scale > 0 { integral + 1 } else { integral }, 0))
        }
        _ => Ok(DataType::Int64),
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
    // Rounding may carry into one more digit before the point; a negative scale has as many digits as it sets to zero, and one more.
    let integral = precision - scale + 1;
    let kept = decimals.clamp(0, scale);
    let digits = if decimals < 0 { integral.max(decimals.saturating_neg().saturating_add(1)) } else { integral + kept };
    Ok(DataType::Decimal128(digits.min(38) as u8, kept as i8))
}
