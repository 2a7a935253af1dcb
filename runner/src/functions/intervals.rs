//! Intervals: made, scaled, compared, and found between two times. An interval has months, days and microseconds; a day has 24 hours where
//! intervals are compared.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, PrimitiveArray},
        datatypes::{DataType, Date32Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimestampMicrosecondType},
    },
    common::Result,
};

use super::{
    aggregate::unexpected,
    call::{Answer, Call, Kernel},
    collection::Lists,
    error::FunctionError,
    temporal::{DAY_US, zone::UTC},
    time_functions::{local_times, plus_months},
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("$between_times", between_times),
    ("$interval_times", interval_times),
    ("$interval_compare", interval_compare),
    ("$interval_add", interval_add),
    ("$interval_part", interval_part),
    ("make_interval", make_interval),
    ("make_dt_interval", make_dt_interval),
    ("make_ym_interval", |call| {
        let (years, months) = (amount(call, 0)?, amount(call, 1)?);
        let both = |row: usize| (years(row), months(row));
        let given = |row: usize| Some(both(row)).filter(|(years, months)| *years != MISSING && *months != MISSING);
        intervals(call, given, |(years, months)| interval(years * 12 + months, 0, 0))
    }),
    ("$time_sequence", time_sequence),
];

const MICROS_PER_SECOND: i128 = 1_000_000;
const NANOS_PER_MICRO: i64 = 1_000;

fn overflow(call: &Call<'_>) -> FunctionError {
    FunctionError::new(
        "INTERVAL_ARITHMETIC_OVERFLOW",
        format!("the result of {} does not fit an interval", call.name.trim_start_matches('$')),
    )
}

fn interval(months: i128, days: i128, micros: i128) -> Option<IntervalMonthDayNano> {
    let nanos = i64::try_from(micros).ok()?.checked_mul(NANOS_PER_MICRO)?;
    Some(IntervalMonthDayNano::new(i32::try_from(months).ok()?, i32::try_from(days).ok()?, nanos))
}

/// Days and the time of the day as microseconds.
fn micros(value: IntervalMonthDayNano) -> i128 {
    i128::from(value.days) * i128::from(DAY_US) + i128::from(value.nanoseconds / NANOS_PER_MICRO)
}

/// An interval per row from the parts that a row has.
fn intervals<P>(call: &Call<'_>, parts: impl Fn(usize) -> Option<P>, make: impl Fn(P) -> Option<IntervalMonthDayNano>) -> Answer {
    call.try_numbers::<IntervalMonthDayNanoType>(|row| match parts(row) {
        Some(parts) => make(parts).map(Some).ok_or_else(|| overflow(call).into()),
        None => Ok(None),
    })
}

fn between_times(call: &Call<'_>) -> Answer {
    let dates = call.data_type(0) == DataType::Date32 && call.data_type(1) == DataType::Date32;
    if dates {
        let (end, start) = (local_times(call, 0)?, local_times(call, 1)?);
        let days = |row: usize| end(row).zip(start(row)).map(|(end, start)| (end - start) / DAY_US);
        return intervals(call, days, |days| interval(0, i128::from(days), 0));
    }
    // The wall clocks are subtracted, as in Spark: from midnight to midnight it is a day, however many hours the day has.
    let (end, start) = (local_times(call, 0)?, local_times(call, 1)?);
    let elapsed = |row: usize| end(row).zip(start(row)).map(|(end, start)| i128::from(end) - i128::from(start));
    intervals(call, elapsed, |micros| interval(0, 0, micros))
}

