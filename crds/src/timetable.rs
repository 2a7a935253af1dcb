//! The instants of a schedule: which is next, and which are due after a time in which nobody looked. Pure; the time is an argument.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::schedule::{CatchUp, Schedule};

/// The most instants that are made up for.
pub const MAX_MADE_UP: usize = 100;
/// Two instants are at least so far apart.
const LEAST_SECONDS: i64 = 10;
/// How late an instant may be that counts as not missed.
const LATE_SECONDS: i64 = 60;
/// Instants that are looked at to tell how far apart they are.
const LOOK_AHEAD: usize = 100;

/// Why a schedule has no instants.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression cannot be read.
    #[error("{field} '{text}' cannot be read: {problem}")]
    Unreadable {
        /// `cron` or `quartzCron`.
        field: &'static str,
        /// What was written.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// No such time zone.
    #[error("timeZone '{0}' is no name of the IANA time zone database, e.g. Europe/Berlin")]
    TimeZone(String),
    /// It never comes.
    #[error("{field} '{text}' has no instant in the years to come")]
    Never {
        /// `cron` or `quartzCron`.
        field: &'static str,
        /// What was written.
        text: String,
    },
    /// Too often.
    #[error("{field} '{text}' has two instants that are {seconds} s apart; at least {LEAST_SECONDS} s are needed")]
    TooOften {
        /// `cron` or `quartzCron`.
        field: &'static str,
        /// What was written.
        text: String,
        /// The least distance.
        seconds: i64,
    },
}

/// A schedule that was understood.
#[derive(Clone, Debug)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
    catch_up: CatchUp,
    deadline_seconds: i64,
}

/// The instants that an update or run is owed for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Oldest first.
    pub instants: Vec<Timestamp>,
    /// The newest instant that has passed, made up for or not: the next look begins here.
    pub newest: Option<Timestamp>,
    /// How many instants have passed and are not made up for.
    pub dropped: usize,
}

impl Schedule {
    /// The instants of the schedule; `now` is where the check of their distance begins.
    pub fn timetable(&self, now: Timestamp) -> Result<Timetable, ScheduleError> {
        let (field, text, cron) = self.parse()?;
        let zone = TimeZone::get(&self.time_zone).map_err(|_| ScheduleError::TimeZone(self.time_zone.clone()))?;
        let table = Timetable { cron, zone, catch_up: self.catch_up, deadline_seconds: i64::from(self.starting_deadline_seconds) };
        let mut at = table.next(now).ok_or_else(|| ScheduleError::Never { field, text: text.to_string() })?;
        for _ in 1..LOOK_AHEAD {
            let Some(next) = table.next(at) else { break };
            let seconds = next.as_second() - at.as_second();
            if seconds < LEAST_SECONDS {
                return Err(ScheduleError::TooOften { field, text: text.to_string(), seconds });
            }
            at = next;
        }
        Ok(table)
    }

    fn parse(&self) -> Result<(&'static str, &str, Cron), ScheduleError> {
        let (field, text) = match (&self.cron, &self.quartz_cron) {
            (Some(cron), None) => ("cron", cron.as_str()),
            (None, Some(cron)) => ("quartzCron", cron.as_str()),
            _ => ("cron", ""),
        };
        let unreadable = |problem: String| ScheduleError::Unreadable { field, text: text.to_string(), problem };
        let parser = if field == "quartzCron" {
            check_quartz(text).map_err(unreadable)?;
            CronParser::builder().seconds(Seconds::Required).year(Year::Optional).alternative_weekdays(true).sloppy_ranges(true).build()
        } else {
            check_cron(text).map_err(unreadable)?;
            CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
        };
        let cron = parser.parse(text).map_err(|error| unreadable(error.to_string()))?;
        Ok((field, text, cron))
    }
}

