//! A snapshot beside the newest rows of the target: which keys differ.

use datafusion::error::Result;

use super::{
    Shape, SortedRows,
    images::{Images, Side},
};

/// What differs between a snapshot and the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Rows of the snapshot whose key has other values in the target, or is not there.
    pub changed: Vec<u32>,
    /// One row of the target for each key that the snapshot does not have.
    pub missing: Vec<u32>,
}

/// Compares whole keys. `newest` are the rows of the target that are current.
pub fn differences(shape: &Shape, snapshot: &SortedRows, newest: &SortedRows) -> Result<Differences> {
    let pick = |rows: &SortedRows| shape.values().into_iter().map(|at| rows.rows().column(at).clone()).collect();
    let images = Images::new(pick(snapshot), pick(newest));
    let mut found = Differences::default();
    let mut present = 0;
    let mut row = 0;
    while row < snapshot.len() {
        let key = snapshot.key(row);
        while present < newest.len() && newest.key(present) < key {
            let group = newest.group(present);
            found.missing.push(group.start as u32);
            present = group.end;
        }
        let group = snapshot.group(row);
        let known = newest.group_of(key, present);
        row = group.end;
        present = known.end;
        if !is_equal(&images, group.clone(), known)? {
            // All of them: which one counts is decided like between events.
            found.changed.extend(group.map(|row| row as u32));
        }
    }
    while present < newest.len() {
        let group = newest.group(present);
        found.missing.push(group.start as u32);
        present = group.end;
    }
    Ok(found)
}

/// True if the key has one row in the target, and all rows of the snapshot are like it.
fn is_equal(images: &Images, rows: std::ops::Range<usize>, mut known: std::ops::Range<usize>) -> Result<bool> {
    let (Some(present), None) = (known.next(), known.next()) else { return Ok(false) };
    for row in rows {
        if !images.are_equal((Side::New, row), (Side::Present, present))? {
            return Ok(false);
        }
    }
    Ok(true)
}
