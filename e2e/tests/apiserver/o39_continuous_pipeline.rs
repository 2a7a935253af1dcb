//! A continuous pipeline has one living update: stopped gracefully for a new definition, again after a failure, and not again when a person stops it.

use std::time::Duration;

use floe_crds::{
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    state::{Cause, FailureClass, UpdateState},
};
use floe_e2e::{objects::inline, scene::Scene, seen::has_ended, virtual_pods::Script};
use serde_json::json;

const CONTINUOUS: fn() -> serde_json::Value = || json!({"mode": "Continuous", "retryPolicy": {"maxUpdateRetries": 0}});

#[tokio::test]
async fn o39_continuous_pipeline() -> anyhow::Result<()> {
    let scene = Scene::open("o39").await?;
    scene.pods.every(Script::new().runs().holds());
    scene.pipeline("shop", CONTINUOUS()).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;

    let mut changed = CONTINUOUS();
    changed["libraries"] = json!([inline("CREATE STREAMING TABLE clicks AS SELECT 1 AS n;")]);
    // A validation is a pod of its own, and completes.
    scene.pods.attempt("shop-u2-a1", Script::new().completes());
    scene.pipeline("shop", changed).await?;
    scene.ends("shop-u1", UpdateState::Canceled).await?;
    let is_next = |update: &&PipelineUpdate| !update.spec.selection.validate_only && !has_ended(update);
    let all = scene
        .tenant
        .wait_list::<PipelineUpdate>("a successor", |all| {
            all.iter().any(|update| is_next(&update) && floe_e2e::seen::state(update) == Some(UpdateState::Running))
        })
        .await?;
    let next = all.iter().find(is_next).unwrap();
    assert_eq!(next.spec.cause, Cause::SchemaChange);
    scene.pods.verdict()?;

    let name = next.metadata.name.clone().unwrap();
    scene.tenant.patch::<PipelineUpdate>(&name, &json!({"spec": {"cancel": "Graceful"}})).await?;
    scene.ends(&name, UpdateState::Canceled).await?;
    let count = all.len();
    scene.tenant.never::<PipelineUpdate>(Duration::from_secs(5), "an update that a person has stopped", |all| all.len() > count).await?;
    scene.tenant.annotate::<Pipeline>("shop", "floe.dev/update-requested-at", "again").await?;
    scene.tenant.wait_list::<PipelineUpdate>("a requested update", |all| all.len() > count).await?;
    Ok(())
}

#[tokio::test]
async fn after_a_failure_it_starts_again() -> anyhow::Result<()> {
    let scene = Scene::open("o39-fails").await?;
    scene.pods.every(Script::new().runs().holds());
    scene.pods.attempt("shop-u1-a1", Script::new().fails(FailureClass::User, "CAST_INVALID_INPUT", "no"));
    let mut spec = CONTINUOUS();
    spec["retryPolicy"] = json!({"maxUpdateRetries": 0, "minBackoffSeconds": 2, "maxBackoffSeconds": 60});
    scene.pipeline("shop", spec).await?;
    let failed = scene.ends("shop-u1", UpdateState::Failed).await?.status.unwrap().end_time.unwrap().0;
    let next = scene.comes_to("shop-u2", UpdateState::Running).await?;
    let waited = next.metadata.creation_timestamp.unwrap().0.duration_since(failed).as_secs_f64();
    assert!(waited > 0.5, "the successor waits: {waited} s");
    Ok(())
}
