//! Labels by which what belongs to a run is found, and the values that labels take.

use sha2::{Digest, Sha256};

/// Label: name of the PipelineUpdate.
pub const UPDATE: &str = "floe.dev/update";
/// Label: number of the attempt.
pub const ATTEMPT: &str = "floe.dev/attempt";
/// Label: name of the Job.
pub const JOB: &str = "floe.dev/job";
/// Label: name of the JobRun.
pub const RUN: &str = "floe.dev/run";
/// Label: name of the task, as labels take it.
pub const TASK: &str = "floe.dev/task";
/// Label: number of the iteration of a loop, from 0.
pub const ITERATION: &str = "floe.dev/iteration";
/// Label of a run for a slice of time: its start and end.
pub const SLICE: &str = "floe.dev/slice";
/// Annotation: name of the task, as it is.
pub const TASK_KEY: &str = "floe.dev/task-key";

/// Longest value of a label.
const MAX_VALUE: usize = 63;

/// `text` as the value of a label: a longer one is cut and ends in a hash of all of it.
pub fn value(text: &str) -> String {
    if text.len() <= MAX_VALUE { text.to_string() } else { cut_with_hash(text, MAX_VALUE - 9, text) }
}

/// The first `keep` bytes of `text` and eight hex digits of the hash of `whole`.
pub fn cut_with_hash(text: &str, keep: usize, whole: &str) -> String {
    let kept = crate::text::cut(text, keep).trim_end_matches(['-', '.', '_']);
    format!("{kept}-{}", short_hash(whole))
}

/// Eight hex digits that stand for `text`.
pub fn short_hash(text: &str) -> String {
    hash(text.as_bytes())[..8].to_string()
}

/// The SHA-256 of `bytes` in hex.
pub fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_and_stay_different() {
        let (a, b) = (value(&format!("{}a", "x".repeat(70))), value(&format!("{}b", "x".repeat(70))));
        assert_eq!((a.len(), a == b), (63, false));
        assert_eq!(value("bookstore"), "bookstore");
    }
}
