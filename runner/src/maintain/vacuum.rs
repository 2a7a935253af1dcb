//! Vacuum: files that no version of the retention time, and no reader of the pipeline, needs are deleted.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use super::{Done, readers::Need};
use crate::{
    commit::{
        TargetTable,
        action::{Action, DeletionVector},
        deletion_vector, files, table,
    },
    failure::Failure,
    storage::{Location, decoded_path},
};

/// Log entries read at once.
const COMMITS_AT_ONCE: i64 = 64;
/// Files deleted at once.
const DELETIONS_AT_ONCE: usize = 16;

/// Deletes what nobody needs that was not older than `oldest` when it was replaced.
pub async fn run(table: &TargetTable, oldest: DateTime<Utc>, need: &Need) -> Result<Done, Failure> {
    let Some(needed) = needed(table, oldest, need).await? else {
        tracing::warn!(table = table.dataset(), "the log lacks entries that say which files are needed: no file is deleted");
        return Ok(Done::new());
    };
    let location = table.location();
    let mut going: Vec<(String, u64)> = Vec::new();
    for object in location.list("").await? {
        let Some(path) = location.relative(&object.location) else { continue };
        if is_outdated(&path, &object, oldest) && !needed.contains(&path) {
            going.push((path, object.size));
        }
    }
    let bytes: u64 = going.iter().map(|(_, size)| size).sum();
    let deletions = stream::iter(going.iter().map(|(path, _)| location.delete(path)));
    deletions.buffer_unordered(DELETIONS_AT_ONCE).try_collect::<Vec<()>>().await?;
    if going.is_empty() {
        Ok(Done::new())
    } else {
        Ok(Done::from([("files_deleted", going.len() as i64), ("bytes_deleted", bytes as i64)]))
    }
}

/// True for a data file from before `oldest`; the log and hidden files have rules of their own.
fn is_outdated(path: &str, object: &ObjectMeta, oldest: DateTime<Utc>) -> bool {
    let is_hidden = |part: &str| part.starts_with('.') || part.starts_with('_') && !part.contains('=') && part != "_change_data";
    object.last_modified < oldest && !path.split('/').any(is_hidden)
}

/// Paths of all files that somebody needs; `None` if the log does not tell.
async fn needed(table: &TargetTable, oldest: DateTime<Utc>, need: &Need) -> Result<Option<HashSet<String>>, Failure> {
    let location = table.location();
    let mut needed = HashSet::new();
    for version in need.pinned.iter().copied().chain([table.version()]) {
        let active = files::active(location, version).await?;
        for file in active {
            need_file(location, &file.path, file.deletion_vector.as_ref(), &mut needed);
        }
    }
    let mut to = table.version();
    // From the newest commit back: what was removed within the retention time, and what was added after the slowest reader.
    while to >= 0 {
        let from = (to - COMMITS_AT_ONCE).max(-1);
        let Some(commits) = table::commits(location, from, to).await? else {
            // Entries beyond the retention of the log are not there, and nobody needs them.
            return Ok(one_by_one(table, oldest, need, to, &mut needed).await?.then_some(needed));
        };
        for commit in commits.iter().rev() {
            let is_recent = commit_time(&commit.actions).is_none_or(|time| time >= oldest);
            let is_unread = need.files_after.is_some_and(|read| commit.version > read);
            if !is_recent && !is_unread {
                return Ok(Some(needed));
            }
            take(location, &commit.actions, is_recent, is_unread, &mut needed);
        }
        to = from;
    }
    Ok(Some(needed))
}

/// The same for the last entries before a gap: the gap must lie before everything that is needed. A commit before the retention time says so.
async fn one_by_one(
    table: &TargetTable,
    oldest: DateTime<Utc>,
    need: &Need,
    newest: i64,
    needed: &mut HashSet<String>,
) -> Result<bool, Failure> {
    for version in (0..=newest).rev() {
        let is_unread = need.files_after.is_some_and(|read| version > read);
        let Some(commits) = table::commits(table.location(), version - 1, version).await? else { return Ok(false) };
        let actions = commits.into_iter().flat_map(|commit| commit.actions).collect::<Vec<_>>();
        let is_recent = commit_time(&actions).is_none_or(|time| time >= oldest);
        if !is_recent && !is_unread {
            return Ok(true);
        }
        take(table.location(), &actions, is_recent, is_unread, needed);
    }
    Ok(true)
}

fn take(location: &Location, actions: &[Action], removed: bool, added: bool, needed: &mut HashSet<String>) {
    for action in actions {
        match action {
            Action::Remove(file) if removed => need_file(location, &file.path, file.deletion_vector.as_ref(), needed),
            Action::Add(file) if added => need_file(location, &file.path, file.deletion_vector.as_ref(), needed),
            Action::Cdc(file) if removed || added => _ = needed.insert(decoded_path(&file.path)),
            _ => {}
        }
    }
}

/// A data file is of no use without its deletion vector.
fn need_file(location: &Location, path: &str, vector: Option<&DeletionVector>, needed: &mut HashSet<String>) {
    needed.insert(decoded_path(path));
    needed.extend(vector.and_then(|vector| deletion_vector::path_below(location, vector)));
}

/// When a version was committed.
pub fn commit_time(actions: &[Action]) -> Option<DateTime<Utc>> {
    actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => DateTime::from_timestamp_millis(info.get("timestamp")?.as_i64()?),
        _ => None,
    })
}
