//! What the operator last saw of a dataset; runners report the same parts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    schemas,
    state::{ExpectationAction, MaintenanceType},
};

/// What was last seen of a dataset.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TableStatus {
    /// The generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The value of `floe.dev/reconcile-requested-at` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_handled_reconcile_at: Option<String>,
    /// `catalog.schema.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub full_name: Option<String>,
    /// What kind of dataset it is.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub table_type: Option<String>,
    /// Where it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub location: Option<String>,
    /// `manifest`, or `file:line:column` of its statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub declared_in: Option<String>,
    /// Newest Delta version that a runner saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Rows in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Bytes of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// Number of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<i64>,
    /// When the newest version was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_commit_time: Option<Time>,
    /// Hash of its columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub schema_hash: Option<String>,
    /// Number of its columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<i32>,
    /// The newest refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refresh: Option<Refresh>,
    /// Expectations in the newest refresh, worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub quality: Vec<Quality>,
    /// There are more expectations than are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_truncated: Option<bool>,
    /// Violations of all expectations in the newest refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_records: Option<i64>,
    /// How far its flows have read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streaming: Option<Streaming>,
    /// The report that these values come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_report: Option<LastReport>,
    /// One entry per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
}

/// Which report was read last. An older one is never read again.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LastReport {
    /// Name of the PipelineUpdate.
    #[schemars(length(max = 253))]
    pub update: String,
    /// When the update started.
    pub started: Time,
    /// Number of the attempt.
    pub attempt: i32,
    /// Sequence number of the report.
    pub sequence: i64,
    /// When it was read.
    pub time: Time,
}

/// One refresh of a table.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// Name of the PipelineUpdate.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub update: String,
    /// How a view was brought up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_type: Option<MaintenanceType>,
    /// The first flow started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// The last flow ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// Whether all its flows ended well; absent while they run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
    /// Rows appended or computed.
    #[serde(default)]
    pub rows_written: i64,
    /// Rows that a change event wrote.
    #[serde(default)]
    pub upserted: i64,
    /// Rows that a change event removed.
    #[serde(default)]
    pub deleted: i64,
    /// Rows that expectations left out.
    #[serde(default)]
    pub dropped: i64,
    /// Rows that went to the quarantine table.
    #[serde(default)]
    pub quarantined: i64,
}

/// One expectation with its counts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Quality {
    /// Name of the expectation.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// What happens to a row that violates it.
    pub action: ExpectationAction,
    /// Rows that keep it.
    #[serde(default)]
    pub passed: i64,
    /// Rows that violate it.
    #[serde(default)]
    pub failed: i64,
    /// The newest update with violations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_failed_update: Option<String>,
}

/// How far the flows of a streaming table have read.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Streaming {
    /// Grows with each full refresh.
    #[serde(default)]
    pub generation: i64,
    /// Files that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog_files: Option<i64>,
    /// Bytes that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog_bytes: Option<i64>,
    /// Age of the oldest that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog_seconds: Option<i64>,
    /// The event time up to which nothing more is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Time>,
}
