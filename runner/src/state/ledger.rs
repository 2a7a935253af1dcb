//! Files that a flow has taken from one source: sorted segments, and behind them the files of the newest batches.

use crate::{failure::Failure, state::format::FileEntry};

/// The taken files of one source of one flow.
#[derive(Debug, Default)]
pub struct Ledger {}

/// What a listing has that was not taken yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// In file order: modification time, then path.
    pub files: Vec<FileEntry>,
    /// Known files whose size or modification time changed; with [`Overwrites::ReadAgain`] they are in `files` too.
    pub overwritten: u64,
}

/// What to do with a known file that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrites {
    Ignore,
    /// `allowOverwrites`
    ReadAgain,
}

/// One row of `cloud_files_state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenFile {
    pub file: FileEntry,
    pub batch: i64,
    /// When its batch was planned, µs since 1970 UTC.
    pub taken_us: i64,
}

impl Ledger {
    /// The files of `listing` that were not taken yet. A listing equal to the last one that had nothing new costs one small read.
    pub async fn unseen(&self, _listing: Vec<FileEntry>, _overwrites: Overwrites) -> Result<Unseen, Failure> {
        Err(Failure::internal("the ledger is not there yet"))
    }

    /// All taken files, by path.
    pub async fn taken(&self) -> Result<Vec<TakenFile>, Failure> {
        Err(Failure::internal("the ledger is not there yet"))
    }
}
