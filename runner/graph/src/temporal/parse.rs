//! Text to dates and instants by the rules of Spark's casts, on bytes and without allocation.

use super::{DAY_US, SECOND_US, checked_days, zone::Zone};

/// A local date and time as read from text, with the zone that the text named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Microseconds of the local time since 1970-01-01T00:00.
    pub local_us: i64,
    /// The zone of the text, if it names one.
    pub zone: Option<Zone>,
}

impl LocalTime {
    /// The instant, where text without a zone means `session`.
    pub fn instant(self, session: Zone) -> Option<i64> {
        self.zone.unwrap_or(session).to_instant(self.local_us)
    }
}

struct Digits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Digits<'_> {
    /// A number of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let start = self.at;
        let mut value = 0i64;
        while let Some(digit) = self.bytes.get(self.at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            if self.at - start == most {
                return None;
            }
            value = value * 10 + i64::from(digit);
            self.at += 1;
        }
        (self.at - start >= least).then_some(value)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

fn date_part(digits: &mut Digits<'_>) -> Option<i64> {
    let sign = if digits.take(b'-') { -1 } else { 1 };
    if sign == 1 {
        digits.take(b'+');
    }
    let year = sign * digits.number(4, 6)?;
    let month = if digits.take(b'-') { digits.number(1, 2)? } else { return checked_days(year, 1, 1) };
    let day = if digits.take(b'-') { digits.number(1, 2)? } else { 1 };
    checked_days(year, month as u32, day as u32)
}

/// Microseconds within the day of `[h]h[:[m]m[:[s]s[.fraction]]]`; digits beyond microseconds are cut.
fn time_part(digits: &mut Digits<'_>) -> Option<i64> {
    let hour = digits.number(1, 2)?;
    let minute = if digits.take(b':') { digits.number(1, 2)? } else { 0 };
    let second = if digits.take(b':') { digits.number(1, 2)? } else { 0 };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut fraction = 0;
    if digits.take(b'.') {
        let mut unit = 100_000;
        while let Some(digit) = digits.rest().first().map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            fraction += i64::from(digit) * unit;
            unit /= 10;
            digits.at += 1;
        }
    }
    Some((hour * 3_600 + minute * 60 + second) * SECOND_US + fraction)
}

/// The usual shape `yyyy-MM-dd?HH:mm:ss`, read at fixed places.
fn fixed_shape(bytes: &[u8]) -> Option<i64> {
    let at = |index: usize| -> Option<i64> {
        let digit = bytes.get(index)?.wrapping_sub(b'0');
        (digit < 10).then_some(i64::from(digit))
    };
    let two = |index: usize| Some(at(index)? * 10 + at(index + 1)?);
    let separators = *bytes.get(4)? == b'-' && *bytes.get(7)? == b'-' && *bytes.get(13)? == b':' && *bytes.get(16)? == b':';
    if !separators || !matches!(bytes.get(10)?, b' ' | b'T') {
        return None;
    }
    let days = checked_days(two(0)? * 100 + two(2)?, two(5)? as u32, two(8)? as u32)?;
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    (hour < 24 && minute < 60 && second < 60).then_some(days * DAY_US + (hour * 3_600 + minute * 60 + second) * SECOND_US)
}

/// A date and time of text: `yyyy[-[m]m[-[d]d[( |T)[h]h[:[m]m[:[s]s[.fraction]]][zone]]]]`.
pub fn timestamp(text: &[u8]) -> Option<LocalTime> {
    let text = text.trim_ascii();
    if text.len() == 19
        && let Some(local_us) = fixed_shape(text)
    {
        return Some(LocalTime { local_us, zone: None });
    }
    let mut digits = Digits { bytes: text, at: 0 };
    let days = date_part(&mut digits)?;
    if digits.rest().is_empty() {
        return Some(LocalTime { local_us: days * DAY_US, zone: None });
    }
    if !digits.take(b'T') && !digits.take(b' ') {
        return None;
    }
    if digits.rest().is_empty() {
        return Some(LocalTime { local_us: days * DAY_US, zone: None });
    }
    let local_us = days * DAY_US + time_part(&mut digits)?;
    let zone = match digits.rest() {
        b"" => None,
        b"Z" => Some(super::zone::UTC),
        rest => Some(Zone::parse(std::str::from_utf8(rest).ok()?)?),
    };
    Some(LocalTime { local_us, zone })
}

/// Days since 1970-01-01 of text: `yyyy[-[m]m[-[d]d]]`, with anything after a blank or a `T`.
pub fn date(text: &[u8]) -> Option<i32> {
    let text = text.trim_ascii();
    let mut digits = Digits { bytes: text, at: 0 };
    let days = date_part(&mut digits)?;
    let rest = digits.rest();
    (rest.is_empty() || matches!(rest.first(), Some(b' ' | b'T'))).then(|| i32::try_from(days).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::zone::UTC;
    use super::*;

    fn instant(text: &str) -> Option<i64> {
        timestamp(text.as_bytes()).and_then(|time| time.instant(UTC))
    }

    #[test]
    fn timestamps_of_the_examples() {
        assert_eq!(instant("2019-12-01T11:57:31.000+0000"), Some(1_575_201_451_000_000));
        assert_eq!(instant("2021-11-18 17:12:42.335"), Some(1_637_255_562_335_000));
        assert_eq!(instant("2021-11-12 09:10:00"), Some(1_636_708_200_000_000));
        assert_eq!(instant("2020-03-04T05:06:07.1234567Z"), Some(1_583_298_367_123_456));
        assert_eq!(instant("2020-1-2 3:4:5 Europe/Paris"), Some(1_577_930_645_000_000));
        assert_eq!(instant("2020-01-01"), Some(1_577_836_800_000_000));
        assert_eq!(instant("2020"), Some(1_577_836_800_000_000));
        assert_eq!(instant("2020-01-01 10:00:00-08:00"), Some(1_577_901_600_000_000));
    }

    #[test]
    fn text_that_is_no_timestamp() {
        for text in
            ["", "x", "2020-13-01", "2020-02-30 00:00:00", "2020-01-01 24:00:00", "2020-01-01X", "2020-01-01 10:00:00 nowhere", "12"]
        {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(date(b"2020-01-02"), Some(18_263));
        assert_eq!(date(b" 2020-1-2T10:00"), Some(18_263));
        assert_eq!(date(b"01-05-1964"), None);
        assert_eq!(date(b"2021-02-29"), None);
    }
}
