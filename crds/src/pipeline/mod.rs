//! The Pipeline kind: one storage location, one default namespace, the SQL files and the settings of their updates.

mod cluster;
mod status;

use std::collections::BTreeMap;

pub use cluster::{
    ConfigMapSource, EnvVar, ImagePullPolicy, NotificationEvent, OnChange, PipelineMaintenance, PipelineNotification, Resources, Runner,
    Scratch, Source, UpdateHistory, UpdatePolicy,
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use status::{GraphCounts, LastSuccessfulUpdate, LastUpdate, PipelineStatus};

use crate::schemas;

/// What a pipeline is made of and how its updates run.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "floe.dev",
    version = "v1alpha1",
    kind = "Pipeline",
    namespaced,
    status = "PipelineStatus",
    derive = "PartialEq",
    shortname = "fpipe",
    category = "floe",
    doc = "Datasets, sinks and flows with one storage location, one default catalog and schema, and one event log",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health"),
    printcolumn(name = "Last Update", type_ = "string", json_path = ".status.lastUpdate.state"),
    printcolumn(name = "Updated", type_ = "date", json_path = ".status.lastSuccessfulUpdate.endTime"),
    printcolumn(name = "Datasets", type_ = "integer", json_path = ".status.graph.datasets"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", priority = "1"),
    printcolumn(name = "Storage", type_ = "string", json_path = ".spec.storage.uri", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = "1"),
    validation = Rule::new("size(self.metadata.name) <= 46").message("name must be at most 46 characters: it is the prefix of pod names")
)]
#[x_kube(
    validation = Rule::new("has(self.storage) && has(self.storage.uri)").message("storage.uri is required in a cluster"),
    validation = Rule::new("self.catalog == oldSelf.catalog").message("catalog is immutable: every table would get another name; create a new Pipeline"),
    validation = Rule::new("self.schema == oldSelf.schema").message("schema is immutable: every table would get another name; create a new Pipeline"),
    validation = Rule::new("self.mode != 'Continuous' || !has(self.updatePolicy) || !has(self.updatePolicy.schedule)")
        .message("a continuous pipeline has no schedule")
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSpec {
    /// Default catalog of unqualified names.
    #[serde(default = "default_catalog")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_]{1,128}$"), length(max = 128))]
    pub catalog: String,
    /// Default schema of unqualified names.
    #[serde(default = "default_schema")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_]{1,128}$"), length(max = 128))]
    pub schema: String,
    /// Where tables, event log and checkpoints are kept. Required in a cluster; `./lake` beside the manifest in local mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Where the project's files come from in a cluster; absent = only inline libraries and Table objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Which files are registered; the union of all entries.
    #[serde(default = "default_libraries")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub libraries: Vec<Library>,
    /// Values of `${key}` and of `pipelines.*` and `spark.sql.session.timeZone` settings.
    #[serde(default)]
    #[schemars(schema_with = "schemas::configuration")]
    pub configuration: BTreeMap<String, String>,
    /// Values that queries read as `:name`.
    #[serde(default)]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub parameters: Vec<Parameter>,
    /// Whether an update ends when all flows are done, or goes on until it is stopped.
    #[serde(default)]
    pub mode: Mode,
    /// No retries, no failure notifications, more detail in events.
    #[serde(default)]
    pub development: bool,
    /// Flows that run at once; 0 = twice the CPU limit, at least 2, at most 16.
    #[serde(default)]
    #[schemars(range(min = 0, max = 64))]
    pub max_concurrent_flows: i32,
    /// How often and when transient failures are tried again.
    #[serde(default)]
    pub retry_policy: RetryPolicy,
    /// The event log table.
    #[serde(default)]
    pub event_log: EventLog,
    /// What happens to the data of a dataset when its object is deleted, unless the dataset says otherwise.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Table properties of every dataset; the dataset's own value wins.
    #[serde(default)]
    #[schemars(schema_with = "schemas::properties")]
    pub properties: BTreeMap<String, String>,
    /// Targets outside the pipeline that append flows write to.
    #[serde(default)]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub sinks: Vec<Sink>,
    /// Prefixes of source paths and what to read instead, so that `/Volumes/…` and `dbfs:/…` of existing files work.
    #[serde(default)]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["prefix".into()]))]
    pub path_mappings: Vec<PathMapping>,
    /// No update starts by itself; one that runs goes on.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub suspend: bool,
    /// When updates start by themselves, and how long they may take.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub update_policy: UpdatePolicy,
    /// When tables are compacted and old files and events removed.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub maintenance: PipelineMaintenance,
    /// How many finished updates are kept.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub update_history: UpdateHistory,
    /// Whom to tell of what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub notifications: Vec<PipelineNotification>,
    /// The pods that run updates.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = {}))]
    pub runner: Runner,
}

