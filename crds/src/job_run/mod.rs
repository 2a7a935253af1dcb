//! The JobRun kind: one execution of a Job, with what became of each task.

mod status;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use status::{
    Child, Delivery, DeliveryState, ForEachStatus, JobRunStatus, QueueReason, RepairRecord, RepairState, RepairType, TaskCounts,
    TaskStatus, TopError,
};

use crate::{pipeline::NameRef, pipeline_update::Cancel, schemas};

/// What a run is asked to do. Nothing of it changes later but `cancel` and `repair`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "floe.dev",
    version = "v1alpha1",
    kind = "JobRun",
    namespaced,
    status = "JobRunStatus",
    derive = "PartialEq",
    shortname = "frun",
    category = "floe",
    doc = "One execution of a Job: what started it and what became of its tasks",
    selectable = ".spec.jobRef.name",
    selectable = ".status.state",
    printcolumn(name = "Job", type_ = "string", json_path = ".spec.jobRef.name"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Result", type_ = "string", json_path = ".status.resultState"),
    printcolumn(name = "Trigger", type_ = "string", json_path = ".spec.trigger.type"),
    printcolumn(name = "Tasks", type_ = "string", json_path = ".status.taskCounts.done"),
    printcolumn(name = "Repairs", type_ = "integer", json_path = ".status.repairCount"),
    printcolumn(name = "Start", type_ = "date", json_path = ".status.startTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Duration", type_ = "integer", json_path = ".status.runDurationSeconds", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = "1"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("name must be at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.jobRef == oldSelf.jobRef && self.trigger == oldSelf.trigger && has(self.backfill) == has(oldSelf.backfill) && (!has(self.backfill) || self.backfill == oldSelf.backfill)")
        .message("JobRun spec is immutable; only cancel and repair may change"),
    validation = Rule::new("has(self.parameters) == has(oldSelf.parameters) && (!has(self.parameters) || self.parameters == oldSelf.parameters) && has(self.only) == has(oldSelf.only) && (!has(self.only) || self.only == oldSelf.only)")
        .message("JobRun spec is immutable; only cancel and repair may change"),
    validation = Rule::new("!has(oldSelf.repair) || has(self.repair)")
        .message("repair.id must be the previous id plus 1"),
    validation = Rule::new("!has(self.repair) || has(oldSelf.repair) && self.repair == oldSelf.repair || self.repair.id == (has(oldSelf.repair) ? oldSelf.repair.id : 0) + 1")
        .message("repair.id must be the previous id plus 1"),
    validation = Rule::new("self.cancel == oldSelf.cancel || self.cancel == 'Immediate' || oldSelf.cancel == 'None' || self.cancel == 'None' && has(self.repair) && (!has(oldSelf.repair) || self.repair.id != oldSelf.repair.id)")
        .message("cancel only rises: None, Graceful, Immediate; a new repair sets it back to None")
)]
pub struct JobRunSpec {
    /// The Job, of the same namespace.
    pub job_ref: NameRef,
    /// Values in the place of the job's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::parameters")]
    pub parameters: BTreeMap<String, String>,
    /// Only these tasks run; empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 100)))]
    pub only: Vec<String>,
    /// What started it.
    #[serde(default)]
    pub trigger: RunTrigger,
    /// The run stands for others, one per slice of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Backfill>,
    /// Whether it shall stop, and how.
    #[serde(default)]
    pub cancel: Cancel,
    /// What of it shall be done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
}

/// What started a run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunTrigger {
    /// The kind.
    #[serde(rename = "type", default)]
    pub trigger_type: TriggerType,
    /// Name of the trigger of the Job.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 40))]
    pub name: String,
    /// The instant that it is for; only of `Periodic` and `Backfill`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// What else is known: `location`, `updatedTables`, `upstreamRun`, `parents`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::options")]
    pub detail: BTreeMap<String, String>,
}

/// The kind of what started a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TriggerType {
    /// A person or a tool.
    #[default]
    OneTime,
    /// The clock.
    Periodic,
    /// Files.
    FileArrival,
    /// New versions of tables.
    Table,
    /// The end of a run of another Job.
    JobCompletion,
    /// The job always has a run.
    Continuous,
    /// A task of another run.
    RunJobTask,
    /// A slice of a backfill.
    Backfill,
}

impl TriggerType {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneTime => "OneTime",
            Self::Periodic => "Periodic",
            Self::FileArrival => "FileArrival",
            Self::Table => "Table",
            Self::JobCompletion => "JobCompletion",
            Self::Continuous => "Continuous",
            Self::RunJobTask => "RunJobTask",
            Self::Backfill => "Backfill",
        }
    }

    /// The word of the reference `job.trigger.type`.
    pub const fn reference(self) -> &'static str {
        match self {
            Self::OneTime => "one_time",
            Self::Periodic => "periodic",
            Self::FileArrival => "file_arrival",
            Self::Table => "table",
            Self::JobCompletion => "job_completion",
            Self::Continuous => "continuous",
            Self::RunJobTask => "run_job_task",
            Self::Backfill => "backfill",
        }
    }
}

/// Runs for slices of time.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Backfill {
    /// Start of the first slice.
    pub from: Time,
    /// No slice starts at this time or later.
    pub to: Time,
    /// Length of a slice as ISO 8601 says it, e.g. `P1D`.
    #[schemars(length(min = 2, max = 64))]
    pub every: String,
    /// IANA name of the time zone in which days and months are counted.
    #[serde(default = "Backfill::default_time_zone")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Which slice is first.
    #[serde(default)]
    pub order: BackfillOrder,
    /// So many run at once.
    #[serde(default = "Backfill::default_concurrency")]
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent: i32,
    /// What becomes of slices that had a run already.
    #[serde(default)]
    pub reprocess: Reprocess,
}

impl Backfill {
    fn default_time_zone() -> String {
        "UTC".to_string()
    }

    fn default_concurrency() -> i32 {
        1
    }
}

/// Which slice is first.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackfillOrder {
    /// The oldest.
    #[default]
    Ascending,
    /// The newest.
    Descending,
}

/// What becomes of slices that had a run already.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reprocess {
    /// Those that ended well are left out.
    #[default]
    Missing,
    /// Only those that failed run.
    Failed,
    /// All run.
    All,
}

/// What of a finished run shall be done again.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.tasks) && size(self.tasks) > 0) != self.allFailed").message("repair needs exactly one of tasks, allFailed")
)]
pub struct Repair {
    /// The id of the repair before plus 1; the first is 1.
    #[schemars(range(min = 1))]
    pub id: i32,
    /// These tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 100)))]
    pub tasks: Vec<String>,
    /// All tasks that failed or were stopped.
    #[serde(default)]
    pub all_failed: bool,
    /// And everything that depends on them, even if it succeeded.
    #[serde(default)]
    pub dependents: bool,
    /// Values in the place of the run's parameters, for this repair and those after it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::parameters")]
    pub parameters: BTreeMap<String, String>,
}
