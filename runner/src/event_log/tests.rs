//! The event log by its promises: exact columns and messages, order without gaps, nothing secret, nothing lost.

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use floe_crds::state::{Cause, FailureClass, FlowState, UpdateState};
use floe_graph::origin::Origin;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{
    EventLog, Outputs, Pauses,
    event::{AddedColumn, CreateUpdate, DataQuality, Event, ExpectationCount, FlowMetrics, Level, SchemaChange, Subject},
    flows::FlowEvents,
    marker::Marker,
    message::Retry,
    note::CommitNote,
    open,
    record::{Identity, Record},
    schema,
    table::LogTable,
};
use crate::{
    commit::{
        table::{TableSpec, TargetTable},
        transaction::{self, CommitRequest},
        writer::StagedFiles,
    },
    execute::progress::{FlowFailure, FlowNotice, FlowProgress, FlowResult, Observer as _, RefreshPlan, RefreshSource, RefreshType},
    failure::Failure,
    state::catalog::{Catalog, CatalogEntry, StoredKind},
    storage::{Storage, Stores, layout},
};

/// Collects what is written to standard output.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn events(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A table in memory that can be made to fail.
#[derive(Default)]
struct MemoryTable {
    commits: Mutex<Vec<Vec<Record>>>,
    broken: AtomicBool,
}

#[async_trait]
impl LogTable for MemoryTable {
    async fn append(&self, records: &[Record]) -> Result<(), Failure> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Failure::storage("PERMISSION_DENIED", "no write access"));
        }
        self.commits.lock().unwrap().push(records.to_vec());
        Ok(())
    }
}

impl MemoryTable {
    fn records(&self) -> Vec<Record> {
        self.commits.lock().unwrap().concat()
    }
}

fn identity(update: &str) -> Identity {
    Identity {
        update_id: update.to_string(),
        attempt: 1,
        pipeline_id: "p1".to_string(),
        pipeline_name: "bookstore".to_string(),
        host: "laptop".to_string(),
        ..Identity::default()
    }
}

fn memory_log() -> (EventLog, Arc<MemoryTable>, Lines) {
    let (table, lines) = (Arc::new(MemoryTable::default()), Lines::default());
    let outputs = Outputs { lines: Some(Box::new(lines.clone())), ..Outputs::default() };
    let pauses = Pauses { flush_after: Duration::from_millis(400), closing: [Duration::from_millis(1); 2] };
    (EventLog::with_storage(identity("u1"), outputs, Some(Arc::clone(&table) as _), None, pauses), table, lines)
}

fn orders() -> Subject {
    Subject::flow("orders_silver", "f1", "main.bookstore.orders_silver")
}

fn batch(batch_id: Option<i64>, rows: u64) -> FlowProgress {
    FlowProgress {
        batch_id,
        metrics: FlowMetrics { num_output_rows: Some(rows), num_output_bytes: Some(2048), num_input_rows: 10, ..FlowMetrics::default() },
        data_quality: DataQuality {
            dropped_records: 2,
            quarantined_records: 0,
            expectations: vec![ExpectationCount {
                name: "a".to_string(),
                dataset: "main.bookstore.orders_silver".to_string(),
                passed: 8,
                failed: 2,
            }],
        },
        target_version: Some(4),
        journal_version: None,
    }
}

