//! Functions on dates and times, in the session's time zone.

use datafusion::{
    arrow::datatypes::{DataType, Date32Type, Decimal128Type, TimestampMicrosecondType},
    common::Result,
};

use floe_graph::analysis::ddl::type_text;

use super::{
    call::{Answer, Call, Kernel},
    error::FunctionError,
    temporal::{
        DAY_US, SECOND_US, add_months, checked_days, civil_from_days, days_from_civil, days_in_month, iso_weekday,
        zone::{UTC, Zone},
    },
};

/// Kernels of this subject: fields, arithmetic and construction.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("current_timestamp", |call| call.timestamps(|_| Some(call.settings.batch_us))),
    ("current_date", |call| {
        let today = call.settings.zone.to_local(call.settings.batch_us).div_euclid(DAY_US);
        call.dates(|_| i32::try_from(today).ok())
    }),
    ("current_timezone", |call| call.texts(|_| Some(&call.settings.zone_name))),
    ("year", |call| field(call, |local| civil_from_days(day(local)).0)),
    ("quarter", |call| field(call, |local| (i64::from(civil_from_days(day(local)).1) - 1) / 3 + 1)),
    ("month", |call| field(call, |local| i64::from(civil_from_days(day(local)).1))),
    ("day", |call| field(call, |local| i64::from(civil_from_days(day(local)).2))),
    ("dayofweek", |call| field(call, |local| i64::from(iso_weekday(day(local)) % 7) + 1)),
    ("weekday", |call| field(call, |local| i64::from(iso_weekday(day(local))) - 1)),
    ("dayofyear", |call| field(call, |local| day(local) - days_from_civil(civil_from_days(day(local)).0, 1, 1) + 1)),
    ("weekofyear", |call| field(call, |local| iso_week(day(local)))),
    ("$iso_weekday", |call| field(call, |local| i64::from(iso_weekday(day(local))))),
    ("$iso_year", |call| field(call, |local| iso_year(day(local)))),
    ("$second_fraction", |call| {
        let local = local_times(call, 0)?;
        call.numbers::<Decimal128Type>(|row| Some(i128::from(within(local(row)?) % (60 * SECOND_US))))
    }),
    ("hour", |call| field(call, |local| within(local) / (3_600 * SECOND_US))),
    ("minute", |call| field(call, |local| within(local) / (60 * SECOND_US) % 60)),
    ("second", |call| field(call, |local| within(local) / SECOND_US % 60)),
    ("dayname", |call| {
        named(call, |local| ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].get(iso_weekday(day(local)) as usize - 1).copied())
    }),
    ("monthname", |call| {
        named(call, |local| {
            let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            names.get(civil_from_days(day(local)).1 as usize - 1).copied()
        })
    }),
    ("date_trunc", date_trunc),
    ("trunc", |call| {
        let (date, unit) = (call.date(0)?, call.text(1)?);
        call.dates(|row| {
            let unit = unit.at(row)?.to_ascii_uppercase();
            let first = truncated(i64::from(date.at(row)?).checked_mul(DAY_US)?, &unit)?;
            // Units below a week are none of this function.
            matches!(span(&unit)?, Span::Months(_) | Span::Week).then(|| i32::try_from(day(first)).ok()).flatten()
        })
    }),
    ("timestamp_seconds", timestamp_seconds),
    ("timestamp_millis", |call| {
        let value = call.long(0)?;
        call.timestamps(|row| value.at(row)?.checked_mul(1_000))
    }),
    ("timestamp_micros", |call| {
        let value = call.long(0)?;
        call.timestamps(|row| value.at(row))
    }),
    ("unix_seconds", |call| epoch(call, SECOND_US)),
    ("unix_millis", |call| epoch(call, 1_000)),
    ("unix_micros", |call| epoch(call, 1)),
    ("unix_date", |call| {
        let date = call.date(0)?;
        call.ints(|row| date.at(row))
    }),
    ("date_from_unix_date", |call| {
        let value = call.int(0)?;
        call.dates(|row| value.at(row))
    }),
    ("from_utc_timestamp", |call| shifted(call, |us, zone| Some(zone.to_local(us)))),
    ("to_utc_timestamp", |call| shifted(call, |us, zone| zone.to_instant(us))),
    ("date_add", |call| plus_days(call, 1)),
    ("date_sub", |call| plus_days(call, -1)),
    ("$date_diff", |call| {
        let (end, start) = (call.date(0)?, call.date(1)?);
        call.ints(|row| end.at(row)?.checked_sub(start.at(row)?))
    }),
    ("$timestamp_diff", timestamp_diff),
    ("$timestamp_add", timestamp_add),
    ("$add_interval", add_interval),
    ("add_months", |call| {
        let (date, months) = (call.date(0)?, call.int(1)?);
        call.dates(|row| i32::try_from(add_months(i64::from(date.at(row)?), i64::from(months.at(row)?))).ok())
    }),
    ("months_between", months_between),
    ("last_day", |call| {
        let date = call.date(0)?;
        call.dates(|row| {
            let (year, month, _) = civil_from_days(i64::from(date.at(row)?));
            i32::try_from(days_from_civil(year, month, days_in_month(year, month))).ok()
        })
    }),
    ("next_day", next_day),
    ("make_date", make_date),
    ("make_timestamp", |call| make_timestamp(call, call.settings.ansi)),
    ("try_make_timestamp", |call| make_timestamp(call, false)),
    ("convert_timezone", convert_timezone),
    ("window", window),
];

