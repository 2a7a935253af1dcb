//! Literals: numbers, text, intervals.

use datafusion_common::{
    ScalarValue,
    arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit},
};
use datafusion_expr::{Expr, lit};
use sqlparser::{
    ast::{self, DateTimeField, Spanned},
    tokenizer::Span,
};

use super::{Planned, Planner, Typed};
use crate::{
    analysis::ddl::type_text,
    definition::is_near,
    origin::Diagnostic,
    temporal::{
        parse,
        zone::{UTC, Zone},
    },
};

const NANOS_PER_MICRO: i64 = 1_000;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// A literal value with its type.
pub fn scalar(value: ScalarValue) -> Typed {
    let data_type = value.data_type();
    Typed::new(lit(value), data_type)
}

/// A text literal.
pub fn text(value: impl Into<String>) -> Typed {
    scalar(ScalarValue::Utf8(Some(value.into())))
}

/// The value of a literal expression.
pub fn value_of(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => value_of(&alias.expr),
        _ => None,
    }
}

impl Planner<'_> {
    pub fn value(&self, value: &ast::Value, span: Span) -> Planned<Typed> {
        match value {
            ast::Value::Number(text, long) => self.number(text, *long, span),
            ast::Value::Boolean(value) => Ok(scalar(ScalarValue::Boolean(Some(*value)))),
            ast::Value::Null => Ok(scalar(ScalarValue::Null)),
            ast::Value::HexStringLiteral(text) => match hex_bytes(text) {
                Some(bytes) => Ok(scalar(ScalarValue::Binary(Some(bytes)))),
                None => self.error("INVALID_TYPED_LITERAL", format!("X'{text}' is not a hexadecimal literal"), span),
            },
            ast::Value::Placeholder(name) => self.parameter(name, span),
            other => match other.clone().into_string() {
                Some(value) => Ok(text(value)),
                None => self.unsupported(&format!("the literal {other}"), span),
            },
        }
    }

    /// `DATE '2024-02-29'`, `TIMESTAMP '…'`. A text that is no value of the type is refused: a cast would make it NULL.
    pub fn typed_literal(&self, typed: &ast::TypedString, span: Span) -> Planned<Typed> {
        let target = self.sql_type(&typed.data_type, span)?;
        let value = self.value(&typed.value.value, typed.value.span)?;
        let Some(ScalarValue::Utf8(Some(text))) = value_of(&value.expr) else { return self.explicit_cast(value, &target, false, span) };
        let zone = Zone::parse(&self.settings.time_zone).unwrap_or(UTC);
        let time = || parse::timestamp(text.as_bytes());
        let (is_value, example) = match &target {
            DataType::Date32 => (parse::date(text.as_bytes()).is_some(), "DATE '2024-02-29'"),
            DataType::Timestamp(_, None) => (time().is_some(), "TIMESTAMP_NTZ '2024-02-29 12:30:00'"),
            DataType::Timestamp(..) => (time().and_then(|time| time.instant(zone)).is_some(), "TIMESTAMP '2024-02-29 12:30:00'"),
            other => {
                let name = type_text(other);
                let error =
                    Diagnostic::error("UNSUPPORTED_TYPED_LITERAL", format!("{name} '{text}' is no literal: {name} has none of this form"));
                let help = format!("write CAST('{text}' AS {name}); DATE, TIMESTAMP, TIMESTAMP_NTZ, INTERVAL and X have literals");
                return Err(Box::new(error.help(help).at(&self.origin(span))));
            }
        };
        if is_value {
            return self.explicit_cast(value, &target, false, span);
        }
        let message = format!("{} '{text}' is no {}: there is no such value", typed.data_type, type_text(&target));
        let error = Diagnostic::error("INVALID_TYPED_LITERAL", message).at(&self.origin(typed.value.span));
        Err(Box::new(
            error.help(special(text, &target).unwrap_or_else(|| format!("write it like {example}; try_cast(text AS type) gives NULL"))),
        ))
    }

    fn parameter(&self, placeholder: &str, span: Span) -> Planned<Typed> {
        match self.parameters.literal(placeholder) {
            Ok(expr) => Ok(Typed::new(expr, DataType::Utf8)),
            Err(message) => self.error("UNBOUND_SQL_PARAMETER", message, span),
        }
    }

    /// INT, BIGINT or DECIMAL by size; DECIMAL with a fraction; DOUBLE with an exponent; by suffix `L S Y F D BD`.
    pub fn number(&self, text: &str, long: bool, span: Span) -> Planned<Typed> {
        let upper = text.to_uppercase();
        let invalid = || self.error("INVALID_NUMERIC_LITERAL_RANGE", format!("{text} is not a number that fits its type"), span);
        if long || upper.ends_with('L') {
            return upper.trim_end_matches('L').parse().map(|value| scalar(ScalarValue::Int64(Some(value)))).or_else(|_| invalid());
        }
        if let Some(digits) = upper.strip_suffix("BD") {
            return decimal(digits).map_or_else(invalid, Ok);
        }
        let parsed = match upper.chars().last() {
            Some('D') => upper.trim_end_matches('D').parse().ok().map(|value| ScalarValue::Float64(Some(value))),
            Some('F') => upper.trim_end_matches('F').parse().ok().map(|value| ScalarValue::Float32(Some(value))),
            Some('S') => upper.trim_end_matches('S').parse().ok().map(|value| ScalarValue::Int16(Some(value))),
            Some('Y') => upper.trim_end_matches('Y').parse().ok().map(|value| ScalarValue::Int8(Some(value))),
            _ if upper.contains('E') => upper.parse().ok().map(|value| ScalarValue::Float64(Some(value))),
            _ => upper
                .parse()
                .map(|value| ScalarValue::Int32(Some(value)))
                .or_else(|_| upper.parse().map(|value| ScalarValue::Int64(Some(value))))
                .ok(),
        };
        match parsed {
            Some(value) => Ok(scalar(value)),
            None => decimal(&upper).map_or_else(invalid, Ok),
        }
    }

    /// `INTERVAL 7 DAYS``, `INTERVAL '10 minutes'`, `INTERVAL '3' DAY`, `INTERVAL '1 day 2 hours'`.
    pub fn interval(&self, interval: &ast::Interval, span: Span) -> Planned<Typed> {
        let amount = match interval.value.as_ref() {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(text, _) => text.clone(),
                other => other.clone().into_string().unwrap_or_default(),
            },
            ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => format!("-{expr}"),
            other => return self.unsupported(&format!("INTERVAL of {other}"), other.span()),
        };
        if let (Some(first), Some(last)) = (&interval.leading_field, &interval.last_field) {
            let range = (unit_name(first), unit_name(last));
            if let Some(value) = parse_interval_range(&amount, &range.0, &range.1) {
                return Ok(interval_literal(value));
            }
            let message =
                format!("'{amount}' is not an interval {} TO {}; write for example INTERVAL '1 02:03' DAY TO MINUTE", range.0, range.1);
            return self.error("INVALID_INTERVAL_FORMAT", message, span);
        }
        let whole = match &interval.leading_field {
            Some(field) => format!("{amount} {}", unit_name(field)),
            None => amount,
        };
        match parse_interval(&whole) {
            Some(value) => Ok(interval_literal(value)),
            None => self.error("INVALID_INTERVAL_FORMAT", format!("{whole} is not an interval; {}", meant_unit(&whole)), span),
        }
    }

    /// Microseconds of an interval without months, from its text (with or without the word INTERVAL) or an interval literal.
    pub fn microseconds(&self, value: &Typed, span: Span) -> Planned<i64> {
        let interval = match value_of(&value.expr) {
            Some(ScalarValue::Utf8(Some(text))) => {
                let text = text.trim();
                let lower = text.to_lowercase();
                parse_interval(lower.strip_prefix("interval").unwrap_or(&lower).trim().trim_matches('\''))
            }
            Some(ScalarValue::IntervalMonthDayNano(Some(interval))) => Some(*interval),
            _ => None,
        };
        let Some(interval) = interval else {
            return self.error("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", "expected an interval literal such as '5 minutes'", span);
        };
        if interval.months != 0 {
            return self.error("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", "intervals of months and years have no fixed length", span);
        }
        Ok(i64::from(interval.days) * 86_400 * MICROS_PER_SECOND + interval.nanoseconds / NANOS_PER_MICRO)
    }
}

