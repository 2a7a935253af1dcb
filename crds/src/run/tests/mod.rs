//! The rules of a run, scenario by scenario.

mod checks;
mod decisions;
mod runs;
mod world;
