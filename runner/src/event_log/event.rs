//! Typed events: what can be said about an update, its datasets and its flows. The JSON of `EventDetails` is the column `details`.
#![expect(missing_docs, reason = "fields and variants are the keys and values of the event log's documentation")]

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
pub use floe_crds::state::EventLevel as Level;
use floe_crds::{
    run_report::GraphReport,
    state::{Cause, ExpectationAction, FailureClass, FlowState, UpdateState},
};
use floe_graph::plan::{Change, ResetKind};
use serde::Serialize;

pub use crate::execute::{
    expectation::{DataQuality, ExpectationCount},
    progress::{CountedIn, FlowMetrics},
    stateful::memory::StreamingMetrics,
};

/// What an event is about, beside the update: fills the same-named fields of `origin`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Full name, `catalog.schema.table`.
    pub dataset_name: Option<String>,
    pub sink_name: Option<String>,
    pub flow_name: Option<String>,
    /// UUID that lasts while the flow continues incrementally.
    pub flow_id: Option<String>,
    pub table_id: Option<String>,
    pub table_name: Option<String>,
    pub batch_id: Option<i64>,
    /// Resets of a streaming flow so far; told to observers only.
    pub generation: Option<u64>,
    /// What the flow remembered when it began; told to observers only.
    pub remembered: Option<StreamingMetrics>,
}

impl Subject {
    /// An event about a flow and the dataset that it writes (full name).
    pub fn flow(flow: impl Into<String>, flow_id: impl Into<String>, dataset: impl Into<String>) -> Self {
        Self { flow_name: Some(flow.into()), flow_id: Some(flow_id.into()), dataset_name: Some(dataset.into()), ..Self::default() }
    }

    /// An event about a dataset (full name).
    pub fn dataset(dataset: impl Into<String>) -> Self {
        Self { dataset_name: Some(dataset.into()), ..Self::default() }
    }

    /// The same subject, in micro-batch `batch`.
    #[must_use]
    pub fn batch(&self, batch: i64) -> Self {
        Self { batch_id: Some(batch), ..self.clone() }
    }
}

/// One event before it is recorded; see `event_log::message` for its constructors.
#[derive(Clone, Debug)]
pub struct Event {
    pub subject: Subject,
    pub level: Level,
    /// One sentence for people.
    pub message: String,
    pub details: EventDetails,
    pub error: Option<EventError>,
    /// When it happened, if that was before it is recorded.
    pub timestamp: Option<DateTime<Utc>>,
    /// The commit whose numbers the event reports: what a recovery must not report again.
    pub reports: Option<CountedIn>,
}

/// A cause chain, root cause last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventError {
    /// Will not be retried.
    pub fatal: bool,
    pub exceptions: Vec<ErrorCause>,
    /// Whose fault it is; told to observers only.
    #[serde(skip)]
    pub class: Option<FailureClass>,
    /// `file:line:column`; told to observers only.
    #[serde(skip)]
    pub origin: Option<String>,
}

/// One link of a cause chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorCause {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<StackFrame>,
}

/// For SQL errors the first frame holds file and line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StackFrame {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declaring_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_number: Option<i64>,
}

/// The event types. Serialised as `{"<event_type>": {…}}`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventDetails {
    CreateUpdate(Box<CreateUpdate>),
    UserAction(UserAction),
    RuntimeDetails(RuntimeDetails),
    UpdateProgress(UpdateProgress),
    GraphPlanned(GraphPlanned),
    DatasetDefinition(DatasetDefinition),
    SinkDefinition(SinkDefinition),
    FlowDefinition(Box<FlowDefinition>),
    FlowProgress(Box<FlowProgress>),
    PlanningInformation(PlanningInformation),
    OperationProgress(OperationProgress),
    StreamProgress(StreamProgress),
    SchemaChange(SchemaChange),
    ResetProgress(ResetProgress),
    MaintenanceProgress(MaintenanceProgress),
    PlanningNote(PlanningNote),
    Deprecation(Deprecation),
    EventLogProgress(EventLogProgress),
}

