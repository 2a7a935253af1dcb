//! The tasks of Jobs that this process carries out: SQL that only reads, and the values that a container leaves in files.

mod sql;
mod values;

pub use sql::{SqlEnd, SqlTask, run_sql};
pub use values::collect_values;

use floe_crds::run::values::ValueError;

use crate::failure::Failure;

/// Values that are refused fail the attempt.
fn refused(error: &ValueError) -> Failure {
    Failure::user(error.termination_code().as_str(), error.to_string())
}
