//! Commits that take rows out of a table and put others in, read back by delta-rs.

use datafusion::arrow::array::AsArray;
use deltalake::delta_datafusion::DeltaCdfTableProvider;

use super::*;
use crate::{
    commit::action::Add,
    keyed::{KeyFilter, TableRows},
    source::{DeltaSource, ReadCounters},
    storage::Location,
};

fn with(storage: &Storage, name: &str, properties: &[&str]) -> TableSpec {
    let mut spec = spec(storage, name);
    spec.properties.extend(properties.iter().map(|property| ((*property).to_owned(), "true".to_owned())));
    spec
}

const VECTORS: &str = "delta.enableDeletionVectors";
const FEED: &str = "delta.enableChangeDataFeed";

/// The rows of `ids` out of the newest version, `coming` in.
async fn changed(table: &TargetTable, ids: &[i64], coming: std::ops::Range<i64>) -> RowChange {
    let version = table.version();
    let rows_now = TableRows::open(table.location(), version).await.unwrap();
    let found = rows_now.provider(table.schema(), &Arc::new(KeyFilter::all()), &Arc::default());
    let context = SessionContext::new();
    context.register_table("t", found).unwrap();
    let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let sql = format!("SELECT __floe_place FROM t WHERE id IN ({list})");
    let places = context.sql(&sql).await.unwrap().collect().await.unwrap();
    let places =
        places.iter().flat_map(|batch| batch.column(0).as_primitive::<datafusion::arrow::datatypes::UInt64Type>().values().to_vec());
    let coming = if coming.is_empty() { StagedFiles::none(table.location()) } else { staged(table, &[rows(coming)]).await };
    RowChange {
        found_in: version,
        going: rows_now.going(places).unwrap(),
        coming,
        change_data: None,
        writers: WriterOptions::default(),
        parallelism: 2,
    }
}

async fn active(table: &TargetTable) -> Vec<Add> {
    files::active(table.location(), table.version()).await.unwrap()
}

/// Count and sum of ids, by delta-rs, by the scan of queries and by the scan by key.
async fn totals(location: &Location) -> (i64, i64) {
    let sql = "SELECT count(*), sum(id) FROM t";
    let theirs = query(location, sql).await;
    let version = table::newest_version(location, None).await.unwrap().unwrap();
    let scan = DeltaSource::new("t", location.clone()).at_version(version, schema(), &Arc::new(ReadCounters::default())).await.unwrap();
    let by_key = TableRows::open(location, version).await.unwrap().provider(&schema(), &Arc::new(KeyFilter::all()), &Arc::default());
    for provider in [scan, by_key] {
        let context = SessionContext::new();
        context.register_table("t", provider).unwrap();
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        assert_eq!(pretty_format_batches(&batches).unwrap().to_string(), theirs);
    }
    (number(location, "SELECT count(*) FROM t").await, number(location, "SELECT coalesce(sum(id), 0) FROM t").await)
}

#[tokio::test]
async fn rows_leave_by_deletion_vectors_and_their_files_stay() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = with(&storage, "t", &[VECTORS]);
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    assert!(table.has_deletion_vectors());
    append_ids(&table, "a", 0, 0..1000).await;
    append_ids(&table, "a", 1, 1000..1100).await;
    let before = active(&table).await;
    let all_of_one: Vec<i64> = [5, 77].into_iter().chain(1000..1100).collect();
    let change = changed(&table, &all_of_one, 5000..5003).await;
    assert_eq!(change.going.iter().map(|going| going.rows.len()).sum::<u64>(), 102);
    let outcome = transaction::change(&table, change, request("cdc", 0)).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Committed { version: 3 });
    assert_eq!(totals(&spec.location).await, (1001, 499_500 - 82 + 15_003));

    let after = active(&table).await;
    let marked: Vec<&Add> = after.iter().filter(|file| file.deletion_vector.is_some()).collect();
    let [one] = marked[..] else { panic!("{after:?}") };
    assert!(before.iter().any(|file| file.path == one.path && file.size == one.size && file.modification_time == one.modification_time));
    assert_eq!((after.len(), one.rows(), one.live_rows(), one.marked_rows()), (2, Some(1000), Some(998), 2));
    let stats: Value = serde_json::from_str(one.stats.as_deref().unwrap()).unwrap();
    assert_eq!((&stats["tightBounds"], &stats["maxValues"]["id"]), (&false.into(), &999.into()));

    // A second change adds to the vector; the third empties the file.
    transaction::change(&table, changed(&table, &[6, 5001], 0..0).await, request("cdc", 1)).await.unwrap();
    assert_eq!(totals(&spec.location).await, (999, 499_500 - 82 + 15_003 - 6 - 5001));
    assert_eq!(active(&table).await.iter().map(Add::marked_rows).sum::<u64>(), 4);
    let rest: Vec<i64> = (0..1000).collect();
    transaction::change(&table, changed(&table, &rest, 0..0).await, request("cdc", 2)).await.unwrap();
    assert_eq!(totals(&spec.location).await, (2, 10_002));
    assert_eq!(active(&table).await.len(), 1);

    let opened = deltalake::open_table(spec.location.url().clone()).await.unwrap();
    let protocol = opened.snapshot().unwrap().protocol();
    assert_eq!((protocol.min_reader_version(), protocol.min_writer_version()), (3, 7));
}

