//! Storage that cannot be used: what passes is tried again at growing intervals, what lasts is told once and waits for a person.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType::{Reconciling, UpdateSucceeded},
    pipeline::Pipeline,
    pipeline_update::{AttemptClass, PipelineUpdate},
    state::{FailureClass, UpdateState},
};
use floe_e2e::{scene::Scene, seen::Conditions, virtual_pods::Script};
use serde_json::json;

#[tokio::test]
async fn storage_that_does_not_answer_is_tried_again() -> anyhow::Result<()> {
    let scene = Scene::open("o28-away").await?;
    let said = "cannot read s3://lake/shop: Connection refused (the store may answer again; run again)";
    for attempt in ["shop-u1-a1", "shop-u1-a2"] {
        scene.pods.attempt(attempt, Script::new().fails(FailureClass::Transient, "STORAGE_UNAVAILABLE", said));
    }
    scene.pipeline("shop", json!({"retryPolicy": {"minBackoffSeconds": 2, "maxBackoffSeconds": 60}})).await?;
    let waits = |update: &PipelineUpdate| {
        let message = update.message(Reconciling);
        update.said(Reconciling) == ("True", "Retrying") && message.contains("attempt 3 follows at") && message.contains(said)
    };
    scene.tenant.wait::<PipelineUpdate>("shop-u1", "say what is away and when it is tried again", waits).await?;
    let attempts = scene.ends("shop-u1", UpdateState::Completed).await?.status.unwrap().attempts;
    let classes: Vec<_> = attempts.iter().map(|attempt| attempt.class).collect();
    assert_eq!(classes, [Some(AttemptClass::Transient), Some(AttemptClass::Transient), Some(AttemptClass::Success)]);
    scene.says("shop", UpdateSucceeded, "True", "UpdateCompleted").await?;
    Ok(())
}

#[tokio::test]
async fn storage_that_refuses_is_told_once_and_waits_for_a_person() -> anyhow::Result<()> {
    let scene = Scene::open("o28-denied").await?;
    let said = "cannot write /lake/shop: access is denied (give the user or role of this process the right to read and write there)";
    scene.pods.attempt("shop-u1-a1", Script::new().fails(FailureClass::Storage, "STORAGE_ACCESS_DENIED", said));
    scene.pipeline("shop", json!({})).await?;
    let update = scene.ends("shop-u1", UpdateState::Failed).await?;
    assert_eq!(update.status.unwrap().attempts.len(), 1);
    let pipeline = scene.says("shop", UpdateSucceeded, "False", "StorageAccess").await?;
    let message = pipeline.message(UpdateSucceeded);
    assert!(message.contains("flow main.default.orders") && message.contains(said), "{message}");
    assert!(pipeline.message(Reconciling).contains("the next change or request starts one"), "{}", pipeline.message(Reconciling));
    let repeats = |updates: &[PipelineUpdate]| updates.len() > 1;
    scene.tenant.never::<PipelineUpdate>(Duration::from_secs(3), "an update that would meet the same", repeats).await?;

    scene.tenant.annotate::<Pipeline>("shop", "floe.dev/update-requested-at", "mended").await?;
    scene.ends("shop-u2", UpdateState::Completed).await?;
    scene.says("shop", UpdateSucceeded, "True", "UpdateCompleted").await?;
    Ok(())
}
