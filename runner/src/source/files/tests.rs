//! Files of all formats to rows: columns, broken records, compressions, metadata.

mod bounds;
mod damage;
mod sample;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::Path as FilePath,
};

use bytes::Bytes;
use datafusion::{
    arrow::{
        array::{AsArray, Int32Array, RecordBatch, StringArray},
        datatypes::{DataType, Field, Fields, Int64Type, Schema, TimeUnit},
        util::pretty::pretty_format_batches,
    },
    error::DataFusionError,
    parquet::arrow::ArrowWriter,
    prelude::SessionContext,
};
use object_store::{ObjectStoreExt, memory::InMemory};
use url::Url;

use floe_graph::relation::OptionPlaces;

use super::*;
use crate::source::{ReadTotals, read_failure};

/// A read of the files of one directory.
struct Read {
    format: &'static str,
    path: String,
    options: Vec<(&'static str, &'static str)>,
    schema: Vec<Field>,
    stores: Stores,
}

impl Read {
    fn new(format: &'static str, directory: &FilePath, schema: Vec<Field>) -> Self {
        let path = directory.display().to_string();
        Self { format, path, options: vec![], schema, stores: Stores::new([]) }
    }

    fn with(mut self, key: &'static str, value: &'static str) -> Self {
        self.options.push((key, value));
        self
    }

    fn source(&self) -> FileSource {
        let kind = RelationKind::Files { path: self.path.clone(), format: self.format.to_owned() };
        let mut options: BTreeMap<_, _> = self.options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        // The columns are those that the test gives to the provider; a test of inference says `inferred`.
        if options.remove("inferred").is_none() && !matches!(self.format, "text" | "binaryfile" | "binaryFile") {
            options.insert("schema".to_owned(), "given BOOLEAN".to_owned());
        }
        let relation = Relation { kind, streaming: true, options, origin: None, given: OptionPlaces::default() };
        FileSource::new(&relation, FilePath::new("/"), &self.stores).unwrap()
    }

    async fn query(&self, sql: &str) -> Result<(Vec<RecordBatch>, ReadTotals), Failure> {
        let source = self.source();
        let files = source.list(i64::MAX, &|_| {}).await?;
        self.query_files(sql, files).await
    }

    async fn query_files(&self, sql: &str, files: Vec<FileEntry>) -> Result<(Vec<RecordBatch>, ReadTotals), Failure> {
        let counters = Arc::new(ReadCounters::default());
        let schema = Arc::new(Schema::new(self.schema.clone()));
        let table = self.source().provider(files, schema, &counters)?;
        let context = SessionContext::new();
        context.register_table("t", table).unwrap();
        let batches = context.sql(sql).await.unwrap().collect().await.map_err(failure_of)?;
        Ok((batches, counters.totals()))
    }

    async fn text(&self, sql: &str) -> String {
        let (batches, _) = self.query(sql).await.unwrap();
        lines(&batches)
    }
}

fn failure_of(error: DataFusionError) -> Failure {
    read_failure(error).unwrap_or_else(|error| panic!("not a failure of a read: {error}"))
}

/// The cells of all rows, one line per row.
fn lines(batches: &[RecordBatch]) -> String {
    let table = pretty_format_batches(batches).unwrap().to_string();
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(1);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>().join(",");
    rows.map(cells).collect::<Vec<_>>().join("\n")
}

