//! How long events are collected before they start a run.

use jiff::{SignedDuration, Timestamp};

use super::Cursor;

/// The two timers of an event trigger; 0 = none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// Least time between two fires.
    pub min_time_between_triggers_seconds: i32,
    /// Quiet time after the last change.
    pub wait_after_last_change_seconds: i32,
}

impl Timers {
    /// When a change fires that came last at `last_change`; a later change moves the instant.
    pub fn fires_at(self, last_fire: Option<Timestamp>, last_change: Timestamp) -> Timestamp {
        let after = |at: Timestamp, seconds: i32| {
            let seconds = SignedDuration::from_secs(i64::from(seconds));
            at.saturating_add(seconds).unwrap_or(at)
        };
        let quiet = after(last_change, self.wait_after_last_change_seconds);
        last_fire.map_or(quiet, |fire| quiet.max(after(fire, self.min_time_between_triggers_seconds)))
    }
}

/// Events that have come and were not acted on yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending<T> {
    /// What has changed.
    pub changed: T,
    /// When it fires, unless more comes.
    pub fires_at: Timestamp,
}

/// What a look at an event trigger found: `cursor` is what the status keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// Nothing to act on.
    Quiet {
        /// Everything until here was acted on or never counted.
        cursor: Cursor,
    },
    /// More may come.
    Waiting {
        /// Keep it: what waits is found again by it.
        cursor: Cursor,
        /// What waits.
        pending: Pending<T>,
    },
    /// A run is owed: make it, named by `cursor`, then write `cursor` and the time of the fire.
    Fires {
        /// Everything until here belongs to this run.
        cursor: Cursor,
        /// What has changed.
        changed: T,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn j42_timers() {
        let timers = Timers { min_time_between_triggers_seconds: 120, wait_after_last_change_seconds: 60 };
        assert_eq!(timers.fires_at(Some(second(0)), second(115)), second(175));
        assert_eq!(timers.fires_at(Some(second(0)), second(10)), second(120));
        assert_eq!(timers.fires_at(None, second(10)), second(70), "nothing to keep a distance to");
        assert_eq!(Timers::default().fires_at(Some(second(100)), second(10)), second(100));
    }
}
