//! Maintenance of tables whose rows are marked and not rewritten.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
        datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type},
    },
    prelude::SessionContext,
};
use tempfile::TempDir;

use super::{optimize, readers::Need, rewrite::Rewriter, vacuum};
use crate::{
    commit::{
        ChangeDataWriter, ChangeType, CommitRequest, RowChange, StagedFiles, TableSpec, TableWriter, TargetTable, WriterOptions,
        action::{Action, Add},
        files, properties, table, transaction,
    },
    execute::StopSignal,
    failure::Failure,
    keyed::{KeyFilter, TableRows},
    session::SessionLimits,
    storage::testing::storage_in,
};

struct Fixture {
    directory: TempDir,
    table: TargetTable,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("text", DataType::Utf8, true)]))
}

fn rows(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: Vec<i64> = ids.into_iter().collect();
    let texts: StringArray = ids.iter().map(|id| Some(format!("t{id}"))).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(ids)) as ArrayRef, Arc::new(texts)]).unwrap()
}

impl Fixture {
    async fn new(more: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut properties = BTreeMap::from([(properties::DELETION_VECTORS.to_owned(), "true".to_owned())]);
        properties.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let spec = TableSpec {
            dataset: "main.default.t".to_owned(),
            location: storage_in(directory.path()).at("t"),
            schema: schema(),
            partition_by: Vec::new(),
            properties,
            comment: None,
            pipeline_id: Some("p1".to_owned()),
            rules: Arc::default(),
            verified: None,
        };
        Self { table: TargetTable::open_or_create(&spec, None).await.unwrap(), directory }
    }

    async fn append(&self, ids: impl IntoIterator<Item = i64>) {
        let mut writer = TableWriter::new(&self.table, WriterOptions::default()).unwrap();
        writer.write(&rows(ids)).await.unwrap();
        transaction::append(&self.table, writer.finish().await.unwrap(), CommitRequest::default()).await.unwrap();
    }

    /// Ids with their places, in the order of the places.
    async fn places(&self) -> Vec<(i64, u64)> {
        let all = TableRows::open(self.table.location(), self.table.version()).await.unwrap();
        let context = SessionContext::new();
        context.register_table("t", all.provider(&schema(), &Arc::new(KeyFilter::all()), &Arc::default())).unwrap();
        let batches = context.sql("SELECT id, __floe_place FROM t ORDER BY 2").await.unwrap().collect().await.unwrap();
        let pairs = batches.iter().flat_map(|batch| {
            let ids = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
            ids.into_iter().zip(batch.column(1).as_primitive::<UInt64Type>().values().to_vec())
        });
        pairs.collect()
    }

    async fn delete(&self, which: impl Fn(i64) -> bool) {
        let mut change_data = ChangeDataWriter::new(&self.table, WriterOptions::default()).unwrap();
        let going: Vec<(i64, u64)> = self.places().await.into_iter().filter(|(id, _)| which(*id)).collect();
        change_data.write(&rows(going.iter().map(|(id, _)| *id)), ChangeType::Delete).await.unwrap();
        let version = self.table.version();
        let change = RowChange {
            found_in: version,
            going: TableRows::open(self.table.location(), version).await.unwrap().going(going.iter().map(|(_, place)| *place)).unwrap(),
            coming: StagedFiles::none(self.table.location()),
            change_data: Some(change_data.finish().await.unwrap()),
            writers: WriterOptions::default(),
            parallelism: 2,
        };
        transaction::change(&self.table, change, CommitRequest::default()).await.unwrap();
    }

    async fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.places().await.into_iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    async fn active(&self) -> Vec<Add> {
        files::active(self.table.location(), self.table.version()).await.unwrap()
    }

    fn files(&self, with: &str) -> Vec<String> {
        let found = walk(&self.directory.path().join("t"));
        found.into_iter().filter(|path| path.contains(with)).collect()
    }
}

fn walk(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path.display().to_string()] }).collect()
}

async fn optimized(fixture: &Fixture) -> Result<super::Done, Failure> {
    let (done, outcome) = optimize::run(&fixture.table, &rewriter(), &StopSignal::default()).await;
    outcome.map(|()| done)
}

fn rewriter() -> Rewriter {
    Rewriter::new(&SessionLimits { memory_bytes: Some(256 << 20), spill_directory: None, parallelism: 2 }).unwrap()
}

