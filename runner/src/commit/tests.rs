//! Tables, writers and commits against real directories, read back by delta-rs.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
        datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
        util::pretty::pretty_format_batches,
    },
    prelude::SessionContext,
};
use futures::TryStreamExt;
use serde_json::Value;

use super::{properties, *};
use crate::{
    failure::FailureClass,
    storage::{
        Storage,
        testing::{CountingStore, storage_in},
    },
};

mod change;
mod concurrency;
mod shape;

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]))
}

pub(super) fn spec(storage: &Storage, name: &str) -> TableSpec {
    TableSpec {
        dataset: format!("main.default.{name}"),
        location: storage.at(&format!("default/{name}")),
        schema: schema(),
        partition_by: Vec::new(),
        properties: BTreeMap::from([("quality".to_owned(), "bronze".to_owned())]),
        comment: Some("raw rows".to_owned()),
        pipeline_id: Some("p1".to_owned()),
        rules: Arc::default(),
        verified: None,
    }
}

pub(super) fn rows(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: Vec<i64> = ids.into_iter().collect();
    let names: StringArray = ids.iter().map(|id| Some(format!("n{id}"))).collect();
    let times = TimestampMicrosecondArray::from_iter_values(ids.iter().map(|id| id * 1_000_000 + 123_456)).with_timezone("UTC");
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(ids)), Arc::new(names), Arc::new(times)]).unwrap()
}

pub(super) async fn staged(table: &TargetTable, batches: &[RecordBatch]) -> StagedFiles {
    let mut writer = TableWriter::new(table, WriterOptions::default()).unwrap();
    for batch in batches {
        writer.write(batch).await.unwrap();
    }
    writer.finish().await.unwrap()
}

pub(super) fn request(app: &str, version: i64) -> CommitRequest {
    CommitRequest { transactions: vec![(app.to_owned(), version)], operation: "STREAMING UPDATE", ..CommitRequest::default() }
}

pub(super) async fn append_ids(table: &TargetTable, app: &str, version: i64, ids: std::ops::Range<i64>) -> CommitOutcome {
    let files = staged(table, &[rows(ids)]).await;
    transaction::append(table, files, request(app, version)).await.unwrap()
}

/// The result of `sql` over the table `t` at `location`, as delta-rs reads it.
pub(super) async fn query(location: &crate::storage::Location, sql: &str) -> String {
    let table = deltalake::open_table(location.url().clone()).await.unwrap();
    let context = SessionContext::new();
    context.register_table("t", table.table_provider().await.unwrap()).unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

/// The single number that `sql` gives.
pub(super) async fn number(location: &crate::storage::Location, sql: &str) -> i64 {
    let text = query(location, sql).await;
    text.lines().nth(3).and_then(|line| line.trim_matches(['|', ' ']).parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

pub(super) fn data_files(directory: &std::path::Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            count += data_files(&entry.path());
        } else {
            count += usize::from(entry.file_name().to_string_lossy().contains("part-"));
        }
    }
    count
}

#[tokio::test]
async fn a_table_is_made_appended_to_and_read_by_others() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = spec(&storage, "bronze");
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    assert!(table.is_new());
    assert_eq!(append_ids(&table, "p1/bronze/g0", 0, 0..100).await, CommitOutcome::Committed { version: 1 });
    assert_eq!(append_ids(&table, "p1/bronze/g0", 1, 100..150).await, CommitOutcome::Committed { version: 2 });

    assert_eq!(number(&spec.location, "select count(*) from t").await, 150);
    assert_eq!(number(&spec.location, "select count(distinct id) from t where name = 'n' || cast(id as varchar)").await, 150);
    let at = query(&spec.location, "select at from t where id = 7").await;
    assert!(at.contains("1970-01-01T00:00:07.123456Z"), "{at}");

    let opened = deltalake::open_table(spec.location.url().clone()).await.unwrap();
    let snapshot = opened.snapshot().unwrap();
    let protocol = snapshot.protocol();
    assert_eq!((protocol.min_reader_version(), protocol.min_writer_version()), (1, 2));
    let configuration = snapshot.metadata().configuration();
    assert_eq!(configuration[properties::PIPELINE_ID], "p1");
    assert_eq!(configuration["delta.checkpointInterval"], "10");
    assert_eq!(configuration["quality"], "bronze");
    assert_eq!(snapshot.metadata().description(), Some("raw rows"));
    let txn = snapshot.transaction_version(opened.log_store().as_ref(), "p1/bronze/g0").await.unwrap();
    assert_eq!(txn, Some(1));
    let history: Vec<_> = opened.history(Some(1)).try_collect().await.unwrap();
    assert_eq!(history[0].is_blind_append, Some(true));
    assert_eq!(history[0].operation.as_deref(), Some("STREAMING UPDATE"));

    let actions = table::commits(&spec.location, 0, 1).await.unwrap().unwrap();
    let add =
        actions[0].actions.iter().find_map(|action| if let action::Action::Add(add) = action { Some(add.clone()) } else { None }).unwrap();
    let stats: Value = serde_json::from_str(add.stats.as_deref().unwrap()).unwrap();
    assert_eq!(stats["numRecords"], 100);
    assert_eq!((&stats["minValues"]["id"], &stats["maxValues"]["id"]), (&0.into(), &99.into()));
    assert_eq!((&stats["minValues"]["name"], &stats["maxValues"]["name"]), (&"n0".into(), &"n99".into()));
    assert_eq!(stats["minValues"]["at"], "1970-01-01T00:00:00.123Z");
    assert_eq!(stats["maxValues"]["at"], "1970-01-01T00:01:39.124Z");
    assert_eq!(stats["nullCount"]["name"], 0);
}