fn interval_times(call: &Call<'_>) -> Answer {
    let (value, factor) = (call.interval(0)?, call.double(1)?);
    let both = |row: usize| value.at(row).zip(factor.at(row));
    // Whole numbers are multiplied exactly, fractions are rounded half up.
    let scaled = |amount: i128, factor: f64| -> i128 {
        if factor.fract() == 0.0 && factor.abs() < 1e15 { amount * (factor as i128) } else { (amount as f64 * factor).round() as i128 }
    };
    intervals(call, both, |(value, factor)| {
        if !factor.is_finite() {
            return None;
        }
        let whole = factor.fract() == 0.0;
        let (days, rest) =
            if whole { (i128::from(value.days), i128::from(value.nanoseconds / NANOS_PER_MICRO)) } else { (0, micros(value)) };
        interval(scaled(i128::from(value.months), factor), scaled(days, factor), scaled(rest, factor))
    })
}

fn interval_add(call: &Call<'_>) -> Answer {
    let (left, right) = (call.interval(0)?, call.interval(1)?);
    intervals(
        call,
        |row| left.at(row).zip(right.at(row)),
        |(left, right)| {
            let time = i128::from(left.nanoseconds / NANOS_PER_MICRO) + i128::from(right.nanoseconds / NANOS_PER_MICRO);
            interval(i128::from(left.months) + i128::from(right.months), i128::from(left.days) + i128::from(right.days), time)
        },
    )
}

fn interval_compare(call: &Call<'_>) -> Answer {
    let (left, right) = (call.interval(0)?, call.interval(1)?);
    call.try_numbers::<Int32Type>(|row| {
        let (Some(left), Some(right)) = (left.at(row), right.at(row)) else { return Ok(None) };
        let mixes = |value: IntervalMonthDayNano, other: IntervalMonthDayNano| value.months != 0 && micros(other) != 0;
        if mixes(left, right) || mixes(right, left) || mixes(left, left) || mixes(right, right) {
            let message = "an interval with months cannot be compared with one that has days or hours";
            return Err(FunctionError::new("DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES", message).into());
        }
        Ok(Some((i128::from(left.months), micros(left)).cmp(&(i128::from(right.months), micros(right))) as i32))
    })
}

/// A field of an interval: whole years and months, or days, hours, minutes and seconds of what is left.
fn interval_part(call: &Call<'_>) -> Answer {
    let value = call.interval(1)?;
    let field = call.literal(0).unwrap_or_default().to_string();
    call.longs(|row| {
        let value = value.at(row)?;
        let (months, micros) = (i64::from(value.months), micros(value));
        let part = |unit: i128, of: i128| i64::try_from(micros / unit % of).ok();
        match field.as_str() {
            "year" => Some(months / 12),
            "month" => Some(months % 12),
            "day" => part(i128::from(DAY_US), i128::MAX),
            "hour" => part(3_600 * MICROS_PER_SECOND, 24),
            "minute" => part(60 * MICROS_PER_SECOND, 60),
            "microsecond" => part(1, 60 * MICROS_PER_SECOND),
            _ => part(MICROS_PER_SECOND, 60),
        }
    })
}

/// A whole number per row, 0 for an argument that is not given.
fn amount<'c>(call: &'c Call<'_>, index: usize) -> Result<impl Fn(usize) -> i128 + 'c> {
    let given = if call.has(index) { Some(call.int(index)?) } else { None };
    Ok(move |row: usize| given.as_ref().map_or(Some(0), |given| given.at(row)).map_or(MISSING, i128::from))
}

/// Stands for a NULL part of an interval.
const MISSING: i128 = i128::MAX;

/// Seconds with their fraction as microseconds.
fn seconds<'c>(call: &'c Call<'_>, index: usize) -> Result<impl Fn(usize) -> i128 + 'c> {
    let given = if call.has(index) { Some(call.double(index)?) } else { None };
    Ok(move |row: usize| {
        let seconds = given.as_ref().map_or(Some(0.0), |given| given.at(row));
        seconds.map_or(MISSING, |seconds| (seconds * 1e6).round() as i128)
    })
}