fn big(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn metadata() -> Field {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = Fields::from(vec![
        text("file_path"),
        text("file_name"),
        big("file_size"),
        big("file_block_start"),
        big("file_block_length"),
        Field::new("file_modification_time", instant, true),
    ]);
    Field::new("_metadata", DataType::Struct(fields), true)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn p18_base64_text_fills_a_binary_column() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.json"), "{\"value\":\"eyJhIjoxfQ==\",\"n\":1}\n{\"value\":\"?\",\"n\":2}\n").unwrap();
    let read = Read::new("json", dir.path(), vec![Field::new("value", DataType::Binary, true), big("n")]);
    assert_eq!(read.text("SELECT CAST(value AS VARCHAR), n FROM t").await, "{\"a\":1},1\n,2");
}

#[tokio::test]
async fn p64_a_truncated_file_fails_the_read_or_is_skipped_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let content: String = (0..50_000).map(|n| format!("{{\"a\":{n}}}\n")).collect();
    fs::write(dir.path().join("1.json.gz"), gzip(b"{\"a\":-1}\n")).unwrap();
    let broken = gzip(content.as_bytes());
    fs::write(dir.path().join("2.json.gz"), &broken[..broken.len() / 2]).unwrap();
    fs::write(dir.path().join("3.json.gz"), gzip(b"{\"a\":-3}\n")).unwrap();
    let read = Read::new("json", dir.path(), vec![big("a")]);
    let failure = read.query("SELECT * FROM t").await.unwrap_err();
    assert_eq!(failure.error, "FAILED_READ_FILE.NO_HINT");
    assert!(failure.message.contains("2.json.gz"), "{}", failure.message);
    let read = read.with("ignorecorruptfiles", "true");
    let (batches, totals) = read.query("SELECT * FROM t ORDER BY a").await.unwrap();
    assert_eq!(lines(&batches), "-3\n-1");
    assert_eq!((totals.rows, totals.corrupt_files.len()), (2, 1));
    assert!(totals.corrupt_files[0].ends_with("2.json.gz"));
}

#[tokio::test]
async fn p65_malformed_records_by_mode() {
    let dir = tempfile::tempdir().unwrap();
    // The last record is half a record at the end of the file.
    fs::write(dir.path().join("a.json"), "{\"a\":1}\n\n{oops\n{\"a\":\"x\"}\n{\"a\":2").unwrap();
    let schema = || vec![big("a"), text("_corrupt_record")];
    let sql = "SELECT * FROM t";
    let (batches, totals) = Read::new("json", dir.path(), schema()).query(sql).await.unwrap();
    assert_eq!(lines(&batches), "1,\n,{oops\n,\n,{\"a\":2");
    assert_eq!((totals.rows, totals.corrupt_records, totals.files), (4, 2, 1));
    let (batches, totals) = Read::new("json", dir.path(), schema()).with("mode", "DROPMALFORMED").query(sql).await.unwrap();
    assert_eq!((lines(&batches).as_str(), totals.rows, totals.corrupt_records), ("1,\n,", 4, 2));
    let failure = Read::new("json", dir.path(), schema()).with("mode", "FAILFAST").query(sql).await.unwrap_err();
    assert_eq!(failure.error, "MALFORMED_RECORD_IN_PARSING");
    assert!(failure.message.contains("a.json") && failure.message.contains("line 3"), "{}", failure.message);
}

#[tokio::test]
async fn csv_records_of_another_width_keep_their_fields() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), "a,b,c\n1,2,3\n4,5\n6,7,8,9\n").unwrap();
    let schema = vec![big("a"), big("b"), big("c"), text("_corrupt_record"), text("_rescued_data")];
    let read = Read::new("csv", dir.path(), schema).with("header", "true").with("rescueddatacolumn", "_rescued_data");
    let sql = "SELECT a, b, c, _corrupt_record, starts_with(_rescued_data, '{\"_c3\":\"9\"') FROM t ORDER BY a";
    let (batches, totals) = read.query(sql).await.unwrap();
    assert_eq!(lines(&batches), "1,2,3,,\n4,5,,4,5,\n6,7,8,6,7,8,9,true");
    assert_eq!((totals.rows, totals.corrupt_records), (3, 2));
}

#[tokio::test]
async fn a_short_first_record_of_a_csv_file_is_the_malformed_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), "c,3\nd,4,z\ne,5,w\n").unwrap();
    let schema = || vec![text("_c0"), big("_c1"), text("_c2"), text("_rescued_data")];
    let read = || Read::new("csv", dir.path(), schema()).with("inferred", "true");
    let (batches, totals) = read().query("SELECT * FROM t ORDER BY _c0").await.unwrap();
    assert_eq!((lines(&batches).as_str(), totals.corrupt_records), ("c,3,,\nd,4,z,\ne,5,w,", 1));
    assert_eq!(read().with("mode", "DROPMALFORMED").text("SELECT _c0, _c2 FROM t ORDER BY _c0").await, "d,z\ne,w");
}

