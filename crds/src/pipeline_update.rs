//! The PipelineUpdate kind: one update of a pipeline, asked for by a change, a schedule or a person, with what became of it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    schemas,
    state::{Cause, FailureClass, FlowState, UpdateState},
    update::UpdateSelection,
};

/// What the update is asked to do. Nothing of it changes later but `cancel`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "floe.dev",
    version = "v1alpha1",
    kind = "PipelineUpdate",
    namespaced,
    status = "PipelineUpdateStatus",
    derive = "PartialEq",
    shortname = "fupdate",
    category = "floe",
    doc = "One update of a pipeline: what it was asked to do and what it did",
    selectable = ".spec.pipeline",
    selectable = ".status.state",
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipeline"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Cause", type_ = "string", json_path = ".spec.cause"),
    printcolumn(name = "Flows", type_ = "string", json_path = ".status.flows.done"),
    printcolumn(name = "Rows", type_ = "integer", json_path = ".status.totals.rowsWritten"),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt"),
    printcolumn(name = "Start", type_ = "date", json_path = ".status.startTime"),
    printcolumn(name = "Duration", type_ = "integer", json_path = ".status.durationSeconds"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = "1"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("name must be at most 63 characters")
)]
#[x_kube(
    validation = Rule::new("self.pipeline == oldSelf.pipeline && self.type == oldSelf.type && self.cause == oldSelf.cause && self.requestId == oldSelf.requestId && self.definitionHash == oldSelf.definitionHash && self.fullRefreshAll == oldSelf.fullRefreshAll && self.cascade == oldSelf.cascade && self.validateOnly == oldSelf.validateOnly")
        .message("PipelineUpdate spec is immutable; only cancel may change"),
    validation = Rule::new("has(self.refresh) == has(oldSelf.refresh) && (!has(self.refresh) || self.refresh == oldSelf.refresh)")
        .message("PipelineUpdate spec is immutable; only cancel may change"),
    validation = Rule::new("has(self.refreshFlows) == has(oldSelf.refreshFlows) && (!has(self.refreshFlows) || self.refreshFlows == oldSelf.refreshFlows)")
        .message("PipelineUpdate spec is immutable; only cancel may change"),
    validation = Rule::new("has(self.fullRefresh) == has(oldSelf.fullRefresh) && (!has(self.fullRefresh) || self.fullRefresh == oldSelf.fullRefresh)")
        .message("PipelineUpdate spec is immutable; only cancel may change"),
    validation = Rule::new("has(self.resetCheckpoints) == has(oldSelf.resetCheckpoints) && (!has(self.resetCheckpoints) || self.resetCheckpoints == oldSelf.resetCheckpoints)")
        .message("PipelineUpdate spec is immutable; only cancel may change"),
    validation = Rule::new("has(self.parameters) == has(oldSelf.parameters) && (!has(self.parameters) || self.parameters == oldSelf.parameters)")
        .message("PipelineUpdate spec is immutable; only cancel may change"),
    validation = Rule::new("self.cancel == oldSelf.cancel || self.cancel == 'Immediate' || oldSelf.cancel == 'None'")
        .message("cancel only rises: None, Graceful, Immediate")
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineUpdateSpec {
    /// Name of the Pipeline of the same namespace.
    #[schemars(length(min = 1, max = 46))]
    pub pipeline: String,
    /// New data, or care for the tables.
    #[serde(rename = "type", default)]
    pub update_type: UpdateType,
    /// Why it was made.
    #[serde(default = "default_cause")]
    pub cause: Cause,
    /// Which datasets and flows take part, and how.
    #[serde(flatten)]
    pub selection: UpdateSelection,
    /// The value of `floe.dev/update-requested-at` that asked for it.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub request_id: String,
    /// The definition that this update is for; set by the operator.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub definition_hash: String,
    /// Whether it shall stop, and how.
    #[serde(default)]
    pub cancel: Cancel,
}

impl Default for PipelineUpdateSpec {
    fn default() -> Self {
        Self {
            pipeline: String::new(),
            update_type: UpdateType::default(),
            cause: default_cause(),
            selection: UpdateSelection::default(),
            request_id: String::new(),
            definition_hash: String::new(),
            cancel: Cancel::default(),
        }
    }
}

fn default_cause() -> Cause {
    Cause::ApiCall
}

/// What an update does.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpdateType {
    /// Brings datasets up to date.
    #[default]
    Update,
    /// Compacts files and removes old ones.
    Maintenance,
}

/// How an update is stopped.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cancel {
    /// Not at all.
    #[default]
    None,
    /// What is being written is committed first.
    Graceful,
    /// Within seconds.
    Immediate,
}

/// What became of an update.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PipelineUpdateStatus {
    /// The generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The value of `floe.dev/reconcile-requested-at` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_handled_reconcile_at: Option<String>,
    /// The UUID of the update in the event log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub id: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UpdateState>,
    /// Place in the queue, 1 = next; only while queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i32>,
    /// The equal update that waits already and whose end is the end of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub coalesced_into: Option<String>,
    /// Number of the newest attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// The newest attempts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub attempts: Vec<Attempt>,
    /// When the first attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// From start to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,
    /// The first time of each state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::times")]
    pub phase_times: BTreeMap<String, Time>,
    /// How many flows are in which state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<FlowCounts>,
    /// Failed flows before skipped ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub failed_flows: Vec<FailedFlow>,
    /// Rows and bytes over all attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// The part of `totals` that comes from attempts that have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_totals: Option<Totals>,
    /// How many attempts ended in a way that lets another one follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// What ran the newest attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<RunnerInfo>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// One entry per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
}

