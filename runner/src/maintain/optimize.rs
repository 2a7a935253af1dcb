//! Compaction: small files of a partition become files of the usual size, and files of which many rows are gone are written again without
//! them. Tables with columns to order by have their rows ordered along a Z-curve instead. The rows of the table stay, and streams see no change.

use std::collections::BTreeMap;

use floe_graph::definition::z_order_columns;
use serde_json::{Map, Value};

use super::{Done, rewrite::Rewriter, zorder};
use crate::{
    commit::{CommitRequest, StagedFiles, TargetTable, WriterMemory, WriterOptions, action::Add, files, transaction},
    failure::Failure,
};

/// A file is written again when its deletion vector marks more than this part of its rows.
const MOST_MARKED_PERCENT: u64 = 30;

/// Ordered files of a partition are ordered again together with new ones until they are so large; then they rest.
const LARGEST_ORDERED_BYTES: i64 = 4 << 30;

/// The columns by which maintenance orders the rows of `table`: those of `CLUSTER BY`, else of `zOrderCols`; a table by key keeps its order.
pub fn order_columns(table: &TargetTable) -> Vec<String> {
    if !table.key_columns().is_empty() {
        return Vec::new();
    }
    let clustered = table.cluster_columns();
    let wanted = if clustered.is_empty() { z_order_columns(table.properties()) } else { clustered };
    let spelt = |name: &String| table.schema().fields().iter().map(|field| field.name()).find(|column| column.eq_ignore_ascii_case(name));
    wanted.iter().filter_map(spelt).filter(|name| !table.partition_columns().contains(name)).cloned().collect()
}