#[tokio::test]
async fn optimize_writes_worn_files_again_and_brings_no_row_back() {
    let fixture = Fixture::new(&[]).await;
    fixture.append(0..1000).await;
    fixture.delete(|id| id % 10 == 0).await;
    assert!(optimized(&fixture).await.unwrap().is_empty(), "a tenth is not enough");
    fixture.delete(|id| id % 10 < 4).await;
    let before = fixture.ids().await;
    let done = optimized(&fixture).await.unwrap();
    assert_eq!((done["files_removed"], done["files_added"]), (1, 1));
    assert_eq!(fixture.ids().await, before);
    let active = fixture.active().await;
    assert_eq!((active.len(), active[0].rows(), &active[0].deletion_vector), (1, Some(600), &None));
    let newest = fixture.table.version();
    let commits = table::commits(fixture.table.location(), newest - 1, newest).await.unwrap().unwrap();
    let is_silent = |action: &Action| match action {
        Action::Add(add) => !add.data_change,
        Action::Remove(remove) => !remove.data_change && remove.deletion_vector.is_some(),
        _ => true,
    };
    assert!(commits[0].actions.iter().all(is_silent), "{commits:?}");
    // Marked rows of small files stay away when these become one.
    fixture.append(5000..5100).await;
    fixture.delete(|id| id == 5050 || id == 9).await;
    optimized(&fixture).await.unwrap();
    assert_eq!(fixture.active().await.len(), 1);
    assert_eq!(
        fixture.ids().await,
        before.into_iter().filter(|id| *id != 9).chain((5000..5100).filter(|id| *id != 5050)).collect::<Vec<_>>()
    );
    // Of a file whose rows are all gone nothing is left.
    fixture.delete(|_| true).await;
    assert!(fixture.active().await.is_empty());
}

#[tokio::test]
async fn optimize_keeps_the_files_of_a_table_by_key_sorted() {
    let fixture = Fixture::new(&[(properties::KEY_COLUMNS, r#"["id"]"#)]).await;
    for start in 0..5 {
        fixture.append((0..1000).map(|row| row * 5 + start)).await;
    }
    fixture.delete(|id| id % 7 == 3).await;
    optimized(&fixture).await.unwrap();
    let in_order: Vec<i64> = fixture.places().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(in_order, (0..5000).filter(|id| id % 7 != 3).collect::<Vec<_>>());
    assert_eq!(fixture.active().await.len(), 1);
}

#[tokio::test]
async fn vacuum_keeps_the_vectors_and_change_data_that_somebody_needs() {
    let fixture = Fixture::new(&[("delta.enableChangeDataFeed", "true")]).await;
    fixture.append(0..100).await;
    for id in 0..3 {
        fixture.delete(|found| found == id).await;
    }
    assert_eq!((fixture.files("deletion_vector_").len(), fixture.files("_change_data").len()), (3, 3));
    let (long_ago, later) = (DateTime::UNIX_EPOCH, Utc::now() + TimeDelta::hours(1));
    vacuum::run(&fixture.table, long_ago, &Need::default()).await.unwrap();
    assert_eq!(fixture.files("").len(), 1 + 3 + 3 + 5, "everything is young");
    // A stream that has read up to version 3 needs what came after it.
    let need = Need { files_after: Some(3), ..Need::default() };
    vacuum::run(&fixture.table, later, &need).await.unwrap();
    assert_eq!((fixture.files("deletion_vector_").len(), fixture.files("_change_data").len()), (1, 1));
    let need = Need { pinned: [4].into(), ..Need::default() };
    fixture.delete(|found| found == 50).await;
    vacuum::run(&fixture.table, later, &need).await.unwrap();
    assert_eq!((fixture.files("deletion_vector_").len(), fixture.files("_change_data").len()), (2, 0));
    let pinned = TableRows::open(fixture.table.location(), 4).await.unwrap();
    assert_eq!(pinned.version(), 4);
    vacuum::run(&fixture.table, later, &Need::default()).await.unwrap();
    assert_eq!((fixture.files("deletion_vector_").len(), fixture.files("part-").len()), (1, 1));
    assert_eq!(fixture.ids().await, (3..100).filter(|id| *id != 50).collect::<Vec<_>>());
}
