//! How Pipelines go, with and without their data.

use super::*;

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
    let mut job = cleanup.job;
    observed.cleanup = Some(Arc::new(job.clone()));
    assert!(step(&mut observed).1.cleanup.is_some(), "a Job without its request would wait for ever");
    observed.has_cleanup_request = true;
    assert!(step(&mut observed).1.release.is_none(), "it runs");
    let done = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    job.status = Some(serde_json::from_value(done).unwrap());
    observed.cleanup = Some(Arc::new(job));
    assert_eq!(step(&mut observed).1.release, Some(Leftover::Nothing));
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
