//! One task of a Job: when it runs, and what it does.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TaskNotification;
use crate::{
    pipeline::{EnvVar, ImagePullPolicy, Resources},
    run::condition::Op,
    schemas,
    update::UpdateSelection,
};

/// A node of the graph of a Job: exactly one of the kinds of tasks.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.pipeline), has(self.sql), has(self.container), has(self.condition), has(self.forEach), has(self.runJob)].filter(x, x).size() == 1")
        .message("task must have exactly one of pipeline, sql, container, condition, forEach, runJob"),
    validation = Rule::new("!has(self.condition) || !has(self.retry) && !has(self.timeoutSeconds) && !has(self.notifications)")
        .message("condition tasks have no retry, timeout or notifications")
)]
pub struct Task {
    /// Name, unique in the list; references use it.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub description: String,
    /// What must have ended before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["task".into()]))]
    pub depends_on: Vec<Dependency>,
    /// Which ends of those let it run.
    #[serde(default)]
    pub run_if: RunIf,
    /// It does not run, and what waits for it takes that for no result.
    #[serde(default)]
    pub disabled: bool,
    /// An attempt that takes longer is stopped; of a loop the whole of it; 0 = no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub timeout_seconds: Option<i32>,
    /// What follows a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The pods of its attempts.
    #[serde(flatten)]
    pub pod: PodSettings,
    /// Whom to tell of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub notifications: Vec<TaskNotification>,
    /// What it does, if it is no loop.
    #[serde(flatten)]
    pub work: Work,
    /// Another task once for each element of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
}

/// What a task does: one of the fields. A loop has none of them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// An update of a Pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineTask>,
    /// Queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<SqlTask>,
    /// A program in an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerTask>,
    /// A comparison whose outcome chooses a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionTask>,
    /// A run of another Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_job: Option<RunJobTask>,
}

/// What kind of task.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub enum TaskKind {
    /// An update of a Pipeline.
    Pipeline,
    /// Queries.
    Sql,
    /// A program in an image.
    Container,
    /// A comparison.
    Condition,
    /// A loop.
    ForEach,
    /// A run of another Job.
    RunJob,
}

impl TaskKind {
    /// The key in the manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Sql => "sql",
            Self::Container => "container",
            Self::Condition => "condition",
            Self::ForEach => "forEach",
            Self::RunJob => "runJob",
        }
    }
}

impl Work {
    /// How many fields are set.
    pub fn count(&self) -> usize {
        let Self { pipeline, sql, container, condition, run_job } = self;
        let given = [pipeline.is_some(), sql.is_some(), container.is_some(), condition.is_some(), run_job.is_some()];
        given.into_iter().filter(|given| *given).count()
    }

    /// Its kind; `None` if no field is set.
    pub fn kind(&self) -> Option<TaskKind> {
        let of = |is_set: bool, kind: TaskKind| is_set.then_some(kind);
        of(self.pipeline.is_some(), TaskKind::Pipeline)
            .or(of(self.sql.is_some(), TaskKind::Sql))
            .or(of(self.container.is_some(), TaskKind::Container))
            .or(of(self.condition.is_some(), TaskKind::Condition))
            .or(of(self.run_job.is_some(), TaskKind::RunJob))
    }
}

impl Task {
    /// Its kind. The schema sees to it that there is one.
    pub fn kind(&self) -> TaskKind {
        self.work.kind().unwrap_or(TaskKind::ForEach)
    }
}

/// What must have ended before a task runs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Name of the task.
    #[schemars(length(min = 1, max = 100))]
    pub task: String,
    /// The outcome that a condition must have had, `true` or `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5), regex(pattern = "^(true|false)$"))]
    pub outcome: Option<String>,
}

/// Which ends of its dependencies let a task run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RunIf {
    /// All succeeded.
    #[default]
    AllSuccess,
    /// One succeeded.
    AtLeastOneSuccess,
    /// None failed or was canceled, and one succeeded.
    NoneFailed,
    /// All have ended.
    AllDone,
    /// One failed or was canceled.
    AtLeastOneFailed,
    /// All failed or were canceled.
    AllFailed,
}

/// What follows a failed attempt.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// So many further attempts; −1 = without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 1000))]
    pub max_retries: Option<i32>,
    /// From the start of the failed attempt to the start of the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub min_interval_seconds: Option<i32>,
    /// The longest such time; 3600 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub max_interval_seconds: Option<i32>,
    /// Each interval in percent of the one before; 100 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 1000))]
    pub backoff_factor_percent: Option<i32>,
    /// An attempt that took too long is tried again too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<bool>,
    /// Which failures are tried again; unless said any failure of a container task, of others those that may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_on: Option<RetryOn>,
}

/// Which failures are tried again.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// Those that may pass.
    Transient,
    /// All but those that definition, data or storage will give again.
    AnyFailure,
}

