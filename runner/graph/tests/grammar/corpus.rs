//! Every file of `tests/corpus` gives what stands in the `.expected` beside it. `FLOE_CORPUS=write` writes these anew; look at the difference.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::case::Case;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

/// The files with an extension, in order.
pub fn all(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), extension, &mut found);
    found.sort();
    found
}

fn outcome(path: &Path) -> String {
    let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
    Case::new(&name, &fs::read_to_string(path).unwrap()).outcome()
}

#[test]
fn every_file_gives_what_is_expected() {
    let writes = std::env::var("FLOE_CORPUS").is_ok_and(|mode| mode == "write");
    let mut wrong = Vec::new();
    for path in all("sql") {
        let (found, beside) = (outcome(&path), path.with_extension("expected"));
        if writes {
            fs::write(&beside, &found).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}\n--- expected\n{expected}\n--- found\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\n{} files; FLOE_CORPUS=write writes what is found", wrong.join("\n\n"), wrong.len());
}

#[test]
fn the_corpus_is_whole() {
    let names = |extension: &str| all(extension).iter().map(|path| path.with_extension("")).collect::<BTreeSet<_>>();
    let (written, expected) = (names("sql"), names("expected"));
    assert!(written.len() >= 150, "{} files", written.len());
    let orphans: Vec<_> = expected.difference(&written).collect();
    assert!(orphans.is_empty(), "nothing gives {orphans:?}");
}

/// Files of these folders are written in a legacy or careless way; the file of the same name with `_clean` says the same as one should.
#[test]
fn p09_p10_p101_other_spellings_give_the_same_graph() {
    let clean: Vec<PathBuf> = all("sql").into_iter().filter(|path| path.to_string_lossy().ends_with("_clean.sql")).collect();
    assert!(clean.len() >= 5, "{} pairs", clean.len());
    // Findings come last, and lints are what differs.
    let graph = |path: &Path| outcome(path).split("\nwarning[").next().unwrap_or_default().trim_end().to_string();
    for path in clean {
        let other = PathBuf::from(path.to_string_lossy().replace("_clean.sql", ".sql"));
        assert_eq!(graph(&other), graph(&path), "{}", other.display());
    }
}