#[tokio::test]
async fn without_vectors_touched_files_are_written_again_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = TableSpec { partition_by: vec!["name".to_owned()], ..with(&storage, "t", &[]) };
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    let one_name = |ids: std::ops::Range<i64>, name: Option<&str>| {
        let batch = rows(ids);
        let names: StringArray = (0..batch.num_rows()).map(|_| name).collect();
        let columns = vec![Arc::clone(batch.column(0)), Arc::new(names) as ArrayRef, Arc::clone(batch.column(2))];
        RecordBatch::try_new(schema(), columns).unwrap()
    };
    let files =
        staged(&table, &[one_name(0..20_000, Some("a%b")), one_name(20_000..20_010, None), one_name(30_000..30_005, Some("c"))]).await;
    transaction::append(&table, files, request("a", 0)).await.unwrap();
    let before = active(&table).await;
    let gone: Vec<i64> = [0, 7, 9_000].into_iter().chain(20_000..20_010).collect();
    let change = changed(&table, &gone, 0..0).await;
    transaction::change(&table, change, request("cdc", 0)).await.unwrap();
    let sum = (0..20_000).sum::<i64>() - 9_007 + (30_000..30_005).sum::<i64>();
    assert_eq!(totals(&spec.location).await, (20_002, sum));
    let after = active(&table).await;
    let of = |files: &[Add], name: Option<&str>| files.iter().find(|file| file.partition_values["name"].as_deref() == name).cloned();
    assert_eq!(of(&after, Some("c")), of(&before, Some("c")), "a file without going rows stays");
    assert_eq!(of(&after, None), None, "of one without rows nothing is left");
    let written = of(&after, Some("a%b")).unwrap();
    assert!(Some(&written) != of(&before, Some("a%b")).as_ref() && written.deletion_vector.is_none());
    let stats: Value = serde_json::from_str(written.stats.as_deref().unwrap()).unwrap();
    assert_eq!((&stats["numRecords"], &stats["minValues"]["id"], stats.get("tightBounds")), (&19_997.into(), &1.into(), None));
    let rows_now = TableRows::open(&spec.location, table.version()).await.unwrap();
    let context = SessionContext::new();
    context.register_table("t", rows_now.provider(&schema(), &Arc::new(KeyFilter::all()), &Arc::default())).unwrap();
    let sql = "SELECT count(*) FROM (SELECT id, lag(id) OVER (ORDER BY __floe_place) AS p FROM t WHERE name = 'a%b') WHERE id <= p";
    let unsorted = context.sql(sql).await.unwrap().collect().await.unwrap();
    assert_eq!(unsorted[0].column(0).as_primitive::<datafusion::arrow::datatypes::Int64Type>().value(0), 0);
}

