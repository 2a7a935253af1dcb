//! Java's date patterns (`yyyy-MM-dd HH:mm:ss`), compiled once and used for both directions.

use std::fmt::Write;

use floe_graph::function::date_pattern::{Item, PatternError, items};

use super::{DAY_US, SECOND_US, checked_days, civil_from_days, days_from_civil, iso_weekday, parse::LocalTime, zone::Zone};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    items: Vec<Item>,
}

/// An instant in a zone, split for formatting.
struct Parts {
    year: i64,
    month: u32,
    day: u32,
    days: i64,
    second_of_day: i64,
    micros: i64,
    zone: Zone,
    offset: i64,
}

/// What was parsed so far.
#[derive(Clone, Default)]
struct Found {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    half_hour: Option<i64>,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    before_christ: bool,
    zone: Option<Zone>,
}

impl Pattern {
    /// Compiles a pattern; letters that Spark does not know are refused by name.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        items(pattern).map(|items| Self { items })
    }

    /// Writes an instant as it reads in `zone`.
    pub fn format_into(&self, instant_us: i64, zone: Zone, target: &mut String) {
        let local = zone.to_local(instant_us);
        let days = local.div_euclid(DAY_US);
        let within = local.rem_euclid(DAY_US);
        let (year, month, day) = civil_from_days(days);
        let parts = Parts {
            year,
            month,
            day,
            days,
            second_of_day: within / SECOND_US,
            micros: within % SECOND_US,
            zone,
            offset: zone.offset_seconds(instant_us),
        };
        format_items(&self.items, &parts, target);
    }

    /// Reads a local time. Fields that the pattern lacks are those of 1970-01-01 00:00:00.
    pub fn parse(&self, text: &str) -> Option<LocalTime> {
        let mut found = Found::default();
        let rest = parse_items(&self.items, text, &mut found)?;
        if rest.is_empty() { found.resolve() } else { None }
    }

    /// Reads a date.
    pub fn parse_date(&self, text: &str) -> Option<i32> {
        self.parse(text).and_then(|time| i32::try_from(time.local_us.div_euclid(DAY_US)).ok())
    }
}

fn format_items(items: &[Item], parts: &Parts, target: &mut String) {
    for item in items {
        match item {
            Item::Literal(text) => target.push_str(text),
            Item::Optional(items) => format_items(items, parts, target),
            Item::Field { letter, count } => format_field(*letter, *count, parts, target),
        }
    }
}

fn number(target: &mut String, value: i64, width: usize) {
    // Writing into a string cannot fail.
    let _ = write!(target, "{value:0width$}");
}

fn name(target: &mut String, names: &[&str], index: u32, count: usize) {
    let full = names.get(index as usize).copied().unwrap_or_default();
    target.push_str(if count >= 4 { full } else { full.get(..3).unwrap_or(full) });
}

fn format_field(letter: char, count: usize, parts: &Parts, target: &mut String) {
    let hour = parts.second_of_day / 3_600;
    let quarter = i64::from((parts.month - 1) / 3 + 1);
    match letter {
        'G' => target.push_str(match (parts.year > 0, count) {
            (true, 4) => "Anno Domini",
            (false, 4) => "Before Christ",
            (true, _) => "AD",
            (false, _) => "BC",
        }),
        'y' | 'u' => {
            let year = if letter == 'y' && parts.year <= 0 { 1 - parts.year } else { parts.year };
            if count == 2 { number(target, year.rem_euclid(100), 2) } else { number(target, year, count) }
        }
        'M' | 'L' if count >= 3 => name(target, &MONTHS, parts.month - 1, count),
        'M' | 'L' => number(target, i64::from(parts.month), count),
        'd' => number(target, i64::from(parts.day), count),
        'D' => number(target, parts.days - days_from_civil(parts.year, 1, 1) + 1, count),
        'E' => name(target, &WEEKDAYS, iso_weekday(parts.days) - 1, count),
        'Q' | 'q' if count == 3 => target.extend(["Q", &quarter.to_string()]),
        'Q' | 'q' if count == 4 => {
            let ordinal = ["1st", "2nd", "3rd", "4th"].get(quarter as usize - 1).copied().unwrap_or_default();
            target.push_str(ordinal);
            target.push_str(" quarter");
        }
        'Q' | 'q' => number(target, quarter, count),
        'a' => target.push_str(if hour < 12 { "AM" } else { "PM" }),
        'H' => number(target, hour, count),
        'k' => number(target, if hour == 0 { 24 } else { hour }, count),
        'K' => number(target, hour % 12, count),
        'h' => number(target, if hour % 12 == 0 { 12 } else { hour % 12 }, count),
        'm' => number(target, parts.second_of_day / 60 % 60, count),
        's' => number(target, parts.second_of_day % 60, count),
        'S' => {
            let nanos = format!("{:09}", parts.micros * 1_000);
            target.push_str(nanos.get(..count).unwrap_or(&nanos));
        }
        _ => format_zone(letter, count, parts, target),
    }
}

