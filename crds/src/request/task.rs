//! What the operator asks of the pod of a Job's task: SQL to run, or the values of a container to publish.

use serde::{Deserialize, Serialize};

pub use crate::job::{SetValue, ValueSource};

use super::{ReportTarget, RequestError, RequestedParameter, RequestedPipeline, RequestedTable, read, to_text};

/// Where the container of a task leaves its values, unless the request says otherwise.
pub const VALUES_FOLDER: &str = "/floe/values";
/// Bytes of the rows that an attempt reports, as compact JSON.
pub const MAX_ROWS_BYTES: usize = 48 * 1024;

/// One attempt of one task: exactly one of `sql` and `container` is there.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskRequest {
    /// `floe.dev/v1alpha1`.
    pub api_version: String,
    /// `TaskRequest`.
    pub kind: String,
    /// Version of requests and reports; a runner refuses a higher one.
    pub protocol: i32,
    /// Version of the operator that asks.
    pub operator_version: String,
    /// Which task, which attempt.
    pub task: RequestedTask,
    /// What `floe task` runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<RequestedSql>,
    /// What `floe task-report` publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<RequestedContainer>,
    /// Values of `:name`; those of Secrets are in the environment.
    #[serde(default)]
    pub parameters: Vec<RequestedParameter>,
    /// The pipeline whose names the SQL reads; without it there are only full names of `visibleTables`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<RequestedPipeline>,
    /// Table objects that declare datasets of the pipeline.
    #[serde(default)]
    pub tables: Vec<RequestedTable>,
    /// Tables that can be read by their full names, beside those of the pipeline.
    #[serde(default)]
    pub visible_tables: Vec<VisibleTable>,
    /// Folder of the files of the pipeline.
    #[serde(default)]
    pub project: String,
    /// Folder for what is spilled.
    #[serde(default)]
    pub scratch: String,
    /// Where to report; its owner is the JobRun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportTarget>,
    /// Time between SIGTERM and SIGKILL.
    pub grace_period_seconds: i64,
}

/// Which task, which attempt.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestedTask {
    /// Where all of it lives.
    pub namespace: String,
    /// The Job.
    pub job: NamedObject,
    /// The JobRun.
    pub run: NamedObject,
    /// The task's name, as the Job writes it.
    pub key: String,
    /// The element of a `forEach` task, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iteration: Option<i32>,
    /// Attempts of the task so far, this one among them.
    pub execution_count: i32,
}

/// An object of the namespace.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedObject {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// Statements that only read.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestedSql {
    /// What messages call the text: a path of the project, `configmaps/<name>/<key>`, or the task's field.
    pub name: String,
    /// The statements; `None`: they are the file `name` of the pipeline's project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Rows of the last result that are kept, as far as they fit into [`MAX_ROWS_BYTES`].
    pub max_rows: i64,
    /// Task values that are made of the last result.
    #[serde(default)]
    pub set_values: Vec<SetValue>,
}

/// The folder where the container of a task leaves its values.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestedContainer {
    /// One file per value, named by its key.
    pub values: String,
}

impl Default for RequestedContainer {
    fn default() -> Self {
        Self { values: VALUES_FOLDER.to_string() }
    }
}

/// A table that can be read by its full name.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VisibleTable {
    /// `catalog.schema.name`.
    pub full_name: String,
    /// What `information_schema.tables` says of it.
    #[serde(rename = "type")]
    pub table_type: CatalogType,
    /// Where the Delta table stands.
    pub location: String,
    /// The Pipeline that it belongs to.
    pub pipeline: String,
}

/// Kinds of table as `information_schema.tables` names them.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the kinds of datasets")]
pub enum CatalogType {
    StreamingTable,
    MaterializedView,
    View,
    External,
}

impl CatalogType {
    /// The word in the column `table_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StreamingTable => "STREAMING_TABLE",
            Self::MaterializedView => "MATERIALIZED_VIEW",
            Self::View => "VIEW",
            Self::External => "EXTERNAL",
        }
    }
}

impl TaskRequest {
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
    fn a_task_is_read_as_it_was_written() {
        let text = r#"{"apiVersion":"floe.dev/v1alpha1","kind":"TaskRequest","protocol":1,"operatorVersion":"0.1.0",
            "task":{"namespace":"data","job":{"name":"nightly","uid":"a"},"run":{"name":"nightly-1","uid":"b"},"key":"list_tables","executionCount":2},
            "sql":{"name":"spec.tasks[4].sql.statements","text":"SELECT 1","maxRows":1000,"setValues":[{"key":"tables","from":"Rows"}]},
            "visibleTables":[{"fullName":"main.s.t","type":"STREAMING_TABLE","location":"s3://lake/s/t","pipeline":"shop"}],
            "report":{"namespace":"data","name":"nightly-1-list-tables-2","owner":{"kind":"JobRun","name":"nightly-1","uid":"b"}},
            "gracePeriodSeconds":60}"#;
        let request = TaskRequest::read(text).unwrap();
        assert_eq!(request.sql.as_ref().unwrap().set_values[0].from, ValueSource::Rows);
        assert_eq!((request.task.iteration, request.visible_tables[0].table_type.as_str()), (None, "STREAMING_TABLE"));
        assert_eq!(TaskRequest::read(&request.to_text().unwrap()).unwrap(), request);
    }
}
