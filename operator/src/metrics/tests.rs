//! The whole exposition, as Prometheus reads it.

use std::collections::BTreeSet;

use floe_crds::{
    pipeline::{PipelineSpec, PipelineStatus},
    pipeline_update::PipelineUpdateSpec,
    run_report::RunReportSpec,
    table::{Table, TableStatus},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};

use super::*;

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn pipeline(name: &str) -> Arc<floe_crds::pipeline::Pipeline> {
    let mut pipeline = floe_crds::pipeline::Pipeline::new(name, PipelineSpec::default());
    pipeline.metadata.namespace = Some("data".to_string());
    let status = json!({
        "state": "RUNNING",
        "queued": 2,
        "lastSuccessfulUpdate": {"name": "bookstore-u1", "endTime": "1970-01-01T00:10:00Z"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "GraphValid", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z"}],
    });
    pipeline.status = Some(typed::<PipelineStatus>(status));
    Arc::new(pipeline)
}

fn table() -> Arc<Table> {
    let mut table: Table = typed(json!({
        "apiVersion": "floe.dev/v1alpha1", "kind": "Table", "metadata": {"name": "bookstore-silver", "namespace": "data"},
        "spec": {"pipeline": "bookstore", "type": "StreamingTable"},
    }));
    table.status = Some(typed::<TableStatus>(json!({
        "fullName": "main.default.silver", "rows": 70, "sizeBytes": 7000, "files": 7, "version": 3,
        "lastCommitTime": "1970-01-01T00:09:00Z",
        "conditions": [{"type": "Fresh", "status": "False", "reason": "Stale", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z"}],
    })));
    Arc::new(table)
}

fn update(name: &str, start: &str) -> Arc<floe_crds::pipeline_update::PipelineUpdate> {
    let spec: PipelineUpdateSpec = typed(json!({"pipeline": "bookstore"}));
    let mut update = floe_crds::pipeline_update::PipelineUpdate::new(name, spec);
    update.metadata.namespace = Some("data".to_string());
    update.status = Some(typed(json!({
        "startTime": format!("1970-01-01T{start}Z"), "endTime": "1970-01-01T00:10:00Z",
        "phaseTimes": {
            "QUEUED": "1970-01-01T00:08:00Z", "WAITING_FOR_RESOURCES": "1970-01-01T00:08:10Z", "INITIALIZING": "1970-01-01T00:08:15Z",
            "RUNNING": "1970-01-01T00:08:30Z", "COMPLETED": "1970-01-01T00:10:00Z",
        },
    })));
    Arc::new(update)
}

/// A report of an attempt of `bookstore-u1` that wrote so many rows.
fn report(name: &str, rows: u32, failed: u32, ended: bool) -> Arc<RunReport> {
    let spec: RunReportSpec = typed(json!({
        "protocol": 1, "sequence": rows, "heartbeatTime": "1970-01-01T00:09:59Z",
        "result": ended.then(|| json!({"exitCode": 0})),
        "graph": {"valid": true, "findings": [
            {"error": false, "class": "W001", "message": "legacy"}, {"error": false, "class": "W001", "message": "legacy"},
        ]},
        "flows": [{"name": "silver", "dataset": "main.default.silver", "state": "RUNNING", "metrics": {"backlog_files": 4, "backlog_bytes": 400}}],
        "tables": [{
            "fullName": "main.default.silver", "quality": [{"name": "has id", "action": "DROP", "passed": rows, "failed": failed}],
            "streaming": {"generation": 1, "watermark": "1970-01-01T00:08:20Z"},
        }],
        "counters": {
            "floe_flow_output_rows_total": {
                "flow=\"silver\",dataset=\"main.default.silver\"": rows,
                "flow=\"gold\",dataset=\"main.default.gold\"": rows * 2,
            },
            "floe_expectation_records_total": {"dataset=\"main.default.silver\",expectation=\"has \\\"id\\\"\",result=\"failed\"": failed},
            "floe_flow_batch_duration_seconds_bucket": {"flow=\"silver\",le=\"10\"": 3, "flow=\"silver\",le=\"0.5\"": 2, "flow=\"silver\",le=\"+Inf\"": 3},
            "floe_flow_batch_duration_seconds_sum": {"flow=\"silver\"": 4.5},
            "floe_flow_batch_duration_seconds_count": {"flow=\"silver\"": 3},
            "floe_build_info": {"version=\"0.1.0\",datafusion=\"55.2.0\",deltalake=\"1.1.0\"": 1},
            "floe_of_the_future_total": {"": 1},
        },
    }));
    let mut report = RunReport::new(name, spec);
    report.metadata.namespace = Some("data".to_string());
    report.metadata.uid = Some(format!("uid-{name}"));
    report.metadata.owner_references =
        Some(vec![OwnerReference { kind: "PipelineUpdate".to_string(), name: "bookstore-u1".to_string(), ..OwnerReference::default() }]);
    Arc::new(report)
}

/// Metrics of a leader that sees these pipelines and reports.
fn leader(detail: Detail, pipelines: Vec<Arc<floe_crds::pipeline::Pipeline>>, reports: Vec<Arc<RunReport>>) -> Metrics {
    let metrics = Metrics::new(detail).unwrap();
    metrics.leader(true);
    let updates = vec![update("bookstore-u0", "00:06:00"), update("bookstore-u1", "00:08:10")];
    metrics.watch(Views::new(move || pipelines.clone(), || vec![table()], move || updates.clone(), move || reports.clone(), Vec::new));
    metrics
}

fn now() -> Timestamp {
    Timestamp::from_second(600).unwrap()
}

/// The lines of families of products.
fn products(metrics: &Metrics) -> String {
    let text = metrics.expose(now()).unwrap();
    let own = |line: &&str| !line.contains("floe_operator_") && !line.contains("process_");
    text.lines().filter(own).map(|line| format!("{line}\n")).collect()
}

fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.expose(now()).unwrap();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

const ROWS: &str = "floe_flow_output_rows_total{namespace=\"data\",pipeline=\"bookstore\",flow=\"silver\",dataset=\"main.default.silver\"}";

#[test]
fn the_exposition_of_a_pipeline() {
    let metrics = leader(Detail::Dataset, vec![pipeline("bookstore")], vec![report("bookstore-u1-a1", 10, 1, true)]);
    metrics.absorb(&report("bookstore-u1-a1", 10, 1, true), "data", "bookstore");
    metrics.update_ended("data", "bookstore", UpdateState::Completed, Cause::ApiCall, Some(Duration::from_secs(110)));
    metrics.attempt("data", "bookstore", AttemptReason::Oom);
    insta::assert_snapshot!(products(&metrics));
}

#[test]
fn one_sum_per_pipeline_if_asked_for() {
    let metrics = leader(Detail::Pipeline, vec![pipeline("bookstore")], vec![report("bookstore-u1-a1", 10, 1, true)]);
    metrics.absorb(&report("bookstore-u1-a1", 10, 1, true), "data", "bookstore");
    let text = products(&metrics);
    assert!(!text.contains("flow=") && !text.contains("dataset=") && !text.contains("expectation="), "{text}");
    assert_eq!(value(&metrics, "floe_flow_output_rows_total{namespace=\"data\",pipeline=\"bookstore\"}"), Some(30.0));
    assert_eq!(value(&metrics, "floe_table_version{namespace=\"data\",pipeline=\"bookstore\"}"), Some(3.0));
}

#[test]
fn counters_take_totals_and_add_differences() {
    let first = report("bookstore-u1-a1", 10, 0, false);
    let second = report("bookstore-u1-a2", 5, 0, false);
    let metrics = leader(Detail::Dataset, vec![pipeline("bookstore")], vec![first.clone(), second.clone()]);
    for seen in [&first, &first, &report("bookstore-u1-a1", 25, 0, false), &second] {
        metrics.absorb(seen, "data", "bookstore");
    }
    assert_eq!(value(&metrics, ROWS), Some(30.0), "read twice counts once; attempts add up");
    metrics.absorb(&report("bookstore-u1-a1", 4, 0, false), "data", "bookstore");
    assert_eq!(value(&metrics, ROWS), Some(34.0), "the successor of an evicted pod counts from zero");
}

#[test]
fn what_is_deleted_has_no_series_and_only_the_leader_tells() {
    let metrics = leader(Detail::Dataset, vec![pipeline("bookstore")], Vec::new());
    metrics.absorb(&report("gone-u1-a1", 10, 0, false), "data", "gone");
    metrics.update_ended("data", "gone", UpdateState::Failed, Cause::ApiCall, None);
    let text = products(&metrics);
    assert!(text.contains("pipeline=\"bookstore\"") && !text.contains("pipeline=\"gone\""), "{text}");
    let left_over = leader(Detail::Dataset, Vec::new(), vec![report("bookstore-u1-a1", 10, 0, false)]);
    assert_eq!(products(&left_over), "", "its table and its report are not gone yet");
    metrics.leader(false);
    assert_eq!(products(&metrics), "");
}

#[test]
fn expectations_that_fail_in_a_row_are_counted_by_update() {
    let metrics = leader(Detail::Dataset, vec![pipeline("bookstore")], Vec::new());
    let bad =
        "floe_expectation_bad_updates{namespace=\"data\",pipeline=\"bookstore\",dataset=\"main.default.silver\",expectation=\"has id\"}";
    let end = |update: &str, attempt: u32, failed: u32| {
        let mut report = (*report(&format!("{update}-a{attempt}"), 1000, failed, true)).clone();
        report.metadata.owner_references.as_mut().unwrap()[0].name = update.to_string();
        metrics.absorb(&report, "data", "bookstore");
        value(&metrics, bad)
    };
    assert_eq!(end("bookstore-u1", 1, 100), Some(1.0));
    assert_eq!(end("bookstore-u1", 2, 100), Some(1.0), "another attempt of the same update");
    assert_eq!(end("bookstore-u2", 1, 11), Some(2.0));
    assert_eq!(end("bookstore-u3", 1, 10), Some(0.0), "less than one in a hundred");
}

#[test]
fn names_beyond_the_limit_are_summed() {
    let metrics = leader(Detail::Dataset, vec![pipeline("bookstore")], vec![report("bookstore-u1-a1", 1, 0, false)]);
    let mut report = (*report("bookstore-u1-a1", 1, 0, false)).clone();
    let rows = (0..2500).map(|n| (format!("flow=\"f\",dataset=\"t{n:04}\""), 1.0)).collect();
    report.spec.counters = [("floe_flow_input_rows_total".to_string(), rows)].into();
    metrics.absorb(&report, "data", "bookstore");
    let text = products(&metrics);
    assert_eq!(text.lines().filter(|line| line.starts_with("floe_flow_input_rows_total{")).count(), 2001);
    let other = "floe_flow_input_rows_total{namespace=\"data\",pipeline=\"bookstore\",flow=\"f\",dataset=\"_other\"}";
    assert_eq!(value(&metrics, other), Some(500.0));
}

#[test]
fn every_family_of_the_operator_is_exported_with_its_labels() {
    let metrics = Metrics::new(Detail::Dataset).unwrap();
    let second = Duration::from_secs(1);
    metrics.feature_gate("A", "Alpha", true);
    metrics.reconciled("pipeline", false, second);
    metrics.reconcile_failed("pipeline", ErrorClass::User, second);
    metrics.event_lag("pipeline", second);
    metrics.pending("pipeline", Pending::Queued, 1);
    metrics.cached("Pipeline", 1);
    metrics.invalid_objects("Pipeline", 1);
    metrics.watch_restarted("Pipeline", "gone");
    metrics.api_request("get", "pods", "200", second);
    metrics.start_latency("update", second);
    metrics.status_truncated("Pipeline");
    let text = metrics.expose(now()).unwrap();
    let typed: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for family in operator::ALL.iter().chain(families::PROCESS) {
        assert!(typed.contains(family.name), "{} is not exported", family.name);
        let sample = text.lines().find(|line| line.starts_with(family.name)).unwrap();
        let labels: BTreeSet<&str> = sample
            .split_once('{')
            .map_or(Vec::new(), |(_, rest)| rest.split(',').collect())
            .into_iter()
            .filter_map(|label| label.split_once('='))
            .map(|(name, _)| name)
            .filter(|name| *name != "le")
            .collect();
        assert_eq!(labels, family.labels.iter().copied().collect(), "{sample}");
    }
    assert_eq!(typed.len(), operator::ALL.len() + families::PROCESS.len());
}

#[test]
fn gauges_of_flows_are_bounded() {
    let mut report = Arc::unwrap_or_clone(report("bookstore-u1-a1", 1, 0, false));
    let flow = |n: usize| json!({"name": format!("f{n}"), "dataset": "main.default.silver", "state": "RUNNING"});
    report.spec.flows = typed(json!((0..2100).map(flow).collect::<Vec<_>>()));
    let metrics = leader(Detail::Dataset, vec![pipeline("bookstore")], vec![Arc::new(report)]);
    let text = metrics.expose(now()).unwrap();
    let states: Vec<&str> = text.lines().filter(|line| line.starts_with("floe_flow_state{")).collect();
    assert_eq!(states.len(), 2001);
    assert!(states.iter().any(|line| line.contains("flow=\"_other\"") && line.ends_with(" 100")), "{}", states[2000]);
}
