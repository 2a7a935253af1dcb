//! The only room that writes Delta: tables, data files and commits. One commit protocol for all of them (docs/design/0002).

pub mod action;
mod alter;
mod change;
mod change_data;
mod clustered;
pub mod data_file;
pub mod deletion_vector;
pub mod files;
pub mod fit;
mod log;
mod memory;
pub mod partition;
pub mod properties;
mod retype;
pub mod row_rules;
mod schema;
pub mod size;
mod stats;
pub mod table;
#[cfg(test)]
mod tests;
pub mod transaction;
pub mod writer;

pub use change::{GoingRows, RowChange};
pub use change_data::{ChangeDataWriter, ChangeType, StagedChangeData};
pub use clustered::clustered;
pub use log::{KnownTable, VersionActions};
pub use memory::WriterMemory;
pub use retype::{Rewriting, Rewritten};
pub use row_rules::RowRules;
pub use size::TableSize;
pub use table::{Altered, TableSpec, TargetTable};
pub use transaction::{CommitOutcome, CommitRequest};
pub use writer::{StagedFiles, TableWriter, WriterOptions, run_of};