#[tokio::test]
async fn a_change_is_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    for properties in [&[VECTORS][..], &[]] {
        let spec = with(&storage, &format!("t{}", properties.len()), properties);
        let table = TargetTable::open_or_create(&spec, None).await.unwrap();
        append_ids(&table, "a", 0, 0..100).await;
        let replay = changed(&table, &[1, 2], 200..202).await;
        transaction::change(&table, changed(&table, &[1, 2], 200..202).await, request("cdc", 0)).await.unwrap();
        let files = spec.location.list("").await.unwrap().len();
        // In this process, in one that opens the table anew, and in one that meets the other's commit.
        let outcome = transaction::change(&table, replay, request("cdc", 0)).await.unwrap();
        assert_eq!(outcome, CommitOutcome::AlreadyCommitted { version: 2 });
        let again = TargetTable::open_or_create(&spec, None).await.unwrap();
        let outcome = transaction::change(&again, changed(&again, &[3], 300..301).await, request("cdc", 0)).await.unwrap();
        assert_eq!(outcome, CommitOutcome::AlreadyCommitted { version: 2 });
        let (first, second) = (TargetTable::open(&spec.location, None).await.unwrap().unwrap(), again);
        let late = RowChange { found_in: 2, ..changed(&second, &[50], 400..401).await };
        transaction::change(&first, changed(&first, &[50], 400..401).await, request("cdc", 1)).await.unwrap();
        let now = spec.location.list("").await.unwrap().len();
        let outcome = transaction::change(&second, late, CommitRequest { absent_until: Some(2), ..request("cdc", 1) }).await.unwrap();
        assert_eq!(outcome, CommitOutcome::AlreadyCommitted { version: 3 });
        assert_eq!(spec.location.list("").await.unwrap().len(), now - 1, "what was staged for a replay is deleted");
        assert!(now > files);
        assert_eq!(number(&spec.location, "SELECT count(*) FROM t").await, 100);
    }
}

#[tokio::test]
async fn a_change_of_rows_that_another_program_changed_meanwhile_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    for properties in [&[VECTORS][..], &[]] {
        let spec = with(&storage, &format!("t{}", properties.len()), properties);
        let table = TargetTable::open_or_create(&spec, None).await.unwrap();
        append_ids(&table, "a", 0, 0..100).await;
        append_ids(&table, "a", 1, 100..200).await;
        let (stale, seen) = (changed(&table, &[5], 0..0).await, changed(&table, &[5], 0..0).await);
        let other = TargetTable::open(&spec.location, None).await.unwrap().unwrap();
        transaction::change(&other, changed(&other, &[50], 0..0).await, request("x", 0)).await.unwrap();
        let files = spec.location.list("").await.unwrap().len();
        let failure = transaction::change(&table, stale, request("cdc", 0)).await.unwrap_err();
        assert_eq!((failure.class, failure.error.as_str()), (FailureClass::Transient, "DELTA_CONCURRENT_WRITE"));
        assert_eq!(spec.location.list("").await.unwrap().len(), files);
        // Seen already, but not by the one who found the rows.
        let table = TargetTable::open(&spec.location, None).await.unwrap().unwrap();
        assert_eq!(transaction::change(&table, seen, request("cdc", 0)).await.unwrap_err().error, "DELTA_CONCURRENT_WRITE");
        // Other files do not matter, and neither do appended ones.
        let rows_of_second = changed(&table, &[150], 900..901).await;
        let other = TargetTable::open(&spec.location, None).await.unwrap().unwrap();
        append_ids(&other, "x", 1, 300..310).await;
        transaction::change(&other, changed(&other, &[60], 0..0).await, request("x", 2)).await.unwrap();
        assert_eq!(transaction::change(&table, rows_of_second, request("cdc", 1)).await.unwrap(), CommitOutcome::Committed { version: 6 });
        assert_eq!(totals(&spec.location).await.0, 200 + 10 + 1 - 3);
    }
}

