//! Checkpoints, ledger, lock, catalog, views and resets in real directories.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};

use super::{
    catalog::Catalog,
    format::VERSION,
    ledger::Overwrites,
    reset::{ResetEntry, ResetMarker, StoredResetKind},
    view::ViewPosition,
    *,
};
use crate::{
    failure::FailureClass,
    storage::{
        Storage,
        testing::{CountingStore, storage_in},
    },
};

fn source() -> SourceId {
    SourceId::files("file:///input")
}

fn file(number: i64) -> FileEntry {
    FileEntry { path: format!("file:///input/f{number:06}.json"), size: 10, modified_us: 1_000_000 - number, etag: None }
}

fn offsets(batch: i64, files: impl IntoIterator<Item = i64>) -> BatchOffsets {
    let range = SourceRange::Files { files: files.into_iter().map(file).collect(), seen: Vec::new() };
    BatchOffsets::new(batch, 1000 + batch, BTreeMap::from([(source(), range)]))
}

fn commit(batch: i64) -> BatchCommit {
    BatchCommit::new(batch, Some(batch + 1), BTreeMap::from([(source(), SourcePosition::Files)]))
}

async fn take(checkpoint: &mut Checkpoint, batch: i64, files: impl IntoIterator<Item = i64>) {
    checkpoint.write_offsets(offsets(batch, files)).await.unwrap();
    checkpoint.write_commit(commit(batch)).await.unwrap();
}

async fn open(storage: &Storage) -> Checkpoint {
    Checkpoint::open(storage, "Bronze").await.unwrap()
}

#[tokio::test]
async fn a_checkpoint_remembers_what_was_planned_and_committed() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let mut checkpoint = open(&storage).await;
    assert_eq!((checkpoint.next_batch(), checkpoint.generation(), checkpoint.pending()), (0, 0, None));
    assert!(storage.root().list("").await.unwrap().is_empty(), "opening creates nothing");

    checkpoint.write_offsets(offsets(0, 0..3)).await.unwrap();
    let after_kill = open(&storage).await;
    assert_eq!(after_kill.pending(), Some(&offsets(0, 0..3)));
    assert_eq!(after_kill.next_batch(), 0);
    assert_eq!(after_kill.flow_id(), checkpoint.flow_id());

    checkpoint.write_commit(commit(0)).await.unwrap();
    checkpoint.write_offsets(offsets(1, 3..4)).await.unwrap();
    assert_eq!(checkpoint.target_version(), Some(1));
    checkpoint.write_commit(BatchCommit { target_version: None, ..commit(1) }).await.unwrap();
    let again = open(&storage).await;
    assert_eq!((again.next_batch(), again.target_version(), again.pending()), (2, Some(1), None));
    assert_eq!(again.positions(), &BTreeMap::from([(source(), SourcePosition::Files)]));
    assert_eq!(again.app_id("p1"), "p1/bronze/g0");
    assert!(directory.path().join("_floe/checkpoints/bronze/g0/offsets/1.json").exists());
}

#[tokio::test]
async fn p96_a_second_runner_meets_the_plan_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let (mut one, mut two, mut three) = (open(&storage).await, open(&storage).await, open(&storage).await);
    one.write_offsets(offsets(0, 0..3)).await.unwrap();
    let failure = two.write_offsets(offsets(0, 0..2)).await.unwrap_err();
    assert_eq!((failure.class, failure.error.as_str()), (FailureClass::User, "CONCURRENT_UPDATE"));
    // The same plan is no conflict.
    three.write_offsets(offsets(0, 0..3)).await.unwrap();
    assert_eq!(three.flow_id(), one.flow_id());
    assert_eq!(one.write_offsets(offsets(1, 0..1)).await.unwrap_err().class, FailureClass::Internal);
}

#[tokio::test]
async fn opening_stays_cheap_over_many_batches() {
    let directory = tempfile::tempdir().unwrap();
    let (store, storage) = CountingStore::over(directory.path());
    let mut checkpoint = open(&storage).await;
    for batch in 0..200 {
        take(&mut checkpoint, batch, [batch]).await;
    }
    let entries = storage.root().list("").await.unwrap().len();
    assert!(entries < 60, "{entries} files");
    store.take();
    let checkpoint = open(&storage).await;
    let counts = store.take();
    assert_eq!((counts.lists, counts.gets, counts.heads, counts.puts), (1, 2, 0, 0));
    assert_eq!(checkpoint.next_batch(), 200);
    let taken = checkpoint.ledger().taken().await.unwrap();
    assert_eq!(taken.len(), 200);
    assert_eq!((taken[7].batch, taken[7].taken_us, taken[7].file.clone()), (7, 1007, file(7)));
}

