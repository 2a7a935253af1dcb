//! Compaction: small files of a partition become files of the usual size, and files of which many rows are gone are written again without
//! them. Tables with columns to order by have their rows ordered along a Z-curve instead. The rows of the table stay, and streams see no change.

use std::collections::BTreeMap;

use floe_graph::definition::z_order_columns;
use serde_json::{Map, Value};

use super::{Done, rewrite::Rewriter, zorder};
use crate::{
    commit::{CommitRequest, StagedFiles, TargetTable, WriterMemory, WriterOptions, action::Add, files, run_of, transaction},
    execute::StopSignal,
    failure::Failure,
};

/// A file is written again when its deletion vector marks more than this part of its rows.
const MOST_MARKED_PERCENT: u64 = 30;

/// Rows that are ordered together, at most; what is that large rests.
const LARGEST_ORDERED_BYTES: i64 = 16 << 30;

/// What was ordered together and is not larger is ordered again with every new file.
const SMALL_ORDERED_BYTES: i64 = 256 << 20;

/// What was ordered together and is larger waits until there is a part of so much in new files: a row is written a few times, not with
/// every round.
const MOST_AGAIN: i64 = 4;

/// Files that one commit replaces hold about so much: what a stop or a failure costs at most.
const COMMIT_BYTES: i64 = 4 << 30;

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

/// Compacts `table`, or orders its rows, in commits of some gigabytes, until `stop` is requested: what was done, and how it ended.
pub async fn run(table: &TargetTable, rewriter: &Rewriter, stop: &StopSignal) -> (Done, Result<(), Failure>) {
    let mut done = Done::new();
    let outcome = Box::pin(all(table, rewriter, stop, &mut done)).await;
    (done, outcome)
}

async fn all(table: &TargetTable, rewriter: &Rewriter, stop: &StopSignal, done: &mut Done) -> Result<(), Failure> {
    let active = files::active(table.location(), table.version()).await?;
    let columns = order_columns(table);
    let bins = if columns.is_empty() {
        bins(active, WriterOptions::of(table, WriterMemory::default()).target_file_bytes as i64)
    } else {
        unordered(active, &zorder::mark(&columns))
    };
    for bins in in_commits(bins) {
        if stop.is_requested() {
            break;
        }
        for (metric, number) in commit(table, rewriter, bins, &columns).await? {
            *done.entry(metric).or_default() += number;
        }
    }
    Ok(())
}

