//! The memory of writers: what all of a process hold together, and what one of them may hold.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The memory that all writers of a process share. Clones are the same memory.
///
/// When it is used up, each writer that goes on gives back what it holds beyond an equal share. A writer holds less than before only when it
/// is written to, so that for a moment all together may hold up to twice as much.
#[derive(Clone, Debug)]
pub struct WriterMemory(Arc<SharedMemory>);

#[derive(Debug)]
struct SharedMemory {
    limit_bytes: u64,
    held_bytes: AtomicU64,
    writers: AtomicU64,
}

impl Default for WriterMemory {
    fn default() -> Self {
        Self::new(None)
    }
}

impl WriterMemory {
    /// Memory of `limit_bytes`, or without a limit.
    pub fn new(limit_bytes: Option<u64>) -> Self {
        let limit_bytes = limit_bytes.unwrap_or(u64::MAX);
        Self(Arc::new(SharedMemory { limit_bytes, held_bytes: AtomicU64::new(0), writers: AtomicU64::new(0) }))
    }

    pub(super) fn limit_bytes(&self) -> u64 {
        self.0.limit_bytes
    }

    /// What all writers hold now.
    pub fn held_bytes(&self) -> u64 {
        self.0.held_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn join(&self) -> HeldMemory {
        self.0.writers.fetch_add(1, Ordering::Relaxed);
        HeldMemory { shared: self.clone(), bytes: 0 }
    }
}

/// What one writer holds of the shared memory; given back with the value.
pub(super) struct HeldMemory {
    shared: WriterMemory,
    bytes: u64,
}

impl HeldMemory {
    pub(super) fn set(&mut self, bytes: u64) {
        let held = &self.shared.0.held_bytes;
        if bytes >= self.bytes {
            held.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// What this writer may hold now.
    pub(super) fn allowed(&self) -> u64 {
        let limit = self.shared.0.limit_bytes;
        if self.shared.held_bytes() <= limit { limit } else { limit / self.shared.0.writers.load(Ordering::Relaxed).max(1) }
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.set(0);
        self.shared.0.writers.fetch_sub(1, Ordering::Relaxed);
    }
}
