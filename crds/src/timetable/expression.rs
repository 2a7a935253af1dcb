//! The text of a cron expression: what it allows, and where it is wrong. Both forms become one pattern of civil times.

use std::collections::BTreeSet;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{civil::DateTime, tz::TimeZone};

/// The years that a schedule knows.
const YEARS: (u16, u16) = (1970, 2099);
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const NICKNAMES: [(&str, &str); 5] =
    [("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@weekly", "0 0 * * 0"), ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *")];

/// Which of the two forms a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Five fields, days of week from Sunday = 0.
    Cron,
    /// Six or seven fields, days of week from Sunday = 1.
    Quartz,
}

/// Where a text is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Character, counted from 1.
    pub at: usize,
    /// What is wrong.
    pub problem: String,
}

/// Civil times that repeat.
#[derive(Clone, Debug)]
pub struct Expression {
    cron: Cron,
    /// No wildcard and no step in seconds, minutes and hours: these times belong to a day, not to a distance.
    pub has_fixed_times: bool,
}

impl Expression {
    /// Reads a text.
    pub fn read(form: Form, text: &str) -> Result<Self, Unreadable> {
        let fields = words(text);
        let (fields, nickname) = match (form, fields.as_slice()) {
            (Form::Cron, [only]) if only.text.starts_with('@') => (nickname(only)?, true),
            _ => (fields, false),
        };
        let table = match form {
            Form::Cron => CRON,
            Form::Quartz => QUARTZ,
        };
        check_count(form, text, &fields)?;
        if form == Form::Quartz {
            check_days(&fields)?;
        }
        let mut parts: Vec<String> = table.iter().zip(&fields).map(|(field, word)| field.read(form, word)).collect::<Result<_, _>>()?;
        let times = fields.iter().take(if form == Form::Cron { 2 } else { 3 });
        let has_fixed_times = !times.into_iter().any(|word| word.text.contains(['*', '/']));
        if form == Form::Cron {
            parts.insert(0, "0".to_string());
        }
        if parts.len() == 6 {
            parts.push(format!("{}-{}", YEARS.0, YEARS.1));
        }
        let at = if nickname { 1 } else { fields.first().map_or(1, |word| word.at) };
        let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).build();
        let cron = parser.parse(&parts.join(" ")).map_err(|error| Unreadable { at, problem: error.to_string() })?;
        Ok(Self { cron, has_fixed_times })
    }

    /// The first civil time after `civil`, or not before it.
    pub fn next(&self, civil: DateTime, inclusive: bool) -> Option<DateTime> {
        // UTC has every civil time once: what a zone makes of it is decided elsewhere.
        let from = civil.to_zoned(TimeZone::UTC).ok()?;
        self.cron.find_next_occurrence(&from, inclusive).ok().map(|next| next.datetime())
    }
}

/// A word of the text.
#[derive(Clone, Copy)]
struct Word<'a> {
    at: usize,
    text: &'a str,
}

impl Word<'_> {
    fn wrong<T>(&self, problem: impl Into<String>) -> Result<T, Unreadable> {
        Err(Unreadable { at: self.at, problem: problem.into() })
    }
}

fn words(text: &str) -> Vec<Word<'_>> {
    split(Word { at: 1, text }, char::is_whitespace).into_iter().filter(|word| !word.text.is_empty()).collect()
}

