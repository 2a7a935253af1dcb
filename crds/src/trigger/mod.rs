//! When a Job's triggers fire and what the runs are called that they make. Pure: times and random numbers are arguments.

pub mod backfill;
pub mod clock;
pub mod completion;
pub mod continuous;
pub mod files;
pub mod names;
pub mod tables;
pub mod timers;
