//! Continuous updates: flows that stay alive until they are told to stop, and what is left when they are not even told.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::{Ended, Project},
    request::Pod,
};

/// Files to `a`, `a` to `b`, a view over each.
const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE a
AS SELECT id FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT', maxFilesPerTrigger => 2);
CREATE OR REFRESH STREAMING TABLE b (CONSTRAINT even EXPECT (id % 2 = 0) ON VIOLATION DROP ROW) AS SELECT id FROM STREAM(a);
CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT count(*) AS rows, sum(id) AS total FROM b;
CREATE OR REFRESH MATERIALIZED VIEW w AS SELECT rows AS rows FROM v;
";

const ROWS_PER_FILE: u64 = 10;

/// A pipeline whose flows look for new data ten times a second.
pub fn project(sql: &str, spec: &str) -> Project {
    let project = Project::new(&[("all.sql", sql)]);
    project.write(
        "pipeline.yaml",
        &format!(
            "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: test}}\nspec: {{schema: s, {spec}retryPolicy: {{minBackoffSeconds: 0}}, \
             configuration: {{pipelines.trigger.interval: 0.1 seconds}}}}\n"
        ),
    );
    project
}

fn land(project: &Project, files: std::ops::Range<u64>) {
    for file in files {
        // A name that no listing takes until the file is complete.
        let rows = file * ROWS_PER_FILE..(file + 1) * ROWS_PER_FILE;
        project.land(&format!("_{file}"), rows.map(|id| format!(r#"{{"id":{id}}}"#)));
        let landing = project.path().join("landing");
        std::fs::rename(landing.join(format!("_{file}")), landing.join(format!("{file:03}.json"))).unwrap();
    }
}

/// A process that goes on until it is told to stop.
pub struct Live<'a> {
    project: &'a Project,
    child: Child,
}

impl<'a> Live<'a> {
    pub fn start(project: &'a Project, arguments: &[&str], failpoints: &str) -> Self {
        let mut floe = project.floe("run", arguments);
        floe.env("FLOE_FAILPOINTS", failpoints);
        Self::of(project, floe)
    }

    pub fn of(project: &'a Project, mut floe: Command) -> Self {
        // Nobody reads the events while it runs: a pipe would be full at last.
        Self { project, child: floe.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap() }
    }

    /// Waits while it runs.
    pub fn until(&mut self, what: &str, is: impl Fn(&Project) -> bool) {
        let started = Instant::now();
        while !is(self.project) {
            let has_ended = self.child.try_wait().unwrap().is_some();
            assert!(!has_ended, "it ended before {what}: {:#?}", self.ended());
            assert!(started.elapsed() < Duration::from_mins(3), "never came: {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the view `v` counts so many rows.
    fn until_counted(&mut self, rows: u64) {
        self.until(&format!("{rows} rows"), |project| {
            project.version("v").is_some() && project.rows("v", "SELECT rows FROM t") == [rows.to_string()]
        });
    }

    pub fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub fn stop(mut self, signal: &str) -> Ended {
        self.signal(signal);
        self.ended()
    }

    pub fn ended(&mut self) -> Ended {
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let stdout = String::new();
        Ended { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn update_states(project: &Project) -> Vec<String> {
    let events = project.last_update().into_iter().filter(|event| event.kind == "update_progress");
    events.map(|event| event.details["state"].as_str().unwrap().to_string()).collect()
}

/// All rows of so many files stand everywhere once, and the event log has counted each once.
fn all_once(project: &Project, files: u64) {
    let rows = files * ROWS_PER_FILE;
    let total: u64 = (0..rows).filter(|id| id % 2 == 0).sum();
    assert_eq!(project.rows("a", "SELECT count(*), count(DISTINCT id) FROM t"), [format!("{rows}|{rows}")]);
    assert_eq!(project.rows("b", "SELECT count(*), sum(id) FROM t"), [format!("{}|{total}", rows / 2)]);
    assert_eq!(project.rows("v", "SELECT rows, total FROM t"), [format!("{}|{total}", rows / 2)]);
    assert_eq!(project.rows("w", "SELECT rows FROM t"), [format!("{}", rows / 2)]);
    let totals = project.totals();
    assert_eq!((totals["a"]["output"], totals["b"]["output"], totals["b"]["even failed"]), (rows, rows / 2, rows / 2));
    // Each refresh writes one row and one version, the first version is the empty table.
    assert_eq!(totals["v"]["output"], u64::try_from(project.version("v").unwrap()).unwrap());
}

#[test]
fn p81_continuous_mode() {
    let project = project(SQL, "mode: Continuous, ");
    land(&project, 0..5);
    let mut live = Live::start(&project, &[], "");
    live.until_counted(25);
    for file in 5..9 {
        land(&project, file..file + 1);
        live.until_counted((file + 1) * ROWS_PER_FILE / 2);
    }
    live.until("the view of the view", |project| project.rows("w", "SELECT rows FROM t") == ["45"]);
    // Rounds without work leave nothing behind.
    let versions = project.versions();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(project.versions(), versions);
    let ended = live.stop("TERM");
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert_eq!(update_states(&project), ["CREATED", "INITIALIZING", "SETTING_UP_TABLES", "RUNNING", "STOPPING", "CANCELED"]);
    all_once(&project, 9);
    for (flow, first) in [("a", "STARTING"), ("v", "PLANNING")] {
        let states = project.states(flow);
        let states: Vec<&str> = states.iter().map(String::as_str).filter(|state| *state != "STARTING" || first == *state).collect();
        assert_eq!(states[..4], ["QUEUED", first, "RUNNING", "IDLE"]);
        let (last, rounds) = states[4..].split_last().unwrap();
        assert!(*last == "STOPPED" && rounds.chunks(2).all(|round| round == ["RUNNING", "IDLE"]), "{states:?}");
    }
    let events = project.last_update();
    let listed = events.iter().filter(|event| event.kind == "operation_progress").count();
    let idle = |flow: &str| events.iter().filter(|event| event.flow == flow && event.details["status"] == "IDLE").count();
    assert_eq!(listed, idle("a"), "a listing is told once per round with work");
    let plans = |flow: &str| events.iter().filter(|event| event.flow == flow && event.kind == "planning_information").count();
    assert_eq!(plans("v") as u64, project.totals()["v"]["output"], "one plan per refresh");
    // The same definition goes on where it was, with the same checkpoints, when it runs once.
    land(&project, 9..10);
    project.run(&["--refresh", "a,b,v,w"]);
    all_once(&project, 10);
}

#[test]
fn p81_an_argument_makes_an_update_continuous_and_names_end_one() {
    let triggered = project(SQL, "");
    land(&triggered, 0..1);
    let mut live = Live::start(&triggered, &["--continuous"], "");
    live.until_counted(5);
    let ended = live.stop("INT");
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    all_once(&triggered, 1);

    let continuous = project(SQL, "mode: Continuous, ");
    land(&continuous, 0..1);
    continuous.run(&["--dry-run"]);
    assert_eq!(continuous.version("a"), None);
    // What it leaves out would stand still for as long as it lived.
    continuous.run(&["--refresh", "a"]);
    assert_eq!(continuous.rows("a", "SELECT count(*) FROM t"), ["10"]);
    assert_eq!(update_states(&continuous).last().unwrap(), "COMPLETED");
}

/// With these a table fails at the third file, and a view is behind it.
fn with_strict() -> String {
    format!(
        "{SQL}
        CREATE OR REFRESH STREAMING TABLE strict (CONSTRAINT below_20 EXPECT (id < 20) ON VIOLATION FAIL UPDATE) AS SELECT id FROM STREAM(a);
        CREATE OR REFRESH MATERIALIZED VIEW behind AS SELECT count(*) AS rows FROM strict;"
    )
}

#[test]
fn p82_continuous_flow_failure_isolated() {
    let sql = with_strict();
    let project = project(&sql, "mode: Continuous, ");
    land(&project, 0..2);
    let mut live = Live::start(&project, &[], "");
    live.until("the view behind", |project| project.version("behind").is_some() && project.rows("behind", "SELECT rows FROM t") == ["20"]);
    land(&project, 2..4);
    live.until_counted(20);
    // The event of a failure is written at once.
    live.until("the failure", |project| {
        let is_written = project.path().join("lake/_floe/event_log/_delta_log/00000000000000000001.json").exists();
        is_written && project.states("strict").last().is_some_and(|state| state == "FAILED")
    });
    assert_eq!(update_states(&project).last().unwrap(), "RUNNING");
    land(&project, 4..6);
    live.until_counted(30);
    live.until("the view of the view", |project| project.rows("w", "SELECT rows FROM t") == ["30"]);
    let ended = live.stop("TERM");
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(ended.stderr.contains("EXPECTATION_VIOLATION"), "{}", ended.stderr);
    all_once(&project, 6);
    assert_eq!(project.rows("strict", "SELECT count(*) FROM t"), ["20"]);
    assert_eq!(project.rows("behind", "SELECT rows FROM t"), ["20"]);
    assert_eq!(project.states("strict").last().unwrap(), "FAILED");
    let events = project.last_update();
    let failed = events.iter().find(|event| event.flow == "strict" && event.level == "ERROR").unwrap();
    assert_eq!(failed.error, "EXPECTATION_VIOLATION");
    let held = events.iter().rfind(|event| event.flow == "behind").unwrap();
    assert_eq!(held.message, "Flow behind is IDLE and keeps what it has due to upstream failure(s): strict.");
    assert_eq!(update_states(&project).last().unwrap(), "CANCELED");
}

/// What the operator makes `Degraded` from.
#[test]
fn p82_a_pod_reports_which_flow_failed() {
    let project = Project::new(&[("all.sql", &with_strict())]);
    land(&project, 0..2);
    let spec = json!({"schema": "s", "storage": {"uri": format!("file://{}/lake", project.path().display())}, "source": {},
        "mode": "Continuous", "configuration": {"pipelines.trigger.interval": "0.1 seconds"}});
    let pod = Pod::new(&project).with("/pipeline/spec", spec);
    let mut live = Live::of(&project, pod.floe(&[]));
    live.until_counted(10);
    land(&project, 2..3);
    live.until_counted(15);
    let state = |report: &Value, flow: &str| {
        report["flows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["name"] == flow)
            .map(|one| (one["state"].clone(), one["errorClass"].clone()))
    };
    live.until("the failure in the report", |_| state(&pod.report(), "strict") == Some((json!("FAILED"), json!("EXPECTATION_VIOLATION"))));
    let report = pod.report();
    assert_eq!((&report["state"], &report["result"]), (&json!("RUNNING"), &Value::Null));
    assert_ne!(state(&report, "a").unwrap().0, json!("FAILED"));
    let ended = live.stop("TERM");
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    all_once(&project, 3);
}

/// With nothing left that could do anything there is nothing to stay alive for.
#[test]
fn p82_an_update_whose_last_flow_fails_ends() {
    let sql = "CREATE OR REFRESH STREAMING TABLE a (CONSTRAINT below_10 EXPECT (id < 10) ON VIOLATION FAIL UPDATE)
        AS SELECT id FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT');
        CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT count(*) AS rows FROM a;";
    let project = project(sql, "mode: Continuous, ");
    land(&project, 0..1);
    let mut live = Live::start(&project, &[], "");
    live.until_counted(10);
    land(&project, 1..2);
    let ended = live.ended();
    assert_eq!(ended.code, Some(11), "{}", ended.stderr);
    assert_eq!(update_states(&project).last().unwrap(), "FAILED");
    assert_eq!(project.rows("v", "SELECT rows FROM t"), ["10"]);
}

/// A passing failure does not cost a flow its life, however often it is met.
#[test]
fn p77_p81_transient_failures_are_retried_without_a_limit() {
    let project = project(SQL, "mode: Continuous, ");
    land(&project, 0..3);
    let mut live = Live::start(&project, &[], "offsets::before=fail*6");
    live.until_counted(15);
    land(&project, 3..4);
    live.until_counted(20);
    live.until("the view of the view", |project| project.rows("w", "SELECT rows FROM t") == ["20"]);
    let ended = live.stop("TERM");
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    all_once(&project, 4);
    let events = project.last_update();
    let retried: Vec<_> = events.iter().filter(|event| event.details["status"] == "FAILED").collect();
    assert!(retried.len() == 6 && retried.iter().all(|event| event.level == "WARN"), "{retried:?}");
    assert!(retried.iter().any(|event| event.message.ends_with("(attempt 4).")), "{retried:?}");
}

#[test]
fn p54_p81_killed_at_any_moment_and_gone_on_exactly_once() {
    let project = project(SQL, "mode: Continuous, ");
    let mut landed = 0;
    for failpoint in ["", "target::after=1", "mv::after=1", "commit_entry::before=1", "offsets::after=1"] {
        let mut live = Live::start(&project, &[], "");
        land(&project, landed..landed + 2);
        landed += 2;
        live.until_counted(landed * ROWS_PER_FILE / 2);
        // Some of these rows will be on their way.
        land(&project, landed..landed + 1);
        landed += 1;
        live.signal("KILL");
        assert_eq!(live.ended().code, None);
        if !failpoint.is_empty() {
            land(&project, landed..landed + 1);
            landed += 1;
            assert_eq!(Live::start(&project, &[], failpoint).ended().code, None, "{failpoint}");
        }
    }
    project.run(&["--refresh", "a,b,v,w"]);
    all_once(&project, landed);
}

/// A changed view replaces its columns with its first refresh; the later ones only bring rows.
#[test]
fn p81_a_changed_view_changes_its_columns_once() {
    let project = project(SQL, "mode: Continuous, ");
    land(&project, 0..1);
    project.run(&["--refresh", "a,b,v,w"]);
    let before = project.version("v").unwrap();
    project.write("transformations/all.sql", &SQL.replace("sum(id) AS total", "sum(id) AS total, max(id) AS newest"));
    let mut live = Live::start(&project, &[], "");
    for file in 1..4 {
        land(&project, file..file + 1);
        live.until_counted((file + 1) * ROWS_PER_FILE / 2);
    }
    assert_eq!(live.stop("TERM").code, Some(143));
    let now = project.version("v").unwrap();
    let changes_metadata = |version: &i64| project.commit("v", *version).iter().any(|action: &Value| action.get("metaData").is_some());
    assert_eq!((before + 1..=now).filter(changes_metadata).count(), 1);
    assert_eq!(project.rows("v", "SELECT rows, newest FROM t"), ["20|38"]);
}
