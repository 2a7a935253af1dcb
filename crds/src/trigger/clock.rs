//! Triggers by the clock: cron expressions and equal distances.

use jiff::{SignedDuration, Timestamp};

use crate::timetable::{Due, Timetable};

/// What names the instants of a trigger.
#[derive(Clone, Debug)]
pub enum Clock {
    /// A cron expression with its rules for missed instants.
    Timetable(Box<Timetable>),
    /// Equal distances; of missed instants the newest is made up for.
    Periodic(Periodic),
}

/// The instants creation + n × every, n from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periodic {
    created: Timestamp,
    every_seconds: i64,
}

impl Periodic {
    /// `created` is when the Job was made, in whole seconds.
    pub fn new(created: Timestamp, every_seconds: i32) -> Self {
        Self { created, every_seconds: i64::from(every_seconds.max(1)) }
    }

    fn instant(&self, n: i64) -> Option<Timestamp> {
        let seconds = self.every_seconds.checked_mul(n)?;
        self.created.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    /// How many instants there are until `at`.
    fn passed(&self, at: Timestamp) -> i64 {
        (at.duration_since(self.created).as_millis().div_euclid(i128::from(self.every_seconds) * 1000) as i64).max(0)
    }

    /// The first instant after `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.instant(self.passed(after) + 1)
    }

    /// The newest instant after `last` until `now`.
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Due {
        let missed = self.passed(now) - self.passed(last);
        if missed <= 0 {
            return Due::default();
        }
        let newest = self.instant(self.passed(now));
        Due { instants: newest.into_iter().collect(), newest, dropped: missed as usize - 1 }
    }
}

/// What a look at the clock found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Instants to make runs for, oldest first.
    pub fires: Vec<Timestamp>,
    /// The next instant: announce it in the status once the runs are made, and look again then. None while suspended.
    pub next: Option<Timestamp>,
    /// Instants that nobody makes up for; of more than a thousand, those that were counted.
    pub dropped: usize,
}

impl Clock {
    /// The first instant after `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Timetable(table) => table.next(after),
            Self::Periodic(periodic) => periodic.next(after),
        }
    }

    /// What is owed at `now` if the status announces `announced`, the first instant that was not acted on yet.
    /// Without announcement, as after a time of suspension, only what is to come counts.
    pub fn look(&self, announced: Option<Timestamp>, is_suspended: bool, now: Timestamp) -> Look {
        if is_suspended {
            return Look::default();
        }
        let due = match announced.filter(|announced| *announced <= now) {
            None => Due::default(),
            Some(announced) => {
                let last = announced.saturating_sub(SignedDuration::from_secs(1)).unwrap_or(announced);
                match self {
                    Self::Timetable(table) => table.due(last, now),
                    Self::Periodic(periodic) => periodic.due(last, now),
                }
            }
        };
        Look { fires: due.instants, next: self.next(now), dropped: due.dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{CatchUp, Schedule};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hourly(catch_up: CatchUp) -> Clock {
        let schedule = Schedule { cron: Some("0 * * * *".to_string()), catch_up, ..Schedule::default() };
        Clock::Timetable(Box::new(schedule.timetable(at("2026-01-01T00:00:00Z")).unwrap()))
    }

    fn texts(look: &Look) -> Vec<String> {
        look.fires.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn j38_catch_up_of_a_trigger() {
        let (announced, now) = (Some(at("2026-01-01T01:00:00Z")), at("2026-01-01T03:20:00Z"));
        let look = |catch_up| hourly(catch_up).look(announced, false, now);
        assert_eq!(texts(&look(CatchUp::None)), [""; 0]);
        assert_eq!(texts(&look(CatchUp::Latest)), ["2026-01-01T03:00:00Z"]);
        assert_eq!(texts(&look(CatchUp::All)), ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"]);
        assert_eq!((look(CatchUp::Latest).next, look(CatchUp::Latest).dropped), (Some(at("2026-01-01T04:00:00Z")), 2));
        let again = hourly(CatchUp::All).look(look(CatchUp::All).next, false, now);
        assert_eq!(texts(&again), [""; 0], "what was announced after the fire is not owed again");
    }

    #[test]
    fn j40_suspend_drops_fires() {
        let clock = hourly(CatchUp::All);
        let before = clock.look(None, false, at("2026-01-01T00:10:00Z"));
        assert_eq!((before.fires.len(), before.next), (0, Some(at("2026-01-01T01:00:00Z"))));
        let suspended = clock.look(before.next, true, at("2026-01-01T02:30:00Z"));
        assert_eq!(suspended, Look::default());
        let resumed = clock.look(suspended.next, false, at("2026-01-01T02:40:00Z"));
        assert_eq!((resumed.fires.len(), resumed.next), (0, Some(at("2026-01-01T03:00:00Z"))), "two instants passed without a run");
        assert_eq!(texts(&clock.look(resumed.next, false, at("2026-01-01T03:00:01Z"))), ["2026-01-01T03:00:00Z"]);
    }

    #[test]
    fn a_changed_schedule_counts_from_now() {
        let announced_by_another = Some(at("2026-01-02T02:00:00Z"));
        let look = hourly(CatchUp::Latest).look(announced_by_another, false, at("2026-01-01T10:30:00Z"));
        assert_eq!((look.fires.len(), look.next), (0, Some(at("2026-01-01T11:00:00Z"))));
    }

    #[test]
    fn periodic_instants_count_from_the_creation() {
        let periodic = Periodic::new(at("2026-01-01T00:00:07Z"), 300);
        let next = |after: &str| periodic.next(at(after)).unwrap().to_string();
        assert_eq!(next("2026-01-01T00:00:07Z"), "2026-01-01T00:05:07Z");
        assert_eq!(next("2026-01-01T00:05:06.999Z"), "2026-01-01T00:05:07Z");
        assert_eq!(next("2026-01-01T00:05:07Z"), "2026-01-01T00:10:07Z");
        let clock = Clock::Periodic(periodic);
        let look = clock.look(Some(at("2026-01-01T00:05:07Z")), false, at("2026-01-01T00:20:00Z"));
        assert_eq!((texts(&look), look.dropped), (vec!["2026-01-01T00:15:07Z".to_string()], 2), "the newest of three");
        assert_eq!(look.next, Some(at("2026-01-01T00:20:07Z")));
        assert_eq!(clock.look(look.next, false, at("2026-01-01T00:20:06Z")).fires.len(), 0);
        assert_eq!(clock.look(look.next, false, at("2026-01-01T00:20:07Z")).fires.len(), 1);
    }
}
