//! Sinks: Delta tables outside of the pipeline, to which flows append, each row once.

use std::{fs, path::Path};

use serde_json::Value;

use crate::harness::{Project, copy};

const READ: &str = "STREAM read_files('landing', format => 'json', schema => 'id BIGINT, n BIGINT')";
/// The table of the sink, as seen from the folder of the pipeline's tables.
const OUT: &str = "../../out";

fn sink(select: &str) -> Project {
    let sql = format!(
        "CREATE SINK s OPTIONS (format => 'delta', path => 'out');
         CREATE FLOW f AS INSERT INTO s BY NAME {select};"
    );
    Project::new(&[("t.sql", &sql)])
}

fn land(project: &Project, file: &str, ids: impl IntoIterator<Item = i64>) {
    project.land(file, ids.into_iter().map(|id| format!(r#"{{"id":{id},"n":{}}}"#, id * 10)));
}

fn plain() -> Project {
    let project = sink(&format!("SELECT id, n FROM {READ}"));
    land(&project, "a.json", [1, 2]);
    project
}

#[test]
fn p95_sink_append() {
    let project = plain();
    let first = project.run(&[]);
    assert!(first.stdout.contains(" s "), "the sink stands in the table of results: {}", first.stdout);
    assert!(project.run(&[]).stdout.contains("nothing new"));
    land(&project, "b.json", [3]);
    project.run(&[]);
    assert_eq!(project.rows(OUT, "SELECT * FROM t"), ["1|10", "2|20", "3|30"]);
    assert!(project.versions().is_empty(), "the pipeline has no table of its own");
    let update = project.last_update();
    let definition = update.iter().find(|event| event.kind == "sink_definition").unwrap();
    assert_eq!(definition.details["format"], "delta");
    assert_eq!(definition.details["options"]["path"], "out");
    let flow = update.iter().find(|event| event.kind == "flow_definition").unwrap();
    assert_eq!((&flow.details["output_sink"], &flow.details["output_dataset"]), (&Value::from("main.s.s"), &Value::Null));

    let told = project.run(&["--full-refresh", "s"]);
    assert!(told.stdout.contains("sink s keeps the rows that it has"), "{}", told.stdout);
    assert_eq!(project.rows(OUT, "SELECT * FROM t"), ["1|10", "1|10", "2|20", "2|20", "3|30", "3|30"]);
    let update = project.last_update();
    let warned = update.iter().position(|event| event.level == "WARN" && event.kind == "planning_note").unwrap();
    let wrote = update.iter().position(|event| event.kind == "flow_progress" && event.details["status"] == "RUNNING").unwrap();
    assert!(warned < wrote, "before the first write");
    project.run(&["--full-refresh-all"]);
    assert_eq!(project.rows(OUT, "SELECT count(*) FROM t"), ["9"]);
}

#[test]
fn p95_killed_between_steps_each_row_is_there_once() {
    for armed in
        ["create::after", "offsets::after", "stage::after", "target::before", "target::after", "commit_entry::before", "target::after=2"]
    {
        let project = sink(&format!("SELECT id, n FROM {}", READ.replace("format", "maxFilesPerTrigger => 1, format")));
        land(&project, "a.json", [1, 2]);
        land(&project, "b.json", [3]);
        let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", armed).output().unwrap();
        assert_eq!(killed.status.code(), None, "{armed}: {}", String::from_utf8_lossy(&killed.stderr));
        project.run(&[]);
        assert_eq!(project.rows(OUT, "SELECT * FROM t"), ["1|10", "2|20", "3|30"], "{armed}");
    }
}

/// What the log of the sink's table says last of its columns and properties.
fn metadata(project: &Project) -> Value {
    let log = project.path().join("out/_delta_log");
    let mut entries: Vec<_> = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    entries.sort();
    let actions = entries.iter().flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_string).collect::<Vec<_>>());
    let actions = actions.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    actions.filter_map(|action| action.get("metaData").cloned()).next_back().unwrap()
}

fn with_table(name: &str, select: &str) -> Project {
    let project = sink(select);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/delta").join(name), &project.path().join("out"));
    land(&project, "a.json", [77]);
    project
}

#[test]
fn tables_of_others_get_rows_and_columns_and_no_other_change() {
    let project = with_table("deletion_vectors", &format!("SELECT id, 'new' AS name, n FROM {READ}"));
    let before = metadata(&project);
    let planned = project.call("validate", &[]);
    assert!(planned.stdout.contains('n') && planned.code == Some(0), "{planned:?}");
    assert_eq!(metadata(&project), before, "validate writes nothing");
    project.run(&[]);
    let after = metadata(&project);
    assert_eq!(after["configuration"], before["configuration"]);
    assert_eq!((&after["id"], &after["partitionColumns"]), (&before["id"], &before["partitionColumns"]));
    assert_eq!(project.columns(OUT).last().map(String::as_str), Some("n"), "added at the end");
    assert_eq!(project.rows(OUT, "SELECT id, name, n FROM t WHERE id >= 12"), ["12|n12|NULL", "77|new|770"]);
    assert!(project.run(&[]).stdout.contains("nothing new"));
    assert_eq!(metadata(&project), after, "and nothing is changed twice");
}

#[test]
fn tables_that_cannot_take_the_rows_are_left_as_they_are() {
    for (table, class) in [
        ("generated", "DELTA_UNSUPPORTED_FEATURES_FOR_WRITE"),
        ("identity", "DELTA_UNSUPPORTED_FEATURES_FOR_WRITE"),
        ("mapping_name", "DELTA_UNSUPPORTED_FEATURES_FOR_WRITE"),
    ] {
        let project = with_table(table, &format!("SELECT id FROM {READ}"));
        let before = fs::read_dir(project.path().join("out/_delta_log")).unwrap().count();
        project.refused("validate", &[], 10, class);
        project.refused("run", &[], 10, class);
        assert_eq!(fs::read_dir(project.path().join("out/_delta_log")).unwrap().count(), before, "{table}");
    }
    let project = with_table("deletion_vectors", &format!("SELECT id, n AS name FROM {READ}"));
    let refused = project.refused("validate", &[], 10, "SINK_SCHEMA_MISMATCH");
    assert!(refused.stderr.contains("column name of the table of sink s is STRING, its flows give BIGINT"), "{}", refused.stderr);
}

#[test]
fn a_table_of_a_pipeline_is_no_sink() {
    let project = plain();
    project.write(
        "transformations/t.sql",
        &format!(
            "CREATE STREAMING TABLE a AS SELECT id, n FROM {READ};
             CREATE SINK s OPTIONS (path => 'lake/s/a');
             CREATE FLOW f AS INSERT INTO s BY NAME SELECT id, n FROM STREAM(a);"
        ),
    );
    project.run(&["--refresh", "a"]);
    project.refused("run", &[], 10, "TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE");
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["2"]);
}