impl EventDetails {
    /// The key of `details`, also the column `event_type`.
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::CreateUpdate(_) => "create_update",
            Self::UserAction(_) => "user_action",
            Self::RuntimeDetails(_) => "runtime_details",
            Self::UpdateProgress(_) => "update_progress",
            Self::GraphPlanned(_) => "graph_planned",
            Self::DatasetDefinition(_) => "dataset_definition",
            Self::SinkDefinition(_) => "sink_definition",
            Self::FlowDefinition(_) => "flow_definition",
            Self::FlowProgress(_) => "flow_progress",
            Self::PlanningInformation(_) => "planning_information",
            Self::OperationProgress(_) => "operation_progress",
            Self::StreamProgress(_) => "stream_progress",
            Self::SchemaChange(_) => "schema_change",
            Self::ResetProgress(_) => "reset_progress",
            Self::MaintenanceProgress(_) => "maintenance_progress",
            Self::PlanningNote(_) => "planning_note",
            Self::Deprecation(_) => "deprecation",
            Self::EventLogProgress(_) => "event_log_progress",
        }
    }

    /// `EVOLVING` for the event types that are ours alone.
    pub const fn maturity_level(&self) -> &'static str {
        match self {
            Self::GraphPlanned(_) | Self::SchemaChange(_) | Self::ResetProgress(_) | Self::PlanningNote(_) | Self::EventLogProgress(_) => {
                "EVOLVING"
            }
            _ => "STABLE",
        }
    }
}

/// An update, or one more attempt of it, was created.
#[derive(Clone, Debug, Serialize)]
pub struct CreateUpdate {
    /// The resolved Pipeline spec.
    pub config: serde_json::Value,
    /// Selections and parameters of this update.
    pub update_spec: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
    pub cause: Cause,
    pub attempt: u32,
}

/// A person or tool started or stopped something.
#[derive(Clone, Debug, Serialize)]
pub struct UserAction {
    pub user_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    pub action: Action,
}

/// What a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    Create,
    Start,
    Stop,
    Edit,
    Delete,
}

/// Versions of what runs.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimeDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_key: Option<String>,
    pub floe_version: String,
    pub datafusion_version: String,
    pub deltalake_version: String,
}

/// The update changed its state.
#[derive(Clone, Debug, Serialize)]
pub struct UpdateProgress {
    pub state: UpdateState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancellation_cause: Option<CancellationCause>,
}

/// Why an update was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CancellationCause {
    UserAction,
    WorkflowCancellation,
    Timeout,
    Eviction,
}

/// The end of planning.
#[derive(Clone, Debug, Serialize)]
pub struct GraphPlanned {
    pub datasets: u64,
    pub flows: u64,
    pub lints: Vec<Lint>,
    pub changes: Vec<Change>,
    /// The same in full; told to observers only.
    #[serde(skip)]
    pub graph: Option<Box<GraphReport>>,
}

/// One lint; `position` is `file:line:column`.
#[derive(Clone, Debug, Serialize)]
pub struct Lint {
    pub code: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
}

/// One dataset as this update sees it.
#[derive(Clone, Debug, Serialize)]
pub struct DatasetDefinition {
    pub dataset_type: DatasetType,
    pub num_flows: u64,
    pub expectations: Vec<ExpectationDefinition>,
    /// The schema as Spark JSON.
    pub schema_json: String,
}

/// One sink as this update sees it.
#[derive(Clone, Debug, Serialize)]
pub struct SinkDefinition {
    /// `delta`.
    pub format: &'static str,
    pub options: BTreeMap<String, String>,
}

/// Kinds of dataset in the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DatasetType {
    StreamingTable,
    MaterializedView,
    View,
}

/// An expectation as declared.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectationDefinition {
    pub name: String,
    pub expression: String,
    pub action: ExpectationAction,
}

/// One flow as this update sees it.
#[derive(Clone, Debug, Serialize)]
pub struct FlowDefinition {
    pub input_datasets: Vec<InputDataset>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_dataset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_sink: Option<String>,
    /// Only in development mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain_text: Option<String>,
    /// The schema as Spark JSON.
    pub schema_json: String,
    pub schema: Vec<SchemaField>,
    pub flow_type: FlowType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    pub spark_conf: BTreeMap<String, String>,
    /// Always `SQL`.
    pub language: &'static str,
    pub once: bool,
}

/// What a flow reads.
#[derive(Clone, Debug, Serialize)]
pub struct InputDataset {
    pub name: String,
}

/// A column of a flow's output; `path` is its dotted place.
#[derive(Clone, Debug, Serialize)]
pub struct SchemaField {
    pub name: String,
    pub path: String,
    pub data_type: String,
}

/// Kinds of flow in the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FlowType {
    Append,
    Change,
    SnapshotChange,
    MaterializedView,
    View,
}

/// A flow changed its state, committed a micro-batch, or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowProgress {
    pub status: FlowState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<FlowMetrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_quality: Option<DataQuality>,
}

/// How a materialized view is refreshed, and why.
#[derive(Clone, Debug, Serialize)]
pub struct PlanningInformation {
    pub technique_information: Vec<Technique>,
    pub source_table_information: Vec<SourceTable>,
    pub target_table_information: TargetTableSize,
}

