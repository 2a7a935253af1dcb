//! What the execution of a flow says about itself: numbers per micro-batch or refresh, and what watchers are told.
//!
//! The names of the fields are those of the event log (`flow_progress.metrics`), so that the same value stands in the log and in the
//! commit that it counts.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use super::{
    cdc::Counts,
    expectation::DataQuality,
    stateful::memory::{StateMetrics, StreamingMetrics},
};

/// Numbers of one micro-batch or refresh; absent values do not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowMetrics {
    /// Rows added to the target. Absent if nothing was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_output_rows: Option<u64>,
    /// Bytes of the files that were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_output_bytes: Option<u64>,
    /// What Auto CDC did with its events. Absent for every other flow.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub cdc: Option<Counts>,
    /// Rows read from all streaming sources.
    pub num_input_rows: u64,
    /// Files that were read; for the live progress, not in the event.
    #[serde(skip)]
    pub num_input_files: u64,
    /// Records that could not be parsed.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_corrupt_records: u64,
    /// Files that could not be read and were ignored.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_corrupt_files: u64,
    /// Commits of a source with updates or deletes that were passed over.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_skipped_change_commits: u64,
    /// Late rows, event times and watermark. Absent for flows that have no state.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub state: Option<Box<StateMetrics>>,
    /// Wall time of the execution in milliseconds.
    pub executor_time_ms: u64,
    /// What is known and not processed after this micro-batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog_files: Option<u64>,
    /// Bytes of known files that wait for a later micro-batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog_bytes: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl FlowMetrics {
    /// Rows that were added to the target, or changed in it. Absent if nothing was committed.
    pub fn rows_written(&self) -> Option<u64> {
        self.num_output_rows.or_else(|| self.cdc.map(|counts| counts.upserted))
    }

    /// Adds the numbers of a later micro-batch; the backlog is that of the later one.
    pub fn add(&mut self, later: &Self) {
        let sum = |a: Option<u64>, b: Option<u64>| a.map_or(b, |a| Some(a + b.unwrap_or(0)));
        self.num_output_rows = sum(self.num_output_rows, later.num_output_rows);
        self.num_output_bytes = sum(self.num_output_bytes, later.num_output_bytes);
        if let Some(later) = &later.cdc {
            self.cdc.get_or_insert_default().add(later);
        }
        self.num_input_rows += later.num_input_rows;
        self.num_input_files += later.num_input_files;
        self.num_corrupt_records += later.num_corrupt_records;
        self.num_corrupt_files += later.num_corrupt_files;
        self.num_skipped_change_commits += later.num_skipped_change_commits;
        match (&mut self.state, &later.state) {
            (Some(state), Some(later)) => state.add(later),
            (state @ None, Some(later)) => *state = Some(later.clone()),
            (_, None) => {}
        }
        self.executor_time_ms += later.executor_time_ms;
        self.backlog_files = later.backlog_files.or(self.backlog_files);
        self.backlog_bytes = later.backlog_bytes.or(self.backlog_bytes);
    }
}

/// One committed micro-batch, or one refresh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowProgress {
    /// Micro-batch number; absent for a materialized view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<i64>,
    /// Numbers of the batch.
    pub metrics: FlowMetrics,
    /// Counters of the expectations.
    pub data_quality: DataQuality,
    /// Version of the target that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_version: Option<i64>,
    /// Version of the journal that counts it, if it changed no row of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_version: Option<i64>,
}

/// The commit that holds the numbers of a micro-batch or refresh, so that they are reported once and never lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedIn {
    /// This version of the target.
    Target(i64),
    /// This version of the journal: events were read that change no row of the target.
    Journal(i64),
}

impl CountedIn {
    /// The version of the target, if it is one.
    pub const fn target(self) -> Option<i64> {
        match self {
            Self::Target(version) => Some(version),
            Self::Journal(_) => None,
        }
    }
}

impl FlowProgress {
    /// The commit that holds these numbers.
    pub fn counted_in(&self) -> Option<CountedIn> {
        self.journal_version.map(CountedIn::Journal).or(self.target_version.map(CountedIn::Target))
    }

    /// The same numbers, which this commit holds.
    #[must_use]
    pub fn which_is_in(self, commit: CountedIn) -> Self {
        match commit {
            CountedIn::Target(version) => Self { target_version: Some(version), ..self },
            CountedIn::Journal(version) => Self { journal_version: Some(version), ..self },
        }
    }
}

/// How a materialized view was brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefreshType {
    /// Nothing was computed.
    NoOp,
    /// The whole content was computed and replaced in one commit.
    CompleteRecompute,
}

/// Why a materialized view could not be refreshed with less work: an issue of the event log's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshIssue {
    /// Why an incremental refresh was not chosen, in the words of the event log.
    pub issue_type: String,
    /// More exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_type: Option<String>,
}

