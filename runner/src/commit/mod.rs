//! The only room that writes Delta: tables, data files and commits. One commit protocol for all of them (docs/design/0002).

pub mod action;
pub mod fit;
mod log;
mod partition;
mod schema;
mod stats;
pub mod table;
pub mod transaction;
pub mod writer;

pub use table::{KnownTable, TableSpec, TargetTable};
pub use transaction::{CommitOutcome, CommitRequest};
pub use writer::{StagedFiles, TableWriter, WriterOptions};
