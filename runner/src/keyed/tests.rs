//! Rows found by key in real tables, compared with what delta-rs finds there.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
        datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt64Type},
        util::pretty::pretty_format_batches,
    },
    catalog::TableProvider,
    prelude::{SessionConfig, SessionContext},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use tempfile::TempDir;

use super::*;
use crate::{
    commit::{
        CommitRequest, RowChange, StagedFiles, TableSpec, TableWriter, TargetTable, WriterMemory, WriterOptions, properties, transaction,
    },
    storage::{Location, testing::storage_in},
};

struct Fixture {
    _directory: TempDir,
    spec: TableSpec,
    table: TargetTable,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
    ]))
}

fn rows(ids: &[Option<i64>], v: i64) -> RecordBatch {
    let names: StringArray = ids.iter().map(|id| id.map(name)).collect();
    let values = Int64Array::from(vec![v; ids.len()]);
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(names), Arc::new(values)]).unwrap()
}

/// Short for some, longer than a view holds for others.
fn name(id: i64) -> String {
    if id % 2 == 0 { format!("n{id}") } else { format!("a name that is long enough {id:09}") }
}

impl Fixture {
    async fn new(partition_by: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let spec = TableSpec {
            dataset: "main.default.t".to_owned(),
            location: storage_in(directory.path()).at("default/t"),
            schema: schema(),
            partition_by: partition_by.iter().map(|&name| name.to_owned()).collect(),
            properties: BTreeMap::new(),
            comment: None,
            pipeline_id: Some("p1".to_owned()),
            rules: Arc::default(),
            verified: None,
        };
        let table = TargetTable::open_or_create(&spec, None).await.unwrap();
        Self { _directory: directory, spec, table }
    }

    async fn append(&self, batches: &[RecordBatch], options: WriterOptions) -> StagedFiles {
        let mut writer = TableWriter::new(&self.table, options).unwrap();
        for batch in batches {
            writer.write(batch).await.unwrap();
        }
        let staged = writer.finish().await.unwrap();
        transaction::append(&self.table, staged.clone(), CommitRequest::default()).await.unwrap();
        staged
    }

    async fn open(&self) -> TableRows {
        TableRows::open(&self.spec.location, self.table.version()).await.unwrap()
    }
}

fn filter(columns: &[&str], keys: &RecordBatch) -> Arc<KeyFilter> {
    let fields: Vec<FieldRef> = columns.iter().map(|name| Arc::new(schema().field_with_name(name).unwrap().clone())).collect();
    let mut builder = KeyFilterBuilder::new(&fields).unwrap();
    let indices: Vec<usize> = columns.iter().map(|name| keys.schema().index_of(name).unwrap()).collect();
    builder.add(&keys.project(&indices).unwrap()).unwrap();
    Arc::new(builder.finish())
}

async fn query(table: Arc<dyn TableProvider>, sql: &str) -> Vec<RecordBatch> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    context.register_table("t", table).unwrap();
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

async fn text(table: Arc<dyn TableProvider>, sql: &str) -> String {
    pretty_format_batches(&query(table, sql).await).unwrap().to_string()
}

async fn other(location: &Location) -> Arc<dyn TableProvider> {
    let table = deltalake::open_table(location.url().clone()).await.unwrap();
    table.table_provider().await.unwrap()
}

async fn found(rows: &TableRows, columns: &SchemaRef, filter: &Arc<KeyFilter>, sql: &str) -> (String, KeyedTotals) {
    let counters = Arc::new(KeyedCounters::default());
    let table = rows.provider(columns, filter, &counters);
    (text(table, sql).await, counters.totals())
}

