//! Who is next: keys with the time at which they are due. Pure; the time is an argument.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use crate::{error::ErrorClass, key::Key};

/// Why a key should be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// Something that it depends on changed. Does not end a back-off.
    Event,
    /// Its own definition changed, or someone asked for it. Ends a back-off.
    Changed,
}

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Look again after this time.
    Again(Duration),
    /// It is gone: forget it.
    Gone,
    /// It failed: try again after a back-off.
    Failed(ErrorClass),
}

/// A key whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which object.
    pub key: Key,
    /// When it was first asked for.
    pub since: Instant,
}

#[derive(Debug, Default)]
struct Entry {
    /// When its turn comes; `None` while it runs.
    due: Option<Instant>,
    /// The first unanswered wake-up.
    since: Option<Instant>,
    running: bool,
    /// The strongest wake-up that came while it ran.
    woken: Option<Wake>,
    failures: u32,
    /// A back-off that events do not end.
    held_until: Option<Instant>,
}

/// Keys in the order of the times at which they are due. One key runs once at a time.
#[derive(Debug, Default)]
pub struct DueKeys {
    entries: HashMap<Key, Entry>,
    due: BTreeSet<(Instant, Key)>,
}

impl DueKeys {
    /// Someone wants `key` to be looked at.
    pub fn wake(&mut self, key: &Key, wake: Wake, now: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        entry.since.get_or_insert(now);
        if entry.running {
            entry.woken = entry.woken.max(Some(wake));
            return;
        }
        if wake == Wake::Changed {
            entry.failures = 0;
            entry.held_until = None;
        }
        let at = entry.held_until.map_or(now, |until| until.max(now));
        self.schedule(key, at);
    }

    /// Whoever hands out turns begins now: what was asked for before was nobody's business.
    pub fn begin(&mut self, now: Instant) {
        for since in self.entries.values_mut().filter_map(|entry| entry.since.as_mut()) {
            *since = now;
        }
    }

    /// Moves the turn of `key` to `at`, unless it comes earlier anyway.
    fn schedule(&mut self, key: &Key, at: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.due.is_some_and(|due| due <= at) {
            return;
        }
        if let Some(due) = entry.due.replace(at) {
            self.due.remove(&(due, key.clone()));
        }
        self.due.insert((at, key.clone()));
    }

    /// The key whose turn it is at `now`; it counts as running from here on.
    pub fn take(&mut self, now: Instant) -> Option<Turn> {
        let first = self.due.first()?;
        if first.0 > now {
            return None;
        }
        let (due, key) = self.due.pop_first()?;
        let entry = self.entries.get_mut(&key)?;
        entry.due = None;
        entry.running = true;
        Some(Turn { key, since: entry.since.take().unwrap_or(due) })
    }

    /// `key`, if its turn has come: it passes all others that wait.
    pub fn take_first(&mut self, key: &Key, now: Instant) -> Option<Turn> {
        let entry = self.entries.get_mut(key)?;
        let due = entry.due.filter(|due| *due <= now)?;
        entry.due = None;
        entry.running = true;
        let since = entry.since.take().unwrap_or(due);
        self.due.remove(&(due, key.clone()));
        Some(Turn { key: key.clone(), since })
    }

    /// When the next turn comes.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The reconcile of `key` ended. `spread` in 0…1 moves the next time so that keys do not come together.
    pub fn done(&mut self, key: &Key, outcome: Outcome, spread: f64, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.running = false;
        let woken = entry.woken.take();
        let at = match outcome {
            Outcome::Gone if woken.is_none() => {
                self.entries.remove(key);
                return;
            }
            Outcome::Gone => {
                entry.failures = 0;
                entry.held_until = None;
                now
            }
            Outcome::Again(delay) => {
                entry.failures = 0;
                entry.held_until = None;
                if woken.is_some() { now } else { now + delay }
            }
            Outcome::Failed(class) => {
                entry.failures = entry.failures.saturating_add(1);
                let until = now + delay_after(class, entry.failures, spread);
                entry.held_until = Some(until);
                if woken == Some(Wake::Changed) {
                    entry.failures = 0;
                    entry.held_until = None;
                    now
                } else {
                    until
                }
            }
        };
        self.schedule(key, at);
    }

    /// How many keys wait for a place, and how many for the end of a back-off.
    pub fn waiting(&self, now: Instant) -> (usize, usize) {
        let backoff = self.entries.values().filter(|entry| entry.held_until.is_some_and(|until| until > now)).count();
        let queued = self.due.iter().take_while(|(at, _)| *at <= now).count();
        (queued, backoff)
    }
}

/// Longest back-off after passing failures: however long an API server was in trouble, a minute after its end all is as it should be.
const LONGEST: Duration = Duration::from_secs(40);
/// So many conflicts in a row are tried again at once: the next look usually sees what was new.
const QUICK: u32 = 5;
/// Back-off after a missing right, or what only a person can mend.
const FORBIDDEN: Duration = Duration::from_mins(5);

