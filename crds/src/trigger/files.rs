//! Files that come as a trigger: what the watcher has told against what was acted on.

use jiff::Timestamp;

use super::{
    Cursor,
    timers::{Look, Pending, Timers},
};
use crate::run_report::TriggerWatch;

const ARRIVALS: &str = "arrivals";
const NEWEST: &str = "newest";

/// How far the watcher is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileMark {
    /// Arrivals since the watcher's first look at the folder.
    pub arrivals: i64,
    /// Newest time of modification.
    pub newest: Option<Timestamp>,
}

impl FileMark {
    /// As the status keeps it.
    pub fn cursor(&self) -> Cursor {
        let newest = self.newest.map(|newest| (NEWEST.to_string(), newest.to_string()));
        newest.into_iter().chain([(ARRIVALS.to_string(), self.arrivals.to_string())]).collect()
    }

    /// What the status keeps; none if nothing was acted on yet.
    pub fn of(cursor: &Cursor) -> Option<Self> {
        let arrivals = cursor.get(ARRIVALS)?.parse().ok()?;
        Some(Self { arrivals, newest: cursor.get(NEWEST).and_then(|newest| newest.parse().ok()) })
    }

    /// A watcher that lost its count begins at 0 again: then newer files tell.
    fn is_beyond(&self, known: &Self) -> bool {
        if self.arrivals >= known.arrivals { self.arrivals > known.arrivals } else { self.newest > known.newest }
    }
}

/// What the watcher has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How far it is.
    pub mark: FileMark,
    /// When it saw the last arrival.
    pub last_arrival: Option<Timestamp>,
}

impl From<&TriggerWatch> for Seen {
    fn from(watch: &TriggerWatch) -> Self {
        let newest = watch.newest_modification.as_ref().map(|newest| newest.0);
        let mark = FileMark { arrivals: watch.arrivals, newest };
        Self { mark, last_arrival: watch.last_arrival_time.as_ref().map(|last| last.0) }
    }
}

/// What `seen` owes at `now`; `changed` is the number of files. What was there at the watcher's first look is no arrival, so all others count.
pub fn look(timers: Timers, cursor: &Cursor, seen: Seen, last_fire: Option<Timestamp>, is_suspended: bool, now: Timestamp) -> Look<i64> {
    let Seen { mark, last_arrival } = seen;
    let known = FileMark::of(cursor).unwrap_or_default();
    if is_suspended || !mark.is_beyond(&known) {
        return Look::Quiet { cursor: mark.cursor() };
    }
    let new = mark.arrivals - if mark.arrivals >= known.arrivals { known.arrivals } else { 0 };
    let fires_at = timers.fires_at(last_fire, last_arrival.or(mark.newest).unwrap_or(now));
    if fires_at > now {
        return Look::Waiting { cursor: known.cursor(), pending: Pending { changed: new, fires_at } };
    }
    Look::Fires { cursor: mark.cursor(), changed: new }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn mark(arrivals: i64, newest: i64) -> FileMark {
        FileMark { arrivals, newest: Some(second(newest)) }
    }

    #[test]
    fn j41_file_arrival() {
        let timers = Timers { min_time_between_triggers_seconds: 0, wait_after_last_change_seconds: 60 };
        let seen = |cursor: Option<&FileMark>, of: FileMark, last: i64, now: i64| {
            let seen = Seen { mark: of, last_arrival: Some(second(last)) };
            look(timers, &cursor.map(FileMark::cursor).unwrap_or_default(), seen, None, false, second(now))
        };
        let before = mark(0, 10);
        assert_eq!(seen(None, before, 0, 100), Look::Quiet { cursor: before.cursor() }, "files that were there before");
        let overwritten = mark(0, 90);
        assert_eq!(seen(Some(&before), overwritten, 0, 100), Look::Quiet { cursor: overwritten.cursor() });
        let first = mark(40, 95);
        assert_eq!(
            seen(None, first, 95, 155),
            Look::Fires { cursor: first.cursor(), changed: 40 },
            "they came after the watcher's first look"
        );
        let burst = mark(60, 120);
        let pending = Pending { changed: 20, fires_at: second(180) };
        assert_eq!(seen(Some(&first), burst, 120, 130), Look::Waiting { cursor: first.cursor(), pending });
        assert_eq!(seen(Some(&first), burst, 120, 180), Look::Fires { cursor: burst.cursor(), changed: 20 });
        assert_eq!(seen(Some(&burst), burst, 120, 500), Look::Quiet { cursor: burst.cursor() });
        let lost_count = mark(2, 300);
        assert_eq!(seen(Some(&burst), lost_count, 300, 500), Look::Fires { cursor: lost_count.cursor(), changed: 2 });
        assert_eq!(seen(Some(&burst), mark(0, 120), 300, 500), Look::Quiet { cursor: mark(0, 120).cursor() });
        let suspended = look(timers, &first.cursor(), Seen { mark: burst, last_arrival: None }, None, true, second(500));
        assert_eq!(suspended, Look::Quiet { cursor: burst.cursor() }, "dropped");
        assert_eq!(FileMark::of(&burst.cursor()), Some(burst));
    }
}
