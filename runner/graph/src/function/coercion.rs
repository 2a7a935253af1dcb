//! Which types Spark casts by itself, and the common type of two.

use std::sync::Arc;

use datafusion_common::arrow::datatypes::{DataType, Field, Fields, IntervalUnit};

use super::{SqlSettings, signature::timestamp};

/// The type that values of both types are cast to in set operations, CASE, `coalesce`, `array` and the like; `None` if there is none.
pub fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType as D;
    match (left, right) {
        (l, r) if l == r => Some(l.clone()),
        (D::Null, other) | (other, D::Null) => Some(other.clone()),
        (l, r) if l.is_numeric() && r.is_numeric() => common_number(l, r),
        (D::Date32, D::Timestamp(..)) => Some(right.clone()),
        (D::Timestamp(..), D::Date32) => Some(left.clone()),
        (D::Timestamp(..), D::Timestamp(..)) => Some(timestamp()),
        (D::Interval(_), D::Interval(_)) => Some(D::Interval(IntervalUnit::MonthDayNano)),
        (D::List(l), D::List(r)) => {
            let element = common_type(l.data_type(), r.data_type())?;
            Some(D::List(Arc::new(Field::new_list_field(element, true))))
        }
        (D::Map(l, sorted), D::Map(r, _)) => {
            let (D::Struct(left), D::Struct(right)) = (l.data_type(), r.data_type()) else { return None };
            let side = |at: usize| common_type(left.get(at)?.data_type(), right.get(at)?.data_type());
            let pair = [left.first()?.as_ref().clone().with_data_type(side(0)?), left.get(1)?.as_ref().clone().with_data_type(side(1)?)];
            Some(D::Map(Arc::new(l.as_ref().clone().with_data_type(D::Struct(Fields::from(pair.to_vec())))), *sorted))
        }
        (D::Struct(l), D::Struct(r)) if l.len() == r.len() => {
            let fields = l.iter().zip(r).map(|(l, r)| {
                let same_name = l.name().eq_ignore_ascii_case(r.name());
                same_name.then(|| common_type(l.data_type(), r.data_type())).flatten().map(|t| Field::new(l.name(), t, true))
            });
            Some(D::Struct(fields.collect::<Option<Vec<Field>>>().map(Fields::from)?))
        }
        (D::Utf8, other) | (other, D::Utf8) if is_atomic(other) && !matches!(other, D::Boolean | D::Binary) => Some(D::Utf8),
        _ => None,
    }
}

/// As `common_type`; with ANSI on text becomes what it stands beside: BIGINT by an integer, DOUBLE by another number, else the other type.
pub fn common_type_in(settings: &SqlSettings, left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType as D;
    match (left, right) {
        (D::Utf8, other) | (other, D::Utf8) if settings.ansi && *other != D::Utf8 && is_atomic(other) => Some(match other {
            D::Null => D::Utf8,
            other if is_integer(other) => D::Int64,
            other if other.is_numeric() => D::Float64,
            other => other.clone(),
        }),
        _ => common_type(left, right),
    }
}

/// The type that both sides of a comparison are cast to. Differs from `common_type` for text: the other side's type wins.
pub fn comparison_type(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType as D;
    match (left, right) {
        (D::Utf8, other) | (other, D::Utf8) if is_integer(other) => Some(D::Int64),
        (D::Utf8, other) | (other, D::Utf8) if other.is_numeric() => Some(D::Float64),
        (D::Utf8, other) | (other, D::Utf8) if matches!(other, D::Date32 | D::Timestamp(..) | D::Boolean | D::Binary) => {
            Some(other.clone())
        }
        _ => common_type(left, right),
    }
}

/// True if Spark casts `from` to `to` by itself.
pub fn casts_implicitly(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    match (from, to) {
        (from, to) if from == to => true,
        (D::Null, _) => true,
        (from, D::Utf8) => is_atomic(from),
        (D::Utf8, to) => is_atomic(to) && !matches!(to, D::Interval(_)),
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (D::Date32 | D::Timestamp(..), D::Date32 | D::Timestamp(..)) | (D::Interval(_), D::Interval(_)) => true,
        (D::List(from), D::List(to)) | (D::Map(from, _), D::Map(to, _)) => casts_implicitly(from.data_type(), to.data_type()),
        (D::Struct(from), D::Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(f, t)| casts_implicitly(f.data_type(), t.data_type()))
        }
        _ => false,
    }
}

/// True for values that a cast can write as text: everything but arrays, maps and structs.
pub fn is_atomic(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::List(_) | DataType::Map(..) | DataType::Struct(_))
}

/// Precision and scale that hold every value of an integer or decimal type.
pub fn decimal_shape(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((20, 0)),
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// A decimal type of at most 38 digits that keeps the integer part and as much of the scale as fits, at least 6 digits of it.
pub fn bounded_decimal(precision: i32, scale: i32) -> DataType {
    if precision <= 38 {
        return DataType::Decimal128(precision.max(1) as u8, scale as i8);
    }
    let integral = precision - scale;
    let scale = scale.min(6).max(38 - integral).min(scale);
    DataType::Decimal128(38, scale as i8)
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

fn common_number(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType as D;
    if matches!(left, D::Float64) || matches!(right, D::Float64) {
        return Some(D::Float64);
    }
    match (left, right) {
        (D::Float32, D::Decimal128(..)) | (D::Decimal128(..), D::Float32) => Some(D::Float64),
        (D::Float32, _) | (_, D::Float32) => Some(D::Float32),
        (D::Decimal128(..), _) | (_, D::Decimal128(..)) => {
            let ((p1, s1), (p2, s2)) = (decimal_shape(left)?, decimal_shape(right)?);
            let scale = i32::from(s1.max(s2));
            let integral = (i32::from(p1) - i32::from(s1)).max(i32::from(p2) - i32::from(s2));
            Some(bounded_decimal(integral + scale, scale))
        }
        (l, r) => {
            let rank = |t: &D| [D::Int8, D::Int16, D::Int32, D::Int64].iter().position(|known| known == t);
            if rank(l)? >= rank(r)? { Some(l.clone()) } else { Some(r.clone()) }
        }
    }
}