#[tokio::test]
async fn csv_decimals_are_rounded_and_a_name_that_stands_twice_means_its_first_column() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), "v,n,v\n1.999,12.5,x\n-1.999,-12.4,y\n").unwrap();
    let decimal = |name: &str, precision, scale| Field::new(name, DataType::Decimal128(precision, scale), true);
    let read = Read::new("csv", dir.path(), vec![decimal("v", 6, 2), decimal("n", 4, 0)]).with("header", "true");
    assert_eq!(read.text("SELECT v, n FROM t ORDER BY v").await, "-2.00,-12\n2.00,13");
}

#[tokio::test]
async fn p66_the_metadata_column_tells_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a b.json"), "{\"a\":1}\n").unwrap();
    fs::write(dir.path().join("c.json"), "{\"a\":2}\n").unwrap();
    let read = Read::new("json", dir.path(), vec![big("a"), metadata()]);
    let found =
        read.text("SELECT a, _metadata['file_name'], _metadata['file_size'], _metadata['file_block_start'] FROM t ORDER BY a").await;
    assert_eq!(found, "1,a b.json,8,0\n2,c.json,8,0");
    let path = read.text("SELECT _metadata['file_path'] FROM t WHERE a = 1").await;
    assert_eq!(path, format!("file://{}/a%20b.json", dir.path().display()));
    let (batches, totals) = read.query("SELECT count(*) FROM t").await.unwrap();
    assert_eq!((lines(&batches).as_str(), totals.rows), ("2", 2));
}

#[tokio::test]
async fn all_compressions_are_read_by_suffix() {
    let dir = tempfile::tempdir().unwrap();
    let content = b"{\"a\":1}\n{\"a\":2}";
    let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz2.write_all(content).unwrap();
    let mut snappy = snap::write::FrameEncoder::new(Vec::new());
    snappy.write_all(content).unwrap();
    let files = [
        ("a.json", content.to_vec()),
        ("b.json.gz", gzip(content)),
        ("c.json.bz2", bz2.finish().unwrap()),
        ("d.json.zst", zstd::encode_all(&content[..], 1).unwrap()),
        ("e.json.snappy", snappy.into_inner().unwrap()),
        ("empty.json", vec![]),
        ("blank.json", b"\n  \n".to_vec()),
    ];
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let (batches, totals) = Read::new("json", dir.path(), vec![big("a")]).query("SELECT sum(a), count(*) FROM t").await.unwrap();
    assert_eq!(lines(&batches), "15,10");
    assert_eq!((totals.rows, totals.files, totals.corrupt_records), (10, 7, 0));
}

#[tokio::test]
async fn a_planned_file_that_is_gone_is_an_error_unless_ignored() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.json"), "{\"a\":1}").unwrap();
    fs::write(dir.path().join("b.json"), "{\"a\":2}").unwrap();
    let read = Read::new("json", dir.path(), vec![big("a")]);
    let files = read.source().list(0, &|_| {}).await.unwrap();
    fs::remove_file(dir.path().join("b.json")).unwrap();
    let failure = read.query_files("SELECT * FROM t", files.clone()).await.unwrap_err();
    assert_eq!(failure.error, "FILE_NOT_EXIST");
    assert!(failure.message.contains("b.json"), "{}", failure.message);
    let (batches, totals) = read.with("ignoremissingfiles", "true").query_files("SELECT * FROM t", files).await.unwrap();
    assert_eq!((lines(&batches).as_str(), totals.missing_files, totals.files), ("1", 1, 1));
}

#[tokio::test]
async fn documents_and_arrays_are_read_with_multi_line() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.json"), "{\n \"a\": 1\n}\n").unwrap();
    fs::write(dir.path().join("b.json"), "\u{feff}[\n {\"a\": 2},\n {\"a\": 3}\n]").unwrap();
    let read = Read::new("json", dir.path(), vec![big("a")]).with("multiline", "true");
    assert_eq!(read.text("SELECT a FROM t ORDER BY a").await, "1\n2\n3");
}

