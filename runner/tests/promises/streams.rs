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
fn p40_p42_stream_static_join_uses_newest_and_does_not_look_back() {
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

#[test]
fn p41_replay_is_pinned() {
    let sql = format!(
        "CREATE OR REFRESH MATERIALIZED VIEW prices AS SELECT book, price FROM read_files('prices', format => 'json', schema => 'book BIGINT, price BIGINT');
         CREATE OR REFRESH STREAMING TABLE sales AS SELECT s.id, p.price, c.city, current_timestamp() AS at FROM {READ} AS s
         JOIN prices AS p ON s.n = p.book JOIN read_files('cities', format => 'json', schema => 'book BIGINT, city STRING') AS c ON s.n = c.book;"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    let sell = |id: u64| project.land(&format!("{id}.json"), [format!(r#"{{"id":{id},"n":1}}"#)]);
    project.write("prices/p.json", "{\"book\":1,\"price\":10}\n");
    project.write("cities/c.json", "{\"book\":1,\"city\":\"Oslo\"}\n");
    sell(1);
    project.run(&[]);
    sell(2);
    let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", "offsets::after=1").output().unwrap();
    assert_eq!(killed.status.code(), None, "it was killed");
    let offsets = project.path().join("lake/_floe/checkpoints/sales/g0/offsets/1.json");
    let offsets: Value = serde_json::from_slice(&fs::read(offsets).unwrap()).unwrap();
    // All that the open batch must not see: a new price, more cities, another file of its own source.
    project.write("prices/p.json", "{\"book\":1,\"price\":99}\n");
    project.write("cities/d.json", "{\"book\":1,\"city\":\"Rome\"}\n");
    sell(3);
    project.run(&[]);
    let rows = project.rows("sales", "SELECT id, price, city FROM t");
    assert_eq!(rows, ["1|10|Oslo", "2|10|Oslo", "3|99|Oslo", "3|99|Rome"]);
    let recorded = offsets["timestampUs"].to_string();
    assert_eq!(project.rows("sales", "SELECT CAST(at AS BIGINT) FROM t WHERE id = 2"), [recorded], "its clock is pinned too");
}

#[test]
fn p41_a_planned_file_that_is_gone_is_named() {
    let project = Project::new(&[("t.sql", &format!("CREATE OR REFRESH STREAMING TABLE a AS SELECT id FROM {READ};"))]);
    land(&project, 1);
    land(&project, 2);
    let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", "offsets::after=1").output().unwrap();
    assert_eq!(killed.status.code(), None, "it was killed");
    let file = project.path().join("landing/1.json");
    fs::rename(&file, project.path().join("kept")).unwrap();
    let ended = project.refused("run", &[], 10, "FILE_NOT_EXIST");
    assert!(ended.stderr.contains(file.to_str().unwrap()), "{}", ended.stderr);
    fs::rename(project.path().join("kept"), &file).unwrap();
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT id FROM t"), ["1", "2"]);
}

/// Written by Spark: 100 rows, ten of them deleted and one updated by deletion vectors.
#[test]
fn a_table_with_deletion_vectors_is_read_without_its_deleted_rows() {
    let table = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/deletion_vectors");
    let manifest = format!(
        "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {{name: outside}}\nspec: {{pipeline: test, type: External, location: '{}'}}\n",
        table.display()
    );
    let sql = "CREATE OR REFRESH STREAMING TABLE copy AS SELECT id, name FROM STREAM(outside);
        CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT count(*) AS rows, sum(id) AS ids, count(DISTINCT name) AS names FROM outside;
        CREATE OR REFRESH MATERIALIZED VIEW w AS SELECT count(*) AS rows FROM outside WHERE id % 10 = 3 OR name = 'n50';";
    let project = Project::new(&[("t.sql", sql)]);
    project.write("tables.yaml", &manifest);
    project.run(&[]);
    assert_eq!(project.rows("copy", "SELECT count(*), sum(id), count(DISTINCT name) FROM t"), ["90|4570|90"]);
    assert_eq!(project.rows("copy", "SELECT id FROM t WHERE name = 'changed'"), ["50"]);
    assert_eq!(project.rows("v", "SELECT * FROM t"), ["90|4570|90"]);
    assert_eq!(project.rows("w", "SELECT * FROM t"), ["0"]);
    let before = project.versions();
    project.run(&[]);
    assert_eq!(project.versions(), before);
}

/// A commit that deletes by a deletion vector changes rows: a stream stops at it by name, as for any other delete.
#[test]
fn p26_a_delete_by_a_deletion_vector_stops_the_stream() {
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/deletion_vectors");
    let project = Project::new(&[("t.sql", "CREATE OR REFRESH STREAMING TABLE copy AS SELECT id, name FROM STREAM(outside);")]);
    let table = project.path().join("outside");
    fs::create_dir_all(table.join("_delta_log")).unwrap();
    let mut later = Vec::new();
    for entry in fs::read_dir(&fixture).unwrap().chain(fs::read_dir(fixture.join("_delta_log")).unwrap()) {
        let from = entry.unwrap().path();
        let to = table.join(from.strip_prefix(&fixture).unwrap());
        let name = from.file_name().unwrap().to_str().unwrap();
        if from.is_dir() {
            continue;
        }
        if name.starts_with("00000000000000000002") || name.starts_with("00000000000000000003") {
            later.push((from, to));
        } else {
            fs::copy(from, to).unwrap();
        }
    }
    let manifest = "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {name: outside}\nspec: {pipeline: test, type: External, location: 'PLACE'}\n";
    project.write("tables.yaml", &manifest.replace("PLACE", table.to_str().unwrap()));
    project.run(&[]);
    assert_eq!(project.rows("copy", "SELECT count(*) FROM t"), ["100"]);
    for (from, to) in later {
        fs::copy(from, to).unwrap();
    }
    let ended = project.refused("run", &[], 10, "DELTA_SOURCE");
    assert!(ended.stderr.contains("version 2"), "{}", ended.stderr);
    assert_eq!(project.rows("copy", "SELECT count(*) FROM t"), ["100"]);
}
