use std::{collections::BTreeMap, sync::Mutex};

use axum::{
    Router,
    http::{StatusCode, Uri},
    response::IntoResponse,
    routing::get,
};
use floe_crds::{
    job::Job,
    job_run::{Backfill, JobRun, Repair},
    pipeline_update::PipelineUpdate,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::{
    Cluster,
    change::{NewRun, Stop, cancel, new_run, repair, somebody_was_faster, suspend},
    ending::told,
    logs::{Wanted, absent},
    pods::pods_of,
};

fn job() -> Job {
    let task = |name: &str, before: &[&str]| {
        let edges: Vec<_> = before.iter().map(|task| json!({"task": task})).collect();
        json!({"name": name, "dependsOn": edges, "container": {"image": "i"}})
    };
    let tasks = json!([task("a", &[]), task("b", &["a"]), task("c", &["b"])]);
    let spec = json!({"parameters": [{"name": "day", "default": "today"}], "tasks": tasks});
    serde_json::from_value(json!({"apiVersion": "floe.dev/v1alpha1", "kind": "Job", "metadata": {"name": "nightly"}, "spec": spec}))
        .unwrap()
}

fn ended(result: &str, tasks: &[(&str, &str)], more: &Value) -> JobRun {
    let tasks: Vec<_> = tasks
        .iter()
        .map(|(name, result)| json!({"name": name, "kind": "container", "state": "TERMINATED", "resultState": result, "executionCount": 1}))
        .collect();
    let mut run = json!({
        "apiVersion": "floe.dev/v1alpha1", "kind": "JobRun", "metadata": {"name": "r", "resourceVersion": "7"},
        "spec": {"jobRef": {"name": "nightly"}}, "status": {"state": "TERMINATED", "resultState": result, "tasks": tasks},
    });
    for (part, fields) in more.as_object().into_iter().flatten() {
        for (key, value) in fields.as_object().into_iter().flatten() {
            run[part][key] = value.clone();
        }
    }
    serde_json::from_value(run).unwrap()
}

fn failed() -> JobRun {
    ended("FAILED", &[("a", "SUCCESS"), ("b", "FAILED"), ("c", "UPSTREAM_FAILED")], &json!({}))
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn all_failed() -> Repair {
    Repair { all_failed: true, ..Repair::default() }
}

#[test]
fn a_run_is_made_by_the_name_of_its_job() {
    let wanted = NewRun { parameters: pairs(&[("day", "monday")]), only: vec!["b".to_string()], backfill: None };
    let run = serde_json::to_value(new_run(&job(), wanted).unwrap()).unwrap();
    assert_eq!(run["metadata"], json!({"generateName": "nightly-"}));
    assert_eq!(
        (&run["spec"]["jobRef"]["name"], &run["spec"]["parameters"], &run["spec"]["only"]),
        (&json!("nightly"), &json!({"day": "monday"}), &json!(["b"]))
    );
}

#[test]
fn what_the_job_does_not_have_is_refused_before_anything_is_made() {
    let refused = |wanted| {
        let failure = new_run(&job(), wanted).unwrap_err();
        (failure.to_string(), failure.help.unwrap_or_default())
    };
    let (text, help) = refused(NewRun { parameters: pairs(&[("dat", "x")]), ..NewRun::default() });
    assert_eq!(text, "[INVALID_PARAMETER] job nightly: the job has no parameter dat; did you mean day?");
    assert_eq!(help, "it has: day");
    let (text, help) = refused(NewRun { only: vec!["bb".to_string()], ..NewRun::default() });
    assert_eq!((text.as_str(), help.as_str()), ("[TASK_NOT_FOUND] job nightly has no task bb; did you mean b?", "it has: a, b, c"));
    let backfill: Backfill =
        serde_json::from_value(json!({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z", "every": "P1D"})).unwrap();
    let (text, _) = refused(NewRun { backfill: Some(backfill), ..NewRun::default() });
    assert!(text.starts_with("[INVALID_RUN_CONFIGURATION] backfill.to 2026-01-01"), "{text}");
}

#[test]
fn the_first_repair_names_what_it_begins_anew_and_the_version_that_was_read() {
    let planned = repair(&failed(), &job(), &Repair { parameters: pairs(&[("day", "monday")]), ..all_failed() }).unwrap();
    assert_eq!((planned.id, planned.tasks), (1, vec!["b".to_string(), "c".to_string()]));
    let spec = json!({"id": 1, "tasks": null, "allFailed": true, "dependents": false, "parameters": {"day": "monday"}});
    assert_eq!(planned.patch, json!({"metadata": {"resourceVersion": "7"}, "spec": {"cancel": "None", "repair": spec}}));
}

#[test]
fn a_further_repair_takes_back_what_the_one_before_has_said() {
    let before = json!({"spec": {"repair": {"id": 1, "allFailed": true, "parameters": {"day": "monday"}}}, "status": {"repairCount": 1}});
    let run = ended("FAILED", &[("a", "SUCCESS"), ("b", "FAILED"), ("c", "SUCCESS")], &before);
    let planned = repair(&run, &job(), &Repair { tasks: vec!["b".to_string()], dependents: true, ..Repair::default() }).unwrap();
    assert_eq!((planned.id, planned.tasks), (2, vec!["b".to_string(), "c".to_string()]));
    let spec = json!({"id": 2, "tasks": ["b"], "allFailed": false, "dependents": true, "parameters": {"day": null}});
    assert_eq!(planned.patch["spec"]["repair"], spec);
}

#[test]
fn repairs_that_cannot_be_are_refused_with_the_reason() {
    let refused = |run: &JobRun, wanted: &Repair| repair(run, &job(), wanted).unwrap_err().to_string();
    let state = |state: &str| ended("FAILED", &[], &json!({"status": {"state": state, "message": "the queue is full"}}));
    assert_eq!(refused(&state("RUNNING"), &all_failed()), "[RUN_NOT_ENDED] run r has not ended: it is RUNNING");
    assert_eq!(
        refused(&state("SKIPPED"), &all_failed()),
        "[REPAIR_REJECTED] run r was skipped (the queue is full): it has nothing to repair"
    );
    let asked = ended("FAILED", &[("b", "FAILED")], &json!({"spec": {"repair": {"id": 1, "allFailed": true}}}));
    assert_eq!(refused(&asked, &all_failed()), "[RUN_NOT_ENDED] repair 1 of run r was asked for already and has not begun");
    let good = ended("SUCCESS", &[("a", "SUCCESS")], &json!({}));
    assert_eq!(
        refused(&good, &all_failed()),
        "[REPAIR_REJECTED] run r cannot be repaired so: nothing has failed: name the tasks that shall run again"
    );
    let gone = Repair { tasks: vec!["gone".to_string()], ..Repair::default() };
    assert_eq!(refused(&failed(), &gone), "[TASK_NOT_FOUND] job nightly has no task gone");
    let unknown = Repair { parameters: pairs(&[("x", "1")]), ..all_failed() };
    assert!(refused(&failed(), &unknown).starts_with("[INVALID_PARAMETER] "));
}

#[test]
fn a_lost_race_names_the_repair_that_won() {
    let theirs = ended("FAILED", &[], &json!({"spec": {"repair": {"id": 3, "tasks": ["b", "c"], "allFailed": false}}}));
    let failure = somebody_was_faster(&theirs);
    assert_eq!(
        failure.to_string(),
        "[REPAIR_CONFLICT] somebody was faster: repair 3 (b, c) of run r was asked for meanwhile; yours was not"
    );
    assert_eq!(failure.class.exit_code(), 10);
}

#[test]
fn a_cancel_only_rises() {
    let running =
        |cancel: &str| ended("FAILED", &[], &json!({"spec": {"cancel": cancel}, "status": {"state": "RUNNING", "resultState": null}}));
    assert_eq!(cancel(&running("None"), false), Stop::Patch(json!({"spec": {"cancel": "Graceful"}})));
    assert_eq!(cancel(&running("Graceful"), true), Stop::Patch(json!({"spec": {"cancel": "Immediate"}})));
    assert_eq!(cancel(&running("Graceful"), false), Stop::Stops);
    assert_eq!(cancel(&running("Immediate"), false), Stop::Stops);
    assert_eq!(cancel(&failed(), true), Stop::Ended("FAILED".to_string()));
    let repair_waits = ended("FAILED", &[], &json!({"spec": {"repair": {"id": 1, "allFailed": true}}}));
    assert!(matches!(cancel(&repair_waits, false), Stop::Patch(_)));
}

#[test]
fn a_job_is_suspended_once() {
    assert_eq!(suspend(&job(), true), Some(json!({"spec": {"suspend": true}})));
    assert_eq!(suspend(&job(), false), None);
}

#[test]
fn exit_codes_follow_the_task_that_made_the_first_leaf_fail() {
    let code = |run: &JobRun| told(run.status.as_ref().unwrap(), Some(&job().spec));
    let with = |code: &str| {
        let mut run = failed();
        run.status.as_mut().unwrap().tasks[1].termination_code = serde_json::from_value(json!(code)).unwrap();
        run
    };
    assert_eq!(["RUN_EXECUTION_ERROR", "STORAGE_ACCESS_ERROR", "TRANSIENT_ERROR"].map(|word| code(&with(word))), [10, 12, 20]);
    assert_eq!(["SUCCESS", "SUCCESS_WITH_FAILURES", "CANCELED"].map(|word| code(&ended(word, &[], &json!({})))), [0, 0, 10]);
    assert_eq!(code(&ended("FAILED", &[], &json!({"status": {"state": "SKIPPED", "resultState": null}}))), 20);
    // Without the Job the code of the run has to do.
    let gone = ended("FAILED", &[], &json!({"status": {"terminationCode": "UNAUTHORIZED_ERROR"}}));
    assert_eq!(told(gone.status.as_ref().unwrap(), None), 12);
}

fn pod(name: &str, task: &str, more: &[(&str, &str)], state: &Value) -> Pod {
    let mut labels = json!({"floe.dev/run": "r", "floe.dev/task": task, "floe.dev/attempt": "1"});
    for (key, value) in more {
        labels[format!("floe.dev/{key}")] = json!(value);
    }
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": labels, "annotations": {"floe.dev/task-key": task}},
        "spec": {"containers": [{"name": "other"}, {"name": "task"}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "task", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state}]},
    }))
    .unwrap()
}

fn running() -> Value {
    json!({"running": {}})
}

#[test]
fn pods_are_in_the_order_of_tasks_iterations_and_attempts() {
    let run = ended("FAILED", &[("b", "SUCCESS"), ("a", "SUCCESS"), ("up", "SUCCESS")], &json!({}));
    let update: PipelineUpdate = serde_json::from_value(json!({
        "apiVersion": "floe.dev/v1alpha1", "kind": "PipelineUpdate", "spec": {"pipeline": "shop"},
        "metadata": {"name": "r-up-2", "labels": {"floe.dev/attempt": "2"}, "annotations": {"floe.dev/task-key": "up"}},
    }))
    .unwrap();
    let of_update: Pod = serde_json::from_value(
        json!({"metadata": {"name": "r-up-2-a1-x", "labels": {"floe.dev/update": "r-up-2", "floe.dev/attempt": "1"}}}),
    )
    .unwrap();
    let stranger: Pod = serde_json::from_value(json!({"metadata": {"name": "s", "labels": {"floe.dev/update": "other"}}})).unwrap();
    let pods = [
        of_update,
        pod("a-2", "a", &[("attempt", "2")], &running()),
        pod("a-i1", "a", &[("iteration", "1")], &running()),
        pod("a-i0", "a", &[("iteration", "0")], &json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})),
        pod("b-1", "b", &[], &running()),
        stranger,
    ];
    let found = pods_of(&run, &pods, &[update]);
    let labels: Vec<_> = found.iter().map(|pod| format!("{} {}", pod.pod, pod.label())).collect();
    assert_eq!(labels, ["b-1 b", "a-2 a (attempt 2)", "a-i0 a[0]", "a-i1 a[1]", "r-up-2-a1-x up (attempt 2)"]);
    assert_eq!((found[0].container.as_str(), found[0].has_started()), ("task", true));
    assert_eq!(found[2].waiting.as_deref(), Some("ImagePullBackOff: no such image"));
    let one = Wanted { task: Some("a".to_string()), iteration: Some(1), attempt: None };
    assert_eq!(one.of(found).iter().map(|pod| pod.pod.as_str()).collect::<Vec<_>>(), ["a-i1"]);
}

