//! Resets, selections, changes of the definition, and how views are refreshed.

use std::fs;

use crate::harness::Project;

const READ: &str = "STREAM read_files('landing', format => 'json', schema => 'id BIGINT, n BIGINT')";

fn chain() -> Project {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a AS SELECT id, n FROM {READ};
         CREATE OR REFRESH STREAMING TABLE b AS SELECT id, n FROM STREAM(a);
         CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT count(*) AS rows, sum(n) AS total FROM b;"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    project.land("a.json", (0..4).map(|id| format!(r#"{{"id":{id},"n":{}}}"#, id * 10)));
    project.run(&[]);
    project
}

fn edit(project: &Project, from: &str, to: &str) {
    let sql = fs::read_to_string(project.path().join("transformations/t.sql")).unwrap();
    assert!(sql.contains(from));
    project.write("transformations/t.sql", &sql.replace(from, to));
}

#[test]
fn p69_full_refresh_that_breaks_a_stream_is_refused() {
    let project = chain();
    let versions = project.versions();
    let refused = project.refused("run", &["--full-refresh", "a"], 10, "FULL_REFRESH_BREAKS_STREAM");
    assert!(refused.stderr.contains('b') && refused.stderr.contains("--cascade"), "{}", refused.stderr);
    assert_eq!(project.versions(), versions);
    project.run(&["--full-refresh", "a", "--cascade"]);
    for table in ["a", "b"] {
        assert_eq!(project.rows(table, "SELECT count(*), sum(n) FROM t"), ["4|60"], "{table}");
    }
    project.run(&[]);
    assert_eq!(project.rows("v", "SELECT rows, total FROM t"), ["4|60"]);
}

