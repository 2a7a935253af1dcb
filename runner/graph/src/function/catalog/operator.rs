//! Operators and casts whose meaning differs between Spark and DataFusion.

use datafusion_common::{ScalarValue, arrow::datatypes::DataType};

use crate::function::{
    FunctionSpec, Param as P, Returns as R, SignatureError,
    coercion::{bounded_decimal, decimal_shape},
};

/// Operators. Planning puts them into plans; SQL cannot name them.
pub static OPERATORS: &[FunctionSpec] = &[
    FunctionSpec::scalar(
        "$cast",
        &[P::Any, P::Any],
        R::Argument(1),
        "CAST: the second argument is a NULL literal of the target type. Used for every cast that is not a plain widening. ANSI off: invalid or \
         out of range input gives NULL; ANSI on: [CAST_INVALID_INPUT] for text, [CAST_OVERFLOW] for numbers. Text is trimmed of blanks first. \
         Text to BOOLEAN: t, true, y, yes, 1 / f, false, n, no, 0, any letter case. Text to integer: an optional sign and digits, with ANSI off \
         also a fraction that is cut off ('1.9' is 1). Text to FLOAT/DOUBLE: also NaN, Infinity, exponents. Text to DECIMAL: rounded half up. \
         Text to DATE: yyyy, yyyy-[M]M, yyyy-[M]M-[d]d, optionally followed by T or a blank and anything. Text to TIMESTAMP: the same dates, \
         optionally [T ][h]h:[m]m:[s]s[.ffffff] and a zone (Z, UTC, +hh:mm, +hhmm, +hh, an IANA name); without a zone it is session time; digits \
         beyond microseconds are cut. Number to TIMESTAMP: epoch seconds, the fraction kept to microseconds; TIMESTAMP to number: the reverse, \
         integers rounded down. TIMESTAMP to DATE: the day in session time; DATE to TIMESTAMP: its midnight in session time. TIMESTAMP to and \
         from TIMESTAMP_NTZ: by session time. FLOAT/DOUBLE to integer: cut towards zero. BOOLEAN to number: 1 or 0; number to BOOLEAN: not 0. \
         BINARY to text: UTF-8, invalid bytes replaced; text to BINARY: its UTF-8 bytes. To text: TIMESTAMP as yyyy-MM-dd HH:mm:ss[.ffffff] \
         without trailing zeros; DATE as yyyy-MM-dd; DOUBLE as Java does (1.0, 1.0E10, NaN, Infinity); arrays [a, b], structs {a, b}, maps \
         {k -> v}, NULL inside them as null. Arrays, maps and structs: element by element, fields by position.",
    ),
    FunctionSpec::scalar(
        "$try_cast",
        &[P::Any, P::Any],
        R::Argument(1),
        "TRY_CAST: as $cast, but invalid or out of range input always gives NULL, and text to integer takes no fraction.",
    ),
    FunctionSpec::scalar(
        "$add",
        &[P::Number, P::Number],
        R::Custom(sum),
        "a + b for two integers of one type (planning casts them), or two decimals. Overflow is always [ARITHMETIC_OVERFLOW]. Decimals may differ in precision and scale.",
    ),
    FunctionSpec::scalar("$subtract", &[P::Number, P::Number], R::Custom(sum), "a - b, as $add."),
    FunctionSpec::scalar(
        "$multiply",
        &[P::Number, P::Number],
        R::Custom(product),
        "a * b, as $add; a decimal result is rounded half up to its scale.",
    ),
    FunctionSpec::scalar(
        "$divide",
        &[P::Number, P::Number],
        R::Custom(quotient),
        "a / b for two DOUBLEs, or two decimals (rounded half up). A zero divisor gives NULL, with ANSI on [DIVIDE_BY_ZERO].",
    ),
    FunctionSpec::scalar(
        "$remainder",
        &[P::Number, P::Number],
        R::Custom(remainder),
        "a % b with the sign of a, for two numbers of one type or two decimals. A zero divisor gives NULL, with ANSI on [REMAINDER_BY_ZERO].",
    ),
    FunctionSpec::scalar(
        "$int_divide",
        &[P::Number, P::Number],
        R::Long,
        "a DIV b for two BIGINTs or two decimals, cut towards zero. A zero divisor gives NULL, with ANSI on [DIVIDE_BY_ZERO]; the smallest BIGINT DIV -1 is [ARITHMETIC_OVERFLOW].",
    ),
    FunctionSpec::scalar(
        "$item",
        &[P::Collection, P::Any],
        R::OfTypes(item),
        "a[i]: element of an array, counted from 0; i is BIGINT. Out of range gives NULL, with ANSI on [INVALID_ARRAY_INDEX]. For a map the value \
         of the key i (cast to the key type already), NULL if absent in both modes.",
    ),
    FunctionSpec::scalar(
        "$field",
        &[P::Any, P::TextLiteral],
        R::Custom(field),
        "s.f: the field of a struct by its exact name, NULL where the struct is NULL; for an array of structs the array of the field's values.",
    ),
    FunctionSpec::scalar(
        "$json_path",
        &[P::Text, P::TextLiteral],
        R::Text,
        "x:a.b[0]: the path ($.a.b[0] in the second argument, fields in quotes as $['a b']) in JSON text, as text: strings unquoted, numbers as \
         written, objects and arrays as JSON text. Field names are matched without regard to letter case. NULL for a missing key, JSON null or \
         malformed text.",
    ),
    FunctionSpec::scalar(
        "$add_interval",
        &[P::DateOrTimestamp, P::Interval],
        R::Argument(0),
        "t + INTERVAL (MonthDayNano; subtraction negates it while planning). Months and days by the session's calendar, the day cut to the \
         length of the month. DATE plus whole days and months stays DATE. Out of range is [DATETIME_OVERFLOW].",
    ),
    FunctionSpec::scalar("rlike", &[P::Text, P::Text], R::Boolean, "text contains a match of the (Java) regular expression; a pattern literal is compiled once. An invalid pattern is [INVALID_PARAMETER_VALUE.PATTERN].")
        .aliases(&["regexp_like", "regexp"]),
    FunctionSpec::scalar("$bit_not", &[P::Integer], R::Argument(0), "~a: every bit the other way."),
    FunctionSpec::scalar(
        "$with_position",
        &[P::Collection],
        R::OfTypes(with_position),
        "The array that posexplode unnests: array<struct<pos: int, col: T>>, or array<struct<pos: int, key: K, value: V>> for a map. pos counts \
         from 0.",
    ),
];