/// Replaces the files of every bin, in one commit.
async fn commit(table: &TargetTable, rewriter: &Rewriter, bins: Vec<Vec<Add>>, columns: &[String]) -> Result<Done, Failure> {
    let mut staged = StagedFiles::none(table.location());
    for bin in &bins {
        let written = if columns.is_empty() {
            Box::pin(rewriter.rewritten(table, bin.clone(), &|batch| Ok(batch.clone()))).await
        } else {
            Box::pin(rewriter.z_ordered(table, bin.clone(), columns)).await
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

/// The bins of each commit.
fn in_commits(bins: Vec<Vec<Add>>) -> Vec<Vec<Vec<Add>>> {
    packed(bins, COMMIT_BYTES, |bin| bin.iter().map(live_bytes).sum())
}

/// `things` in their order, as many together as are not larger than `most`; at least one.
fn packed<T>(things: Vec<T>, most: i64, bytes: impl Fn(&T) -> i64) -> Vec<Vec<T>> {
    let mut packs: Vec<Vec<T>> = Vec::new();
    let mut filled = 0;
    for thing in things {
        let size = bytes(&thing);
        match packs.last_mut() {
            Some(pack) if filled + size <= most => {
                pack.push(thing);
                filled += size;
            }
            _ => {
                packs.push(vec![thing]);
                filled = size;
            }
        }
    }
    packs
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
        bins.extend(packed(files, target, live_bytes));
    }
    bins.retain(|bin| bin.len() > 1 || bin.iter().any(is_worn));
    bins
}

/// Values of the partition columns of a file.
type Partition = BTreeMap<String, Option<String>>;

/// The files of one partition.
#[derive(Default)]
struct PartitionFiles {
    /// Those whose rows are in no order.
    fresh: Vec<Add>,
    /// Those that were ordered together.
    runs: BTreeMap<String, Vec<Add>>,
}

/// Files that are ordered together: those without `mark`, and what was ordered before as far as it is small beside them.
fn unordered(files: Vec<Add>, mark: &str) -> Vec<Vec<Add>> {
    let mut partitions: BTreeMap<Partition, PartitionFiles> = BTreeMap::new();
    for file in files.into_iter().filter(|file| !file.path.contains("://")) {
        let of_partition = partitions.entry(file.partition_values.clone()).or_default();
        if zorder::is_marked(&file.path, mark) && !is_worn(&file) {
            of_partition.runs.entry(run_of(&file.path).to_owned()).or_default().push(file);
        } else {
            of_partition.fresh.push(file);
        }
    }
    partitions.into_values().flat_map(|files| with_ordered(files.fresh, files.runs.into_values().collect())).collect()
}

/// `fresh` in parts that can be ordered at once, the last one together with those `runs` that it pays to order again.
fn with_ordered(fresh: Vec<Add>, mut runs: Vec<Vec<Add>>) -> Vec<Vec<Add>> {
    let size = |files: &Vec<Add>| files.iter().map(live_bytes).sum::<i64>();
    let mut parts = packed(fresh, LARGEST_ORDERED_BYTES, live_bytes);
    let Some(last) = parts.last_mut() else { return parts };
    runs.sort_by_key(size);
    let mut bytes = size(last);
    for run in runs {
        let more = size(&run);
        if bytes + more > LARGEST_ORDERED_BYTES || more > SMALL_ORDERED_BYTES.max(bytes * MOST_AGAIN) {
            break;
        }
        bytes += more;
        last.extend(run);
    }
    parts
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

    /// Every round brings a new file: the ordered ones do not pile up, and what was written in all stays near what is there.
    #[test]
    fn ordered_files_stay_few_and_rows_are_written_a_few_times() {
        let mark = zorder::mark(&["id".to_string()]);
        let (mut active, mut written) = (Vec::new(), 0);
        for round in 0..1000 {
            active.push(file(&format!("part-00000-{round}.snappy.parquet"), "1", 100 << 20));
            let parts = unordered(active.clone(), &mark);
            assert_eq!(parts.len(), 1);
            active.retain(|file| !parts[0].iter().any(|gone| gone.path == file.path));
            let size = parts[0].iter().map(live_bytes).sum();
            written += size;
            active.push(file(&format!("part-00000-o{round}.{mark}.snappy.parquet"), "1", size));
        }
        let small = active.iter().filter(|file| file.size < LARGEST_ORDERED_BYTES / 2).count();
        assert!(small <= 8, "{small}");
        let times = written / active.iter().map(live_bytes).sum::<i64>();
        assert!(times <= 8, "each row was written {times} times");
    }

    #[test]
    fn a_large_table_is_ordered_in_parts_and_committed_piece_by_piece() {
        let files: Vec<Add> = (0..5).map(|n| file(&format!("f{n}"), "1", LARGEST_ORDERED_BYTES / 2)).collect();
        let parts = unordered(files, &zorder::mark(&["id".to_string()]));
        assert_eq!(names(parts.clone()), [vec!["f0", "f1"], vec!["f2", "f3"], vec!["f4"]]);
        assert_eq!(in_commits(parts).len(), 3, "each is larger than a commit should be");
        let small = (0..9).map(|n| vec![file(&format!("f{n}"), "1", COMMIT_BYTES / 4)]).collect();
        assert_eq!(in_commits(small).iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 1]);
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
