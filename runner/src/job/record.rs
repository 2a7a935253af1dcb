//! Everything that the next step of a run depends on, as it is in memory and on disk.

use std::{collections::BTreeMap, sync::Arc};

use floe_crds::{
    API_VERSION,
    job_run::{Child, JobRunSpec, JobRunStatus},
    run::{
        attempt::{AttemptEnd, EndClass},
        scene::{Rows, Snapshot, TaskOutput},
    },
    state::TerminationCode,
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{Timestamp, tz::TimeZone},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One run of a Job.
#[derive(Clone, Debug)]
pub struct Record {
    pub name: String,
    pub uid: String,
    pub spec: JobRunSpec,
    pub status: JobRunStatus,
    /// The Job as the run, and each repair, took it.
    pub snapshots: BTreeMap<i32, Snapshot>,
    /// Attempts that still decide something.
    pub attempts: Vec<AttemptRecord>,
    /// What tasks said, by name.
    pub outputs: BTreeMap<String, TaskOutput>,
}

/// One attempt of a task, or of an iteration of a loop.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    pub task: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iteration: Option<usize>,
    pub execution: i32,
    pub child: Child,
    pub started: Time,
    /// Name of the container that carries it out: who goes on after a crash ends it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<AttemptEndRecord>,
}

/// How an attempt ended.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct AttemptEndRecord {
    pub class: EndClass,
    pub code: TerminationCode,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    pub at: Time,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What `floe run` ends with if this attempt decides it.
    pub exit_code: u8,
}

impl AttemptEndRecord {
    /// The end as the rules of a run take it.
    pub fn end(&self) -> AttemptEnd {
        let Self { class, code, message, at, values, .. } = self;
        AttemptEnd { class: *class, code: *code, message: message.clone(), at: at.0, values: values.clone() }
    }
}

impl Record {
    /// A run that has not begun; `child` is its identity if another run has made it.
    pub fn new(child: Option<&Child>, spec: JobRunSpec) -> Self {
        let made = || (format!("{}-{}", spec.job_ref.name, digits(Timestamp::now())), uuid::Uuid::now_v7().to_string());
        let (name, uid) = child.map_or_else(made, |child| (child.name.clone(), child.uid.clone()));
        Self {
            name,
            uid,
            spec,
            status: JobRunStatus::default(),
            snapshots: BTreeMap::new(),
            attempts: Vec::new(),
            outputs: BTreeMap::new(),
        }
    }

    /// True if the run began and did not come to its end.
    pub fn is_interrupted(&self) -> bool {
        self.status.state.is_none_or(|state| !state.is_terminal())
    }

    /// Takes up a run whose process is gone: what it had begun lost its place.
    pub fn take_up(&mut self) {
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.end.is_none()) {
            attempt.end = Some(AttemptEndRecord {
                class: EndClass::Interrupted,
                code: TerminationCode::ClusterError,
                message: "the process that ran it has ended".to_string(),
                at: Time(Timestamp::now()),
                values: Vec::new(),
                exit_code: 20,
            });
        }
    }

    /// Forgets attempts that decide nothing any more: of a task all but the newest, of a loop those of earlier repairs.
    pub fn tidy(&mut self) {
        let status = &self.status;
        self.attempts.retain(|attempt| {
            let Some(task) = status.tasks.iter().find(|task| task.name == attempt.task) else { return attempt.end.is_none() };
            let least = match (&task.for_each, attempt.iteration) {
                (Some(all), Some(_)) => all.first_execution,
                _ => task.execution_count,
            };
            attempt.execution >= least || attempt.end.is_none()
        });
    }

    /// The document of the run.
    pub fn document(&self) -> Value {
        serde_json::to_value(self.view()).unwrap_or_default()
    }

    /// The text of the file.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(&self.view())
    }

    fn view(&self) -> impl Serialize + '_ {
        let said = self.outputs.iter();
        let values = said.clone().filter(|(_, output)| !output.values.is_empty());
        let rows = said.filter_map(|(task, output)| Some((task.as_str(), output.rows.as_deref()?)));
        View {
            api_version: API_VERSION,
            kind: "JobRun",
            metadata: Metadata { name: self.name.clone(), uid: self.uid.clone() },
            spec: &self.spec,
            status: &self.status,
            values: values.map(|(task, output)| (task.as_str(), output.values.as_ref())).collect(),
            outputs: rows
                .map(|(task, rows)| (task, RowsView { rows: &rows.rows, row_count: rows.row_count, truncated: rows.truncated }))
                .collect(),
            attempts: &self.attempts,
            snapshots: &self.snapshots,
        }
    }

    /// Reads what `text` wrote.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        let file: File = serde_json::from_str(text)?;
        let mut outputs: BTreeMap<String, TaskOutput> = BTreeMap::new();
        for (task, values) in file.values {
            outputs.entry(task).or_default().values = Arc::new(values);
        }
        for (task, RowsFile { rows, row_count, truncated }) in file.outputs {
            outputs.entry(task).or_default().rows = Some(Arc::new(Rows { rows, row_count, truncated }));
        }
        Ok(Self {
            name: file.metadata.name,
            uid: file.metadata.uid,
            spec: file.spec,
            status: file.status,
            snapshots: file.snapshots,
            attempts: file.attempts,
            outputs,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    name: String,
    uid: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: &'a JobRunSpec,
    status: &'a JobRunStatus,
    values: BTreeMap<&'a str, &'a BTreeMap<String, Value>>,
    outputs: BTreeMap<&'a str, RowsView<'a>>,
    attempts: &'a [AttemptRecord],
    snapshots: &'a BTreeMap<i32, Snapshot>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RowsView<'a> {
    rows: &'a [Value],
    row_count: i64,
    truncated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    metadata: Metadata,
    spec: JobRunSpec,
    status: JobRunStatus,
    values: BTreeMap<String, BTreeMap<String, Value>>,
    outputs: BTreeMap<String, RowsFile>,
    attempts: Vec<AttemptRecord>,
    snapshots: BTreeMap<i32, Snapshot>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowsFile {
    rows: Vec<Value>,
    row_count: i64,
    truncated: bool,
}

fn digits(instant: Timestamp) -> String {
    instant.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string()
}