#[test]
fn p70_reset_checkpoint_keeps_data() {
    let project = Project::new(&[("t.sql", &format!("CREATE OR REFRESH STREAMING TABLE a AS SELECT id FROM {READ};"))]);
    for file in 0..2 {
        project.land(&format!("{file}.json"), [format!(r#"{{"id":{file}}}"#)]);
    }
    project.run(&[]);
    project.run(&["--reset-checkpoint", "a"]);
    assert_eq!(project.rows("a", "SELECT id FROM t"), ["0", "0", "1", "1"]);
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["4"]);
}

#[test]
fn p73_once_flow_runs_once() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a;
         CREATE FLOW live AS INSERT INTO a BY NAME SELECT id FROM {READ};
         CREATE FLOW backfill AS INSERT INTO ONCE a BY NAME SELECT 0 - id AS id FROM read_files('old', format => 'json', schema => 'id BIGINT');"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    project.write("old/x.json", "{\"id\":7}\n");
    project.land("a.json", [r#"{"id":1}"#.to_string()]);
    project.run(&[]);
    project.land("b.json", [r#"{"id":2}"#.to_string()]);
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT id FROM t"), ["-7", "1", "2"]);
    assert_eq!(project.states("backfill"), ["QUEUED", "IDLE"]);
    project.run(&["--full-refresh", "a"]);
    assert_eq!(project.rows("a", "SELECT id FROM t"), ["-7", "1", "2"]);
}

#[test]
fn p83_column_added_by_query() {
    let project = chain();
    edit(&project, "b AS SELECT id, n FROM", "b AS SELECT id, n, id + n AS both FROM");
    project.land("b.json", [r#"{"id":9,"n":1}"#.to_string()]);
    project.run(&[]);
    assert_eq!(project.rows("b", "SELECT * FROM t"), ["0|0|NULL", "1|10|NULL", "2|20|NULL", "3|30|NULL", "9|1|10"]);
    let added = project.last_update().into_iter().find(|event| event.kind == "schema_change").unwrap();
    assert_eq!(added.details["added"][0]["name"], "both");
}

#[test]
fn p84_type_change_needs_full_refresh() {
    let project = chain();
    let versions = project.versions();
    edit(&project, "b AS SELECT id, n FROM", "b AS SELECT id, CAST(n AS STRING) AS n FROM");
    project.refused("validate", &[], 10, "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH");
    project.refused("run", &[], 10, "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH");
    assert_eq!(project.versions(), versions);
    project.run(&["--full-refresh", "b"]);
    assert_eq!(project.rows("b", "SELECT arrow_typeof(n), n FROM t WHERE id = 2").len(), 1);
    assert_eq!(project.rows("b", "SELECT n || '!' FROM t WHERE id = 2"), ["20!"]);
}

#[test]
fn p85_dataset_kind_change_is_refused() {
    let project = chain();
    let versions = project.versions();
    edit(&project, "STREAMING TABLE b AS SELECT id, n FROM STREAM(a)", "MATERIALIZED VIEW b AS SELECT id, n FROM a");
    project.refused("run", &[], 10, "CANNOT_CHANGE_DATASET_TYPE");
    project.refused("run", &["--full-refresh", "b"], 10, "CANNOT_CHANGE_DATASET_TYPE");
    assert_eq!(project.versions(), versions);
}

#[test]
fn p86_removed_dataset_is_kept() {
    let project = chain();
    let sql = fs::read_to_string(project.path().join("transformations/t.sql")).unwrap();
    project.write("transformations/t.sql", sql.lines().next().unwrap());
    let versions = project.versions();
    project.land("b.json", [r#"{"id":9,"n":5}"#.to_string()]);
    let ended = project.run(&["--dry-run"]);
    assert!(ended.stdout.contains("no longer declared"), "{}", ended.stdout);
    project.run(&[]);
    assert_eq!((project.version("b"), project.version("v")), (versions.get("b").copied(), versions.get("v").copied()));
    project.write("transformations/t.sql", &sql);
    project.run(&[]);
    assert_eq!(project.rows("b", "SELECT id FROM t"), ["0", "1", "2", "3", "9"]);
    assert_eq!(project.rows("v", "SELECT rows, total FROM t"), ["5|65"]);
}

#[test]
fn p88_a_view_is_replaced_in_one_commit() {
    let project = chain();
    let before = project.version("v").unwrap();
    project.land("b.json", [r#"{"id":9,"n":5}"#.to_string()]);
    project.run(&[]);
    assert_eq!(project.version("v"), Some(before + 1));
    let commit = project.commit("v", before + 1);
    let count = |action: &str| commit.iter().filter(|entry| entry.get(action).is_some()).count();
    assert!(count("add") > 0 && count("remove") > 0, "old and new files change in the same commit: {commit:#?}");
    assert_eq!(project.rows("v", "SELECT rows, total FROM t"), ["5|65"]);
}

#[test]
fn p90_a_view_that_asks_for_the_date_is_always_recomputed() {
    let project = Project::new(&[("v.sql", "CREATE MATERIALIZED VIEW v AS SELECT 1 AS x, current_date() AS d;")]);
    project.run(&[]);
    project.run(&[]);
    let plan = project.last_update().into_iter().find(|event| event.kind == "planning_information").unwrap().details.to_string();
    assert!(plan.contains("PLAN_NOT_DETERMINISTIC") && plan.contains("TIME_FUNCTION"), "{plan}");
    assert_eq!(project.counted("v")["num_output_rows"], 1);
}

#[test]
fn p93_changed_expectation_recomputes_a_view() {
    let project = chain();
    edit(&project, "VIEW v AS", "VIEW v (CONSTRAINT some EXPECT (rows > 100) ON VIOLATION DROP ROW) AS");
    project.run(&[]);
    let plan = project.last_update().into_iter().find(|event| event.kind == "planning_information").unwrap().details.to_string();
    assert!(plan.contains("QUERY_FINGERPRINT_CHANGED"), "{plan}");
    assert_eq!(project.rows("v", "SELECT count(*) FROM t"), ["0"]);
}