/// One maintenance type that was considered; exactly one is chosen.
#[derive(Clone, Debug, Serialize)]
pub struct Technique {
    /// `MAINTENANCE_TYPE_…`.
    pub maintenance_type: MaintenanceType,
    pub is_chosen: bool,
    pub is_applicable: bool,
    /// Estimated bytes read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incrementalization_issues: Vec<Issue>,
}

/// Ways to bring a materialized view up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MaintenanceType {
    #[serde(rename = "MAINTENANCE_TYPE_NO_OP")]
    NoOp,
    #[serde(rename = "MAINTENANCE_TYPE_COMPLETE_RECOMPUTE")]
    CompleteRecompute,
}

impl MaintenanceType {
    /// The name without its prefix, as messages say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoOp => "NO_OP",
            Self::CompleteRecompute => "COMPLETE_RECOMPUTE",
        }
    }
}

/// Why a maintenance type cannot be used, in the words of Databricks' event log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Issue {
    pub issue_type: String,
    pub prevent_incrementalization: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_information: Option<SourceTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_not_incrementalizable_sub_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_not_deterministic_sub_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint_diff_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint_diff_current: Option<String>,
}

/// An input of a materialized view at its pinned version.
#[expect(clippy::struct_excessive_bools, reason = "the flags are keys of the event log's documentation")]
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceTable {
    pub table_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_size: Option<u64>,
    pub is_size_after_pruning: bool,
    pub is_cdf_enabled: bool,
    pub is_row_id_enabled: bool,
    pub is_deletion_vector_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_version: Option<i64>,
}

/// The materialized view itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TargetTableSize {
    pub table_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_size: Option<u64>,
}

/// A listing or another long operation.
#[derive(Clone, Debug, Serialize)]
pub struct OperationProgress {
    #[serde(rename = "type")]
    pub operation: OperationType,
    pub status: OperationStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_loader_details: Option<AutoLoaderDetails>,
}

/// Kinds of long operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationType {
    AutoLoaderListing,
    AutoLoaderBackfill,
    CdcSnapshot,
}

/// States of a long operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationStatus {
    Started,
    InProgress,
    Completed,
    Canceled,
    Failed,
}

/// A listing of a directory.
#[derive(Clone, Debug, Serialize)]
pub struct AutoLoaderDetails {
    pub source_path: String,
    pub num_files_listed: u64,
}

/// One micro-batch in Spark's words: `progress_json` is a JSON text.
#[derive(Clone, Debug, Serialize)]
pub struct StreamProgress {
    pub progress_json: String,
}

/// Columns were added by inference or by a query, or have got wider types.
#[derive(Clone, Debug, Serialize)]
pub struct SchemaChange {
    /// Full name.
    pub dataset: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub added: Vec<AddedColumn>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub widened: Vec<WidenedColumn>,
    pub schema_version: i64,
}

/// A column, or a field within one, that has got a wider type; types are Spark DDL.
#[derive(Clone, Debug, Serialize)]
pub struct WidenedColumn {
    pub name: String,
    pub from: String,
    #[serde(rename = "type")]
    pub data_type: String,
}

/// A column that was added; the type is Spark DDL.
#[derive(Clone, Debug, Serialize)]
pub struct AddedColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: String,
}

/// A table is emptied, or a checkpoint forgotten.
#[derive(Clone, Debug, Serialize)]
pub struct ResetProgress {
    /// Full name.
    pub dataset: String,
    pub kind: ResetKind,
    pub generation: u64,
    pub status: OperationStatus,
}

/// Care for the files of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MaintenanceProgress {
    pub operation: MaintenanceOperation,
    /// Full name, or `event_log`.
    pub dataset: String,
    pub status: OperationStatus,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<&'static str, i64>,
}

/// What maintenance does with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MaintenanceOperation {
    /// Small files become large ones; the rows stay.
    Optimize,
    /// Files that no version of the retention time needs are deleted.
    Vacuum,
    /// Old entries of the Delta log are deleted.
    LogCleanup,
    /// Old events are deleted.
    EventLogRetention,
    /// The data of a dataset that is declared no more are deleted.
    Remove,
    /// Data files are written again because columns have got wider types; the rows stay.
    TypeWidening,
}

/// Something about the plan of an update that its user should know, such as a protected table that a full refresh of everything spares.
#[derive(Clone, Debug, Serialize)]
pub struct PlanningNote {
    pub note: String,
}

/// Lint W001.
#[derive(Clone, Debug, Serialize)]
pub struct Deprecation {
    /// Always `LEGACY_SYNTAX`.
    pub message: &'static str,
}

/// The log could not be written for so long that events were lost (ours).
#[derive(Clone, Debug, Serialize)]
pub struct EventLogProgress {
    pub discarded_events: u64,
}
