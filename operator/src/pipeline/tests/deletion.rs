//! How Pipelines go, with and without their data.

use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};

use super::{super::begun::Begun, *};
use crate::attempt::end::job_end;

#[test]
fn o34_data_go_after_the_runner_and_before_the_object() {
    let mut observed = settled(&json!({"deletionPolicy": "Delete", "maintenance": {"suspend": true}}));
    let (_, plan) = step(&mut observed);
    assert_eq!(plan.finalizers.as_deref(), Some(&["floe.dev/pipeline-cleanup".to_string()][..]));
    let pipeline = Arc::make_mut(&mut observed.pipeline);
    pipeline.metadata.finalizers = plan.finalizers;
    pipeline.metadata.deletion_timestamp = Some(Time(now()));
    observed.updates.push(Arc::new(PipelineUpdate::new("by-hand", observed.updates[0].spec.clone())));
    let (_, plan) = step(&mut observed);
    assert!(plan.cleanup.is_none() && plan.start.is_none(), "the update ends first, because its Pipeline goes");
    becomes(&mut observed, "by-hand", UpdateState::Canceled);
    let cleanup = step(&mut observed).1.cleanup.unwrap();
    assert_eq!(cleanup.account.unwrap().name_any(), "floe-shop", "nobody may have made it yet");
    let pod = cleanup.job.spec.clone().unwrap().template.spec.unwrap();
    assert_eq!(pod.containers[0].args.clone().unwrap()[..2], ["cleanup", "--request"]);
    assert_eq!(cleanup.request.metadata.name.unwrap(), format!("{}-request", cleanup.job.metadata.name.clone().unwrap()));
    let job = cleanup.job;
    observed.cleanup = Some(Begun { has_request: false, ..begun(&job, json!({}), Vec::new()) });
    let again = step(&mut observed).1.cleanup.unwrap();
    assert_eq!(again.job.metadata.name, job.metadata.name, "a Job without its request would wait for ever");
    observed.cleanup = Some(begun(&job, json!({}), Vec::new()));
    let (_, plan) = step(&mut observed);
    assert!(plan.cleanup.is_none() && plan.release.is_none(), "it runs");
    observed.cleanup = Some(begun(&job, json!({"conditions": [{"type": "Complete", "status": "True"}]}), Vec::new()));
    assert_eq!(step(&mut observed).1.release, Some(Leftover::Nothing));
}

/// The clean-up `job` with this status and these pods.
fn begun(job: &batch::Job, status: serde_json::Value, pods: Vec<Arc<Pod>>) -> Begun {
    let mut job = job.clone();
    job.metadata.creation_timestamp = Some(Time(ago(120)));
    job.status = Some(serde_json::from_value(status).unwrap());
    let ended = usize::from(job_end(&job).is_some());
    Begun { job: Arc::new(job), pods, has_request: true, tables: Vec::new(), ended }
}

/// A pod whose runner ended like this.
fn ended_pod(exit_code: i32, message: &str) -> Vec<Arc<Pod>> {
    let terminated = json!({"exitCode": exit_code, "message": message, "finishedAt": ago(30).to_string()});
    let container =
        json!({"name": "runner", "state": {"terminated": terminated}, "image": "", "imageID": "", "ready": false, "restartCount": 0});
    let pod = json!({"metadata": {"name": "p", "uid": "p"}, "status": {"phase": "Failed", "containerStatuses": [container]}});
    vec![Arc::new(serde_json::from_value(pod).unwrap())]
}

const REFUSED: &str =
    r#"{"exitCode": 10, "class": "user", "errorClass": "STORAGE_OF_ANOTHER_PIPELINE", "message": "data/other wrote here last"}"#;

fn failed_job(seconds_ago: i64) -> serde_json::Value {
    json!({"conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": ago(seconds_ago).to_string()}]})
}

/// A Pipeline that is being deleted, and its first clean-up.
fn with_cleanup(spec: &serde_json::Value) -> (Observed, batch::Job) {
    let mut observed = settled(spec);
    deleted(&mut observed);
    let job = step(&mut observed).1.cleanup.unwrap().job;
    (observed, job)
}