#[tokio::test]
async fn a_file_keeps_its_vector_through_checkpoints_and_other_readers() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let mut spec = with(&storage, "t", &[VECTORS]);
    spec.properties.insert("delta.checkpointInterval".to_owned(), "3".to_owned());
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    append_ids(&table, "a", 0, 0..1000).await;
    let mut size = size::measure(&spec.location, None, 1).await.unwrap();
    for batch in 0..20 {
        let change = changed(&table, &[batch, batch + 500], 2000 + batch..2001 + batch).await;
        transaction::change(&table, change, request("cdc", batch)).await.unwrap();
        size = size::measure(&spec.location, Some(&size), table.version()).await.unwrap();
    }
    let log = spec.location.list("_delta_log").await.unwrap();
    assert!(log.iter().filter(|entry| entry.location.as_ref().contains("checkpoint.parquet")).count() >= 6);
    for entry in log.iter().filter_map(|entry| entry.location.filename()).filter(|name| name.contains(".json")) {
        if entry < "00000000000000000015" {
            spec.location.delete(&format!("_delta_log/{entry}")).await.unwrap();
        }
    }
    let kept: i64 = (0..1000).sum::<i64>() - (0..20).map(|id| 2 * id + 500).sum::<i64>() + (2000..2020).sum::<i64>();
    assert_eq!(totals(&spec.location).await, (980, kept));
    let files = active(&table).await;
    let one = files.iter().find(|file| file.deletion_vector.is_some()).unwrap();
    assert_eq!((one.marked_rows(), one.live_rows(), one.modification_time > 0), (40, Some(960), true));
    assert!(one.stats.as_deref().unwrap().contains("tightBounds"), "{one:?}");
    assert_eq!((size.rows, size.files, size.version), (Some(980), 21, 21));
    assert_eq!(
        size::TableSize { committed_ms: None, ..size },
        size::TableSize { committed_ms: None, ..size::measure(&spec.location, None, 21).await.unwrap() }
    );
}

/// Rows of the change feed as delta-rs reads it.
async fn feed(location: &Location, from: u64) -> String {
    let table = deltalake::open_table(location.url().clone()).await.unwrap();
    let provider = DeltaCdfTableProvider::try_new(table.scan_cdf().with_starting_version(from)).unwrap();
    let context = SessionContext::new();
    context.register_table("t", Arc::new(provider)).unwrap();
    let plan = context.sql("SELECT _commit_version AS v, _change_type AS c, id, name FROM t").await.unwrap().collect().await.unwrap();
    let context = SessionContext::new();
    let rows = datafusion::datasource::MemTable::try_new(plan[0].schema(), vec![plan]).unwrap();
    context.register_table("t", Arc::new(rows)).unwrap();
    let sorted = context.sql("SELECT * FROM t ORDER BY v, id, c").await.unwrap().collect().await.unwrap();
    pretty_format_batches(&sorted).unwrap().to_string()
}

#[tokio::test]
async fn changes_are_told_to_readers_of_the_change_feed() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    for properties in [&[FEED, VECTORS][..], &[FEED]] {
        let spec = TableSpec { partition_by: vec!["name".to_owned()], ..with(&storage, &format!("t{}", properties.len()), properties) };
        let table = TargetTable::open_or_create(&spec, None).await.unwrap();
        append_ids(&table, "a", 0, 0..5).await;
        let mut writer = ChangeDataWriter::new(&table, WriterOptions::default()).unwrap();
        writer.write(&rows([1, 2]), ChangeType::UpdatePreimage).await.unwrap();
        writer.write(&rows([1, 2]), ChangeType::UpdatePostimage).await.unwrap();
        writer.write(&rows([3]), ChangeType::Delete).await.unwrap();
        writer.write(&rows([9]), ChangeType::Insert).await.unwrap();
        let change_data = Some(writer.finish().await.unwrap());
        let mut change = changed(&table, &[1, 2, 3], 9..10).await;
        change.coming = change.coming.and(staged(&table, &[rows([1, 2])]).await);
        change.change_data = change_data;
        transaction::change(&table, change, request("cdc", 0)).await.unwrap();
        assert_eq!(totals(&spec.location).await, (5, 1 + 2 + 4 + 9));
        let told = feed(&spec.location, 1).await;
        let lines: Vec<String> = told
            .lines()
            .filter(|line| line.contains("sert") || line.contains("date_") || line.contains("delete"))
            .map(|line| line.replace(' ', ""))
            .collect();
        let inserted = (0..5).map(|id| format!("|1|insert|{id}|n{id}|"));
        let changed = ["|2|update_postimage|1|n1|", "|2|update_preimage|1|n1|", "|2|update_postimage|2|n2|", "|2|update_preimage|2|n2|"];
        let changed = changed.into_iter().chain(["|2|delete|3|n3|", "|2|insert|9|n9|"]).map(str::to_owned);
        assert_eq!(lines, inserted.chain(changed).collect::<Vec<_>>(), "{told}");
    }
    let spec = with(&storage, "plain", &[FEED]);
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    append_ids(&table, "a", 0, 0..5).await;
    let failure = transaction::change(&table, changed(&table, &[1], 7..8).await, request("cdc", 0)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Internal);
    assert_eq!(data_files(directory.path().join("default/plain").as_path()), 1, "what was staged is deleted");
}

