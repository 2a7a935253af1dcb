//! The settings of a Pipeline that only a cluster uses: where its files come from, the pods that run it, and when updates start.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::NameRef;
use crate::{schedule::Schedule, schemas};

/// Where the project's files come from in a cluster; absent = only inline libraries and Table objects.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// ConfigMaps of the same namespace whose keys become files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub config_maps: Vec<ConfigMapSource>,
    /// One volume source of a pod (`persistentVolumeClaim`, `image`, `csi`, `projected`), mounted read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::free_form")]
    pub volume: Option<Value>,
    /// The folder of the volume that is the project; empty = its root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("!self.matches('^/|(^|/)[.][.](/|$)')").message("path must stay inside the project"))]
    pub path: String,
}

/// A ConfigMap whose keys become files of the project.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapSource {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The folder of the project that receives the files.
    #[serde(default = "ConfigMapSource::default_path")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("!self.matches('^/|(^|/)[.][.](/|$)')").message("path must stay inside the project"))]
    pub path: String,
    /// A ConfigMap that is not there is as an empty one.
    #[serde(default)]
    pub optional: bool,
}

impl ConfigMapSource {
    fn default_path() -> String {
        "transformations".to_string()
    }
}

/// When updates start by themselves, and how long they may take.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UpdatePolicy {
    /// What a changed definition starts.
    #[serde(default)]
    pub on_change: OnChange,
    /// Quiet time after a change of ConfigMaps or Tables before it counts.
    #[serde(default = "UpdatePolicy::default_debounce")]
    #[schemars(range(min = 0, max = 300))]
    pub debounce_seconds: i32,
    /// Updates by the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// An attempt that takes longer is stopped and the update fails; 0 = no limit.
    #[serde(default)]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub timeout_seconds: i32,
}

impl UpdatePolicy {
    fn default_debounce() -> i32 {
        5
    }
}

impl Default for UpdatePolicy {
    fn default() -> Self {
        Self { on_change: OnChange::default(), debounce_seconds: Self::default_debounce(), schedule: None, timeout_seconds: 0 }
    }
}

/// What a changed definition starts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// An update.
    #[default]
    Update,
    /// A check of the graph; no table is written.
    Validate,
    /// Nothing.
    None,
}

/// When the pipeline's tables are compacted and old files and events removed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PipelineMaintenance {
    /// No maintenance at all.
    #[serde(default)]
    pub suspend: bool,
    /// Time between two rounds.
    #[serde(default = "PipelineMaintenance::default_interval")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub every_seconds: i32,
}

impl PipelineMaintenance {
    fn default_interval() -> i32 {
        86_400
    }
}

impl Default for PipelineMaintenance {
    fn default() -> Self {
        Self { suspend: false, every_seconds: Self::default_interval() }
    }
}

/// How many finished updates are kept; the newest one always is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UpdateHistory {
    /// Updates that ended well.
    #[serde(default = "UpdateHistory::default_limit")]
    #[schemars(range(min = 0, max = 100))]
    pub successful_limit: i32,
    /// Updates that failed or were canceled.
    #[serde(default = "UpdateHistory::default_limit")]
    #[schemars(range(min = 0, max = 100))]
    pub failed_limit: i32,
    /// Older ones go, however few there are.
    #[serde(default = "UpdateHistory::default_ttl")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: i32,
}

impl UpdateHistory {
    fn default_limit() -> i32 {
        5
    }

    fn default_ttl() -> i32 {
        604_800
    }
}

impl Default for UpdateHistory {
    fn default() -> Self {
        Self {
            successful_limit: Self::default_limit(),
            failed_limit: Self::default_limit(),
            ttl_seconds_after_finished: Self::default_ttl(),
        }
    }
}

/// Whom to tell of what: exactly one of `webhook` and `email`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.webhook) != has(self.email)").message("notification needs exactly one of webhook, email"))]
pub struct PipelineNotification {
    /// Name, unique in the list.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What is told.
    #[schemars(length(min = 1, max = 5))]
    pub events: Vec<NotificationEvent>,
    /// A request to a `receiver` of the operator, a `url`, or a `urlFrom` a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::free_form")]
    pub webhook: Option<Value>,
    /// A message to the addresses in `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::free_form")]
    pub email: Option<Value>,
}