fn day(local_us: i64) -> i64 {
    local_us.div_euclid(DAY_US)
}

fn within(local_us: i64) -> i64 {
    local_us.rem_euclid(DAY_US)
}

/// Local microseconds of a DATE, TIMESTAMP or TIMESTAMP_NTZ argument.
pub(super) fn local_times<'c>(call: &'c Call<'_>, index: usize) -> Result<Box<dyn Fn(usize) -> Option<i64> + 'c>> {
    let zone = call.settings.zone;
    Ok(match call.data_type(index) {
        DataType::Date32 => {
            let date = call.date(index)?;
            // Of dates that no instant reaches there is no time.
            Box::new(move |row| i64::from(date.at(row)?).checked_mul(DAY_US))
        }
        DataType::Timestamp(_, None) => {
            let time = call.micros(index)?;
            Box::new(move |row| time.at(row))
        }
        _ => {
            let time = call.micros(index)?;
            Box::new(move |row| Some(zone.to_local(time.at(row)?)))
        }
    })
}

fn field(call: &Call<'_>, value: impl Fn(i64) -> i64) -> Answer {
    let local = local_times(call, 0)?;
    call.ints(|row| i32::try_from(value(local(row)?)).ok())
}

fn named(call: &Call<'_>, value: impl Fn(i64) -> Option<&'static str>) -> Answer {
    let local = local_times(call, 0)?;
    call.texts(|row| value(local(row)?))
}

/// The year of the Thursday of the same week.
fn iso_year(days: i64) -> i64 {
    civil_from_days(days - i64::from(iso_weekday(days)) + 4).0
}

fn convert_timezone(call: &Call<'_>) -> Answer {
    let (from, to) = (call.text(0)?, call.text(1)?);
    let time = local_times(call, 2)?;
    call.try_numbers::<TimestampMicrosecondType>(|row| {
        let (Some(from), Some(to), Some(time)) = (from.at(row), to.at(row), time(row)) else { return Ok(None) };
        let instant = zone_of(from)?.to_instant(time);
        instant.map(|instant| zone_of(to).map(|zone| zone.to_local(instant))).transpose()
    })
}

/// The ISO week: that of the Thursday of the same week.
fn iso_week(days: i64) -> i64 {
    let thursday = days - i64::from(iso_weekday(days)) + 4;
    let (year, ..) = civil_from_days(thursday);
    (thursday - days_from_civil(year, 1, 1)) / 7 + 1
}

/// What a unit of time spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Months(i64),
    Week,
    Micros(i64),
}

fn span(unit: &str) -> Option<Span> {
    Some(match unit {
        "YEAR" | "YYYY" | "YY" => Span::Months(12),
        "QUARTER" => Span::Months(3),
        "MONTH" | "MM" | "MON" => Span::Months(1),
        "WEEK" => Span::Week,
        "DAY" | "DD" => Span::Micros(DAY_US),
        "HOUR" => Span::Micros(3_600 * SECOND_US),
        "MINUTE" => Span::Micros(60 * SECOND_US),
        "SECOND" => Span::Micros(SECOND_US),
        "MILLISECOND" => Span::Micros(1_000),
        "MICROSECOND" => Span::Micros(1),
        _ => return None,
    })
}

