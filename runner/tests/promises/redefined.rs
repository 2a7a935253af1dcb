//! What happens to tables and positions when the definition changes between two updates.

use std::fs;

use crate::harness::Project;

const READ: &str = "STREAM read_files('landing', format => 'json', schema => 'id BIGINT')";

fn rows(project: &Project, name: &str, ids: impl IntoIterator<Item = i64>) {
    project.land(name, ids.into_iter().map(|id| format!(r#"{{"id":{id}}}"#)));
}

fn define(project: &Project, sql: &str) {
    project.write("transformations/t.sql", sql);
}

#[test]
fn every_row_of_values_decides_a_view() {
    let sql = "CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT id FROM VALUES (1), (2), (3), (4), (5), (6), (7) AS t(id);";
    let project = Project::new(&[("t.sql", sql)]);
    project.run(&[]);
    define(&project, &sql.replace("(7)", "(70)"));
    project.run(&[]);
    assert_eq!(project.rows("v", "SELECT max(id) FROM t"), ["70"]);
}

#[test]
fn full_refresh_of_a_view_computes_it_again() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a AS SELECT id FROM {READ};
         CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT count(*) AS n FROM a;"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    rows(&project, "1.json", 0..3);
    project.run(&[]);
    let version = project.version("v");
    project.run(&["--full-refresh", "v"]);
    assert_eq!(project.version("v"), version.map(|version| version + 1));
    project.run(&[]);
    assert_eq!(project.version("v"), version.map(|version| version + 1), "and then it is up to date");
    project.run(&["--full-refresh-all"]);
    assert_eq!(project.version("v"), version.map(|version| version + 2));
    assert_eq!(project.rows("v", "SELECT n FROM t"), ["3"]);
}

#[test]
fn a_dataset_in_another_schema_is_filled_from_the_start() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a AS SELECT id FROM {READ};
         CREATE OR REFRESH STREAMING TABLE b;
         CREATE FLOW live AS INSERT INTO b BY NAME SELECT id FROM STREAM(a);
         CREATE FLOW once AS INSERT INTO ONCE b BY NAME SELECT 100 + id AS id FROM read_files('landing', format => 'json', schema => 'id BIGINT');"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    rows(&project, "1.json", 0..3);
    project.run(&[]);
    let manifest = fs::read_to_string(project.path().join("pipeline.yaml")).unwrap();
    project.write("pipeline.yaml", &manifest.replace("schema: s", "schema: moved"));
    rows(&project, "2.json", 3..5);
    project.run(&[]);
    for _ in 0..2 {
        assert_eq!(project.rows("../moved/b", "SELECT count(*), sum(id) FROM t"), ["10|520"]);
        project.run(&[]);
    }
    assert_eq!(project.rows("b", "SELECT count(*) FROM t"), ["6"], "the earlier table stays as it was");
}

#[test]
fn a_flow_that_moves_to_another_table_begins_again_there() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a;
         CREATE FLOW f AS INSERT INTO a BY NAME SELECT id FROM {READ};"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    rows(&project, "1.json", 0..3);
    project.run(&[]);
    let moved = sql.replace("INTO a ", "INTO b ")
        + "CREATE OR REFRESH STREAMING TABLE b; CREATE FLOW g AS INSERT INTO a BY NAME SELECT CAST(7 AS BIGINT) AS id FROM STREAM(b);";
    define(&project, &moved);
    rows(&project, "2.json", 3..5);
    let ran = project.run(&[]);
    assert!(ran.stderr.contains("flow f wrote another table before main.s.b"), "{}", ran.stderr);
    assert_eq!(project.rows("b", "SELECT count(*), sum(id) FROM t"), ["5|10"]);
    // A full refresh of the table that the flow has left does not touch the flow.
    project.run(&["--full-refresh", "a"]);
    assert_eq!(project.rows("b", "SELECT count(*), sum(id) FROM t"), ["5|10"]);
    assert_eq!(project.rows("a", "SELECT count(*), sum(id) FROM t"), ["5|35"]);
}

