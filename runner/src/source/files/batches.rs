//! Micro-batches of files, and a fingerprint of a listing.

use floe_graph::source_options::BatchLimits;
use sha2::{Digest, Sha256};

use crate::state::FileEntry;

/// `files`, in their order, in batches of at most `max_files` and about `max_bytes`: a batch has at least one file.
pub fn split_batches(files: Vec<FileEntry>, limits: BatchLimits) -> Vec<Vec<FileEntry>> {
    let mut batches: Vec<Vec<FileEntry>> = Vec::new();
    let mut bytes = 0;
    for file in files {
        let fits = batches.last().is_some_and(|batch: &Vec<FileEntry>| {
            batch.len() < limits.max_files && limits.max_bytes.is_none_or(|limit| file.size <= limit.saturating_sub(bytes))
        });
        if !fits {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += file.size;
        if let Some(batch) = batches.last_mut() {
            batch.push(file);
        }
    }
    batches
}

/// Changes when any file of the listing is added, removed or changed: the "version" of a directory that is read as a batch.
pub fn listing_fingerprint(files: &[FileEntry]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.path.as_bytes());
        hash.update([0]);
        hash.update(file.size.to_le_bytes());
        hash.update(file.modified_us.to_le_bytes());
        hash.update(file.etag.as_deref().unwrap_or_default().as_bytes());
        hash.update([0]);
    }
    let half = hash.finalize().iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{half:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(count: usize, size: u64) -> Vec<FileEntry> {
        (0..count).map(|n| FileEntry { path: format!("f{n:02}"), size, modified_us: n as i64, etag: None }).collect()
    }

    fn lengths(batches: &[Vec<FileEntry>]) -> Vec<usize> {
        batches.iter().map(Vec::len).collect()
    }

    #[test]
    fn p55_25_files_make_batches_of_10_10_5_in_file_order() {
        let batches = split_batches(files(25, 1), BatchLimits { max_files: 10, max_bytes: None });
        assert_eq!(lengths(&batches), [10, 10, 5]);
        assert_eq!(batches.concat(), files(25, 1));
    }

    #[test]
    fn the_byte_limit_is_soft_and_whichever_limit_comes_first_counts() {
        let split = |max_files, max_bytes| lengths(&split_batches(files(5, 100), BatchLimits { max_files, max_bytes: Some(max_bytes) }));
        assert_eq!(split(10, 250), [2, 2, 1]);
        assert_eq!(split(10, 10), [1, 1, 1, 1, 1]);
        assert_eq!(split(1, 250), [1, 1, 1, 1, 1]);
        assert!(split_batches(vec![], BatchLimits::default()).is_empty());
    }

    #[test]
    fn the_fingerprint_sees_every_change() {
        let one = files(3, 1);
        let mut other = one.clone();
        assert_eq!(listing_fingerprint(&one), listing_fingerprint(&other));
        other[1].modified_us += 1;
        assert_ne!(listing_fingerprint(&one), listing_fingerprint(&other));
        assert_ne!(listing_fingerprint(&one), listing_fingerprint(&one[..2]));
    }
}