/// Start of the unit (in upper case) that holds a local time.
fn truncated(local_us: i64, unit: &str) -> Option<i64> {
    Some(match span(unit)? {
        Span::Micros(size) => local_us.checked_sub(local_us.rem_euclid(size))?,
        Span::Week => (day(local_us) - i64::from(iso_weekday(day(local_us))) + 1).checked_mul(DAY_US)?,
        Span::Months(size) => {
            let (year, month, _) = civil_from_days(day(local_us));
            let first = (i64::from(month) - 1) / size * size + 1;
            days_from_civil(year, first as u32, 1).checked_mul(DAY_US)?
        }
    })
}

fn date_trunc(call: &Call<'_>) -> Answer {
    let unit = call.text(0)?;
    let local = local_times(call, 1)?;
    let zone = call.settings.zone;
    let fixed = call.literal(0).map(str::to_ascii_uppercase);
    call.timestamps(|row| match &fixed {
        Some(unit) => zone.to_instant(truncated(local(row)?, unit)?),
        None => zone.to_instant(truncated(local(row)?, &unit.at(row)?.to_ascii_uppercase())?),
    })
}

fn timestamp_seconds(call: &Call<'_>) -> Answer {
    let rules = super::cast::Rules { ansi: call.settings.ansi, fractions: false, zone: call.settings.zone };
    super::cast::cast_array(&call.array(0)?, call.returns, &rules)
}

fn epoch(call: &Call<'_>, unit: i64) -> Answer {
    let time = call.micros(0)?;
    call.longs(|row| Some(time.at(row)?.div_euclid(unit)))
}

fn zone_of(text: &str) -> Result<Zone> {
    Zone::parse(text).ok_or_else(|| FunctionError::new("INVALID_TIMEZONE", format!("time zone '{text}' is unknown")).into())
}

fn shifted(call: &Call<'_>, shift: impl Fn(i64, Zone) -> Option<i64>) -> Answer {
    let (time, zone) = (call.micros(0)?, call.text(1)?);
    call.try_numbers::<TimestampMicrosecondType>(|row| {
        let (Some(time), Some(zone)) = (time.at(row), zone.at(row)) else { return Ok(None) };
        Ok(shift(time, zone_of(zone)?))
    })
}

fn out_of_range(call: &Call<'_>) -> FunctionError {
    FunctionError::new(
        "DATETIME_OVERFLOW",
        format!("the result of {} is out of the range of {}", call.name.trim_start_matches('$'), type_text(call.returns)),
    )
}

fn plus_days(call: &Call<'_>, sign: i32) -> Answer {
    let (date, days) = (call.date(0)?, call.int(1)?);
    call.try_numbers::<Date32Type>(|row| {
        let (Some(date), Some(days)) = (date.at(row), days.at(row)) else { return Ok(None) };
        let sum = days.checked_mul(sign).and_then(|days| date.checked_add(days));
        sum.map(Some).ok_or_else(|| out_of_range(call).into())
    })
}

/// Whole months from `start` to `end`, cut towards zero.
fn whole_months(start: i64, end: i64) -> i64 {
    if end < start {
        return -whole_months(end, start);
    }
    let (start_year, start_month, start_day) = civil_from_days(day(start));
    let (end_year, end_month, end_day) = civil_from_days(day(end));
    let months = (end_year - start_year) * 12 + i64::from(end_month) - i64::from(start_month);
    months - i64::from((end_day, within(end)) < (start_day, within(start)))
}

fn timestamp_diff(call: &Call<'_>) -> Answer {
    let unit = call.literal(0).unwrap_or_default().to_ascii_uppercase();
    let size = span(&unit).ok_or_else(|| unknown_unit(&unit))?;
    let (start, end) = (local_times(call, 1)?, local_times(call, 2)?);
    call.longs(|row| {
        let (start, end) = (start(row)?, end(row)?);
        Some(match size {
            Span::Micros(size) => end.checked_sub(start)? / size,
            Span::Week => end.checked_sub(start)? / (7 * DAY_US),
            Span::Months(size) => whole_months(start, end) / size,
        })
    })
}

fn unknown_unit(unit: &str) -> FunctionError {
    FunctionError::new("INVALID_PARAMETER_VALUE.DATETIME_UNIT", format!("'{unit}' is no unit of time"))
}

pub(super) fn plus_months(local_us: i64, months: i64) -> Option<i64> {
    let months = (-6_000_000..6_000_000).contains(&months).then_some(months)?;
    add_months(day(local_us), months).checked_mul(DAY_US)?.checked_add(within(local_us))
}

