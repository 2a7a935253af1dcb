//! Times to text and text to times, by Java patterns.

use datafusion::{
    arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType},
    common::Result,
};

use super::{
    call::{Answer, Call, Compiled, Kernel},
    cast::{Rules, cast_array},
    error::FunctionError,
    temporal::{
        SECOND_US,
        pattern::Pattern,
        zone::{UTC, Zone},
    },
    time_functions::local_times,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("date_format", date_format),
    ("from_unixtime", from_unixtime),
    ("to_date", |call| to_date(call, call.settings.ansi)),
    ("try_to_date", |call| to_date(call, false)),
    ("to_timestamp", |call| to_timestamp(call, call.settings.ansi)),
    ("try_to_timestamp", |call| to_timestamp(call, false)),
    ("unix_timestamp", unix_timestamp),
];

/// The usual pattern.
const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss";

fn compile(pattern: &str) -> Result<Pattern> {
    Pattern::new(pattern).map_err(|error| FunctionError::new("INVALID_DATETIME_PATTERN", error.to_string()).into())
}

fn date_format(call: &Call<'_>) -> Answer {
    let local = local_times(call, 0)?;
    let pattern = call.text(1)?;
    let zone = call.settings.zone;
    let zoned = zone != UTC;
    let mut compiled = Compiled::new();
    let mut text = String::new();
    call.try_texts(|row| {
        let (Some(local), Some(pattern)) = (local(row), pattern.at(row)) else { return Ok(None) };
        let instant = if zoned { zone.to_instant(local).unwrap_or(local) } else { local };
        text.clear();
        compiled.get(pattern, compile)?.format_into(instant, zone, &mut text);
        Ok(Some(text.clone()))
    })
}

fn from_unixtime(call: &Call<'_>) -> Answer {
    let seconds = call.long(0)?;
    let pattern = if call.has(1) { Some(call.text(1)?) } else { None };
    let zone = call.settings.zone;
    let mut compiled = Compiled::new();
    call.try_texts(|row| {
        let pattern = pattern.as_ref().map_or(Some(DEFAULT), |pattern| pattern.at(row));
        let (Some(seconds), Some(pattern)) = (seconds.at(row), pattern) else { return Ok(None) };
        let Some(instant) = seconds.checked_mul(SECOND_US) else { return Ok(None) };
        let mut text = String::new();
        compiled.get(pattern, compile)?.format_into(instant, zone, &mut text);
        Ok(Some(text))
    })
}

fn unparsable(text: &str, pattern: &str) -> FunctionError {
    FunctionError::new("CANNOT_PARSE_TIMESTAMP", format!("the text '{text}' cannot be parsed by the pattern '{pattern}'"))
}

/// Parses text by a pattern to an instant.
fn parsed<T>(call: &Call<'_>, ansi: bool, read: impl Fn(&Pattern, &str) -> Option<T>) -> Result<Vec<Option<T>>> {
    let (text, pattern) = (call.text(0)?, call.text(1)?);
    let mut compiled = Compiled::new();
    let mut values = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (Some(text), Some(pattern)) = (text.at(row), pattern.at(row)) else {
            values.push(None);
            continue;
        };
        let value = read(compiled.get(pattern, compile)?, text);
        if ansi && value.is_none() {
            return Err(unparsable(text, pattern).into());
        }
        values.push(value);
    }
    Ok(values)
}

fn rules(call: &Call<'_>, ansi: bool) -> Rules {
    Rules { ansi, fractions: false, zone: call.settings.zone }
}

fn to_date(call: &Call<'_>, ansi: bool) -> Answer {
    if !call.has(1) || call.data_type(0) != DataType::Utf8 {
        return cast_array(&call.array(0)?, call.returns, &rules(call, ansi));
    }
    let values = parsed(call, ansi, Pattern::parse_date)?;
    call.numbers::<Date32Type>(|row| values.get(row).copied().flatten())
}

fn to_timestamp(call: &Call<'_>, ansi: bool) -> Answer {
    if !call.has(1) || call.data_type(0) != DataType::Utf8 {
        return cast_array(&call.array(0)?, call.returns, &rules(call, ansi));
    }
    let zone = call.settings.zone;
    let values = parsed(call, ansi, |pattern, text| pattern.parse(text)?.instant(zone))?;
    call.numbers::<TimestampMicrosecondType>(|row| values.get(row).copied().flatten())
}

/// Seconds since the epoch, cut towards it as Spark does.
fn unix_timestamp(call: &Call<'_>) -> Answer {
    if call.args.is_empty() {
        return call.longs(|_| Some(call.settings.batch_us.div_euclid(SECOND_US)));
    }
    let zone = call.settings.zone;
    if call.data_type(0) != DataType::Utf8 {
        let local = local_times(call, 0)?;
        return call.longs(|row| Some(zone.to_instant(local(row)?)? / SECOND_US));
    }
    let values = if call.has(1) {
        parsed(call, call.settings.ansi, |pattern, text| pattern.parse(text)?.instant(zone))?
    } else {
        default_times(call, zone)?
    };
    call.numbers::<Int64Type>(|row| Some(values.get(row).copied().flatten()? / SECOND_US))
}

fn default_times(call: &Call<'_>, zone: Zone) -> Result<Vec<Option<i64>>> {
    let text = call.text(0)?;
    let pattern = compile(DEFAULT)?;
    (0..call.rows)
        .map(|row| {
            let value = text.at(row).and_then(|text| pattern.parse(text)?.instant(zone));
            match text.at(row) {
                Some(text) if value.is_none() && call.settings.ansi => Err(unparsable(text, DEFAULT).into()),
                _ => Ok(value),
            }
        })
        .collect()
}
