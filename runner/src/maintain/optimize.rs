//! Compaction: small files of a partition become files of the usual size. The rows stay, and streams see no change.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Done, rewrite::Rewriter};
use crate::{
    commit::{CommitRequest, StagedFiles, TargetTable, WriterOptions, action::Add, files, transaction},
    failure::Failure,
};

/// Compacts `table`: one commit for all that is small.
pub async fn run(table: &TargetTable, rewriter: &Rewriter) -> Result<Done, Failure> {
    let active = files::active(table.location(), table.version()).await?;
    let bins = bins(active, WriterOptions::default().target_file_bytes as i64);
    if bins.is_empty() {
        return Ok(Done::new());
    }
    let mut staged = StagedFiles::none(table.location());
    for bin in &bins {
        match rewriter.rewritten(table, bin.clone(), &|batch| Ok(batch.clone())).await {
            Ok(files) => staged = staged.and(files),
            Err(failure) => {
                staged.discard().await?;
                return Err(failure);
            }
        }
    }
    let replaced: Vec<Add> = bins.into_iter().flatten().collect();
    let done = Done::from([
        ("files_removed", replaced.len() as i64),
        ("files_added", staged.adds.len() as i64),
        ("bytes_removed", replaced.iter().map(|file| file.size).sum()),
        ("bytes_added", staged.bytes as i64),
    ]);
    let request = CommitRequest {
        operation: "OPTIMIZE",
        parameters: Map::from_iter([("predicate".to_string(), Value::from("[]"))]),
        step: Some("optimize"),
        ..CommitRequest::default()
    };
    transaction::rewrite(table, &replaced, staged, false, request).await?;
    Ok(done)
}

/// Files that become one: small ones of the same partition, up to `target` bytes, oldest first. A file alone stays as it is.
fn bins(files: Vec<Add>, target: i64) -> Vec<Vec<Add>> {
    let mut partitions: BTreeMap<BTreeMap<String, Option<String>>, Vec<Add>> = BTreeMap::new();
    // What marks deleted rows, or stands elsewhere, was written by another engine.
    let is_plain = |file: &Add| file.deletion_vector.is_none() && !file.path.contains("://");
    for file in files.into_iter().filter(|file| file.size < target / 2 && is_plain(file)) {
        partitions.entry(file.partition_values.clone()).or_default().push(file);
    }
    let mut bins = Vec::new();
    for mut files in partitions.into_values() {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut bin: Vec<Add> = Vec::new();
        let mut bytes = 0;
        for file in files {
            if bytes + file.size > target && !bin.is_empty() {
                bins.push(std::mem::take(&mut bin));
                bytes = 0;
            }
            bytes += file.size;
            bin.push(file);
        }
        bins.push(bin);
    }
    bins.retain(|bin| bin.len() > 1);
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, day: &str, size: i64) -> Add {
        Add {
            path: path.to_string(),
            partition_values: BTreeMap::from([("day".to_string(), Some(day.to_string()))]),
            size,
            modification_time: 0,
            data_change: true,
            stats: None,
            tags: None,
            deletion_vector: None,
        }
    }

    #[test]
    fn small_files_of_one_partition_go_together_and_large_ones_stay() {
        let marked = Add { deletion_vector: Some(Value::from(1)), ..file("m", "1", 1) };
        let files = vec![
            file("d", "1", 40),
            file("a", "1", 40),
            file("b", "1", 40),
            file("c", "1", 60),
            file("e", "2", 1),
            file("f", "1", 10),
            marked,
        ];
        let names: Vec<Vec<String>> = bins(files, 100).into_iter().map(|bin| bin.into_iter().map(|file| file.path).collect()).collect();
        assert_eq!(names, [vec!["a", "b"], vec!["d", "f"]]);
        assert!(bins(vec![file("a", "1", 1)], 100).is_empty());
    }
}
