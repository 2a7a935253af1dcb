//! Decisions, plans and status of Pipelines that never saw an API server.

mod conditions;
mod continuous;
mod definitions;
mod deletion;
mod history;
mod reasons;
mod schedules;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use floe_crds::{
    condition::{self, ConditionType},
    pipeline::{Pipeline, PipelineStatus},
    pipeline_update::{Cancel, PipelineUpdate, PipelineUpdateStatus, UpdateType},
    run_report::{Finding, GraphReport, RunReport, RunReportSpec},
    state::{Cause, UpdateState},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::json;

use super::{
    apply::Applied,
    cleanup::Leftover,
    conditions::transitions,
    decide::{Act, Decision, decide},
    observe::{Access, Observed, Rival},
    plan::{Plan, plan},
    resources::tables::TableChange,
    status::status,
    validate::{Verdict, validate},
};
use crate::{key::Key, labels, settings::Settings};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// A Pipeline with `spec` over a minimal one.
fn pipeline(spec: &serde_json::Value) -> Pipeline {
    let mut object = json!({
        "apiVersion": "floe.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": {
            "name": "shop", "namespace": "data", "uid": "p1", "generation": 3, "resourceVersion": "7",
            "creationTimestamp": ago(80_000).to_string(),
        },
        "spec": {"storage": {"uri": "s3://lake/shop"}},
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn settings() -> Arc<Settings> {
    use clap::Parser;
    let args = crate::args::Args::parse_from(["floe-operator", "--runner-image=floe:1", "--pod-name=test"]);
    Arc::new(Settings::resolve(&args).unwrap())
}

fn observed(pipeline: Pipeline) -> Observed {
    Observed {
        key: Key::new("data", "shop"),
        pipeline: Arc::new(pipeline),
        tables: Vec::new(),
        taken_names: BTreeSet::new(),
        updates: Vec::new(),
        rivals: Vec::new(),
        config_maps: BTreeMap::new(),
        report: None,
        access: Access::Known,
        cleanup: None,
        attempts: Vec::new(),
        quiet_since: ago(3600),
        settings: settings(),
        cluster_id: "c".to_string(),
        now: now(),
    }
}

fn at_rest(spec: &serde_json::Value) -> Observed {
    observed(pipeline(spec))
}

/// Looks, and takes over what the look says and makes, as the API server would.
fn step(observed: &mut Observed) -> (Decision, Plan) {
    let verdict = validate(observed);
    let decision = decide(observed, &verdict);
    let plan = plan(observed, &verdict, &decision);
    let mut applied = Applied::default();
    if let Some(start) = &plan.start {
        let mut update = start.update.clone();
        update.metadata.name = Some(format!("shop-u{}", start.number));
        update.metadata.uid = Some(format!("uid-{}", start.number));
        update.metadata.creation_timestamp = Some(Time(observed.now));
        applied.counter = applied.counter.max(Some(start.number));
        applied.started = Some(update.clone());
        observed.updates.push(Arc::new(update));
    }
    for stopped in &plan.stops {
        change(observed, &stopped.name_any(), |update| {
            update.spec.cancel = Cancel::Graceful;
            update.annotations_mut().insert(labels::SUPERSEDED.to_string(), "true".to_string());
        });
    }
    let removed: Vec<String> = plan.removes.iter().map(|update| update.name_any()).collect();
    observed.updates.retain(|update| !removed.contains(&update.name_any()));
    let status = status(observed, &verdict, &decision, &applied, None);
    Arc::make_mut(&mut observed.pipeline).status = Some(status);
    (decision, plan)
}

fn change(observed: &mut Observed, name: &str, how: impl FnOnce(&mut PipelineUpdate)) {
    let update = observed.updates.iter_mut().find(|update| update.name_any() == name).unwrap();
    how(Arc::make_mut(update));
}

fn becomes(observed: &mut Observed, name: &str, state: UpdateState) {
    let now = observed.now;
    change(observed, name, |update| {
        let status = update.status.get_or_insert_with(PipelineUpdateStatus::default);
        status.state = Some(state);
        if state.is_terminal() {
            status.end_time = Some(Time(now));
        }
    });
}

/// The runner of the update `name` has looked at the graph.
fn reports(observed: &mut Observed, name: &str, graph: GraphReport) {
    let update = observed.updates.iter().find(|update| update.name_any() == name).unwrap().clone();
    let report = RunReport::new(&format!("{name}-a1"), RunReportSpec { graph: Some(graph), ..RunReportSpec::default() });
    observed.report = Some((Arc::new(report), update));
}

fn valid_graph() -> GraphReport {
    let mut graph = GraphReport { valid: true, ..GraphReport::default() };
    (graph.counts.datasets, graph.counts.flows) = (9, 9);
    graph
}

fn names(observed: &Observed) -> Vec<String> {
    observed.updates.iter().map(|update| update.name_any()).collect()
}

fn said(observed: &Observed, kind: ConditionType) -> (String, String) {
    let conditions = &observed.pipeline.status.as_ref().unwrap().conditions;
    let condition = condition::find(conditions, kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

/// Edits the definition.
fn edit(observed: &mut Observed, value: &str) {
    Arc::make_mut(&mut observed.pipeline).spec.configuration.insert("k".to_string(), value.to_string());
}

/// What Reconciling says: what happens now, or why nothing does.
fn why(observed: &Observed) -> String {
    let condition = condition::find(&status_of(observed).conditions, ConditionType::Reconciling).unwrap();
    format!("{} {}: {}", condition.status, condition.reason, condition.message)
}

fn settled(spec: &serde_json::Value) -> Observed {
    let mut observed = at_rest(spec);
    step(&mut observed);
    reports(&mut observed, "shop-u1", valid_graph());
    becomes(&mut observed, "shop-u1", UpdateState::Completed);
    step(&mut observed);
    observed
}

fn status_of(observed: &Observed) -> &PipelineStatus {
    observed.pipeline.status.as_ref().unwrap()
}

/// The finalizer is there, and someone wants the Pipeline to go.
fn deleted(observed: &mut Observed) {
    let pipeline = Arc::make_mut(&mut observed.pipeline);
    pipeline.metadata.finalizers = Some(vec!["floe.dev/pipeline-cleanup".to_string()]);
    pipeline.metadata.deletion_timestamp = Some(Time(now()));
}