#[test]
fn full_refresh_also_resets_flows_that_left_the_definition() {
    let table = format!(
        "CREATE OR REFRESH STREAMING TABLE a;
         CREATE FLOW f AS INSERT INTO a BY NAME SELECT id FROM {READ};"
    );
    let second = "CREATE FLOW g AS INSERT INTO a BY NAME SELECT 100 + id AS id FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT');";
    let project = Project::new(&[("t.sql", &format!("{table}{second}"))]);
    rows(&project, "1.json", 0..3);
    project.run(&[]);
    define(&project, &table);
    project.run(&["--full-refresh", "a"]);
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["3"]);
    define(&project, &format!("{table}{second}"));
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT count(*), sum(id) FROM t"), ["6|306"], "the rows of g are back");
}

#[test]
fn a_reset_is_finished_although_its_dataset_left_the_definition() {
    let a = format!(
        "CREATE OR REFRESH STREAMING TABLE a (CONSTRAINT even EXPECT (id % 2 = 0) ON VIOLATION QUARANTINE ROW) AS SELECT id FROM {READ};"
    );
    let other = format!("CREATE OR REFRESH STREAMING TABLE other AS SELECT id FROM {READ};");
    let project = Project::new(&[("t.sql", &format!("{a}{other}"))]);
    rows(&project, "1.json", 0..4);
    project.run(&[]);
    let killed = project.floe("run", &["--full-refresh", "a"]).env("FLOE_FAILPOINTS", "reset::marker=1").output().unwrap();
    assert_eq!(killed.status.code(), None);
    define(&project, &other);
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["0"], "emptied by the next update");
    assert_eq!(project.rows("a_quarantine", "SELECT count(*) FROM t"), ["0"]);
    define(&project, &format!("{a}{other}"));
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT count(*), sum(id) FROM t"), ["2|2"]);
    assert_eq!(project.rows("a_quarantine", "SELECT count(*) FROM t"), ["2"]);
}

#[test]
fn a_view_takes_a_not_null_column_when_it_is_computed_again() {
    let sql = "CREATE OR REFRESH MATERIALIZED VIEW v (id INT) AS SELECT CASE WHEN x > 1 THEN x END AS id FROM VALUES (1), (2) AS t(x);";
    let project = Project::new(&[("t.sql", sql)]);
    project.run(&[]);
    define(&project, &sql.replace("(id INT)", "(id INT NOT NULL)").replace("x > 1", "x > 0"));
    project.run(&[]);
    assert_eq!(project.rows("v", "SELECT count(id) FROM t"), ["2"]);
    // The rule holds from now on.
    define(&project, &sql.replace("(id INT)", "(id INT NOT NULL)"));
    project.refused("run", &[], 10, "NOT_NULL");
    assert_eq!(project.rows("v", "SELECT count(id) FROM t"), ["2"]);
}

#[test]
fn a_rule_that_changes_in_the_middle_of_a_micro_batch_sorts_no_row_twice() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a (CONSTRAINT small EXPECT (id < 2) ON VIOLATION QUARANTINE ROW) AS SELECT id FROM {READ};"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    rows(&project, "1.json", 0..4);
    let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", "target::before=1").output().unwrap();
    assert_eq!(killed.status.code(), None);
    assert_eq!(project.rows("a_quarantine", "SELECT count(*) FROM t"), ["2"], "the quarantine is committed, the target is not");
    define(&project, &sql.replace("id < 2", "id < 3"));
    project.refused("run", &[], 10, "PENDING_BATCH_REDEFINED");
    define(&project, &sql);
    project.run(&[]);
    define(&project, &sql.replace("id < 2", "id < 3"));
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT count(*), sum(id) FROM t"), ["2|1"]);
    assert_eq!(project.rows("a_quarantine", "SELECT count(*), sum(id) FROM t"), ["2|5"]);
}