#[tokio::test]
async fn a_table_gets_the_feature_when_its_property_is_set() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let mut table = TargetTable::open_or_create(&with(&storage, "t", &[FEED]), None).await.unwrap();
    assert_eq!((table.head.protocol.min_writer_version, table.has_deletion_vectors()), (4, false));
    append_ids(&table, "a", 0, 0..10).await;
    assert!(table.alter(&with(&storage, "t", &[FEED, VECTORS])).await.unwrap().version.is_some());
    let protocol = table.head.protocol.clone();
    assert_eq!((protocol.min_reader_version, protocol.min_writer_version), (3, 7));
    assert_eq!(protocol.reader_features.as_deref(), Some(&["deletionVectors".to_owned()][..]));
    let features = ["appendOnly", "invariants", "changeDataFeed", "deletionVectors"].map(str::to_owned);
    assert_eq!(protocol.writer_features.as_deref(), Some(&features[..]));
    transaction::change(&table, changed(&table, &[1], 0..0).await, request("cdc", 0)).await.unwrap();
    assert_eq!(totals(table.location()).await.0, 9);
    // Set off again, the feature stays, vectors are read, and new changes write files again.
    assert!(table.alter(&with(&storage, "t", &[])).await.unwrap().version.is_some());
    assert!(!table.has_deletion_vectors());
    transaction::change(&table, changed(&table, &[2], 0..0).await, request("cdc", 1)).await.unwrap();
    assert_eq!(totals(table.location()).await.0, 8);
    assert!(active(&table).await.iter().all(|file| file.deletion_vector.is_none() && file.rows() == Some(8)));
    assert!(table.alter(&with(&storage, "t", &[])).await.unwrap().version.is_none(), "nothing is raised twice");

    let ntz = DataType::Timestamp(TimeUnit::Microsecond, None);
    let both = properties::protocol(&Schema::new(vec![Field::new("t", ntz, true)]), &with(&storage, "u", &[VECTORS]).properties);
    assert_eq!(both.reader_features, Some(vec!["timestampNtz".to_owned(), "deletionVectors".to_owned()]));
    let only = with(&storage, "only", &["delta.appendOnly"]);
    let table = TargetTable::open_or_create(&only, None).await.unwrap();
    append_ids(&table, "a", 0, 0..3).await;
    let failure = transaction::change(&table, changed(&table, &[1], 0..0).await, request("cdc", 0)).await.unwrap_err();
    assert_eq!(failure.error, "DELTA_CANNOT_MODIFY_APPEND_ONLY");
}

#[tokio::test]
async fn an_overwrite_takes_marked_files_away() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = with(&storage, "t", &[VECTORS]);
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    append_ids(&table, "a", 0, 0..10).await;
    transaction::change(&table, changed(&table, &[1], 0..0).await, request("cdc", 0)).await.unwrap();
    transaction::overwrite(&table, staged(&table, &[rows(0..3)]).await, CommitRequest::default()).await.unwrap();
    assert_eq!(totals(&spec.location).await, (3, 3));
    let nothing = RowChange {
        found_in: 3,
        going: vec![GoingRows { file: active(&table).await.remove(0), marked: None, rows: [7].into_iter().collect() }],
        coming: StagedFiles::none(table.location()),
        change_data: None,
        writers: WriterOptions::default(),
        parallelism: 1,
    };
    assert_eq!(transaction::change(&table, nothing, request("cdc", 1)).await.unwrap_err().class, FailureClass::Internal);
}
