//! Tables by key stay quick to read: which of their files are worth merging.

use std::collections::HashMap;

use crate::commit::{action::Add, run_of};

/// Runs of about one size (the next size is so many times as large) are merged when there are twice as many.
const RUNS_OF_ONE_SIZE: usize = 4;
/// Runs below this size are all of one size.
const SMALL_BYTES: i64 = 1 << 20;

/// The smallest of `files` up to the largest size of which there are many, and the others. Nothing is worth merging if no size has many.
///
/// What one writer wrote counts as one, a run: its files are sorted by key, so each key stands in one of them, and merging them alone would bring nothing.
pub fn crowded<T>(files: Vec<T>, add: impl Fn(&T) -> &Add) -> (Vec<T>, Vec<T>) {
    let mut bytes: HashMap<String, i64> = HashMap::new();
    for file in &files {
        *bytes.entry(run_of(&add(file).path).to_string()).or_default() += add(file).size;
    }
    let size = |bytes: i64| (bytes.max(SMALL_BYTES) / SMALL_BYTES).ilog(RUNS_OF_ONE_SIZE as i64);
    let mut runs: Vec<u32> = bytes.values().map(|bytes| size(*bytes)).collect();
    runs.sort_unstable();
    let many = runs.chunk_by(u32::eq).rev().find(|same| same.len() >= 2 * RUNS_OF_ONE_SIZE).map(|same| same[0]);
    files
        .into_iter()
        .partition(|file| many.is_some_and(|many| bytes.get(run_of(&add(file).path)).is_some_and(|bytes| size(*bytes) <= many)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` files of `bytes` each that one writer wrote.
    fn run(name: &str, count: u32, bytes: i64) -> Vec<Add> {
        let file = |number: u32| Add {
            path: format!("part-{number:05}-{name}.snappy.parquet"),
            partition_values: std::collections::BTreeMap::default(),
            size: bytes,
            modification_time: 0,
            data_change: true,
            stats: None,
            tags: None,
            deletion_vector: None,
        };
        (0..count).map(file).collect()
    }

    fn runs(names: &str, bytes: i64) -> Vec<Add> {
        names.chars().flat_map(|name| run(&name.to_string(), 1, bytes)).collect()
    }

    fn merged(files: &[Vec<Add>]) -> usize {
        crowded(files.concat(), |add| add).0.len()
    }

    #[test]
    fn small_runs_are_merged_when_there_are_many_and_large_ones_rest() {
        let large = runs("L", 400 << 20);
        assert_eq!(merged(&[large.clone(), runs("abcdefg", 1000)]), 0);
        let (merge, rest) = crowded([large.clone(), runs("abcdefgh", 1000)].concat(), |add| add);
        assert_eq!((merge, rest), (runs("abcdefgh", 1000), large.clone()));
        // Eight of the second size take the smaller ones with them.
        assert_eq!(merged(&[runs("a", 10), runs("bcdefghi", 5 << 20), large]), 9);
    }

    #[test]
    fn files_of_one_writer_are_no_crowd() {
        let large = run("large", 20, 10 << 20);
        assert_eq!(merged(&[large.clone(), runs("abc", 10 << 20)]), 0);
        let many: Vec<Add> = (0..8).flat_map(|number| run(&format!("{number}"), 20, 10 << 20)).collect();
        assert_eq!(merged(&[many]), 160);
    }
}
