//! Decisions, plans and status of Jobs that never saw an API server.

mod definitions;
mod events;
mod schedules;

use std::{collections::BTreeMap, sync::Arc};

use floe_crds::{
    condition::{self, ConditionType},
    job::{Job, JobStatus, TriggerStatus},
    job_run::{JobRun, JobRunStatus},
    pipeline_update::Cancel,
    state::{RunResultState, RunState},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{
    apply::Applied,
    decide::{Decision, decide},
    news::news,
    observe::{Access, Observed},
    plan::{Plan, plan},
    status::status,
    validate::validate,
};
use crate::{key::Key, labels, settings::Settings};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn settings() -> Arc<Settings> {
    use clap::Parser;
    let args = crate::args::Args::parse_from(["floe-operator", "--runner-image=floe:1", "--pod-name=test"]);
    Arc::new(Settings::resolve(&args).unwrap())
}

/// A Job with `spec` over one of a single task.
fn job(spec: &Value) -> Observed {
    let mut object = json!({
        "apiVersion": "floe.dev/v1alpha1", "kind": "Job",
        "metadata": {"name": "nightly", "namespace": "data", "uid": "j1", "generation": 3, "creationTimestamp": "2026-11-01T00:00:00Z"},
        "spec": {"tasks": [{"name": "a", "container": {"image": "busybox"}}]},
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    Observed {
        key: Key::new("data", "nightly"),
        job: Arc::new(serde_json::from_value(object).unwrap()),
        runs: Vec::new(),
        chains: Vec::new(),
        jobs: BTreeMap::new(),
        pipelines: BTreeMap::new(),
        tables: BTreeMap::new(),
        upstream: Vec::new(),
        report: None,
        watcher: None,
        requests: Vec::new(),
        access: Access::Known,
        settings: settings(),
        now: now(),
    }
}

/// What a look decided and wrote, and what people were told.
struct Step {
    decision: Decision,
    plan: Plan,
    told: Vec<String>,
}

/// Looks, and takes over what the look makes and says, as the API server would.
fn step(observed: &mut Observed) -> Step {
    let (decision, plan, applied) = look(observed);
    let verdict = validate(observed);
    let before = observed.job.status.clone();
    let status = status(observed, &verdict, &decision, &applied, None);
    let told = news(before.as_ref(), &status, &decision, &applied);
    Arc::make_mut(&mut observed.job).status = Some(status);
    let told = told.into_iter().map(|told| format!("{}: {}", told.reason.as_str(), told.note)).collect();
    Step { decision, plan, told }
}

/// As a look that dies before it writes the status.
fn look(observed: &mut Observed) -> (Decision, Plan, Applied) {
    let verdict = validate(observed);
    let decision = decide(observed, &verdict);
    let plan = plan(observed, &verdict, &decision);
    let mut applied = Applied::default();
    for run in &plan.runs {
        if observed.runs.iter().any(|found| found.name_any() == run.name_any()) {
            continue;
        }
        let mut run = run.clone();
        run.metadata.uid = Some(format!("uid-{}", run.name_any()));
        run.metadata.creation_timestamp = Some(Time(observed.now));
        applied.made.push(run.name_any());
        observed.runs.push(Arc::new(run));
    }
    for stopped in &plan.stops {
        change(observed, &stopped.name_any(), |run| {
            run.spec.cancel = Cancel::Graceful;
            run.annotations_mut().insert(labels::SUPERSEDED.to_string(), "true".to_string());
        });
    }
    let removed: Vec<String> = plan.removes.iter().map(|run| run.name_any()).collect();
    observed.runs.retain(|run| !removed.contains(&run.name_any()));
    (decision, plan, applied)
}

fn change(observed: &mut Observed, name: &str, how: impl FnOnce(&mut JobRun)) {
    let run = observed.runs.iter_mut().find(|run| run.name_any() == name).unwrap();
    how(Arc::make_mut(run));
}

/// The run ended now, `lasted` seconds after its start.
fn ends(observed: &mut Observed, name: &str, result: RunResultState, lasted: i64) {
    let now = observed.now;
    change(observed, name, |run| {
        let status = run.status.get_or_insert_with(JobRunStatus::default);
        (status.state, status.result_state) = (Some(RunState::Terminated), Some(result));
        status.start_time = Some(Time(now - SignedDuration::from_secs(lasted)));
        status.end_time = Some(Time(now));
    });
}

fn becomes(observed: &mut Observed, name: &str, state: RunState) {
    change(observed, name, |run| run.status.get_or_insert_with(JobRunStatus::default).state = Some(state));
}

fn later(observed: &mut Observed, seconds: i64) {
    observed.now += SignedDuration::from_secs(seconds);
}

fn names(observed: &Observed) -> Vec<String> {
    observed.runs.iter().map(|run| run.name_any()).collect()
}

fn status_of(observed: &Observed) -> &JobStatus {
    observed.job.status.as_ref().unwrap()
}

fn trigger_of(observed: &Observed) -> &TriggerStatus {
    &status_of(observed).triggers[0]
}

fn spec_of(observed: &mut Observed) -> &mut Job {
    Arc::make_mut(&mut observed.job)
}

fn said(observed: &Observed, kind: ConditionType) -> String {
    let condition = condition::find(&status_of(observed).conditions, kind).unwrap();
    format!("{} {}: {}", condition.status, condition.reason, condition.message)
}