#[tokio::test]
async fn directories_give_partition_columns_that_the_schema_names() {
    let dir = tempfile::tempdir().unwrap();
    for (day, content) in [("day=1/c=x%2Fy", "{\"a\":1}"), ("day=__HIVE_DEFAULT_PARTITION__/c=z", "{\"a\":2,\"day\":9}")] {
        fs::create_dir_all(dir.path().join(day)).unwrap();
        fs::write(dir.path().join(day).join("f.json"), content).unwrap();
    }
    let schema = || vec![big("day"), big("a"), text("C")];
    assert_eq!(Read::new("json", dir.path(), schema()).text("SELECT * FROM t ORDER BY a").await, "1,1,x/y\n,2,z");
    let none = Read::new("json", dir.path(), schema()).with("partitioncolumns", "");
    assert_eq!(none.text("SELECT * FROM t ORDER BY a").await, ",1,\n9,2,");
}

#[tokio::test]
async fn each_file_has_its_own_path_columns() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("k=7")).unwrap();
    for (name, content) in [("a.csv", "1,2,x\n"), ("k=7/b.csv", "3,y\n"), ("c.csv", "4,5,z\n")] {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let schema = || vec![big("a"), big("k"), text("s")];
    assert_eq!(Read::new("csv", dir.path(), schema()).text("SELECT * FROM t ORDER BY a").await, "1,2,x\n3,7,y\n4,5,z");

    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("k=7")).unwrap();
    for (name, content) in [("a.json", r#"{"a":1,"k":2}"#), ("k=7/b.json", r#"{"a":3,"k":9}"#)] {
        fs::write(dir.path().join(name), content).unwrap();
    }
    assert_eq!(Read::new("json", dir.path(), schema()).text("SELECT a, k FROM t ORDER BY a").await, "1,2\n3,7");
}

#[tokio::test]
async fn csv_is_read_by_position_or_by_the_names_of_the_header() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), "skip me\nb;a;c\n# comment\n\"x;\"\"y\"\"\";1;2024-01-02 03:04:05\n;x;\n1;2\n\"\";3;bad\n")
        .unwrap();
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = vec![big("a"), text("b"), Field::new("c", instant, true), text("_corrupt_record"), text("missing")];
    let read = Read::new("csv", dir.path(), schema).with("sep", ";").with("header", "true").with("skiprows", "1").with("comment", "#");
    let (batches, totals) = read.query("SELECT a, b, b IS NULL, c, _corrupt_record, missing FROM t").await.unwrap();
    assert_eq!(lines(&batches), "1,x;\"y\",false,2024-01-02T03:04:05Z,,\n,,true,,,\n2,1,false,,1;2,\n3,,false,,,");
    assert_eq!((totals.rows, totals.corrupt_records), (4, 1));
    let by_position = Read::new("csv", dir.path(), vec![text("x"), text("y"), text("z")]).with("sep", ";").with("mode", "DROPMALFORMED");
    assert_eq!(by_position.text("SELECT z FROM t LIMIT 1").await, "c");
    let fail = Read::new("csv", dir.path(), vec![text("x")]).with("sep", ";").with("mode", "FAILFAST");
    let failure = fail.query("SELECT * FROM t").await.unwrap_err();
    assert!(failure.message.contains("line 2: 3 fields where 1 are expected"), "{}", failure.message);
}

#[tokio::test]
async fn csv_values_are_typed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), "true,1,1.5,12.345,2024-02-30,x\nTRUE, 300 ,NaN,1e1,2024-02-29,NA\nyes,,inf,,,\n").unwrap();
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let schema = vec![
        field("b", DataType::Boolean),
        field("i", DataType::Int8),
        field("d", DataType::Float64),
        field("n", DataType::Decimal128(5, 2)),
        field("day", DataType::Date32),
        text("s"),
    ];
    let read = Read::new("csv", dir.path(), schema).with("nullvalue", "NA");
    assert_eq!(read.text("SELECT b, i, d, day, s, s IS NULL FROM t").await, "true,1,1.5,,x,false\ntrue,,NaN,2024-02-29,,true\n,,,,,false");
}