/// Units of intervals.
const UNITS: [&str; 9] = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND"];

/// The unit that is probably meant, or those that there are.
fn meant_unit(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| word.starts_with(|first: char| first.is_ascii_alphabetic())).map(str::to_uppercase);
    let unknown = words.map(|word| word.strip_suffix('S').unwrap_or(&word).to_string()).find(|word| !UNITS.contains(&word.as_str()));
    match unknown {
        Some(word) => match UNITS.iter().find(|unit| is_near(&word, unit)) {
            Some(unit) => format!("did you mean {unit} where {word} stands?"),
            None => format!("{word} is no unit; there are {} and MICROSECOND", UNITS.join(", ")),
        },
        None => "write for example INTERVAL 7 DAYS".to_string(),
    }
}

/// What to write for the words that Spark takes as times.
fn special(text: &str, target: &DataType) -> Option<String> {
    let is_date = matches!(target, DataType::Date32);
    let today = "current_date()";
    let found = match text.trim().to_lowercase().as_str() {
        "epoch" if is_date => "DATE '1970-01-01'".to_string(),
        "epoch" => "TIMESTAMP '1970-01-01 00:00:00Z'".to_string(),
        "now" if !is_date => "current_timestamp()".to_string(),
        "now" | "today" => today.to_string(),
        "tomorrow" => format!("date_add({today}, 1)"),
        "yesterday" => format!("date_sub({today}, 1)"),
        _ => return None,
    };
    Some(format!("write {found}"))
}

