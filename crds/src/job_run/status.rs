//! What became of a run.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    job::TaskKind,
    schemas,
    state::{RunResultState, RunState, TaskResultState, TaskState, TerminationCode},
};

/// What became of a run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JobRunStatus {
    /// The generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The value of `floe.dev/reconcile-requested-at` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_handled_reconcile_at: Option<String>,
    /// The generation of the Job whose spec is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_generation: Option<i64>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_state: Option<RunResultState>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_code: Option<TerminationCode>,
    /// What a person should know: the first task that failed, and its cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// What it waits for; only while queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_reason: Option<QueueReason>,
    /// It is skipped if it has not started by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_until: Option<Time>,
    /// When it left the queue for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// Seconds that it ran; of a repaired run the last execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_duration_seconds: Option<i64>,
    /// How often it was repaired.
    #[serde(default)]
    pub repair_count: i32,
    /// Parameters in force; long ones are cut.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::shown_parameters")]
    pub parameters: BTreeMap<String, String>,
    /// Hash of the spec of the Job in force; its text is in the ConfigMap `<run>-spec-<repair>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub job_snapshot_hash: Option<String>,
    /// Tasks by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_counts: Option<TaskCounts>,
    /// Every task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tasks: Vec<TaskStatus>,
    /// The first execution and the newest repairs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub repairs: Vec<RepairRecord>,
    /// What people were told, or are yet to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub notifications: Vec<Delivery>,
    /// One entry per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
}

/// What a run waits for before it starts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueReason {
    /// The job has as many active runs as it may.
    MaxConcurrentRuns,
    /// The operator has as many active runs as it may.
    ActiveRunsLimit,
    /// The namespace has as many active runs as it may.
    NamespaceLimit,
}

impl QueueReason {
    /// What a run waits for, for people.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::MaxConcurrentRuns => "the Job has as many active runs as its maxConcurrentRuns allows",
            Self::ActiveRunsLimit => "the operator has as many active runs as its --max-active-runs allows",
            Self::NamespaceLimit => "the namespace has as many active runs as --max-active-runs-per-namespace of the operator allows",
        }
    }
}

/// Tasks by state.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskCounts {
    /// `ended/total`, for people.
    #[schemars(length(max = 32))]
    pub done: String,
    /// All tasks; of a backfill its slices.
    pub total: i32,
    /// They wait for others, or for a place.
    pub blocked: i32,
    /// They are at work, or will be again.
    pub running: i32,
    /// They did what they should.
    pub succeeded: i32,
    /// They did not, or could not because of others.
    pub failed: i32,
    /// Their branch was not taken.
    pub excluded: i32,
    /// They are switched off.
    pub disabled: i32,
    /// They were stopped.
    pub canceled: i32,
}

/// One task of a run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// Name of the task.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What kind of task.
    pub kind: TaskKind,
    /// Where it is.
    pub state: TaskState,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_state: Option<TaskResultState>,
    /// What a condition came to, `true` or `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5))]
    pub outcome: Option<String>,
    /// Why it ended so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_code: Option<TerminationCode>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Attempts over all repairs.
    #[serde(default)]
    pub execution_count: i32,
    /// Retries in the present repair.
    #[serde(default)]
    pub retries: i32,
    /// Attempts in a row that lost their place.
    #[serde(default)]
    pub interruptions: i32,
    /// The repair that it was run in last; 0 = the first execution.
    #[serde(default)]
    pub repair_id: i32,
    /// When its first attempt of the present repair started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// Not before this time comes the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_time: Option<Time>,
    /// What the newest attempt runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<Child>,
    /// Keys of the values that it set; the values are in the RunReport that is named as `child`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 100)))]
    pub values: Vec<String>,
    /// The iterations of a loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEachStatus>,
}

/// An object that an attempt runs as.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Child {
    /// Its API version.
    #[schemars(length(max = 100))]
    pub api_version: String,
    /// Its kind: `Job` of batch/v1, `PipelineUpdate` or `JobRun`.
    #[schemars(length(max = 100))]
    pub kind: String,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// The iterations of a loop.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ForEachStatus {
    /// All iterations.
    #[serde(default)]
    pub total: i32,
    /// They are at work, or will be again.
    #[serde(default)]
    pub active: i32,
    /// They did what they should, in this repair or before.
    #[serde(default)]
    pub succeeded: i32,
    /// They did not.
    #[serde(default)]
    pub failed: i32,
    /// They were left out.
    #[serde(default)]
    pub excluded: i32,
    /// Hash of the list: a repair of the same list leaves out what succeeded.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub inputs_hash: String,
    /// Which iterations succeeded, as bits in base64.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub succeeded_bitmap: String,
    /// Which iterations failed for good in the present repair, as bits in base64.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub failed_bitmap: String,
    /// Number of the first attempt of each iteration in the present repair: attempts of earlier repairs have lower ones.
    #[serde(default)]
    pub first_execution: i32,
    /// The highest number of an attempt so far.
    #[serde(default)]
    pub last_execution: i32,
    /// The most frequent errors.
    #[serde(default)]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub top_errors: Vec<TopError>,
}

/// An error of iterations.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TopError {
    /// What a person should know, from the first iteration that met it.
    #[schemars(length(max = 512))]
    pub message: String,
    /// Its code.
    #[schemars(length(max = 64))]
    pub code: String,
    /// How many iterations met it.
    pub count: i32,
}

/// The first execution of a run, or a repair.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RepairRecord {
    /// 0 = the first execution.
    pub id: i32,
    /// Which of the two.
    #[serde(rename = "type")]
    pub repair_type: RepairType,
    /// Where it is.
    pub state: RepairState,
    /// Tasks that it began anew; empty for the first execution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 100)))]
    pub tasks: Vec<String>,
    /// When it was taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// The first execution of a run, or a repair.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairType {
    /// The first execution.
    Original,
    /// A repair.
    Repair,
}

/// Where an execution of a run is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairState {
    /// It goes on, or waits for its place.
    Running,
    /// The run ended well.
    Succeeded,
    /// The run did not.
    Failed,
    /// It was not carried out.
    Rejected,
}

/// One thing that somebody is told.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The same in all tries: the receiver knows by it what it has seen.
    #[schemars(length(min = 1, max = 64))]
    pub key: String,
    /// What is told.
    #[schemars(length(max = 32))]
    pub event: String,
    /// Name of the entry in `notifications`; of a task `<task>/<name>`.
    #[schemars(length(max = 201))]
    pub target: String,
    /// Where it is.
    pub state: DeliveryState,
    /// Tries so far.
    #[serde(default)]
    pub attempts: i32,
    /// Not before this time comes the next try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// When it became due: the time in what is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
}

/// Where a delivery is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is yet to be made.
    Pending,
    /// The receiver has it.
    Delivered,
    /// It was given up.
    Failed,
}
