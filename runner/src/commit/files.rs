//! The data files that make up a table: needed when all of them are replaced, and for what their statistics tell.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    commit::{
        action::{Action, Add, DeletionVector},
        log,
        table::TargetTable,
        transaction::REPLACES_ALL,
    },
    failpoint,
    failure::Failure,
    storage::{Location, delta_failure},
};

/// Commits looked at, newest first, for one that replaced everything.
const MAX_LOOK_BACK: i64 = 12;

/// The active files of `version`. A view's own commits tell without a replay of the log; other tables are opened by delta-rs.
pub async fn active(location: &Location, version: i64) -> Result<Vec<Add>, Failure> {
    match recent(location, version).await? {
        Some(files) => Ok(files),
        None => replayed(location, version).await,
    }
}

/// The active files, if a commit that replaced everything (or the first commit of the table) is near enough.
async fn recent(location: &Location, version: i64) -> Result<Option<Vec<Add>>, Failure> {
    let mut newest_first = Vec::new();
    for entry in (0..=version).rev().take(MAX_LOOK_BACK as usize) {
        let Some(actions) = log::read_commit(location, entry).await? else { return Ok(None) };
        let complete = entry == 0 || actions.iter().any(replaces_all);
        newest_first.push(actions);
        if complete {
            return Ok(Some(net(newest_first)));
        }
    }
    Ok(None)
}

pub(super) fn replaces_all(action: &Action) -> bool {
    matches!(action, Action::CommitInfo(info) if info.get("floe").and_then(|floe| floe.get(REPLACES_ALL)).and_then(Value::as_bool) == Some(true))
}

/// The files that are left of some versions, given newest first, of which the oldest began with none.
fn net(newest_first: Vec<Vec<Action>>) -> Vec<Add> {
    let mut active: HashMap<String, Add> = HashMap::new();
    for actions in newest_first.into_iter().rev() {
        // Within a version a file may be removed and added again with another deletion vector: removes come first.
        for action in &actions {
            if let Action::Remove(remove) = action {
                active.remove(&remove.path);
            }
        }
        for action in actions {
            if let Action::Add(add) = action {
                active.insert(add.path.clone(), add);
            }
        }
    }
    let mut files: Vec<Add> = active.into_values().collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The active files by a replay of the whole log.
async fn replayed(location: &Location, version: i64) -> Result<Vec<Add>, Failure> {
    let failure = |error| delta_failure("open", location, error);
    let table = Box::pin(location.delta()?.with_version(version as u64).load()).await.map_err(failure)?;
    let snapshot = table.snapshot().map_err(failure)?;
    let mut files = Vec::new();
    for view in snapshot.log_data().iter() {
        let removed = serde_json::to_value(view.remove_action(true))
            .map_err(|error| Failure::internal(format!("an action of {location}: {error}")))?;
        let text = |key: &str| removed.get(key).and_then(Value::as_str).map(str::to_owned);
        let vector = removed.get("deletionVector").filter(|vector| !vector.is_null()).map(DeletionVector::deserialize).transpose();
        files.push(Add {
            path: text("path").unwrap_or_default(),
            partition_values: serde_json::from_value(removed.get("partitionValues").cloned().unwrap_or_default()).unwrap_or_default(),
            size: removed.get("size").and_then(Value::as_i64).unwrap_or_default(),
            modification_time: view.modification_time(),
            data_change: true,
            stats: view.stats(),
            tags: None,
            deletion_vector: vector.map_err(|error| Failure::internal(format!("a deletion vector of {location}: {error}")))?,
        });
    }
    Ok(files)
}

/// True if the statistics of all files prove that `column` (a path with dots) holds no NULL.
pub(super) async fn holds_no_null(table: &TargetTable, column: &str) -> Result<bool, Failure> {
    proven_without_null(table.location(), table.version(), column).await
}

/// The same at `version` of the table at `location`.
pub async fn proven_without_null(location: &Location, version: i64, column: &str) -> Result<bool, Failure> {
    let files = active(location, version).await?;
    let none = |file: &Add| {
        let stats: Option<Value> = file.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok());
        let count = stats.as_ref().and_then(|stats| {
            let path = format!("/nullCount/{}", column.replace('.', "/"));
            stats.pointer(&path).and_then(Value::as_i64)
        });
        count == Some(0)
    };
    Ok(files.iter().all(none))
}

/// Writes a checkpoint of the log at `version`.
pub(super) async fn write_checkpoint(location: &Location, version: i64) -> Result<(), Failure> {
    failpoint::reach("checkpoint::before")?;
    let failure = |error| delta_failure("write the checkpoint of", location, error);
    let table = Box::pin(location.delta()?.with_version(version as u64).load()).await.map_err(failure)?;
    Box::pin(deltalake::checkpoints::create_checkpoint(&table, None)).await.map_err(failure)?;
    failpoint::reach("checkpoint::after")
}
