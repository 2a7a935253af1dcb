//! A project in a temporary directory, the real `floe` process, and another Delta reader that looks at what it left behind.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use datafusion::{
    arrow::{
        array::RecordBatch,
        util::display::{ArrayFormatter, FormatOptions},
    },
    prelude::SessionContext,
};
use deltalake::DeltaTableBuilder;
use serde_json::Value;
use url::Url;

/// A project that is deleted with the value.
pub struct Project {
    directory: tempfile::TempDir,
    schema: &'static str,
}

/// One row of the event log.
#[derive(Debug)]
pub struct Event {
    pub kind: String,
    pub flow: String,
    pub level: String,
    pub message: String,
    pub error: String,
    /// What stands in the details below the name of the event's type.
    pub details: Value,
}

/// What a process said, and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Project {
    /// A pipeline named `test` in schema `s` with these SQL files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap(), schema: "s" };
        project.write("pipeline.yaml", "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: test}\nspec: {schema: s}\n");
        for (name, sql) in files {
            project.write(&format!("transformations/{name}"), sql);
        }
        project
    }

    /// The shipped example, as `floe init` writes it.
    pub fn bookstore() -> Self {
        Self::example("bookstore")
    }

    /// A template of `floe init`, whose schema has its name.
    pub fn example(name: &'static str) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap(), schema: name };
        let created = project.call("init", &["--template", name]);
        assert_eq!(created.code, Some(0), "{}", created.stderr);
        project
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Lands a file of JSON lines in `landing/`.
    pub fn land(&self, name: &str, lines: impl IntoIterator<Item = String>) {
        let text: String = lines.into_iter().map(|line| line + "\n").collect();
        self.write(&format!("landing/{name}"), &text);
    }

    /// `floe <command> <project> <arguments>`, not started yet.
    pub fn floe(&self, command: &str, arguments: &[&str]) -> Command {
        let mut floe = Command::new(env!("CARGO_BIN_EXE_floe"));
        floe.arg(command).arg(self.path()).args(arguments).stdin(Stdio::null()).env_remove("FLOE_FAILPOINTS");
        floe
    }

    /// Runs to the end.
    pub fn call(&self, command: &str, arguments: &[&str]) -> Ended {
        self.floe(command, arguments).output().unwrap().into()
    }

    /// `floe run`, which must succeed.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let ended = self.call("run", arguments);
        assert_eq!(ended.code, Some(0), "stdout:\n{}\nstderr:\n{}", ended.stdout, ended.stderr);
        ended
    }

    /// A command that must end with this code and say this.
    pub fn refused(&self, command: &str, arguments: &[&str], code: i32, says: &str) -> Ended {
        let ended = self.call(command, arguments);
        assert!(ended.code == Some(code) && ended.stderr.contains(says), "expected {code} {says:?}: {ended:#?}");
        ended
    }

    /// The rows of `floe sql`, as it prints them for programs.
    pub fn sql(&self, statement: &str) -> Value {
        let ended = self.call("sql", &["--output", "json", "-c", statement]);
        assert_eq!(ended.code, Some(0), "{statement}: {}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Where a table of the pipeline's schema stands.
    pub fn table(&self, name: &str) -> PathBuf {
        self.path().join("lake").join(self.schema).join(name)
    }

    /// The newest versions of all tables.
    pub fn versions(&self) -> BTreeMap<String, i64> {
        let Ok(tables) = fs::read_dir(self.path().join("lake").join(self.schema)) else { return BTreeMap::new() };
        let names = tables.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| self.version(&name).map(|version| (name, version))).collect()
    }

    /// The JSON actions of one commit of a table.
    pub fn commit(&self, name: &str, version: i64) -> Vec<Value> {
        let path = self.table(name).join(format!("_delta_log/{version:020}.json"));
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The newest version of a table, `None` if there is none.
    pub fn version(&self, name: &str) -> Option<i64> {
        let log = fs::read_dir(self.table(name).join("_delta_log")).ok()?;
        log.filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json")?.parse().ok()).max()
    }

    /// All rows of `select` over a table, which it calls `t`: one text per row, sorted.
    pub fn rows(&self, name: &str, select: &str) -> Vec<String> {
        query(&self.table(name), select)
    }

    /// The names of the columns of a table, as another reader sees them.
    pub fn columns(&self, name: &str) -> Vec<String> {
        let batches = read(&self.table(name), "SELECT * FROM t");
        batches[0].schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The event log as another reader sees it: `select` calls it `t`.
    pub fn events(&self, select: &str) -> Vec<String> {
        query(&self.path().join("lake/_floe/event_log"), select)
    }

    /// The events of the newest update in the order of their numbers.
    pub fn last_update(&self) -> Vec<Event> {
        let select = "SELECT event_type, coalesce(origin['flow_name'], ''), level, message, coalesce(error['exceptions'][1]['class_name'], ''), details
            FROM t WHERE origin['update_id'] = (SELECT max(origin['update_id']) FROM t) ORDER BY sequence['data_plane_id']['seq_no']";
        let batches = read(&self.path().join("lake/_floe/event_log"), select);
        batches.iter().flat_map(cells).map(Event::from).collect()
    }

    /// The states that a flow went through in the newest update.
    pub fn states(&self, flow: &str) -> Vec<String> {
        let events = self.last_update().into_iter().filter(|event| event.kind == "flow_progress" && event.flow == flow);
        let mut states: Vec<String> = events.map(|event| event.details["status"].as_str().unwrap().to_string()).collect();
        states.dedup();
        states
    }

    /// Numbers of one flow in the newest update, summed over its events: `quality/dropped_records`, `a/passed_records`.
    pub fn counted(&self, flow: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for event in self.last_update().iter().filter(|event| event.kind == "flow_progress" && event.flow == flow) {
            let mut add = |key: String, value: &Value| *sums.entry(key).or_insert(0) += value.as_u64().unwrap_or(0);
            for key in ["num_input_rows", "num_output_rows", "num_corrupt_records"] {
                add(key.to_string(), &event.details["metrics"][key]);
            }
            for key in ["dropped_records", "quarantined_records"] {
                add(key.to_string(), &event.details["data_quality"][key]);
            }
            for expectation in event.details["data_quality"]["expectations"].as_array().into_iter().flatten() {
                let name = expectation["name"].as_str().unwrap();
                add(format!("{name} passed"), &expectation["passed_records"]);
                add(format!("{name} failed"), &expectation["failed_records"]);
            }
        }
        sums
    }

    /// Per flow the sums of all numbers in the event log that count rows.
    pub fn totals(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut totals: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for row in self.events("SELECT origin['flow_name'], details FROM t WHERE event_type = 'flow_progress'") {
            let (flow, details) = row.split_once('|').unwrap();
            let details: Value = serde_json::from_str(details).unwrap();
            let progress = &details["flow_progress"];
            // A FAILED event holds the counters of work that was not committed, unless it says how many rows were.
            if progress["status"] == "FAILED" && progress["metrics"]["num_output_rows"].is_null() {
                continue;
            }
            let sums = totals.entry(flow.to_string()).or_default();
            let mut add = |key: String, value: &Value| *sums.entry(key).or_default() += value.as_u64().unwrap_or(0);
            add("output".into(), &progress["metrics"]["num_output_rows"]);
            add("input".into(), &progress["metrics"]["num_input_rows"]);
            add("dropped".into(), &progress["data_quality"]["dropped_records"]);
            add("quarantined".into(), &progress["data_quality"]["quarantined_records"]);
            for expectation in progress["data_quality"]["expectations"].as_array().into_iter().flatten() {
                let name = expectation["name"].as_str().unwrap();
                add(format!("{name} passed"), &expectation["passed_records"]);
                add(format!("{name} failed"), &expectation["failed_records"]);
            }
        }
        totals
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn query(table: &Path, select: &str) -> Vec<String> {
    let mut rows: Vec<String> = read(table, select).iter().flat_map(texts).collect();
    rows.sort();
    rows
}

fn read(table: &Path, select: &str) -> Vec<RecordBatch> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = Url::from_directory_path(table).unwrap();
        let delta = DeltaTableBuilder::from_url(url).unwrap().load().await.unwrap_or_else(|e| panic!("{}: {e}", table.display()));
        let context = SessionContext::new();
        context.register_table("t", delta.table_provider().await.unwrap()).unwrap();
        context.sql(select).await.unwrap().collect().await.unwrap()
    })
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    cells(batch).into_iter().map(|row| row.join("|")).collect()
}

fn cells(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row).to_string()).collect()).collect()
}

impl From<Vec<String>> for Event {
    fn from(cells: Vec<String>) -> Self {
        let [kind, flow, level, message, error, details] = <[String; 6]>::try_from(cells).unwrap();
        let details: Value = serde_json::from_str(&details).unwrap();
        let details = details[&kind].clone();
        Self { kind, flow, level, message, error, details }
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() { copy(&entry, &target) } else { fs::copy(&entry, &target).map(drop).unwrap() }
    }
}