#[test]
fn e01_schema_is_exact() {
    let fields: Vec<String> = schema::schema().fields().iter().map(|field| format!("{field}")).collect();
    assert_eq!(fields.len(), 10);
    let names: Vec<_> = schema::schema().fields().iter().map(|field| (field.name().clone(), field.is_nullable())).collect();
    let expected = [
        ("id", false),
        ("sequence", true),
        ("origin", true),
        ("timestamp", false),
        ("message", false),
        ("level", false),
        ("maturity_level", true),
        ("error", true),
        ("details", false),
        ("event_type", true),
    ];
    assert_eq!(names, expected.map(|(name, nullable)| (name.to_string(), nullable)));
    let json = floe_graph::analysis::ddl::schema_text(&schema::schema());
    assert_snapshot!(json, @"id STRING NOT NULL, sequence STRUCT<control_plane_seq_no: BIGINT, data_plane_id: STRUCT<instance: STRING, seq_no: BIGINT>>, origin STRUCT<cloud: STRING, region: STRING, host: STRING, org_id: STRING, pipeline_id: STRING, pipeline_name: STRING, pipeline_type: STRING, cluster_id: STRING, update_id: STRING, maintenance_id: STRING, request_id: STRING, table_id: STRING, table_name: STRING, dataset_name: STRING, sink_name: STRING, flow_id: STRING, flow_name: STRING, batch_id: BIGINT, graph_id: STRING, uc_resource_id: STRING, materialization_name: STRING, ingestion_source_name: STRING, ingestion_source_connection_name: STRING, ingestion_source_catalog_name: STRING, ingestion_source_schema_name: STRING, ingestion_source_table_name: STRING, ingestion_source_table_version: STRING, namespace: STRING, attempt: BIGINT>, timestamp TIMESTAMP NOT NULL, message STRING NOT NULL, level STRING NOT NULL, maturity_level STRING, error STRUCT<fatal: BOOLEAN, exceptions: ARRAY<STRUCT<class_name: STRING, message: STRING, stack: ARRAY<STRUCT<declaring_class: STRING, method_name: STRING, file_name: STRING, line_number: BIGINT>>>>>, details STRING NOT NULL, event_type STRING");
}