fn format_zone(letter: char, count: usize, parts: &Parts, target: &mut String) {
    let region = match parts.zone {
        Zone::Region(region) => region.name().to_string(),
        Zone::Fixed(0) => "UTC".to_string(),
        Zone::Fixed(_) => String::new(),
    };
    match (letter, count) {
        ('X', _) | ('Z', 5) if parts.offset == 0 => target.push('Z'),
        ('V' | 'z', _) if !region.is_empty() => target.push_str(&region),
        ('O', 1) if parts.offset != 0 => {
            let hours = offset_text(parts.offset, true, true).replacen('0', "", usize::from(parts.offset.abs() < 36_000));
            target.extend(["GMT", hours.strip_suffix(":00").unwrap_or(&hours)]);
        }
        ('O', _) | ('Z', 4) => {
            target.push_str("GMT");
            if parts.offset != 0 {
                target.push_str(&offset_text(parts.offset, true, true));
            }
        }
        ('X' | 'x', 1) => {
            let offset = offset_text(parts.offset, false, true);
            target.push_str(offset.get(..3).filter(|_| offset.ends_with("00")).unwrap_or(&offset));
        }
        ('X' | 'x', 2 | 4) | ('Z', 1..=3) => target.push_str(&offset_text(parts.offset, false, true)),
        _ => target.push_str(&offset_text(parts.offset, true, true)),
    }
}

fn offset_text(seconds: i64, colon: bool, minutes: bool) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let absolute = seconds.abs();
    let separator = if colon { ":" } else { "" };
    let minute = if minutes { format!("{separator}{:02}", absolute / 60 % 60) } else { String::new() };
    format!("{sign}{:02}{minute}", absolute / 3_600)
}

fn parse_items<'a>(items: &[Item], text: &'a str, found: &mut Found) -> Option<&'a str> {
    let mut rest = text;
    for (index, item) in items.iter().enumerate() {
        let next_is_digits = matches!(items.get(index + 1), Some(Item::Field { letter, count }) if is_numeric(*letter, *count));
        rest = match item {
            Item::Literal(literal) => strip_literal(rest, literal)?,
            Item::Optional(items) => {
                let mut attempt = found.clone();
                match parse_items(items, rest, &mut attempt) {
                    Some(after) => {
                        *found = attempt;
                        after
                    }
                    None => rest,
                }
            }
            Item::Field { letter, count } => parse_field((*letter, *count), rest, next_is_digits, found)?,
        };
    }
    Some(rest)
}

fn strip_literal<'a>(text: &'a str, literal: &str) -> Option<&'a str> {
    let head = text.get(..literal.len())?;
    if head.eq_ignore_ascii_case(literal) { text.get(literal.len()..) } else { None }
}

fn is_numeric(letter: char, count: usize) -> bool {
    match letter {
        'M' | 'L' | 'Q' | 'q' => count <= 2,
        letter => "yudDHhkKmsS".contains(letter),
    }
}

/// Digits that a field may have: fewest and most.
fn widths(letter: char, count: usize, adjacent: bool) -> (usize, usize) {
    match (letter, count) {
        ('S', _) => (1, count),
        ('y' | 'u', 2) => (2, 2),
        (_, 1) if adjacent => (1, 2),
        (_, 1) => (1, 9),
        ('y' | 'u', _) if !adjacent => (count, 9),
        _ => (count, count),
    }
}

fn parse_field<'a>(field: (char, usize), text: &'a str, adjacent: bool, found: &mut Found) -> Option<&'a str> {
    let (letter, count) = field;
    if !is_numeric(letter, count) {
        return parse_words(letter, count, text, found);
    }
    let negative = matches!(letter, 'y' | 'u') && text.starts_with('-');
    let body = if negative { text.get(1..)? } else { text };
    let (least, most) = widths(letter, count, adjacent);
    let length = body.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if length < least {
        return None;
    }
    let digits = body.get(..length)?;
    let value: i64 = digits.parse().ok()?;
    match letter {
        'y' | 'u' if count == 2 => found.year = Some(2_000 + value),
        'y' | 'u' => found.year = Some(if negative { -value } else { value }),
        'M' | 'L' => found.month = Some(value),
        'd' => found.day = Some(value),
        'D' => found.day_of_year = Some(value),
        'H' => found.hour = value,
        'k' => found.hour = if value == 24 { 0 } else { value },
        'h' | 'K' => found.half_hour = Some(value),
        'm' => found.minute = value,
        's' => found.second = value,
        'S' => found.micros = format!("{digits:0<9}").get(..6)?.parse().ok()?,
        _ => {}
    }
    body.get(length..)
}

