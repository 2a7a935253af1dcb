//! What the pods of Jobs report beside updates: the end of a task, and what a watcher sees.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schemas;

/// One attempt of a task.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TaskReport {
    /// Task values: key → compact JSON text. As text they are kept exactly, whatever numbers and nulls they hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::task_values")]
    pub values: BTreeMap<String, String>,
    /// The result of the last statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<TaskOutput>,
    /// Statements that have ended.
    #[serde(default)]
    pub statements_done: i32,
    /// Statements of the task.
    #[serde(default)]
    pub statements_total: i32,
    /// The parameters as they were used; those of Secrets are `***`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::task_parameters")]
    pub parameters: BTreeMap<String, String>,
}

/// The result of the last statement of a `sql` task.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TaskOutput {
    /// Names of the columns in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5000), inner(length(max = 512)))]
    pub columns: Vec<String>,
    /// The first rows: the text of a JSON array of objects, at most 48 KiB.
    #[serde(default)]
    #[schemars(length(max = 49152))]
    pub rows: String,
    /// Rows of the result, also of one whose `rows` are cut.
    #[serde(default)]
    pub row_count: i64,
    /// There are more rows than `rows` has.
    #[serde(default)]
    pub truncated: bool,
}

/// What a watcher sees of one trigger.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TriggerWatch {
    /// When the trigger was looked at first; nothing that was there then is an arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Files that have come since the first look. It never falls.
    #[serde(default)]
    pub arrivals: i64,
    /// When the newest arrivals were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_arrival_time: Option<Time>,
    /// The newest modification time of all files, exactly: a watcher that begins again takes what is newer for new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_modification: Option<MicroTime>,
    /// Newest version of each table that there is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::table_versions")]
    pub tables: BTreeMap<String, i64>,
    /// Why the last look failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub error: Option<String>,
    /// Since when looks fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_time: Option<Time>,
}

impl TaskReport {
    /// The value of `key`, if the attempt has set it.
    pub fn value(&self, key: &str) -> Option<Value> {
        self.values.get(key).and_then(|text| serde_json::from_str(text).ok())
    }

    /// All values of the attempt.
    pub fn values(&self) -> BTreeMap<String, Value> {
        self.values.keys().filter_map(|key| Some((key.clone(), self.value(key)?))).collect()
    }
}

impl TaskOutput {
    /// The rows as JSON objects.
    pub fn rows(&self) -> Vec<Value> {
        serde_json::from_str(&self.rows).unwrap_or_default()
    }

    /// The first row, if there is one.
    pub fn first_row(&self) -> Option<Value> {
        self.rows().into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_rows_are_what_was_written() {
        let values = [("n", "12"), ("none", "null"), ("text", r#""a""#)].map(|(key, text)| (key.to_string(), text.to_string()));
        let report = TaskReport { values: values.into(), ..TaskReport::default() };
        assert_eq!((report.value("n"), report.value("none"), report.value("other")), (Some(12.into()), Some(Value::Null), None));
        assert_eq!(report.values().len(), 3);
        let output = TaskOutput { rows: r#"[{"a":1},{"a":2}]"#.to_string(), ..TaskOutput::default() };
        assert_eq!(output.first_row().unwrap()["a"], 1);
        assert_eq!((output.rows().len(), TaskOutput::default().first_row()), (2, None));
    }
}
