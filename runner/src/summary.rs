//! What an update did, per dataset: the closing table of the command line.
#![expect(missing_docs, reason = "the fields say what they are")]

use floe_crds::state::{FailureClass as Class, FlowState, UpdateState};
use floe_graph::{
    origin::Diagnostic,
    plan::{Change, Reset},
};
use serde::Serialize;

use sha2::{Digest, Sha256};

use crate::{
    commit::{TableSize, TargetTable},
    execute::expectation::ExpectationCount,
    failure::Failure,
    state::catalog::CatalogEntry,
};

/// The result of one update.
#[derive(Debug)]
pub struct UpdateSummary {
    pub update_id: String,
    pub pipeline: String,
    pub state: UpdateState,
    /// Stored datasets in the order of the graph.
    pub datasets: Vec<DatasetSummary>,
    /// The plan of changes; all that a dry run has to say.
    pub changes: Vec<Change>,
    pub resets: Vec<Reset>,
    /// Told to the user, for example which protected tables a full refresh of everything spares.
    pub notes: Vec<String>,
    pub lints: Vec<Diagnostic>,
    /// Root failures: what made flows fail, without those that were only skipped.
    pub failures: Vec<Failure>,
    /// Stored tables as the update leaves them; measured only for an operator.
    pub tables: Vec<TableFacts>,
    /// Full names of undeclared datasets, as they were asked for, whose data are gone.
    pub removed: Vec<String>,
    pub duration_ms: u64,
}

/// A stored table as an update leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// Full name.
    pub dataset: String,
    pub location: String,
    pub version: i64,
    /// Rows, bytes and files of that version, if they were measured.
    pub size: Option<TableSize>,
    pub schema_hash: String,
    pub columns: usize,
}

impl TableFacts {
    /// The facts about the table of `dataset`, with its size if `entry` has that of this version.
    pub fn of(dataset: String, table: &TargetTable, entry: Option<&CatalogEntry>) -> Self {
        let (version, schema) = (table.version(), table.known().metadata.schema_string);
        Self {
            dataset,
            location: table.location().to_string(),
            version,
            size: entry.and_then(|entry| entry.size.clone()).filter(|size| size.version == version),
            schema_hash: Sha256::digest(schema.as_bytes()).iter().take(16).fold(String::new(), |hash, byte| format!("{hash}{byte:02x}")),
            columns: table.schema().fields().len(),
        }
    }
}

/// What an update did with one dataset, summed over its flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DatasetSummary {
    /// Short name in the pipeline's namespace.
    pub dataset: String,
    /// The worst state of its flows.
    pub state: Option<FlowState>,
    pub rows_written: u64,
    /// Rows that change events removed.
    pub rows_deleted: u64,
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

impl UpdateSummary {
    /// The exit code of the process: 0, or that of the failure that decides.
    pub fn exit_code(&self) -> u8 {
        match (self.state, self.deciding_failure()) {
            (UpdateState::Canceled, _) => Class::Terminated.exit_code(),
            (_, Some(failure)) => failure.class.exit_code(),
            (UpdateState::Failed, None) => Class::Internal.exit_code(),
            _ => 0,
        }
    }

    /// The failure that decides the exit code: a passing one only if all are.
    pub fn deciding_failure(&self) -> Option<&Failure> {
        let order = [Class::Storage, Class::Expectation, Class::User, Class::Internal, Class::Terminated, Class::Transient];
        order.iter().find_map(|class| self.failures.iter().find(|failure| failure.class == *class))
    }

    /// True if no flow had anything to do.
    pub fn nothing_new(&self) -> bool {
        let idle = |dataset: &DatasetSummary| {
            dataset.rows_written + dataset.rows_deleted == 0
                && dataset.dropped + dataset.corrupt_records + dataset.corrupt_files == 0
                && matches!(dataset.state, None | Some(FlowState::Completed | FlowState::Idle | FlowState::Excluded))
                && dataset.refresh.as_deref().is_none_or(|refresh| matches!(refresh, "NO_OP" | "APPEND" | "AUTO_CDC" | "ONCE"))
        };
        self.state == UpdateState::Completed && self.datasets.iter().all(idle)
    }
}
