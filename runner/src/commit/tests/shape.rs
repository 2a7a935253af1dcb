//! Columns: altering tables, fitting rows, splitting by partition, limits of files and memory.

use datafusion::arrow::{
    array::{Date32Array, Decimal128Array, ListArray, StringViewArray, StructArray},
    datatypes::{Fields, Int32Type},
};

use super::*;

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

#[tokio::test]
async fn columns_are_added_at_the_end_and_old_rows_are_null() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = spec(&storage, "t");
    let mut table = TargetTable::open_or_create(&spec, None).await.unwrap();
    append_ids(&table, "app", 0, 0..3).await;
    assert_eq!(table.alter(&spec).await.unwrap(), Altered::default());
    assert_eq!(table.version(), 1, "nothing to change writes nothing");

    let price = field("price", DataType::Decimal128(10, 2)).with_metadata([("comment".to_owned(), "in euros".to_owned())].into());
    // The query gives a new column and `name` no more, in another order.
    let wanted = Schema::new(vec![price, field("ID", DataType::Int64), field("at", schema().field(2).data_type().clone())]);
    let wider = TableSpec { schema: Arc::new(wanted), ..spec.clone() };
    let altered = table.alter(&wider).await.unwrap();
    assert_eq!(altered, Altered { added: vec!["price".to_owned()], retyped: Vec::new(), properties: false, version: Some(2) });
    let names: Vec<_> = table.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["id", "name", "at", "price"]);
    let batch = RecordBatch::try_from_iter([
        ("price", Arc::new(Decimal128Array::from(vec![1250]).with_precision_and_scale(10, 2).unwrap()) as ArrayRef),
        ("id", Arc::new(Int64Array::from(vec![9])) as ArrayRef),
    ])
    .unwrap();
    let files = staged(&table, &[batch]).await;
    let stats: Value = serde_json::from_str(files.adds[0].stats.as_deref().unwrap()).unwrap();
    assert_eq!(stats["maxValues"]["price"], serde_json::json!(12.5));
    transaction::append(&table, files, request("app", 1)).await.unwrap();
    let found = query(&spec.location, "select id, name, price from t order by id").await;
    assert!(found.contains("| 2  | n2   |       |") && found.contains("| 9  |      | 12.50 |"), "{found}");
    let reopened = TargetTable::open(&spec.location, None).await.unwrap().unwrap();
    assert_eq!(reopened.schema().field(3).metadata()["comment"], "in euros");
}

#[tokio::test]
async fn what_does_not_fit_needs_a_full_refresh() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = spec(&storage, "t");
    let mut table = TargetTable::open_or_create(&spec, None).await.unwrap();
    append_ids(&table, "app", 0, 0..3).await;
    let refused = [
        TableSpec { schema: Arc::new(Schema::new(vec![field("id", DataType::Utf8)])), ..spec.clone() },
        TableSpec { partition_by: vec!["name".to_owned()], ..spec.clone() },
        TableSpec { schema: Arc::new(Schema::new(vec![Field::new("new", DataType::Utf8, false)])), ..spec.clone() },
    ];
    for wanted in refused {
        let failure = table.alter(&wanted).await.unwrap_err();
        assert_eq!((failure.class, failure.error.as_str()), (FailureClass::User, "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH"), "{failure}");
    }
    assert_eq!(table::newest_version(&spec.location, None).await.unwrap(), Some(1));

    let mut required = schema().fields().to_vec();
    required[0] = Arc::new(Field::new("id", DataType::Int64, false));
    let required = TableSpec { schema: Arc::new(Schema::new(required)), ..spec.clone() };
    assert_eq!(table.alter(&required).await.unwrap().version, Some(2), "no row has NULL there, so the column can be made NOT NULL");
    let batch = RecordBatch::try_from_iter([("name", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]).unwrap();
    let mut writer = TableWriter::new(&table, WriterOptions::default()).unwrap();
    let failure = writer.write(&batch).await.unwrap_err();
    assert_eq!(failure.error, "DELTA_NOT_NULL_CONSTRAINT_VIOLATED");
    assert!(failure.message.contains("`id`"), "{failure}");
    writer.abort().await.unwrap();
}

