//! Golden files of the shipped examples: what a table must hold (`.jsonl`, one row a line), and how plain SQL computes that (`.sql`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::harness::Project;

/// Set it to write the golden files anew; look at what has changed.
const UPDATE: &str = "FLOE_UPDATE_GOLDEN";

/// A file of a table of an example.
pub fn golden(example: &str, table: &str, kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{example}/{table}.{kind}"))
}

/// The rows of a query, one line of JSON each, in the order of their text.
pub fn lines_of(project: &Project, query: &str) -> Vec<String> {
    let rows = project.sql(query);
    let mut lines: Vec<String> = rows.as_array().unwrap().iter().map(Value::to_string).collect();
    lines.sort();
    lines
}

/// The rows of a table.
pub fn content(project: &Project, table: &str) -> Vec<String> {
    lines_of(project, &format!("SELECT * FROM {table}"))
}

/// Names the first rows that differ.
pub fn assert_same(found: &[String], expected: &[String], what: &str) {
    let only = |these: &[String], those: &[String]| these.iter().filter(|row| !those.contains(row)).take(3).cloned().collect::<Vec<_>>();
    let (more, fewer) = (only(found, expected), only(expected, found));
    assert!(found == expected, "{what}: {} rows instead of {}\nnot expected {more:#?}\nmissing {fewer:#?}", found.len(), expected.len());
}

/// The rows are those of the golden file.
pub fn assert_kept(example: &str, table: &str, found: &[String]) {
    if std::env::var_os(UPDATE).is_some() {
        fs::write(golden(example, table, "jsonl"), found.join("\n") + "\n").unwrap();
    }
    let expected: Vec<String> =
        fs::read_to_string(golden(example, table, "jsonl")).unwrap_or_default().lines().map(str::to_string).collect();
    assert_same(found, &expected, &format!("golden file of {table} ({UPDATE}=1 writes it anew)"));
}