#[test]
fn a_clean_up_that_fails_says_so_at_once_and_is_tried_again() {
    let (mut observed, first) = with_cleanup(&json!({"deletionPolicy": "Delete", "maintenance": {"suspend": true}}));
    observed.cleanup = Some(begun(&first, failed_job(20), ended_pod(10, REFUSED)));
    let (decision, plan) = step(&mut observed);
    assert!(plan.cleanup.is_none() && plan.release.is_none());
    assert_eq!(decision.again, Some(now() + SignedDuration::from_secs(40)), "a minute after it failed");
    let told = "[STORAGE_OF_ANOTHER_PIPELINE] data/other wrote here last; it is tried again at 2026-11-21T12:00:40Z";
    assert!(why(&observed).contains(told) && why(&observed).contains("floe.dev/skip-cleanup"), "{}", why(&observed));
    assert_eq!(said(&observed, ConditionType::Stalled), ("True".to_string(), "CleanupFailed".to_string()));
    assert_eq!(said(&observed, ConditionType::Reconciling), ("False".to_string(), "CleanupFailed".to_string()));
    observed.now = now() + SignedDuration::from_secs(40);
    let second = step(&mut observed).1.cleanup.unwrap();
    assert_ne!(second.job.metadata.name, first.metadata.name);

    // What passes holds nobody up: another pod follows by itself.
    observed.now = now();
    observed.cleanup = Some(begun(&first, json!({}), ended_pod(20, "")));
    step(&mut observed);
    assert_eq!(said(&observed, ConditionType::Reconciling), ("True".to_string(), "CleanupFailed".to_string()));
    assert_eq!(said(&observed, ConditionType::Stalled).0, "False");
    // What was said last is what people read when it is given up.
    observed.cleanup = Some(begun(&first, failed_job(20), ended_pod(10, REFUSED)));
    observed.now = now() + SignedDuration::from_mins(10);
    let left = step(&mut observed).1.release;
    assert!(matches!(&left, Some(Leftover::Data(why)) if why.contains("STORAGE_OF_ANOTHER_PIPELINE")), "{left:?}");
}

#[test]
fn a_request_or_a_change_tries_a_clean_up_again_at_once() {
    let (mut observed, first) = with_cleanup(&json!({"deletionPolicy": "Delete", "maintenance": {"suspend": true}}));
    observed.cleanup = Some(begun(&first, failed_job(20), ended_pod(12, "")));
    assert!(step(&mut observed).1.cleanup.is_none());
    let ask = |observed: &mut Observed| {
        Arc::make_mut(&mut observed.pipeline).annotations_mut().insert(labels::RECONCILE_REQUESTED_AT.to_string(), "1".to_string());
    };
    ask(&mut observed);
    let second = step(&mut observed).1.cleanup.unwrap().job;
    observed.cleanup = Some(Begun { ended: 2, ..begun(&second, failed_job(20), ended_pod(12, "")) });
    assert!(step(&mut observed).1.cleanup.is_none(), "the same request acts once");
    edit(&mut observed, "another");
    let third = step(&mut observed).1;
    assert!(third.cleanup.is_some() && third.outdated_cleanup.is_none(), "it has ended by itself");
    // One that hangs gives its place to one that is asked for something else.
    observed.cleanup = Some(begun(&second, json!({}), Vec::new()));
    let plan = step(&mut observed).1;
    assert_eq!(plan.outdated_cleanup.map(|job| job.name_any()), second.metadata.name);
}

