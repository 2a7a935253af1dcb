//! Tests of attempts: golden pods, the table of ends, what is waited for, what follows.

mod ends;
mod overlays;
mod pods;
mod sequels;
mod waits;

use std::sync::Arc;

use clap::Parser;
use floe_crds::{
    pipeline::{Pipeline, PipelineSpec},
    pipeline_update::{PipelineUpdate, PipelineUpdateSpec},
    run_report::{FlowReport, RunReportSpec, RunResult},
    state::{FailureClass, FlowState, UpdateState},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};
use serde_json::{Value, json};

use crate::{args::Args, settings::Settings};

/// The beginning of all tests.
pub fn start() -> Timestamp {
    "2026-01-31T02:00:00Z".parse().unwrap()
}

/// So many seconds after the beginning.
pub fn at(seconds: i64) -> Timestamp {
    start().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// Settings with nothing but an image, and what `args` say.
pub fn settings(args: &[&str]) -> Settings {
    let args = [&["floe-operator", "--runner-image=ghcr.io/floe/runner@sha256:0"], args].concat();
    Settings::resolve(&Args::parse_from(args)).unwrap()
}

/// A Pipeline with this spec beside its storage.
pub fn pipeline(spec: Value) -> Pipeline {
    let mut whole = json!({"storage": {"uri": "s3://lake/bookstore"}});
    whole.as_object_mut().unwrap().extend(serde_json::from_value::<serde_json::Map<_, _>>(spec).unwrap());
    let spec: PipelineSpec = serde_json::from_value(whole).unwrap();
    let mut pipeline = Pipeline::new("bookstore", spec);
    pipeline.metadata.namespace = Some("data".to_string());
    pipeline.metadata.uid = Some("uid-of-bookstore".to_string());
    pipeline.metadata.generation = Some(3);
    pipeline
}

/// A PipelineUpdate of that Pipeline with this spec.
pub fn update(name: &str, spec: Value) -> PipelineUpdate {
    let mut whole = json!({"pipeline": "bookstore", "fullRefreshAll": false, "cascade": false, "validateOnly": false});
    whole.as_object_mut().unwrap().extend(serde_json::from_value::<serde_json::Map<_, _>>(spec).unwrap());
    let spec: PipelineUpdateSpec = serde_json::from_value(whole).unwrap();
    let mut update = PipelineUpdate::new(name, spec);
    update.metadata.namespace = Some("data".to_string());
    update.metadata.uid = Some(format!("uid-of-{name}"));
    update.metadata.generation = Some(1);
    update.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(start()));
    update
}

/// A batch/v1 Job with this status.
pub fn batch_job(status: Value) -> batch::Job {
    let metadata = json!({"namespace": "data", "name": "bookstore-u7-a1", "uid": "uid-of-job", "creationTimestamp": start().to_string()});
    let mut job = json!({"metadata": metadata, "spec": {"template": {}}});
    job["status"] = status;
    serde_json::from_value(job).unwrap()
}

/// A pod of that batch/v1 Job with this status.
pub fn pod(status: Value) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": {
            "namespace": "data",
            "name": "bookstore-u7-a1-x",
            "uid": "uid-of-pod",
            "creationTimestamp": start().to_string(),
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "bookstore-u7-a1", "uid": "uid-of-job"}],
        },
        "spec": {"containers": [{"name": "runner", "resources": {"limits": {"memory": "2Gi"}}}]},
    });
    pod["status"] = status;
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// The status of a pod whose runner ended at second 60 with this code.
pub fn ended(code: i32, reason: &str, message: &str) -> Value {
    let terminated =
        json!({"exitCode": code, "reason": reason, "message": message, "startedAt": at(10).to_string(), "finishedAt": at(60).to_string()});
    json!({
        "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "containerStatuses": [{"name": "runner", "state": {"terminated": terminated}, "image": "", "imageID": "", "ready": false, "restartCount": 0}],
    })
}

/// The status of a pod whose runner runs since second 10.
pub fn running() -> Value {
    json!({
        "phase": "Running",
        "containerStatuses": [{
            "name": "runner", "state": {"running": {"startedAt": at(10).to_string()}}, "image": "", "imageID": "", "ready": true, "restartCount": 0,
        }],
    })
}

/// The status of a pod whose container waits for this reason, 3 s after the beginning.
pub fn waiting(reason: &str, message: &str) -> Value {
    json!({
        "phase": "Pending",
        "startTime": at(3).to_string(),
        "containerStatuses": [{
            "name": "runner", "state": {"waiting": {"reason": reason, "message": message}}, "image": "", "imageID": "", "ready": false, "restartCount": 0,
        }],
    })
}

/// A report of that pod.
pub fn report(state: UpdateState, result: Option<RunResult>) -> RunReportSpec {
    RunReportSpec {
        protocol: 1,
        pod_uid: "uid-of-pod".to_string(),
        pod_name: "bookstore-u7-a1-x".to_string(),
        state: Some(state),
        result,
        ..RunReportSpec::default()
    }
}

/// The result of a failure of this class.
pub fn failure(exit_code: i32, class: FailureClass, error_class: &str) -> RunResult {
    RunResult {
        exit_code,
        class: Some(class),
        error_class: Some(error_class.to_string()),
        flow: Some("silver".to_string()),
        message: Some("as reported".to_string()),
        ..RunResult::default()
    }
}

/// A flow in this state that has written so many bytes.
pub fn flow(name: &str, state: FlowState, bytes: i64) -> FlowReport {
    FlowReport {
        name: name.to_string(),
        dataset: format!("main.bookstore.{name}"),
        state,
        retries: 0,
        error_class: None,
        message: None,
        origin: None,
        metrics: [("num_output_bytes".to_string(), bytes)].into(),
    }
}
