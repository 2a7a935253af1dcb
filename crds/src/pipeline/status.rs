//! What the operator last saw of a Pipeline.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    schemas,
    state::{Cause, PipelineHealth, PipelineState, UpdateState},
};

/// What was last seen of a pipeline.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// The generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The value of `floe.dev/reconcile-requested-at` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_handled_reconcile_at: Option<String>,
    /// The value of `floe.dev/update-requested-at` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_handled_update_request: Option<String>,
    /// What it does now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PipelineState>,
    /// How the last update ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<PipelineHealth>,
    /// Hash of the definition as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub definition_hash: Option<String>,
    /// Hash of the last definition whose graph was valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub validated_hash: Option<String>,
    /// What the graph is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphCounts>,
    /// Name of the update that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub active_update: Option<String>,
    /// Number of the newest update that the operator made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_counter: Option<i64>,
    /// Updates that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<i32>,
    /// The update that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update: Option<LastUpdate>,
    /// The update that ended well last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_update: Option<LastSuccessfulUpdate>,
    /// The newest instant of the schedule that made an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// The next instant of the schedule; absent while suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// When maintenance was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_maintenance_time: Option<Time>,
    /// Updates that failed since the last one that ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<i32>,
    /// One entry per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
}

/// What a graph is made of.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct GraphCounts {
    /// All datasets that the pipeline defines.
    pub datasets: i32,
    /// Streaming tables among them.
    pub streaming_tables: i32,
    /// Materialized views among them.
    pub materialized_views: i32,
    /// Views that are never stored.
    pub views: i32,
    /// Tables that the pipeline reads and does not write.
    pub externals: i32,
    /// Targets outside the pipeline.
    pub sinks: i32,
    /// Flows.
    pub flows: i32,
    /// Tables in storage that no definition names.
    pub inactive: i32,
    /// Warnings about the definition.
    pub lints: i32,
}

/// An update that ended.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastUpdate {
    /// Name of the PipelineUpdate.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its id in the event log.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub id: String,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UpdateState>,
    /// Why it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// What a person should know.
    #[serde(default)]
    #[schemars(length(max = 2048))]
    pub message: String,
    /// Rows appended or computed.
    #[serde(default)]
    pub rows_written: i64,
    /// Rows that expectations left out.
    #[serde(default)]
    pub dropped_rows: i64,
    /// Rows that went to quarantine tables.
    #[serde(default)]
    pub quarantined_rows: i64,
    /// The first flows that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 512)))]
    pub failed_flows: Vec<String>,
}

/// An update that ended well.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastSuccessfulUpdate {
    /// Name of the PipelineUpdate.
    #[schemars(length(max = 253))]
    pub name: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
}