/// Compacts `table`, or orders its rows: one commit for all that is small or new.
pub async fn run(table: &TargetTable, rewriter: &Rewriter) -> Result<Done, Failure> {
    let active = files::active(table.location(), table.version()).await?;
    let columns = order_columns(table);
    let bins = if columns.is_empty() {
        bins(active, WriterOptions::of(table, WriterMemory::default()).target_file_bytes as i64)
    } else {
        unordered(active, &zorder::mark(&columns))
    };
    if bins.is_empty() {
        return Ok(Done::new());
    }
    let mut staged = StagedFiles::none(table.location());
    for bin in &bins {
        let written = if columns.is_empty() {
            Box::pin(rewriter.rewritten(table, bin.clone(), &|batch| Ok(batch.clone()))).await
        } else {
            Box::pin(rewriter.z_ordered(table, bin.clone(), &columns)).await
        };
        match written {
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
        parameters: Map::from_iter([
            ("predicate".to_string(), Value::from("[]")),
            ("zOrderBy".to_string(), Value::from(serde_json::json!(columns).to_string())),
        ]),
        step: Some("optimize"),
        ..CommitRequest::default()
    };
    transaction::rewrite(table, &replaced, staged, false, request).await?;
    Ok(done)
}

/// Files that become one: small ones of the same partition, up to `target` bytes, oldest first. A file alone stays as it is, unless too many
/// of its rows are gone.
fn bins(files: Vec<Add>, target: i64) -> Vec<Vec<Add>> {
    let mut partitions: BTreeMap<BTreeMap<String, Option<String>>, Vec<Add>> = BTreeMap::new();
    // What stands elsewhere was written by another engine.
    let is_own = |file: &Add| !file.path.contains("://");
    for file in files.into_iter().filter(|file| is_own(file) && (live_bytes(file) < target / 2 || is_worn(file))) {
        partitions.entry(file.partition_values.clone()).or_default().push(file);
    }
    let mut bins = Vec::new();
    for mut files in partitions.into_values() {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut bin: Vec<Add> = Vec::new();
        let mut bytes = 0;
        for file in files {
            let live = live_bytes(&file);
            if bytes + live > target && !bin.is_empty() {
                bins.push(std::mem::take(&mut bin));
                bytes = 0;
            }
            bytes += live;
            bin.push(file);
        }
        bins.push(bin);
    }
    bins.retain(|bin| bin.len() > 1 || bin.iter().any(is_worn));
    bins
}

/// Values of the partition columns of a file.
type Partition = BTreeMap<String, Option<String>>;

/// Per partition that has files without `mark` these and, as long as they are not too large, the ones with it.
fn unordered(files: Vec<Add>, mark: &str) -> Vec<Vec<Add>> {
    let mut partitions: BTreeMap<Partition, (Vec<Add>, Vec<Add>)> = BTreeMap::new();
    for file in files.into_iter().filter(|file| !file.path.contains("://")) {
        let (fresh, ordered) = partitions.entry(file.partition_values.clone()).or_default();
        let is_ordered = zorder::is_marked(&file.path, mark) && !is_worn(&file);
        if is_ordered { ordered } else { fresh }.push(file);
    }
    let with_ordered = |(mut fresh, ordered): (Vec<Add>, Vec<Add>)| {
        if !fresh.is_empty() && ordered.iter().map(live_bytes).sum::<i64>() < LARGEST_ORDERED_BYTES {
            fresh.extend(ordered);
        }
        fresh
    };
    partitions.into_values().map(with_ordered).filter(|files| !files.is_empty()).collect()
}

fn is_worn(file: &Add) -> bool {
    file.rows().is_some_and(|rows| file.marked_rows() * 100 > rows * MOST_MARKED_PERCENT)
}

/// About the size of the file without the rows that are gone.
fn live_bytes(file: &Add) -> i64 {
    match (file.live_rows(), file.rows()) {
        (Some(live), Some(rows)) if live < rows => (i128::from(file.size) * i128::from(live) / i128::from(rows)) as i64,
        _ => file.size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::action::{DeletionVector, VectorStorage};

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

    fn marked(file: Add, rows: u64, cardinality: i64) -> Add {
        let vector = DeletionVector {
            storage_type: VectorStorage::Inline,
            path_or_inline_dv: String::new(),
            offset: None,
            size_in_bytes: 0,
            cardinality,
        };
        Add { deletion_vector: Some(vector), stats: Some(format!("{{\"numRecords\":{rows}}}")), ..file }
    }

    fn names(bins: Vec<Vec<Add>>) -> Vec<Vec<String>> {
        bins.into_iter().map(|bin| bin.into_iter().map(|file| file.path).collect()).collect()
    }

    #[test]
    fn small_files_of_one_partition_go_together_and_large_ones_stay() {
        let files = vec![
            file("d", "1", 40),
            file("a", "1", 40),
            file("b", "1", 40),
            file("c", "1", 60),
            file("e", "2", 1),
            file("f", "1", 10),
            Add { path: "s3://elsewhere/x".to_string(), ..file("x", "1", 1) },
        ];
        assert_eq!(names(bins(files, 100)), [vec!["a", "b"], vec!["d", "f"]]);
        assert!(bins(vec![file("a", "1", 1)], 100).is_empty());
    }

    #[test]
    fn new_files_are_ordered_with_the_ordered_ones_of_their_partition() {
        let mark = zorder::mark(&["id".to_string()]);
        let ordered = |name: &str, day, size| file(&format!("part-00000-{name}.{mark}.snappy.parquet"), day, size);
        let all = vec![ordered("a", "1", 10), file("part-00000-b.snappy.parquet", "1", 10), ordered("c", "2", 10)];
        assert_eq!(names(unordered(all, &mark)).concat(), ["part-00000-b.snappy.parquet", ordered("a", "1", 10).path.as_str()]);
        assert!(unordered(vec![ordered("a", "1", 10), ordered("c", "2", 10)], &mark).is_empty(), "nothing is new");
        assert_eq!(unordered(vec![ordered("a", "1", 10)], &zorder::mark(&["other".to_string()])).len(), 1, "other columns, another order");
        let large = vec![ordered("a", "1", LARGEST_ORDERED_BYTES), file("part-00000-b.snappy.parquet", "1", 10)];
        assert_eq!(names(unordered(large, &mark)), [vec!["part-00000-b.snappy.parquet"]], "what is large rests");
    }

    #[test]
    fn files_of_which_many_rows_are_gone_are_written_again() {
        let large = |name, gone| marked(file(name, "1", 90), 10, gone);
        assert_eq!(names(bins(vec![large("a", 4)], 100)), [vec!["a"]], "alone too");
        assert!(bins(vec![large("a", 3), large("b", 3)], 100).is_empty(), "not yet");
        // What is left of them counts as their size.
        assert_eq!(names(bins(vec![large("a", 6), large("b", 5), file("c", "1", 20)], 100)), [vec!["a", "b"]]);
        assert_eq!(names(bins(vec![large("a", 10), file("c", "1", 20)], 100)), [vec!["a", "c"]]);
    }
}
