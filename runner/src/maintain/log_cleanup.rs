//! Old entries of a Delta log go when a checkpoint stands for them and no reader needs them one by one.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use super::{Done, readers::Need};
use crate::{commit::TargetTable, failure::Failure};

const LOG: &str = "_delta_log";
/// Entries deleted at once.
const DELETIONS_AT_ONCE: usize = 16;

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    version: i64,
    is_checkpoint: bool,
    modified: DateTime<Utc>,
}

/// Deletes entries from before `oldest` that nobody needs.
pub async fn run(table: &TargetTable, oldest: DateTime<Utc>, need: &Need) -> Result<Done, Failure> {
    let log = table.location().join(LOG);
    let entry = |object: object_store::ObjectMeta| entry(&log.relative(&object.location)?, object.last_modified);
    let entries: Vec<Entry> = log.list("").await?.into_iter().filter_map(entry).collect();
    let going = outdated(&entries, oldest, need.oldest_of_log());
    // Oldest first: a log that lacks its beginning is a log, one with a hole is not.
    let deletions = stream::iter(going.iter().map(|name| log.delete(name)));
    deletions.buffered(DELETIONS_AT_ONCE).try_collect::<Vec<()>>().await?;
    if going.is_empty() { Ok(Done::new()) } else { Ok(Done::from([("entries_deleted", going.len() as i64)])) }
}

fn entry(name: &str, modified: DateTime<Utc>) -> Option<Entry> {
    let (digits, rest) = name.split_at_checked(20)?;
    let is_checkpoint = rest == ".checkpoint.parquet";
    let version = digits.parse().ok()?;
    (is_checkpoint || rest == ".json" || rest == ".crc").then(|| Entry { name: name.to_string(), version, is_checkpoint, modified })
}

/// Names of the entries before the newest checkpoint that is old enough and not newer than what is `needed`, oldest first.
fn outdated(entries: &[Entry], oldest: DateTime<Utc>, needed: Option<i64>) -> Vec<String> {
    let is_old = |entry: &&Entry| entry.modified < oldest;
    let may_be_first = |entry: &&Entry| entry.is_checkpoint && needed.is_none_or(|needed| entry.version <= needed);
    let Some(first) = entries.iter().filter(is_old).filter(may_be_first).map(|entry| entry.version).max() else { return Vec::new() };
    let mut going: Vec<&Entry> = entries.iter().filter(|entry| entry.version < first).filter(is_old).collect();
    going.sort_by(|a, b| a.name.cmp(&b.name));
    going.into_iter().map(|entry| entry.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn entries_go_up_to_a_checkpoint_that_is_old_and_read_by_all() {
        let now = Utc::now();
        let at = |days: i64| now - TimeDelta::days(days);
        let mut entries: Vec<Entry> = (0..30).filter_map(|version| entry(&format!("{version:020}.json"), at(40 - version))).collect();
        entries.extend([10, 20].into_iter().filter_map(|version| entry(&format!("{version:020}.checkpoint.parquet"), at(40 - version))));
        let count = |days, needed| outdated(&entries, at(days), needed).len();
        assert_eq!((count(30, None), count(15, None), count(45, None)), (0, 21, 0));
        assert_eq!((count(15, Some(19)), count(15, Some(20)), count(15, Some(3))), (10, 21, 0));
        assert!(
            entry("_last_checkpoint", now).is_none() && entry("00000000000000000010.00000000000000000020.compacted.json", now).is_none()
        );
    }
}