/// The time before the next try after `failures` failures in a row.
fn delay_after(class: ErrorClass, failures: u32, spread: f64) -> Duration {
    let doubled = |failures: u32| {
        let doubled = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
        doubled.min(LONGEST).mul_f64(0.8 + 0.4 * spread)
    };
    match class {
        ErrorClass::Conflict if failures <= QUICK => Duration::from_millis(200) + Duration::from_millis(800).mul_f64(spread),
        ErrorClass::Conflict => doubled(failures - QUICK),
        ErrorClass::Forbidden | ErrorClass::User => FORBIDDEN,
        _ => doubled(failures),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: &str) -> Key {
        Key::new("data", name)
    }

    #[test]
    fn a_key_runs_once_at_a_time_and_again_if_it_was_woken_meanwhile() {
        let (mut line, start) = (DueKeys::default(), Instant::now());
        line.wake(&key("a"), Wake::Event, start);
        line.wake(&key("a"), Wake::Event, start + SECOND);
        assert_eq!(line.take(start + SECOND), Some(Turn { key: key("a"), since: start }));
        line.wake(&key("a"), Wake::Event, start + 2 * SECOND);
        assert_eq!(line.take(start + 2 * SECOND), None, "it runs");
        line.done(&key("a"), Outcome::Again(600 * SECOND), 0.5, start + 3 * SECOND);
        assert_eq!(line.take(start + 3 * SECOND), Some(Turn { key: key("a"), since: start + 2 * SECOND }));
        line.done(&key("a"), Outcome::Again(600 * SECOND), 0.5, start + 4 * SECOND);
        assert_eq!(line.next(), Some(start + 604 * SECOND));
    }

    #[test]
    fn events_do_not_end_a_back_off_and_changes_do() {
        let (mut line, start) = (DueKeys::default(), Instant::now());
        line.wake(&key("a"), Wake::Event, start);
        line.take(start).unwrap();
        line.done(&key("a"), Outcome::Failed(ErrorClass::Transient), 0.5, start);
        assert_eq!((line.next(), line.waiting(start)), (Some(start + SECOND), (0, 1)));
        line.wake(&key("a"), Wake::Event, start);
        assert_eq!(line.take(start), None);
        line.take(start + SECOND).unwrap();
        line.done(&key("a"), Outcome::Failed(ErrorClass::Transient), 0.5, start + SECOND);
        assert_eq!(line.next(), Some(start + 3 * SECOND), "the second wait is twice as long");
        line.wake(&key("a"), Wake::Changed, start + SECOND);
        assert!(line.take(start + SECOND).is_some());
    }

    #[test]
    fn back_off_grows_to_a_limit_and_conflicts_come_back_soon() {
        let delay = |class, failures| delay_after(class, failures, 0.5);
        assert_eq!(delay(ErrorClass::Transient, 4), 8 * SECOND);
        assert_eq!(delay(ErrorClass::Transient, 40), 40 * SECOND);
        assert!(delay_after(ErrorClass::Transient, 40, 1.0) < 60 * SECOND, "with the longest spread it is over within a minute");
        assert_eq!(delay(ErrorClass::Conflict, 1), Duration::from_millis(600));
        assert_eq!(delay(ErrorClass::Conflict, 6), SECOND, "a conflict that never ends is a failure");
        assert_eq!(delay(ErrorClass::Conflict, 9), 8 * SECOND);
        assert_eq!(delay(ErrorClass::Forbidden, 1), 300 * SECOND);
    }

    #[test]
    fn the_time_before_the_begin_is_no_delay() {
        let (now, mut line) = (Instant::now(), DueKeys::default());
        line.wake(&key("a"), Wake::Event, now);
        line.begin(now + SECOND);
        assert_eq!(line.take(now + SECOND).unwrap().since, now + SECOND);
    }

    #[test]
    fn one_key_may_pass_all_others() {
        let (now, mut line) = (Instant::now(), DueKeys::default());
        for name in ["a", "b", "c"] {
            line.wake(&key(name), Wake::Event, now);
        }
        assert_eq!(line.take_first(&key("c"), now).unwrap().key, key("c"));
        assert_eq!(line.take_first(&key("c"), now), None, "it runs");
        line.done(&key("c"), Outcome::Again(SECOND), 0.0, now);
        assert_eq!(line.take_first(&key("c"), now), None, "its turn has not come");
        assert_eq!([line.take(now).unwrap().key, line.take(now).unwrap().key], [key("a"), key("b")]);
        assert_eq!(line.take_first(&key("c"), now + SECOND).unwrap().key, key("c"));
        assert_eq!((line.take(now + SECOND), line.next()), (None, None));
    }

    #[test]
    fn keys_come_in_the_order_of_their_times_and_gone_ones_are_forgotten() {
        let (mut line, start) = (DueKeys::default(), Instant::now());
        line.wake(&key("b"), Wake::Event, start + SECOND);
        line.wake(&key("a"), Wake::Event, start);
        assert_eq!(line.take(start + SECOND).unwrap().key, key("a"));
        line.done(&key("a"), Outcome::Gone, 0.0, start + SECOND);
        assert_eq!(line.take(start + SECOND).unwrap().key, key("b"));
        line.done(&key("b"), Outcome::Again(SECOND), 0.0, start + SECOND);
        assert_eq!(line.entries.len(), 1);
    }
}
