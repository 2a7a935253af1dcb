//! Files of a table by key stay few: which of them are worth merging.

/// Files of about one size (the next size is so many times as large) are merged when there are twice as many.
const FILES_OF_ONE_SIZE: usize = 4;
/// Files below this size are all of one size.
const SMALL_BYTES: i64 = 1 << 20;

/// The smallest of `files` up to the largest size of which there are many, and the others, both by size. Nothing is worth merging if no size
/// has many.
pub fn crowded<T>(mut files: Vec<T>, bytes: impl Fn(&T) -> i64) -> (Vec<T>, Vec<T>) {
    files.sort_by_key(&bytes);
    let size = |file: &T| (bytes(file).max(SMALL_BYTES) / SMALL_BYTES).ilog(FILES_OF_ONE_SIZE as i64);
    let mut same = files.chunk_by(|a, b| size(a) == size(b)).rev();
    match same.find(|same| same.len() >= 2 * FILES_OF_ONE_SIZE).map(|same| size(&same[0])) {
        Some(crowded) => files.into_iter().partition(|file| size(file) <= crowded),
        None => (Vec::new(), files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_merged_when_there_are_many_and_large_ones_rest() {
        let files = |small: i64| (0..small).map(|n| 1000 + n).chain([400 << 20]).rev().collect::<Vec<i64>>();
        assert_eq!(crowded(files(7), |bytes| *bytes), (Vec::new(), (1000..1007).chain([400 << 20]).collect()));
        assert_eq!(crowded(files(8), |bytes| *bytes), ((1000..1008).collect(), vec![400 << 20]));
        // Eight of the second size take the smaller ones with them.
        let second = [vec![10], vec![5 << 20; 8], vec![400 << 20]].concat();
        assert_eq!(crowded(second, |bytes| *bytes).0.len(), 9);
    }
}
