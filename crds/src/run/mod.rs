//! The rules of a run: what each task may do and when, what texts mean, what follows an end. Pure: times are arguments.

pub mod attempt;
pub mod bitmap;
pub mod condition;
pub mod decide;
pub mod graph;
pub mod inputs;
pub mod parameters;
pub mod reference;
pub mod values;
#[cfg(test)]
mod tests;
