//! Which tracked columns begin rows of history on their own: a column that says when a row was last looked at makes a history of nothing.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BooleanArray, UInt32Array},
        compute::{kernels::cmp::distinct, take},
    },
    error::Result,
};

use super::images::{Images, Side};

/// New rows of history that end an older one, and what begins them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// How many.
    pub rows: u64,
    /// Per tracked column in how many of them it is the only one that changed.
    pub alone: Vec<u64>,
}

impl Noise {
    /// Adds another part.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.alone.resize(self.alone.len().max(other.alone.len()), 0);
        self.alone.iter_mut().zip(&other.alone).for_each(|(sum, more)| *sum += more);
    }

    /// The column that changed alone in more than nine of ten rows, if they are enough to say so.
    pub fn column(&self) -> Option<usize> {
        const ENOUGH: u64 = 1000;
        self.alone.iter().position(|alone| self.rows >= ENOUGH && alone * 10 > self.rows * 9)
    }
}

/// Compares rows `before` with rows `after` of the tracked columns, pair by pair.
pub(super) fn noise(tracked: &[ArrayRef], before: Vec<u32>, after: Vec<u32>) -> Result<Noise> {
    let rows = before.len();
    if rows == 0 {
        return Ok(Noise::default());
    }
    let (before, after) = (UInt32Array::from(before), UInt32Array::from(after));
    let changed = |column: &ArrayRef| differ(&take(column, &before, None)?, &take(column, &after, None)?);
    let changed = tracked.iter().map(changed).collect::<Result<Vec<BooleanArray>>>()?;
    let mut alone = vec![0; tracked.len()];
    for row in 0..rows {
        let mut columns = (0..changed.len()).filter(|column| changed[*column].value(row));
        if let (Some(only), None) = (columns.next(), columns.next()) {
            alone[only] += 1;
        }
    }
    Ok(Noise { rows: rows as u64, alone })
}

/// Which values differ, NULLs being equal.
fn differ(before: &ArrayRef, after: &ArrayRef) -> Result<BooleanArray> {
    if !before.data_type().is_nested() {
        return Ok(distinct(before, after)?);
    }
    let images = Images::new(vec![ArrayRef::clone(before)], vec![ArrayRef::clone(after)]);
    let differ = |row| Ok(!images.are_equal((Side::New, row), (Side::Present, row))?);
    (0..before.len()).map(differ).collect::<Result<Vec<bool>>>().map(BooleanArray::from)
}