#[tokio::test]
async fn a_batch_that_is_executed_again_is_not_committed_again() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = spec(&storage, "t");
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    append_ids(&table, "app", 0, 0..10).await;
    let files_before = data_files(directory.path());
    // The same process, then one that knows nothing, then one that comes long after.
    assert_eq!(append_ids(&table, "app", 0, 0..10).await, CommitOutcome::AlreadyCommitted { version: 1 });
    let reopened = TargetTable::open_or_create(&spec, None).await.unwrap();
    assert!(!reopened.is_new());
    assert_eq!(append_ids(&reopened, "app", 0, 0..10).await, CommitOutcome::AlreadyCommitted { version: 1 });
    assert_eq!(data_files(directory.path()), files_before, "staged files of a replay are deleted");
    for batch in 0..30 {
        append_ids(&reopened, "other", batch, 0..1).await;
    }
    let late = TargetTable::open_or_create(&spec, Some(table.known())).await.unwrap();
    let outcome = append_ids(&late, "app", 0, 0..10).await;
    assert!(matches!(outcome, CommitOutcome::AlreadyCommitted { .. }), "{outcome:?}");
    assert_eq!(number(&spec.location, "select count(*) from t").await, 40);
    assert_eq!(table::transaction_versions(&spec.location, &["app", "other", "none"]).await.unwrap(), [Some(0), Some(29), None]);
}

#[tokio::test]
async fn a_lost_answer_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let (store, storage) = CountingStore::over(directory.path());
    let spec = spec(&storage, "t");
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    store.lose_next_answer();
    assert_eq!(append_ids(&table, "app", 0, 0..10).await, CommitOutcome::Committed { version: 1 });
    assert_eq!(number(&spec.location, "select count(*) from t").await, 10);
}

#[tokio::test]
async fn files_stay_if_their_commit_may_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let (store, storage) = CountingStore::over(directory.path());
    let spec = spec(&storage, "t");
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    let files = staged(&table, &[rows(0..10)]).await;
    // The first try of the put succeeds, its answer is lost, and then the credentials expire.
    store.deny_log(true);
    let request = CommitRequest { absent_until: Some(table.version()), ..request("app", 0) };
    let failure = transaction::append(&table, files, request).await.unwrap_err();
    assert_eq!((failure.class, data_files(directory.path())), (FailureClass::Storage, 1));
    store.deny_log(false);
    let again = TargetTable::open_or_create(&spec, None).await.unwrap();
    assert_eq!(transaction::recorded(&again, "app", 0).await.unwrap(), Some(1));
    assert_eq!(number(&spec.location, "select count(*) from t").await, 10);
}

