//! However slowly a runner stops, the next one starts only when it is gone.

use std::time::Duration;

use floe_crds::{pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{scene::Scene, seen::Conditions, virtual_pods::Script};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

#[tokio::test]
async fn o21_never_two_runners() -> anyhow::Result<()> {
    let scene = Scene::open("o21").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().stops_slowly());
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    scene.tenant.patch::<PipelineUpdate>("shop-u1", &json!({"spec": {"cancel": "Graceful"}})).await?;
    scene.update("next", "shop", json!({})).await?;
    scene.tenant.wait::<Pod>("shop-u1-a1-1", "be asked to stop", |pod| pod.metadata.deletion_timestamp.is_some()).await?;
    scene.tenant.never::<Pod>(Duration::from_secs(4), "a second pod beside the one that stops", |pods| pods.len() > 1).await?;
    assert_eq!(scene.pods.live(), ["shop-u1-a1-1"]);
    scene.pods.release("shop-u1-a1");
    scene.ends("next", UpdateState::Completed).await?;
    let stopped = scene.ends("shop-u1", UpdateState::Canceled).await?;
    assert_eq!(stopped.said(floe_crds::condition::ConditionType::Succeeded), ("False", "UpdateCanceled"));
    scene.pods.verdict()
}

/// The batch/v1 Job and its pod may go in any order: what counts is the pod, read from the API server.
#[tokio::test]
async fn a_pod_whose_job_is_gone_still_counts() -> anyhow::Result<()> {
    let scene = Scene::open("o21-orphan").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().stops_slowly());
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    let orphan =
        kube::api::DeleteParams { propagation_policy: Some(kube::api::PropagationPolicy::Orphan), ..kube::api::DeleteParams::default() };
    scene.tenant.api::<k8s_openapi::api::batch::v1::Job>().delete("shop-u1-a1", &orphan).await?;
    scene.tenant.never::<Pod>(Duration::from_secs(4), "a second pod beside the one that lives", |pods| pods.len() > 1).await?;
    scene.tenant.delete::<Pod>("shop-u1-a1-1").await?;
    // Once for what it waits for, and once for its end.
    scene.pods.release("shop-u1-a1");
    scene.pods.release("shop-u1-a1");
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.pods.verdict()
}
