//! Several events with the same key and sequence: which one counts, and how many are ties.

use std::{collections::BTreeSet, ops::Range};

use datafusion::error::Result;

use super::{
    Op, SortedRows,
    images::{Images, Side},
};

/// What a group of events with the same key and sequence comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// The event that counts.
    pub winner: usize,
    /// Different events, less one.
    pub ties: u64,
    /// The last event that differs from the winner.
    pub loser: Option<usize>,
}

/// A delete beats every upsert; of upserts the last in source order counts, and of those that come from one source row the one with the
/// greatest bytes, so that the result does not depend on the order of execution.
pub(super) fn settle(events: &SortedRows, group: Range<usize>, images: &Images) -> Result<Settled> {
    let last = group.end - 1;
    if group.len() == 1 {
        return Ok(Settled { winner: last, ties: 0, loser: None });
    }
    let mut winner = last;
    if events.op(last) == Op::Upsert {
        let order = events.precedence(last);
        for row in group.clone().rev().skip(1).take_while(|row| events.precedence(*row) == order) {
            if images.row(Side::New, row)? > images.row(Side::New, winner)? {
                winner = row;
            }
        }
    }
    let mut different: BTreeSet<Option<&[u8]>> = BTreeSet::new();
    let mut loser = None;
    for row in group {
        let image = image_of(events, row, images)?;
        if image != image_of(events, winner, images)? {
            loser = Some(row);
        }
        different.insert(image);
    }
    Ok(Settled { winner, ties: different.len() as u64 - 1, loser })
}

/// What tells two events of one group apart: all deletes are the same.
fn image_of<'a>(events: &SortedRows, row: usize, images: &'a Images) -> Result<Option<&'a [u8]>> {
    if events.op(row) != Op::Upsert {
        return Ok(None);
    }
    Ok(Some(images.row(Side::New, row)?.data()))
}
