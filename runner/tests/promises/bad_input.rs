//! Bad input: the exit code, the class, the place and the words that help, and everything that was stored is as it was.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::harness::{Ended, Project};

mod data;
mod definition;
mod secret;
mod storage;
mod usage;

/// A stream of JSON lines: what most cases start from.
const BRONZE: &str = "CREATE OR REFRESH STREAMING TABLE bronze
AS SELECT id, n FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT, n INT');
";

fn row(id: u32) -> String {
    format!(r#"{{"id":{id},"n":{}}}"#, id % 1000 * 2)
}

/// A project of these files and one landed file of three rows.
fn project(files: &[(&str, &str)]) -> Project {
    let project = Project::new(files);
    project.land("1.json", (1..=3).map(row));
    project
}

/// All files of user tables, byte by byte: equal trees are equal versions and equal rows.
fn tables(project: &Project) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(&project.path().join("lake/s"), &mut files);
    files
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

/// The process ended with `code`, and what it said has all of `words`; no panic, no internal error.
#[track_caller]
fn says(ended: &Ended, code: i32, words: &[&str]) {
    let said = format!("{}{}", ended.stderr, ended.stdout);
    assert_eq!(ended.code, Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in:\n{said}");
    }
    assert!(!said.contains("panicked") && !said.contains("INTERNAL_ERROR"), "{said}");
}

/// `floe run` is refused before anything is stored.
#[track_caller]
fn refused(project: &Project, words: &[&str]) -> Ended {
    let ended = project.call("run", &[]);
    says(&ended, 10, words);
    assert!(!project.path().join("lake").exists(), "a refused project leaves no storage behind");
    ended
}

/// `floe run` with `arguments` ends with `code` and leaves all user tables as they were.
#[track_caller]
fn changes_nothing(project: &Project, arguments: &[&str], code: i32, words: &[&str]) -> Ended {
    let before = tables(project);
    assert!(!before.is_empty());
    let ended = project.call("run", arguments);
    says(&ended, code, words);
    assert!(tables(project) == before, "stored files changed");
    ended
}
