//! The rules of a run: what each task may do and when, what texts mean, what follows an end. Pure: times are arguments.

pub mod condition;
