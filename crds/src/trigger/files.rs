//! Files that come as a trigger: what the watcher has told against what was acted on.

use jiff::Timestamp;

use super::timers::{Look, Pending, Timers};

/// How far the watcher is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileMark {
    /// Arrivals since the watcher's first look at the folder.
    pub arrivals: i64,
    /// Newest time of modification.
    pub newest: Option<Timestamp>,
}

impl FileMark {
    /// The text that the name of a run is made of.
    pub fn text(&self) -> String {
        format!("{}@{}", self.arrivals, self.newest.map_or_else(String::new, |newest| newest.to_string()))
    }

    /// A watcher that lost its count begins at 0 again: then newer files tell.
    fn is_beyond(&self, known: &Self) -> bool {
        if self.arrivals >= known.arrivals { self.arrivals > known.arrivals } else { self.newest > known.newest }
    }
}

/// What `seen` owes at `now`. `last_arrival` is when the watcher saw the last arrival; without `cursor` this is the first look, which never fires.
pub fn look(
    timers: Timers,
    cursor: Option<&FileMark>,
    (seen, last_arrival): (&FileMark, Option<Timestamp>),
    last_fire: Option<Timestamp>,
    is_suspended: bool,
    now: Timestamp,
) -> Look<FileMark, i64> {
    let Some(known) = cursor.filter(|known| !is_suspended && seen.is_beyond(known)) else { return Look::Quiet { cursor: *seen } };
    let new = seen.arrivals - if seen.arrivals >= known.arrivals { known.arrivals } else { 0 };
    let fires_at = timers.fires_at(last_fire, last_arrival.unwrap_or(now));
    if fires_at > now {
        return Look::Waiting { cursor: *known, pending: Pending { changed: new, fires_at } };
    }
    Look::Fires { cursor: *seen, changed: new }
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
            look(timers, cursor, (&of, Some(second(last))), None, false, second(now))
        };
        let first = mark(40, 10);
        assert_eq!(seen(None, first, 0, 100), Look::Quiet { cursor: first }, "files that were there before");
        let overwritten = mark(40, 90);
        assert_eq!(seen(Some(&first), overwritten, 0, 100), Look::Quiet { cursor: overwritten });
        let burst = mark(60, 120);
        let pending = Pending { changed: 20, fires_at: second(180) };
        assert_eq!(seen(Some(&first), burst, 120, 130), Look::Waiting { cursor: first, pending });
        assert_eq!(seen(Some(&first), burst, 120, 180), Look::Fires { cursor: burst, changed: 20 });
        assert_eq!(seen(Some(&burst), burst, 120, 500), Look::Quiet { cursor: burst });
        let lost_count = mark(2, 300);
        assert_eq!(seen(Some(&burst), lost_count, 300, 500), Look::Fires { cursor: lost_count, changed: 2 });
        assert_eq!(seen(Some(&burst), mark(0, 120), 300, 500), Look::Quiet { cursor: mark(0, 120) });
        let suspended = look(timers, Some(&first), (&burst, Some(second(120))), None, true, second(500));
        assert_eq!(suspended, Look::Quiet { cursor: burst }, "dropped");
        assert_eq!(burst.text(), "60@1970-01-01T00:02:00Z");
    }
}
