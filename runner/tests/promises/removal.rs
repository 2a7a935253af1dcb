//! Data go where a policy says so, and nowhere else.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, process::Command};

use serde_json::{Value, json};

use crate::{
    harness::{Ended, Project},
    request::Pod,
};

const A: &str =
    "CREATE OR REFRESH STREAMING TABLE a AS SELECT id FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT');";
const B: &str =
    "CREATE OR REFRESH STREAMING TABLE b (CONSTRAINT odd EXPECT (id % 2 = 1) ON VIOLATION QUARANTINE ROW) AS SELECT id FROM STREAM(a);";
const V: &str = "CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT count(*) AS rows FROM a;";

fn project() -> Project {
    let project = Project::new(&[("a.sql", A), ("b.sql", B), ("v.sql", V)]);
    project.land("0.json", (0..10).map(|id| format!(r#"{{"id":{id}}}"#)));
    project.run(&[]);
    project
}

fn exists(project: &Project, path: &str) -> bool {
    project.path().join("lake").join(path).exists()
}

fn policies(names: &[(&str, &str)]) -> Value {
    names.iter().map(|(name, policy)| json!({"fullName": name, "deletionPolicy": policy})).collect()
}

#[test]
fn p84_a_removed_dataset_goes_with_quarantine_and_checkpoint() {
    let project = project();
    assert!(exists(&project, "s/b_quarantine") && exists(&project, "_floe/checkpoints/b"));
    fs::remove_file(project.path().join("transformations/b.sql")).unwrap();
    fs::remove_file(project.path().join("transformations/v.sql")).unwrap();
    let asked = policies(&[("main.s.B", "Delete"), ("main.s.v", "Retain"), ("main.s.a", "Delete"), ("main.s.never", "Delete")]);
    let pod = Pod::new(&project).with("/removedTables", asked);
    pod.completed();
    for gone in ["s/b", "s/b_quarantine", "_floe/checkpoints/b"] {
        assert!(!exists(&project, gone), "{gone}");
    }
    assert!(exists(&project, "s/v") && exists(&project, "_floe/checkpoints/a"), "what is kept by policy or declared stays");
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["10"]);
    assert_eq!(pod.report()["removedTables"], json!(["main.s.B", "main.s.never"]));
    let events = project.events("SELECT message FROM t WHERE event_type = 'maintenance_progress'");
    assert!(events.contains(&"REMOVE of main.s.B is COMPLETED.".to_string()), "{events:?}");
    // Declared again, it begins anew.
    project.write("transformations/b.sql", B);
    project.run(&[]);
    assert_eq!(project.rows("b", "SELECT count(*) FROM t"), ["5"]);
    assert_eq!(project.rows("b_quarantine", "SELECT count(*) FROM t"), ["5"]);
}

#[test]
fn a_failed_update_removes_nothing() {
    let project = project();
    fs::remove_file(project.path().join("transformations/b.sql")).unwrap();
    project.write(
        "transformations/v.sql",
        &V.replace("AS SELECT", "AS SELECT CAST('x' AS INT) AS n,").replace("CREATE", "SET spark.sql.ansi.enabled = true; CREATE"),
    );
    let pod = Pod::new(&project).with("/removedTables", policies(&[("main.s.b", "Delete")]));
    assert_eq!(pod.run().code, Some(10));
    assert!(exists(&project, "s/b") && pod.report()["removedTables"].is_null());
}

fn cleanup(project: &Project, policy: &str, tables: &Value) -> Ended {
    cleanup_of("shop", project, policy, tables)
}

fn cleanup_of(pipeline: &str, project: &Project, policy: &str, tables: &Value) -> Ended {
    let uri = format!("file://{}/lake", project.path().display());
    let request = json!({
        "apiVersion": "floe.dev/v1alpha1", "kind": "CleanupRequest", "protocol": 1, "operatorVersion": "0.1.0",
        "pipeline": {"name": pipeline, "namespace": "data", "uid": "p", "generation": 3,
            "spec": {"schema": "s", "storage": {"uri": uri}, "deletionPolicy": policy}},
        "tables": tables,
    });
    let file = project.path().join("cleanup.json");
    fs::write(&file, request.to_string()).unwrap();
    let mut floe = Command::new(env!("CARGO_BIN_EXE_floe"));
    floe.args(["cleanup", "--request"]).arg(file).env("FLOE_TERMINATION_LOG", project.path().join("termination")).output().unwrap().into()
}

/// What a clean-up says, which must end well.
fn cleaned(project: &Project, policy: &str, tables: &Value) -> BTreeMap<String, Vec<String>> {
    let ended = cleanup(project, policy, tables);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(project.path().join("termination")).unwrap(), r#"{"exitCode":0}"#);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn o34_exactly_the_directories_of_the_policy_go() {
    let project = project();
    fs::write(project.path().join("lake/notes.txt"), "mine").unwrap();
    let said = cleaned(&project, "Delete", &policies(&[("main.s.v", "Retain")]));
    assert_eq!(
        (said["removed"].as_slice(), said["kept"].as_slice()),
        (["main.s.a".to_string(), "main.s.b".to_string()].as_slice(), ["main.s.v".to_string()].as_slice())
    );
    for gone in ["s/a", "s/b", "s/b_quarantine", "_floe/checkpoints/a", "_floe/checkpoints/b"] {
        assert!(!exists(&project, gone), "{gone}");
    }
    assert!(
        exists(&project, "s/v")
            && exists(&project, "_floe/graph.json")
            && exists(&project, "_floe/event_log")
            && exists(&project, "notes.txt")
    );
    assert_eq!(project.rows("v", "SELECT rows FROM t"), ["10"]);
    // The rest goes too: with the last table also what Floe remembers, and nothing else.
    cleaned(&project, "Delete", &json!([]));
    assert!(!exists(&project, "s") && !exists(&project, "_floe") && exists(&project, "notes.txt"));
    cleaned(&project, "Delete", &json!([]));
}

#[test]
fn o34_retain_keeps_everything() {
    let project = project();
    let said = cleaned(&project, "Retain", &policies(&[("main.s.b", "Delete")]));
    assert_eq!(said["removed"], ["main.s.b"]);
    assert!(!exists(&project, "s/b") && exists(&project, "s/a") && exists(&project, "_floe/checkpoints/a"));
    let said = cleaned(&project, "Retain", &json!([]));
    assert!(said["removed"].is_empty() && exists(&project, "s/a"));
    project.run(&[]);
    assert_eq!(project.rows("b", "SELECT count(*) FROM t"), ["5"], "a pipeline that is made again goes on");
}

#[test]
fn o34_what_another_pipeline_wrote_last_stays() {
    let project = project();
    Pod::new(&project).completed();
    let ended = cleanup_of("copy", &project, "Delete", &json!([]));
    assert_eq!(ended.code, Some(10), "{}", ended.stderr);
    let told = fs::read_to_string(project.path().join("termination")).unwrap();
    assert!(told.contains("STORAGE_OF_ANOTHER_PIPELINE") && told.contains("data/shop wrote this storage last"), "{told}");
    assert!(exists(&project, "s/a/_delta_log") && exists(&project, "s/v/_delta_log") && exists(&project, "_floe/graph.json"));
    // One that takes the storage over has it from its first update on that could be planned.
    project.write("transformations/v.sql", &V.replace("FROM a", "FROM nowhere"));
    assert_eq!(Pod::new(&project).with("/pipeline/name", json!("copy")).run().code, Some(10));
    assert_eq!(cleanup_of("copy", &project, "Delete", &json!([])).code, Some(10));
    project.write("transformations/v.sql", V);
    Pod::new(&project).with("/pipeline/name", json!("copy")).completed();
    assert_eq!(cleanup(&project, "Delete", &json!([])).code, Some(10));
    assert_eq!(cleanup_of("copy", &project, "Delete", &json!([])).code, Some(0));
    assert!(!exists(&project, "s") && !exists(&project, "_floe"));
}

#[test]
fn o34_nothing_outside_of_the_storage_root_goes() {
    let project = project();
    let outside = project.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("precious"), "x").unwrap();
    symlink(&outside, project.path().join("lake/s/a/link")).unwrap();
    // A table that was moved elsewhere, with a link in its place.
    fs::rename(project.path().join("lake/s/v"), outside.join("v")).unwrap();
    symlink(outside.join("v"), project.path().join("lake/s/v")).unwrap();
    cleaned(&project, "Delete", &json!([]));
    assert!(outside.join("precious").exists() && outside.join("v/_delta_log").exists());
    assert!(!exists(&project, "s") && !exists(&project, "_floe"));
}

#[test]
fn a_storage_that_was_never_used_needs_no_cleanup() {
    let project = Project::new(&[("a.sql", A)]);
    let said = cleaned(&project, "Delete", &json!([]));
    assert!(said["removed"].is_empty() && !project.path().join("lake").exists());
}