#[test]
fn a_clean_up_knows_what_the_one_before_took_over() {
    let (mut observed, first) = with_cleanup(&json!({"deletionPolicy": "Delete", "maintenance": {"suspend": true}}));
    Arc::make_mut(&mut observed.pipeline).spec.deletion_policy = floe_crds::pipeline::DeletionPolicy::Retain;
    let tables = vec![floe_crds::request::RemovedTable {
        full_name: "main.default.orders".to_string(),
        deletion_policy: floe_crds::pipeline::DeletionPolicy::Delete,
    }];
    observed.cleanup = Some(Begun { tables, ..begun(&first, failed_job(90), ended_pod(12, "")) });
    let text = step(&mut observed).1.cleanup.unwrap().request.data.unwrap()["request.json"].clone();
    assert!(text.contains(r#""fullName":"main.default.orders","deletionPolicy":"Delete""#), "{text}");
}

#[test]
fn a_clean_up_without_a_pod_says_why() {
    let (mut observed, first) = with_cleanup(&json!({"deletionPolicy": "Delete", "maintenance": {"suspend": true}}));
    let waiting = json!({"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"lake\" not found"}});
    let container = json!({"name": "runner", "state": waiting, "image": "", "imageID": "", "ready": false, "restartCount": 0});
    let pod = json!({"metadata": {"name": "p", "uid": "p"},
        "status": {"phase": "Pending", "startTime": ago(30).to_string(), "containerStatuses": [container]}});
    observed.cleanup = Some(begun(&first, json!({}), vec![Arc::new(serde_json::from_value(pod).unwrap())]));
    step(&mut observed);
    assert!(why(&observed).starts_with("True PodStartFailed: the clean-up of the deleted Pipeline waits:"), "{}", why(&observed));
    assert!(why(&observed).contains("secret \"lake\" not found"), "{}", why(&observed));

    let template = json!({"spec": {"hostNetwork": true}});
    let (mut observed, _) = with_cleanup(&json!({"deletionPolicy": "Delete", "maintenance": {"suspend": true}}));
    Arc::make_mut(&mut observed.pipeline).spec.runner.pod_template = Some(template);
    step(&mut observed);
    assert!(
        why(&observed).contains("no clean-up of the deleted Pipeline can be made") && why(&observed).contains("hostNetwork"),
        "{}",
        why(&observed)
    );
    assert_eq!(said(&observed, ConditionType::Stalled), ("True".to_string(), "InvalidPodTemplate".to_string()));
}

#[test]
fn o35_a_delete_always_ends() {
    let mut observed = settled(&json!({"deletionPolicy": "Delete", "maintenance": {"suspend": true}}));
    let pipeline = Arc::make_mut(&mut observed.pipeline);
    pipeline.metadata.finalizers = Some(vec!["floe.dev/pipeline-cleanup".to_string()]);
    pipeline.metadata.deletion_timestamp = Some(Time(now()));
    assert!(step(&mut observed).1.release.is_none());
    observed.now = now() + SignedDuration::from_mins(10);
    assert!(matches!(step(&mut observed).1.release, Some(Leftover::Data(why)) if why.contains("600 s")));
    observed.now = now();
    Arc::make_mut(&mut observed.pipeline).annotations_mut().insert(labels::SKIP_CLEANUP.to_string(), "true".to_string());
    assert!(matches!(step(&mut observed).1.release, Some(Leftover::Data(_))));
}

#[test]
fn nothing_is_removed_where_an_older_pipeline_has_the_storage() {
    let older = Rival { key: Key::new("data", "older"), uri: "s3://lake/shop".to_string(), volumes: None, created: Some(ago(90_000)) };
    // Of two errors the other one is told.
    for spec in
        [json!({"deletionPolicy": "Delete"}), json!({"deletionPolicy": "Delete", "updatePolicy": {"schedule": {"cron": "61 * * * *"}}})]
    {
        let mut observed = at_rest(&spec);
        observed.rivals = vec![older.clone()];
        assert_eq!(step(&mut observed).1.finalizers, None, "none is set");
        Arc::make_mut(&mut observed.pipeline).metadata.finalizers = Some(vec!["floe.dev/pipeline-cleanup".to_string()]);
        assert_eq!(step(&mut observed).1.finalizers, Some(Vec::new()), "one that is there goes");
        observed.updates.push(Arc::new(PipelineUpdate::new("by-hand", floe_crds::pipeline_update::PipelineUpdateSpec::default())));
        deleted(&mut observed);
        let (_, plan) = step(&mut observed);
        assert!(plan.cleanup.is_none(), "no pod comes near the data of the other");
        assert_eq!(plan.release, Some(Leftover::Nothing));
    }
}

#[test]
fn a_pipeline_that_never_ran_goes_at_once() {
    let mut observed = at_rest(&json!({"deletionPolicy": "Delete", "suspend": true}));
    step(&mut observed);
    deleted(&mut observed);
    assert_eq!(step(&mut observed).1.release, Some(Leftover::Nothing));
}