/// One pod's try, or that of its successors after evictions.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    /// Name of the batch/v1 Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub job: Option<String>,
    /// Name of its newest pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod: Option<String>,
    /// Where the pod ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// When the batch/v1 Job was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// Exit code of the runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What kind of end it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<AttemptClass>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Not before this time does the next attempt start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
}

/// How an attempt ended; decides whether there is another one.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub enum AttemptClass {
    /// All done.
    Success,
    /// Definition or data.
    User,
    /// An expectation.
    Expectation,
    /// Storage or credentials.
    Storage,
    /// Another attempt may not meet it.
    Transient,
    /// Stopped because someone asked for it.
    Canceled,
    /// The pod lost its place.
    Interrupted,
    /// Death without explanation.
    Unknown,
    /// Took longer than allowed.
    Timeout,
    /// The pod's containers could not start.
    PodStart,
}

impl From<FailureClass> for AttemptClass {
    fn from(class: FailureClass) -> Self {
        match class {
            FailureClass::User | FailureClass::Internal => Self::User,
            FailureClass::Expectation => Self::Expectation,
            FailureClass::Storage => Self::Storage,
            FailureClass::Transient => Self::Transient,
            FailureClass::Terminated => Self::Interrupted,
        }
    }
}

/// Flows by state.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct FlowCounts {
    /// `completed/total`, for people.
    #[schemars(length(max = 32))]
    pub done: String,
    /// All flows of the graph.
    pub total: i32,
    /// All rows are committed.
    pub completed: i32,
    /// Rows flow.
    pub running: i32,
    /// Wait.
    pub queued: i32,
    /// Ended by an error.
    pub failed: i32,
    /// An input failed.
    pub skipped: i32,
    /// Not selected.
    pub excluded: i32,
    /// Nothing to do.
    pub idle: i32,
    /// The update was stopped.
    pub stopped: i32,
}

impl FlowCounts {
    /// Counts `states`.
    pub fn of(states: impl IntoIterator<Item = FlowState>) -> Self {
        let mut counts = Self::default();
        for state in states {
            counts.total += 1;
            let place = match state {
                FlowState::Completed => &mut counts.completed,
                FlowState::Planning | FlowState::Starting | FlowState::Running => &mut counts.running,
                FlowState::Queued => &mut counts.queued,
                FlowState::Failed => &mut counts.failed,
                FlowState::Skipped => &mut counts.skipped,
                FlowState::Excluded => &mut counts.excluded,
                FlowState::Idle => &mut counts.idle,
                FlowState::Stopped => &mut counts.stopped,
            };
            *place += 1;
        }
        Self { done: format!("{}/{}", counts.completed, counts.total), ..counts }
    }
}

/// A flow that failed or was skipped because of one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FailedFlow {
    /// Name of the flow.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
    /// What it writes.
    #[serde(default)]
    #[schemars(length(max = 512))]
    pub dataset: String,
    /// Class of the error, e.g. `EXPECTATION_VIOLATION`.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub error_class: String,
    /// The error itself.
    #[serde(default)]
    #[schemars(length(max = 512))]
    pub message: String,
    /// `file:line:column` of its definition.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub origin: String,
}

/// Rows and bytes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Rows appended or computed.
    pub rows_written: i64,
    /// Rows that a change event wrote.
    pub upserted: i64,
    /// Rows that a change event removed.
    pub deleted: i64,
    /// Rows that expectations left out.
    pub dropped: i64,
    /// Rows that went to quarantine tables.
    pub quarantined: i64,
    /// Bytes of new files.
    pub bytes_written: i64,
    /// Rows read from streams, or by batch queries.
    pub input_rows: i64,
}

impl Totals {
    /// The sums of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            rows_written: self.rows_written.saturating_add(other.rows_written),
            upserted: self.upserted.saturating_add(other.upserted),
            deleted: self.deleted.saturating_add(other.deleted),
            dropped: self.dropped.saturating_add(other.dropped),
            quarantined: self.quarantined.saturating_add(other.quarantined),
            bytes_written: self.bytes_written.saturating_add(other.bytes_written),
            input_rows: self.input_rows.saturating_add(other.input_rows),
        }
    }
}

/// Ends of attempts that let another one follow. The list of attempts is cut; these numbers are not.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Retries {
    /// Passing failures. In continuous mode counted anew after ten minutes of running.
    pub transient: i32,
    /// Deaths without explanation.
    pub unknown: i32,
    /// Pods that lost their place, in a row.
    pub interrupted: i32,
}

/// What ran an attempt.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunnerInfo {
    /// Version of Floe.
    #[schemars(length(max = 64))]
    pub version: String,
    /// Image of its container.
    #[schemars(length(max = 1024))]
    pub image: String,
    /// Version of the request and the report.
    pub protocol: i32,
}