impl PipelineSpec {
    /// What decides the results of an update: the spec without the settings of pods, times, history and notifications.
    #[must_use]
    pub fn definition(&self) -> Self {
        Self {
            suspend: false,
            update_policy: UpdatePolicy::default(),
            maintenance: PipelineMaintenance::default(),
            update_history: UpdateHistory::default(),
            notifications: Vec::new(),
            runner: Runner::default(),
            ..self.clone()
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for PipelineSpec {
    fn default() -> Self {
        Self {
            catalog: default_catalog(),
            schema: default_schema(),
            storage: None,
            source: None,
            libraries: default_libraries(),
            configuration: BTreeMap::new(),
            parameters: Vec::new(),
            mode: Mode::default(),
            development: false,
            max_concurrent_flows: 0,
            retry_policy: RetryPolicy::default(),
            event_log: EventLog::default(),
            deletion_policy: DeletionPolicy::default(),
            properties: BTreeMap::new(),
            sinks: Vec::new(),
            path_mappings: Vec::new(),
            suspend: false,
            update_policy: UpdatePolicy::default(),
            maintenance: PipelineMaintenance::default(),
            update_history: UpdateHistory::default(),
            notifications: Vec::new(),
            runner: Runner::default(),
        }
    }
}

fn default_catalog() -> String {
    "main".to_string()
}

fn default_schema() -> String {
    "default".to_string()
}

fn default_libraries() -> Vec<Library> {
    vec![Library { glob: Some(GlobLibrary { include: "transformations/**".to_string() }), ..Library::default() }]
}

/// Where a pipeline keeps everything it writes. One root belongs to one pipeline.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Absolute URI (`s3://`, `gs://`, `abfss://`, `file:///`) or, in local mode, a path relative to the manifest.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("storage.uri is immutable: tables would be lost from view; create a new Pipeline"),
        validation = Rule::new("self.matches('^(s3|gs|abfss|file)://') && !self.contains('?') && (self.startsWith('abfss://') || !self.contains('@'))")
            .message("storage.uri must be s3://, gs://, abfss:// or file:/// without credentials or query")
    )]
    pub uri: String,
    /// Options of the object store without secrets, e.g. `endpoint`, `region`, `allow_http`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::options")]
    pub options: BTreeMap<String, String>,
    /// Secret of the same namespace whose keys become environment variables of the runner (`AWS_*`, `AZURE_*`, `GOOGLE_*`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
}

/// One source of definitions: exactly one of the fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.glob), has(self.file), has(self.inline)].filter(x, x).size() == 1")
        .message("library needs exactly one of glob, file, inline")
)]
pub struct Library {
    /// All files of a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<GlobLibrary>,
    /// One file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileLibrary>,
    /// SQL text in the manifest itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<InlineLibrary>,
}

/// A file, or a folder with everything below it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GlobLibrary {
    /// A path of a file, or a folder that ends in `/**`.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("self.matches('^[^*?\\\\[]+(/[*][*])?$')").message("glob must be a file or end in /**"),
        validation = Rule::new("!self.matches('^/|(^|/)[.][.](/|$)')").message("path must stay inside the project")
    )]
    pub include: String,
}

/// One file of the project.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FileLibrary {
    /// Path relative to the project root.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("!self.matches('^/|(^|/)[.][.](/|$)')").message("path must stay inside the project"))]
    pub path: String,
}

/// SQL text that stands in the manifest.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct InlineLibrary {
    /// The name that messages give for the file.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Statements as in a file.
    #[schemars(length(max = 262_144))]
    pub sql: String,
}

