//! The rules of a run, scenario by scenario.

mod decisions;
mod runs;
mod world;
