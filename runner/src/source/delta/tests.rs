//! Streams and versions of Delta tables, with the requests that they cost.

use std::collections::BTreeMap;

use datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, RecordBatch, StringArray},
        datatypes::{DataType, Field, Schema},
        util::pretty::pretty_format_batches,
    },
    prelude::{SessionConfig, SessionContext, col, lit},
};
use deltalake::DeltaTable;
use floe_graph::source_options::{BatchLimits, DeltaStart};
use tempfile::TempDir;

use super::*;
use crate::{
    commit::{CommitRequest, StagedFiles, TableSpec, TableWriter, TargetTable, WriterOptions, transaction},
    source::read_failure,
    storage::{
        Location,
        testing::{CountingStore, storage_in},
    },
};

/// A table partitioned by `topic`, and the source over it.
struct Fixture {
    directory: TempDir,
    spec: TableSpec,
    table: TargetTable,
    source: DeltaSource,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("topic", DataType::Utf8, true), Field::new("id", DataType::Int64, true)]))
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let spec = TableSpec {
            dataset: "main.default.src".to_owned(),
            location: storage_in(directory.path()).at("default/src"),
            schema: schema(),
            partition_by: vec!["topic".to_owned()],
            properties: BTreeMap::new(),
            comment: None,
            pipeline_id: Some("p1".to_owned()),
            rules: Arc::default(),
            verified: None,
        };
        let table = TargetTable::open_or_create(&spec, None).await.unwrap();
        let source = DeltaSource::new("main.default.src", spec.location.clone());
        Self { directory, spec, table, source }
    }

    /// One commit with one file per topic.
    async fn append(&self, rows: &[(&str, i64)]) {
        let staged = self.staged(rows).await;
        let request = CommitRequest { operation: "STREAMING UPDATE", ..CommitRequest::default() };
        transaction::append(&self.table, staged, request).await.unwrap();
    }

    async fn staged(&self, rows: &[(&str, i64)]) -> StagedFiles {
        let topics: StringArray = rows.iter().map(|(topic, _)| Some(*topic)).collect();
        let ids: Int64Array = rows.iter().map(|(_, id)| Some(*id)).collect();
        let batch = RecordBatch::try_new(schema(), vec![Arc::new(topics) as ArrayRef, Arc::new(ids)]).unwrap();
        let mut writer = TableWriter::new(&self.table, WriterOptions::default()).unwrap();
        writer.write(&batch).await.unwrap();
        writer.finish().await.unwrap()
    }

    /// The table as another program sees it.
    async fn other(&self) -> DeltaTable {
        deltalake::open_table(self.spec.location.url().clone()).await.unwrap()
    }

    async fn plan(&self, options: DeltaStreamOptions, position: Option<i64>, newest: i64) -> Result<DeltaPlan, Failure> {
        let position = position.map(|version| SourcePosition::Delta { table_id: self.table.id().to_owned(), version });
        self.source.plan(&options, position.as_ref(), newest).await
    }

    async fn appended(&self, options: DeltaStreamOptions, range: (Option<i64>, i64), sql: &str) -> (String, crate::source::ReadTotals) {
        let counters = Arc::new(ReadCounters::default());
        let table = self.source.appended(&options, range, schema(), &counters).await.unwrap();
        (query(table, sql).await.unwrap(), counters.totals())
    }
}

async fn query(table: Arc<dyn TableProvider>, sql: &str) -> Result<String, Failure> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    context.register_table("t", table).unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.map_err(|error| read_failure(error).unwrap())?;
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
    let cells = |line: &str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(",");
    Ok(rows.map(cells).collect::<Vec<_>>().join("\n"))
}

fn ranges(plan: &DeltaPlan) -> Vec<(Option<i64>, i64, u64)> {
    let range = |planned: &PlannedRange| match &planned.range {
        SourceRange::Delta { from, to, .. } => (*from, *to, planned.files),
        other => panic!("not a range of a table: {other:?}"),
    };
    plan.ranges.iter().map(range).collect()
}