fn make_interval(call: &Call<'_>) -> Answer {
    let parts = (0..6).map(|index| amount(call, index)).collect::<Result<Vec<_>>>()?;
    let seconds = seconds(call, 6)?;
    call.try_numbers::<IntervalMonthDayNanoType>(|row| {
        let given = parts.iter().map(|part| part(row)).collect::<Vec<_>>();
        let [years, months, weeks, days, hours, minutes] = given.as_slice() else { return Err(unexpected(call.name)) };
        let micros = seconds(row);
        if given.contains(&MISSING) || micros == MISSING {
            return Ok(None);
        }
        let time = time_of(*hours, *minutes, micros).ok_or_else(|| overflow(call))?;
        interval(years * 12 + months, weeks * 7 + days, time).map(Some).ok_or_else(|| overflow(call).into())
    })
}

fn make_dt_interval(call: &Call<'_>) -> Answer {
    let parts = (0..3).map(|index| amount(call, index)).collect::<Result<Vec<_>>>()?;
    let seconds = seconds(call, 3)?;
    call.try_numbers::<IntervalMonthDayNanoType>(|row| {
        let given = parts.iter().map(|part| part(row)).collect::<Vec<_>>();
        let [days, hours, minutes] = given.as_slice() else { return Err(unexpected(call.name)) };
        let micros = seconds(row);
        if given.contains(&MISSING) || micros == MISSING {
            return Ok(None);
        }
        let time = time_of(*hours, *minutes, micros).ok_or_else(|| overflow(call))?;
        interval(0, *days, time).map(Some).ok_or_else(|| overflow(call).into())
    })
}

/// Microseconds of hours, minutes and microseconds, if the number is not beyond all bounds.
fn time_of(hours: i128, minutes: i128, micros: i128) -> Option<i128> {
    let seconds = hours.checked_mul(3_600)?.checked_add(minutes.checked_mul(60)?)?;
    seconds.checked_mul(MICROS_PER_SECOND)?.checked_add(micros)
}

/// The time `count` steps after `start`, in local microseconds.
fn stepped(start: i64, step: IntervalMonthDayNano, count: i64) -> Option<i64> {
    let months = i64::from(step.months).checked_mul(count)?;
    let rest = i64::try_from(micros(step)).ok()?.checked_mul(count)?;
    plus_months(start, months)?.checked_add(rest)
}

fn time_sequence(call: &Call<'_>) -> Answer {
    let (start, last, step) = (local_times(call, 0)?, local_times(call, 1)?, call.interval(2)?);
    let mut values: Vec<i64> = Vec::new();
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        let (Some(start), Some(last), Some(step)) = (start(row), last(row), step.at(row)) else {
            lists.push_null();
            continue;
        };
        let forward = step.months > 0 || micros(step) > 0;
        let still = step.months == 0 && micros(step) == 0;
        if start != last && (still || forward != (last > start)) {
            let message = "a sequence of times from start to stop needs a step in that direction";
            return Err(FunctionError::new("INVALID_PARAMETER_VALUE.SEQUENCE", message).into());
        }
        let first = values.len() as u64;
        let mut count = 0;
        while let Some(value) = stepped(start, step, count).filter(|value| if forward { *value <= last } else { *value >= last }) {
            lists.room_for(i128::from(count) + 1)?;
            values.push(value);
            count += 1;
            if still {
                break;
            }
        }
        lists.push((first..values.len() as u64).map(Some));
    }
    let DataType::List(field) = call.returns else { return Err(unexpected(call.name)) };
    let values: ArrayRef = match field.data_type() {
        DataType::Date32 => {
            let days = values.iter().map(|value| i32::try_from(value.div_euclid(DAY_US)).ok());
            Arc::new(days.collect::<PrimitiveArray<Date32Type>>())
        }
        other => {
            let zone = if matches!(other, DataType::Timestamp(_, None)) { UTC } else { call.settings.zone };
            let instants = values.iter().map(|value| zone.to_instant(*value));
            Arc::new(instants.collect::<PrimitiveArray<TimestampMicrosecondType>>().with_data_type(other.clone()))
        }
    };
    lists.finish(&values, call.returns)
}
