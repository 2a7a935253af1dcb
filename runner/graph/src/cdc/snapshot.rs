//! Snapshots in a directory: the time or the number in the name of each.

use datafusion_common::{
    ScalarValue,
    arrow::{compute::kernels::cast_utils::string_to_timestamp_nanos, datatypes::DataType},
};

use crate::function::timestamp_type;

/// The sequence of the snapshot that is called `name`, a direct sub-directory or file: the only date or timestamp in it (UTC, as TIMESTAMP),
/// else the only whole number (BIGINT). `None` if there is none, or more than one.
///
/// Written as `2024-01-31`, `2024_01_31`, `20240131`, each with an optional time: `T10:30:00`, `_10-30-00`, `103000`, parts of a second.
pub fn snapshot_value(name: &str) -> Option<ScalarValue> {
    let runs = digit_runs(name);
    let (mut times, mut numbers) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < runs.len() {
        if let Some((micros, count)) = time_at(&runs[at..]) {
            times.push(micros);
            at += count;
        } else {
            numbers.push(runs[at].digits);
            at += 1;
        }
    }
    match (times.as_slice(), numbers.as_slice()) {
        ([micros], _) => Some(ScalarValue::TimestampMicrosecond(Some(*micros), Some("UTC".into()))),
        ([], [number]) => number.parse().ok().map(|number| ScalarValue::Int64(Some(number))),
        _ => None,
    }
}

/// The type of the sequence of snapshots with these names: that of a number if the names that have one have a number, else TIMESTAMP.
pub fn snapshot_type<'n>(names: impl Iterator<Item = &'n str>) -> DataType {
    names.filter_map(snapshot_value).map(|value| value.data_type()).next().unwrap_or_else(timestamp_type)
}

/// Digits, and what stands between them and the digits before.
struct Run<'n> {
    before: &'n str,
    digits: &'n str,
}

fn digit_runs(name: &str) -> Vec<Run<'_>> {
    let mut runs = Vec::new();
    let mut rest = name;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[start..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |length| start + length);
        runs.push(Run { before: &rest[..start], digits: &rest[start..end] });
        rest = &rest[end..];
    }
    runs
}

/// The time that the first runs are, in microseconds, and how many they are.
fn time_at(runs: &[Run<'_>]) -> Option<(i64, usize)> {
    let (date, mut count) = date_at(runs)?;
    let rest = &runs[count..];
    let mut time = "00:00:00".to_string();
    if runs[0].digits.len() == 14 {
        time = clock(&runs[0].digits[8..]);
    } else if let [one, ..] = rest
        && one.digits.len() == 6
        && ["T", "_", "-", " "].contains(&one.before)
    {
        (time, count) = (clock(one.digits), count + 1);
    } else if let [hour, minute, second, ..] = rest
        && ["T", "_", "-", " "].contains(&hour.before)
        && [minute, second].iter().all(|part| [":", "-", "_"].contains(&part.before))
        && [hour, minute, second].iter().all(|part| part.digits.len() == 2)
    {
        (time, count) = (format!("{}:{}:{}", hour.digits, minute.digits, second.digits), count + 3);
    }
    if let Some(fraction) = runs.get(count)
        && count > 0
        && time != "00:00:00"
        && fraction.before == "."
        && fraction.digits.len() <= 6
    {
        time = format!("{time}.{}", fraction.digits);
        count += 1;
    }
    let nanos = string_to_timestamp_nanos(&format!("{date}T{time}Z")).ok()?;
    Some((nanos / 1000, count))
}

/// The date that the first runs are, as `yyyy-MM-dd`, and how many they are.
fn date_at(runs: &[Run<'_>]) -> Option<(String, usize)> {
    match runs {
        [one, ..] if matches!(one.digits.len(), 8 | 14) => {
            let digits = one.digits;
            Some((format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..8]), 1))
        }
        [year, month, day, ..]
            if year.digits.len() == 4 && [month, day].iter().all(|part| part.digits.len() == 2 && ["-", "_"].contains(&part.before)) =>
        {
            Some((format!("{}-{}-{}", year.digits, month.digits, day.digits), 3))
        }
        _ => None,
    }
}

fn clock(digits: &str) -> String {
    format!("{}:{}:{}", &digits[..2], &digits[2..4], &digits[4..6])
}