const DEFAULT: DeltaStreamOptions = DeltaStreamOptions {
    changes: false,
    skip_change_commits: false,
    start: DeltaStart::Snapshot,
    limits: BatchLimits { max_files: 1000, max_bytes: None },
};
const SKIP: DeltaStreamOptions = DeltaStreamOptions { skip_change_commits: true, ..DEFAULT };
const ALL: &str = "SELECT * FROM t ORDER BY id";

#[tokio::test]
async fn the_first_start_reads_the_snapshot_and_the_next_one_what_was_added() {
    let fixture = Fixture::new().await;
    fixture.append(&[("a", 1), ("b", 2)]).await;
    let first = fixture.plan(DEFAULT, None, 1).await.unwrap();
    assert_eq!((ranges(&first), first.table_id.as_str()), (vec![(None, 1, 2)], fixture.table.id()));
    assert!(first.ranges[0].bytes > 0);
    let (rows, totals) = fixture.appended(DEFAULT, (None, 1), ALL).await;
    assert_eq!(rows, "a,1\nb,2");
    assert_eq!((totals.rows, totals.files), (2, 2));

    fixture.append(&[("a", 3)]).await;
    fixture.append(&[("c", 4)]).await;
    assert_eq!(ranges(&fixture.plan(DEFAULT, Some(1), 3).await.unwrap()), [(Some(1), 3, 2)]);
    let (rows, totals) = fixture.appended(DEFAULT, (Some(1), 3), "SELECT id, topic FROM t ORDER BY id").await;
    assert_eq!((rows.as_str(), totals.rows), ("3,a\n4,c", 2));
    let mut files = stream::appended_files(&fixture.source, &DEFAULT, 1, 3).await.unwrap();
    for file in &mut files {
        file.rows = None;
    }
    let counters = Arc::new(ReadCounters::default());
    let table = scan::DataFiles::new(&fixture.spec.location, files, &schema(), Arc::clone(&counters)).unwrap();
    assert_eq!(query(Arc::new(table), "SELECT count(*) FROM t").await.unwrap(), "2");
    assert_eq!(counters.totals().rows, 2, "files without statistics are counted by their footers");
    let counted = fixture.appended(DEFAULT, (Some(1), 3), "SELECT count(*) FROM t").await.0;
    assert_eq!(counted, "2");
}

#[tokio::test]
async fn without_news_nothing_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let (store, storage) = CountingStore::over(directory.path());
    let source = DeltaSource::new("t", storage.at("default/t")).identified("id");
    let plan = source.plan(&DEFAULT, Some(&SourcePosition::Delta { table_id: "id".to_owned(), version: 7 }), 7).await.unwrap();
    assert!(plan.ranges.is_empty() && plan.skipped.is_empty());
    let counts = store.take();
    assert_eq!((counts.gets, counts.heads, counts.lists), (0, 0, 0));
    let other = source
        .identified("other")
        .plan(&DEFAULT, Some(&SourcePosition::Delta { table_id: "id".to_owned(), version: 7 }), 7)
        .await
        .unwrap_err();
    assert_eq!(other.error, "STREAMING_SOURCE_REPLACED");
}

#[tokio::test]
async fn limits_cut_micro_batches_between_commits() {
    let fixture = Fixture::new().await;
    for id in 0..6 {
        fixture.append(&[("a", id), ("b", id)]).await;
    }
    let limited = |max_files, max_bytes| DeltaStreamOptions { limits: BatchLimits { max_files, max_bytes }, ..DEFAULT };
    let plan = fixture.plan(limited(5, None), Some(0), 6).await.unwrap();
    assert_eq!(ranges(&plan), [(Some(0), 2, 4), (Some(2), 4, 4), (Some(4), 6, 4)]);
    let plan = fixture.plan(limited(1, None), Some(4), 6).await.unwrap();
    assert_eq!(ranges(&plan), [(Some(4), 5, 2), (Some(5), 6, 2)], "a commit is never cut");
    let plan = fixture.plan(limited(1000, Some(1)), Some(4), 6).await.unwrap();
    assert_eq!(ranges(&plan), [(Some(4), 5, 2), (Some(5), 6, 2)]);
}