/// The upper-case name of a unit, without the plural's S.
pub fn unit_name(field: &DateTimeField) -> String {
    let name = field.to_string().to_uppercase();
    name.strip_suffix('S').map(str::to_string).unwrap_or(name)
}

fn interval_literal(value: IntervalMonthDayNano) -> Typed {
    Typed::new(lit(ScalarValue::IntervalMonthDayNano(Some(value))), DataType::Interval(IntervalUnit::MonthDayNano))
}

/// `y-m`, or `d h:m:s.f` from one field to another, with a sign before it.
fn parse_interval_range(text: &str, first: &str, last: &str) -> Option<IntervalMonthDayNano> {
    const FIELDS: [&str; 4] = ["DAY", "HOUR", "MINUTE", "SECOND"];
    const SECONDS: [i64; 4] = [86_400, 3_600, 60, 1];
    let text = text.trim();
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    if (first, last) == ("YEAR", "MONTH") {
        let (years, months) = text.trim_start_matches('+').split_once('-')?;
        let months = months.parse::<i32>().ok().filter(|months| (0..12).contains(months))?;
        let total = years.parse::<i32>().ok()?.checked_mul(12)?.checked_add(months)?;
        return Some(IntervalMonthDayNano::new(sign * total, 0, 0));
    }
    let place = |unit: &str| FIELDS.iter().position(|field| *field == unit);
    let (from, to) = (place(first)?, place(last)?);
    let parts: Vec<&str> = text.trim_start_matches('+').split([' ', ':']).collect();
    if from >= to || parts.len() != to - from + 1 || (from == 0 && !text.contains(' ')) {
        return None;
    }
    let (mut days, mut micros) = (0_i64, 0_i64);
    for (field, part) in (from..=to).zip(parts) {
        let (whole, fraction) = if field == 3 { part.split_once('.').unwrap_or((part, "")) } else { (part, "") };
        let amount = whole.parse::<i64>().ok().filter(|amount| *amount >= 0)?;
        let fits = field == from || amount < [i64::MAX, 24, 60, 60][field];
        let fraction = format!("{fraction:0<6}").get(..6)?.parse::<i64>().ok().filter(|_| fits)?;
        if field == 0 {
            days = amount;
        } else {
            micros = micros.checked_add(amount.checked_mul(SECONDS[field] * MICROS_PER_SECOND)?)?.checked_add(fraction)?;
        }
    }
    Some(IntervalMonthDayNano::new(0, i32::try_from(sign_of(sign, days)).ok()?, sign_of(sign, micros).checked_mul(NANOS_PER_MICRO)?))
}