#[test]
fn logs_that_are_not_there_have_a_reason() {
    let mut run = ended("FAILED", &[("a", "SUCCESS"), ("gate", "SUCCESS"), ("call", "FAILED"), ("late", "UPSTREAM_FAILED")], &json!({}));
    let tasks = &mut run.status.as_mut().unwrap().tasks;
    tasks[1].kind = floe_crds::job::TaskKind::Condition;
    tasks[2].kind = floe_crds::job::TaskKind::RunJob;
    tasks[2].child = Some(floe_crds::job_run::Child { kind: "JobRun".to_string(), name: "r-call-1".to_string(), ..Default::default() });
    tasks[3].execution_count = 0;
    let all = absent(&run, &Wanted::default(), &[]);
    assert_eq!(
        all,
        [
            "task a has no pod any more: its log is gone with it, unless a collector of the cluster has kept it",
            "task call is a run of its own: floe job logs r-call-1",
            "task late has printed nothing: it did not run (UPSTREAM_FAILED)",
        ]
    );
    let wanted = |task: &str, attempt| Wanted { task: Some(task.to_string()), iteration: None, attempt };
    assert!(absent(&run, &wanted("a", Some(2)), &[])[0].starts_with("task a has no pod for attempt 2 any more"));
    let refused = |task| wanted(task, None).check(&run).unwrap_err().to_string();
    assert_eq!(refused("gate"), "[NO_LOGS] task gate is a condition: nothing runs for it");
    assert_eq!(refused("lat"), "[TASK_NOT_FOUND] run r has no task lat; did you mean late?");
    assert!(wanted("late", None).check(&run).is_ok());
}

