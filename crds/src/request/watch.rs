//! What the operator asks of the watcher of a Job: directories and tables whose changes are triggers.

use serde::{Deserialize, Serialize};

use super::{NamedObject, ReportTarget, RequestError, read, to_text};

/// The triggers of one Job that only somebody with the tenant's credentials can see (`floe watch --request`).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchRequest {
    /// `floe.dev/v1alpha1`.
    pub api_version: String,
    /// `WatchRequest`.
    pub kind: String,
    /// Version of requests and reports; a runner refuses a higher one.
    pub protocol: i32,
    /// Version of the operator that asks.
    pub operator_version: String,
    /// Where the Job lives.
    pub namespace: String,
    /// The Job.
    pub job: NamedObject,
    /// What is watched; names differ.
    pub triggers: Vec<WatchedTrigger>,
    /// Where to report; its owner is the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportTarget>,
}

/// One trigger of the Job.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchedTrigger {
    /// Its name in the Job.
    pub name: String,
    /// Time between two looks.
    pub poll_interval_seconds: i64,
    /// The directory whose new files are arrivals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
    /// Tables whose newest versions are reported.
    #[serde(default)]
    pub tables: Vec<WatchedTable>,
}

/// A Delta table that something else writes.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchedTable {
    /// What the report calls it: the name of the Table object.
    pub name: String,
    /// Where it stands.
    pub location: String,
}

impl WatchRequest {
    /// The text of the request, if it fits into a ConfigMap.
    pub fn to_text(&self) -> Result<String, RequestError> {
        to_text(self)
    }

    /// Reads a request.
    pub fn read(text: &str) -> Result<Self, RequestError> {
        read(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_read_as_they_were_written() {
        let text = r#"{"apiVersion":"floe.dev/v1alpha1","kind":"WatchRequest","protocol":1,"operatorVersion":"0.1.0","namespace":"data",
            "job":{"name":"nightly","uid":"a"},
            "triggers":[{"name":"landed","pollIntervalSeconds":60,"files":"s3://lake/in"},
                {"name":"orders","pollIntervalSeconds":60,"tables":[{"name":"orders","location":"s3://lake/orders"}]}],
            "report":{"namespace":"data","name":"nightly-watch","owner":{"kind":"Job","name":"nightly","uid":"a"}}}"#;
        let request = WatchRequest::read(text).unwrap();
        assert_eq!((request.triggers[0].files.as_deref(), request.triggers[1].tables.len()), (Some("s3://lake/in"), 1));
        assert_eq!(WatchRequest::read(&request.to_text().unwrap()).unwrap(), request);
    }
}