#[tokio::test]
async fn rows_are_found_by_key_and_their_place_is_told() {
    let fixture = Fixture::new(&[]).await;
    let ids: Vec<Option<i64>> = (0..5000).map(Some).collect();
    fixture.append(&[rows(&ids, 1)], WriterOptions::default()).await;
    fixture.append(&[rows(&ids[..100], 2), rows(&[None, Some(77)], 3)], WriterOptions::default()).await;
    let rows_now = fixture.open().await;
    let wanted = rows(&[Some(5), Some(77), Some(4999), Some(80_000)], 0);
    for key in ["id", "name"] {
        let filter = filter(&[key], &wanted);
        let (here, totals) = found(&rows_now, &schema(), &filter, "SELECT id, name, v FROM t ORDER BY id, v").await;
        let sql = format!(
            "SELECT id, name, v FROM t WHERE {key} IN (SELECT {key} FROM (VALUES (5, '{}'), (77, '{}'), (4999, '{}')) AS w (id, name)) ORDER BY id, v",
            name(5),
            name(77),
            name(4999)
        );
        assert_eq!(here, text(other(&fixture.spec.location).await, &sql).await, "by {key}");
        assert_eq!((totals.files, totals.files_read, totals.rows_found), (2, 2, 6));
    }
    // A place names the same row whatever is asked for, and each row has its own.
    let all = rows_now.provider(&schema(), &Arc::new(KeyFilter::all()), &Arc::default());
    assert_eq!(all.schema().fields().last().unwrap().name(), PLACE);
    let distinct = text(Arc::clone(&all), "SELECT count(*), count(DISTINCT __floe_place) FROM t").await;
    assert!(distinct.contains("| 5102     | 5102"), "{distinct}");
    let mine = text(all, "SELECT __floe_place, v FROM t WHERE id = 77 ORDER BY v").await;
    let narrow = Arc::new(schema().project(&[2]).unwrap());
    let (places, _) = found(&rows_now, &narrow, &filter(&["id"], &rows(&[Some(77)], 0)), "SELECT __floe_place, v FROM t ORDER BY v").await;
    assert_eq!(places, mine);
    assert_eq!(file_and_row(place(3, 9_000_000_000)), (3, 9_000_000_000));
}

#[tokio::test]
async fn null_is_a_key_like_others() {
    let fixture = Fixture::new(&[]).await;
    let ids: Vec<Option<i64>> = (0..3000).map(Some).collect();
    fixture.append(&[rows(&ids, 1)], WriterOptions::default()).await;
    fixture.append(&[rows(&[None], 7)], WriterOptions::default()).await;
    let rows_now = fixture.open().await;
    let by = ["id", "name"];
    let (with_null, totals) = found(&rows_now, &schema(), &filter(&by, &rows(&[None, Some(2)], 0)), "SELECT v FROM t ORDER BY v").await;
    assert!(with_null.contains("| 1 |") && with_null.contains("| 7 |") && totals.rows_found == 2, "{with_null}");
    let (_, totals) = found(&rows_now, &schema(), &filter(&by, &rows(&[Some(2)], 0)), "SELECT v FROM t").await;
    assert_eq!((totals.files_read, totals.rows_found), (1, 1), "a file that holds only NULL is not opened");
    let (_, totals) = found(&rows_now, &schema(), &filter(&by, &rows(&[None], 0)), "SELECT v FROM t").await;
    assert_eq!((totals.files_read, totals.rows_found), (1, 1), "a file without NULL is not opened");
}

#[tokio::test]
async fn of_a_sorted_table_only_the_pages_with_wanted_keys_are_read() {
    let fixture = Fixture::new(&[]).await;
    let options = WriterOptions { target_file_rows: 20_480, ..WriterOptions::keyed(WriterMemory::default()) };
    let batches: Vec<RecordBatch> =
        (0..25_i64).map(|n| rows(&(n * 4096..(n + 1) * 4096).map(|id| Some(id * 10)).collect::<Vec<_>>(), n)).collect();
    let staged = fixture.append(&batches, options).await;
    assert_eq!(staged.adds.len(), 5, "files end at their number of rows");
    let rows_now = fixture.open().await;
    // Clusters, a stray one, and keys between two that are there.
    let wanted: Vec<Option<i64>> = (5000..5100).chain([1_000_000, 15, 25]).map(Some).collect();
    let (here, totals) = found(&rows_now, &schema(), &filter(&["id"], &rows(&wanted, 0)), "SELECT count(*), min(id), max(id) FROM t").await;
    assert!(here.contains("| 11       | 5000      | 1000000   |"), "{here}");
    assert_eq!((totals.files, totals.files_read, totals.groups_read, totals.rows_compared), (5, 2, 2, 2 * 1024));
    let (_, totals) = found(&rows_now, &schema(), &filter(&["id"], &rows(&[Some(-1), Some(5001)], 0)), "SELECT id FROM t").await;
    assert_eq!((totals.files_read, totals.groups_read, totals.rows_compared), (1, 1, 1024), "between two keys of a page");
    let (_, totals) = found(&rows_now, &schema(), &filter(&["id"], &rows(&[Some(-1), Some(9_999_999)], 0)), "SELECT id FROM t").await;
    assert_eq!((totals.files, totals.files_read), (5, 0));
    let (_, all) = found(&rows_now, &schema(), &Arc::new(KeyFilter::all()), "SELECT id FROM t").await;
    assert_eq!((all.files_read, all.rows_found, all.rows_compared), (5, 102_400, 0));
}