#[tokio::test]
async fn a_new_generation_begins_at_the_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let mut checkpoint = open(&storage).await;
    take(&mut checkpoint, 0, 0..3).await;
    let old_id = checkpoint.flow_id();
    checkpoint.start_generation_at(1, Some("id-of-table")).await.unwrap();
    let mut checkpoint = open(&storage).await;
    assert_eq!((checkpoint.generation(), checkpoint.next_batch(), checkpoint.pending()), (1, 0, None));
    assert!(checkpoint.positions().is_empty() && checkpoint.flow_id() != old_id);
    assert_eq!(checkpoint.target(), Some("id-of-table"));
    assert_eq!(checkpoint.app_id("p1"), "p1/bronze/g1");
    let listing = (0..3).map(file).collect();
    assert_eq!(checkpoint.ledger().unseen(&source(), listing, Overwrites::Ignore).await.unwrap().files.len(), 3);
    checkpoint.start_generation_at(1, None).await.unwrap();
    assert_eq!(checkpoint.generation(), 1, "a reset that is finished again does nothing");
}

#[tokio::test]
async fn unseen_files_come_in_the_order_of_their_times() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let mut checkpoint = open(&storage).await;
    take(&mut checkpoint, 0, [2, 4]).await;
    let mut listing: Vec<FileEntry> = (0..6).map(file).collect();
    listing[4].size = 11;
    let unseen = checkpoint.ledger().unseen(&source(), listing.clone(), Overwrites::Ignore).await.unwrap();
    assert_eq!(unseen.files, [5, 3, 1, 0].map(file));
    assert_eq!(unseen.overwritten, 1);
    let again = checkpoint.ledger().unseen(&source(), listing.clone(), Overwrites::ReadAgain).await.unwrap();
    assert_eq!((again.files.len(), again.overwritten), (5, 1));
    assert!(again.files.contains(&listing[4]));
    let respelled = SourceId::files("file:///input/*.json");
    let other = checkpoint.ledger().unseen(&respelled, listing, Overwrites::Ignore).await.unwrap();
    assert_eq!(other.files, [5, 3, 1, 0].map(file), "the flow has one ledger");
}

#[tokio::test]
async fn a_hundred_thousand_known_files_cost_one_small_read() {
    let directory = tempfile::tempdir().unwrap();
    let (store, storage) = CountingStore::over(directory.path());
    let mut checkpoint = open(&storage).await;
    for batch in 0..100 {
        take(&mut checkpoint, batch, batch * 1000..(batch + 1) * 1000).await;
    }
    let mut listing: Vec<FileEntry> = (0..100_000).map(file).collect();
    let checkpoint = open(&storage).await;
    let ledger = checkpoint.ledger();
    store.take();
    let unseen = ledger.unseen(&source(), listing.clone(), Overwrites::Ignore).await.unwrap();
    assert!(unseen.files.is_empty() && unseen.overwritten == 0);
    let first = store.take();
    assert!(first.gets <= 25, "{first:?}");
    ledger.remember(&unseen).await.unwrap();
    store.take();
    listing.reverse();
    let unseen = open(&storage).await.ledger().unseen(&source(), listing.clone(), Overwrites::Ignore).await.unwrap();
    assert!(unseen.files.is_empty());
    // One listing and two entries by the checkpoint, one by the ledger.
    let second = store.take();
    assert_eq!((second.lists, second.gets), (1, 3));
    listing.push(file(100_000));
    let unseen = ledger.unseen(&source(), listing, Overwrites::Ignore).await.unwrap();
    assert_eq!(unseen.files, [file(100_000)]);
    let segments = storage.at("_floe/checkpoints/bronze/g0/files").list("").await.unwrap();
    let bytes: u64 = segments.iter().map(|segment| segment.size).sum();
    assert!(segments.len() < 10 && bytes < 3_000_000, "{} segments, {bytes} bytes", segments.len());
}

