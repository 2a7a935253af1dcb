//! What an update that died without a word has left behind: the next one closes it, and each commit is reported once.

use floe_crds::state::UpdateState;
use insta::assert_snapshot;

use super::{batch, identity, orders};
use crate::{
    commit::{
        table::{TableSpec, TargetTable},
        transaction::{self, CommitRequest},
        writer::StagedFiles,
    },
    event_log::{EventLog, Outputs, event::Event, marker::Marker, note::CommitNote, open, record::Identity, schema},
    execute::progress::FlowProgress,
    state::catalog::{Catalog, CatalogEntry, StoredKind},
    storage::{Storage, Stores, layout},
};

/// A storage with one table, and the catalog that names it.
struct Place {
    _directory: tempfile::TempDir,
    storage: Storage,
    catalog: Catalog,
    table: TargetTable,
}

async fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(&url::Url::from_directory_path(directory.path()).unwrap(), &Stores::new([])).unwrap();
    let mut catalog = Catalog::read_or_create(&storage, || "p1".to_string()).await.unwrap();
    let spec = TableSpec {
        dataset: "main.bookstore.orders_silver".to_string(),
        location: storage.at("bookstore/orders_silver"),
        schema: schema::schema(),
        partition_by: Vec::new(),
        properties: std::collections::BTreeMap::new(),
        comment: None,
        pipeline_id: Some("p1".to_string()),
        rules: std::sync::Arc::default(),
        verified: None,
    };
    let table = TargetTable::open_or_create(&spec, None).await.unwrap();
    let entry = CatalogEntry {
        kind: StoredKind::StreamingTable,
        private: false,
        flows: vec!["orders_silver".to_string()],
        stateful: Vec::new(),
        part_of: None,
        table: table.known(),
        size: None,
        optimized_us: None,
        removing: false,
    };
    catalog.datasets.insert("main.bookstore.orders_silver".to_string(), entry);
    Place { _directory: directory, storage, catalog, table }
}

impl Place {
    /// A target commit of `update`, as the executor makes it.
    async fn commit(&self, update: &str, batch_id: i64) -> i64 {
        let note = CommitNote {
            update_id: update.to_string(),
            flow: "orders_silver".to_string(),
            flow_id: "f1".to_string(),
            dataset: "main.bookstore.orders_silver".to_string(),
            progress: FlowProgress { target_version: None, ..batch(Some(batch_id), 8) },
        };
        let request = CommitRequest {
            transactions: vec![("p1/orders_silver/g0".to_string(), batch_id)],
            operation: "STREAMING UPDATE",
            info: note.to_info(),
            ..CommitRequest::default()
        };
        transaction::append(&self.table, StagedFiles::none(self.table.location()), request).await.unwrap().version()
    }

    async fn log(&self, update: &str) -> EventLog {
        Box::pin(open(&self.storage, &self.catalog, identity(update), Outputs::default())).await
    }

    /// (instance, seq_no, event type, message) of every stored event, in the order of the table's files.
    async fn stored(&self) -> Vec<(String, i64, String, String)> {
        use datafusion::arrow::{array::AsArray, datatypes::Int64Type};
        let session = datafusion::prelude::SessionContext::new();
        let directory = self.storage.at(layout::EVENT_LOG).local_path().unwrap();
        session.register_parquet("log", directory.to_str().unwrap(), datafusion::prelude::ParquetReadOptions::default()).await.unwrap();
        let sql = "SELECT CAST(sequence.data_plane_id.instance AS STRING) i, sequence.data_plane_id.seq_no n, CAST(event_type AS STRING) t, \
                   CAST(message AS STRING) m FROM log ORDER BY i, n";
        let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
        let text = |column: &datafusion::arrow::array::ArrayRef, row: usize| {
            let column = datafusion::arrow::compute::cast(column, &datafusion::arrow::datatypes::DataType::Utf8).unwrap();
            column.as_string::<i32>().value(row).to_string()
        };
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let number = batch.column(1).as_primitive::<Int64Type>().value(row);
                rows.push((text(batch.column(0), row), number, text(batch.column(2), row), text(batch.column(3), row)));
            }
        }
        rows
    }
}

