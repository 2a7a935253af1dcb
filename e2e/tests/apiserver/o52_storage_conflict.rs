//! One storage root belongs to one pipeline: the younger of two is refused with the name of the other, and starts when the older is gone.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType::{Accepted, Ready},
    pipeline::Pipeline,
    state::UpdateState,
};
use floe_e2e::{scene::Scene, seen::Conditions};
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
