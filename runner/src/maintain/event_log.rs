//! Retention of the event log: rows that are too old go, file by file; a file with old and young rows is written again.

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::TimestampMicrosecondType,
};
use serde_json::Value;

use super::{Done, rewrite::Rewriter};
use crate::{
    commit::{CommitRequest, StagedFiles, TargetTable, action::Add, files, transaction},
    failure::Failure,
};

const TIMESTAMP: &str = "timestamp";

/// Deletes the events from before `oldest` in one commit.
pub async fn retain(table: &TargetTable, rewriter: &Rewriter, oldest: DateTime<Utc>) -> Result<Done, Failure> {
    let active = files::active(table.location(), table.version()).await?;
    let bound = |file: &Add, which: &str| bound(file, which);
    let is_old = |file: &Add| bound(file, "maxValues").is_some_and(|newest| newest + TimeDelta::milliseconds(1) < oldest);
    let is_young = |file: &Add| bound(file, "minValues").is_some_and(|first| first >= oldest);
    let (gone, rest): (Vec<Add>, Vec<Add>) = active.into_iter().partition(is_old);
    let mixed: Vec<Add> = rest.into_iter().filter(|file| !is_young(file)).collect();
    let mut staged = StagedFiles::none(table.location());
    let mut replaced = gone;
    // Bounds in statistics are cut to milliseconds: only the rows themselves tell.
    for file in mixed {
        let rewritten = rewriter.rewritten(table, vec![file.clone()], &|batch| younger(batch, oldest)).await?;
        if rows(&file) == Some(rewritten.rows as i64) {
            rewritten.discard().await?;
        } else {
            staged = staged.and(rewritten);
            replaced.push(file);
        }
    }
    if replaced.is_empty() {
        return Ok(Done::new());
    }
    let before: i64 = replaced.iter().filter_map(rows).sum();
    let done = Done::from([("events_deleted", before - staged.rows as i64), ("files_removed", replaced.len() as i64)]);
    let request = CommitRequest { operation: "DELETE", step: Some("optimize"), ..CommitRequest::default() };
    transaction::rewrite(table, &replaced, staged, true, request).await?;
    Ok(done)
}

fn younger(batch: &RecordBatch, oldest: DateTime<Utc>) -> Result<RecordBatch, Failure> {
    let wrong = |error| Failure::internal(format!("events cannot be filtered by time: {error}"));
    let column = batch.column_by_name(TIMESTAMP).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let times = column.ok_or_else(|| Failure::internal("the event log has no column with times"))?;
    let keep: BooleanArray = times.iter().map(|time| Some(time.is_none_or(|time| time >= oldest.timestamp_micros()))).collect();
    filter_record_batch(batch, &keep).map_err(wrong)
}

fn stats(file: &Add) -> Option<Value> {
    serde_json::from_str(file.stats.as_deref()?).ok()
}

fn rows(file: &Add) -> Option<i64> {
    file.live_rows().map(|rows| rows as i64)
}

fn bound(file: &Add, which: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(stats(file)?.get(which)?.get(TIMESTAMP)?.as_str()?).ok().map(|time| time.to_utc())
}