fn timestamp_add(call: &Call<'_>) -> Answer {
    let unit = call.literal(0).unwrap_or_default().to_ascii_uppercase();
    let size = span(&unit).ok_or_else(|| unknown_unit(&unit))?;
    let (count, time) = (call.long(1)?, call.micros(2)?);
    // The wall clock of TIMESTAMP_NTZ knows no zone.
    let zone = if matches!(call.data_type(2), DataType::Timestamp(_, None)) { UTC } else { call.settings.zone };
    call.try_numbers::<TimestampMicrosecondType>(|row| {
        let (Some(count), Some(time)) = (count.at(row), time.at(row)) else { return Ok(None) };
        let local = zone.to_local(time);
        let sum = match size {
            Span::Micros(size) if size < DAY_US => count.checked_mul(size).and_then(|step| time.checked_add(step)),
            Span::Micros(size) => count.checked_mul(size).and_then(|step| zone.to_instant(local.checked_add(step)?)),
            Span::Week => count.checked_mul(7 * DAY_US).and_then(|step| zone.to_instant(local.checked_add(step)?)),
            Span::Months(size) => count.checked_mul(size).and_then(|months| zone.to_instant(plus_months(local, months)?)),
        };
        sum.map(Some).ok_or_else(|| out_of_range(call).into())
    })
}

fn add_interval(call: &Call<'_>) -> Answer {
    let interval = call.interval(1)?;
    if call.data_type(0) == DataType::Date32 {
        let date = call.date(0)?;
        return call.try_numbers::<Date32Type>(|row| {
            let (Some(date), Some(interval)) = (date.at(row), interval.at(row)) else { return Ok(None) };
            let days = add_months(i64::from(date), i64::from(interval.months)) + i64::from(interval.days);
            let days = days + interval.nanoseconds.div_euclid(DAY_US * 1_000);
            i32::try_from(days).map(Some).map_err(|_| out_of_range(call).into())
        });
    }
    let (time, zone) = (call.micros(0)?, call.settings.zone);
    let zone = if matches!(call.data_type(0), DataType::Timestamp(_, None)) { UTC } else { zone };
    call.try_numbers::<TimestampMicrosecondType>(|row| {
        let (Some(time), Some(interval)) = (time.at(row), interval.at(row)) else { return Ok(None) };
        let moved = if interval.months == 0 && interval.days == 0 {
            Some(time)
        } else {
            let local = plus_months(zone.to_local(time), i64::from(interval.months));
            let days = i64::from(interval.days).checked_mul(DAY_US);
            local.zip(days).and_then(|(local, days)| local.checked_add(days)).and_then(|local| zone.to_instant(local))
        };
        let sum = moved.and_then(|time| time.checked_add(interval.nanoseconds / 1_000));
        sum.map(Some).ok_or_else(|| out_of_range(call).into())
    })
}

fn months_between(call: &Call<'_>) -> Answer {
    let (left, right) = (local_times(call, 0)?, local_times(call, 1)?);
    let exact = if call.has(2) { Some(call.boolean(2)?) } else { None };
    call.doubles(|row| {
        let (left, right) = (left(row)?, right(row)?);
        let rounded = exact.as_ref().map_or(Some(true), |rounded| rounded.at(row))?;
        let value = months_apart(left, right);
        Some(if rounded { (value * 1e8).round() / 1e8 } else { value })
    })
}

fn months_apart(left: i64, right: i64) -> f64 {
    let (left_year, left_month, left_day) = civil_from_days(day(left));
    let (right_year, right_month, right_day) = civil_from_days(day(right));
    let months = ((left_year - right_year) * 12 + i64::from(left_month) - i64::from(right_month)) as f64;
    let last = |year, month, day| day == days_in_month(year, month);
    if left_day == right_day || (last(left_year, left_month, left_day) && last(right_year, right_month, right_day)) {
        return months;
    }
    let seconds = (i64::from(left_day) - i64::from(right_day)) * 86_400 + within(left) / SECOND_US - within(right) / SECOND_US;
    months + seconds as f64 / (31.0 * 86_400.0)
}

