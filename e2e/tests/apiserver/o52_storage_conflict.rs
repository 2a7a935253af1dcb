//! One storage root belongs to one pipeline: the younger of two is refused with the name of the other, and starts when the older is gone.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType::{Accepted, Ready},
    pipeline::Pipeline,
    state::UpdateState,
};
use floe_e2e::{scene::Scene, seen::Conditions, virtual_pods::Script};
use k8s_openapi::api::batch::v1 as batch;
use kube::ResourceExt;
use serde_json::json;

#[tokio::test]
async fn o52_storage_conflict() -> anyhow::Result<()> {
    let scene = Scene::open("o52").await?;
    scene.pipeline("older", json!({"storage": {"uri": "s3://lake/root"}})).await?;
    scene.ends("older-u1", UpdateState::Completed).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (name, uri) in [("equal", "s3://lake/root/"), ("nested", "s3://lake/root/inner")] {
        scene.pipeline(name, json!({"storage": {"uri": uri}})).await?;
        let object = scene.says(name, Accepted, "False", "StorageConflict").await?;
        assert!(object.message(Accepted).contains("older"), "{}", object.message(Accepted));
    }
    scene.pipeline("beside", json!({"storage": {"uri": "s3://lake/root2"}})).await?;
    scene.ends("beside-u1", UpdateState::Completed).await?;
    assert_eq!(scene.tenant.get::<Pipeline>("older").await?.said(Ready), ("True", "GraphValid"));
    assert_eq!(scene.updates().await?, ["beside-u1", "older-u1"]);

    scene.tenant.delete::<Pipeline>("nested").await?;
    scene.tenant.delete::<Pipeline>("older").await?;
    scene.ends("equal-u1", UpdateState::Completed).await?;
    Ok(())
}

/// A copied manifest that is refused has no data: those under its root belong to the other one.
#[tokio::test]
async fn a_refused_copy_removes_nothing() -> anyhow::Result<()> {
    let scene = Scene::open("o52-copy").await?;
    scene.pods.attempt("older-u1-a1", Script::new().runs().holds().completes());
    let shared = json!({"storage": {"uri": "s3://lake/shared"}, "deletionPolicy": "Delete"});
    scene.pipeline("older", shared.clone()).await?;
    scene.comes_to("older-u1", UpdateState::Running).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.pipeline("copy", shared).await?;
    let copy = scene.says("copy", Accepted, "False", "StorageConflict").await?;
    assert!(copy.finalizers().is_empty());
    // One that an earlier version has set.
    let held = json!({"metadata": {"finalizers": ["floe.dev/pipeline-cleanup"]}});
    scene.tenant.annotate::<Pipeline>("copy", "floe.dev/paused", "true").await?;
    scene.tenant.patch::<Pipeline>("copy", &held).await?;
    scene.tenant.delete::<Pipeline>("copy").await?;
    scene.tenant.wait_gone::<Pipeline>("copy").await?;
    let jobs: Vec<String> = scene.tenant.list::<batch::Job>().await?.iter().map(ResourceExt::name_any).collect();
    assert_eq!(jobs, ["older-u1-a1"], "no clean-up");
    scene.pods.release("older-u1-a1");
    scene.ends("older-u1", UpdateState::Completed).await?;
    Ok(())
}
