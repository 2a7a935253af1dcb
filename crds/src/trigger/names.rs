//! Names of runs and of what they make: functions of what they are for, so that a second try finds what the first one made.

use jiff::{Timestamp, tz::TimeZone};
use sha2::{Digest, Sha256};

use super::Cursor;

/// The longest name.
const MOST: usize = 63;
/// So much of a name is kept that was too long.
const KEPT: usize = 40;

/// The run of a Job for an instant.
pub fn time_run(job: &str, instant: Timestamp) -> String {
    format!("{job}-{}", digits(instant))
}

/// The run of a Job for events of a trigger, up to `cursor`.
pub fn event_run(job: &str, trigger: &str, cursor: &Cursor) -> String {
    let seen: Vec<_> = cursor.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]).collect();
    format!("{job}-{}", hash(&[&[trigger], seen.as_slice()].concat()))
}

/// The run of a slice that begins at `start`, of the backfill `run`.
pub fn slice_run(run: &str, run_uid: &str, start: Timestamp) -> String {
    let digits = digits(start);
    let name = format!("{run}-{digits}");
    if name.len() <= MOST { name } else { format!("{}-{}", first(&name), hash(&[run_uid, &digits])) }
}

/// An attempt of a task: what is made for it has this name, of whatever kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Name of the run.
    pub run: &'a str,
    /// Uid of the run.
    pub run_uid: &'a str,
    /// Key of the task.
    pub task: &'a str,
    /// Index of the element, in a loop.
    pub iteration: Option<u32>,
    /// Which attempt it is, from 1, over all repairs.
    pub execution_count: u32,
}

impl Attempt<'_> {
    /// Name of the child object.
    pub fn name(&self) -> String {
        let slug = slug(self.task);
        let iteration = self.iteration.map_or_else(String::new, |iteration| format!("-i{iteration}"));
        let name = format!("{}-{slug}{iteration}-{}", self.run, self.execution_count);
        if slug == self.task && name.len() <= MOST && !ends_like_iteration(self.task) {
            return name;
        }
        let iteration = self.iteration.map_or_else(String::new, |iteration| iteration.to_string());
        format!("{}-{}-{}", first(&name), hash(&[self.run_uid, self.task, &iteration]), self.execution_count)
    }
}

/// A task key as names and labels have it.
pub fn slug(task: &str) -> String {
    task.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// The task `a-i1` must not have the name of iteration 1 of `a`.
fn ends_like_iteration(task: &str) -> bool {
    let index = task.rsplit_once("-i").map(|(_, index)| index);
    index.is_some_and(|index| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()))
}

fn first(name: &str) -> &str {
    crate::text::cut(name, KEPT)
}

fn digits(instant: Timestamp) -> String {
    instant.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string()
}

/// Eight hexadecimal digits; parts are kept apart.
pub(super) fn hash(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0").as_bytes());
    let first = digest.iter().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    format!("{first:08x}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn attempt(run: &str, task: &str, iteration: Option<u32>, execution_count: u32) -> String {
        Attempt { run, run_uid: "b7e1", task, iteration, execution_count }.name()
    }

    fn is_label(name: &str) -> bool {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&name.len()) && name.bytes().all(is_allowed) && !name.starts_with('-') && !name.ends_with('-')
    }

    #[test]
    fn names_say_what_they_are_for() {
        assert_eq!(time_run("nightly", at("2026-01-31T02:00:00Z")), "nightly-20260131020000");
        let cursor = Cursor::from([("orders".to_string(), "7".to_string())]);
        let event = event_run("nightly", "on-orders", &cursor);
        // printf 'on-orders\0orders\0007' | sha256sum
        assert_eq!(event, "nightly-20f42055");
        assert_ne!(event, event_run("nightly", "on-order", &cursor));
        assert_eq!(slice_run("bf", "u", at("2026-01-01T00:00:00Z")), "bf-20260101000000");
        assert_eq!(attempt("nightly-1", "land", None, 2), "nightly-1-land-2");
        assert_eq!(attempt("nightly-1", "each", Some(0), 1), "nightly-1-each-i0-1");
        let hashed = attempt("nightly-1", "Land_new", None, 1);
        assert!(hashed.starts_with("nightly-1-land-new-1-") && hashed.ends_with("-1") && hashed.len() == 31, "{hashed}");
        let long = slice_run(&"r".repeat(60), "u", at("2026-01-01T00:00:00Z"));
        assert_eq!((long.len(), &long[..41]), (49, format!("{}-", "r".repeat(40)).as_str()));
    }

    proptest! {
        #[test]
        fn names_of_attempts_are_labels(run in "[a-z]([a-z0-9-]{0,61}[a-z0-9])?", task in "[A-Za-z0-9_-]{1,100}", iteration in proptest::option::of(0_u32..1000), count in 1_u32..2_000_000) {
            let name = attempt(&run, &task, iteration, count);
            prop_assert!(is_label(&name), "{}", name);
            prop_assert_eq!(name, attempt(&run, &task, iteration, count));
        }

        #[test]
        fn names_of_runs_are_labels(job in "[a-z]([a-z0-9-]{0,46}[a-z0-9])?", run in "[a-z]([a-z0-9-]{0,61}[a-z0-9])?", seconds in 0_i64..4_000_000_000, trigger in "[a-z0-9-]{1,40}", key in ".{0,20}", value in ".{0,20}") {
            let instant = Timestamp::from_second(seconds).unwrap();
            for name in [time_run(&job, instant), event_run(&job, &trigger, &Cursor::from([(key, value)])), slice_run(&run, "uid", instant)] {
                prop_assert!(is_label(&name), "{}", name);
            }
        }

        #[test]
        fn attempts_of_a_run_have_names_of_their_own(run in "[a-z][a-z0-9]{0,50}", tasks in proptest::collection::hash_set("[aA_-]{1,3}(-i[01])?|[a-b]{30,60}", 1..8)) {
            let mut names = HashSet::new();
            for task in &tasks {
                for (iteration, count) in [(None, 1), (None, 2), (Some(0), 1), (Some(1), 1), (Some(1), 2), (Some(11), 1)] {
                    prop_assert!(names.insert(attempt(&run, task, iteration, count)), "{} {:?} {}", task, iteration, count);
                }
            }
        }
    }
}
