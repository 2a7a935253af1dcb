//! What flows read: files and Delta tables. A source knows no flow: it is given a relation and a position or a range, and gives
//! ranges or a table provider with exactly the schema of the relation.

mod counters;
pub mod delta;
mod failure;
pub mod files;
mod order;

pub use counters::{ReadCounters, ReadTotals};
pub use delta::{DeltaPlan, DeltaSource, ObservedTable, PlannedRange, SkippedCommit};
pub use failure::{invalid_options, read_failure};
pub use files::FileSource;