#[tokio::test]
async fn leftovers_of_a_killed_merge_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let mut checkpoint = open(&storage).await;
    let files = directory.path().join("_floe/checkpoints/bronze/g0/files");
    let mut kept: Vec<(std::path::PathBuf, Vec<u8>)> = Vec::new();
    for batch in 0..95 {
        take(&mut checkpoint, batch, [batch]).await;
        for entry in std::fs::read_dir(&files).into_iter().flatten() {
            let path = entry.unwrap().path();
            kept.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    // As if no old segment had been deleted.
    for (path, content) in kept {
        std::fs::write(path, content).unwrap();
    }
    let mut checkpoint = open(&storage).await;
    let taken = checkpoint.ledger().taken().await.unwrap();
    assert_eq!(taken.iter().map(|taken| taken.batch).collect::<Vec<_>>(), (0..95).collect::<Vec<_>>());
    for batch in 95..130 {
        take(&mut checkpoint, batch, [batch]).await;
    }
    let listing: Vec<FileEntry> = (0..131).map(file).collect();
    let unseen = open(&storage).await.ledger().unseen(&source(), listing, Overwrites::Ignore).await.unwrap();
    assert_eq!(unseen.files, [file(130)]);
}

#[tokio::test]
async fn damaged_state_is_named_and_never_guessed() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let mut checkpoint = open(&storage).await;
    take(&mut checkpoint, 0, 0..3).await;
    let entry = directory.path().join("_floe/checkpoints/bronze/g0/commits/0.json");
    std::fs::write(&entry, "{").unwrap();
    let failure = Checkpoint::open(&storage, "bronze").await.unwrap_err();
    assert_eq!(failure.error, "STATE_FILE_CORRUPT");
    assert!(failure.message.contains("commits/0.json") && failure.help.is_some(), "{failure}");
    for (version, error) in [(99, "STATE_FORMAT_TOO_NEW"), (1, "STATE_FORMAT_TOO_OLD")] {
        std::fs::write(&entry, format!(r#"{{"version": {version}}}"#)).unwrap();
        assert_eq!(Checkpoint::open(&storage, "bronze").await.unwrap_err().error, error);
    }
}

#[test]
fn p96_the_lock_names_its_holder() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let held = lock::acquire(&storage, "update-1").unwrap();
    let failure = lock::acquire(&storage, "update-2").unwrap_err();
    assert_eq!((failure.class, failure.error.as_str()), (FailureClass::User, "PIPELINE_LOCKED"));
    let pid = format!("process {}", std::process::id());
    assert!(failure.message.contains(&pid) && failure.message.contains("update-1") && failure.help.is_some(), "{failure}");
    drop(held);
    lock::acquire(&storage, "update-3").unwrap();
}

#[tokio::test]
async fn the_pipeline_id_is_written_once() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    assert_eq!(Catalog::read(&storage).await.unwrap(), None);
    let (one, two) =
        tokio::join!(Catalog::read_or_create(&storage, || "id-1".to_owned()), Catalog::read_or_create(&storage, || "id-2".to_owned()));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one, two);
    one.write(&storage).await.unwrap();
    assert_eq!(Catalog::read(&storage).await.unwrap(), Some(one));
}

#[tokio::test]
async fn generations_before_a_reset_are_deleted_seven_days_later() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let mut checkpoint = open(&storage).await;
    take(&mut checkpoint, 0, 0..3).await;
    checkpoint.delete_outdated(Utc::now() + TimeDelta::days(100)).await.unwrap();
    checkpoint.start_generation_at(1, None).await.unwrap();
    take(&mut checkpoint, 0, 0..2).await;
    let files = async || {
        let listed = storage.at("_floe/checkpoints/bronze").list("").await.unwrap();
        let old = listed.iter().filter(|object| object.location.as_ref().contains("/g0/")).count();
        (old, listed.len() - old)
    };
    assert_eq!(files().await, (3, 3));
    let mut checkpoint = open(&storage).await;
    checkpoint.delete_outdated(Utc::now() + TimeDelta::days(6)).await.unwrap();
    assert_eq!(files().await, (3, 3), "within seven days the old generation stays");
    checkpoint.delete_outdated(Utc::now() + TimeDelta::days(7)).await.unwrap();
    assert_eq!(files().await, (0, 3));
    let checkpoint = open(&storage).await;
    assert_eq!((checkpoint.generation(), checkpoint.next_batch()), (1, 1));
}

#[tokio::test]
async fn views_and_resets_are_remembered_and_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    assert_eq!(view::read(&storage, "v").await.unwrap(), None);
    let position = ViewPosition {
        version: VERSION,
        own_version: 4,
        inputs: BTreeMap::from([("t".to_owned(), StaticVersion { table_id: "x".to_owned(), version: 7 })]),
        files: BTreeMap::new(),
        fingerprint: "f".to_owned(),
        flow_id: uuid::Uuid::new_v4(),
        forgotten: false,
    };
    view::write(&storage, "v", &position).await.unwrap();
    assert_eq!(view::read(&storage, "V").await.unwrap(), Some(position));
    view::forget(&storage, "v", 5).await.unwrap();
    assert_eq!(view::last(&storage, "v").await.unwrap(), None);
    assert_eq!(view::read(&storage, "v").await.unwrap().unwrap().own_version, 5);

    let entry = ResetEntry {
        dataset: "t".to_owned(),
        kind: StoredResetKind::FullRefresh,
        tables: Vec::new(),
        generations: BTreeMap::from([("t".to_owned(), 1)]),
    };
    let marker = ResetMarker { version: VERSION, update: "u1".to_owned(), resets: vec![entry], done: false };
    reset::begin(&storage, &marker).await.unwrap();
    assert_eq!(reset::unfinished(&storage, "u1").await.unwrap(), std::slice::from_ref(&marker));
    reset::end(&storage, &marker, true).await.unwrap();
    assert!(reset::unfinished(&storage, "u1").await.unwrap().is_empty() && reset::is_done(&storage, "u1").await.unwrap());
    // The next update has no use for it.
    assert!(reset::unfinished(&storage, "u2").await.unwrap().is_empty() && !reset::is_done(&storage, "u1").await.unwrap());
    reset::begin(&storage, &marker).await.unwrap();
    reset::end(&storage, &marker, false).await.unwrap();
    assert!(reset::unfinished(&storage, "u1").await.unwrap().is_empty());
}