/// What the parser would take and other programs would not.
fn check_cron(text: &str) -> Result<(), String> {
    const NICKNAMES: [&str; 5] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];
    if let Some(nickname) = text.trim().strip_prefix('@') {
        let known = NICKNAMES.iter().any(|known| known.get(1..) == Some(nickname));
        return if known { Ok(()) } else { Err(format!("known are {}", NICKNAMES.join(", "))) };
    }
    let fields = text.split_whitespace().count();
    if fields != 5 {
        return Err(format!("it has {fields} fields, not 5: minute, hour, day of month, month, day of week"));
    }
    // L and W also stand in the names of a month and of a day.
    let bare = text.to_ascii_uppercase().replace("JUL", "").replace("WED", "");
    match bare.chars().find(|c| "?LW#".contains(*c)) {
        Some(c) => Err(format!("'{c}' is for quartzCron")),
        None => Ok(()),
    }
}

fn check_quartz(text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [_, _, _, day_of_month, _, day_of_week, ..] = fields.as_slice() else {
        return Err(format!("it has {} fields, not 6 or 7: second, minute, hour, day of month, month, day of week, year", fields.len()));
    };
    if fields.len() > 7 {
        return Err(format!("it has {} fields, at most 7", fields.len()));
    }
    if (*day_of_month == "?") == (*day_of_week == "?") {
        return Err("exactly one of day of month and day of week is ?".to_string());
    }
    let special = |field: &str| field.to_ascii_uppercase().contains(['L', 'W', '#']) && field.contains(',');
    if day_of_month.to_ascii_uppercase().starts_with("L-") || special(day_of_month) || special(day_of_week) {
        return Err("L-3, and lists with L, W or #, are not supported".to_string());
    }
    Ok(())
}