#[test]
fn rows_are_fitted_by_name_and_type() {
    let nested = DataType::Struct(Fields::from(vec![field("a", DataType::Int64), field("b", DataType::Utf8)]));
    let element = Arc::new(field("element", DataType::Int64));
    let wanted = Arc::new(Schema::new(vec![field("s", nested), field("list", DataType::List(element)), field("text", DataType::Utf8)]));
    let given = StructArray::from(vec![(Arc::new(field("B", DataType::Utf8View)), Arc::new(StringViewArray::from(vec!["x"])) as ArrayRef)]);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
    let batch = RecordBatch::try_from_iter([
        ("TEXT", Arc::new(StringViewArray::from(vec!["long enough for a view to be out of line"])) as ArrayRef),
        ("list", Arc::new(list) as ArrayRef),
        ("s", Arc::new(given) as ArrayRef),
    ])
    .unwrap();
    let fitted = fit::fit(&batch, &wanted).unwrap();
    assert_eq!(fitted.schema(), wanted);
    let shown = pretty_format_batches(&[fitted]).unwrap().to_string();
    assert!(shown.contains("{a: , b: x}") && shown.contains("[1, ]") && shown.contains("out of line"), "{shown}");

    let text = RecordBatch::try_from_iter([("id", Arc::new(StringArray::from(vec!["x2"])) as ArrayRef)]).unwrap();
    assert_eq!(fit::fit(&text, &schema()).unwrap_err().error, "CAST_INVALID_INPUT");
    let extra = RecordBatch::try_from_iter([("other", Arc::new(StringArray::from(vec!["x2"])) as ArrayRef)]).unwrap();
    assert_eq!(fit::fit(&extra, &schema()).unwrap_err().class, FailureClass::Internal);
}

#[tokio::test]
async fn partition_values_of_every_type_are_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = vec![
        field("v", DataType::Int64),
        field("d", DataType::Date32),
        field("at", zoned),
        field("n", DataType::Decimal128(5, 2)),
        field("text", DataType::Utf8),
    ];
    let by = ["d", "at", "n", "text"].map(str::to_owned).to_vec();
    let spec = TableSpec { schema: Arc::new(Schema::new(fields)), partition_by: by, ..spec(&storage, "t") };
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(Date32Array::from(vec![Some(19_000), Some(19_000), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, 1_500_000, 1_500_000]).with_timezone("UTC")),
        Arc::new(Decimal128Array::from(vec![-105, -105, 7]).with_precision_and_scale(5, 2).unwrap()),
        Arc::new(StringArray::from(vec!["k=v", "k=v", ""])),
    ];
    let files = staged(&table, &[RecordBatch::try_new(Arc::clone(&spec.schema), columns).unwrap()]).await;
    assert_eq!((files.adds.len(), files.rows), (2, 3));
    transaction::append(&table, files, request("app", 0)).await.unwrap();
    let found = query(&spec.location, "select v, d, at, n, text from t order by v").await;
    assert!(found.contains("| 2 | 2022-01-08 | 1970-01-01T00:00:01.500Z | -1.05 | k=v  |"), "{found}");
    assert!(found.contains("| 3 |            | 1970-01-01T00:00:01.500Z | 0.07  |      |"), "{found}");
    let binary = TableSpec {
        schema: Arc::new(Schema::new(vec![field("a", DataType::Int64), field("b", DataType::Binary)])),
        partition_by: vec!["b".to_owned()],
        ..super::spec(&storage, "other")
    };
    assert_eq!(TargetTable::open_or_create(&binary, None).await.unwrap_err().error, "INVALID_PARTITION_COLUMN_DATA_TYPE");
}

