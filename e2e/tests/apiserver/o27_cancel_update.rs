//! An update can be stopped in every state; the next one goes on.

use floe_crds::{
    condition::ConditionType::Succeeded,
    pipeline_update::{AttemptClass, PipelineUpdate},
    state::UpdateState,
};
use floe_e2e::{scene::Scene, seen::Conditions, virtual_pods::Script};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

async fn cancel(scene: &Scene, update: &str, how: &str) -> anyhow::Result<()> {
    scene.tenant.patch::<PipelineUpdate>(update, &json!({"spec": {"cancel": how}})).await.map(drop)
}

#[tokio::test]
async fn o27_cancel_update() -> anyhow::Result<()> {
    let scene = Scene::open("o27").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().completes());
    scene.pods.attempt("waits-a1", Script::new().unschedulable("0/1 nodes are available"));
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;

    scene.update("queued", "shop", json!({})).await?;
    scene.comes_to("queued", UpdateState::Queued).await?;
    cancel(&scene, "queued", "Graceful").await?;
    let update = scene.ends("queued", UpdateState::Canceled).await?;
    assert_eq!(update.said(Succeeded), ("False", "UpdateCanceled"));
    assert_eq!(update.status.unwrap().attempts.len(), 0);

    cancel(&scene, "shop-u1", "Graceful").await?;
    let update = scene.ends("shop-u1", UpdateState::Canceled).await?;
    let last = update.status.unwrap().attempts.pop().unwrap();
    assert_eq!((last.class, last.exit_code), (Some(AttemptClass::Canceled), Some(143)));

    scene.update("waits", "shop", json!({})).await?;
    scene.comes_to("waits", UpdateState::WaitingForResources).await?;
    scene
        .tenant
        .wait_list::<Pod>("the pod that no node takes", |pods| pods.iter().any(|pod| pod.metadata.name.as_deref() == Some("waits-a1-1")))
        .await?;
    cancel(&scene, "waits", "Graceful").await?;
    scene.ends("waits", UpdateState::Canceled).await?;

    scene.update("next", "shop", json!({})).await?;
    scene.ends("next", UpdateState::Completed).await?;
    Ok(())
}

/// Five seconds for a runner that does not listen.
#[tokio::test]
async fn immediate_is_within_seconds() -> anyhow::Result<()> {
    let scene = Scene::open("o27-immediate").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().ignores_sigterm());
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    cancel(&scene, "shop-u1", "Immediate").await?;
    let is_urgent = |pod: &Pod| pod.metadata.deletion_grace_period_seconds.is_some_and(|seconds| seconds <= 5);
    scene.tenant.wait::<Pod>("shop-u1-a1-1", "be asked to stop within five seconds", is_urgent).await?;
    scene.ends("shop-u1", UpdateState::Canceled).await?;
    Ok(())
}
