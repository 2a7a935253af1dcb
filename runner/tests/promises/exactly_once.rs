//! Killed between any two steps, started again: every table and every total of the event log equals those of an undisturbed run.

use std::{
    collections::BTreeMap,
    os::unix::process::ExitStatusExt,
    process::{Output, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use floe_runner::failpoint;

use crate::harness::{Ended, Project};

/// Two streams into one table, one of them through quarantine, a ONCE flow, two targets of change events, a table of first rows by key, a view
/// over all, a second view over that.
const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE bronze PARTITIONED BY (kind)
AS SELECT id, kind, n FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT, kind STRING, n BIGINT', maxFilesPerTrigger => 2);

CREATE TEMPORARY VIEW checked (CONSTRAINT below_90 EXPECT (n < 90)) AS SELECT id, kind, n FROM STREAM(bronze);

CREATE OR REFRESH STREAMING TABLE silver (
  CONSTRAINT has_n EXPECT (n IS NOT NULL) ON VIOLATION QUARANTINE ROW,
  CONSTRAINT positive EXPECT (n > 0) ON VIOLATION DROP ROW
) AS SELECT * FROM STREAM(checked);

CREATE OR REFRESH STREAMING TABLE mixed;
CREATE FLOW mixed_a AS INSERT INTO mixed BY NAME SELECT id, n FROM STREAM(silver) WHERE kind = 'a';
CREATE FLOW mixed_b AS INSERT INTO mixed BY NAME SELECT id, n FROM STREAM(silver) WHERE kind = 'b';
CREATE FLOW backfill AS INSERT INTO ONCE mixed BY NAME SELECT 0 - id AS id, n FROM bronze WHERE n = 5;

CREATE TEMPORARY VIEW changes AS SELECT id % 20 AS k, id, n, kind FROM STREAM(silver) WITH (maxFilesPerTrigger = 1);
CREATE OR REFRESH STREAMING TABLE latest TBLPROPERTIES ('delta.enableDeletionVectors' = 'true');
CREATE FLOW latest_flow AS AUTO CDC INTO latest FROM STREAM(changes) KEYS (k) APPLY AS DELETE WHEN n % 5 = 0 SEQUENCE BY n * 1000 + id;
CREATE OR REFRESH STREAMING TABLE history;
CREATE FLOW history_flow AS AUTO CDC INTO history FROM STREAM(changes) KEYS (k) APPLY AS DELETE WHEN n % 5 = 0 SEQUENCE BY n * 1000 + id
  STORED AS SCD TYPE 2;

CREATE OR REFRESH STREAMING TABLE firsts AS SELECT DISTINCT ON (n, at) n, at
  FROM STREAM(changes) WATERMARK CAST(n * 100 AS TIMESTAMP) AS at DELAY OF INTERVAL 1 DAY;

CREATE OR REFRESH MATERIALIZED VIEW gold AS SELECT kind, count(*) AS rows, sum(n) AS total FROM silver GROUP BY kind;
CREATE OR REFRESH MATERIALIZED VIEW top AS SELECT max(total) AS total FROM gold;
";

const FILES: u64 = 5;

fn land(project: &Project, files: std::ops::Range<u64>) {
    for file in files {
        let line = |row: u64| {
            let id = file * 100 + row;
            let n = match row % 10 {
                0 => "null".to_string(),
                1 => "-1".to_string(),
                _ => (id % 97).to_string(),
            };
            format!(r#"{{"id":{id},"kind":"{}","n":{n}}}"#, ["a", "b", "c"][(id % 3) as usize])
        };
        project.land(&format!("f{file:02}.json"), (0..40).map(line));
    }
}

fn project() -> Project {
    let project = Project::new(&[("all.sql", SQL)]);
    land(&project, 0..FILES);
    project
}

/// Everything that must be the same however often the process was killed.
#[derive(Debug, PartialEq)]
struct Outcome {
    tables: BTreeMap<&'static str, Vec<String>>,
    totals: BTreeMap<String, BTreeMap<String, u64>>,
}

fn outcome(project: &Project) -> Outcome {
    let all = [
        ("bronze", "SELECT id, kind, n FROM t"),
        ("silver", "SELECT id, kind, n FROM t"),
        ("silver_quarantine", "SELECT id, kind, n, _quarantine['batch_id'], _quarantine['expectations'] FROM t"),
        ("mixed", "SELECT id, n FROM t"),
        ("latest", "SELECT k, id, n, kind FROM t"),
        ("history", r#"SELECT k, id, n, kind, "__START_AT", "__END_AT" FROM t"#),
        ("firsts", "SELECT n FROM t"),
        ("gold", "SELECT kind, rows, total FROM t"),
        ("top", "SELECT total FROM t"),
    ];
    let tables = all.into_iter().map(|(name, select)| (name, project.rows(name, select))).collect();
    Outcome { tables, totals: project.totals() }
}

static UNDISTURBED: LazyLock<Outcome> = LazyLock::new(|| {
    let project = project();
    project.run(&[]);
    let outcome = outcome(&project);
    assert_eq!(outcome.tables["bronze"].len(), 200);
    assert_eq!(outcome.tables["silver_quarantine"].len(), 20);
    assert_eq!(outcome.tables["silver"].len(), 160);
    assert_eq!(outcome.totals["silver"]["dropped"], 40);
    assert_eq!(outcome.totals["bronze"]["output"], 200);
    outcome
});

/// Says what differs, and no more.
fn compare(outcome: &Outcome, place: &str) {
    for (table, rows) in &outcome.tables {
        assert_eq!(rows.len(), UNDISTURBED.tables[table].len(), "rows of {table} after a kill at {place}");
        assert!(*rows == UNDISTURBED.tables[table], "other rows in {table} after a kill at {place}");
    }
    for (flow, totals) in &outcome.totals {
        assert_eq!(Some(totals), UNDISTURBED.totals.get(flow), "numbers of {flow} in the event log after a kill at {place}");
    }
}

const SIGKILL: i32 = 9;

/// Starts until it ends by itself; the number of starts that were needed.
fn run_to_the_end(project: &Project, place: &str) {
    for _ in 0..3 {
        let ended = project.call("run", &[]);
        if ended.code == Some(0) {
            return;
        }
        assert_eq!(ended.code, Some(0), "after a kill at {place}: {}\n{}", ended.stdout, ended.stderr);
    }
}

/// Runs with each of `cases` armed, then without, and compares with an undisturbed run. `reached` checks how the armed run ended and says
/// whether it came to its place, as at least `wanted` runs must.
pub fn at_every_step(cases: &[String], wanted: usize, reached: impl Fn(&str, &Output) -> bool + Sync) {
    let next = AtomicUsize::new(0);
    let count = AtomicUsize::new(0);
    let work = || {
        while let Some(armed) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let project = project();
            let ended = project.floe("run", &[]).env("FLOE_FAILPOINTS", armed).output().unwrap();
            count.fetch_add(usize::from(reached(armed, &ended)), Ordering::Relaxed);
            run_to_the_end(&project, armed);
            compare(&outcome(&project), armed);
        }
    };
    LazyLock::force(&UNDISTURBED);
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    assert!(count.load(Ordering::Relaxed) >= wanted, "only {count:?} places were reached");
}

#[test]
fn p54_c35_c47_killed_at_every_step_of_the_protocol() {
    let cases: Vec<String> = failpoint::ALL.iter().flat_map(|name| ["1", "3"].map(|hit| format!("{name}={hit}"))).collect();
    at_every_step(&cases, 20, |armed, killed| {
        match killed.status.signal() {
            Some(signal) => assert_eq!(signal, SIGKILL, "{armed}"),
            None => assert_eq!(killed.status.code(), Some(0), "{armed}: {}", String::from_utf8_lossy(&killed.stderr)),
        }
        killed.status.signal().is_some()
    });
}

#[test]
fn p54_killed_at_random_moments() {
    LazyLock::force(&UNDISTURBED);
    let mut seed: u64 = 42;
    let mut random = move || {
        // xorshift: the same moments on every run, as far as a clock can be the same.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..6 {
        let project = project();
        for _ in 0..4 {
            let mut child = project.floe("run", &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_millis(random() % 1500));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        run_to_the_end(&project, "a random moment");
        compare(&outcome(&project), &format!("random moments, round {round}"));
    }
}

#[test]
fn p96_second_runner_refused() {
    let project = project();
    let mut first = project
        .floe("run", &[])
        .env("FLOE_FAILPOINTS", "offsets::after=pause")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lock = project.path().join("lake/_floe/lock");
    while !std::fs::read_to_string(&lock).is_ok_and(|text| text.contains("pid")) {
        thread::sleep(Duration::from_millis(20));
    }
    let second = project.call("run", &[]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.code, Some(10), "{}", second.stderr);
    let said = second.stderr + &second.stdout;
    assert!(said.contains("PIPELINE_LOCKED") && said.contains(&first.id().to_string()), "{said}");
}

#[test]
fn p96_without_the_lock_one_of_two_runners_is_refused() {
    let project = project();
    project.write("hold", "");
    let hold = format!("offsets::before=hold:{}", project.path().join("hold").display());
    let mut floe = project.floe("run", &[]);
    let first = floe.env("FLOE_FAILPOINTS", hold).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !project.path().join("lake/_floe/checkpoints/bronze/g0/metadata.json").exists() {
        thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_file(project.path().join("lake/_floe/lock")).unwrap();
    project.run(&[]);
    std::fs::remove_file(project.path().join("hold")).unwrap();
    let refused: Ended = first.wait_with_output().unwrap().into();
    assert_eq!(refused.code, Some(10), "{}", refused.stderr);
    assert!(refused.stderr.contains("CONCURRENT_UPDATE"), "{}", refused.stderr);
    let tables = outcome(&project).tables;
    assert!(tables == UNDISTURBED.tables, "rows are lost or doubled");
}

#[test]
fn p48_quarantine_and_target_are_one() {
    for armed in ["quarantine::after=1", "target::before=2"] {
        let project = Project::new(&[(
            "t.sql",
            "CREATE OR REFRESH STREAMING TABLE t (CONSTRAINT even EXPECT (n % 2 = 0) ON VIOLATION QUARANTINE ROW)
             AS SELECT n FROM STREAM read_files('landing', format => 'json', schema => 'n BIGINT', maxFilesPerTrigger => 1);",
        )]);
        for file in 0..3 {
            project.land(&format!("{file}.json"), (0..10).map(|row| format!(r#"{{"n":{}}}"#, file * 10 + row)));
        }
        let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", armed).output().unwrap();
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{armed}");
        let apart = project.rows("t_quarantine", "SELECT n FROM t").len();
        let kept = project.rows("t", "SELECT n FROM t").len();
        assert!(apart > kept, "{armed}: the quarantine of a batch comes before its target: {apart} and {kept} rows");
        run_to_the_end(&project, armed);
        let select = "SELECT count(*), count(DISTINCT n), min(n % 2), max(n % 2) FROM t";
        assert_eq!(project.rows("t", select), ["15|15|0|0"], "{armed}");
        assert_eq!(project.rows("t_quarantine", select), ["15|15|1|1"], "{armed}");
    }
}

#[test]
fn p74_crash_during_reset_is_completed() {
    let undisturbed = project();
    undisturbed.run(&[]);
    undisturbed.run(&["--full-refresh-all"]);
    let expected = outcome(&undisturbed).tables;
    for armed in ["reset::marker=1", "reset::before=1", "reset::after=1", "reset::after=2", "reset::generation=1", "reset::before_unmark=1"]
    {
        let project = project();
        project.run(&[]);
        let killed = project.floe("run", &["--full-refresh-all"]).env("FLOE_FAILPOINTS", armed).output().unwrap();
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{armed}: {}", String::from_utf8_lossy(&killed.stderr));
        // A plain run finishes the reset that it finds, then brings everything up to date.
        run_to_the_end(&project, armed);
        let markers = std::fs::read_dir(project.path().join("lake/_floe/resets")).map_or(0, Iterator::count);
        assert_eq!(markers, 0, "a marker is left after {armed}");
        for (table, rows) in outcome(&project).tables {
            assert!(rows == expected[table], "other rows in {table} after a kill at {armed}");
        }
    }
}