#[tokio::test]
async fn limits_cut_the_first_snapshot_and_it_goes_on_where_it_ended() {
    let fixture = Fixture::new().await;
    for id in 0..5 {
        fixture.append(&[("a", id)]).await;
    }
    let limited = DeltaStreamOptions { limits: BatchLimits { max_files: 2, max_bytes: None }, ..DEFAULT };
    let part = |from, to| SourceRange::Snapshot { table_id: fixture.table.id().to_owned(), version: 5, from, to, last: to == 5 };
    let first = fixture.plan(limited, None, 5).await.unwrap();
    let planned: Vec<_> = first.ranges.iter().map(|planned| (planned.range.clone(), planned.files)).collect();
    assert_eq!(planned, [(part(0, 2), 2), (part(2, 4), 2), (part(4, 5), 1)]);

    let counters = Arc::new(ReadCounters::default());
    let rows = fixture.source.snapshot_part(5, (2, 4), schema(), &counters).await.unwrap();
    assert_eq!(query(rows, ALL).await.unwrap(), "a,2\na,3");

    fixture.append(&[("a", 5)]).await;
    let rest = fixture.source.plan(&limited, Some(&part(2, 4).end()), 6).await.unwrap();
    let added = SourceRange::Delta { table_id: fixture.table.id().to_owned(), from: Some(5), to: 6 };
    assert_eq!(rest.ranges.into_iter().map(|planned| planned.range).collect::<Vec<_>>(), [part(4, 5), added]);
    assert_eq!(part(4, 5).end(), SourcePosition::Delta { table_id: fixture.table.id().to_owned(), version: 5 });
    let bytes = DeltaStreamOptions { limits: BatchLimits { max_files: 1000, max_bytes: Some(1) }, ..DEFAULT };
    assert_eq!(fixture.plan(bytes, None, 5).await.unwrap().ranges.len(), 5);
}

#[tokio::test]
async fn p26_a_change_commit_stops_the_stream_or_is_skipped_as_a_whole() {
    let fixture = Fixture::new().await;
    fixture.append(&[("a", 1), ("a", 2), ("b", 3)]).await;
    fixture.other().await.delete().with_predicate("topic = 'b'").await.unwrap();
    let failure = fixture.plan(DEFAULT, Some(1), 2).await.unwrap_err();
    assert_eq!(failure.error, "DELTA_SOURCE_IGNORE_DELETE");
    assert!(failure.message.contains("main.default.src at version 2"), "{}", failure.message);
    assert!(failure.help.unwrap().contains("skipChangeCommits"));

    fixture.other().await.update().with_predicate(col("id").eq(lit(1_i64))).with_update("id", lit(10_i64)).await.unwrap();
    let failure = fixture.plan(DEFAULT, Some(2), 3).await.unwrap_err();
    assert_eq!(failure.error, "DELTA_SOURCE_TABLE_IGNORE_CHANGES");

    let skipped = fixture.plan(SKIP, Some(1), 3).await.unwrap();
    assert_eq!(skipped.skipped, [SkippedCommit { version: 2, rows: 0 }, SkippedCommit { version: 3, rows: 2 }]);
    assert_eq!(ranges(&skipped), [(Some(1), 3, 0)], "the position moves on");
    let reopened = TargetTable::open(&fixture.spec.location, None).await.unwrap().unwrap();
    let staged = fixture.staged(&[("c", 5)]).await;
    transaction::append(&reopened, staged, CommitRequest { operation: "WRITE", ..CommitRequest::default() }).await.unwrap();
    let plan = fixture.plan(SKIP, Some(1), 4).await.unwrap();
    assert_eq!(ranges(&plan), [(Some(1), 4, 1)]);
    assert_eq!(fixture.appended(SKIP, (Some(1), 4), ALL).await.0, "c,5");
}

#[tokio::test]
async fn p27_compaction_is_invisible() {
    let fixture = Fixture::new().await;
    for id in 0..4 {
        fixture.append(&[("a", id)]).await;
    }
    let (_, metrics) = fixture.other().await.optimize().await.unwrap();
    assert_eq!((metrics.num_files_added, metrics.num_files_removed), (1, 4));
    assert!(fixture.plan(DEFAULT, Some(4), 5).await.unwrap().ranges.is_empty());
    let plan = fixture.plan(DEFAULT, Some(2), 5).await.unwrap();
    assert_eq!(ranges(&plan), [(Some(2), 5, 2)]);
    assert_eq!(fixture.appended(DEFAULT, (Some(2), 5), ALL).await.0, "a,2\na,3");
    assert_eq!(fixture.appended(DEFAULT, (None, 5), ALL).await.0, "a,0\na,1\na,2\na,3");
}

