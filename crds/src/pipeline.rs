//! The Pipeline kind: one storage location, one default namespace, the SQL files and the settings of their updates.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", priority = "1"),
    printcolumn(name = "Storage", type_ = "string", json_path = ".spec.storage.uri", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = "1"),
    validation = Rule::new("size(self.metadata.name) <= 46").message("name must be at most 46 characters: it is the prefix of pod names")
)]
#[x_kube(
    validation = Rule::new("has(self.storage) && has(self.storage.uri)").message("storage.uri is required in a cluster"),
    validation = Rule::new("self.catalog == oldSelf.catalog").message("catalog is immutable: every table would get another name; create a new Pipeline"),
    validation = Rule::new("self.schema == oldSelf.schema").message("schema is immutable: every table would get another name; create a new Pipeline")
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSpec {
    /// Default catalog of unqualified names.
    #[serde(default = "default_catalog")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_]{1,128}$"))]
    pub catalog: String,
    /// Default schema of unqualified names.
    #[serde(default = "default_schema")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_]{1,128}$"))]
    pub schema: String,
    /// Where tables, event log and checkpoints are kept. Required in a cluster; `./lake` beside the manifest in local mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Which files are registered; the union of all entries.
    #[serde(default = "default_libraries")]
    #[schemars(length(max = 100))]
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
    pub path_mappings: Vec<PathMapping>,
}

impl Default for PipelineSpec {
    fn default() -> Self {
        Self {
            catalog: default_catalog(),
            schema: default_schema(),
            storage: None,
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
    #[x_kube(validation = Rule::new("self.matches('^[^*?\\\\[]+(/\\\\*\\\\*)?$')").message("glob must be a file or end in /**"))]
    pub include: String,
}

/// One file of the project.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FileLibrary {
    /// Path relative to the project root.
    #[schemars(length(min = 1, max = 1024))]
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
    #[schemars(regex(pattern = "^[A-Za-z0-9_]{1,128}$"))]
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

/// What was last seen of a pipeline.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// The generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One entry per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Schemas of string maps with the bounds that the cost limit of the rules needs.
pub(crate) mod schemas {
    use schemars::{Schema, SchemaGenerator, json_schema};

    fn string_map(max_entries: u32, max_length: u32) -> Schema {
        json_schema!({
            "type": "object",
            "maxProperties": max_entries,
            "additionalProperties": {"type": "string", "maxLength": max_length},
        })
    }

    pub(crate) fn configuration(_: &mut SchemaGenerator) -> Schema {
        string_map(200, 4096)
    }

    pub(crate) fn properties(_: &mut SchemaGenerator) -> Schema {
        string_map(200, 4096)
    }

    pub(crate) fn options(_: &mut SchemaGenerator) -> Schema {
        string_map(50, 4096)
    }
}
