//! The instants of a schedule: which is next, and which are due after a time in which nobody looked. Pure; the time is an argument.

mod expression;
#[cfg(test)]
mod tests;
mod zone;

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use self::expression::{Expression, Form, Unreadable};
use crate::schedule::{CatchUp, Schedule};

/// The most instants that are made up for.
pub const MAX_MADE_UP: usize = 100;
/// Two instants are at least so far apart.
const LEAST_SECONDS: i64 = 10;
/// How late an instant may be that counts as not missed.
const LATE_SECONDS: i64 = 60;
/// If more have passed, the older ones are not even counted.
const COUNTED: usize = 1000;
/// Instants that are looked at to tell how far apart they are.
const LOOK_AHEAD: usize = 100;

/// Why a schedule has no instants.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression cannot be read.
    #[error("{field} '{text}' cannot be read at character {at}: {problem}")]
    Unreadable {
        /// `cron` or `quartzCron`.
        field: &'static str,
        /// What was written.
        text: String,
        /// The character where it is wrong, counted from 1.
        at: usize,
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
    expression: Expression,
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
    /// How many instants have passed and are not made up for; of more than a thousand, those that were counted.
    pub dropped: usize,
}

impl Schedule {
    /// The instants of the schedule; `now` is where the check of their distance begins.
    pub fn timetable(&self, now: Timestamp) -> Result<Timetable, ScheduleError> {
        let (field, text, expression) = self.parse()?;
        let zone = TimeZone::get(&self.time_zone).map_err(|_| ScheduleError::TimeZone(self.time_zone.clone()))?;
        let catch_up = self.catch_up;
        let table = Timetable { expression, zone, catch_up, deadline_seconds: i64::from(self.starting_deadline_seconds) };
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

    fn parse(&self) -> Result<(&'static str, &str, Expression), ScheduleError> {
        let (form, field, text) = match (&self.cron, &self.quartz_cron) {
            (None, Some(cron)) => (Form::Quartz, "quartzCron", cron.as_str()),
            (cron, _) => (Form::Cron, "cron", cron.as_deref().unwrap_or_default()),
        };
        match Expression::read(form, text) {
            Ok(expression) => Ok((field, text, expression)),
            Err(Unreadable { at, problem }) => Err(ScheduleError::Unreadable { field, text: text.to_string(), at, problem }),
        }
    }
}

impl Timetable {
    /// The first instant after `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // Instants are whole seconds: what is after a part of a second is after the second.
        let seconds = after.as_millisecond().div_euclid(1000);
        zone::next(&self.expression, &self.zone, Timestamp::from_second(seconds).ok()?)
    }

    /// What is owed at `now`, if `last` is the newest instant that was acted on, or when the schedule began.
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Due {
        let (mut passed, all) = self.passed(last, now);
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

    /// The newest instants after `last` until `now`, oldest first, and how many there were.
    fn passed(&self, last: Timestamp, now: Timestamp) -> (Vec<Timestamp>, usize) {
        let mut window = SignedDuration::from_hours(1);
        loop {
            let begin = now.saturating_sub(window).map_or(last, |begin| begin.max(last));
            let (newest, all) = self.passed_since(begin, now);
            // Nobody looks through years of instants to find that most of them are too old.
            if begin == last || all > COUNTED {
                return (newest, all);
            }
            window = window.saturating_mul(4);
        }
    }

    fn passed_since(&self, begin: Timestamp, now: Timestamp) -> (Vec<Timestamp>, usize) {
        let after = |at: &Timestamp| self.next(*at).filter(|next| *next <= now);
        let (mut newest, mut all) = (VecDeque::with_capacity(MAX_MADE_UP + 1), 0);
        for at in std::iter::successors(after(&begin), after) {
            newest.push_back(at);
            all += 1;
            if newest.len() > MAX_MADE_UP {
                newest.pop_front();
            }
        }
        (newest.into(), all)
    }
}