fn next_day(call: &Call<'_>) -> Answer {
    let (date, name) = (call.date(0)?, call.text(1)?);
    call.dates(|row| {
        let name = name.at(row)?.trim().to_ascii_uppercase();
        let names = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];
        let is_name = |full: &&str| *full == name || full.get(..3) == Some(&name) || full.get(..2) == Some(&name);
        let wanted = names.iter().position(is_name)? as i64 + 1;
        let days = i64::from(date.at(row)?);
        let ahead = (wanted - i64::from(iso_weekday(days)) + 6).rem_euclid(7) + 1;
        i32::try_from(days + ahead).ok()
    })
}

fn bad_field(call: &Call<'_>) -> FunctionError {
    FunctionError::new("DATETIME_FIELD_OUT_OF_BOUNDS", format!("{} got a field that is out of its bounds", call.name))
}

fn make_date(call: &Call<'_>) -> Answer {
    let (year, month, day) = (call.int(0)?, call.int(1)?, call.int(2)?);
    call.try_numbers::<Date32Type>(|row| {
        let (Some(year), Some(month), Some(day)) = (year.at(row), month.at(row), day.at(row)) else { return Ok(None) };
        let days = u32::try_from(month).ok().zip(u32::try_from(day).ok());
        let days = days.and_then(|(month, day)| checked_days(i64::from(year), month, day)).and_then(|days| i32::try_from(days).ok());
        if days.is_none() && call.settings.ansi { Err(bad_field(call).into()) } else { Ok(days) }
    })
}

fn make_timestamp(call: &Call<'_>, strict: bool) -> Answer {
    let part = |index: usize| call.int(index);
    let (year, month, day, hour, minute) = (part(0)?, part(1)?, part(2)?, part(3)?, part(4)?);
    let second = call.double(5)?;
    let zone = if call.has(6) { Some(call.text(6)?) } else { None };
    call.try_numbers::<TimestampMicrosecondType>(|row| {
        let zone = match &zone {
            Some(zone) => match zone.at(row) {
                Some(zone) => zone_of(zone)?,
                None => return Ok(None),
            },
            None => call.settings.zone,
        };
        let (Some(year), Some(month), Some(day)) = (year.at(row), month.at(row), day.at(row)) else { return Ok(None) };
        let (Some(hour), Some(minute), Some(second)) = (hour.at(row), minute.at(row), second.at(row)) else { return Ok(None) };
        let instant = local_of((year, month, day), (hour, minute, second)).and_then(|local| zone.to_instant(local));
        if instant.is_none() && strict { Err(bad_field(call).into()) } else { Ok(instant) }
    })
}

fn local_of(date: (i32, i32, i32), time: (i32, i32, f64)) -> Option<i64> {
    let days = checked_days(i64::from(date.0), u32::try_from(date.1).ok()?, u32::try_from(date.2).ok()?)?;
    let (hour, minute, second) = time;
    // A second of exactly 60 is the next minute.
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..=60.0).contains(&second) {
        return None;
    }
    let micros = (second * SECOND_US as f64).round() as i64;
    Some(days * DAY_US + (i64::from(hour) * 3_600 + i64::from(minute) * 60) * SECOND_US + micros)
}

fn window(call: &Call<'_>) -> Answer {
    let (time, size, start) = (call.micros(0)?, call.long(1)?, call.long(2)?);
    // Where the window of a row begins and ends.
    let begin = |row: usize| {
        let (time, size, start) = (time.at(row)?, size.at(row).filter(|size| *size > 0)?, start.at(row)?);
        let begin = time.checked_sub(time.checked_sub(start)?.rem_euclid(size))?;
        Some((begin, begin.checked_add(size)?))
    };
    let DataType::Struct(fields) = call.returns else { return call.nulls() };
    let starts: Vec<Option<i64>> = (0..call.rows).map(|row| begin(row).map(|(begin, _)| begin)).collect();
    let ends: Vec<Option<i64>> = (0..call.rows).map(|row| begin(row).map(|(_, end)| end)).collect();
    let nulls: datafusion::arrow::buffer::NullBuffer = starts.iter().map(Option::is_some).collect();
    let column = |values: Vec<Option<i64>>| -> datafusion::arrow::array::ArrayRef {
        std::sync::Arc::new(datafusion::arrow::array::TimestampMicrosecondArray::from(values).with_timezone("UTC"))
    };
    let columns = vec![column(starts), column(ends)];
    Ok(std::sync::Arc::new(datafusion::arrow::array::StructArray::try_new(fields.clone(), columns, Some(nulls))?))
}
