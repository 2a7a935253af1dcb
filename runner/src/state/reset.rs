//! `_floe/resets/<update>.json`: a reset that has begun. Whoever finds the marker of an ended update finishes that reset first.

use floe_graph::plan::ResetKind;
use serde::{Deserialize, Serialize};

use crate::{
    failpoint,
    failure::Failure,
    state::format,
    storage::{Storage, layout},
};

/// What an update is resetting. Doing it twice has the effect of doing it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetMarker {
    /// Format of the document.
    pub version: u32,
    /// The update that began it.
    pub update: String,
    /// What it resets.
    pub resets: Vec<ResetEntry>,
    /// All of it is done. Stays as long as another process may go on with the update: it must not reset again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// One dataset of a reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetEntry {
    /// Full name.
    pub dataset: String,
    /// What happens to its rows.
    pub kind: StoredResetKind,
    /// Keys in the catalog of the tables that lose their rows: the dataset's own and that of its quarantine. The definition may not
    /// name them any more when the reset is finished.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Per flow the generation that it must have at least when the reset is done.
    pub generations: std::collections::BTreeMap<String, u64>,
}

/// [`ResetKind`] as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StoredResetKind {
    /// Tables are emptied and checkpoints start again.
    FullRefresh,
    /// Checkpoints start again, rows stay.
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

/// Writes the marker before anything is emptied. The same update may begin again after a kill.
pub async fn begin(storage: &Storage, marker: &ResetMarker) -> Result<(), Failure> {
    storage.root().put_if_absent(&layout::reset_path(&marker.update), format::to_json(marker)?).await?;
    failpoint::reach("reset::marker")
}

/// Markers of resets that have not ended, oldest update first. Those of ended updates other than `update` are deleted if they are done.
pub async fn unfinished(storage: &Storage, update: &str) -> Result<Vec<ResetMarker>, Failure> {
    let directory = storage.at(layout::RESETS);
    let mut objects = directory.list("").await?;
    objects.sort_by_key(|object| object.last_modified);
    let mut markers = Vec::with_capacity(objects.len());
    for object in objects {
        let Some(name) = directory.relative(&object.location) else { continue };
        let Some(bytes) = directory.get(&name).await? else { continue };
        let marker: ResetMarker = format::from_json(&bytes, &format!("{directory}/{name}"))?;
        if !marker.done {
            markers.push(marker);
        } else if marker.update != update {
            directory.delete(&name).await?;
        }
    }
    Ok(markers)
}

/// True if everything that `update` has to reset is reset.
pub async fn is_done(storage: &Storage, update: &str) -> Result<bool, Failure> {
    let path = layout::reset_path(update);
    let Some(bytes) = storage.root().get(&path).await? else { return Ok(false) };
    let marker: ResetMarker = format::from_json(&bytes, &path)?;
    Ok(marker.done)
}

/// All resets of `marker` are done: the marker is deleted, or says so if another process may go on with its update.
pub async fn end(storage: &Storage, marker: &ResetMarker, may_go_on: bool) -> Result<(), Failure> {
    failpoint::reach("reset::before_unmark")?;
    let path = layout::reset_path(&marker.update);
    if may_go_on {
        return storage.root().put(&path, format::to_json(&ResetMarker { done: true, ..marker.clone() })?).await;
    }
    storage.root().delete(&path).await
}