impl Timetable {
    /// The first instant after `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let from: Zoned = after.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&from, false).ok().map(|next| next.timestamp())
    }

    /// What is owed at `now`, if `last` is the newest instant that was acted on, or when the schedule began.
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Due {
        let mut passed = Vec::new();
        let mut all = 0;
        let mut at = last;
        while let Some(next) = self.next(at).filter(|next| *next <= now) {
            passed.push(next);
            at = next;
            all += 1;
            // Beyond the newest hundred only their number matters.
            if passed.len() > MAX_MADE_UP {
                passed.remove(0);
            }
        }
        let newest = passed.last().copied();
        let late = |at: &Timestamp| now.as_second() - at.as_second();
        if self.deadline_seconds > 0 {
            passed.retain(|at| late(at) <= self.deadline_seconds);
        }
        match self.catch_up {
            CatchUp::None => passed.retain(|at| late(at) <= LATE_SECONDS),
            CatchUp::Latest => drop(passed.drain(..passed.len().saturating_sub(1))),
            CatchUp::All => {}
        }
        Due { dropped: all - passed.len(), instants: passed, newest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(text: &str, zone: &str) -> Schedule {
        Schedule { cron: Some(text.to_string()), time_zone: zone.to_string(), ..Schedule::default() }
    }

    fn quartz(text: &str) -> Schedule {
        Schedule { quartz_cron: Some(text.to_string()), ..Schedule::default() }
    }

    fn instants(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
        let table = schedule.timetable(at(from)).unwrap();
        let mut last = at(from);
        let step = |last: &mut Timestamp| {
            *last = table.next(*last)?;
            Some(last.to_string())
        };
        (0..count).map_while(|_| step(&mut last)).collect()
    }

    fn problem(schedule: &Schedule) -> String {
        schedule.timetable(at("2026-01-01T00:00:00Z")).unwrap_err().to_string()
    }

    #[test]
    fn both_forms_name_the_same_instants() {
        let expected = ["2026-11-23T06:30:00Z", "2026-11-24T06:30:00Z"];
        assert_eq!(instants(&cron("30 7 * * MON-FRI", "Europe/Berlin"), "2026-11-21T12:00:00Z", 2), expected);
        assert_eq!(instants(&quartz("0 30 6 ? * 2-6"), "2026-11-21T12:00:00Z", 2), expected);
        assert_eq!(instants(&quartz("0 0 0 L * ?"), "2026-02-01T00:00:00Z", 2), ["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]);
        assert_eq!(instants(&quartz("0 0 0 ? * 6#3"), "2026-11-01T00:00:00Z", 1), ["2026-11-20T00:00:00Z"], "the third Friday");
        assert_eq!(instants(&cron("@daily", "UTC"), "2026-11-21T12:00:00Z", 1), ["2026-11-22T00:00:00Z"]);
        let either = instants(&cron("0 0 1 * MON", "UTC"), "2026-11-21T12:00:00Z", 3);
        assert_eq!(either, ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"], "either day field may match");
    }

    #[test]
    fn a_fixed_time_runs_once_when_clocks_change_and_intervals_go_on() {
        let nightly = cron("30 2 * * *", "Europe/Berlin");
        let gap = instants(&nightly, "2026-03-28T12:00:00Z", 2);
        assert_eq!(gap, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"], "right after the gap");
        let doubled = instants(&nightly, "2026-10-24T12:00:00Z", 2);
        assert_eq!(doubled, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"], "the first of the two");
        let half_hours = instants(&cron("*/30 * * * *", "Europe/Berlin"), "2026-10-24T23:50:00Z", 5);
        let expected =
            ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"];
        assert_eq!(half_hours, expected);
    }

    #[test]
    fn what_was_missed_is_made_up_for_as_wanted() {
        let hourly = |catch_up, deadline| Schedule { catch_up, starting_deadline_seconds: deadline, ..cron("0 * * * *", "UTC") };
        let due = |catch_up, deadline, now: &str| {
            let table = hourly(catch_up, deadline).timetable(at(now)).unwrap();
            let due = table.due(at("2026-01-01T00:00:00Z"), at(now));
            (due.instants.iter().map(ToString::to_string).collect::<Vec<_>>(), due.newest.map(|newest| newest.to_string()))
        };
        let newest = Some("2026-01-01T03:00:00Z".to_string());
        assert_eq!(due(CatchUp::None, 0, "2026-01-01T03:05:00Z"), (vec![], newest.clone()));
        assert_eq!(due(CatchUp::None, 0, "2026-01-01T03:00:30Z").0, ["2026-01-01T03:00:00Z"]);
        assert_eq!(due(CatchUp::Latest, 0, "2026-01-01T03:05:00Z"), (vec!["2026-01-01T03:00:00Z".to_string()], newest));
        assert_eq!(due(CatchUp::All, 0, "2026-01-01T03:05:00Z").0.len(), 3);
        assert_eq!(due(CatchUp::All, 4000, "2026-01-01T03:05:00Z").0.len(), 2);
        assert_eq!(due(CatchUp::Latest, 0, "2026-01-01T00:59:59Z"), (vec![], None));
        let table = hourly(CatchUp::All, 0).timetable(at("2026-01-01T00:00:00Z")).unwrap();
        let long = table.due(at("2026-01-01T00:00:00Z"), at("2026-01-11T00:00:00Z"));
        assert_eq!((long.instants.len(), long.dropped), (100, 140));
    }

    #[test]
    fn wrong_schedules_say_what_is_wrong() {
        assert!(problem(&cron("61 * * * *", "UTC")).starts_with("cron '61 * * * *' cannot be read: "));
        assert!(problem(&cron("* * * *", "UTC")).contains("it has 4 fields, not 5"));
        assert!(problem(&cron("@nightly", "UTC")).contains("known are @hourly"));
        assert!(problem(&cron("0 0 L * *", "UTC")).contains("'L' is for quartzCron"));
        assert!(problem(&cron("0 0 * JUL WED", "Mars/Base")).starts_with("timeZone 'Mars/Base' is no name"));
        assert!(problem(&cron("0 0 30 2 *", "UTC")).contains("has no instant"));
        assert!(problem(&quartz("0 0 0 1 * MON")).contains("exactly one of day of month and day of week is ?"));
        assert!(problem(&quartz("0 0 0 L-3 * ?")).contains("not supported"));
        assert!(problem(&quartz("*/5 * * * * ?")).contains("two instants that are 5 s apart"));
        assert!(problem(&quartz("0 0 0 ?")).contains("it has 4 fields, not 6 or 7"));
    }
}