#[test]
fn messages_are_exact() {
    let flow = |state| Event::flow_progress(orders(), state).message;
    let update = |state| Event::update_progress("u1", state).message;
    let failure = Failure::user("CAST_INVALID_INPUT", "the value 'x' cannot be cast to INT").in_flow("orders_silver");
    let violated = Failure::new(FailureClass::Expectation, "EXPECTATION_VIOLATION", "Flow 'f' failed to meet the expectation.");
    let retry = Retry { delay_seconds: 10, attempt: 2, attempts: Some(3) };
    let change = SchemaChange {
        dataset: "main.bookstore.bronze".to_string(),
        source: None,
        added: vec![AddedColumn { name: "region".to_string(), data_type: "STRING".to_string() }],
        schema_version: 3,
    };
    let lines = [
        update(UpdateState::Queued),
        update(UpdateState::SettingUpTables),
        update(UpdateState::Completed),
        update(UpdateState::Canceled),
        Event::update_failed("u1", &failure).message,
        Event::update_recovered("u1").message,
        flow(FlowState::Queued),
        flow(FlowState::Planning),
        flow(FlowState::Starting),
        flow(FlowState::Running),
        flow(FlowState::Completed),
        Event::flow_failed(orders(), &failure, None, Some(retry)).message,
        Event::flow_failed(orders(), &failure, None, None).message,
        Event::flow_failed(orders(), &violated, None, None).message,
        Event::flow_skipped(orders(), &["bronze".to_string()]).message,
        flow(FlowState::Excluded),
        flow(FlowState::Idle),
        flow(FlowState::Stopped),
        Event::schema_change(Subject::default(), change).message,
    ];
    assert_snapshot!(lines.join("\n"), @r#"
    Update u1 is QUEUED.
    Update u1 is SETTING_UP_TABLES.
    Update u1 is COMPLETED.
    Update u1 is CANCELED.
    Update u1 is FAILED. Flow orders_silver: [CAST_INVALID_INPUT] the value 'x' cannot be cast to INT
    Update u1 ended without a final event (recovered)
    Flow orders_silver is QUEUED.
    Flow orders_silver is PLANNING.
    Flow orders_silver is STARTING.
    Flow orders_silver is RUNNING.
    Flow orders_silver has COMPLETED.
    Flow orders_silver has FAILED. Retrying in 10 seconds (attempt 2 of 3).
    Flow orders_silver has FAILED.
    Flow 'f' failed to meet the expectation.
    Flow orders_silver was SKIPPED due to upstream failure(s): bronze.
    Flow orders_silver is EXCLUDED.
    Flow orders_silver is IDLE, waiting for new data.
    Flow orders_silver has been STOPPED.
    Added column region STRING to main.bookstore.bronze (schema version 3).
    "#);
}

#[test]
fn e09_levels_follow_the_retries() {
    let failure = Failure::transient("TIMEOUT", "no answer");
    let retry = Retry { delay_seconds: 1, attempt: 2, attempts: Some(3) };
    let retried = Event::flow_failed(orders(), &failure, None, Some(retry));
    let last = Event::flow_failed(orders(), &failure, None, None);
    assert_eq!((retried.level, retried.error.unwrap().fatal), (Level::Warn, false));
    assert_eq!((last.level, last.error.unwrap().fatal), (Level::Error, true));
}

#[tokio::test]
async fn details_and_errors_are_written_as_documented() {
    let (log, _, lines) = memory_log();
    log.record(Event::committed(orders(), batch(Some(3), 8)));
    let cause = std::io::Error::other("disk on fire");
    let failure =
        Failure { origin: Some(Origin::new("2_silver.sql", 14, 8)), ..Failure::user("CAST_INVALID_INPUT", "bad").caused_by(cause) };
    log.record(Event::flow_failed(orders(), &failure, None, None));
    let events = lines.events();
    assert_eq!(
        events[0]["details"],
        json!({"flow_progress": {
            "status": "RUNNING",
            "metrics": {"num_output_rows": 8, "num_output_bytes": 2048, "num_input_rows": 10, "executor_time_ms": 0},
            "data_quality": {"dropped_records": 2, "quarantined_records": 0, "expectations": [
                {"name": "a", "dataset": "main.bookstore.orders_silver", "passed_records": 8, "failed_records": 2}]},
        }})
    );
    assert_eq!((&events[0]["level"], &events[0]["event_type"]), (&json!("METRICS"), &json!("flow_progress")));
    assert_eq!(events[0]["origin"]["batch_id"], 3);
    assert_eq!(events[0]["origin"]["flow_name"], "orders_silver");
    assert_eq!(events[0]["sequence"], json!({"data_plane_id": {"instance": "u1/1", "seq_no": 1}}));
    assert_eq!(
        events[1]["error"],
        json!({"fatal": true, "exceptions": [
            {"class_name": "CAST_INVALID_INPUT", "message": "bad", "stack": [{"file_name": "2_silver.sql", "line_number": 14}]},
            {"message": "disk on fire"}]})
    );
    assert_eq!(events[1]["origin"]["table_id"], Value::Null);
}

#[tokio::test]
async fn e11_planning_information_lists_the_recompute() {
    let (log, _, lines) = memory_log();
    let flows = FlowEvents::new(log);
    flows.know(Subject::flow("stats", "f2", "main.bookstore.stats"));
    let source =
        RefreshSource { table_name: "main.bookstore.sales".to_string(), table_id: "t".to_string(), from_version: Some(1), to_version: 2 };
    flows.notice(
        "stats",
        FlowNotice::Planned(RefreshPlan { chosen: RefreshType::CompleteRecompute, issues: Vec::new(), sources: vec![source] }),
    );
    let event = &lines.events()[0];
    assert_eq!(event["message"], "Flow stats has been planned to be executed as COMPLETE_RECOMPUTE.");
    let techniques = event["details"]["planning_information"]["technique_information"].as_array().unwrap();
    let chosen: Vec<_> = techniques.iter().map(|t| (t["maintenance_type"].as_str().unwrap(), t["is_chosen"].as_bool().unwrap())).collect();
    assert_eq!(chosen, [("MAINTENANCE_TYPE_NO_OP", false), ("MAINTENANCE_TYPE_COMPLETE_RECOMPUTE", true)]);
}

#[tokio::test]
async fn numbers_of_a_refresh_stand_in_its_completed_event_only() {
    let (log, _, lines) = memory_log();
    let flows = FlowEvents::new(log);
    flows.know(Subject::flow("stats", "f2", "main.bookstore.stats"));
    for state in [FlowState::Queued, FlowState::Planning, FlowState::Starting, FlowState::Running] {
        flows.state("stats", state);
    }
    flows.notice("stats", FlowNotice::Batch(Box::new(batch(None, 5))));
    flows.ended("stats", &FlowResult { refresh: Some(RefreshType::CompleteRecompute), ..FlowResult::default() });
    let events = lines.events();
    let statuses: Vec<_> = events.iter().map(|e| e["details"]["flow_progress"]["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["QUEUED", "PLANNING", "STARTING", "RUNNING", "COMPLETED"]);
    assert_eq!(events[4]["details"]["flow_progress"]["metrics"]["num_output_rows"], 5);
    assert_eq!(events[4]["level"], "INFO");
}

#[tokio::test]
async fn e08_failed_event_has_counters() {
    let (log, _, lines) = memory_log();
    let flows = FlowEvents::new(log);
    flows.know(orders());
    let failure = Failure::new(FailureClass::Expectation, "EXPECTATION_VIOLATION", "Flow 'orders_silver' failed to meet the expectation.");
    let failed = FlowFailure { failure, data_quality: batch(None, 0).data_quality, metrics: FlowMetrics::default(), done: Box::default() };
    flows.failed("orders_silver", &failed, None);
    let event = &lines.events()[0];
    assert_eq!(event["details"]["flow_progress"]["data_quality"]["expectations"][0]["failed_records"], 2);
    assert_eq!(event["details"]["flow_progress"]["metrics"]["num_output_rows"], Value::Null);
    assert_eq!(event["error"]["exceptions"][0]["class_name"], "EXPECTATION_VIOLATION");
    assert_eq!(event["error"]["fatal"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e14_sequence_without_gaps() {
    let (log, table, lines) = memory_log();
    let writers = (0..16).map(|flow| {
        let log = log.clone();
        tokio::task::spawn_blocking(move || {
            for batch in 0..625 {
                log.record(Event::flow_progress(Subject::flow(format!("f{flow}"), "id", "d").batch(batch), FlowState::Running));
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    log.close().await;
    let records = table.records();
    let numbers: Vec<i64> = records.iter().map(|record| record.seq_no).collect();
    assert_eq!(numbers, (1..=10_000).collect::<Vec<_>>());
    assert!(records.is_sorted_by_key(|record| record.timestamp));
    let printed: Vec<_> = lines.events().iter().map(|event| event["id"].as_str().unwrap().to_string()).collect();
    assert_eq!(printed, records.iter().map(|record| record.id.clone()).collect::<Vec<_>>(), "e18: stdout equals the table");
}

#[tokio::test]
async fn e15_log_failure_does_not_lose_events() {
    let (log, table, lines) = memory_log();
    table.broken.store(true, Ordering::SeqCst);
    log.record(Event::update_progress("u1", UpdateState::Running));
    log.record(Event::update_progress("u1", UpdateState::Failed));
    assert!(!log.flush().await);
    assert!(lines.events().iter().any(|line| line["event_type"] == "event_log_write_failed"));
    table.broken.store(false, Ordering::SeqCst);
    log.close().await;
    assert_eq!(table.records().len(), 2);
    assert!(log.write_failures() >= 1);
}

#[tokio::test]
async fn a_buffer_that_cannot_be_written_loses_metrics_first() {
    let (log, table, _) = memory_log();
    table.broken.store(true, Ordering::SeqCst);
    log.record(Event::update_progress("u1", UpdateState::Running));
    for number in 0..10_005 {
        log.record(Event::committed(orders(), batch(Some(number), 1)));
    }
    table.broken.store(false, Ordering::SeqCst);
    log.close().await;
    let records = table.records();
    assert_eq!(records.len(), 10_001, "ten thousand, and one that says how many are missing");
    assert_eq!(records[0].event_type, "update_progress");
    assert_eq!(records[10_000].message, "The event log could not be written in time; 6 events discarded.");
    assert_eq!(records[10_000].level, Level::Warn);
}

#[tokio::test]
async fn events_are_written_after_a_while_or_at_once() {
    let (log, table, _) = memory_log();
    assert_eq!(Pauses::default().flush_after, Duration::from_secs(5));
    log.record(Event::update_progress("u1", UpdateState::Running));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(table.records().len(), 0);
    until(|| table.records().len() == 1).await;
    let failed = std::time::Instant::now();
    log.record(Event::flow_failed(orders(), &Failure::user("X", "x"), None, None));
    until(|| table.records().len() == 2).await;
    assert!(failed.elapsed() < Duration::from_millis(400), "a failure waits for nothing");
}

async fn until(done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing happened in 5 s");
}

#[tokio::test]
async fn e13_secrets_are_redacted_everywhere() {
    let lines = Lines::default();
    let outputs = Outputs { lines: Some(Box::new(lines.clone())), secrets: vec!["BEANS".to_string(), String::new()], ..Outputs::default() };
    let log = EventLog::start(identity("u1"), outputs, None);
    let create = CreateUpdate {
        config: json!({"storage": "s3://key:topsecret@lake/x", "salt": "xBEANSx", "url": "https://h/p?X-Amz-Signature=abcdef&v=1"}),
        update_spec: json!({}),
        run_as: None,
        cause: Cause::UserAction,
        attempt: 1,
    };
    log.record(Event::create_update("u1", create));
    log.record(Event::flow_failed(orders(), &Failure::user("X", "Authorization: Bearer t0ken of BEANS"), None, None));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for secret in ["BEANS", "topsecret", "abcdef", "t0ken"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_eq!(lines.events()[0]["details"]["create_update"]["config"]["salt"], "x***x");
    assert_eq!(lines.events()[0]["details"]["create_update"]["config"]["url"], "https://h/p?X-Amz-Signature=***&v=1");
    assert_eq!(lines.events()[0]["details"]["create_update"]["config"]["storage"], "s3://***@lake/x");
}

#[tokio::test]
async fn e20_truncation_is_marked() {
    let (log, stored, _) = memory_log();
    let huge = "ä".repeat(1 << 20);
    log.record(Event::update_failed("u1", &Failure::user("X", huge.clone())));
    let create =
        CreateUpdate { config: json!({"sql": huge, "kept": 1}), update_spec: json!({}), run_as: None, cause: Cause::ApiCall, attempt: 1 };
    log.record(Event::create_update("u1", create));
    log.close().await;
    let records = stored.records();
    assert!(records[0].message.len() <= 8 * 1024);
    assert!(records[0].message.ends_with(" bytes]") && records[0].message.contains("… [truncated "), "{}", records[0].message);
    assert!(records[1].details.len() <= 1 << 20);
    let details: Value = serde_json::from_str(&records[1].details).unwrap();
    assert_eq!(details["create_update"]["config"]["kept"], 1);
    assert!(details["create_update"]["config"]["sql"].as_str().unwrap().contains("… [truncated "));
}

#[tokio::test]
async fn the_wrong_order_of_events_is_noticed_but_not_lost() {
    let (log, _, lines) = memory_log();
    let flows = FlowEvents::new(log);
    flows.state("unknown", FlowState::Completed);
    flows.state("unknown", FlowState::Running);
    assert_eq!(lines.events().len(), 2);
}

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
        pipeline_id: "p1".to_string(),
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

#[tokio::test]
async fn rows_of_the_event_log_are_those_of_its_schema() {
    let (log, table, _) = memory_log();
    log.record(Event::flow_failed(orders().batch(7), &Failure::user("X", "x"), None, None));
    log.record(Event::update_progress("u1", UpdateState::Completed));
    log.close().await;
    let rows = schema::rows(&table.records()).unwrap();
    assert_eq!((rows.num_rows(), rows.schema()), (2, schema::schema()));
}