fn parse_words<'a>(letter: char, count: usize, text: &'a str, found: &mut Found) -> Option<&'a str> {
    match letter {
        'M' | 'L' => {
            let (month, rest) = strip_name(text, &MONTHS, count)?;
            found.month = Some(month + 1);
            Some(rest)
        }
        'E' => strip_name(text, &WEEKDAYS, count).map(|(_, rest)| rest),
        'a' => {
            let (index, rest) = strip_name(text, &["AM", "PM"], 4)?;
            found.afternoon = Some(index == 1);
            Some(rest)
        }
        'G' => {
            let (index, rest) = strip_name(text, &["AD", "BC"], 4)?;
            found.before_christ = index == 1;
            Some(rest)
        }
        'V' | 'z' | 'O' | 'X' | 'x' | 'Z' => {
            let of_zone = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | ':' | '/' | '_');
            let end = text.find(|letter| !of_zone(letter)).unwrap_or(text.len());
            found.zone = Some(Zone::parse(text.get(..end)?)?);
            text.get(end..)
        }
        _ => None,
    }
}

fn strip_name<'a>(text: &'a str, names: &[&str], count: usize) -> Option<(i64, &'a str)> {
    names.iter().enumerate().find_map(|(index, name)| {
        let wanted = if count >= 4 { name } else { name.get(..3).unwrap_or(name) };
        strip_literal(text, wanted).map(|rest| (index as i64, rest))
    })
}

impl Found {
    fn resolve(self) -> Option<LocalTime> {
        let year = match self.year.unwrap_or(1970) {
            year if self.before_christ => 1 - year,
            year => year,
        };
        let days = match self.day_of_year {
            Some(day) if (1..=366).contains(&day) => checked_days(year, 1, 1)? + day - 1,
            Some(_) => return None,
            None => checked_days(year, u32::try_from(self.month.unwrap_or(1)).ok()?, u32::try_from(self.day.unwrap_or(1)).ok()?)?,
        };
        let hour = match self.half_hour {
            Some(hour) if (0..=12).contains(&hour) => hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 },
            Some(_) => return None,
            None => self.hour,
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let second = hour * 3_600 + self.minute * 60 + self.second;
        Some(LocalTime { local_us: days * DAY_US + second * SECOND_US + self.micros, zone: self.zone })
    }
}

#[cfg(test)]
mod tests {
    use super::super::zone::UTC;
    use super::*;

    fn format(pattern: &str, instant_us: i64) -> String {
        let mut text = String::new();
        Pattern::new(pattern).expect(pattern).format_into(instant_us, UTC, &mut text);
        text
    }

    const NOVEMBER: i64 = 1_637_255_562_335_000;

    #[test]
    fn formats_as_java() {
        assert_eq!(format("yyyy-MM", NOVEMBER), "2021-11");
        assert_eq!(format("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", NOVEMBER), "2021-11-18T17:12:42.335Z");
        assert_eq!(format("EEE, d MMM yy h:mm a", NOVEMBER), "Thu, 18 Nov 21 5:12 PM");
        assert_eq!(format("EEEE MMMM D Q QQQ", NOVEMBER), "Thursday November 322 4 Q4");
        assert_eq!(format("xxx Z x ''", NOVEMBER), "+00:00 +0000 +00 '");
        assert_eq!(format("O OOOO GGGG", NOVEMBER), "GMT GMT Anno Domini");
    }

    #[test]
    fn parses_as_java() {
        let parse = |pattern: &str, text: &str| Pattern::new(pattern).expect(pattern).parse(text).and_then(|time| time.instant(UTC));
        assert_eq!(parse("MM/dd/yyyy", "01/05/1964"), Some(-189_043_200_000_000));
        assert_eq!(parse("MM/dd/yyyy", "01-05-1964"), None);
        assert_eq!(parse("MM/dd/yyyy", "1/5/1964"), None);
        assert_eq!(parse("M/d/yyyy", "1/5/1964"), Some(-189_043_200_000_000));
        assert_eq!(parse("yyyyMMdd", "20211118"), Some(1_637_193_600_000_000));
        assert_eq!(parse("yyyy-MM-dd HH:mm:ss[.SSS]", "2021-11-18 17:12:42.335"), Some(NOVEMBER));
        assert_eq!(parse("yyyy-MM-dd HH:mm:ss[.SSS]", "2021-11-18 17:12:42"), Some(1_637_255_562_000_000));
        assert_eq!(parse("dd MMM yyyy hh:mm a", "18 nov 2021 05:12 PM"), Some(1_637_255_520_000_000));
        assert_eq!(parse("yyyy-MM-dd'T'HH:mm:ssX", "2021-11-18T17:12:42+01"), Some(1_637_251_962_000_000));
        assert_eq!(parse("yyyy-MM-dd", "2021-02-30"), None);
        assert_eq!(parse("yyyy-MM-dd", "2021-02-03x"), None);
    }

    #[test]
    fn unknown_letters_are_refused() {
        let error = Pattern::new("YYYY-MM-dd").expect_err("week years");
        assert_eq!(
            error.to_string(),
            "invalid datetime pattern 'YYYY-MM-dd': letter 'Y' is not supported; known are GyuMLdDEQqaHhkKmsSVzOXxZ"
        );
        assert!(Pattern::new("yyyy[").is_err());
        assert!(Pattern::new("'x").is_err());
    }
}