#[tokio::test]
async fn files_roll_at_their_size_and_partitions_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = TableSpec { partition_by: vec!["name".to_owned()], ..spec(&storage, "many") };
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    let files = staged(&table, &[rows(0..100), rows(0..100)]).await;
    assert_eq!(files.rows, 200);
    assert!(files.adds.len() >= 100 && files.adds.iter().all(|add| add.partition_values.len() == 1));
    transaction::append(&table, files, request("app", 0)).await.unwrap();
    assert_eq!(number(&spec.location, "select count(distinct name) from t").await, 100);

    let plain = super::spec(&storage, "large");
    let table = TargetTable::open_or_create(&plain, None).await.unwrap();
    let mut writer =
        TableWriter::new(&table, WriterOptions { target_file_bytes: 10_000, memory_bytes: 50_000, ..WriterOptions::default() }).unwrap();
    for batch in 0..20 {
        writer.write(&rows(batch * 1000..batch * 1000 + 1000)).await.unwrap();
    }
    let files = writer.finish().await.unwrap();
    assert!(files.adds.len() > 3, "{}", files.adds.len());
    transaction::append(&table, files, request("app", 0)).await.unwrap();
    assert_eq!(number(&plain.location, "select count(distinct id) from t").await, 20_000);

    let before = data_files(directory.path());
    let mut writer = TableWriter::new(&table, WriterOptions::default()).unwrap();
    writer.write(&rows(0..10)).await.unwrap();
    writer.abort().await.unwrap();
    staged(&table, &[rows(0..10)]).await.discard().await.unwrap();
    assert_eq!(data_files(directory.path()), before);
}

#[test]
fn unknown_types_and_features_are_refused_by_name() {
    let union = Schema::new(vec![field("u", DataType::Duration(TimeUnit::Second))]);
    let failure = super::super::schema::to_delta(&union).unwrap_err();
    assert_eq!(failure.error, "DELTA_UNSUPPORTED_TYPE");
    assert!(failure.message.contains("`u`"), "{failure}");
    let failure =
        super::super::schema::from_delta(r#"{"type":"struct","fields":[{"name":"v","type":"variant","nullable":true,"metadata":{}}]}"#);
    assert!(failure.unwrap_err().message.contains("variant"));
}

#[tokio::test]
async fn writers_share_the_memory_that_they_were_given() {
    const LIMIT: u64 = 4 << 20;
    let directory = tempfile::tempdir().unwrap();
    let storage = storage_in(directory.path());
    let spec = TableSpec { partition_by: vec!["name".to_owned()], ..spec(&storage, "t") };
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    let shared = WriterMemory::new(Some(LIMIT));
    let options = WriterOptions { shared: shared.clone(), ..WriterOptions::default() };
    let mut writers: Vec<TableWriter> = (0..3).map(|_| TableWriter::new(&table, options.clone()).unwrap()).collect();
    let mut most = 0;
    for round in 0..30 {
        for writer in &mut writers {
            writer.write(&many_partitions(round)).await.unwrap();
            most = most.max(shared.held_bytes());
        }
    }
    assert!(most > LIMIT / 4 && most <= LIMIT * 2, "{most} bytes");
    let mut rows = 0;
    for writer in writers {
        rows += writer.finish().await.unwrap().rows;
    }
    assert_eq!((rows, shared.held_bytes()), (3 * 30 * 8000, 0));
}

/// 8000 rows that hardly compress, in 40 partitions.
fn many_partitions(round: i64) -> RecordBatch {
    let ids = Int64Array::from_iter_values((0..8000).map(|row| (round * 8000 + row).wrapping_mul(0x5851_f42d_4c95_7f2d)));
    let names: StringArray = (0..8000).map(|row| Some(format!("n{}", row % 40))).collect();
    let times = TimestampMicrosecondArray::from_iter_values((0..8000).map(|row| row * 7919 % 65_536)).with_timezone("UTC");
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(names), Arc::new(times)]).unwrap()
}
