//! Execution of planned flows: one micro-batch or one refresh at a time, from a resolved plan to committed rows and counted expectations.

pub mod expectation;
pub mod progress;
