//! The values that a key takes, and what is wrong with one that it does not take.

use std::time::Duration;

use datafusion_common::arrow::array::timezone::Tz;

use crate::analysis::parse_interval;

/// The values of one key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Values {
    /// Anything.
    Text,
    /// `true` or `false`.
    Boolean,
    /// Whole numbers from the first to the last; what a special one means.
    Whole(i64, i64, &'static str),
    /// `10 seconds`, `interval 30 days`; above zero, without months and years.
    Duration,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A region or an offset.
    TimeZone,
}

impl Values {
    /// What to write instead, if the key does not take `value`. Letter case has no meaning.
    pub fn refuse(self, value: &str) -> Option<String> {
        let value = value.trim();
        let is = |word: &&str| word.eq_ignore_ascii_case(value);
        let (is_right, allowed) = match self {
            Self::Text => (true, String::new()),
            Self::Boolean => (["true", "false"].iter().any(is), "use true or false".to_string()),
            Self::Whole(first, last, meaning) => {
                (value.parse().is_ok_and(|number: i64| (first..=last).contains(&number)), whole(first, last, meaning))
            }
            Self::Duration => (length_of_time(value).is_some(), "use a length of time such as '30 seconds' or '7 days'".to_string()),
            Self::OneOf(words) => (words.iter().any(is), format!("use {}", one_of(words))),
            Self::TimeZone => (is_time_zone(value), "use a region such as Europe/Berlin, or an offset such as +02:00".to_string()),
        };
        (!is_right).then_some(allowed)
    }
}

fn whole(first: i64, last: i64, meaning: &str) -> String {
    let bounds = if last == MOST { format!("from {first} on") } else { format!("from {first} to {last}") };
    format!("use a whole number {bounds}{meaning}")
}

/// Stands for no upper bound of its own.
pub(super) const MOST: i64 = i32::MAX as i64;

fn one_of(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

const SECONDS_PER_DAY: u64 = 86_400;

/// `10 seconds`, `interval 30 days`: a length of time above zero, without months and years.
pub fn length_of_time(value: &str) -> Option<Duration> {
    let lower = value.to_lowercase();
    let text = lower.strip_prefix("interval").unwrap_or(&lower);
    let found = parse_interval(text.trim().trim_matches('\'')).filter(|found| found.months == 0)?;
    let (days, nanoseconds) = (u64::try_from(found.days).ok()?, u64::try_from(found.nanoseconds).ok()?);
    Some(Duration::from_secs(days * SECONDS_PER_DAY) + Duration::from_nanos(nanoseconds)).filter(|length| !length.is_zero())
}

/// `Z`, `UTC`, `GMT+1`, `+01:00`, `+0100`, `-8`, `Europe/Paris`.
fn is_time_zone(value: &str) -> bool {
    if ["Z", "UTC", "GMT", "UT"].contains(&value) {
        return true;
    }
    let offset = ["UTC", "GMT", "UT"].iter().find_map(|prefix| value.strip_prefix(prefix)).unwrap_or(value);
    match offset.strip_prefix(['+', '-']) {
        Some(digits) => {
            let parts: Vec<&str> = digits.split(':').collect();
            let number = |text: &str, length: usize, most: u32| {
                text.len() <= length && text.chars().all(|c| c.is_ascii_digit()) && text.parse().is_ok_and(|number: u32| number <= most)
            };
            match parts.as_slice() {
                [together] if together.len() == 4 && together.is_ascii() => number(&together[..2], 2, 18) && number(&together[2..], 2, 59),
                [hours] => number(hours, 2, 18),
                [hours, minutes] => number(hours, 2, 18) && minutes.len() == 2 && number(minutes, 2, 59),
                _ => false,
            }
        }
        None => value.parse::<Tz>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_a_key_takes() {
        let whole = Values::Whole(-1, MOST, "; -1 means without a limit");
        assert_eq!(whole.refuse("abc").unwrap(), "use a whole number from -1 on; -1 means without a limit");
        assert!(["-2", "1.5", "", "99999999999"].iter().all(|value| whole.refuse(value).is_some()));
        assert!(["-1", "0", " 7 "].iter().all(|value| whole.refuse(value).is_none()));
        assert_eq!(Values::Whole(0, 100, "").refuse("101").unwrap(), "use a whole number from 0 to 100");
        assert_eq!(Values::OneOf(&["resolve", "fail"]).refuse("x").unwrap(), "use resolve or fail");
        assert!(Values::OneOf(&["resolve", "fail"]).refuse("FAIL").is_none());
        assert!(Values::Boolean.refuse("True").is_none());
        assert!(Values::Boolean.refuse("yes").is_some());
    }

    #[test]
    fn lengths_of_time_and_zones() {
        assert!(
            ["10 seconds", "1 minute", "interval 30 days", "INTERVAL '1' DAY"]
                .iter()
                .all(|value| length_of_time(&value.replace("' ", " ")).is_some())
        );
        assert!(["10", "soon", "0 seconds", "-1 day", "1 month"].iter().all(|value| length_of_time(value).is_none()));
        assert_eq!(length_of_time("1 day 90 seconds"), Some(Duration::from_secs(86_490)));
        assert!(["UTC", "Z", "Europe/Berlin", "+02:00", "-8", "GMT+1", "+0530"].iter().all(|value| is_time_zone(value)));
        assert!(["Europe/Berlim", "+99:00", "", "CETX", "+1:2:3"].iter().all(|value| !is_time_zone(value)));
    }
}
