//! The only place that asks what time it is. Decisions are handed the time as an argument.

use std::time::Instant;

use jiff::Timestamp;

/// The wall clock, in whole microseconds: more would not survive the API server.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// `at` as messages say it.
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The clock that never jumps, for waiting.
pub fn instant() -> Instant {
    Instant::now()
}
