//! When a Job's triggers fire and what the runs are called that they make. Pure: times and random numbers are arguments.

pub mod backfill;
pub mod clock;
pub mod completion;
pub mod continuous;
pub mod files;
pub mod names;
pub mod tables;
pub mod timers;

use std::collections::BTreeMap;

/// What the status of a trigger keeps of what it has seen: table → version, job → ended runs, or the mark of files.
pub type Cursor = BTreeMap<String, String>;