#[tokio::test]
async fn keys_may_be_partition_columns_and_columns_that_old_files_lack() {
    let mut fixture = Fixture::new(&["v"]).await;
    fixture.append(&[rows(&[Some(1), Some(2)], 1), rows(&[Some(1)], 2)], WriterOptions::default()).await;
    let key = filter(&["v", "id"], &rows(&[Some(1), Some(3)], 2));
    let (here, totals) = found(&fixture.open().await, &schema(), &key, "SELECT id, v FROM t").await;
    assert!(here.contains("| 1  | 2 |") && totals.files_read == 1 && totals.rows_found == 1, "{here}");
    let only = filter(&["v"], &rows(&[Some(9)], 1));
    assert_eq!(found(&fixture.open().await, &schema(), &only, "SELECT id, v FROM t").await.1.rows_found, 2);

    let mut fields = schema().fields().to_vec();
    let later: FieldRef = Arc::new(Field::new("later", DataType::Utf8, true));
    fields.push(Arc::clone(&later));
    let wider = Arc::new(Schema::new(fields));
    fixture.table.alter(&TableSpec { schema: Arc::clone(&wider), ..fixture.spec.clone() }).await.unwrap();
    let mut builder = KeyFilterBuilder::new(&[later]).unwrap();
    let keys: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    builder.add(&RecordBatch::try_from_iter_with_nullable([("later", keys, true)]).unwrap()).unwrap();
    let (here, _) = found(&fixture.open().await, &wider, &Arc::new(builder.finish()), "SELECT count(*), count(later) FROM t").await;
    assert!(here.contains("| 3        | 0 "), "{here}");
}

#[tokio::test]
async fn any_table_and_any_keys_give_what_a_plain_query_gives() {
    let mut random = StdRng::seed_from_u64(11);
    for round in 0..12 {
        let fixture = Fixture::new(&[]).await;
        let range = if round % 3 == 0 { 50 } else { 200_000 };
        for v in 0..random.random_range(1..4) {
            let mut ids: Vec<Option<i64>> = (0..random.random_range(1..6000)).map(|_| Some(random.random_range(0..range))).collect();
            if round % 2 == 0 {
                ids.sort_unstable();
            }
            ids.push(None);
            let options = WriterOptions { target_file_rows: 2000, page_rows: 1024, ..WriterOptions::default() };
            let batches: Vec<RecordBatch> = ids.chunks(700).map(|ids| rows(ids, v)).collect();
            fixture.append(&batches, options).await;
        }
        let mut wanted: Vec<Option<i64>> = (0..random.random_range(1..300)).map(|_| Some(random.random_range(0..range))).collect();
        wanted.push(None);
        wanted.shuffle(&mut random);
        let columns = [&["id"][..], &["name"], &["id", "name"]][round % 3];
        let by = filter(columns, &rows(&wanted, 0));
        let (here, _) = found(&fixture.open().await, &schema(), &by, "SELECT id, name, v FROM t ORDER BY id, v").await;
        let list = wanted.iter().flatten().map(i64::to_string).collect::<Vec<_>>().join(",");
        let sql = format!("SELECT id, name, v FROM t WHERE id IN ({list}) OR id IS NULL ORDER BY id, v");
        assert_eq!(here, text(other(&fixture.spec.location).await, &sql).await, "round {round}");
    }
}

