//! What the operator asks a runner to do: one file, mounted into the pod, that also runs on a laptop (`floe run --request`).

mod task;
mod watch;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
pub use task::{
    CatalogType, MAX_ROWS_BYTES, NamedObject, RequestedContainer, RequestedSql, RequestedTask, SetValue, TaskRequest, VALUES_FOLDER,
    ValueSource, VisibleTable,
};
pub use watch::{WatchRequest, WatchedTable, WatchedTrigger};

use crate::{
    pipeline::{DeletionPolicy, PipelineSpec},
    pipeline_update::UpdateType,
    state::Cause,
    table::TableSpec,
    update::UpdateSelection,
};

/// Version of requests and reports that this build speaks.
pub const PROTOCOL: i32 = 1;
/// Name of the container that runs updates, and the queries of tasks.
pub const RUNNER_CONTAINER: &str = "runner";
/// Name of the container that runs a task's own image.
pub const TASK_CONTAINER: &str = "task";
/// Environment variables with this prefix are ours.
pub const RESERVED_PREFIX: &str = "FLOE_";
/// Environment variable of the n-th secret parameter.
pub fn secret_parameter(n: usize) -> String {
    format!("{RESERVED_PREFIX}SECRET_PARAM_{n}")
}

/// Environment variable of the n-th parameter that comes from a ConfigMap.
pub fn config_parameter(n: usize) -> String {
    format!("{RESERVED_PREFIX}CONFIG_PARAM_{n}")
}

/// The largest request that fits into a ConfigMap beside its metadata.
pub const MAX_REQUEST_BYTES: usize = 900 * 1024;

/// One attempt of one update.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateRequest {
    /// `floe.dev/v1alpha1`.
    pub api_version: String,
    /// `UpdateRequest`.
    pub kind: String,
    /// Version of requests and reports; a runner refuses a higher one.
    pub protocol: i32,
    /// Version of the operator that asks.
    pub operator_version: String,
    /// Which update, which attempt.
    pub update: RequestedUpdate,
    /// The pipeline as it is now.
    pub pipeline: RequestedPipeline,
    /// Table objects that declare datasets of the pipeline.
    #[serde(default)]
    pub tables: Vec<RequestedTable>,
    /// What takes part, and how.
    pub selection: UpdateSelection,
    /// Values of `:name`; those of Secrets are in the environment.
    #[serde(default)]
    pub parameters: Vec<RequestedParameter>,
    /// Flows that an earlier attempt has completed.
    #[serde(default)]
    pub completed_flows: Vec<String>,
    /// Datasets that are not declared any more and whose data shall go. One that the definition declares all the same is left alone.
    #[serde(default)]
    pub removed_tables: Vec<RemovedTable>,
    /// Folder of the project's files.
    pub project: String,
    /// Folder for what is spilled.
    pub scratch: String,
    /// Where to report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportTarget>,
    /// Time between SIGTERM and SIGKILL.
    pub grace_period_seconds: i64,
    /// Uid of the namespace `kube-system`; empty if unknown.
    #[serde(default)]
    pub cluster_id: String,
    /// Service account that runs it.
    #[serde(default)]
    pub run_as: String,
}

/// Which update, which attempt.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestedUpdate {
    /// Name of the PipelineUpdate.
    pub name: String,
    /// Its uid: the id of the update in the event log.
    pub id: String,
    /// New data, or care for the tables.
    #[serde(rename = "type")]
    pub update_type: UpdateType,
    /// Why it was made; `RETRY_ON_FAILURE` from the second attempt on.
    pub cause: Cause,
    /// The value of the annotation that asked for it.
    #[serde(default)]
    pub request_id: String,
    /// From 1.
    pub attempt: u32,
    /// When the PipelineUpdate was made.
    pub created_at: Time,
    /// The times of the states before there was a runner.
    #[serde(default)]
    pub state_times: BTreeMap<String, Time>,
}

/// The pipeline as it is now.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestedPipeline {
    /// Name of the Pipeline.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// The generation of the spec below.
    pub generation: i64,
    /// The spec without what only the operator needs.
    pub spec: PipelineSpec,
}

/// A Table object.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestedTable {
    /// Name of the object.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The generation of the spec below.
    pub generation: i64,
    /// What happens to the data when it goes.
    pub deletion_policy: DeletionPolicy,
    /// The dataset.
    pub spec: TableSpec,
}

/// One parameter: `value`, or `env` that holds it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestedParameter {
    /// Read as `:name`.
    pub name: String,
    /// The value itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The environment variable with the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The value is shown nowhere.
    #[serde(default)]
    pub secret: bool,
}

/// A dataset that is not declared any more.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemovedTable {
    /// `catalog.schema.name`.
    pub full_name: String,
    /// What happens to the data.
    pub deletion_policy: DeletionPolicy,
}

/// The RunReport to write.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportTarget {
    /// Namespace of the report.
    pub namespace: String,
    /// Name of the report.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
}

/// The object of this group that a report belongs to.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Owner {
    /// The owner reference of a report: the report never holds up the deletion of its owner.
    pub fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: crate::API_VERSION.to_string(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            block_owner_deletion: Some(false),
            controller: None,
        }
    }
}

