//! A pod that cannot start says why, waits as long as waiting may help, and goes on when it is mended.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType::{Ready, Reconciling, Succeeded},
    pipeline_update::{AttemptClass, PipelineUpdate},
    state::UpdateState,
};
use floe_e2e::{scene::Scene, seen::Conditions, virtual_pods::Script};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::ResourceExt;
use serde_json::json;

/// Waits until the update says why it waits.
async fn waits_because(scene: &Scene, update: &str, reason: &str, text: &str) -> anyhow::Result<PipelineUpdate> {
    let says = |update: &PipelineUpdate| {
        let message = format!(
            "{} {}",
            update.message(Reconciling),
            update.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default()
        );
        floe_e2e::seen::state(update) == Some(UpdateState::WaitingForResources)
            && update.said(Reconciling).1 == reason
            && message.contains(text)
    };
    scene.tenant.wait(update, &format!("wait because of {reason}: {text}"), says).await
}

/// Fails if anything is written about the update while nothing changes.
async fn rests(scene: &Scene, update: &PipelineUpdate) -> anyhow::Result<()> {
    let moves = |all: &[PipelineUpdate]| all.iter().any(|now| now.resource_version() != update.resource_version());
    scene.tenant.never::<PipelineUpdate>(Duration::from_secs(3), "a write about an update that waits", moves).await
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled() -> anyhow::Result<()> {
    let scene = Scene::open("o23-image").await?;
    let text = "Back-off pulling image \"floe:tset\"";
    scene.pods.attempt("soon-u1-a1", Script::new().waits("ImagePullBackOff", text, 30).holds().completes());
    scene.pods.attempt("late-u1-a1", Script::new().waits("ImagePullBackOff", text, 660));
    for name in ["soon", "late"] {
        scene.pipeline(name, json!({})).await?;
    }
    waits_because(&scene, "soon-u1", "PodStartFailed", text).await?;
    scene.pods.release("soon-u1-a1");
    scene.ends("soon-u1", UpdateState::Completed).await?;

    let update = scene.ends("late-u1", UpdateState::Failed).await?;
    let status = update.status.as_ref().unwrap();
    assert_eq!((status.attempts.len(), status.attempts[0].class), (1, Some(AttemptClass::PodStart)));
    let message = update.message(Succeeded);
    assert!(message.contains("POD_START_FAILED") && message.contains(text), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_secret_that_is_missing() -> anyhow::Result<()> {
    let scene = Scene::open("o23-secret").await?;
    let text = "secret \"lake\" not found";
    scene.pods.attempt("shop-u1-a1", Script::new().waits("CreateContainerConfigError", text, 660));
    scene.pipeline("shop", json!({})).await?;
    let update = scene.ends("shop-u1", UpdateState::Failed).await?;
    let status = update.status.as_ref().unwrap();
    assert_eq!(status.attempts[0].class, Some(AttemptClass::Storage));
    assert!(update.message(Succeeded).contains(text), "{}", update.message(Succeeded));
    Ok(())
}

#[tokio::test]
async fn no_node_takes_it() -> anyhow::Result<()> {
    let scene = Scene::open("o23-node").await?;
    let text = "0/3 nodes are available: 3 Insufficient memory.";
    scene.pods.attempt("shop-u1-a1", Script::new().unschedulable(text).holds().completes());
    scene.pipeline("shop", json!({})).await?;
    waits_because(&scene, "shop-u1", "Unschedulable", text).await?;
    scene.pods.release("shop-u1-a1");
    scene.ends("shop-u1", UpdateState::Completed).await?;
    Ok(())
}

#[tokio::test]
async fn a_quota_forbids_the_pod() -> anyhow::Result<()> {
    let scene = Scene::open("o23-quota").await?;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    scene.tenant.create(&quota).await?;
    // What the quota controller would write.
    scene.tenant.patch_status::<ResourceQuota>("none", &json!({"hard": {"pods": "0"}, "used": {"pods": "0"}})).await?;
    scene.pipeline("shop", json!({})).await?;
    waits_because(&scene, "shop-u1", "QuotaExceeded", "exceeded quota").await?;
    scene.tenant.delete::<ResourceQuota>("none").await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    Ok(())
}

#[tokio::test]
async fn a_claim_that_is_missing() -> anyhow::Result<()> {
    let scene = Scene::open("o23-claim").await?;
    let text = "0/1 nodes are available: persistentvolumeclaim \"lake\" not found. not found";
    scene.pods.attempt("shop-u1-a1", Script::new().unschedulable(text).holds().completes());
    scene.pipeline("shop", json!({})).await?;
    waits_because(&scene, "shop-u1", "Unschedulable", text).await?;
    let update = waits_because(&scene, "shop-u1", "Unschedulable", "create that claim").await?;
    rests(&scene, &update).await?;
    scene.pods.release("shop-u1-a1");
    scene.ends("shop-u1", UpdateState::Completed).await?;
    Ok(())
}

#[tokio::test]
async fn a_service_account_that_is_missing() -> anyhow::Result<()> {
    let scene = Scene::open("o23-account").await?;
    scene.pipeline("shop", json!({"runner": {"serviceAccountName": "reader"}})).await?;
    waits_because(&scene, "shop-u1", "PodStartFailed", "serviceaccount \"reader\" not found").await?;
    let update = waits_because(&scene, "shop-u1", "PodStartFailed", "create that service account").await?;
    rests(&scene, &update).await?;
    scene.tenant.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    Ok(())
}

#[tokio::test]
async fn a_config_map_that_is_missing() -> anyhow::Result<()> {
    let scene = Scene::open("o23-config-map").await?;
    let sources = json!({"source": {"configMaps": [{"name": "sql", "path": "transformations"}]}});
    scene.pipeline("shop", sources).await?;
    let pipeline = scene.says("shop", Ready, "False", "ConfigMapNotFound").await?;
    assert!(pipeline.message(Ready).contains("ConfigMap sql is not in namespace"), "{}", pipeline.message(Ready));
    assert_eq!(pipeline.said(Reconciling), ("True", "ConfigMapNotFound"));
    let moves = |all: &[floe_crds::pipeline::Pipeline]| all[0].resource_version() != pipeline.resource_version();
    scene.tenant.never(Duration::from_secs(3), "a write about a Pipeline that waits", moves).await?;
    assert!(scene.updates().await?.is_empty());
    scene.tenant.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sql"}, "data": {}})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.says("shop", Ready, "True", "GraphValid").await?;
    Ok(())
}
