//! What reading a relation counted. Every scan counts for itself; the largest one is the truth, because a query may scan a relation
//! twice (a view used on both sides of a join) or again after it ran out of memory, and rows must not be counted twice.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::files::BadRecords;
use crate::failure::Failure;

/// The counters of one relation in one micro-batch.
#[derive(Debug, Default)]
pub struct ReadCounters {
    scans: Mutex<Vec<Arc<ScanCounters>>>,
}

/// The counters of one scan.
#[derive(Debug, Default)]
pub(super) struct ScanCounters {
    rows: AtomicU64,
    passed: AtomicU64,
    corrupt_records: AtomicU64,
    corrupt_files: Mutex<Vec<String>>,
    look_alikes: Mutex<Vec<(String, &'static str)>>,
    missing_files: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
    bad: Mutex<BadRecords>,
}

/// Totals of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadTotals {
    /// Records read, also those that were dropped as malformed.
    pub rows: u64,
    /// Rows that have left files so far, those of a file that is not at its end included; for progress only.
    pub passed: u64,
    /// Malformed records, whatever became of them.
    pub corrupt_records: u64,
    /// Files that were skipped because they could not be read (`ignoreCorruptFiles`).
    pub corrupt_files: Vec<String>,
    /// Files that were read and look like another format than they were read as, with that format.
    pub look_alikes: Vec<(String, &'static str)>,
    /// Files that were gone (`ignoreMissingFiles`).
    pub missing_files: u64,
    /// Files read so far.
    pub files: u64,
    /// Bytes of these files, as they are stored.
    pub bytes: u64,
}

impl ReadCounters {
    /// Counters of a scan that begins.
    pub(super) fn start(&self) -> Arc<ScanCounters> {
        let counters = Arc::new(ScanCounters::default());
        self.scans.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counters));
        counters
    }

    /// The JSON lines of what was left out, if it is listed.
    pub fn bad_records(&self) -> Vec<u8> {
        let scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = scans.iter().map(|scan| scan.bad.lock().unwrap_or_else(PoisonError::into_inner).lines().to_vec());
        lines.max_by_key(Vec::len).unwrap_or_default()
    }

    /// What was read so far; may be asked at any time.
    pub fn totals(&self) -> ReadTotals {
        let scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        scans.iter().map(|scan| scan.totals()).reduce(ReadTotals::larger).unwrap_or_default()
    }
}

impl ReadTotals {
    fn larger(self, other: Self) -> Self {
        Self {
            rows: self.rows.max(other.rows),
            passed: self.passed.max(other.passed),
            corrupt_records: self.corrupt_records.max(other.corrupt_records),
            corrupt_files: if self.corrupt_files.len() < other.corrupt_files.len() { other.corrupt_files } else { self.corrupt_files },
            look_alikes: if self.look_alikes.len() < other.look_alikes.len() { other.look_alikes } else { self.look_alikes },
            missing_files: self.missing_files.max(other.missing_files),
            files: self.files.max(other.files),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

impl ScanCounters {
    pub(super) fn add_rows(&self, rows: u64, corrupt: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.corrupt_records.fetch_add(corrupt, Ordering::Relaxed);
    }

    pub(super) fn pass(&self, rows: u64) {
        self.passed.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn add_file(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_missing_file(&self) {
        self.missing_files.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_corrupt_file(&self, path: &str) {
        self.corrupt_files.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
    }

    pub(super) fn add_look_alike(&self, path: &str, looks_like: &'static str) {
        self.look_alikes.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), looks_like));
    }

    pub(super) fn add_bad(&self, path: &str, record: Option<&[u8]>, reason: &str) -> Result<(), Failure> {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).push(path, record, reason)
    }

    fn totals(&self) -> ReadTotals {
        ReadTotals {
            rows: self.rows.load(Ordering::Relaxed),
            passed: self.passed.load(Ordering::Relaxed),
            corrupt_records: self.corrupt_records.load(Ordering::Relaxed),
            corrupt_files: self.corrupt_files.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            look_alikes: self.look_alikes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            missing_files: self.missing_files.load(Ordering::Relaxed),
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_that_is_scanned_twice_counts_once() {
        let counters = ReadCounters::default();
        for rows in [10, 10, 4] {
            let scan = counters.start();
            scan.add_rows(rows, 1);
            scan.add_file(100);
        }
        let totals = counters.totals();
        assert_eq!((totals.rows, totals.corrupt_records, totals.files, totals.bytes), (10, 1, 1, 100));
    }
}
