//! Streams over Delta tables: what other writers do to the source, and joins with static tables.

use std::fs;

use serde_json::{Value, json};

use crate::harness::Project;

const READ: &str = "STREAM read_files('landing', format => 'json', schema => 'id BIGINT, n BIGINT')";

/// `a` from files, `b` a stream of `a` by `read`.
fn chain(read: &str) -> Project {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a AS SELECT id, n FROM {READ};
         CREATE OR REFRESH STREAMING TABLE b AS SELECT id FROM {read};"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    land(&project, 0);
    project.run(&[]);
    project
}

fn land(project: &Project, id: u64) {
    project.land(&format!("{id}.json"), [format!(r#"{{"id":{id},"n":{id}}}"#)]);
}

/// Another writer's commit on table `a` that takes its newest file away, and may put `replacement` in its place.
fn commit_by_another_writer(project: &Project, data_change: bool, replacement: Option<&str>) -> i64 {
    let newest = project.version("a").unwrap();
    let adds =
        (0..=newest).rev().find_map(|version| project.commit("a", version).into_iter().find_map(|action| action.get("add").cloned()));
    let mut add: Value = adds.unwrap();
    let path = add["path"].as_str().unwrap().to_string();
    let mut actions = vec![json!({"remove": {"path": path, "deletionTimestamp": 1_700_000_000_000_i64, "dataChange": data_change}})];
    if let Some(name) = replacement {
        fs::copy(project.table("a").join(&path), project.table("a").join(name)).unwrap();
        add["path"] = name.into();
        add["dataChange"] = data_change.into();
        actions.push(json!({"add": add}));
    }
    actions.push(json!({"commitInfo": {"timestamp": 1_700_000_000_000_i64, "operation": "WRITE", "engineInfo": "another writer"}}));
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    let version = newest + 1;
    fs::write(project.table("a").join(format!("_delta_log/{version:020}.json")), text).unwrap();
    version
}

#[test]
fn p26_change_commit_stops_stream() {
    let project = chain("STREAM(a)");
    let deleted = commit_by_another_writer(&project, true, None);
    let ended = project.refused("run", &[], 10, "DELTA_SOURCE_IGNORE_DELETE");
    assert!(ended.stderr.contains(&format!("version {deleted}")), "{}", ended.stderr);
    assert!(ended.stderr.contains("skipChangeCommits"), "the remedy: {}", ended.stderr);
    assert_eq!(project.rows("b", "SELECT id FROM t"), ["0"]);
}

#[test]
fn p26_updates_are_named_apart_from_deletes() {
    let project = chain("STREAM(a)");
    commit_by_another_writer(&project, true, Some("changed.parquet"));
    project.refused("run", &[], 10, "DELTA_SOURCE_TABLE_IGNORE_CHANGES");
    assert_eq!(project.rows("b", "SELECT id FROM t"), ["0"]);
}

#[test]
fn p26_skip_change_commits_goes_on_and_warns() {
    let project = chain("read_stream('a', skipChangeCommits => true)");
    let deleted = commit_by_another_writer(&project, true, None);
    land(&project, 1);
    project.run(&[]);
    assert_eq!(project.rows("b", "SELECT id FROM t"), ["0", "1"]);
    let warned = project.last_update().into_iter().find(|event| event.level == "WARN" && event.flow == "b");
    assert!(warned.is_some_and(|event| event.message.contains(&format!("version {deleted}"))));
}

#[test]
fn p27_optimize_does_not_disturb_stream() {
    let project = chain("STREAM(a)");
    commit_by_another_writer(&project, false, Some("compacted.parquet"));
    let before = project.version("b");
    project.run(&[]);
    assert_eq!(project.version("b"), before);
    land(&project, 1);
    project.run(&[]);
    assert_eq!(project.rows("b", "SELECT id FROM t"), ["0", "1"]);
}

#[test]
fn p40_stream_static_join_uses_newest() {
    let sql = format!(
        "CREATE OR REFRESH MATERIALIZED VIEW prices AS SELECT book, price FROM read_files('prices', format => 'json', schema => 'book BIGINT, price BIGINT');
         CREATE OR REFRESH STREAMING TABLE sales AS SELECT s.id, p.price FROM {READ} AS s JOIN prices AS p ON s.n = p.book;"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    let sell = |id: u64, book: u64| project.land(&format!("{id}.json"), [format!(r#"{{"id":{id},"n":{book}}}"#)]);
    project.write("prices/p.json", "{\"book\":1,\"price\":10}\n");
    sell(1, 1);
    sell(2, 2);
    project.run(&[]);
    assert_eq!(project.rows("sales", "SELECT * FROM t"), ["1|10"]);
    project.write("prices/p.json", "{\"book\":1,\"price\":99}\n{\"book\":2,\"price\":50}\n");
    sell(3, 1);
    project.run(&[]);
    // P42: the sale of book 2 met no price when it was read, and does not come back.
    assert_eq!(project.rows("sales", "SELECT * FROM t"), ["1|10", "3|99"]);
}

#[test]
fn a_stream_follows_a_table_of_another_pipeline() {
    let other = chain("STREAM(a)");
    let manifest = format!(
        "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {{name: outside}}\nspec: {{pipeline: test, type: External, location: '{}'}}\n",
        other.table("a").display()
    );
    let project = Project::new(&[("t.sql", "CREATE OR REFRESH STREAMING TABLE copy AS SELECT id FROM STREAM(outside);")]);
    project.write("tables.yaml", &manifest);
    project.run(&[]);
    assert_eq!(project.rows("copy", "SELECT id FROM t"), ["0"]);
    land(&other, 5);
    other.run(&[]);
    project.run(&[]);
    assert_eq!(project.rows("copy", "SELECT id FROM t"), ["0", "5"]);
    assert_eq!(project.counted("copy")["num_output_rows"], 1);
}
