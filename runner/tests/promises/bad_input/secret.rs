//! The value of a secret parameter is printed nowhere and stored nowhere but where a query selects it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{BRONZE, project};
use crate::harness::Project;

const CANARY: &str = "BEANS-7f3a91";

const MANIFEST: &str = "apiVersion: floe.dev/v1alpha1
kind: Pipeline
metadata: {name: test}
spec:
  schema: s
  parameters:
    - name: salt
      valueFrom: {secretKeyRef: {name: vault, key: salt}}
";

const SALTED: &str = "CREATE MATERIALIZED VIEW alt AS SELECT sha2(concat(:salt, CAST(id AS STRING)), 256) AS alt_id FROM bronze;
";

fn salted(second: &str) -> Project {
    let project = project(&[("1.sql", BRONZE), ("2.sql", second)]);
    project.write("pipeline.yaml", MANIFEST);
    project
}

fn files_with_canary(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_with_canary(&path, found);
        } else if fs::read(&path).unwrap().windows(CANARY.len()).any(|part| part == CANARY.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
}

/// The exit code of `floe` with `arguments`, started in the project; what it printed is free of the canary.
#[track_caller]
fn code(project: &Project, arguments: &[&str]) -> Option<i32> {
    code_with(project, CANARY, arguments)
}

#[track_caller]
fn code_with(project: &Project, secret: &str, arguments: &[&str]) -> Option<i32> {
    let mut floe = Command::new(env!("CARGO_BIN_EXE_floe"));
    floe.args(arguments).current_dir(project.path()).stdin(Stdio::null()).env("FLOE_PARAM_SALT", secret);
    let ended = floe.output().unwrap();
    for text in [&ended.stdout, &ended.stderr] {
        let text = String::from_utf8_lossy(text);
        assert!(!text.contains("BEANS"), "{arguments:?} printed the secret: {text}");
    }
    ended.status.code()
}

#[test]
fn p14_secret_parameter_never_printed() {
    let project = salted(SALTED);
    let without = project.call("run", &[]);
    super::says(&without, 10, &["error[UNBOUND_SQL_PARAMETER]", "FLOE_PARAM_SALT"]);
    let commands: &[&[&str]] = &[
        &["validate"],
        &["validate", "--output", "json"],
        &["run", "-vv"],
        &["run", "--output", "json", "--full-refresh-all"],
        &["explain", "alt"],
        &["explain", "alt", "--output", "json"],
        &["graph"],
        &["graph", "--output", "json"],
        &["events"],
        &["events", "--output", "json"],
    ];
    for arguments in commands {
        assert_eq!(code(&project, arguments), Some(0), "{arguments:?}");
    }
    assert_eq!(project.rows("alt", "SELECT count(DISTINCT alt_id) FROM t"), ["3"]);
    for row in project.events("SELECT details, message, error FROM t") {
        assert!(!row.contains(CANARY), "{row}");
    }
    let mut found = Vec::new();
    files_with_canary(&project.path().join("lake"), &mut found);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn p14_secret_parameter_is_not_in_errors() {
    let project =
        salted("SET spark.sql.ansi.enabled = true;\nCREATE MATERIALIZED VIEW alt AS SELECT CAST(:salt AS INT) + id AS x FROM bronze;\n");
    assert_eq!(code(&project, &["run", "-vv"]), Some(10));
    assert_eq!(code(&project, &["events", "--output", "json"]), Some(0));
    for row in project.events("SELECT details, message, error FROM t") {
        assert!(!row.contains(CANARY), "{row}");
    }
}

/// A secret that a table holds, that a query selects, and that an error quotes: no command prints it, however it must be escaped.
#[test]
fn p14_secret_parameter_is_in_no_output_of_any_command() {
    for secret in [CANARY, "say \"BEANS\"\\n"] {
        let project = salted("CREATE MATERIALIZED VIEW kept AS SELECT :salt AS s, id FROM bronze;\n");
        let code = |arguments: &[&str]| code_with(&project, secret, arguments);
        assert_eq!(code(&["run", "-vv"]), Some(0));
        let ansi = "spark.sql.ansi.enabled=true";
        for form in ["text", "json"] {
            assert_eq!(code(&["sql", "--output", form, "-c", "SELECT s FROM kept"]), Some(0));
            assert_eq!(code(&["sql", "--output", form, "-c", "SELECT :salt AS s, map('k', :salt) AS m"]), Some(0));
            assert_eq!(code(&["sql", "--output", form, "-c", "EXPLAIN SELECT :salt AS s"]), Some(0));
            assert_eq!(code(&["sql", "--output", form, "--set", ansi, "-c", "SELECT CAST(s AS INT) AS n FROM kept"]), Some(10));
            assert_eq!(code(&["sql", "--output", form, "--set", ansi, "-c", "SELECT CAST(:salt AS INT) AS n"]), Some(10));
        }
    }
    let project = salted(&format!("CREATE MATERIALIZED VIEW bad AS SELECT `{CANARY}`, 'x{CANARY}' AS x FROM bronze;\n"));
    for command in ["run", "validate", "graph"] {
        for form in ["text", "json"] {
            assert_eq!(code(&project, &[command, "--output", form]), Some(10), "{command} {form}");
        }
    }
    for form in ["text", "json"] {
        assert_eq!(code(&project, &["explain", "bad", "--output", form]), Some(10));
        assert_eq!(code(&project, &["sql", "--output", form, "-c", "SELECT 1"]), Some(10));
    }
}
