//! What starts runs of a Job.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{pipeline::NameRef, schedule::Schedule, schemas};

/// Something that starts runs: exactly one of the kinds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.schedule), has(self.periodic), has(self.fileArrival), has(self.tableUpdate), has(self.jobCompletion), has(self.continuous)].filter(x, x).size() == 1")
        .message("trigger must have exactly one of schedule, periodic, fileArrival, tableUpdate, jobCompletion, continuous")
)]
pub struct Trigger {
    /// Name, unique in the list.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9-]+$"))]
    pub name: String,
    /// It does not fire.
    #[serde(default)]
    pub suspend: bool,
    /// By the clock of a time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Again and again after the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub periodic: Option<Periodic>,
    /// When files come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_arrival: Option<FileArrival>,
    /// When tables have new versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_update: Option<TableUpdate>,
    /// When runs of other Jobs end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_completion: Option<JobCompletion>,
    /// One run is always active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuous: Option<Continuous>,
}

/// Which kind of trigger, with its fields.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TriggerKind<'a> {
    /// By the clock of a time zone.
    Schedule(&'a Schedule),
    /// Again and again after the same time.
    Periodic(&'a Periodic),
    /// When files come.
    FileArrival(&'a FileArrival),
    /// When tables have new versions.
    TableUpdate(&'a TableUpdate),
    /// When runs of other Jobs end.
    JobCompletion(&'a JobCompletion),
    /// One run is always active.
    Continuous(&'a Continuous),
}

impl Trigger {
    /// Its kind; `None` if it has none, which the schema refuses.
    pub fn kind(&self) -> Option<TriggerKind<'_>> {
        let schedule = self.schedule.as_ref().map(TriggerKind::Schedule);
        schedule
            .or_else(|| self.periodic.as_ref().map(TriggerKind::Periodic))
            .or_else(|| self.file_arrival.as_ref().map(TriggerKind::FileArrival))
            .or_else(|| self.table_update.as_ref().map(TriggerKind::TableUpdate))
            .or_else(|| self.job_completion.as_ref().map(TriggerKind::JobCompletion))
            .or_else(|| self.continuous.as_ref().map(TriggerKind::Continuous))
    }
}

/// Instants at equal distances from the creation of the Job.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Periodic {
    /// The distance.
    #[schemars(range(min = 60, max = 31_536_000))]
    pub every_seconds: i32,
}

/// Files that were not there before.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minTimeBetweenTriggersSeconds == 0 || self.minTimeBetweenTriggersSeconds >= 60")
        .message("must be 0 or at least 60"),
    validation = Rule::new("self.waitAfterLastChangeSeconds == 0 || self.waitAfterLastChangeSeconds >= 60")
        .message("must be 0 or at least 60")
)]
pub struct FileArrival {
    /// The folder, `s3://`, `gs://`, `abfss://` or `file://`.
    #[schemars(length(min = 1, max = 2048))]
    pub uri: String,
    /// Least time between two runs.
    #[serde(default)]
    #[schemars(range(min = 0, max = 604_800))]
    pub min_time_between_triggers_seconds: i32,
    /// Quiet time after the last file.
    #[serde(default)]
    #[schemars(range(min = 0, max = 604_800))]
    pub wait_after_last_change_seconds: i32,
    /// How often is looked.
    #[serde(default = "default_poll")]
    #[schemars(range(min = 10, max = 3600))]
    pub poll_interval_seconds: i32,
    /// Service account of the pod that looks; default: that of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// ConfigMaps and Secrets whose keys become environment variables of the pod that looks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::free_form_list")]
    pub env_from: Vec<Value>,
}

fn default_poll() -> i32 {
    60
}

/// Tables with new versions.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minTimeBetweenTriggersSeconds == 0 || self.minTimeBetweenTriggersSeconds >= 60")
        .message("must be 0 or at least 60"),
    validation = Rule::new("self.waitAfterLastChangeSeconds == 0 || self.waitAfterLastChangeSeconds >= 60")
        .message("must be 0 or at least 60")
)]
pub struct TableUpdate {
    /// Table objects of the namespace.
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tables: Vec<NameRef>,
    /// Whether one new version is enough.
    #[serde(default)]
    pub condition: TableCondition,
    /// Least time between two runs.
    #[serde(default)]
    #[schemars(range(min = 0, max = 604_800))]
    pub min_time_between_triggers_seconds: i32,
    /// Quiet time after the last new version.
    #[serde(default)]
    #[schemars(range(min = 0, max = 604_800))]
    pub wait_after_last_change_seconds: i32,
    /// How often tables are looked at that no pipeline here writes.
    #[serde(default = "default_poll")]
    #[schemars(range(min = 10, max = 3600))]
    pub poll_interval_seconds: i32,
}

/// Whether one new version is enough.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableCondition {
    /// One table has a new version.
    #[default]
    AnyUpdated,
    /// All tables have new versions.
    AllUpdated,
}

/// The end of runs of other Jobs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobCompletion {
    /// Jobs of the namespace.
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub jobs: Vec<NameRef>,
    /// Which ends count.
    #[serde(default)]
    pub if_status: CompletionStatus,
}

/// Which ends of a run count.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompletionStatus {
    /// It ended well, even if a task failed on the way.
    #[default]
    Success,
    /// It failed or took too long.
    Failed,
    /// Any end; a run that was skipped has none.
    Done,
}

/// One run is always active.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Continuous {
    /// What a failed task does to its run.
    #[serde(default)]
    pub task_retry_mode: TaskRetryMode,
}

/// What a failed task does to a continuous run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskRetryMode {
    /// The run goes on to its end, and the next one starts later.
    #[default]
    Never,
    /// It is tried again within the run.
    OnFailure,
}