/// The removal of a deleted pipeline's data (`floe cleanup --request`).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CleanupRequest {
    /// `floe.dev/v1alpha1`.
    pub api_version: String,
    /// `CleanupRequest`.
    pub kind: String,
    /// Version of requests; a runner refuses a higher one.
    pub protocol: i32,
    /// Version of the operator that asks.
    pub operator_version: String,
    /// The pipeline as it was last.
    pub pipeline: RequestedPipeline,
    /// Datasets whose Table says what happens to their data; all others follow `spec.deletionPolicy`. Names are in lower case.
    #[serde(default)]
    pub tables: Vec<RemovedTable>,
}

/// Why a request cannot be written or carried out.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The text is no request.
    #[error("the request cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Made by a newer operator.
    #[error("UNSUPPORTED_PROTOCOL: the request has protocol {found}, this runner knows up to {known}; use a runner as new as the operator")]
    Protocol {
        /// Of the request.
        found: i64,
        /// Of this build.
        known: i32,
    },
    /// Does not fit into a ConfigMap.
    #[error(
        "REQUEST_TOO_LARGE: the request has {0} bytes, but a ConfigMap holds at most {MAX_REQUEST_BYTES}; put SQL into files of spec.source.volume"
    )]
    TooLarge(usize),
}

impl UpdateRequest {
    /// The text of the request, if it fits into a ConfigMap.
    pub fn to_text(&self) -> Result<String, RequestError> {
        to_text(self)
    }

    /// Reads a request.
    pub fn read(text: &str) -> Result<Self, RequestError> {
        read(text)
    }
}

impl CleanupRequest {
    /// The text of the request, if it fits into a ConfigMap.
    pub fn to_text(&self) -> Result<String, RequestError> {
        to_text(self)
    }

    /// Reads a request.
    pub fn read(text: &str) -> Result<Self, RequestError> {
        read(text)
    }
}

/// Reads a request. Its protocol is looked at first: a newer one may have keys that this build does not know.
fn read<R: DeserializeOwned>(text: &str) -> Result<R, RequestError> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let found = value.get("protocol").and_then(serde_json::Value::as_i64).unwrap_or_default();
    let known = PROTOCOL;
    if found > i64::from(known) {
        return Err(RequestError::Protocol { found, known });
    }
    Ok(serde_json::from_value(value)?)
}

/// The text of a request, if it fits into a ConfigMap.
fn to_text(request: &impl Serialize) -> Result<String, RequestError> {
    let text = serde_json::to_string(request)?;
    if text.len() <= MAX_REQUEST_BYTES { Ok(text) } else { Err(RequestError::TooLarge(text.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"apiVersion":"floe.dev/v1alpha1","kind":"UpdateRequest","protocol":1,"operatorVersion":"0.1.0",
        "update":{"name":"bookstore-u7","id":"a","type":"Update","cause":"API_CALL","requestId":"","attempt":2,"createdAt":"2026-01-31T02:00:00Z",
            "stateTimes":{"QUEUED":"2026-01-31T02:00:00Z"}},
        "pipeline":{"name":"bookstore","namespace":"data","uid":"b","generation":3,"spec":{"storage":{"uri":"s3://lake/bookstore"}}},
        "tables":[{"name":"t","uid":"c","generation":1,"deletionPolicy":"Retain","spec":{"pipeline":"bookstore","type":"External","location":"s3://a"}}],
        "selection":{"refresh":[],"refreshFlows":[],"fullRefresh":[],"fullRefreshAll":false,"resetCheckpoints":[],"cascade":false,"validateOnly":false},
        "parameters":[{"name":"run_date","value":"2026-01-31"},{"name":"salt","env":"FLOE_SECRET_PARAM_0","secret":true}],
        "completedFlows":["bronze"],"removedTables":[{"fullName":"main.bookstore.old","deletionPolicy":"Delete"}],
        "project":"/floe/project","scratch":"/floe/scratch",
        "report":{"namespace":"data","name":"bookstore-u7-a2","owner":{"kind":"PipelineUpdate","name":"bookstore-u7","uid":"a"}},
        "gracePeriodSeconds":60,"clusterId":"d","runAs":"floe-bookstore"}"#;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let request = UpdateRequest::read(TEXT).unwrap();
        assert_eq!(request.pipeline.spec.schema, "default");
        assert_eq!(request.parameters[1].env.as_deref(), Some(secret_parameter(0).as_str()));
        assert_eq!(UpdateRequest::read(&request.to_text().unwrap()).unwrap(), request);
        assert_eq!(request.report.unwrap().owner.reference().block_owner_deletion, Some(false));
    }

    #[test]
    fn requests_that_are_newer_or_too_large_say_so() {
        let newer = TEXT.replace(r#""protocol":1"#, r#""protocol":2,"unheardOf":true"#);
        let message = UpdateRequest::read(&newer).unwrap_err().to_string();
        assert!(message.starts_with("UNSUPPORTED_PROTOCOL: the request has protocol 2, this runner knows up to 1"), "{message}");
        let mut request = UpdateRequest::read(TEXT).unwrap();
        request.completed_flows = vec!["x".repeat(MAX_REQUEST_BYTES)];
        assert!(request.to_text().unwrap_err().to_string().starts_with("REQUEST_TOO_LARGE"));
    }
}
