//! Commits that meet a kill, a failure or another writer: what was committed counts once, whatever happened to its input or its table.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{Ended, Project};

const READ: &str = "STREAM read_files('landing', format => 'json', schema => 'id BIGINT', maxFilesPerTrigger => 1)";

fn land(project: &Project, id: i64) {
    project.land(&format!("{id}.json"), [format!(r#"{{"id":{id}}}"#)]);
}

/// A run of which `place` was held while `meanwhile` happened: after rows were staged for table `name`, before they are committed.
fn held_at(project: &Project, place: &str, name: &str, meanwhile: impl FnOnce()) -> Ended {
    let files = || fs::read_dir(project.table(name)).unwrap().count();
    let before = files();
    let lock = project.path().join("hold");
    fs::write(&lock, "").unwrap();
    let mut floe = project.floe("run", &[]);
    let armed = format!("{place}=hold:{}", lock.display());
    let child = floe.env("FLOE_FAILPOINTS", armed).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while files() == before {
        assert!(started.elapsed() < Duration::from_mins(1), "nothing was staged for {name}");
        thread::sleep(Duration::from_millis(10));
    }
    meanwhile();
    fs::remove_file(lock).unwrap();
    child.wait_with_output().unwrap().into()
}

/// The metadata of table `name` with one property more, as another program commits it.
fn set_property(project: &Project, name: &str) {
    let created = project.commit(name, 0);
    let mut metadata = created.iter().find_map(|action| action.get("metaData")).unwrap().clone();
    metadata["configuration"]["owner"] = "somebody else".into();
    let actions =
        [json!({"commitInfo": {"timestamp": 1_700_000_000_000_i64, "operation": "SET TBLPROPERTIES"}}), json!({"metaData": metadata})];
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    let version = project.version(name).unwrap() + 1;
    fs::write(project.table(name).join(format!("_delta_log/{version:020}.json")), text).unwrap();
}

#[test]
fn a_committed_batch_is_not_read_again_after_a_kill() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a (CONSTRAINT small EXPECT (id < 100) ON VIOLATION QUARANTINE ROW) AS SELECT id FROM {READ};"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    project.land("0.json", [r#"{"id":1}"#.to_string(), r#"{"id":100}"#.to_string()]);
    let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", "target::after").output().unwrap();
    assert_eq!(killed.status.signal(), Some(9));
    // The input is archived: nothing but the log of the table can tell that its rows are there.
    fs::remove_file(project.path().join("landing/0.json")).unwrap();
    land(&project, 2);
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT id FROM t"), ["1", "2"]);
    assert_eq!(project.rows("a_quarantine", "SELECT id FROM t"), ["100"]);
    assert_eq!((project.version("a"), project.version("a_quarantine")), (Some(2), Some(1)));
    assert_eq!(project.totals()["a"]["output"], 2);
}

#[test]
fn a_property_that_another_program_sets_costs_one_retry() {
    let sql = format!("CREATE OR REFRESH STREAMING TABLE a AS SELECT id FROM {READ};");
    let project = Project::new(&[("t.sql", &sql)]);
    land(&project, 1);
    project.run(&[]);
    land(&project, 2);
    let ended = held_at(&project, "target::before", "a", || set_property(&project, "a"));
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert_eq!(project.rows("a", "SELECT id FROM t"), ["1", "2"]);
    assert_eq!(project.version("a"), Some(3));
    let failures = project.last_update().into_iter().filter(|event| event.error == "DELTA_METADATA_CHANGED").count();
    assert_eq!(failures, 1);
    land(&project, 3);
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT id FROM t"), ["1", "2", "3"]);
}

#[test]
fn a_view_meets_a_property_that_another_program_sets() {
    let sql = "CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT count(*) AS n FROM read_files('landing', format => 'json', schema => 'id BIGINT');";
    let project = Project::new(&[("t.sql", sql)]);
    land(&project, 1);
    project.run(&[]);
    land(&project, 2);
    let ended = held_at(&project, "mv::before", "v", || set_property(&project, "v"));
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert_eq!(project.rows("v", "SELECT n FROM t"), ["2"]);
}

#[test]
fn the_report_counts_what_was_committed_before_a_failure() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a (
           CONSTRAINT known EXPECT (id <> 7) ON VIOLATION DROP ROW,
           CONSTRAINT positive EXPECT (id > 0) ON VIOLATION FAIL UPDATE) AS SELECT id FROM {READ};"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    for id in [1, 2, 7, 3, -1] {
        land(&project, id);
        thread::sleep(Duration::from_millis(20));
    }
    let ended = project.call("run", &[]);
    assert_eq!(ended.code, Some(11), "{}", ended.stderr);
    assert_eq!(project.rows("a", "SELECT id FROM t"), ["1", "2", "3"]);
    let row = ended.stdout.lines().find(|line| line.trim_start().starts_with("a ")).unwrap_or_else(|| panic!("{}", ended.stdout));
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[..4], ["a", "failed", "3", "1"], "dataset, state, rows written, dropped: {row}");
}

#[test]
fn a_table_that_was_made_again_with_the_same_versions_is_noticed() {
    let other = Project::new(&[("t.sql", &format!("CREATE OR REFRESH STREAMING TABLE a AS SELECT id FROM {READ};"))]);
    land(&other, 1);
    other.run(&[]);
    let sql = "CREATE OR REFRESH MATERIALIZED VIEW total AS SELECT sum(id) AS total FROM outside;
               CREATE OR REFRESH STREAMING TABLE copy AS SELECT id FROM STREAM(outside);";
    let project = Project::new(&[("t.sql", sql)]);
    let manifest = format!(
        "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {{name: outside}}\nspec: {{pipeline: test, type: External, location: '{}'}}\n",
        other.table("a").display()
    );
    project.write("tables.yaml", &manifest);
    project.run(&[]);
    project.run(&[]);
    assert_eq!(project.versions(), [("copy".to_string(), 1), ("total".to_string(), 1)].into());

    fs::remove_dir_all(other.path().join("lake")).unwrap();
    fs::remove_file(other.path().join("landing/1.json")).unwrap();
    land(&other, 5);
    other.run(&[]);
    project.refused("run", &[], 10, "STREAMING_SOURCE_REPLACED");
    assert_eq!(project.rows("total", "SELECT total FROM t"), ["5"]);
    assert_eq!(project.rows("copy", "SELECT id FROM t"), ["1"]);
}

#[test]
fn a_query_that_fails_in_one_part_leaves_no_files_of_the_others() {
    let sql = "SET spark.sql.ansi.enabled = true; CREATE OR REFRESH STREAMING TABLE a PARTITIONED BY (k)
        AS SELECT CAST(v AS BIGINT) AS v, k FROM STREAM read_files('landing', format => 'json', schema => 'v STRING, k BIGINT');";
    let project = Project::new(&[("t.sql", sql)]);
    // More partitions than a writer keeps files open: some files are complete when the other part fails.
    let lines = |rows: u64, bad: Option<u64>| {
        (0..rows).map(
            move |row| if Some(row) == bad { r#"{"v":"x","k":0}"#.to_string() } else { format!(r#"{{"v":"{row}","k":{}}}"#, row % 80) },
        )
    };
    project.land("bad.json", lines(50_000, Some(20_000)));
    project.land("good.json", lines(80_000, None));
    project.refused("run", &[], 10, "CAST_INVALID_INPUT");
    let directories =
        fs::read_dir(project.table("a")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("_delta_log"));
    let files: Vec<_> = directories.flat_map(|directory| fs::read_dir(directory).unwrap()).collect();
    assert_eq!(files.len(), 0, "{files:?}");
}