#[test]
fn a_flow_that_comes_back_to_its_table_doubles_nothing() {
    let sql = |target: &str| {
        format!(
            "CREATE OR REFRESH STREAMING TABLE a; CREATE OR REFRESH STREAMING TABLE b;
             CREATE FLOW keep_a AS INSERT INTO a BY NAME SELECT id FROM STREAM read_files('none', format => 'json', schema => 'id BIGINT');
             CREATE FLOW keep_b AS INSERT INTO b BY NAME SELECT id FROM STREAM read_files('none', format => 'json', schema => 'id BIGINT');
             CREATE FLOW f AS INSERT INTO {target} BY NAME SELECT id FROM {READ};"
        )
    };
    let project = Project::new(&[("t.sql", &sql("a"))]);
    fs::create_dir_all(project.path().join("none")).unwrap();
    rows(&project, "1.json", 0..3);
    project.run(&[]);
    define(&project, &sql("b"));
    project.run(&[]);
    define(&project, &sql("a"));
    project.refused("run", &[], 10, "FLOW_TARGET_REPLACED");
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["3"]);
    project.run(&["--full-refresh", "a"]);
    assert_eq!(project.rows("a", "SELECT count(*), sum(id) FROM t"), ["3|3"]);
    rows(&project, "2.json", 3..4);
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT count(*), sum(id) FROM t"), ["4|6"]);
}

#[test]
fn a_quarantine_that_left_the_definition_belongs_to_its_table() {
    let rule = "(CONSTRAINT small EXPECT (id < 2) ON VIOLATION QUARANTINE ROW)";
    let sql = format!("CREATE OR REFRESH STREAMING TABLE a {rule} AS SELECT id FROM {READ};");
    let project = Project::new(&[("t.sql", &sql)]);
    rows(&project, "1.json", 0..4);
    let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", "target::before=1").output().unwrap();
    assert_eq!(killed.status.code(), None);
    define(&project, &sql.replace(rule, ""));
    project.refused("run", &[], 10, "PENDING_BATCH_REDEFINED");
    project.run(&["--full-refresh", "a"]);
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["4"]);
    assert_eq!(project.rows("a_quarantine", "SELECT count(*) FROM t"), ["0"]);
}

#[test]
fn a_project_behind_a_symbolic_link_is_the_same_project() {
    let project = Project::new(&[]);
    let landing = project.path().join("landing");
    let read = READ.replace("'landing'", &format!("'{}'", fs::canonicalize(project.path()).unwrap().join("landing").display()));
    define(&project, &format!("CREATE OR REFRESH STREAMING TABLE a AS SELECT id FROM {read};"));
    fs::create_dir_all(&landing).unwrap();
    rows(&project, "1.json", 0..3);
    project.run(&[]);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(project.path(), &link).unwrap();
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_floe")).arg("run").arg(&link).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["3"]);
}

#[test]
fn validate_of_an_up_to_date_project_plans_no_change() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a (CONSTRAINT small EXPECT (id < 2) ON VIOLATION QUARANTINE ROW) AS SELECT id FROM {READ};"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    rows(&project, "1.json", 0..4);
    let first = project.call("validate", &[]);
    assert!(first.stdout.contains("a_quarantine") || first.stderr.contains("a_quarantine"), "{first:?}");
    project.run(&[]);
    let ended = project.call("validate", &[]);
    assert!(!ended.stdout.contains("a_quarantine") && !ended.stderr.contains("a_quarantine"), "{ended:?}");
}

#[test]
fn a_full_refresh_leaves_the_quarantine_of_another_table_alone() {
    let sql = |target: &str| {
        format!(
            "CREATE OR REFRESH STREAMING TABLE a (CONSTRAINT small EXPECT (id < 2) ON VIOLATION QUARANTINE ROW);
             CREATE OR REFRESH STREAMING TABLE b;
             CREATE FLOW keep_a AS INSERT INTO a BY NAME SELECT id FROM STREAM read_files('none', format => 'json', schema => 'id BIGINT');
             CREATE FLOW keep_b AS INSERT INTO b BY NAME SELECT id FROM STREAM read_files('none', format => 'json', schema => 'id BIGINT');
             CREATE FLOW f AS INSERT INTO {target} BY NAME SELECT id FROM {READ};"
        )
    };
    let project = Project::new(&[("t.sql", &sql("a"))]);
    fs::create_dir_all(project.path().join("none")).unwrap();
    rows(&project, "1.json", 0..4);
    project.run(&[]);
    define(&project, &sql("b"));
    project.run(&[]);
    project.run(&["--full-refresh", "b"]);
    assert_eq!(project.rows("b", "SELECT count(*) FROM t"), ["4"]);
    assert_eq!(project.rows("a_quarantine", "SELECT count(*) FROM t"), ["2"], "f once wrote a, but its rejected rows are a's");
}