/// The parts of a word between separators, each with its place.
fn split(word: Word<'_>, is_separator: impl Fn(char) -> bool) -> Vec<Word<'_>> {
    let (mut at, mut parts) = (word.at, Vec::new());
    for text in word.text.split(is_separator) {
        parts.push(Word { at, text });
        at += text.chars().count() + 1;
    }
    parts
}

fn nickname(word: &Word<'_>) -> Result<Vec<Word<'static>>, Unreadable> {
    match NICKNAMES.iter().find(|(name, _)| *name == word.text) {
        Some((_, text)) => Ok(words(text)),
        None => word.wrong(format!("known are {}", NICKNAMES.map(|(name, _)| name).join(", "))),
    }
}

fn check_count(form: Form, text: &str, fields: &[Word<'_>]) -> Result<(), Unreadable> {
    let count = fields.len();
    let (most, wanted) = match form {
        Form::Cron => (5, "5: minute, hour, day of month, month, day of week"),
        Form::Quartz => (7, "6 or 7: second, minute, hour, day of month, month, day of week, year"),
    };
    let least = most.min(6);
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let at = fields.get(most).map_or(text.trim_end().chars().count() + 1, |word| word.at);
    Err(Unreadable { at, problem: format!("it has {count} fields, not {wanted}") })
}

fn check_days(fields: &[Word<'_>]) -> Result<(), Unreadable> {
    match fields {
        [_, _, _, of_month, _, of_week, ..] if (of_month.text == "?") == (of_week.text == "?") => {
            of_month.wrong("exactly one of day of month and day of week is ?")
        }
        _ => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Time,
    DayOfMonth,
    DayOfWeek,
    Month,
    Year,
}

struct Field {
    name: &'static str,
    least: u16,
    most: u16,
    unit: Unit,
}

const CRON: &[Field] = &[
    Field { name: "minute", least: 0, most: 59, unit: Unit::Time },
    Field { name: "hour", least: 0, most: 23, unit: Unit::Time },
    Field { name: "day of month", least: 1, most: 31, unit: Unit::DayOfMonth },
    Field { name: "month", least: 1, most: 12, unit: Unit::Month },
    Field { name: "day of week", least: 0, most: 7, unit: Unit::DayOfWeek },
];

const QUARTZ: &[Field] = &[
    Field { name: "second", least: 0, most: 59, unit: Unit::Time },
    Field { name: "minute", least: 0, most: 59, unit: Unit::Time },
    Field { name: "hour", least: 0, most: 23, unit: Unit::Time },
    Field { name: "day of month", least: 1, most: 31, unit: Unit::DayOfMonth },
    Field { name: "month", least: 1, most: 12, unit: Unit::Month },
    Field { name: "day of week", least: 1, most: 7, unit: Unit::DayOfWeek },
    Field { name: "year", least: YEARS.0, most: YEARS.1, unit: Unit::Year },
];

impl Field {
    /// The field as the parser of patterns wants it: a star, numbers, or one special day; Sunday is 0.
    fn read(&self, form: Form, word: &Word<'_>) -> Result<String, Unreadable> {
        let is_day = matches!(self.unit, Unit::DayOfMonth | Unit::DayOfWeek);
        if form == Form::Quartz && is_day {
            if word.text == "?" {
                return Ok("*".to_string());
            }
            if let Some(special) = self.special(word)? {
                return Ok(special);
            }
        }
        if word.text == "*" && self.unit != Unit::Year {
            return Ok("*".to_string());
        }
        let mut values = BTreeSet::new();
        for item in split(*word, |c| c == ',') {
            self.read_item(form, &item, &mut values)?;
        }
        let values = values.into_iter().map(|value| self.number_of_pattern(form, value)).collect::<BTreeSet<u16>>();
        Ok(values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }

    fn number_of_pattern(&self, form: Form, value: u16) -> u16 {
        match (self.unit, form) {
            (Unit::DayOfWeek, Form::Cron) => value % 7,
            (Unit::DayOfWeek, Form::Quartz) => value - 1,
            _ => value,
        }
    }

    /// `L`, `LW`, `15W` of a month; `L`, `6L`, `FRIL`, `6#3`, `FRI#3` of a week. Names of days and months hold an L or a W as well.
    fn special(&self, word: &Word<'_>) -> Result<Option<String>, Unreadable> {
        let bare =
            [MONTHS.as_slice(), DAYS.as_slice()].concat().iter().fold(word.text.to_uppercase(), |text, name| text.replace(name, "0"));
        if !bare.contains(['L', 'W', '#']) {
            return Ok(None);
        }
        if bare.contains([',', '-', '/']) {
            return word.wrong("L-3, and lists, ranges or steps with L, W or #, are not supported");
        }
        let upper = word.text.to_uppercase();
        let day = |text: &str| self.value(&Word { at: word.at, text }, Form::Quartz).map(|day| self.number_of_pattern(Form::Quartz, day));
        let special = match (self.unit, upper.as_str()) {
            (Unit::DayOfMonth, "L" | "LW") => upper,
            (Unit::DayOfMonth, other) => match other.strip_suffix('W') {
                Some(number) => format!("{}W", day(number)?),
                None => return word.wrong(format!("'{}' is no {}: L, LW, 15W are", word.text, self.name)),
            },
            (_, "L") => "6".to_string(),
            (_, other) => match (other.strip_suffix('L'), other.split_once('#')) {
                (Some(name), _) => format!("{}L", day(name)?),
                (None, Some((name, nth @ ("1" | "2" | "3" | "4" | "5")))) => format!("{}#{nth}", day(name)?),
                (None, Some(_)) => return word.wrong("after # stands a number from 1 to 5"),
                (None, None) => return word.wrong(format!("'{}' is no {}: 6L, 6#3 are", word.text, self.name)),
            },
        };
        Ok(Some(special))
    }

    fn read_item(&self, form: Form, item: &Word<'_>, values: &mut BTreeSet<u16>) -> Result<(), Unreadable> {
        let parts = split(*item, |c| c == '/');
        let (range, step) = match parts.as_slice() {
            [range] => (range, None),
            [range, step] => (range, Some(Self::step(step)?)),
            _ => return item.wrong(format!("'{}' has more than one step", item.text)),
        };
        let (from, to) = self.range(form, range, step.is_some())?;
        let step = usize::from(step.unwrap_or(1));
        if from <= to {
            values.extend((from..=to).step_by(step));
        } else if form == Form::Quartz && self.unit != Unit::Year {
            values.extend((from..=self.most).chain(self.least..=to).step_by(step));
        } else {
            return range.wrong(format!("the range {} ends before it begins", range.text));
        }
        Ok(())
    }

    fn step(step: &Word<'_>) -> Result<u16, Unreadable> {
        match number(step.text) {
            Some(step) if step > 0 => Ok(step),
            _ => step.wrong(format!("the step '{}' is no number above 0", step.text)),
        }
    }

    fn range(&self, form: Form, range: &Word<'_>, has_step: bool) -> Result<(u16, u16), Unreadable> {
        let last = if self.unit == Unit::DayOfWeek { self.least + 6 } else { self.most };
        if range.text == "*" || (range.text.is_empty() && has_step && form == Form::Quartz) {
            return Ok((self.least, last));
        }
        match split(*range, |c| c == '-').as_slice() {
            [one] if has_step && form == Form::Cron => {
                one.wrong(format!("a step needs * or a range, e.g. {}-{}/2; only quartzCron counts on from a value", one.text, self.most))
            }
            [one] if has_step => Ok((self.value(one, form)?, last)),
            [one] => self.value(one, form).map(|value| (value, value)),
            [from, to] => {
                let (from, end) = (self.value(from, form)?, self.value(to, form)?);
                // A range may end with Sunday by its name.
                let is_sunday = form == Form::Cron && self.unit == Unit::DayOfWeek && to.text.eq_ignore_ascii_case("SUN");
                Ok((from, if is_sunday { 7 } else { end }))
            }
            _ => range.wrong(format!("'{}' is no range", range.text)),
        }
    }

    /// A number or a name.
    fn value(&self, word: &Word<'_>, form: Form) -> Result<u16, Unreadable> {
        let names: &[&str] = match self.unit {
            Unit::Month => &MONTHS,
            Unit::DayOfWeek => &DAYS,
            _ => &[],
        };
        if let Some(index) = names.iter().position(|name| name.eq_ignore_ascii_case(word.text)) {
            return Ok(self.least + index as u16);
        }
        if let Some(c) = word.text.to_uppercase().chars().find(|c| "?LW#".contains(*c))
            && form == Form::Cron
        {
            return word.wrong(format!("'{c}' is for quartzCron"));
        }
        match number(word.text) {
            Some(value) if (self.least..=self.most).contains(&value) => Ok(value),
            _ => word.wrong(format!("{} is {} to {}, not '{}'", self.name, self.least, self.most, word.text)),
        }
    }
}

fn number(text: &str) -> Option<u16> {
    // The standard library would take a sign.
    if text.chars().all(|c| c.is_ascii_digit()) { text.parse().ok() } else { None }
}