#[tokio::test]
async fn tables_and_files_of_others_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let foreign = TableSpec { pipeline_id: Some("other".to_owned()), ..spec(&storage, "t") };
    let theirs = TargetTable::open_or_create(&foreign, None).await.unwrap();
    append_ids(&theirs, "x", 0, 0..3).await;
    let failure = TargetTable::open_or_create(&spec(&storage, "t"), None).await.unwrap_err();
    assert_eq!((failure.class, failure.error.as_str()), (FailureClass::User, "TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE"));
    assert!(failure.message.contains("other") && failure.dataset.as_deref() == Some("main.default.t"), "{failure}");
    assert_eq!(table::newest_version(&foreign.location, None).await.unwrap(), Some(1));

    storage.root().put("default/files/data.csv", "a,b\n").await.unwrap();
    let failure = TargetTable::open_or_create(&spec(&storage, "files"), None).await.unwrap_err();
    assert_eq!(failure.error, "TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE");
    assert_eq!(storage.at("default/files").list("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_overwrite_replaces_rows_and_columns_in_one_commit() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let first = spec(&storage, "view");
    let table = TargetTable::open_or_create(&first, None).await.unwrap();
    let files = staged(&table, &[rows(0..10)]).await;
    let outcome = transaction::overwrite(&table, files, request("p1/view/input", 3)).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Committed { version: 1 });
    // A changed query over the same input version is no replay.
    let files = staged(&table, &[rows(0..10)]).await;
    let outcome = transaction::overwrite(&table, files, request("p1/view/input", 3)).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Committed { version: 2 });
    append_ids(&table, "stray", 0, 50..55).await;

    let fields = vec![Field::new("total", DataType::Int64, true), Field::new("day", DataType::Utf8, true)];
    let mut second = TableSpec { schema: Arc::new(Schema::new(fields)), partition_by: vec!["day".to_owned()], ..first.clone() };
    second.properties.insert(properties::FINGERPRINT.to_owned(), "f2".to_owned());
    let table = TargetTable::open_or_create(&first, Some(table.known())).await.unwrap();
    let next = table.replaced_by(&second).unwrap();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![7, 8])), Arc::new(StringArray::from(vec![Some("a b/ç%"), None]))];
    let batch = RecordBatch::try_new(Arc::clone(&second.schema), columns).unwrap();
    let files = staged(&next, &[batch]).await;
    assert_eq!(files.adds.len(), 2);
    let outcome = transaction::overwrite(&next, files, request("p1/view/input", 4)).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Committed { version: 4 });

    let found = query(&second.location, "select total, day from t order by total").await;
    assert!(found.contains("| 7     | a b/ç% |") && found.contains("| 8     |        |") && found.lines().count() == 6, "{found}");
    let head = TargetTable::open(&second.location, None).await.unwrap().unwrap();
    assert_eq!((head.id(), head.partition_columns()), (table.id(), ["day".to_owned()].as_slice()));
    assert_eq!(head.properties()[properties::FINGERPRINT], "f2");
    assert!(directory.path().join("default/view/day=__HIVE_DEFAULT_PARTITION__").is_dir());
    assert!(directory.path().join("default/view/day=a%20b%2F%C3%A7%25").is_dir());

    // Emptying a table is an overwrite without files; the history stays.
    let table = TargetTable::open_or_create(&second, None).await.unwrap();
    transaction::overwrite(&table, StagedFiles::none(table.location()), CommitRequest::default()).await.unwrap();
    assert_eq!(number(&second.location, "select count(*) from t").await, 0);
    assert_eq!(deltalake::open_table(second.location.url().clone()).await.unwrap().version(), Some(5));
}

#[tokio::test]
async fn an_overwrite_of_a_long_log_removes_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = TableSpec { partition_by: vec!["name".to_owned()], ..spec(&storage, "t") };
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    for batch in 0..25 {
        append_ids(&table, "app", batch, batch..batch + 2).await;
    }
    let files = staged(&table, &[rows(500..501)]).await;
    transaction::overwrite(&table, files, CommitRequest::default()).await.unwrap();
    assert_eq!(number(&spec.location, "select count(*) from t").await, 1);
    assert_eq!(number(&spec.location, "select min(id) from t").await, 500);
}

#[tokio::test]
async fn nan_leaves_no_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Float64, true), Field::new("b", DataType::Float64, true)]));
    let spec = TableSpec { schema: Arc::clone(&schema), ..spec(&storage, "t") };
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Float64Array::from(vec![1.5, f64::NAN])), Arc::new(Float64Array::from(vec![Some(-2.0), None]))];
    let files = staged(&table, &[RecordBatch::try_new(schema, columns).unwrap()]).await;
    let stats: Value = serde_json::from_str(files.adds[0].stats.as_deref().unwrap()).unwrap();
    assert_eq!(stats["minValues"], serde_json::json!({"b": -2.0}));
    assert_eq!(stats["nullCount"], serde_json::json!({"a": 0, "b": 1}));
}

#[tokio::test]
async fn writing_a_thousand_commits_reads_no_more_than_ten() {
    let directory = tempfile::tempdir().unwrap();
    let (store, storage) = CountingStore::over(directory.path());
    let mut spec = spec(&storage, "t");
    // Checkpoints have their own test; here the commits themselves are looked at.
    spec.properties.insert("delta.checkpointInterval".to_owned(), "100000".to_owned());
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    let mut counts = Vec::new();
    for batch in 0..1000 {
        let request = CommitRequest { absent_until: Some(table.version()), ..request("app", batch) };
        store.take();
        transaction::append(&table, StagedFiles::none(table.location()), request).await.unwrap();
        counts.push(store.take());
    }
    assert_eq!(counts[10], counts[999]);
    assert_eq!((counts[999].gets, counts[999].heads, counts[999].lists, counts[999].puts), (0, 0, 0, 1));

    // The next process knows the table from the catalog: two looks at the newest version, no content.
    let again = TargetTable::open_or_create(&spec, Some(table.known())).await.unwrap();
    let opened = store.take();
    assert_eq!((opened.gets, opened.heads, opened.lists), (0, 2, 0));
    assert_eq!(again.version(), 1000);
}