#[tokio::test]
async fn a_cleaned_log_and_a_table_made_again_are_told_apart() {
    let fixture = Fixture::new().await;
    for id in 0..3 {
        fixture.append(&[("a", id)]).await;
    }
    let another = SourcePosition::Delta { table_id: "another".to_owned(), version: 1 };
    let other_id = fixture.source.plan(&DEFAULT, Some(&another), 3).await.unwrap_err();
    assert_eq!(other_id.error, "STREAMING_SOURCE_REPLACED");
    let went_back = fixture.plan(DEFAULT, Some(9), 3).await.unwrap_err();
    assert_eq!(went_back.error, "STREAMING_SOURCE_REPLACED");

    deltalake::checkpoints::create_checkpoint(&fixture.other().await, None).await.unwrap();
    let log = fixture.directory.path().join("default/src/_delta_log");
    std::fs::remove_file(log.join(format!("{:020}.json", 1))).unwrap();
    std::fs::remove_file(log.join(format!("{:020}.json", 0))).unwrap();
    let gap = fixture.plan(DEFAULT, Some(0), 3).await.unwrap_err();
    assert_eq!(gap.error, "DELTA_VERSIONS_NOT_CONTIGUOUS");
    assert!(gap.message.contains("between versions 1 and 3"), "{}", gap.message);
    assert_eq!(fixture.appended(DEFAULT, (None, 3), ALL).await.0, "a,0\na,1\na,2");
}

#[tokio::test]
async fn a_stream_may_start_at_a_version_a_time_or_now() {
    let fixture = Fixture::new().await;
    for id in 0..3 {
        fixture.append(&[("a", id)]).await;
    }
    let start = |start| fixture.plan(DeltaStreamOptions { start, ..DEFAULT }, None, 3);
    assert_eq!(ranges(&start(DeltaStart::Version(2)).await.unwrap()), [(Some(1), 3, 2)]);
    assert_eq!(ranges(&start(DeltaStart::Version(0)).await.unwrap()), [(Some(-1), 3, 3)]);
    assert_eq!(ranges(&start(DeltaStart::Version(4)).await.unwrap()), [(Some(3), 3, 0)]);
    assert_eq!(start(DeltaStart::Version(5)).await.unwrap_err().error, "DELTA_VERSION_NOT_FOUND");
    assert_eq!(ranges(&start(DeltaStart::Latest).await.unwrap()), [(Some(3), 3, 0)]);
    assert_eq!(ranges(&start(DeltaStart::Timestamp(0)).await.unwrap()), [(Some(-1), 3, 3)]);
    assert_eq!(ranges(&start(DeltaStart::Timestamp(i64::MAX)).await.unwrap()), [(Some(3), 3, 0)]);
    assert_eq!(fixture.appended(DEFAULT, (Some(3), 3), ALL).await.0, "");
}

#[tokio::test]
async fn filters_on_partitions_skip_whole_files() {
    let fixture = Fixture::new().await;
    fixture.append(&[("orders", 1), ("books", 2)]).await;
    // Gone: a scan that opened this file would fail.
    std::fs::remove_dir_all(fixture.directory.path().join("default/src/topic=books")).unwrap();
    assert_eq!(fixture.appended(DEFAULT, (Some(0), 1), "SELECT id FROM t WHERE topic = 'orders'").await.0, "1");
    assert_eq!(fixture.appended(DEFAULT, (Some(0), 1), "SELECT id FROM t WHERE topic LIKE 'ord%' AND id > 0").await.0, "1");
    assert_eq!(fixture.appended(DEFAULT, (Some(0), 1), "SELECT id FROM t WHERE topic IS NULL").await.0, "");
    let counters = Arc::new(ReadCounters::default());
    let table = fixture.source.appended(&DEFAULT, (Some(0), 1), schema(), &counters).await.unwrap();
    let failure = query(table, "SELECT id FROM t").await.unwrap_err();
    assert_eq!(failure.error, "DATA_FILE_MISSING");
    assert!(failure.message.contains("topic=books"), "{}", failure.message);
}