#[tokio::test]
async fn e16_dangling_update_closed() {
    let place = place().await;
    let dead = place.log("dead").await;
    dead.record(Event::update_progress("dead", UpdateState::Running));
    let reported = place.commit("dead", 0).await;
    dead.record(Event::committed(orders(), FlowProgress { target_version: Some(reported), ..batch(Some(0), 8) }));
    assert!(dead.flush().await);
    // Committed to the target, but the runner dies before the event is written.
    place.commit("dead", 1).await;
    drop(dead);

    let next = place.log("next").await;
    next.record(Event::update_progress("next", UpdateState::Completed));
    next.close().await;
    let stored = place.stored().await;
    let shown: Vec<_> = stored.iter().map(|(instance, number, kind, message)| format!("{instance} {number} {kind} {message}")).collect();
    assert_snapshot!(shown.join("\n"), @r#"
    dead/1 1 update_progress Update dead is RUNNING.
    dead/1 2 flow_progress Flow orders_silver is RUNNING.
    dead/1 3 flow_progress Flow orders_silver is RUNNING.
    dead/1 4 update_progress Update dead ended without a final event (recovered)
    next/1 1 update_progress Update next is COMPLETED.
    "#);
    assert!(Marker::read(&place.storage).await.unwrap().unwrap().ended);

    // Everything is closed: the next one finds nothing to do.
    let third = place.log("third").await;
    third.record(Event::update_progress("third", UpdateState::Completed));
    third.close().await;
    assert_eq!(place.stored().await.len(), stored.len() + 1);
}

/// A continuous update lives long: who comes after it looks through the end of its logs only, and finds what is missing.
#[tokio::test]
async fn the_marker_of_a_long_update_moves_on() {
    let place = place().await;
    let dead = place.log("dead").await;
    let minutes = |minutes| chrono::Utc::now() + chrono::TimeDelta::minutes(minutes);
    for batch_id in 0..3 {
        let reported = place.commit("dead", batch_id).await;
        dead.record(Event::committed(orders(), FlowProgress { target_version: Some(reported), ..batch(Some(batch_id), 8) }));
        assert!(dead.flush().await);
        dead.move_marker(minutes(6 * batch_id)).await;
    }
    // It stands where the log was at the step before: behind the second batch.
    let marker = Marker::read(&place.storage).await.unwrap().unwrap();
    assert_eq!((marker.event_log.as_ref().unwrap().version, marker.last_seq_no, marker.ended), (2, 2, false));
    // The steps above were made in the future; what follows is not older than the marker.
    Marker { started_at: minutes(-1), ..marker }.write(&place.storage).await.unwrap();
    place.commit("dead", 3).await;
    drop(dead);
    let next = place.log("next").await;
    next.record(Event::update_progress("next", UpdateState::Completed));
    next.close().await;
    let stored: Vec<_> = place.stored().await.into_iter().map(|(instance, number, ..)| format!("{instance} {number}")).collect();
    assert_eq!(stored, ["dead/1 1", "dead/1 2", "dead/1 3", "dead/1 4", "dead/1 5", "next/1 1"]);
}

#[tokio::test]
async fn a_runner_that_dies_while_it_recovers_leaves_both_updates_to_be_closed() {
    let place = place().await;
    for update in ["u1", "u2"] {
        // Each begins (and recovers the one before) and dies before its first flush.
        let log = place.log(update).await;
        log.record(Event::update_progress(update, UpdateState::Running));
        drop(log);
    }
    let third = place.log("u3").await;
    third.record(Event::update_progress("u3", UpdateState::Completed));
    third.close().await;
    let closed: Vec<_> = place.stored().await.into_iter().filter(|event| event.3.contains("(recovered)")).map(|event| event.0).collect();
    assert_eq!(closed, ["u1/1", "u2/1"]);
}

#[tokio::test]
async fn e17_a_further_attempt_goes_on_with_the_update() {
    let place = place().await;
    let first = place.log("u1").await;
    first.record(Event::update_progress("u1", UpdateState::Running));
    assert!(first.flush().await);
    drop(first);
    let second = Identity { attempt: 2, ..identity("u1") };
    let second = Box::pin(open(&place.storage, &place.catalog, second, Outputs::default())).await;
    second.record(Event::update_progress("u1", UpdateState::Completed));
    second.close().await;
    let stored: Vec<_> = place.stored().await.into_iter().map(|(instance, number, ..)| (instance, number)).collect();
    assert_eq!(stored, [("u1/1".to_string(), 1), ("u1/2".to_string(), 1)]);
}

#[tokio::test]
async fn a_kill_between_the_last_flush_and_the_marker_leaves_nothing_to_close() {
    let place = place().await;
    let first = place.log("u1").await;
    first.record(Event::update_progress("u1", UpdateState::Completed));
    assert!(first.flush().await);
    drop(first);
    let second = place.log("u2").await;
    second.record(Event::update_progress("u2", UpdateState::Completed));
    second.close().await;
    assert_eq!(place.stored().await.len(), 2);
}
