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
        let project = Self { directory: tempfile::tempdir().unwrap() };
        project.write("pipeline.yaml", "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: test}\nspec: {schema: s}\n");
        for (name, sql) in files {
            project.write(&format!("transformations/{name}"), sql);
        }
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

    /// Where a table of schema `s` stands.
    pub fn table(&self, name: &str) -> PathBuf {
        self.path().join("lake/s").join(name)
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

    /// The event log as another reader sees it: `select` calls it `t`.
    pub fn events(&self, select: &str) -> Vec<String> {
        query(&self.path().join("lake/_floe/event_log"), select)
    }

    /// Per flow the sums of all numbers in the event log that count rows.
    pub fn totals(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut totals: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for row in self.events("SELECT origin['flow_name'], details FROM t WHERE event_type = 'flow_progress'") {
            let (flow, details) = row.split_once('|').unwrap();
            let details: Value = serde_json::from_str(details).unwrap();
            let progress = &details["flow_progress"];
            if progress["status"] == "FAILED" {
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
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")).collect()
}
