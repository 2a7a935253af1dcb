//! The rules of a run: what each task may do and when, what texts mean, what follows an end. Pure: times are arguments.

pub mod attempt;
pub mod bitmap;
pub mod check;
pub mod condition;
pub mod decide;
pub mod graph;
pub mod health;
pub mod inputs;
pub mod notify;
pub mod parameters;
pub mod queue;
pub mod reference;
pub mod repair;
pub mod rules;
pub mod scene;
pub mod step;
#[cfg(test)]
mod tests;
pub mod texts;
pub mod values;

pub use step::detail;
