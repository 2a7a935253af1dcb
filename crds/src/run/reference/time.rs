//! The forms in which a reference shows a time. All are in UTC.

use std::fmt::{self, Write};

use jiff::{Timestamp, tz::TimeZone};

/// A form of a time: the last segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// 1 = Monday … 7 = Sunday.
    IsoWeekday,
    /// `true` from Monday to Friday.
    IsWeekday,
    /// 2026-01-31
    IsoDate,
    /// 2026-01-31T02:00:00Z
    IsoDatetime,
    /// 2026
    Year,
    /// 1 … 12
    Month,
    /// 1 … 31
    Day,
    /// 0 … 23
    Hour,
    /// 0 … 59
    Minute,
    /// 0 … 59
    Second,
    /// Milliseconds since 1970.
    TimestampMs,
}

impl TimeForm {
    /// All forms, in the order of the reference.
    pub const ALL: [Self; 11] = [
        Self::IsoWeekday,
        Self::IsWeekday,
        Self::IsoDate,
        Self::IsoDatetime,
        Self::Year,
        Self::Month,
        Self::Day,
        Self::Hour,
        Self::Minute,
        Self::Second,
        Self::TimestampMs,
    ];

    /// The segment of a path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IsoWeekday => "iso_weekday",
            Self::IsWeekday => "is_weekday",
            Self::IsoDate => "iso_date",
            Self::IsoDatetime => "iso_datetime",
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
            Self::TimestampMs => "timestamp_ms",
        }
    }

    /// What it shows, with an example.
    pub const fn about(self) -> &'static str {
        match self {
            Self::IsoWeekday => "1 = Monday … 7 = Sunday",
            Self::IsWeekday => "`true` from Monday to Friday, else `false`",
            Self::IsoDate => "2026-01-31",
            Self::IsoDatetime => "2026-01-31T02:00:00Z",
            Self::Year => "2026",
            Self::Month => "1 … 12, no leading zero (as all that follow)",
            Self::Day => "1 … 31",
            Self::Hour => "0 … 23",
            Self::Minute | Self::Second => "0 … 59",
            Self::TimestampMs => "milliseconds since 1970",
        }
    }

    /// The form of a segment.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == word)
    }

    /// The text of a time.
    pub fn show(self, time: Timestamp) -> String {
        let at = time.to_zoned(TimeZone::UTC);
        let weekday = at.weekday().to_monday_one_offset();
        match self {
            Self::IsoWeekday => weekday.to_string(),
            Self::IsWeekday => (weekday <= 5).to_string(),
            Self::IsoDate => at.date().to_string(),
            Self::IsoDatetime => format!("{}T{:02}:{:02}:{:02}Z", at.date(), at.hour(), at.minute(), at.second()),
            Self::Year => at.year().to_string(),
            Self::Month => at.month().to_string(),
            Self::Day => at.day().to_string(),
            Self::Hour => at.hour().to_string(),
            Self::Minute => at.minute().to_string(),
            Self::Second => at.second().to_string(),
            Self::TimestampMs => time.as_millisecond().to_string(),
        }
    }

    /// The forms as rows of a table.
    pub(super) fn rows() -> String {
        Self::ALL.into_iter().fold(String::new(), |mut out, form| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "| `{form}` | {} |", form.about());
            out
        })
    }
}

impl fmt::Display for TimeForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