/// A named value: exactly one of `value` and `valueFrom`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.value) != has(self.valueFrom)").message("parameter needs exactly one of value, valueFrom")
)]
pub struct Parameter {
    /// Read as `:name`.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// The value itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000))]
    pub value: Option<String>,
    /// Where the value comes from in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// A key of a Secret or of a ConfigMap of the same namespace: exactly one of both.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)")
        .message("valueFrom needs exactly one of secretKeyRef, configMapKeyRef")
)]
pub struct ValueFrom {
    /// A key of a Secret; its value is never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// One key of a named object.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// When an update ends.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All selected flows run once.
    #[default]
    Triggered,
    /// All flows stay alive until they are stopped.
    Continuous,
}

/// Retries of transient failures; −1 = unlimited.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minBackoffSeconds <= self.maxBackoffSeconds").message("minBackoffSeconds must not exceed maxBackoffSeconds")
)]
pub struct RetryPolicy {
    /// Retries of one flow within an attempt.
    #[serde(default = "RetryPolicy::default_flow_retries")]
    #[schemars(range(min = -1, max = 1000))]
    pub max_flow_retries: i32,
    /// Further attempts of an update; absent = 5, in continuous mode −1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 1000))]
    pub max_update_retries: Option<i32>,
    /// Wait before the first retry; it doubles with each further one.
    #[serde(default = "RetryPolicy::default_min_backoff")]
    #[schemars(range(min = 0, max = 86_400))]
    pub min_backoff_seconds: i32,
    /// The longest wait.
    #[serde(default = "RetryPolicy::default_max_backoff")]
    #[schemars(range(min = 0, max = 86_400))]
    pub max_backoff_seconds: i32,
}

impl RetryPolicy {
    fn default_flow_retries() -> i32 {
        2
    }

    fn default_min_backoff() -> i32 {
        5
    }

    fn default_max_backoff() -> i32 {
        3600
    }

    /// Further attempts of an update in `mode`; `None` = unlimited.
    pub fn update_retries(&self, mode: Mode) -> Option<u32> {
        let retries = self.max_update_retries.unwrap_or(match mode {
            Mode::Triggered => 5,
            Mode::Continuous => -1,
        });
        u32::try_from(retries).ok()
    }

    /// Retries of one flow; `None` = unlimited.
    pub fn flow_retries(&self) -> Option<u32> {
        u32::try_from(self.max_flow_retries).ok()
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_flow_retries: Self::default_flow_retries(),
            max_update_retries: None,
            min_backoff_seconds: Self::default_min_backoff(),
            max_backoff_seconds: Self::default_max_backoff(),
        }
    }
}

/// Name and age limit of the event log.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EventLog {
    /// The name that queries use.
    #[serde(default = "EventLog::default_name")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_]{1,128}$"), length(max = 128))]
    pub name: String,
    /// Older events are removed by maintenance.
    #[serde(default = "EventLog::default_retention")]
    #[schemars(range(min = 1, max = 3650))]
    pub retention_days: i32,
}

impl EventLog {
    fn default_name() -> String {
        "event_log".to_string()
    }

    fn default_retention() -> i32 {
        30
    }
}

impl Default for EventLog {
    fn default() -> Self {
        Self { name: Self::default_name(), retention_days: Self::default_retention() }
    }
}

/// What happens to stored data when the object that declares it is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// The data stays.
    #[default]
    Retain,
    /// The data is removed with the object.
    Delete,
}

/// A target outside the pipeline.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Sink {
    /// The name that flows write to.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Format of the target.
    #[serde(default)]
    pub format: SinkFormat,
    /// Options of the format, e.g. `path`.
    #[serde(default)]
    #[schemars(schema_with = "schemas::options")]
    pub options: BTreeMap<String, String>,
    /// Secret whose keys become options of the sink in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
}

/// The format of a sink, in lower case as in SQL.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum SinkFormat {
    /// A Delta table.
    #[default]
    Delta,
    /// A Kafka topic.
    Kafka,
}

/// An object of the same namespace by name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A prefix of source paths and what stands in its place.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PathMapping {
    /// What paths in queries start with; the longest match wins.
    #[schemars(length(min = 1, max = 2048))]
    pub prefix: String,
    /// What is read instead.
    #[schemars(length(min = 1, max = 2048))]
    pub uri: String,
}