fn sign_of(sign: i32, amount: i64) -> i64 {
    i64::from(sign) * amount
}

/// `n unit [n unit …]`; units from microseconds to years, singular or plural.
pub fn parse_interval(text: &str) -> Option<IntervalMonthDayNano> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if words.first().is_some_and(|word| word.eq_ignore_ascii_case("interval")) {
        words.remove(0);
    }
    if words.is_empty() || words.len() % 2 == 1 {
        return None;
    }
    let (mut months, mut days, mut nanos) = (0_i64, 0_i64, 0_i64);
    for pair in words.chunks(2) {
        let unit = pair[1].to_lowercase();
        let unit = unit.strip_suffix('s').unwrap_or(&unit);
        if unit == "second" {
            let seconds: f64 = pair[0].parse().ok().filter(|seconds: &f64| seconds.is_finite())?;
            nanos = nanos.checked_add((seconds * 1e6).round() as i64 * NANOS_PER_MICRO)?;
            continue;
        }
        let amount: i64 = pair[0].parse().ok()?;
        match unit {
            "year" => months = months.checked_add(amount.checked_mul(12)?)?,
            "quarter" => months = months.checked_add(amount.checked_mul(3)?)?,
            "month" => months = months.checked_add(amount)?,
            "week" => days = days.checked_add(amount.checked_mul(7)?)?,
            "day" => days = days.checked_add(amount)?,
            "hour" => nanos = nanos.checked_add(amount.checked_mul(3_600_000_000_000)?)?,
            "minute" => nanos = nanos.checked_add(amount.checked_mul(60_000_000_000)?)?,
            "millisecond" => nanos = nanos.checked_add(amount.checked_mul(1_000_000)?)?,
            "microsecond" => nanos = nanos.checked_add(amount.checked_mul(NANOS_PER_MICRO)?)?,
            _ => return None,
        }
    }
    Some(IntervalMonthDayNano::new(i32::try_from(months).ok()?, i32::try_from(days).ok()?, nanos))
}

/// The DECIMAL literal of digits with an optional fraction and exponent, exact.
fn decimal(digits: &str) -> Option<Typed> {
    let (mantissa, exponent) = digits.split_once('E').unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let shift = exponent.parse::<i32>().ok().filter(|shift| shift.abs() <= 38)?;
    let scale = usize::try_from(fraction.len() as i32 - shift).unwrap_or(0);
    let zeros = usize::try_from(shift - fraction.len() as i32).unwrap_or(0);
    let value: i128 = format!("{whole}{fraction}{:0<zeros$}", "").parse().ok()?;
    let significant = value.unsigned_abs().checked_ilog10().map_or(1, |digits| digits as usize + 1);
    let precision = significant.max(scale);
    (precision <= 38).then(|| scalar(ScalarValue::Decimal128(Some(value), precision as u8, scale as i8)))
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let padded = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_string() };
    if !padded.is_ascii() {
        return None;
    }
    (0..padded.len()).step_by(2).map(|at| u8::from_str_radix(&padded[at..at + 2], 16).ok()).collect()
}