#[tokio::test]
async fn parquet_columns_are_matched_by_name_and_cast() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("ID", DataType::Int32, true), text("name"), text("extra")]));
    let columns: Vec<datafusion::arrow::array::ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), None])),
        Arc::new(StringArray::from(vec!["x", "7"])),
        Arc::new(StringArray::from(vec!["e", "e"])),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(dir.path().join("a.parquet")).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    fs::write(dir.path().join("empty.parquet"), "").unwrap();
    let read = Read::new("parquet", dir.path(), vec![big("name"), text("missing"), big("id"), metadata()]);
    assert_eq!(read.text("SELECT id, name, missing, _metadata['file_name'] FROM t").await, "1,,,a.parquet\n,7,,a.parquet");
    fs::write(dir.path().join("bad.parquet"), "PAR1 this is no parquet").unwrap();
    let failure = read.query("SELECT id FROM t").await.unwrap_err();
    assert_eq!(failure.error, "FAILED_READ_FILE.NO_HINT");
    assert!(failure.message.contains("bad.parquet"), "{}", failure.message);
    let (batches, totals) = read.with("ignorecorruptfiles", "true").query("SELECT count(*) FROM t").await.unwrap();
    assert_eq!((lines(&batches).as_str(), totals.corrupt_files.len()), ("2", 1));
}

#[tokio::test]
async fn text_and_binary_files_have_their_own_columns() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), "one\r\n\ntwo").unwrap();
    assert_eq!(Read::new("text", dir.path(), vec![text("value")]).text("SELECT value FROM t").await, "one\n\ntwo");
    let schema = vec![text("path"), big("length"), Field::new("content", DataType::Binary, true)];
    let read = Read::new("binaryFile", dir.path(), schema);
    let (batches, _) = read.query("SELECT length, content FROM t").await.unwrap();
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 9);
    assert_eq!(batches[0].column(1).as_binary::<i32>().value(0), b"one\r\n\ntwo");
    fs::write(dir.path().join("latin1.txt"), b"caf\xe9").unwrap();
    let failure = Read::new("text", dir.path(), vec![text("value")]).query("SELECT * FROM t").await.unwrap_err();
    assert!(failure.message.contains("latin1.txt") && failure.message.contains("not UTF-8"), "{}", failure.message);
}

#[tokio::test]
async fn files_of_an_object_store_are_read_like_local_ones() {
    let store = InMemory::new();
    let put = async |path: &str, bytes: Vec<u8>| {
        store.put(&object_store::path::Path::parse(path).unwrap(), Bytes::from(bytes).into()).await.unwrap();
    };
    put("in/1.json", b"{\"a\":1}\n".to_vec()).await;
    put("in/d/2.json.gz", gzip(b"{\"a\":2}")).await;
    let stores = Stores::new([]).with_store(&Url::parse("memory:///").unwrap(), Arc::new(store));
    let read = Read { path: "memory:///in".into(), stores, ..Read::new("json", FilePath::new("/"), vec![big("a")]) };
    assert_eq!(read.text("SELECT a FROM t ORDER BY a").await, "1\n2");
}

#[tokio::test]
async fn batches_stay_small_and_rows_complete_over_many_large_reads() {
    let dir = tempfile::tempdir().unwrap();
    let filler = "x".repeat(200);
    let content: String = (0..100_000).map(|n| format!("{{\"a\":{n},\"s\":\"{filler}\"}}\n")).collect();
    fs::write(dir.path().join("a.json"), &content).unwrap();
    let long = "y".repeat(9 << 20);
    fs::write(dir.path().join("b.json"), format!("{{\"a\":-1,\"s\":\"{long}\"}}\n{{\"a\":-2}}")).unwrap();
    let (batches, totals) = Read::new("json", dir.path(), vec![big("a"), text("s")]).query("SELECT * FROM t").await.unwrap();
    assert!(batches.iter().all(|batch| batch.num_rows() <= reader::BATCH_ROWS));
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 100_002);
    assert_eq!((totals.rows, totals.bytes), (100_002, content.len() as u64 + long.len() as u64 + 24));
}
