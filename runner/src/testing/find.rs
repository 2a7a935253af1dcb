//! The tests of a project on disk: `tests/<name>/input/`, `expected/`, `test.yaml`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use floe_crds::text::nearest;
use floe_graph::origin::{Diagnostic, Origin};

use super::{TestFile, refused};
use crate::{failure::Failure, storage::io_failure};

/// The folder of a project that holds its tests.
const FOLDER: &str = "tests";
/// What a file name may say at most: each is an update.
const MOST_BATCHES: u32 = 1_000;

/// One test, before its files are read.
#[derive(Clone, Debug)]
pub struct Found {
    pub name: String,
    /// The folder of expected files, which may not be there.
    pub expected_folder: TestFile,
    pub settings: Option<TestFile>,
    pub inputs: Vec<RowsFile>,
    pub expected: Vec<RowsFile>,
}

/// A file of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsFile {
    pub file: TestFile,
    /// The dataset as the file's name has it.
    pub dataset: String,
    /// Micro-batch, from 1.
    pub batch: u32,
    pub format: Format,
}

/// The forms of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
}

/// The tests below `root` whose names hold `filter`, by name.
pub fn cases(root: &Path, filter: Option<&str>) -> Result<Vec<Found>, Failure> {
    let folder = root.join(FOLDER);
    let none = |message: String| Failure::user("NO_TESTS_FOUND", message);
    if !folder.is_dir() {
        return Err(none(format!("{} has no folder {FOLDER}", root.display()))
            .help("a test is a folder tests/<name> with rows in input/<dataset>.json and expected/<dataset>.json"));
    }
    let mut names: Vec<String> = folders(&folder)?;
    names.sort();
    let all = names.clone();
    if let Some(filter) = filter {
        names.retain(|name| name.contains(filter));
        if names.is_empty() {
            let failure = none(format!("no test has {filter:?} in its name"));
            return Err(match nearest(filter, all.iter().map(String::as_str)) {
                Some(near) => failure.help(format!("did you mean {near}?")),
                None => failure.help(format!("there are: {}", all.join(", "))),
            });
        }
    }
    if names.is_empty() {
        return Err(none(format!("{} holds no tests", folder.display())).help("make a folder in it, one per test"));
    }
    let mut findings = Vec::new();
    let mut cases = Vec::new();
    for name in names {
        cases.push(case(&folder.join(&name), &name, &mut findings)?);
    }
    if findings.is_empty() { Ok(cases) } else { Err(refused(findings)) }
}

fn folders(folder: &Path) -> Result<Vec<String>, Failure> {
    let is_test = |path: &PathBuf| path.is_dir();
    let names = entries(folder)?.into_iter().filter(|(_, path)| is_test(path));
    Ok(names.map(|(name, _)| name).collect())
}

/// Names and paths in a folder; hidden ones are none.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let unreadable = |error| io_failure("read", &folder.display().to_string(), error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn case(folder: &Path, name: &str, findings: &mut Vec<Diagnostic>) -> Result<Found, Failure> {
    let file = |part: &str| TestFile { path: folder.join(part), place: format!("{FOLDER}/{name}/{part}") };
    let (mut settings, mut parts) = (None, 0);
    for (part, path) in entries(folder)? {
        match part.as_str() {
            "input" | "expected" if path.is_dir() => parts += 1,
            "test.yaml" | "test.yml" => settings = Some(file(&part)),
            other => {
                let known = ["input", "expected", "test.yaml"];
                let near = nearest(other, known.into_iter()).map(|near| format!("did you mean {near}?"));
                let readable = other.to_lowercase().ends_with(".md");
                if !readable {
                    findings.push(
                        wrong(&file(&part).place, format!("{part} is no part of a test"))
                            .help(near.unwrap_or_else(|| "a test has the folders input and expected, and a file test.yaml".to_string())),
                    );
                }
            }
        }
    }
    if parts == 0 {
        let place = format!("{FOLDER}/{name}");
        findings.push(
            wrong(&place, format!("test {name} has neither input nor expected"))
                .help(format!("write rows into {place}/input/<dataset>.json; --update-expected then writes what comes out")),
        );
    }
    let inputs = rows_files(&file("input"), true, findings)?;
    let expected = rows_files(&file("expected"), false, findings)?;
    Ok(Found { name: name.to_string(), expected_folder: file("expected"), settings, inputs, expected })
}

fn wrong(place: &str, message: String) -> Diagnostic {
    Diagnostic::error("TEST_FILE_NOT_KNOWN", message).at(&Origin::new(place, 1, 1))
}

fn rows_files(folder: &TestFile, has_batches: bool, findings: &mut Vec<Diagnostic>) -> Result<Vec<RowsFile>, Failure> {
    if !folder.path.is_dir() {
        return Ok(Vec::new());
    }
    let mut files: Vec<RowsFile> = Vec::new();
    for (name, path) in entries(&folder.path)? {
        let file = TestFile { path, place: format!("{}/{name}", folder.place) };
        let found = match rows_file(&name, file.clone(), has_batches) {
            Ok(found) => found,
            Err(finding) => {
                findings.push(finding.at(&file.at(1, 1)));
                continue;
            }
        };
        let same = files.iter().find(|known| known.dataset.eq_ignore_ascii_case(&found.dataset) && known.batch == found.batch);
        match same {
            Some(known) => findings.push(wrong(&found.file.place, format!("{} says the same rows", known.file.place)).help("keep one")),
            None => files.push(found),
        }
    }
    Ok(files)
}

/// `<dataset>[.n].json|csv`.
fn rows_file(name: &str, file: TestFile, has_batches: bool) -> Result<RowsFile, Diagnostic> {
    let error = |message: String, help: &str| Diagnostic::error("TEST_FILE_NOT_KNOWN", message).help(help);
    let (stem, format) = match name.rsplit_once('.') {
        Some((stem, "json" | "jsonl" | "ndjson")) => (stem, Format::Json),
        Some((stem, "csv")) => (stem, Format::Csv),
        _ => return Err(error(format!("{name} has no rows that can be read"), "rows are files <dataset>.json or <dataset>.csv")),
    };
    let number = stem.rsplit_once('.').filter(|(_, last)| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    let (dataset, batch) = match number {
        Some(_) if !has_batches => {
            return Err(error(
                format!("{name} has a number"),
                "what is expected is what is there after the last micro-batch: leave it out",
            ));
        }
        Some((dataset, number)) => {
            let batch = number.parse().ok().filter(|number| (1..=MOST_BATCHES).contains(number));
            let batch = batch.ok_or_else(|| error(format!("{number} is no number of a micro-batch"), "the first is 1, the last 1000"))?;
            (dataset, batch)
        }
        None => (stem, 1),
    };
    Ok(RowsFile { file, dataset: dataset.to_string(), batch, format })
}
