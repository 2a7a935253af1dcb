//! The rules of a run, scenario by scenario.

mod backfills;
mod checks;
mod decisions;
mod loops;
mod oracle;
mod repairs;
mod runs;
mod world;
