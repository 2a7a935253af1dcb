//! Civil times in a time zone: what becomes of them when clocks are put forward or back.

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use super::expression::Expression;

/// The first instant of `expression` after `after`, which is a whole second.
pub fn next(expression: &Expression, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    if expression.has_fixed_times { next_of_day(expression, zone, after) } else { next_by_elapsed_time(expression, zone, after) }
}

/// Each civil time once: the first of two, and right after the gap if there is none.
fn next_of_day(expression: &Expression, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut civil = zone.to_datetime(after);
    loop {
        civil = expression.next(civil, false)?;
        // Later civil times never have earlier instants; those in the second of two hours have passed in the first.
        let instant = once(zone, civil)?;
        if instant > after {
            return Some(instant);
        }
    }
}

fn once(zone: &TimeZone, civil: DateTime) -> Option<Timestamp> {
    let AmbiguousOffset::Gap { before, .. } = zone.to_ambiguous_timestamp(civil).offset() else {
        return zone.to_ambiguous_timestamp(civil).earlier().ok();
    };
    // By the old clock it would be this instant, at or after the change.
    let instant = before.to_timestamp(civil).ok()?;
    let just_after = instant.checked_add(SignedDuration::from_secs(1)).ok()?;
    zone.preceding(just_after).next().map(|change| change.timestamp())
}

/// Between two changes clocks run evenly: each such time is looked at by its own clock.
fn next_by_elapsed_time(expression: &Expression, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let (mut from, mut inclusive) = (after, false);
    loop {
        let offset = zone.to_offset(from);
        let instant = offset.to_timestamp(expression.next(offset.to_datetime(from), inclusive)?).ok()?;
        match zone.following(from).next().map(|change| change.timestamp()) {
            Some(change) if change <= instant => (from, inclusive) = (change, true),
            _ => return Some(instant),
        }
    }
}