/// What can be told of a pipeline.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationEvent {
    /// An update started.
    UpdateStart,
    /// An update ended well.
    UpdateSuccess,
    /// An update failed.
    UpdateFailure,
    /// A flow failed for good.
    FlowFailure,
    /// A view that could be maintained incrementally was computed anew.
    IncrementalDegraded,
}

/// The pods that run updates.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Runner {
    /// Image of the runner; default: that of the operator's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// When the image is pulled.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,
    /// Secrets for the image's registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<NameRef>,
    /// Service account of the pods; default: `floe-<pipeline>`, which the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Annotations of the account that the operator makes, e.g. for workload identity.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::annotations")]
    pub service_account_annotations: BTreeMap<String, String>,
    /// Processor time and memory of the runner.
    #[serde(default)]
    pub resources: Resources,
    /// Environment variables. Names that begin with `FLOE_` are reserved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// ConfigMaps and Secrets whose keys become environment variables, as in a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::free_form_list")]
    pub env_from: Vec<Value>,
    /// Room for what does not fit into memory.
    #[serde(default)]
    pub scratch: Scratch,
    /// Time between the signal to stop and the end.
    #[serde(default = "Runner::default_grace")]
    #[schemars(range(min = 30, max = 3600))]
    pub termination_grace_period_seconds: i32,
    /// Labels of the nodes that may run the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations as in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::free_form_list")]
    pub tolerations: Vec<Value>,
    /// Affinity as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::free_form")]
    pub affinity: Option<Value>,
    /// Topology spread constraints as in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::free_form_list")]
    pub topology_spread_constraints: Vec<Value>,
    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Runtime class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
    /// Local queue of Kueue that admits the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub queue_name: Option<String>,
    /// A pod template that is merged over what the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::free_form")]
    pub pod_template: Option<Value>,
    /// A continuous pipeline's pod is not evicted by drains.
    #[serde(default)]
    pub pod_disruption_budget: bool,
}

impl Runner {
    fn default_grace() -> i32 {
        60
    }
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            image: None,
            image_pull_policy: ImagePullPolicy::default(),
            image_pull_secrets: Vec::new(),
            service_account_name: None,
            service_account_annotations: BTreeMap::new(),
            resources: Resources::default(),
            env: Vec::new(),
            env_from: Vec::new(),
            scratch: Scratch::default(),
            termination_grace_period_seconds: Self::default_grace(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            topology_spread_constraints: Vec::new(),
            priority_class_name: None,
            runtime_class_name: None,
            queue_name: None,
            pod_template: None,
            pod_disruption_budget: false,
        }
    }
}

/// When an image is pulled.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImagePullPolicy {
    /// Before each start.
    Always,
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

/// Processor time and memory, as in a container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What a node must have free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::quantities")]
    pub requests: BTreeMap<String, IntOrString>,
    /// What is never exceeded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::quantities")]
    pub limits: BTreeMap<String, IntOrString>,
}

impl Default for Resources {
    fn default() -> Self {
        let quantities = |all: &[(&str, &str)]| {
            all.iter().map(|(name, quantity)| ((*name).to_string(), IntOrString::String((*quantity).to_string()))).collect()
        };
        Self { requests: quantities(&[("cpu", "500m"), ("memory", "1Gi")]), limits: quantities(&[("memory", "2Gi")]) }
    }
}

/// An environment variable, as in a container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32_768))]
    pub value: Option<String>,
    /// Where the value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::free_form")]
    pub value_from: Option<Value>,
}

/// Room for what does not fit into memory.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Scratch {
    /// A pod that writes more is evicted.
    #[serde(default = "Scratch::default_size")]
    #[schemars(length(min = 1, max = 64))]
    pub size_limit: String,
    /// Storage class of a volume for it; absent = the node's own disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

impl Scratch {
    fn default_size() -> String {
        "10Gi".to_string()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self { size_limit: Self::default_size(), storage_class_name: None }
    }
}
