//! The Job kind: tasks, what they wait for, parameters, triggers, whom to tell.

mod effective;
mod health;
mod notification;
mod status;
mod task;
mod trigger;

pub use effective::{EffectiveRetry, EffectiveTask};
pub use health::{HealthMetric, HealthRule};
use kube::{CustomResource, KubeSchema};
pub use notification::{
    Email, Header, JobEvent, JobNotification, SecretKey, TaskEvent, TaskNotification, ValueFrom, Webhook, WebhookFormat,
};
use serde::{Deserialize, Serialize};
pub use status::{JobStatus, LastRun, TriggerStatus};
pub use task::{
    ConditionTask, ContainerTask, Dependency, ForEach, KeyRef, LocalMode, NestedTask, PipelineTask, PodSettings, Retry, RetryOn, RunIf,
    RunJobTask, SetValue, SqlTask, Task, TaskDefaults, TaskKind, ValueSource, Work,
};
pub use trigger::{
    CompletionStatus, Continuous, FileArrival, JobCompletion, Periodic, TableCondition, TableUpdate, TaskRetryMode, Trigger, TriggerKind,
};

/// What a Job is asked to do; belongs to people, the operator writes only `.status`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "floe.dev",
    version = "v1alpha1",
    kind = "Job",
    namespaced,
    status = "JobStatus",
    derive = "PartialEq",
    shortname = "fjob",
    category = "floe",
    doc = "Tasks that run one after another or side by side, when a trigger fires or a person asks",
    printcolumn(name = "Schedule", type_ = "string", json_path = ".status.schedule"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.active"),
    printcolumn(name = "Queued", type_ = "integer", json_path = ".status.queued"),
    printcolumn(name = "Last Run", type_ = "date", json_path = ".status.lastRun.startTime"),
    printcolumn(name = "Result", type_ = "string", json_path = ".status.lastRun.resultState"),
    printcolumn(name = "Next Run", type_ = "string", json_path = ".status.nextRunTime"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = "1"),
    validation = Rule::new("size(self.metadata.name) <= 48")
        .message("name must be at most 48 characters: it is the prefix of run and pod names"),
    validation = Rule::new("!has(self.spec.triggers) || self.spec.triggers.all(t, !has(t.jobCompletion) || t.jobCompletion.jobs.all(j, j.name != self.metadata.name))")
        .message("a job cannot be triggered by its own completion")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.triggers) || size(self.triggers) < 2 || !self.triggers.exists(t, has(t.continuous))")
        .message("continuous excludes every other trigger"),
    validation = Rule::new("!has(self.triggers) || !self.triggers.exists(t, has(t.continuous)) || self.maxConcurrentRuns == 1")
        .message("a continuous job has exactly one active run"),
    validation = Rule::new("self.tasks.all(t, !has(t.dependsOn) || sets.contains(self.tasks.map(x, x.name), t.dependsOn.map(d, d.task)))")
        .message("dependsOn names an unknown task"),
    validation = Rule::new("self.tasks.all(t, !has(t.dependsOn) || t.dependsOn.all(d, d.task != t.name))")
        .message("task cannot depend on itself"),
    validation = Rule::new("self.tasks.all(t, !has(t.dependsOn) || sets.contains(self.tasks.filter(x, has(x.condition)).map(x, x.name), t.dependsOn.filter(d, has(d.outcome)).map(d, d.task)))")
        .message("outcome is only allowed on a dependency on a condition task")
)]
pub struct JobSpec {
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub description: String,
    /// No trigger fires. Runs that have begun or wait go on, and people can start runs.
    #[serde(default)]
    pub suspend: bool,
    /// Texts that tasks read as references `job.parameters.<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub parameters: Vec<JobParameter>,
    /// So many runs may be active; 0: each new run is skipped.
    #[serde(default = "JobSpec::default_concurrency")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_concurrent_runs: i32,
    /// What becomes of runs that may not start at once.
    #[serde(default)]
    pub queue: Queue,
    /// A run that takes longer is stopped; time in the queue does not count; 0 = no limit.
    #[serde(default)]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub timeout_seconds: i32,
    /// What starts runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub triggers: Vec<Trigger>,
    /// What tasks have that do not say it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_defaults: Option<TaskDefaults>,
    /// What is done.
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tasks: Vec<Task>,
    /// Whom to tell of runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub notifications: Vec<JobNotification>,
    /// What is warned of while a run goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub health: Vec<HealthRule>,
    /// How many finished runs are kept.
    #[serde(default)]
    pub run_history: RunHistory,
}

impl JobSpec {
    fn default_concurrency() -> i32 {
        1
    }

    /// The task of this name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == name)
    }
}

/// A parameter of a Job.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobParameter {
    /// Name, unique in the list.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub name: String,
    /// Its value, unless a run gives another; may hold references to the job, its trigger and the slice of a backfill.
    #[serde(default)]
    #[schemars(length(max = 10_000))]
    pub default: String,
}

/// What becomes of runs that may not start at once.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// They wait; if not, they are skipped.
    #[serde(default = "Queue::default_enabled")]
    pub enabled: bool,
    /// So many may wait; a further one is skipped.
    #[serde(default = "Queue::default_length")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_length: i32,
    /// One that has waited so long is skipped.
    #[serde(default = "Queue::default_wait")]
    #[schemars(range(min = 60, max = 604_800))]
    pub max_wait_seconds: i32,
}

impl Queue {
    fn default_enabled() -> bool {
        true
    }

    fn default_length() -> i32 {
        100
    }

    fn default_wait() -> i32 {
        172_800
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { enabled: Self::default_enabled(), max_length: Self::default_length(), max_wait_seconds: Self::default_wait() }
    }
}

/// How many finished runs are kept; the newest one always is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunHistory {
    /// Runs that ended well.
    #[serde(default = "RunHistory::default_limit")]
    #[schemars(range(min = 0, max = 100))]
    pub successful_limit: i32,
    /// Runs that failed, were canceled or skipped.
    #[serde(default = "RunHistory::default_limit")]
    #[schemars(range(min = 0, max = 100))]
    pub failed_limit: i32,
    /// Older ones go, however few there are.
    #[serde(default = "RunHistory::default_ttl")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: i32,
}

impl RunHistory {
    fn default_limit() -> i32 {
        3
    }

    fn default_ttl() -> i32 {
        604_800
    }
}

impl Default for RunHistory {
    fn default() -> Self {
        Self {
            successful_limit: Self::default_limit(),
            failed_limit: Self::default_limit(),
            ttl_seconds_after_finished: Self::default_ttl(),
        }
    }
}