/// The pods of a task's attempts. A task that has no pods has no use for them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodSettings {
    /// Service account; default: `floe-job-<job>`, which the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Processor time and memory of the task's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// A pod template that is merged over what the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::free_form")]
    pub pod_template: Option<Value>,
    /// Local queue of Kueue that admits the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub queue_name: Option<String>,
    /// Environment variables. Names that begin with `FLOE_` are reserved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// ConfigMaps and Secrets whose keys become environment variables, as in a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::free_form_list")]
    pub env_from: Vec<Value>,
}

/// What tasks have that do not say it themselves.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TaskDefaults {
    /// What follows a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// An attempt that takes longer is stopped; 0 = no limit.
    #[serde(default)]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub timeout_seconds: i32,
    /// The pods of attempts. Only the pod template is merged with that of a task.
    #[serde(flatten)]
    pub pod: PodSettings,
}

/// An update of a Pipeline.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PipelineTask {
    /// Name of the Pipeline.
    #[schemars(length(min = 1, max = 46))]
    pub name: String,
    /// What takes part, and how.
    #[serde(flatten)]
    pub selection: UpdateSelection,
}

/// Queries in a pod of the runner: exactly one of `statements`, `file` and `configMapRef`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.statements), has(self.file), has(self.configMapRef)].filter(x, x).size() == 1")
        .message("sql needs exactly one of statements, file, configMapRef"),
    validation = Rule::new("!has(self.file) || has(self.pipeline)")
        .message("sql.file is read from the pipeline's source: set sql.pipeline")
)]
pub struct SqlTask {
    /// The statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100_000))]
    pub statements: Option<String>,
    /// A file of the pipeline's project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub file: Option<String>,
    /// A key of a ConfigMap of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<KeyRef>,
    /// The Pipeline whose names, parameters and storage are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 46))]
    pub pipeline: Option<String>,
    /// Read as `:name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::parameters")]
    pub parameters: BTreeMap<String, String>,
    /// So many rows of the last result are kept.
    #[serde(default = "SqlTask::default_rows")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_rows: i32,
    /// Task values that come of the last result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub set_values: Vec<SetValue>,
}

impl SqlTask {
    fn default_rows() -> i32 {
        1000
    }
}

/// A key of a ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A task value that comes of a result.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SetValue {
    /// The key of the value.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub key: String,
    /// What of the result.
    pub from: ValueSource,
}

/// What of a result becomes a value.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// All rows, as a list of objects.
    Rows,
    /// The first row, as an object.
    FirstRow,
    /// The first column of the first row; null if there is no row.
    Scalar,
}

/// A program in an image.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ContainerTask {
    /// The image.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// When it is pulled.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,
    /// The program, in place of that of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 65_536)))]
    pub command: Vec<String>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(max = 65_536)))]
    pub args: Vec<String>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub working_dir: Option<String>,
    /// Volumes of the pod template, as in a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::free_form_list")]
    pub volume_mounts: Vec<Value>,
    /// How it runs where there is no cluster.
    #[serde(default)]
    pub local_mode: LocalMode,
}

/// How a container task runs where there is no cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalMode {
    /// In its image.
    #[default]
    Container,
    /// As a process of the machine.
    Process,
}

/// A comparison whose outcome chooses a branch.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConditionTask {
    /// One side.
    #[schemars(length(max = 10_000))]
    pub left: String,
    /// How the sides are compared.
    pub op: Op,
    /// The other side.
    #[schemars(length(max = 10_000))]
    pub right: String,
}

/// A run of another Job.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunJobTask {
    /// Name of the Job.
    #[schemars(length(min = 1, max = 48))]
    pub name: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::parameters")]
    pub parameters: BTreeMap<String, String>,
}

/// A task once for each element of a list.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ForEach {
    /// The list as JSON, or a reference to one.
    #[schemars(length(min = 1, max = 10_000))]
    pub inputs: String,
    /// So many run at once.
    #[serde(default = "ForEach::default_concurrency")]
    #[schemars(range(min = 1, max = 100))]
    pub concurrency: i32,
    /// What is done with each element.
    pub task: NestedTask,
}

impl ForEach {
    fn default_concurrency() -> i32 {
        1
    }
}

/// The task of a loop.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.pipeline), has(self.sql), has(self.container), has(self.condition), has(self.runJob)].filter(x, x).size() == 1")
        .message("task must have exactly one of pipeline, sql, container, condition, runJob"),
    validation = Rule::new("!has(self.condition) || !has(self.retry) && !has(self.timeoutSeconds) && !has(self.notifications)")
        .message("condition tasks have no retry, timeout or notifications")
)]
pub struct NestedTask {
    /// Its name.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub description: String,
    /// An attempt that takes longer is stopped; 0 = no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub timeout_seconds: Option<i32>,
    /// What follows a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The pods of its attempts.
    #[serde(flatten)]
    pub pod: PodSettings,
    /// Whom to tell of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub notifications: Vec<TaskNotification>,
    /// What it does.
    #[serde(flatten)]
    pub work: Work,
}
