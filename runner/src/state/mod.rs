//! What an update remembers beside the tables: positions of flows, files taken, what was set up, resets that have begun, who is running.

pub mod catalog;
pub mod checkpoint;
pub mod format;
pub mod ledger;
pub mod lock;
pub mod remembered;
pub mod reset;
mod schemas;
mod segment;
mod source_id;
#[cfg(test)]
mod tests;
pub mod view;
mod widened;

pub use checkpoint::Checkpoint;
pub use format::{BatchCommit, BatchOffsets, BatchState, FileEntry, OperatorState, Segment, SourcePosition, SourceRange, StaticVersion};
pub use schemas::FoundSchemas;
pub use source_id::SourceId;
