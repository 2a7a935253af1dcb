//! `_floe/resets/<update>.json`: a reset that has begun. Whoever finds the marker of an ended update finishes that reset first.

use floe_graph::plan::ResetKind;
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, storage::Storage};

/// What an update is resetting. Doing it twice has the effect of doing it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetMarker {
    pub version: u32,
    pub update: String,
    pub resets: Vec<ResetEntry>,
}

/// One dataset of a reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetEntry {
    pub dataset: String,
    pub kind: StoredResetKind,
    /// Per flow the generation that it must have at least when the reset is done.
    pub generations: std::collections::BTreeMap<String, u64>,
}

/// [`ResetKind`] as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StoredResetKind {
    FullRefresh,
    CheckpointReset,
}

impl From<ResetKind> for StoredResetKind {
    fn from(kind: ResetKind) -> Self {
        match kind {
            ResetKind::FullRefresh => Self::FullRefresh,
            ResetKind::CheckpointReset => Self::CheckpointReset,
        }
    }
}

/// Writes the marker before anything is emptied.
pub async fn begin(_storage: &Storage, _marker: &ResetMarker) -> Result<(), Failure> {
    Err(Failure::internal("resets are not there yet"))
}

/// Markers of resets that have not ended, oldest update first.
pub async fn unfinished(_storage: &Storage) -> Result<Vec<ResetMarker>, Failure> {
    Err(Failure::internal("resets are not there yet"))
}

/// Deletes the marker of `update` when all its resets are done.
pub async fn end(_storage: &Storage, _update: &str) -> Result<(), Failure> {
    Err(Failure::internal("resets are not there yet"))
}
