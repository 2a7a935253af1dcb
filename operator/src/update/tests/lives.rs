//! The life of one update.

use floe_crds::{
    pipeline_update::{AttemptClass, Cancel},
    run_report::{GraphReport, RunReportSpec},
    state::{FlowState, UpdateState},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::json;

use super::World;
use crate::{attempt::tests::flow, labels};

fn running(rows: i64) -> RunReportSpec {
    let mut report = RunReportSpec { state: Some(UpdateState::Running), ..RunReportSpec::default() };
    report.totals.rows_written = rows;
    report.flows = vec![flow("bronze", FlowState::Completed, 1), flow("silver", FlowState::Running, 1)];
    report
}

/// A world in which the first attempt of `u` runs, and its pod.
fn begun(spec: serde_json::Value) -> (World, String) {
    let mut world = World::new(spec);
    world.ask("u", json!({}));
    world.settle();
    let pod = world.run("u-a1");
    world.report(&pod, running(10));
    world.settle();
    (world, pod)
}

#[test]
fn a_request_to_look_again_is_answered_also_after_the_end() {
    let (mut world, pod) = begun(json!({}));
    let ask = |world: &mut World, text: &str| {
        let annotations = world.updates.get_mut("u").unwrap().annotations_mut();
        annotations.insert(labels::RECONCILE_REQUESTED_AT.to_string(), text.to_string());
        world.settle();
        world.status("u").last_handled_reconcile_at
    };
    assert_eq!(ask(&mut world, "monday").as_deref(), Some("monday"));
    world.complete(&pod, 7);
    world.settle();
    assert_eq!(world.state("u"), "COMPLETED");
    assert_eq!(ask(&mut world, "tuesday").as_deref(), Some("tuesday"));
    assert_eq!(ask(&mut world, &"x".repeat(300)).map(|echo| echo.len()), Some(253), "what the status can hold");
    let annotated = &world.updates["u"];
    assert!(!labels::is_reconcile_requested(annotated, annotated.status.as_ref().unwrap().last_handled_reconcile_at.as_ref()));
}

#[test]
fn from_the_question_to_the_end() {
    let mut world = World::new(json!({}));
    world.ask("u", json!({}));
    world.settle();
    assert_eq!((world.state("u").as_str(), world.conditions("u").as_str()), ("WAITING_FOR_RESOURCES", "True/Unknown/True/False Pending"));
    let pod = world.run("u-a1");
    world.settle();
    assert_eq!(world.state("u"), "INITIALIZING");
    world.report(&pod, running(10));
    world.settle();
    assert_eq!((world.state("u").as_str(), world.conditions("u").as_str()), ("RUNNING", "True/Unknown/True/False Running"));
    assert_eq!(world.status("u").flows.unwrap().done, "1/2");
    world.pass(60);
    world.complete(&pod, 25);
    world.settle();
    let status = world.status("u");
    assert_eq!((world.state("u").as_str(), world.conditions("u").as_str()), ("COMPLETED", "True/True/False/False UpdateCompleted"));
    assert_eq!((status.duration_seconds, status.totals.unwrap().rows_written, status.position), (Some(60), 25, None));
    assert_eq!((status.attempts.len(), status.attempts[0].class, status.attempts[0].exit_code), (1, Some(AttemptClass::Success), Some(0)));
    assert_eq!(status.attempts[0].pod.as_deref(), Some("u-a1-p0"));
    let states = ["CREATED", "WAITING_FOR_RESOURCES", "INITIALIZING", "RUNNING", "COMPLETED"];
    assert_eq!(status.phase_times.keys().count(), states.len(), "{:?}", status.phase_times);
    assert!(states.iter().all(|state| status.phase_times.contains_key(*state)));
    assert_eq!(world.told, ["UpdateStarted update u started", "UpdateCompleted update u completed: 1/2 flows completed, 25 rows written"]);
}

#[test]
fn the_report_tells_the_node_if_the_watch_of_pods_is_behind() {
    let (mut world, pod) = begun(json!({}));
    world.pods.get_mut(&pod).unwrap().spec.as_mut().unwrap().node_name = None;
    world.report(&pod, RunReportSpec { node_name: "node-1".to_string(), ..running(10) });
    world.settle();
    assert_eq!(world.status("u").attempts[0].node.as_deref(), Some("node-1"));
}

#[test]
fn changed_columns_and_a_refused_reset_are_told() {
    let (mut world, pod) = begun(json!({}));
    let mut report = running(10);
    let changed = |n: u32| (format!("dataset=\"main.b.t{n}\""), 1.0);
    report.counters = [("floe_schema_changes_total".to_string(), (1..=7).map(changed).collect())].into();
    report.result = Some(floe_crds::run_report::RunResult {
        exit_code: 10,
        class: Some(floe_crds::state::FailureClass::User),
        error_class: Some("RESET_NOT_ALLOWED".to_string()),
        message: Some("orders is protected".to_string()),
        ..Default::default()
    });
    world.report(&pod, report);
    world.end(&pod, 10);
    world.settle();
    let columns = "SchemaChanged update u changed the columns of main.b.t1, main.b.t2, main.b.t3, main.b.t4, main.b.t5 and 2 more";
    assert!(world.told.contains(&columns.to_string()), "{:?}", world.told);
    assert!(world.told.contains(&"ResetRefused update u: [RESET_NOT_ALLOWED] orders is protected".to_string()), "{:?}", world.told);
}

#[test]
fn an_attempt_that_is_not_written_down_keeps_its_report() {
    let (mut world, pod) = begun(json!({"retryPolicy": {"minBackoffSeconds": 100}}));
    world.end(&pod, 20);
    world.pass(6);
    world.settle();
    world.pass(600);
    assert!(world.reconcile("u", true), "attempt 2 is made, and the operator dies before its status says so");
    assert_eq!((world.made.len(), world.status("u").attempt), (2, Some(1)));
    let pod = world.run("u-a2");
    world.report(&pod, running(5));
    world.settle();
    assert!(world.reports.contains_key("u-a2"), "{:?}", world.reports.keys());
    assert_eq!((world.state("u").as_str(), world.status("u").totals.unwrap().rows_written), ("RUNNING", 15));
}

#[test]
fn the_image_may_be_known_after_the_end() {
    let (mut world, pod) = begun(json!({}));
    world.complete(&pod, 11);
    world.settle();
    assert_eq!(world.status("u").state, Some(UpdateState::Completed));
    assert_eq!(world.status("u").runner.unwrap().image, "");
    let status = world.pods.get_mut(&pod).unwrap().status.as_mut().unwrap();
    status.container_statuses.as_mut().unwrap()[0].image_id = "ghcr.io/floe/runner@sha256:1".to_string();
    world.settle();
    assert_eq!(world.status("u").runner.unwrap().image, "ghcr.io/floe/runner@sha256:1");
}

#[test]
fn the_image_is_the_one_that_the_kubelet_ran() {
    let (mut world, pod) = begun(json!({}));
    assert_eq!(world.status("u").runner.unwrap().image, "");
    let status = world.pods.get_mut(&pod).unwrap().status.as_mut().unwrap();
    status.container_statuses.as_mut().unwrap()[0].image_id = "ghcr.io/floe/runner@sha256:1".to_string();
    world.report(&pod, running(11));
    world.settle();
    assert_eq!(world.status("u").runner.unwrap().image, "ghcr.io/floe/runner@sha256:1");
}

#[test]
fn attempts_add_up_and_wait_longer() {
    let (mut world, pod) = begun(json!({"retryPolicy": {"minBackoffSeconds": 100, "maxBackoffSeconds": 3600}}));
    world.end(&pod, 20);
    world.pass(6);
    world.settle();
    let status = world.status("u");
    assert_eq!((world.state("u").as_str(), world.conditions("u").as_str()), ("WAITING_FOR_RESOURCES", "True/Unknown/True/False Retrying"));
    assert_eq!((status.attempts[0].class, status.attempts[0].exit_code, world.made.len()), (Some(AttemptClass::Transient), Some(20), 1));
    assert!(world.told.iter().any(|note| note.starts_with("UpdateRetrying ")), "{:?}", world.told);
    world.pass(70);
    world.settle();
    assert_eq!(world.made.len(), 1, "the wait is at least 80 s");
    world.pass(60);
    world.settle();
    assert_eq!(world.made, ["u-a1", "u-a2"]);
    let pod = world.run("u-a2");
    world.report(&pod, running(5));
    world.settle();
    assert_eq!(world.status("u").totals.unwrap().rows_written, 15);
    world.settle();
    world.complete(&pod, 7);
    world.settle();
    let status = world.status("u");
    assert_eq!((status.totals.unwrap().rows_written, status.attempt, status.retries.unwrap().transient), (17, Some(2), 1));
}

#[test]
fn an_eviction_stays_in_the_same_attempt() {
    let (mut world, pod) = begun(json!({}));
    let mut evicted = world.pods[&pod].status.clone().unwrap();
    evicted.phase = Some("Failed".to_string());
    evicted.conditions = Some(serde_json::from_value(json!([{"type": "DisruptionTarget", "status": "True"}])).unwrap());
    world.pods.get_mut(&pod).unwrap().status = Some(evicted);
    world.settle();
    assert_eq!(world.state("u"), "WAITING_FOR_RESOURCES");
    world.pass(5);
    let pod = world.run("u-a1");
    world.report(&pod, running(12));
    world.settle();
    let status = world.status("u");
    assert_eq!((world.state("u").as_str(), status.attempts.len(), status.attempts[0].pod.as_deref()), ("RUNNING", 1, Some("u-a1-p1")));
    assert_eq!(status.totals.unwrap().rows_written, 12, "totals are those of the attempt");
}

#[test]
fn a_graceful_cancel_waits_for_the_pod() {
    let (mut world, pod) = begun(json!({}));
    world.cancel("u", Cancel::Graceful);
    world.settle();
    assert_eq!(
        (world.jobs.len(), world.state("u").as_str(), world.conditions("u").as_str()),
        (0, "STOPPING", "True/Unknown/True/False Terminating")
    );
    assert!(world.pods[&pod].metadata.deletion_timestamp.is_none(), "the pod has all of its time");
    world.cancel("u", Cancel::Immediate);
    world.settle();
    assert_eq!(world.pods[&pod].metadata.deletion_grace_period_seconds, Some(5));
    world.pods.remove(&pod);
    world.settle();
    assert_eq!((world.state("u").as_str(), world.conditions("u").as_str()), ("CANCELED", "True/False/False/True UpdateCanceled"));
    assert_eq!(world.status("u").totals.unwrap().rows_written, 10);
}

#[test]
fn a_killed_operator_finds_the_attempt_that_it_made() {
    let mut world = World::new(json!({}));
    world.ask("u", json!({}));
    assert!(world.reconcile("u", true), "it gets its owner");
    assert!(world.reconcile("u", true), "and its batch/v1 Job");
    assert_eq!((world.status("u").attempt, world.jobs.len()), (None, 1));
    world.cancel("u", Cancel::Graceful);
    world.settle();
    assert_eq!((world.jobs.len(), world.state("u").as_str(), world.status("u").attempt), (0, "CANCELED", Some(1)));
}

#[test]
fn reports_of_other_pods_are_ignored() {
    let (mut world, pod) = begun(json!({}));
    let mut forged = world.reports["u-a1"].clone();
    forged.spec.pod_uid = "uid-of-someone".to_string();
    forged.spec.totals.rows_written = 1_000_000;
    world.reports.insert("u-a1".to_string(), forged);
    world.settle();
    assert_eq!(world.status("u").totals.unwrap().rows_written, 10);
    world.complete(&pod, 11);
    world.pods.remove(&pod);
    world.settle();
    assert_eq!(world.status("u").totals.unwrap().rows_written, 11, "the pod is gone, and was known");
}

#[test]
fn a_new_writer_waits_for_the_last_pod_of_the_old_one() {
    let (mut world, pod) = begun(json!({}));
    world.ask("v", json!({"refresh": ["a"]}));
    world.updates.remove("u");
    world.jobs.clear();
    world.settle();
    assert_eq!((world.state("v").as_str(), world.made.len()), ("WAITING_FOR_RESOURCES", 1));
    assert_eq!(world.status("v").message.as_deref(), Some("previous runner is stopping"));
    world.pods.remove(&pod);
    world.settle();
    assert_eq!(world.made, ["u-a1", "v-a1"]);
}

#[test]
fn nothing_is_touched_while_paused() {
    let (mut world, pod) = begun(json!({}));
    let paused = Some([("floe.dev/paused".to_string(), "true".to_string())].into());
    world.pipeline.as_mut().unwrap().metadata.annotations = paused;
    world.ask("v", json!({"refresh": ["a"]}));
    world.cancel("u", Cancel::Immediate);
    world.settle();
    assert_eq!((world.jobs.len(), world.state("u").as_str()), (1, "STOPPING"));
    world.complete(&pod, 1);
    world.pass(7200);
    world.settle();
    assert_eq!((world.state("u").as_str(), world.conditions("v").as_str()), ("COMPLETED", "True/Unknown/True/False Paused"));
    assert_eq!((world.jobs.len(), world.requests.len()), (1, 1), "even what is old stays");
    world.pipeline.as_mut().unwrap().metadata.annotations = None;
    world.settle();
    assert_eq!(world.made, ["u-a1", "v-a1"]);
}

#[test]
fn a_pipeline_that_is_missing_or_wrong_is_said() {
    let mut world = World::new(json!({}));
    let pipeline = world.pipeline.take();
    world.ask("u", json!({}));
    world.settle();
    assert_eq!((world.state("u").as_str(), world.conditions("u").as_str()), ("QUEUED 1", "False/Unknown/True/False PipelineNotFound"));
    world.pass(600);
    world.settle();
    assert_eq!(world.conditions("u"), "False/Unknown/True/True PipelineNotFound");
    world.pipeline = pipeline;
    let accepted = &mut world.pipeline.as_mut().unwrap().status.as_mut().unwrap().conditions[0];
    (accepted.status, accepted.reason, accepted.message) = ("False".to_string(), "StorageConflict".to_string(), "shop has it".to_string());
    world.settle();
    assert_eq!(world.conditions("u"), "False/Unknown/False/True StorageConflict");
    assert_eq!(world.status("u").message.as_deref(), Some("the Pipeline is not accepted: shop has it"));
    let accepted = &mut world.pipeline.as_mut().unwrap().status.as_mut().unwrap().conditions[0];
    (accepted.status, accepted.observed_generation) = ("True".to_string(), Some(2));
    world.settle();
    assert_eq!(world.conditions("u"), "True/Unknown/True/False Pending", "the newest definition was not checked yet");
    world.pipeline.as_mut().unwrap().metadata.deletion_timestamp = Some(Time(world.now));
    world.settle();
    assert_eq!((world.conditions("u").as_str(), world.made.len()), ("True/False/False/True UpdateCanceled", 0));
}

#[test]
fn what_is_left_goes_after_an_hour_but_the_newest_graph() {
    let (mut world, pod) = begun(json!({}));
    world.complete(&pod, 1);
    world.reports.get_mut("u-a1").unwrap().spec.graph = Some(GraphReport::default());
    world.pass(3599);
    world.settle();
    assert_eq!((world.jobs.len(), world.requests.len(), world.reports.len()), (1, 1, 1));
    world.pass(1);
    world.settle();
    assert_eq!((world.jobs.len(), world.requests.len(), world.reports.len()), (0, 0, 1));
    world.ask("v", json!({}));
    world.settle();
    let pod = world.run("v-a1");
    world.report(&pod, RunReportSpec { graph: Some(GraphReport::default()), ..running(1) });
    world.settle();
    assert_eq!(world.reports.keys().collect::<Vec<_>>(), ["v-a1"], "a newer graph is there");
}

#[test]
fn a_pod_that_cannot_start_ends_the_update_and_is_removed() {
    let mut world = World::new(json!({}));
    world.ask("u", json!({}));
    world.settle();
    let pod = world.run("u-a1");
    world.pods.get_mut(&pod).unwrap().status = Some(
        serde_json::from_value(json!({
            "phase": "Pending", "startTime": world.now.to_string(),
            "containerStatuses": [{"name": "runner", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
                "image": "", "imageID": "", "ready": false, "restartCount": 0}],
        }))
        .unwrap(),
    );
    world.settle();
    assert_eq!(
        (world.state("u").as_str(), world.conditions("u").as_str()),
        ("WAITING_FOR_RESOURCES", "True/Unknown/True/False PodStartFailed")
    );
    let told = world.told.last().unwrap();
    assert!(told.starts_with("PodStartFailed update u: ErrImagePull: no such image; make that image available"), "{told}");
    world.pass(600);
    world.settle();
    assert_eq!((world.state("u").as_str(), world.conditions("u").as_str()), ("FAILED", "True/False/False/True PodStartFailed"));
    let message = world.status("u").message.clone().unwrap_or_default();
    assert!(message.starts_with("[POD_START_FAILED] ErrImagePull: no such image; make that image available"), "{message}");
    assert_eq!(world.jobs.len(), 0);
}

#[test]
fn failed_flows_come_before_skipped_ones_and_are_told() {
    let (mut world, pod) = begun(json!({}));
    let mut report = running(1);
    report.flows = (0..30).map(|n| flow(&format!("s{n:02}"), FlowState::Skipped, 0)).collect();
    report.flows.push(floe_crds::run_report::FlowReport {
        error_class: Some("CAST_INVALID_INPUT".to_string()),
        message: Some("x".repeat(1000)),
        ..flow("bad", FlowState::Failed, 0)
    });
    world.report(&pod, report);
    world.settle();
    let status = world.status("u");
    assert_eq!((status.failed_flows.len(), status.failed_flows[0].name.as_str(), status.failed_flows[0].message.len()), (20, "bad", 512));
    assert_eq!(world.told.iter().filter(|note| note.starts_with("FlowFailed [CAST_INVALID_INPUT] update u, flow bad")).count(), 1);
}

#[test]
fn the_list_of_attempts_is_bounded_and_nothing_is_lost_with_it() {
    let (mut world, mut pod) = begun(json!({"retryPolicy": {"maxUpdateRetries": 100, "minBackoffSeconds": 0}}));
    for number in 2..=15 {
        world.end(&pod, 20);
        world.pass(6);
        world.settle();
        pod = world.run(&format!("u-a{number}"));
        world.report(&pod, running(10));
        world.settle();
    }
    let status = world.status("u");
    assert_eq!((status.attempts.len(), status.attempts[0].number, status.attempt), (10, 6, Some(15)));
    assert_eq!((status.totals.clone().unwrap().rows_written, status.retries.clone().unwrap().transient), (150, 14));
    let largest = serde_json::to_vec(&status).unwrap().len();
    assert!(largest < 256 * 1024, "{largest}");
    world.pass(3600);
    world.settle();
    assert!(world.jobs.len() <= 2, "{:?}", world.jobs.keys());
}

#[test]
fn an_update_by_hand_goes_with_its_pipeline() {
    let (mut world, pod) = begun(json!({}));
    let owner = world.updates["u"].metadata.owner_references.clone().unwrap();
    assert_eq!((owner[0].kind.as_str(), owner[0].name.as_str(), owner[0].controller), ("Pipeline", "bookstore", Some(true)));
    world.ask("waits", json!({"fullRefreshAll": true}));
    world.settle();
    world.pipeline = None;
    world.settle();
    assert_eq!((world.state("u").as_str(), world.jobs.len()), ("STOPPING", 0));
    assert_eq!(world.status("u").message.as_deref(), Some("is being stopped, because its Pipeline was deleted"));
    world.end(&pod, 143);
    world.pass(6);
    world.settle();
    assert_eq!((world.state("u").as_str(), world.state("waits").as_str()), ("CANCELED", "CANCELED"));
    assert_eq!(world.status("waits").message.as_deref(), Some("canceled with its Pipeline, which was deleted"));
}

/// The runner in `pod` ends with this code; another container of the pod goes on.
fn ends_beside_a_companion(world: &mut World, pod: &str, code: i32) {
    let job = pod.rsplit_once("-p").unwrap().0;
    let status = world.jobs[job].status.clone();
    world.end(pod, code);
    world.jobs.get_mut(job).unwrap().status = status;
    world.pods.get_mut(pod).unwrap().status.as_mut().unwrap().phase = Some("Running".to_string());
}

#[test]
fn a_companion_of_the_runner_has_a_minute_to_end() {
    let (mut world, pod) = begun(json!({"retryPolicy": {"minBackoffSeconds": 0, "maxBackoffSeconds": 0}}));
    ends_beside_a_companion(&mut world, &pod, 20);
    world.pass(6);
    world.settle();
    assert_eq!((world.made.len(), world.status("u").message.as_deref()), (1, Some("previous runner is stopping")));
    world.pass(54);
    world.settle();
    assert!(!world.jobs.contains_key("u-a1"), "with it goes the pod");
    world.pods.remove(&pod);
    world.settle();
    assert_eq!(world.made, ["u-a1", "u-a2"]);
    let pod = world.run("u-a2");
    world.report(
        &pod,
        RunReportSpec { state: Some(UpdateState::Completed), result: Some(floe_crds::run_report::RunResult::default()), ..running(7) },
    );
    ends_beside_a_companion(&mut world, &pod, 0);
    world.settle();
    assert_eq!((world.state("u").as_str(), world.jobs.len()), ("COMPLETED", 1));
    world.pass(59);
    world.settle();
    assert_eq!(world.jobs.len(), 1);
    world.pass(1);
    world.settle();
    assert_eq!(world.jobs.len(), 0, "the next update need not wait for an hour");
}
