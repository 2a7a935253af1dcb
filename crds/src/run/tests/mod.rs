//! The rules of a run, scenario by scenario.

mod decisions;
