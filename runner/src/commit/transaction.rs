//! The commit loop: one Delta version with data, transaction ids and counters, written exactly once however often it is tried.

use serde_json::{Map, Value};

use crate::{
    commit::{
        table::{TableSpec, TargetTable},
        writer::StagedFiles,
    },
    failure::Failure,
};

/// What goes into a commit beside the files.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// Application ids and versions that the commit records. The first decides whether the commit is there already.
    pub transactions: Vec<(String, i64)>,
    /// Versions of the table up to this one are known not to hold the first transaction; `None` asks the log.
    /// A flow passes [`crate::state::Checkpoint::target_version`] unless it executes a pending batch again.
    pub absent_until: Option<i64>,
    /// `operation` of the history: `STREAMING UPDATE`, `WRITE` …
    pub operation: &'static str,
    /// `operationParameters` of the history.
    pub parameters: Map<String, Value>,
    /// Under `floe` in the commit's metadata: update id, flow, batch, counters.
    pub info: Map<String, Value>,
    /// Prefix of the failpoints around the put: `target`, `quarantine`, `event_log`, `mv`, `reset`.
    pub step: Option<&'static str>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is in the table now, as this version.
    Committed { version: i64 },
    /// The table held its transaction already, in this version or an earlier one; the staged files were deleted.
    AlreadyCommitted { version: i64 },
}

impl CommitOutcome {
    /// A version of the table that holds the commit.
    pub const fn version(self) -> i64 {
        match self {
            Self::Committed { version } | Self::AlreadyCommitted { version } => version,
        }
    }
}

/// Appends `files` to `table`.
pub async fn append(_table: &TargetTable, _files: StagedFiles, _request: CommitRequest) -> Result<CommitOutcome, Failure> {
    Err(Failure::internal("commits are not there yet"))
}

/// Replaces all rows of `table` by `files` in one commit. With `spec` the columns, partitioning, properties and comment become those of
/// `spec` in the same commit (the files must have been written for it, see [`TargetTable::planned`]).
pub async fn overwrite(
    _table: &mut TargetTable,
    _spec: Option<&TableSpec>,
    _files: StagedFiles,
    _request: CommitRequest,
) -> Result<CommitOutcome, Failure> {
    Err(Failure::internal("commits are not there yet"))
}
