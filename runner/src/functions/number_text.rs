//! Numbers written and read in other forms: other bases, grouped digits, patterns of `printf`.

use datafusion::{
    arrow::{
        array::{Array, AsArray},
        datatypes::{DataType, Decimal128Type},
    },
    common::Result,
};

use super::{
    call::{Answer, Call, Compiled, Kernel},
    encoding::delegate,
    error::FunctionError,
    number_pattern::{Number, NumberPattern},
};

/// Most places that one number is written with where the query decides.
const MOST_WIDTH: usize = 100_000;

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("bin", |call| {
        let number = call.long(0)?;
        call.texts(|row| number.at(row).map(|number| format!("{number:b}")))
    }),
    ("conv", conv),
    ("format_number", format_number),
    ("$format_pattern", format_pattern),
    ("format_string", format_string),
];

fn too_wide(call: &Call<'_>, width: usize) -> FunctionError {
    let message = format!("{} is asked for {width} places, but takes {MOST_WIDTH} at most", call.name.trim_start_matches('$'));
    FunctionError::new("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", message)
}

/// Refuses patterns of `printf` that ask for more places than one text or all texts of a batch may have.
fn check_widths(call: &Call<'_>) -> Result<()> {
    let pattern = call.text(0)?;
    let mut known = Compiled::new();
    let mut total: usize = 0;
    for row in 0..call.rows {
        let Some(pattern) = pattern.at(row) else { continue };
        let (widest, sum) = *known.get(pattern, |pattern| Ok(widths(pattern)))?;
        if widest > MOST_WIDTH {
            return Err(too_wide(call, widest).into());
        }
        total = total.saturating_add(sum);
        if total > i32::MAX as usize {
            let message = "the texts that format_string gives for one batch of rows have more than 2 GiB";
            return Err(FunctionError::new("COLLECTION_SIZE_LIMIT_EXCEEDED", message).into());
        }
    }
    Ok(())
}

/// The greatest number among the conversions of a pattern of `printf`, and the sum of all: widths and precisions.
fn widths(pattern: &str) -> (usize, usize) {
    let (mut widest, mut sum) = (0_usize, 0_usize);
    for part in pattern.split('%').skip(1) {
        let end = part.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(part.len());
        let (conversion, _) = part.split_at(end);
        for digits in conversion.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty()) {
            // What has too many digits for a number is wide, too.
            let width = digits.parse().unwrap_or(usize::MAX);
            widest = widest.max(width);
            sum = sum.saturating_add(width);
        }
    }
    (widest, sum)
}

/// A DECIMAL that `%s` asks for is handed in as text.
fn format_string(call: &Call<'_>) -> Answer {
    check_widths(call)?;
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

/// `format_number(x, places)`.
fn format_number(call: &Call<'_>) -> Answer {
    let places = call.int(1)?;
    let mut known = Compiled::new();
    formatted(call, |row, number| {
        let Some(places) = places.at(row).and_then(|places| usize::try_from(places).ok()) else { return Ok(None) };
        let pattern = known.get(&places.to_string(), |_| Ok(NumberPattern::with_places(places)))?;
        shown(call, pattern, number).map(Some)
    })
}

/// `format_number(x, '#,##0.00')`.
fn format_pattern(call: &Call<'_>) -> Answer {
    let pattern = call.text(1)?;
    let mut known = Compiled::new();
    formatted(call, |row, number| {
        let Some(pattern) = pattern.at(row) else { return Ok(None) };
        let pattern = known.get(pattern, |pattern| Ok(NumberPattern::parse(pattern)?))?;
        shown(call, pattern, number).map(Some)
    })
}

fn shown(call: &Call<'_>, pattern: &NumberPattern, number: Number) -> Result<String> {
    if matches!(number, Number::Decimal(..)) && pattern.places() > MOST_WIDTH {
        return Err(too_wide(call, pattern.places()).into());
    }
    Ok(pattern.format(number))
}

/// The first argument of each row, written by `text`.
fn formatted(call: &Call<'_>, mut text: impl FnMut(usize, Number) -> Result<Option<String>>) -> Answer {
    let array = call.array(0)?;
    let number: Box<dyn Fn(usize) -> Number + '_> = match call.data_type(0) {
        DataType::Null => return call.nulls(),
        DataType::Decimal128(_, scale) => {
            let given = array.as_primitive::<Decimal128Type>();
            let scale = u32::from(scale.unsigned_abs());
            Box::new(move |row| Number::Decimal(given.value(row), scale))
        }
        kind if kind.is_integer() => {
            let given = call.long(0)?;
            Box::new(move |row| Number::Whole(given.at(row).unwrap_or_default()))
        }
        _ => {
            let given = call.double(0)?;
            Box::new(move |row| Number::Double(given.at(row).unwrap_or_default()))
        }
    };
    call.try_texts(|row| if array.is_null(row) { Ok(None) } else { text(row, number(row)) })
}
