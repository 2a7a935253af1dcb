//! What state knows a source by.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The identity of a source in offsets, positions and bindings. It does not change when a project moves: places below the project are
/// relative to it.
///
/// A stream is known by its place alone, so that its options may change between two updates; one streaming flow never reads one place with
/// two sets of options. A listing of a batch query is known by its place and all its options.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(String);

impl SourceId {
    /// The files that a stream takes at `place`.
    pub fn files(place: &str) -> Self {
        Self(format!("files:{place}"))
    }

    /// Whether the places of two streams of files may hold the same files: one begins with the other, as far as both are no pattern.
    pub fn may_hold_files_of(&self, other: &Self) -> bool {
        let (one, other) = (self.fixed_segments(), other.fixed_segments());
        one.iter().zip(&other).all(|(a, b)| a == b)
    }

    fn fixed_segments(&self) -> Vec<&str> {
        self.0.split('/').filter(|segment| !segment.is_empty()).take_while(|segment| !segment.contains(['*', '?', '[', '{'])).collect()
    }

    /// The listing of a batch query at `place` with these options.
    pub fn listing(place: &str, format: &str, options: &BTreeMap<String, String>) -> Self {
        let mut hash = Sha256::new();
        hash.update(format.as_bytes());
        for text in options.iter().flat_map(|(key, value)| [key, value]) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let short = hash.finalize().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Self(format!("files:{place}#{short:016x}"))
    }

    /// What a stream over a table reads; `table` is the full name of a table that has one, else its place.
    pub fn table(table: &str) -> Self {
        Self(format!("delta:{table}"))
    }

    /// The inputs of a ONCE flow.
    pub fn once() -> Self {
        Self("once".to_owned())
    }

    /// As it stands in state files.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
