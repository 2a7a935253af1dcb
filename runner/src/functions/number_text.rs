//! Numbers written and read in other forms: other bases, grouped digits, patterns of `printf`.

use datafusion::{
    arrow::{
        array::{Array, AsArray},
        datatypes::{DataType, Decimal128Type},
    },
    common::Result,
};

use super::{
    call::{Answer, Call, Kernel},
    encoding::delegate,
    error::FunctionError,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("bin", |call| {
        let number = call.long(0)?;
        call.texts(|row| number.at(row).map(|number| format!("{number:b}")))
    }),
    ("conv", conv),
    ("format_number", format_number),
    ("format_string", format_string),
];

/// A DECIMAL that `%s` asks for is handed in as text.
fn format_string(call: &Call<'_>) -> Answer {
    let function = datafusion_spark::function::string::format_string();
    let is_decimal = |index: &usize| matches!(call.data_type(*index), DataType::Decimal128(..));
    if !(1..call.args.len()).any(|index| is_decimal(&index)) {
        return delegate(call, &function);
    }
    let Some(pattern) = call.literal(0) else {
        let message = "format_string of a DECIMAL needs a pattern that is a literal; cast the number";
        return Err(FunctionError::new("FEATURE_NOT_SUPPORTED", message).into());
    };
    let mut args = call.args.to_vec();
    for index in texts_of(pattern).into_iter().filter(|index| *index < call.args.len()).filter(is_decimal) {
        if let Some(arg) = args.get_mut(index) {
            *arg = arg.cast_to(&DataType::Utf8, None)?;
        }
    }
    delegate(&Call { name: call.name, args: &args, rows: call.rows, settings: call.settings, returns: call.returns }, &function)
}

/// The arguments that a pattern of `printf` shows by `%s`, from 1.
fn texts_of(pattern: &str) -> Vec<usize> {
    let (mut found, mut next) = (Vec::new(), 1);
    for part in pattern.replace("%%", "").split('%').skip(1) {
        let Some(end) = part.find(|letter: char| letter.is_ascii_alphabetic()) else { continue };
        let (flags, conversion) = part.split_at(end);
        let index = match flags.split_once('$') {
            Some((number, _)) => number.parse().unwrap_or(0),
            None if conversion.starts_with('n') => continue,
            None => {
                next += 1;
                next - 1
            }
        };
        if conversion.starts_with(['s', 'S']) {
            found.push(index);
        }
    }
    found
}

/// Reads digits of a base as long as there are any; more than 64 bits are all ones.
fn read(text: &str, base: u32) -> (bool, u64, bool) {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value: u64 = 0;
    for digit in digits.chars().map_while(|letter| letter.to_digit(base)) {
        match value.checked_mul(u64::from(base)).and_then(|value| value.checked_add(u64::from(digit))) {
            Some(next) => value = next,
            None => return (negative, u64::MAX, true),
        }
    }
    (negative, value, false)
}

fn written(mut value: u64, base: u64) -> String {
    let mut digits = Vec::new();
    while value > 0 || digits.is_empty() {
        let digit = char::from_digit((value % base) as u32, base as u32).unwrap_or('0');
        digits.push(digit.to_ascii_uppercase());
        value /= base;
    }
    digits.into_iter().rev().collect()
}

fn conv(call: &Call<'_>) -> Answer {
    let (text, from, to) = (call.text(0)?, call.int(1)?, call.int(2)?);
    call.try_texts(|row| {
        let (Some(text), Some(from), Some(to)) = (text.at(row), from.at(row), to.at(row)) else { return Ok(None) };
        let text = text.trim_matches(' ');
        if !(2..=36).contains(&from) || !(2..=36).contains(&to.unsigned_abs()) || text.is_empty() {
            return Ok(None);
        }
        let (negative, value, overflow) = read(text, from.cast_unsigned());
        if overflow && call.settings.ansi {
            return Err(FunctionError::new("ARITHMETIC_OVERFLOW", "the number of conv has more than 64 bits").into());
        }
        let value = if negative && !overflow { value.wrapping_neg() } else { value };
        let base = u64::from(to.unsigned_abs());
        Ok(Some(if to < 0 && value.cast_signed() < 0 {
            format!("-{}", written(value.cast_signed().unsigned_abs(), base))
        } else {
            written(value, base)
        }))
    })
}

/// Digits before the point in groups of three.
fn grouped(number: &str) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut result = sign.to_string();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            result.push(',');
        }
        result.push(digit);
    }
    if let Some(fraction) = fraction {
        result.push('.');
        result.push_str(fraction);
    }
    result
}

/// A decimal of a scale with so many places, half to even, as Java's DecimalFormat rounds.
fn rounded_decimal(value: i128, scale: u32, places: u32) -> Option<String> {
    let (value, scale) = if places < scale {
        let unit = 10i128.checked_pow(scale - places)?;
        let (quotient, remainder) = (value / unit, value % unit);
        let twice = remainder.abs() * 2;
        let up = twice > unit || (twice == unit && quotient % 2 != 0);
        (quotient + if up { value.signum() } else { 0 }, places)
    } else {
        (value, scale)
    };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let fraction = format!("{fraction:0<width$}", width = places as usize);
    let sign = if value < 0 { "-" } else { "" };
    Some(if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Places behind the point that a number is written with at most.
const MOST_PLACES: i32 = 10_000;

fn format_number(call: &Call<'_>) -> Answer {
    let places = call.int(1)?;
    if let Some(places) = (0..call.rows).filter_map(|row| places.at(row)).find(|places| *places > MOST_PLACES) {
        let message = format!("{places} places behind the point are too many; the most are {MOST_PLACES}");
        return Err(FunctionError::new("COLLECTION_SIZE_LIMIT_EXCEEDED", message).into());
    }
    let places_of = |row: usize| places.at(row).and_then(|places| u32::try_from(places).ok());
    let text = |row: usize, number: Option<Option<String>>| -> Result<Option<String>> {
        Ok(match (number, places_of(row)) {
            (Some(Some(number)), Some(_)) => Some(grouped(&number)),
            _ => None,
        })
    };
    match call.data_type(0) {
        DataType::Decimal128(_, scale) => {
            let array = call.array(0)?;
            let given = array.as_primitive::<Decimal128Type>();
            let scale = u32::from(scale.unsigned_abs());
            call.try_texts(|row| text(row, given.is_valid(row).then(|| rounded_decimal(given.value(row), scale, places_of(row)?))))
        }
        kind if kind.is_integer() => {
            let given = call.long(0)?;
            call.try_texts(|row| text(row, given.at(row).map(|value| rounded_decimal(i128::from(value), 0, places_of(row)?))))
        }
        _ => {
            let given = call.double(0)?;
            call.try_texts(|row| text(row, given.at(row).map(|value| Some(format!("{value:.width$}", width = places_of(row)? as usize)))))
        }
    }
}
