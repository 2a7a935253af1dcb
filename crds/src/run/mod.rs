//! The rules of a run: what each task may do and when, what texts mean, what follows an end. Pure: times are arguments.

pub mod bitmap;
pub mod condition;
pub mod health;
pub mod inputs;
pub mod parameters;
pub mod queue;
pub mod reference;
pub mod values;