/// An API server that knows one run, its pods and their logs.
async fn served(pods: Value, logs: &'static str) -> Cluster {
    let pods = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}).to_string();
    let list = move |uri: Uri| async move {
        assert!(uri.query().unwrap().contains("labelSelector=floe.dev%2Frun%3Dr"), "{uri}");
        pods
    };
    let log = move |uri: Uri| async move {
        if uri.query().unwrap().contains("container=task") {
            logs.into_response()
        } else {
            (StatusCode::BAD_REQUEST, "no such container").into_response()
        }
    };
    let run = serde_json::to_string(&ended("SUCCESS", &[("a", "SUCCESS"), ("b", "SUCCESS")], &json!({}))).unwrap();
    let run = || async { run };
    let router = Router::new()
        .route("/api/v1/namespaces/data/pods", get(list))
        .route("/api/v1/namespaces/data/pods/{pod}/log", get(log))
        .route("/apis/floe.dev/v1alpha1/namespaces/data/jobruns/r", get(run));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let config = Config::new(address.parse().unwrap());
    Cluster { client: Client::try_from(config).unwrap(), namespace: "data".to_string(), server: address }
}

#[tokio::test]
async fn logs_of_all_pods_come_in_order_and_are_followed_to_the_end_of_the_run() {
    let waits = json!({"waiting": {"reason": "ContainerCreating"}});
    let pods = json!([pod("b-1", "b", &[], &running()), pod("a-1", "a", &[], &running()), pod("a-2", "a", &[("attempt", "2")], &waits)]);
    let cluster = served(pods, "one\ntwo\n").await;
    let run: JobRun = cluster.get("r").await.unwrap();
    let printed = Mutex::new(Vec::new());
    let line = |pod: &super::pods::TaskPod, text: &str| printed.lock().unwrap().push(format!("{} {text}", pod.label()));
    let pods = cluster.pods_of_run(&run).await.unwrap();
    cluster.print_logs(&pods, &line).await.unwrap();
    assert_eq!(std::mem::take(&mut *printed.lock().unwrap()), ["a one", "a two", "b one", "b two"]);
    cluster.follow_logs("r", &Wanted::default(), &line).await.unwrap();
    let mut followed = printed.into_inner().unwrap();
    followed.sort();
    assert_eq!(followed, ["a one", "a two", "b one", "b two"]);
}

#[tokio::test]
async fn a_log_that_no_node_gives_is_told_after_the_others() {
    let mut other = pod("b-1", "b", &[], &running());
    other.spec.as_mut().unwrap().containers.remove(1);
    let cluster = served(json!([other, pod("a-1", "a", &[], &running())]), "one\n").await;
    let run: JobRun = cluster.get("r").await.unwrap();
    let printed = Mutex::new(Vec::new());
    let line = |pod: &super::pods::TaskPod, text: &str| printed.lock().unwrap().push(format!("{} {text}", pod.label()));
    let mut pods = cluster.pods_of_run(&run).await.unwrap();
    pods.reverse();
    // The container that says nothing is one that has started.
    pods[0].waiting = None;
    let failure = cluster.print_logs(&pods, &line).await.unwrap_err();
    assert_eq!((failure.error.as_str(), printed.into_inner().unwrap()), ("REFUSED_BY_CLUSTER", vec!["a one".to_string()]));
}
