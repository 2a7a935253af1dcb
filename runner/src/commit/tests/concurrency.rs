//! Several committers at once, checkpoints of the log, and versions that others write.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_committers_lose_and_double_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    for round in 0..20 {
        let spec = spec(&storage, &format!("t{round}"));
        // Two processes: each opens the table itself. Both replay the batch of the other once.
        let (a, b) = tokio::join!(TargetTable::open_or_create(&spec, None), TargetTable::open_or_create(&spec, None));
        let (a, b) = (a.unwrap(), b.unwrap());
        let one = async {
            append_ids(&a, "a", 0, 0..10).await;
            append_ids(&a, "shared", 0, 100..110).await;
            append_ids(&a, "a", 1, 10..20).await;
        };
        let two = async {
            append_ids(&b, "shared", 0, 100..110).await;
            append_ids(&b, "b", 0, 20..30).await;
            append_ids(&b, "b", 1, 30..40).await;
        };
        tokio::join!(one, two);
        let sums = query(&spec.location, "select count(*) as n, count(distinct id) as d from t").await;
        assert!(sums.contains("| 50 | 50 |"), "round {round}: {sums}");
        assert_eq!(table::newest_version(&spec.location, Some(0)).await.unwrap(), Some(5));
    }
}

#[tokio::test]
async fn checkpoints_of_the_log_come_every_ten_commits() {
    let directory = tempfile::tempdir().unwrap();
    let (store, storage) = CountingStore::over(directory.path());
    let spec = spec(&storage, "t");
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    for batch in 0..45 {
        append_ids(&table, "app", batch, batch..batch + 1).await;
    }
    assert!(directory.path().join("default/t/_delta_log/00000000000000000040.checkpoint.parquet").exists());
    store.take();
    let fresh = TargetTable::open_or_create(&spec, None).await.unwrap();
    assert_eq!((fresh.version(), fresh.id()), (45, table.id()));
    let counts = store.take();
    assert!(counts.gets < 25, "{counts:?}");
    assert_eq!(append_ids(&fresh, "app", 44, 0..1).await, CommitOutcome::AlreadyCommitted { version: 45 });
    assert_eq!(number(&spec.location, "select count(*) from t").await, 45);
}

#[tokio::test]
async fn a_schema_that_changed_meanwhile_stops_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = spec(&storage, "t");
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    let mut other = TargetTable::open_or_create(&spec, None).await.unwrap();
    let files = staged(&table, &[rows(0..5)]).await;
    let mut wider = spec.clone();
    wider.properties.insert("quality".to_owned(), "silver".to_owned());
    other.alter(&wider).await.unwrap();
    let failure = transaction::append(&table, files, request("app", 0)).await.unwrap_err();
    assert_eq!((failure.class, failure.error.as_str()), (FailureClass::Transient, "DELTA_METADATA_CHANGED"));
    assert_eq!(data_files(directory.path()), 0);
    let table = TargetTable::open_or_create(&wider, Some(table.known())).await.unwrap();
    assert_eq!(append_ids(&table, "app", 0, 0..5).await, CommitOutcome::Committed { version: 2 });
}

#[tokio::test]
async fn the_newest_version_is_found_from_any_known_one() {
    let directory = tempfile::tempdir().unwrap();
    let (store, storage) = CountingStore::over(directory.path());
    let spec = spec(&storage, "t");
    assert_eq!(table::newest_version(&spec.location, Some(3)).await.unwrap(), None);
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    for batch in 0..30 {
        append_ids(&table, "app", batch, 0..1).await;
    }
    for known in [None, Some(0), Some(5), Some(22), Some(29), Some(30)] {
        assert_eq!(table::newest_version(&spec.location, known).await.unwrap(), Some(30), "{known:?}");
    }
    store.take();
    table::newest_version(&spec.location, Some(30)).await.unwrap();
    let counts = store.take();
    assert_eq!((counts.gets, counts.heads, counts.lists), (0, 2, 0));
    // Cleaned up entries before the checkpoint do not hide newer versions.
    for version in 0..10 {
        std::fs::remove_file(directory.path().join(format!("default/t/_delta_log/{version:020}.json"))).unwrap();
    }
    assert_eq!(table::newest_version(&spec.location, Some(3)).await.unwrap(), Some(30));
    assert!(table::commits(&spec.location, 3, 30).await.unwrap().is_none());
    let again = TargetTable::open_or_create(&spec, None).await.unwrap();
    assert_eq!(append_ids(&again, "app", 29, 0..1).await, CommitOutcome::AlreadyCommitted { version: 30 });
}

#[tokio::test]
async fn a_table_that_was_made_again_proves_nothing_about_old_versions() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = spec(&storage, "t");
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    for batch in 0..5 {
        append_ids(&table, "app", batch, 0..1).await;
    }
    std::fs::remove_dir_all(directory.path().join("default/t")).unwrap();
    let table = TargetTable::open_or_create(&spec, Some(table.known())).await.unwrap();
    assert!(table.is_new());
    let files = staged(&table, &[rows(0..5)]).await;
    let stale = CommitRequest { absent_until: Some(5), ..request("app", 5) };
    assert_eq!(transaction::append(&table, files, stale).await.unwrap(), CommitOutcome::Committed { version: 1 });
    assert_eq!(number(&spec.location, "select count(*) from t").await, 5);
}

#[tokio::test]
async fn another_table_with_the_known_version_is_not_taken_for_the_known_one() {
    let directory = tempfile::tempdir().unwrap();
    let (store, storage) = CountingStore::over(directory.path());
    let spec = spec(&storage, "t");
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    append_ids(&table, "app", 0, 0..1).await;
    let known = TargetTable::open(&spec.location, None).await.unwrap().unwrap().known();
    store.take();
    let same = TargetTable::open(&spec.location, Some(known.clone())).await.unwrap().unwrap();
    let counts = store.take();
    assert_eq!((same.known(), counts.gets, counts.heads, counts.lists), (known.clone(), 0, 2, 0));
    std::fs::remove_dir_all(directory.path().join("default/t")).unwrap();
    let made_again = TargetTable::open_or_create(&spec, None).await.unwrap();
    append_ids(&made_again, "app", 0, 0..1).await;
    assert_eq!(made_again.version(), known.version);
    let found = TargetTable::open(&spec.location, Some(known.clone())).await.unwrap().unwrap();
    assert_eq!((found.id(), found.version()), (made_again.id(), 1));
    append_ids(&made_again, "app", 1, 0..1).await;
    let found = TargetTable::open(&spec.location, Some(known)).await.unwrap().unwrap();
    assert_eq!((found.id(), found.version()), (made_again.id(), 2));
}
