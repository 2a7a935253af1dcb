//! What an update did, per dataset: the closing table of the command line and the body of a RunReport.
#![expect(missing_docs, reason = "the fields say what they are")]

use floe_crds::state::{FlowState, UpdateState};
use floe_graph::{
    origin::Diagnostic,
    plan::{Change, Reset},
};
use serde::Serialize;

use crate::{execute::expectation::ExpectationCount, failure::Failure};

/// The result of one update.
#[derive(Debug)]
pub struct UpdateReport {
    pub update_id: String,
    pub pipeline: String,
    pub state: UpdateState,
    /// Stored datasets in the order of the graph.
    pub datasets: Vec<DatasetReport>,
    /// The plan of changes; all that a dry run has to say.
    pub changes: Vec<Change>,
    pub resets: Vec<Reset>,
    /// Told to the user, for example which protected tables a full refresh of everything spares.
    pub notes: Vec<String>,
    pub lints: Vec<Diagnostic>,
    /// Root failures: what made flows fail, without those that were only skipped.
    pub failures: Vec<Failure>,
    pub duration_ms: u64,
}

/// What an update did with one dataset, summed over its flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DatasetReport {
    /// Short name in the pipeline's namespace.
    pub dataset: String,
    /// The worst state of its flows.
    pub state: Option<FlowState>,
    pub rows_written: u64,
    pub dropped: u64,
    pub quarantined: u64,
    /// Records of files that could not be parsed, whatever became of them.
    pub corrupt_records: u64,
    /// Files that could not be read and were skipped.
    pub corrupt_files: u64,
    pub expectations: Vec<ExpectationCount>,
    /// Newest version of the Delta table.
    pub version: Option<i64>,
    /// `APPEND`, `ONCE`, `NO_OP`, `COMPLETE_RECOMPUTE`, `FULL_REFRESH` …
    pub refresh: Option<String>,
    pub duration_ms: u64,
}

impl UpdateReport {
    /// The exit code of the process: 0, or that of the failure that decides.
    pub fn exit_code(&self) -> u8 {
        use floe_crds::state::FailureClass as Class;
        if self.state == UpdateState::Canceled {
            return Class::Terminated.exit_code();
        }
        let has = |class: Class| self.failures.iter().any(|failure| failure.class == class);
        let decides = if self.failures.is_empty() {
            return if self.state == UpdateState::Failed { Class::Internal.exit_code() } else { 0 };
        } else if self.failures.iter().all(|failure| failure.class == Class::Transient) {
            Class::Transient
        } else if has(Class::Storage) {
            Class::Storage
        } else if has(Class::Expectation) {
            Class::Expectation
        } else {
            Class::User
        };
        decides.exit_code()
    }

    /// True if no flow had anything to do.
    pub fn nothing_new(&self) -> bool {
        let idle = |dataset: &DatasetReport| {
            dataset.rows_written == 0
                && dataset.dropped + dataset.corrupt_records + dataset.corrupt_files == 0
                && matches!(dataset.state, None | Some(FlowState::Completed | FlowState::Idle | FlowState::Excluded))
                && dataset.refresh.as_deref().is_none_or(|refresh| matches!(refresh, "NO_OP" | "APPEND" | "ONCE"))
        };
        self.state == UpdateState::Completed && self.datasets.iter().all(idle)
    }
}