/// One input of a refresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshSource {
    /// Full name or location of the input.
    pub table_name: String,
    /// Id in the table's metadata.
    pub table_id: String,
    /// Version of the last refresh; `None` if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_version: Option<i64>,
    /// Version that this refresh reads.
    pub to_version: i64,
}

/// The plan of one refresh, for `planning_information`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshPlan {
    /// What is done.
    pub chosen: RefreshType,
    /// Every reason against something cheaper.
    pub issues: Vec<RefreshIssue>,
    /// Inputs with their versions.
    pub sources: Vec<RefreshSource>,
}

/// How far a micro-batch or refresh is that has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moving {
    /// Rows that have gone through the writers.
    pub rows: u64,
    /// Rows that were read from files; a query that sorts or aggregates reads all of them before it writes the first.
    pub read: u64,
    /// Files that were read to their end.
    pub files: u64,
}

/// What a running flow tells its watchers.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant says what its fields are")]
pub enum FlowNotice {
    /// `flow_id` of the event log, which lasts while the flow continues incrementally; of a streaming flow the number of its resets, and what
    /// it remembers when it begins, if it remembers anything.
    Identity { flow_id: String, generation: Option<u64>, remembered: Option<StreamingMetrics> },
    /// An idle flow of a continuous update has found new data.
    Working,
    /// A micro-batch was committed.
    Batch(Box<FlowProgress>),
    /// A materialized view was planned.
    Planned(RefreshPlan),
    /// Something unexpected that does not stop the flow: error class and text.
    Warning { class: String, message: String },
    /// Files that were read have left their directory.
    Cleaned { message: String },
    /// A source was listed.
    Listed { source: String, files: u64, duration_ms: u64 },
    /// A snapshot was compared with the target.
    Compared { duration_ms: u64 },
    /// The micro-batch in the words of Spark's streaming progress (`stream_progress`).
    Stream(serde_json::Value),
    /// Rows and files so far in the running micro-batch; for live display only.
    Moving(Moving),
}

/// Receives the notices of running flows. The event log and the live display stand behind it.
pub trait Observer: Send + Sync {
    /// Called for every notice of `flow`, in its order.
    fn notice(&self, flow: &str, notice: FlowNotice);
}

/// How a flow ended without a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowResult {
    /// Sum over the micro-batches, or the refresh.
    pub total: FlowProgress,
    /// Micro-batches that were committed.
    pub batches: u64,
    /// Set for materialized views.
    pub refresh: Option<RefreshType>,
    /// Stopped on request before everything was processed.
    pub stopped: bool,
    /// A ONCE flow that had completed before.
    pub idle: bool,
    /// The flow ended before a micro-batch whose files have more columns, or wider types, than it was planned with. It must be planned with
    /// them and run again.
    pub wider: Option<Wider>,
}

/// What the files of a micro-batch have beyond its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wider {
    /// The columns, by the keys of their relations.
    pub schemas: BTreeMap<String, SchemaRef>,
    /// The first of these files, and what it has, as a sentence.
    pub found: String,
}

impl FlowResult {
    /// Adds the numbers of one more micro-batch.
    pub fn add(&mut self, batch: &FlowProgress) {
        self.total.metrics.add(&batch.metrics);
        self.total.data_quality.add(&batch.data_quality);
        self.total.target_version = batch.target_version.or(self.total.target_version);
        self.batches += 1;
    }

    /// Adds what a later attempt of the same flow has done; how the flow ended is the word of the later one.
    #[must_use]
    pub fn followed_by(&self, later: &Self) -> Self {
        let mut sum = Self { total: self.total.clone(), batches: self.batches + later.batches, ..later.clone() };
        sum.total.metrics.add(&later.total.metrics);
        sum.total.data_quality.add(&later.total.data_quality);
        sum.total.batch_id = later.total.batch_id.or(sum.total.batch_id);
        sum.total.target_version = later.total.target_version.or(sum.total.target_version);
        if self.batches > 0 {
            sum.refresh = self.refresh.or(later.refresh);
        }
        sum
    }
}

/// How a flow failed, with what it had committed before and the counters of the work that was not.
#[derive(Debug)]
pub struct FlowFailure {
    /// What ended the flow.
    pub failure: crate::failure::Failure,
    /// Counters up to the failure.
    pub data_quality: DataQuality,
    /// Numbers up to the failure.
    pub metrics: FlowMetrics,
    /// What was committed before.
    pub done: Box<FlowResult>,
}

impl From<crate::failure::Failure> for FlowFailure {
    fn from(failure: crate::failure::Failure) -> Self {
        Self { failure, data_quality: DataQuality::default(), metrics: FlowMetrics::default(), done: Box::default() }
    }
}
