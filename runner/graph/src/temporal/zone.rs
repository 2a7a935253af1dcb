//! Time zones: offsets as text, and the step from a local time to an instant and back.

use chrono::{NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::SECOND_US;

/// A zone of a text: a fixed offset in seconds, or a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Seconds ahead of UTC.
    Fixed(i64),
    /// A region with its clock changes.
    Region(Tz),
}

/// UTC.
pub const UTC: Zone = Zone::Fixed(0);

impl Zone {
    /// `Z`, `UTC`, `GMT+1`, `+01:00`, `+0100`, `-8`, `Europe/Paris`; nothing if it is none of them.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if matches!(text, "Z" | "UTC" | "GMT" | "UT" | "Etc/UTC") {
            return Some(UTC);
        }
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        if offset.starts_with(['+', '-']) {
            return parse_offset(offset).map(Zone::Fixed);
        }
        text.parse().ok().map(Zone::Region)
    }

    /// The instant of a local time, in microseconds. A time that a clock change skips moves forward by the gap; of two, the earlier counts.
    pub fn to_instant(self, local_us: i64) -> Option<i64> {
        match self {
            Zone::Fixed(seconds) => local_us.checked_sub(seconds * SECOND_US),
            Zone::Region(region) => {
                let local = naive(local_us)?;
                let found = region.offset_from_local_datetime(&local).earliest();
                let offset = match found {
                    Some(offset) => offset,
                    None => region.offset_from_local_datetime(&(local - chrono::TimeDelta::hours(3))).earliest()?,
                };
                local_us.checked_sub(i64::from(offset.fix().local_minus_utc()) * SECOND_US)
            }
        }
    }

    /// The local time of an instant, in microseconds.
    pub fn to_local(self, instant_us: i64) -> i64 {
        instant_us.saturating_add(self.offset_seconds(instant_us) * SECOND_US)
    }

    /// Seconds that local time is ahead of UTC at an instant.
    pub fn offset_seconds(self, instant_us: i64) -> i64 {
        match self {
            Zone::Fixed(seconds) => seconds,
            Zone::Region(region) => {
                naive(instant_us).map_or(0, |utc| i64::from(region.offset_from_utc_datetime(&utc).fix().local_minus_utc()))
            }
        }
    }
}

fn naive(microseconds: i64) -> Option<NaiveDateTime> {
    chrono::DateTime::from_timestamp_micros(microseconds).map(|time| time.naive_utc())
}

/// `+h`, `+hh`, `+hh:mm`, `+h:mm`, `+hhmm`, with seconds alike; at most 18 hours.
fn parse_offset(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let body = text.get(1..)?;
    let parts: Vec<&str> = if body.contains(':') {
        body.split(':').collect()
    } else {
        match body.len() {
            1 | 2 => vec![body],
            4 => vec![body.get(..2)?, body.get(2..)?],
            6 => vec![body.get(..2)?, body.get(2..4)?, body.get(4..)?],
            _ => return None,
        }
    };
    if parts.len() > 3 {
        return None;
    }
    let mut seconds = 0;
    for (part, (unit, most)) in parts.iter().zip([(3_600, 18), (60, 59), (1, 59)]) {
        let digits = !part.is_empty() && part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let value: i64 = if digits { part.parse().ok()? } else { return None };
        if value > most {
            return None;
        }
        seconds += value * unit;
    }
    (seconds <= 18 * 3_600).then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_of_text() {
        assert_eq!(Zone::parse("Z"), Some(UTC));
        assert_eq!(Zone::parse("+0000"), Some(UTC));
        assert_eq!(Zone::parse("-08:30"), Some(Zone::Fixed(-30_600)));
        assert_eq!(Zone::parse("GMT+1"), Some(Zone::Fixed(3_600)));
        assert_eq!(Zone::parse("Europe/Paris"), Some(Zone::Region(chrono_tz::Europe::Paris)));
        assert_eq!(Zone::parse("+99:00"), None);
        assert_eq!(Zone::parse("Mars/Olympus"), None);
    }

    #[test]
    fn local_times_become_instants() {
        let paris = Zone::Region(chrono_tz::Europe::Paris);
        let noon = 12 * 3_600 * SECOND_US;
        assert_eq!(paris.to_instant(noon), Some(noon - 3_600 * SECOND_US));
        assert_eq!(paris.to_local(noon), noon + 3_600 * SECOND_US);
    }
}
