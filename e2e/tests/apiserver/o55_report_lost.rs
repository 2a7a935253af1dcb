//! A runner that does not reach the API server is judged by its exit code and last words; one that falls silent is named, and not killed.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType::{Reconciling, Succeeded},
    pipeline_update::PipelineUpdate,
    state::{FailureClass, UpdateState},
};
use floe_e2e::{scene::Scene, seen::Conditions, virtual_pods::Script};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

#[tokio::test]
async fn last_words_stand_for_a_report() -> anyhow::Result<()> {
    let scene = Scene::open("o55-words").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().fails_without_report(FailureClass::Storage, "STORAGE_ACCESS", "403 from s3://lake"));
    scene.pipeline("shop", json!({})).await?;
    let update = scene.ends("shop-u1", UpdateState::Failed).await?;
    let message = update.message(Succeeded);
    assert!(message.contains("STORAGE_ACCESS") && message.contains("403 from s3://lake"), "{message}");
    assert_eq!(update.said(Succeeded).1, "StorageAccess");
    Ok(())
}

#[tokio::test]
async fn a_silent_runner_is_named_and_left_alone() -> anyhow::Result<()> {
    let scene = Scene::open("o55-silent").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().falls_silent().holds().completes());
    scene.pipeline("shop", json!({})).await?;
    let named = |update: &PipelineUpdate| update.said(Reconciling).1 == "RunnerNotReporting";
    scene.tenant.wait::<PipelineUpdate>("shop-u1", "say that its runner is silent", named).await?;
    let is_stopped = |pods: &[Pod]| pods.len() != 1 || pods[0].metadata.deletion_timestamp.is_some();
    scene.tenant.never::<Pod>(Duration::from_secs(3), "a pod that was killed for its silence", is_stopped).await?;
    scene.pods.release("shop-u1-a1");
    scene.ends("shop-u1", UpdateState::Completed).await?;
    Ok(())
}
