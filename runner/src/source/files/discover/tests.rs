//! Listings: globs, hidden files, times and order.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use object_store::{ObjectStoreExt, memory::InMemory};
use url::Url;

use super::*;
use crate::storage::Stores;

const NOW: i64 = 1_800_000_000_000_000;

fn filter() -> FileFilter {
    FileFilter { name_pattern: None, recursive: true, modified_after: None, modified_before: None, max_age: None }
}

fn touch(directory: &Path, names: &[&str]) {
    for (seconds, name) in names.iter().enumerate() {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, name).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds as u64);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
}

async fn names(directory: &Path, pattern: &str, filter: &FileFilter) -> Vec<String> {
    let root = FileRoot::parse(pattern, directory, &Stores::new([])).unwrap();
    let prefix = format!("file://{}/", directory.display());
    let files = list(&root, filter, NOW, &|_| {}).await.unwrap();
    files.into_iter().map(|file| file.path.strip_prefix(&prefix).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn p57_hidden_and_temporary_files_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path(), &["_x.json", ".y.json", "z.json.tmp", "w.json._COPYING_", "_log/a.json", ".d/a.json", "k=1/_p=2/b.json", "ok.json"]);
    assert_eq!(names(dir.path(), ".", &filter()).await, ["k=1/_p=2/b.json", "ok.json"]);
}

#[tokio::test]
async fn files_are_sorted_by_time_then_path_and_carry_their_facts() {
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path(), &["z.json", "sub/deep/a.json", "b.json"]);
    assert_eq!(names(dir.path(), ".", &filter()).await, ["z.json", "sub/deep/a.json", "b.json"]);
    let root = FileRoot::parse("z.json", dir.path(), &Stores::new([])).unwrap();
    let files = list(&root, &filter(), NOW, &|_| {}).await.unwrap();
    assert_eq!(files.len(), 1, "a path may name one file");
    assert_eq!((files[0].size, files[0].modified_us), (6, 1_700_000_000_000_000));
}

#[tokio::test]
async fn globs_and_filters_select() {
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path(), &["a/1.json", "a/2.csv", "b/1.json", "c/d/1.json", "top.json"]);
    assert_eq!(names(dir.path(), "{a,b}/*.json", &filter()).await, ["a/1.json", "b/1.json"]);
    assert_eq!(names(dir.path(), "*", &filter()).await, ["a/1.json", "a/2.csv", "b/1.json", "c/d/1.json", "top.json"]);
    let only = |change: &dyn Fn(&mut FileFilter)| {
        let mut filter = filter();
        change(&mut filter);
        filter
    };
    assert_eq!(names(dir.path(), ".", &only(&|f| f.recursive = false)).await, ["top.json"]);
    assert_eq!(names(dir.path(), "c", &only(&|f| f.recursive = false)).await, [""; 0]);
    assert_eq!(names(dir.path(), ".", &only(&|f| f.name_pattern = Some("*.csv".into()))).await, ["a/2.csv"]);
    let second = |n: i64| Some((1_700_000_000 + n) * 1_000_000);
    let between = only(&|f| (f.modified_after, f.modified_before) = (second(0), second(3)));
    assert_eq!(names(dir.path(), ".", &between).await, ["a/2.csv", "b/1.json"]);
    assert_eq!(names(dir.path(), ".", &only(&|f| f.max_age = Some(NOW - second(3).unwrap()))).await, ["top.json"]);
}

#[tokio::test]
async fn a_missing_directory_is_named_and_an_empty_one_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let root = FileRoot::parse("landing", dir.path(), &Stores::new([])).unwrap();
    let failure = list(&root, &filter(), NOW, &|_| {}).await.unwrap_err();
    assert_eq!(failure.error, "PATH_NOT_FOUND");
    assert!(failure.message.contains("/landing does not exist"), "{}", failure.message);
    fs::create_dir(dir.path().join("landing")).unwrap();
    assert_eq!(names(dir.path(), "landing", &filter()).await, [""; 0]);
}

#[tokio::test]
async fn ten_thousand_files_are_listed_with_progress() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..10_000 {
        fs::write(dir.path().join(format!("{n:05}.json")), "").unwrap();
    }
    let told = AtomicU64::new(0);
    let root = FileRoot::parse(".", dir.path(), &Stores::new([])).unwrap();
    let files = list(&root, &filter(), NOW, &|count| told.store(count, Ordering::Relaxed)).await.unwrap();
    assert_eq!((files.len(), told.load(Ordering::Relaxed)), (10_000, 10_000));
}

#[tokio::test]
async fn object_stores_are_listed_by_the_same_rules() {
    let store = InMemory::new();
    for path in ["in/a/1.json", "in/a/_2.json", "in/b/x y.json", "in/b/.h/1.json", "other/1.json"] {
        store.put(&object_store::path::Path::parse(path).unwrap(), "{}".into()).await.unwrap();
    }
    let stores = Stores::new([]).with_store(&Url::parse("memory:///").unwrap(), std::sync::Arc::new(store));
    for (pattern, expected) in [
        ("memory:///in", vec!["memory:///in/a/1.json", "memory:///in/b/x%20y.json"]),
        ("memory:///in/b/*", vec!["memory:///in/b/x%20y.json"]),
        ("memory:///in/a/1.json", vec!["memory:///in/a/1.json"]),
        ("memory:///none", vec![]),
    ] {
        let root = FileRoot::parse(pattern, Path::new("/"), &stores).unwrap();
        let mut found: Vec<_> = list(&root, &filter(), NOW, &|_| {}).await.unwrap().into_iter().map(|file| file.path).collect();
        found.sort();
        assert_eq!(found, expected, "{pattern}");
    }
}