#[tokio::test]
async fn null_partitions_and_columns_that_files_lack_are_null() {
    let mut fixture = Fixture::new().await;
    fixture.append(&[("", 1), ("b", 2)]).await;
    let mut fields = schema().fields().to_vec();
    fields.push(Arc::new(Field::new("Price", DataType::Float64, true)));
    let wider: SchemaRef = Arc::new(Schema::new(fields));
    fixture.table.alter(&TableSpec { schema: Arc::clone(&wider), ..fixture.spec.clone() }).await.unwrap();
    let counters = Arc::new(ReadCounters::default());
    let table = fixture.source.appended(&DEFAULT, (None, 2), Arc::clone(&wider), &counters).await.unwrap();
    assert_eq!(table.schema(), wider);
    assert_eq!(query(table, "SELECT id, \"Price\", topic IS NULL FROM t ORDER BY id").await.unwrap(), "1,,true\n2,,false");
    let table = fixture.source.at_version(2, wider, &counters).await.unwrap();
    assert_eq!(query(table, "SELECT id FROM t WHERE topic IS NULL").await.unwrap(), "1");
}

#[tokio::test]
async fn a_version_of_the_past_is_read_as_it_was() {
    let fixture = Fixture::new().await;
    fixture.append(&[("a", 1)]).await;
    let staged = fixture.staged(&[("a", 2)]).await;
    transaction::overwrite(&fixture.table, staged, CommitRequest { operation: "WRITE", ..CommitRequest::default() }).await.unwrap();
    for (version, expected) in [(0, ""), (1, "a,1"), (2, "a,2")] {
        let counters = Arc::new(ReadCounters::default());
        let table = fixture.source.at_version(version, schema(), &counters).await.unwrap();
        assert_eq!(query(table, ALL).await.unwrap(), expected, "version {version}");
    }
}

#[tokio::test]
async fn tables_with_column_mapping_are_read_as_a_whole_and_as_a_stream() {
    let directory = tempfile::tempdir().unwrap();
    let location: Location = storage_in(directory.path()).at("ext");
    std::fs::create_dir(directory.path().join("ext")).unwrap();
    let long = deltalake::kernel::DataType::Primitive(deltalake::kernel::PrimitiveType::Long);
    let created = DeltaTable::try_from_url(location.url().clone())
        .await
        .unwrap()
        .create()
        .with_column("odd; name", long, true, None)
        .with_configuration([("delta.columnMapping.mode".to_owned(), Some("name".to_owned()))])
        .await
        .unwrap();
    let batch = RecordBatch::try_from_iter([("odd; name", Arc::new(Int64Array::from(vec![7])) as ArrayRef)]).unwrap();
    created.write(vec![batch]).await.unwrap();
    let source = DeltaSource::new("ext", location);
    let observed = source.observe(None).await.unwrap().unwrap();
    assert_eq!((observed.version, observed.schema.field(0).name().as_str()), (1, "odd; name"));
    assert_eq!(source.observe(Some(5)).await.unwrap_err().error, "DELTA_VERSION_NOT_FOUND");
    let counters = Arc::new(ReadCounters::default());
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("odd; name", DataType::Int64, true)]));
    let table = source.at_version(1, Arc::clone(&schema), &counters).await.unwrap();
    assert_eq!(table.schema(), schema);
    assert_eq!(query(Arc::clone(&table), "SELECT * FROM t").await.unwrap(), "7");
    assert_eq!(query(table, "SELECT count(*) FROM t WHERE \"odd; name\" > 3").await.unwrap(), "1");
    assert_eq!(counters.totals().rows, 1);
    assert_eq!(ranges(&source.plan(&DEFAULT, None, 1).await.unwrap()), [(None, 1, 1)]);
    let news = source.appended(&DEFAULT, (Some(0), 1), schema, &counters).await.unwrap();
    assert_eq!(query(news, "SELECT * FROM t").await.unwrap(), "7");
}
