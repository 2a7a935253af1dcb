//! What an event says: columns, messages, levels, details; what it must not say, and where it is cut.

use floe_crds::state::{Cause, FailureClass, FlowState, UpdateState};
use floe_graph::origin::Origin;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Lines, batch, identity, memory_log, orders};
use crate::{
    event_log::{
        EventLog, Outputs,
        event::{AddedColumn, CreateUpdate, Event, FlowMetrics, Level, SchemaChange, Subject},
        flows::FlowEvents,
        message::Retry,
        schema,
    },
    execute::progress::{FlowFailure, FlowNotice, FlowResult, Observer as _, RefreshPlan, RefreshSource, RefreshType},
    failure::Failure,
};

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
        widened: Vec::new(),
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

#[tokio::test]
async fn rows_of_the_event_log_are_those_of_its_schema() {
    let (log, table, _) = memory_log();
    log.record(Event::flow_failed(orders().batch(7), &Failure::user("X", "x"), None, None));
    log.record(Event::update_progress("u1", UpdateState::Completed));
    log.close().await;
    let rows = schema::rows(&table.records()).unwrap();
    assert_eq!((rows.num_rows(), rows.schema()), (2, schema::schema()));
}