/// The catalog knows a table of the name `s`; the one that the sink writes is another.
#[test]
fn a_sink_with_the_name_of_a_former_table_leaves_its_entry_alone() {
    let project = Project::new(&[("t.sql", &format!("CREATE STREAMING TABLE s AS SELECT id, n FROM {READ};"))]);
    land(&project, "a.json", [1, 2]);
    project.run(&[]);
    let entry = || {
        let text = fs::read_to_string(project.path().join("lake/_floe/graph.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["datasets"]["main.s.s"].clone()
    };
    let former = entry();
    assert!(former.is_object(), "{former}");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/delta/deletion_vectors"), &project.path().join("out"));
    project.write(
        "transformations/t.sql",
        &format!(
            "CREATE SINK s OPTIONS (format => 'delta', path => 'out');
             CREATE FLOW f AS INSERT INTO s BY NAME SELECT id, 'new' AS name FROM {READ} WHERE id = 2;"
        ),
    );
    project.run(&[]);
    land(&project, "b.json", [2]);
    project.run(&[]);
    assert_eq!(project.rows(OUT, "SELECT count(*) FROM t WHERE name = 'new'"), ["2"]);
    let now = entry();
    assert_eq!((&now["table"], &now["kind"]), (&former["table"], &former["kind"]));
    assert_eq!(project.rows("s", "SELECT count(*) FROM t"), ["2"], "the rows of the former table stay");
}

#[test]
fn sinks_of_the_manifest_and_flows_of_several_kinds() {
    let project = Project::new(&[(
        "t.sql",
        &format!(
            "CREATE STREAMING TABLE a AS SELECT id, n FROM {READ};
             CREATE FLOW more AS INSERT INTO lake_out BY NAME SELECT id, n FROM STREAM(a) WHERE id > 1;
             CREATE FLOW old AS INSERT INTO ONCE lake_out BY NAME SELECT -1L AS id, 'x' AS mark;"
        ),
    )]);
    let manifest = fs::read_to_string(project.path().join("pipeline.yaml")).unwrap();
    project.write("pipeline.yaml", &manifest.replace("schema: s", "schema: s, sinks: [{name: lake_out, options: {path: out}}]"));
    land(&project, "a.json", [1, 2]);
    project.run(&[]);
    project.run(&[]);
    assert_eq!(project.rows(OUT, "SELECT id, n, mark FROM t"), ["-1|NULL|x", "2|20|NULL"]);

    // The rows of the table that the sink streams from are made again: the flow begins anew too.
    project.refused("run", &["--full-refresh", "a"], 10, "FULL_REFRESH_BREAKS_STREAM");
    project.run(&["--full-refresh", "a", "--cascade"]);
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["2"]);
    assert_eq!(project.rows(OUT, "SELECT id, n, mark FROM t"), ["-1|NULL|x", "-1|NULL|x", "2|20|NULL", "2|20|NULL"]);
}
