//! Tables by key: the rows of a Delta table whose key is among some keys, with the place where each row stands, read without touching more of
//! the table than needed. Which rows are wanted, and what happens to them, is not decided here.

mod crowded;
mod filter;
mod hashes;
mod ranges;
mod rows;
mod scan;
mod stats;
#[cfg(test)]
mod tests;

pub use crowded::crowded;
pub use filter::{KeyFilter, KeyFilterBuilder, normalized};
pub use rows::{KeyedCounters, KeyedTotals, TableRows};

/// The hidden column that says where a row stands: number of the file in the [`TableRows`], and number of the row within the file.
pub const PLACE: &str = "__floe_place";

/// Bits of a place that are the number of the row.
const ROW_BITS: u32 = 40;

/// The place of row `row` of file `file`.
fn place(file: usize, row: u64) -> u64 {
    (file as u64) << ROW_BITS | row
}

/// File and row of `place`.
fn file_and_row(place: u64) -> (usize, u64) {
    ((place >> ROW_BITS) as usize, place & ((1 << ROW_BITS) - 1))
}