#[derive(Clone, Copy)]
enum Arithmetic {
    Add,
    Multiply,
    Divide,
    Remainder,
}

/// The type of a sum or difference.
pub(super) fn sum(types: &[DataType], _: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    arithmetic(types, Arithmetic::Add)
}

/// The type of a product.
pub(super) fn product(types: &[DataType], _: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    arithmetic(types, Arithmetic::Multiply)
}

/// The type of a quotient of two DOUBLEs or two decimals.
pub(super) fn quotient(types: &[DataType], _: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    arithmetic(types, Arithmetic::Divide)
}

/// The type of a remainder.
pub(super) fn remainder(types: &[DataType], _: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    arithmetic(types, Arithmetic::Remainder)
}

fn arithmetic(types: &[DataType], operation: Arithmetic) -> Result<DataType, SignatureError> {
    let [left, right] = types else { return Ok(DataType::Null) };
    if !matches!(left, DataType::Decimal128(..)) && !matches!(right, DataType::Decimal128(..)) {
        return Ok(left.clone());
    }
    let unfit = || SignatureError::new("DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES", format!("no decimal result for {left} and {right}"));
    let (p1, s1) = decimal_shape(left).ok_or_else(unfit)?;
    let (p2, s2) = decimal_shape(right).ok_or_else(unfit)?;
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    Ok(match operation {
        Arithmetic::Add => bounded_decimal((p1 - s1).max(p2 - s2) + s1.max(s2) + 1, s1.max(s2)),
        Arithmetic::Multiply => bounded_decimal(p1 + p2 + 1, s1 + s2),
        Arithmetic::Remainder => bounded_decimal((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
        Arithmetic::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            bounded_decimal(p1 - s1 + s2 + scale, scale)
        }
    })
}

fn item(types: &[DataType]) -> DataType {
    match types.first() {
        Some(DataType::List(field)) => field.data_type().clone(),
        Some(DataType::Map(entries, _)) => map_types(entries.data_type()).map_or(DataType::Null, |(_, value)| value),
        _ => DataType::Null,
    }
}

fn field(types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    let missing = |name: &str| SignatureError::new("FIELD_NOT_FOUND", format!("the struct has no field {name}"));
    let name = match literals.get(1) {
        Some(Some(ScalarValue::Utf8(Some(name)))) => name.as_str(),
        _ => return Err(missing("of that name")),
    };
    let find = |data_type: &DataType| match data_type {
        DataType::Struct(fields) => fields.iter().find(|field| field.name() == name).map(|field| field.data_type().clone()),
        _ => None,
    };
    match types.first() {
        Some(DataType::List(element)) => find(element.data_type()).map(crate::function::signature::array_of),
        Some(other) => find(other),
        None => None,
    }
    .ok_or_else(|| missing(name))
}

/// Key and value type of a map's entries.
pub fn map_types(entries: &DataType) -> Option<(DataType, DataType)> {
    match entries {
        DataType::Struct(fields) if fields.len() == 2 => Some((fields[0].data_type().clone(), fields[1].data_type().clone())),
        _ => None,
    }
}

fn with_position(types: &[DataType]) -> DataType {
    use datafusion_common::arrow::datatypes::Field;
    let mut fields = vec![Field::new("pos", DataType::Int32, false)];
    match types.first() {
        Some(DataType::List(field)) => fields.push(Field::new("col", field.data_type().clone(), true)),
        Some(DataType::Map(entries, _)) => {
            let (key, value) = map_types(entries.data_type()).unwrap_or((DataType::Null, DataType::Null));
            fields.extend([Field::new("key", key, false), Field::new("value", value, true)]);
        }
        _ => {}
    }
    crate::function::signature::array_of(DataType::Struct(fields.into()))
}
