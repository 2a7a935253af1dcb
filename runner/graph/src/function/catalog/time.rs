//! Functions on dates and times. Patterns are Java's (`yyyy-MM-dd HH:mm:ss.SSS`), never chrono's.

use std::sync::Arc;

use datafusion_common::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use crate::function::{Determinism, FunctionSpec, Param as P, Returns as R, signature::timestamp};

/// Dates and times.
pub static TIMES: &[FunctionSpec] = &[
    FunctionSpec::scalar("current_timestamp", &[], R::Timestamp, "The recorded time of the batch; the same for all rows.")
        .aliases(&["now", "getdate", "localtimestamp"])
        .determinism(Determinism::Time),
    FunctionSpec::scalar("current_date", &[], R::Date, "The day of current_timestamp in session time.").aliases(&["curdate"]).determinism(Determinism::Time),
    FunctionSpec::scalar("current_timezone", &[], R::Text, "The session's time zone."),
    FunctionSpec::scalar(
        "date_format",
        &[P::DateOrTimestamp, P::Text],
        R::Text,
        "Text by a Java pattern: y M d H h m s S a E D Q w u L n-fold, X x z Z VV for the zone, '…' and other characters as they are. An unknown \
         letter is [INVALID_DATETIME_PATTERN].",
    ),
    FunctionSpec::scalar(
        "date_trunc",
        &[P::Text, P::DateOrTimestamp],
        R::Timestamp,
        "date_trunc(unit, t): start of YEAR/YYYY/YY, QUARTER, MONTH/MM/MON, WEEK (Monday), DAY/DD, HOUR, MINUTE, SECOND, MILLISECOND, MICROSECOND \
         in session time, any letter case; NULL for another unit. A DATE is its midnight.",
    ),
    FunctionSpec::scalar("trunc", &[P::Date, P::Text], R::Date, "trunc(date, unit): YEAR, QUARTER, MONTH, WEEK as date_trunc; NULL for another unit."),
    FunctionSpec::scalar(
        "to_date",
        &[P::TextOrTime, P::Text],
        R::Date,
        "DATE of text: without a pattern as CAST; with a Java pattern strictly by it. Invalid: NULL, with ANSI on [CAST_INVALID_INPUT] / \
         [CANNOT_PARSE_TIMESTAMP]. DATE and TIMESTAMP as CAST.",
    )
    .optional(1),
    FunctionSpec::scalar("try_to_date", &[P::TextOrTime, P::Text], R::Date, "As to_date, invalid text is always NULL.").optional(1),
    FunctionSpec::scalar("to_timestamp", &[P::Any, P::Text], R::Timestamp, "TIMESTAMP of text, as to_date; numbers, DATE and TIMESTAMP_NTZ as CAST (planning casts those).")
        .optional(1)
        .aliases(&["to_timestamp_ltz"]),
    FunctionSpec::scalar("try_to_timestamp", &[P::Any, P::Text], R::Timestamp, "As to_timestamp, invalid text is always NULL.").optional(1),
    FunctionSpec::scalar("timestamp_seconds", &[P::Number], R::Timestamp, "TIMESTAMP of epoch seconds, a fraction kept to microseconds."),
    FunctionSpec::scalar("timestamp_millis", &[P::Long], R::Timestamp, "TIMESTAMP of epoch milliseconds."),
    FunctionSpec::scalar("timestamp_micros", &[P::Long], R::Timestamp, "TIMESTAMP of epoch microseconds."),
    FunctionSpec::scalar(
        "unix_timestamp",
        &[P::TextOrTime, P::Text],
        R::Long,
        "Epoch seconds of a time, or of text by a Java pattern (default yyyy-MM-dd HH:mm:ss); without arguments of the batch's time.",
    )
    .optional(2)
    .determinism(Determinism::Time)
    .aliases(&["to_unix_timestamp"]),
    FunctionSpec::scalar("unix_seconds", &[P::Timestamp], R::Long, "Epoch seconds, rounded down."),
    FunctionSpec::scalar("unix_millis", &[P::Timestamp], R::Long, "Epoch milliseconds, rounded down."),
    FunctionSpec::scalar("unix_micros", &[P::Timestamp], R::Long, "Epoch microseconds."),
    FunctionSpec::scalar("unix_date", &[P::Date], R::Int, "Days since 1970-01-01."),
    FunctionSpec::scalar("date_from_unix_date", &[P::Int], R::Date, "DATE of days since 1970-01-01."),
    FunctionSpec::scalar("from_unixtime", &[P::Long, P::Text], R::Text, "Text of epoch seconds by a Java pattern (default yyyy-MM-dd HH:mm:ss).").optional(1),
    FunctionSpec::scalar("from_utc_timestamp", &[P::Timestamp, P::Text], R::Timestamp, "The UTC wall clock of t shown as that of a zone."),
    FunctionSpec::scalar("to_utc_timestamp", &[P::Timestamp, P::Text], R::Timestamp, "The wall clock of t taken as that of a zone, in UTC."),
    FunctionSpec::scalar("year", &[P::DateOrTimestamp], R::Int, "Year."),
    FunctionSpec::scalar("quarter", &[P::DateOrTimestamp], R::Int, "Quarter, 1 to 4."),
    FunctionSpec::scalar("month", &[P::DateOrTimestamp], R::Int, "Month, 1 to 12."),
    FunctionSpec::scalar("day", &[P::DateOrTimestamp], R::Int, "Day of the month.").aliases(&["dayofmonth"]),
    FunctionSpec::scalar("dayofweek", &[P::DateOrTimestamp], R::Int, "Day of the week, 1 = Sunday to 7 = Saturday."),
    FunctionSpec::scalar("weekday", &[P::DateOrTimestamp], R::Int, "Day of the week, 0 = Monday to 6 = Sunday."),
    FunctionSpec::scalar("dayofyear", &[P::DateOrTimestamp], R::Int, "Day of the year from 1."),
    FunctionSpec::scalar("weekofyear", &[P::DateOrTimestamp], R::Int, "ISO week."),
    FunctionSpec::scalar("dayname", &[P::DateOrTimestamp], R::Text, "Mon … Sun."),
    FunctionSpec::scalar("monthname", &[P::DateOrTimestamp], R::Text, "Jan … Dec."),
    FunctionSpec::scalar("hour", &[P::Timestamp], R::Int, "Hour in session time."),
    FunctionSpec::scalar("minute", &[P::Timestamp], R::Int, "Minute in session time."),
    FunctionSpec::scalar("second", &[P::Timestamp], R::Int, "Whole second."),
    FunctionSpec::scalar("date_add", &[P::Date, P::Int], R::Date, "DATE n days later. Out of range is [DATETIME_OVERFLOW]."),
    FunctionSpec::scalar("date_sub", &[P::Date, P::Int], R::Date, "DATE n days earlier."),
    FunctionSpec::scalar("$date_diff", &[P::Date, P::Date], R::Int, "$date_diff(end, start): days from start to end (datediff with two arguments)."),
    FunctionSpec::scalar(
        "$timestamp_diff",
        &[P::TextLiteral, P::Timestamp, P::Timestamp],
        R::Long,
        "$timestamp_diff(UNIT, start, end): whole units from start to end, cut towards zero; units MICROSECOND … WEEK, MONTH, QUARTER, YEAR.",
    ),
    FunctionSpec::scalar(
        "$timestamp_add",
        &[P::TextLiteral, P::Long, P::DateOrTimestamp],
        R::Argument(2),
        "$timestamp_add(UNIT, n, t): t (TIMESTAMP or TIMESTAMP_NTZ) plus n units, units as for $timestamp_diff; months keep the day where they can.",
    ),
    FunctionSpec::scalar("add_months", &[P::Date, P::Int], R::Date, "DATE n months later, the day cut to the length of the month."),
    FunctionSpec::scalar(
        "months_between",
        &[P::Timestamp, P::Timestamp, P::Boolean],
        R::Double,
        "Months from the second to the first, by 31-day months; whole if the days are equal or both last of their month; rounded to 8 decimals \
         unless the third is false.",
    )
    .optional(1),
    FunctionSpec::scalar("last_day", &[P::Date], R::Date, "Last day of the month."),
    FunctionSpec::scalar("next_day", &[P::Date, P::Text], R::Date, "The first later day with that name of weekday (SU, SUN, SUNDAY …); NULL for another name."),
    FunctionSpec::scalar("make_date", &[P::Int, P::Int, P::Int], R::Date, "DATE of year, month, day; invalid: NULL, with ANSI on [DATETIME_FIELD_OUT_OF_BOUNDS]."),
    FunctionSpec::scalar(
        "make_timestamp",
        &[P::Int, P::Int, P::Int, P::Int, P::Int, P::Double, P::Text],
        R::Timestamp,
        "TIMESTAMP of year, month, day, hour, minute, second (with fraction) and zone (default: session); invalid as make_date.",
    )
    .optional(1)
    .aliases(&["make_timestamp_ltz"]),
    FunctionSpec::scalar("$between_times", &[P::DateOrTimestamp, P::DateOrTimestamp], R::OfTypes(interval), "a - b of two times: days for two DATEs, else the difference of the wall clocks in session time."),
    FunctionSpec::scalar("$interval_times", &[P::Interval, P::Double], R::Argument(0), "An interval times a number, rounded half up to months and microseconds."),
    FunctionSpec::scalar("$interval_add", &[P::Interval, P::Interval], R::Argument(0), "The sum of two intervals."),
    FunctionSpec::scalar("$interval_compare", &[P::Interval, P::Interval], R::Int, "-1, 0 or 1; days have 24 hours. Months against days is [DATATYPE_MISMATCH]."),
    FunctionSpec::scalar("$interval_part", &[P::TextLiteral, P::Interval], R::Long, "year, month, day, hour, minute, second or microsecond (of the minute) of an interval."),
    FunctionSpec::scalar(
        "$time_sequence",
        &[P::DateOrTimestamp, P::DateOrTimestamp, P::Interval],
        R::ArrayOf(0),
        "sequence of DATEs or TIMESTAMPs, both ends of one type, the start plus 0, 1, 2 … steps.",
    ),
    FunctionSpec::scalar("$iso_weekday", &[P::DateOrTimestamp], R::Int, "Day of the week, 1 = Monday to 7 = Sunday."),
    FunctionSpec::scalar("$iso_year", &[P::DateOrTimestamp], R::Int, "The year that the ISO week belongs to."),
    FunctionSpec::scalar("$second_fraction", &[P::DateOrTimestamp], R::OfTypes(|_| DataType::Decimal128(8, 6)), "Second with its fraction, as EXTRACT gives it."),
    FunctionSpec::scalar(
        "make_interval",
        &[P::Int, P::Int, P::Int, P::Int, P::Int, P::Int, P::Double],
        R::OfTypes(interval),
        "INTERVAL of years, months, weeks, days, hours, minutes, seconds; what is left out is 0.",
    )
    .optional(7),
    FunctionSpec::scalar("make_dt_interval", &[P::Int, P::Int, P::Int, P::Double], R::OfTypes(interval), "INTERVAL of days, hours, minutes, seconds.").optional(4),
    FunctionSpec::scalar("make_ym_interval", &[P::Int, P::Int], R::OfTypes(interval), "INTERVAL of years and months.").optional(2),
    FunctionSpec::scalar(
        "convert_timezone",
        &[P::Text, P::Text, P::Any],
        R::OfTypes(|_| timestamp_ntz()),
        "convert_timezone([from, ]to, t): the wall clock t of one zone (default: the session's) as that of another, TIMESTAMP_NTZ.",
    ),
    FunctionSpec::scalar(
        "try_make_timestamp",
        &[P::Int, P::Int, P::Int, P::Int, P::Int, P::Double, P::Text],
        R::Timestamp,
        "As make_timestamp, invalid is always NULL.",
    )
    .optional(1),
    FunctionSpec::scalar(
        "window",
        &[P::Timestamp, P::Long, P::Long],
        R::Custom(|_, _| Ok(window_type())),
        "window(t, '5 minutes'[, slide[, start]]): the window struct<start, end> that holds t; with a slide below the size the row is there once for \
         each window (in GROUP BY, or in the items of a SELECT without it). Planning turns the interval texts into microseconds of size and start; windows are [start, end), aligned to the epoch + start. NULL for a NULL time.",
    ),
];

/// INTERVAL of months, days and time.
pub fn interval_type() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

fn interval(_types: &[DataType]) -> DataType {
    interval_type()
}

fn timestamp_ntz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// STRUCT<start: TIMESTAMP, end: TIMESTAMP>.
pub fn window_type() -> DataType {
    let field = |name: &str| Arc::new(Field::new(name, timestamp(), true));
    DataType::Struct(vec![field("start"), field("end")].into())
}
