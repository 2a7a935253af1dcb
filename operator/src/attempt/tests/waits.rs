//! What an attempt waits for.

use std::{sync::Arc, time::Duration};

use floe_crds::{condition::Reason, pipeline_update::AttemptClass, run_report::RunReportSpec, state::UpdateState};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use serde_json::json;

use super::{at, batch_job, ended, pod, report, running, waiting};
use crate::attempt::waiting::{Wait, is_silent, wait};

fn pods(status: serde_json::Value) -> Vec<Arc<Pod>> {
    vec![pod(status)]
}

fn waits(pods: &[Arc<Pod>], refusal: Option<&str>, second: i64) -> Wait {
    wait(&batch_job(json!({})), pods, refusal, at(second)).unwrap()
}

#[test]
fn a_container_that_runs_or_ran_waits_for_nothing() {
    for status in [running(), ended(0, "Completed", "")] {
        assert_eq!(wait(&batch_job(json!({})), &pods(status), None, at(100)), None);
    }
}

#[test]
fn containers_that_cannot_start_are_given_up_after_ten_minutes() {
    let cases = [
        ("ImagePullBackOff", "Back-off pulling image \"x\"", AttemptClass::PodStart),
        ("ErrImagePull", "not found", AttemptClass::PodStart),
        ("InvalidImageName", "couldn't parse image name", AttemptClass::PodStart),
        ("CreateContainerConfigError", "secret \"lake\" not found", AttemptClass::Storage),
        ("CreateContainerConfigError", "configmap \"variables\" not found", AttemptClass::PodStart),
    ];
    for (reason, message, class) in cases {
        let pods = pods(waiting(reason, message));
        let early = waits(&pods, None, 100);
        assert_eq!((early.reason, early.given_up.as_ref()), (Reason::PodStartFailed, None));
        let advice = if reason.contains("Image") { "make that image available" } else { "create or correct what it names" };
        assert!(early.message.starts_with(&format!("{reason}: {message}; {advice}")), "{}", early.message);
        assert_eq!(early.again, Some(Duration::from_secs(503)));
        let end = waits(&pods, None, 603).given_up.unwrap();
        assert_eq!((end.class, end.message()), (class, format!("[POD_START_FAILED] {}", early.message)));
    }
    let starting = waits(&pods(waiting("ContainerCreating", "")), None, 100);
    assert_eq!((starting.reason, starting.given_up), (Reason::Pending, None));
    let slow = waits(&pods(waiting("ContainerCreating", "")), None, 603);
    assert_eq!((slow.reason, slow.given_up), (Reason::PodStartFailed, None));
    assert!(slow.message.contains("kubectl describe pod bookstore-u7-a1-x"), "{}", slow.message);
}

#[test]
fn a_pod_without_a_node_waits_and_is_news_after_five_minutes() {
    let unplaced = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient memory.",
    }]});
    let pods = pods(unplaced);
    let early = waits(&pods, None, 299);
    assert_eq!((early.reason, early.is_news), (Reason::Unschedulable, false));
    assert!(early.message.starts_with("0/1 nodes are available: 1 Insufficient memory.; add a node that fits"), "{}", early.message);
    assert!(waits(&pods, None, 300).is_news);
    assert_eq!(waits(&pods, None, 100_000).given_up, None, "a node may come");
}

#[test]
fn a_missing_claim_says_what_to_do() {
    let said = "0/1 nodes are available: persistentvolumeclaim \"lake\" not found. not found";
    let unplaced = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said,
    }]});
    let wait = waits(&pods(unplaced), None, 5);
    assert_eq!(wait.reason, Reason::Unschedulable);
    assert!(wait.message.starts_with(said) && wait.message.contains("create that claim"), "{}", wait.message);
}

#[test]
fn jobs_that_cannot_make_their_pod_are_given_up_after_an_hour() {
    let fresh = waits(&[], None, 5);
    assert_eq!((fresh.reason, fresh.again), (Reason::Pending, Some(Duration::from_secs(10))));
    let refused = waits(&[], Some("pods \"x\" is forbidden: exceeded quota: small"), 60);
    assert_eq!((refused.reason, refused.given_up.as_ref()), (Reason::QuotaExceeded, None));
    assert!(refused.message.starts_with("no pod can be made: pods \"x\" is forbidden: exceeded quota: small; raise the quota"));
    let refused = waits(&[], Some("violates PodSecurity \"restricted:latest\""), 60);
    assert_eq!((refused.reason, refused.again), (Reason::PodStartFailed, Some(Duration::from_mins(59))));
    let end = waits(&[], Some("violates PodSecurity"), 3600).given_up.unwrap();
    assert!(end.message().starts_with("[POD_START_FAILED] given up after an hour: no pod can be made: violates PodSecurity; correct"));
    let account = waits(&[], Some("error looking up service account data/reader: serviceaccount \"reader\" not found"), 60);
    assert!(account.message.contains("create that service account"), "{}", account.message);
    let unknown = waits(&[], None, 60);
    assert!(
        unknown.reason == Reason::PodStartFailed && unknown.message.contains("kubectl describe jobs.batch bookstore-u7-a1"),
        "{}",
        unknown.message
    );
}

#[test]
fn a_suspended_job_waits_for_its_queue() {
    let mut job = batch_job(json!({}));
    job.spec.as_mut().unwrap().suspend = Some(true);
    let wait = wait(&job, &[], None, at(100_000)).unwrap();
    assert_eq!((wait.reason, wait.given_up), (Reason::Pending, None));
}

#[test]
fn silence_is_counted_from_the_last_word() {
    let pods = pods(running());
    assert!(!is_silent(&pods, None, at(129)) && is_silent(&pods, None, at(130)));
    let told = RunReportSpec { heartbeat_time: Some(Time(at(500))), ..report(UpdateState::Running, None) };
    assert!(!is_silent(&pods, Some(&told), at(619)) && is_silent(&pods, Some(&told), at(620)));
    assert!(!is_silent(&[pod(ended(0, "Completed", ""))], None, at(1000)), "it has ended");
}
