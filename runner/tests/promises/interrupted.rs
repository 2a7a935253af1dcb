//! Transient failures are tried again, deterministic ones are not; signals end an update cleanly.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use floe_runner::failpoint;
use serde_json::Value;

use crate::{
    exactly_once,
    harness::{Ended, Project},
};

const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE a AS SELECT id FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT', maxFilesPerTrigger => 1);
CREATE OR REFRESH STREAMING TABLE b AS SELECT id FROM STREAM(a);
CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT count(*) AS rows FROM b;";

/// Three files of ten rows, one micro-batch each; a failed flow starts again after about a second.
fn project(retry: &str) -> Project {
    let project = Project::new(&[("t.sql", SQL)]);
    let manifest = format!(
        "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: test}}\nspec: {{schema: s, retryPolicy: {{minBackoffSeconds: 1, maxBackoffSeconds: 1{retry}}}}}\n"
    );
    project.write("pipeline.yaml", &manifest);
    for file in 0..3 {
        project.land(&format!("{file}.json"), (0..10).map(|id| format!(r#"{{"id":{}}}"#, file * 10 + id)));
    }
    project
}

fn run_with(project: &Project, failpoints: &str) -> Ended {
    project.floe("run", &[]).env("FLOE_FAILPOINTS", failpoints).output().unwrap().into()
}

/// Level and message of each FAILED event of a flow.
fn failures(project: &Project, flow: &str) -> Vec<(String, String)> {
    let failed = project.last_update().into_iter().filter(|event| event.flow == flow && event.details["status"] == "FAILED");
    failed.map(|event| (event.level, event.message)).collect()
}

fn all_rows_once(project: &Project) {
    assert_eq!(project.rows("a", "SELECT count(*), sum(id), count(DISTINCT id) FROM t"), ["30|435|30"]);
    assert_eq!(project.rows("b", "SELECT count(*), sum(id), count(DISTINCT id) FROM t"), ["30|435|30"]);
    assert_eq!(project.rows("v", "SELECT rows FROM t"), ["30"]);
}

#[test]
fn p77_e09_transient_error_is_retried() {
    let project = project("");
    let ended = run_with(&project, "offsets::before=fail*2");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    all_rows_once(&project);
    let message = |attempt| ("WARN".to_string(), format!("Flow a has FAILED. Retrying in {{}} seconds (attempt {attempt} of 3)."));
    let found: Vec<_> = failures(&project, "a")
        .into_iter()
        .map(|(level, text)| (level, text.replace("in 1 second", "in {} second").replace("in 2 second", "in {} second")))
        .map(|(level, text)| (level, text.replace("second (", "seconds (")))
        .collect();
    assert_eq!(found, [message(2), message(3)]);
    assert_eq!(
        project.states("a"),
        [
            "QUEUED",
            "STARTING",
            "RUNNING",
            "FAILED",
            "QUEUED",
            "STARTING",
            "RUNNING",
            "FAILED",
            "QUEUED",
            "STARTING",
            "RUNNING",
            "COMPLETED"
        ]
    );
    assert_eq!(project.states("b"), ["QUEUED", "STARTING", "RUNNING", "COMPLETED"], "descendants wait meanwhile");
    assert!(project.last_update().iter().all(|event| event.level != "ERROR"));
    assert_eq!(project.counted("a")["num_output_rows"], 30);
}

/// What was committed before the failure counts too.
#[test]
fn p77_the_closing_table_counts_all_attempts() {
    let project = project("");
    let ended = run_with(&project, "commit_entry::before=fail*1");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    all_rows_once(&project);
    let line = ended.stdout.lines().find(|line| line.trim_start().starts_with("a ")).unwrap_or_else(|| panic!("{}", ended.stdout));
    assert!(line.contains("30"), "{}", ended.stdout);
}

#[test]
fn p77_the_limit_of_retries_is_honoured() {
    let project = project(", maxFlowRetries: 1");
    let ended = run_with(&project, "offsets::before=fail*9");
    assert_eq!(ended.code, Some(20), "{}", ended.stderr);
    let levels: Vec<String> = failures(&project, "a").into_iter().map(|(level, _)| level).collect();
    assert_eq!(levels, ["WARN", "ERROR"]);
    assert_eq!(project.states("b"), ["QUEUED", "SKIPPED"]);
    project.run(&[]);
    all_rows_once(&project);
}

#[test]
fn p77_development_mode_does_not_retry() {
    let project = project("");
    let ended: Ended = project.floe("run", &["--development"]).env("FLOE_FAILPOINTS", "offsets::before=fail*1").output().unwrap().into();
    assert_eq!(ended.code, Some(20), "{}", ended.stderr);
    assert_eq!(failures(&project, "a").len(), 1);
}

#[test]
fn p78_deterministic_error_not_retried() {
    let project = project("");
    project.write(
        "transformations/u.sql",
        "SET spark.sql.ansi.enabled = true; CREATE MATERIALIZED VIEW w AS SELECT CAST(concat('x', id) AS INT) AS n FROM a;",
    );
    let ended = project.refused("run", &[], 10, "CAST_INVALID_INPUT");
    assert!(!ended.stderr.contains("Retrying"), "{}", ended.stderr);
    assert_eq!(failures(&project, "w"), [("ERROR".to_string(), "Flow w has FAILED.".to_string())]);
    all_rows_once(&project);
}

/// A transient failure at any step of the protocol costs nothing: the flow, or the next run, does what was left.
#[test]
fn p77_a_failure_at_every_step_of_the_protocol() {
    let cases: Vec<String> = failpoint::ALL.iter().map(|name| format!("{name}=fail*1")).collect();
    exactly_once::at_every_step(&cases, 15, |armed, ended| {
        assert!(matches!(ended.status.code(), Some(0 | 20)), "{armed}: {}", String::from_utf8_lossy(&ended.stderr));
        ended.status.code() == Some(20) || String::from_utf8_lossy(&ended.stderr).contains("etry")
    });
}

/// A run that stays in its first micro-batch until [`Held::release`].
pub struct Held<'a> {
    project: &'a Project,
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl<'a> Held<'a> {
    pub fn start(project: &'a Project, arguments: &[&str]) -> Self {
        Self::start_command(project, project.floe("run", arguments))
    }

    pub fn start_command(project: &'a Project, floe: Command) -> Self {
        Self::start_at(project, floe, "g0")
    }

    /// Until the first micro-batch of a generation of flow `a`.
    pub fn start_at(project: &'a Project, mut floe: Command, generation: &str) -> Self {
        project.write("hold", "");
        let hold = format!("stage::before=hold:{}", project.path().join("hold").display());
        let mut child = floe.env("FLOE_FAILPOINTS", hold).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let offsets = project.path().join(format!("lake/_floe/checkpoints/a/{generation}/offsets/0.json"));
        while !offsets.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before its first micro-batch");
            thread::sleep(Duration::from_millis(10));
        }
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { project, child, said }
    }

    /// Sends a signal and waits until the process has said that it stops.
    pub fn stop(&mut self, signal: &str) {
        self.signal(signal);
        let mut line = String::new();
        while !line.contains("stopping") {
            line.clear();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "it ended without a word");
        }
    }

    pub fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub fn release(mut self) -> Ended {
        fs::remove_file(self.project.path().join("hold")).unwrap();
        self.end()
    }

    pub fn end(&mut self) -> Ended {
        let mut stderr = String::new();
        self.said.read_to_string(&mut stderr).unwrap();
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        Ended { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

/// The states of the newest update.
fn update_states(project: &Project) -> Vec<String> {
    let events = project.last_update().into_iter().filter(|event| event.kind == "update_progress");
    events.map(|event| event.details["state"].as_str().unwrap().to_string()).collect()
}

#[test]
fn p80_e05_sigterm_is_clean() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let project = project("");
        let mut held = Held::start(&project, &[]);
        held.stop(signal);
        let ended = held.release();
        assert_eq!(ended.code, Some(code), "{signal}: {}", ended.stderr);
        // The micro-batch in hand was committed, no other one was begun.
        assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["10"]);
        assert_eq!(project.states("a"), ["QUEUED", "STARTING", "RUNNING", "STOPPED"]);
        assert_eq!(project.states("b"), ["QUEUED", "STOPPED"]);
        assert_eq!(project.states("v"), ["QUEUED", "STOPPED"]);
        assert_eq!(update_states(&project), ["CREATED", "INITIALIZING", "SETTING_UP_TABLES", "RUNNING", "STOPPING", "CANCELED"]);
        let canceled = project.last_update().into_iter().find(|event| event.details["state"] == "CANCELED").unwrap();
        assert_eq!(canceled.details["cancellation_cause"], Value::from("USER_ACTION"));
        assert!(!project.path().join("lake/_floe/checkpoints/a/g0/offsets/1.json").exists());
        project.run(&[]);
        all_rows_once(&project);
        assert_eq!(project.totals()["a"]["output"], 30);
    }
}

#[test]
fn p80_a_second_signal_ends_at_once_and_the_next_run_goes_on() {
    let project = project("");
    let mut held = Held::start(&project, &[]);
    held.stop("TERM");
    held.signal("TERM");
    let ended = held.end();
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["0"]);
    fs::remove_file(project.path().join("hold")).unwrap();
    project.run(&[]);
    all_rows_once(&project);
    let recovered = project.events("SELECT count(*) FROM t WHERE message LIKE '%(recovered)%'");
    assert_eq!(recovered, ["1"], "the update that was cut off has an end");
}
