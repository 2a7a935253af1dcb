//! References `{{path}}` in the texts of a Job: read by `parse`, judged when the Job is saved by `check`, replaced once by `resolve`
//! when an attempt is made.
//!
//! A reference is text put into text: there are no expressions, and what was put in is never read again.

mod check;
mod list;
mod parse;
mod resolve;
mod time;

pub use check::{Notice, Place, Scope, TaskScope, check, check_condition};
pub use list::{Entry, Known, LIST, page};
pub use parse::{Kept, KeptWhy, Path, Piece, Template};
pub use resolve::{
    Completion, Facts, JobFacts, MAX_TEXT_BYTES, Output, ResolveError, RunFacts, SliceFacts, SqlRows, TableVersion, TaskFacts, ThisTask,
    TriggerFacts, WorkspaceFacts, resolve, resolve_text,
};
pub use time::TimeForm;

#[cfg(test)]
mod tests;