#[test]
fn a_filter_knows_equal_keys_in_every_layout() {
    let field: FieldRef = Arc::new(Field::new("k", DataType::Float64, true));
    let mut builder = KeyFilterBuilder::new(&[field]).unwrap();
    let keys: ArrayRef = Arc::new(datafusion::arrow::array::Float64Array::from(vec![0.0, f64::NAN, 1.5]));
    builder.add(&RecordBatch::try_from_iter([("k", keys)]).unwrap()).unwrap();
    let filter = builder.finish();
    let asked: ArrayRef = Arc::new(datafusion::arrow::array::Float64Array::from(vec![-0.0, -f64::NAN, 1.5, 2.5]));
    let verdict = filter.matches(&[asked]).unwrap();
    assert_eq!(verdict.values().iter().collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(filter.keys(), Some(3));
    assert!(KeyFilter::all().is_all() && KeyFilter::all().keys().is_none());
}

/// Written by Spark: 100 rows, ten of them deleted and one updated by deletion vectors.
#[tokio::test]
async fn marked_rows_are_not_found() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let location = storage_in(&directory).at("deletion_vectors");
    let rows_now = TableRows::open(&location, 3).await.unwrap();
    let columns = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]));
    let sql = "SELECT id, name FROM t ORDER BY id";
    let (all, _) = found(&rows_now, &columns, &Arc::new(KeyFilter::all()), sql).await;
    assert_eq!(all, text(other(&location).await, sql).await);
    let mut builder = KeyFilterBuilder::new(&[Arc::new(Field::new("id", DataType::Int64, true))]).unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![3, 4, 50]));
    builder.add(&RecordBatch::try_from_iter([("id", keys)]).unwrap()).unwrap();
    let filter = Arc::new(builder.finish());
    let (some, _) = found(&rows_now, &columns, &filter, sql).await;
    assert_eq!(some, text(other(&location).await, "SELECT id, name FROM t WHERE id IN (3, 4, 50) ORDER BY id").await);
    let places = query(rows_now.provider(&columns, &filter, &Arc::default()), "SELECT __floe_place FROM t").await;
    let count: usize = places.iter().map(|batch| batch.column(0).as_primitive::<UInt64Type>().len()).sum();
    assert_eq!(count, 2);
}

/// What a stream of updates by key does, again and again, with and without vectors.
#[tokio::test]
async fn rows_that_were_found_go_and_others_come() {
    for vectors in [true, false] {
        let mut fixture = Fixture::new(&[]).await;
        let property = (properties::DELETION_VECTORS.to_owned(), vectors.to_string());
        fixture.table.alter(&TableSpec { properties: BTreeMap::from([property]), ..fixture.spec.clone() }).await.unwrap();
        let options = WriterOptions { target_file_rows: 3000, ..WriterOptions::keyed(WriterMemory::default()) };
        let ids: Vec<Option<i64>> = (0..10_000).map(Some).collect();
        fixture.append(&ids.chunks(1000).map(|ids| rows(ids, 0)).collect::<Vec<_>>(), options.clone()).await;
        let mut newest: BTreeMap<i64, i64> = (0..10_000).map(|id| (id, 0)).collect();
        let mut random = StdRng::seed_from_u64(5);
        for v in 1..12 {
            let mut touched: Vec<i64> = (0..40).map(|_| random.random_range(0..11_000)).collect();
            touched.sort_unstable();
            touched.dedup();
            let keys: Vec<Option<i64>> = touched.iter().copied().map(Some).collect();
            let before = fixture.open().await;
            let by = filter(&["id"], &rows(&keys, v));
            let found = query(before.provider(&schema(), &by, &Arc::default()), "SELECT __floe_place FROM t").await;
            let places = found.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt64Type>().values().to_vec());
            let mut writer = TableWriter::new(&fixture.table, options.clone()).unwrap();
            writer.write(&rows(&keys, v)).await.unwrap();
            let change = RowChange {
                found_in: before.version(),
                going: before.going(places).unwrap(),
                coming: writer.finish().await.unwrap(),
                change_data: None,
                writers: options.clone(),
                parallelism: 2,
            };
            let request = CommitRequest { transactions: vec![("cdc".to_owned(), v)], ..CommitRequest::default() };
            transaction::change(&fixture.table, change, request).await.unwrap();
            newest.extend(touched.into_iter().map(|id| (id, v)));
        }
        let sql = "SELECT count(*), count(DISTINCT id), sum(id), sum(v), sum(id * v) FROM t";
        let expected = newest.iter().fold((0, 0, 0), |(ids, vs, both), (id, v)| (ids + id, vs + v, both + id * v));
        let theirs = text(other(&fixture.spec.location).await, sql).await;
        let numbers: Vec<i64> = theirs.lines().nth(3).unwrap().split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
        assert_eq!(numbers, [newest.len() as i64, newest.len() as i64, expected.0, expected.1, expected.2], "vectors: {vectors}");
        let (mine, _) = found(&fixture.open().await, &schema(), &Arc::new(KeyFilter::all()), sql).await;
        assert_eq!(mine, theirs);
    }
}
