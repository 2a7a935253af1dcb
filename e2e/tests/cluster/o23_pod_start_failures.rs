//! What keeps a pod from starting is told, and the update goes on when it is mended.

use floe_crds::{pipeline_update::PipelineUpdate, state::UpdateState};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ResourceQuota};
use serde_json::json;

use crate::bookstore::{Bookstore, state};

async fn waits_because(shop: &Bookstore, text: &str) -> anyhow::Result<()> {
    let says = |update: &PipelineUpdate| {
        let status = update.status.clone().unwrap_or_default();
        status.state == Some(UpdateState::WaitingForResources) && status.message.unwrap_or_default().contains(text)
    };
    shop.tenant.wait("bookstore-u1", &format!("WAITING_FOR_RESOURCES because of {text}"), says).await.map(drop)
}

#[tokio::test]
async fn o23_quota_and_missing_objects_are_told_and_mended() -> anyhow::Result<()> {
    let shop = Bookstore::open("o23", json!({"suspend": true})).await?;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    shop.tenant.apply_one(&quota).await?;
    shop.apply(json!({"suspend": false})).await?;
    waits_because(&shop, "quota").await?;
    shop.tenant.delete::<ResourceQuota>("none").await?;
    assert_eq!(state(&shop.ended(1).await?), Some(UpdateState::Completed));
    Ok(())
}

#[tokio::test]
async fn o23_unschedulable_pods_wait_for_a_node() -> anyhow::Result<()> {
    let shop = Bookstore::open("o23", json!({"runner": {"nodeSelector": {"floe.dev/nowhere": "yes"}}})).await?;
    waits_because(&shop, "node").await?;
    shop.tenant.get::<PersistentVolumeClaim>(crate::bookstore::CLAIM).await?;
    Ok(())
}

#[tokio::test]
async fn o23_missing_secrets_are_named() -> anyhow::Result<()> {
    let parameter = json!([{"name": "salt", "valueFrom": {"secretKeyRef": {"name": "salt", "key": "SALT"}}}]);
    let shop = Bookstore::open("o23", json!({"parameters": parameter})).await?;
    waits_because(&shop, "salt").await?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "salt"}, "stringData": {"SALT": "x"}});
    shop.tenant.apply_one(&secret).await?;
    assert_eq!(state(&shop.ended(1).await?), Some(UpdateState::Completed));
    Ok(())
}

#[tokio::test]
async fn o23_a_missing_claim_is_named_and_awaited() -> anyhow::Result<()> {
    let claim = "lake-that-comes-later";
    let pod = json!({
        "containers": [{"name": "runner", "volumeMounts": [{"name": "lake", "mountPath": "/lake"}]}],
        "volumes": [{"name": "lake", "persistentVolumeClaim": {"claimName": claim}}],
    });
    let shop = Bookstore::open("o23", json!({"runner": {"podTemplate": {"spec": pod}}})).await?;
    waits_because(&shop, claim).await?;
    let update: PipelineUpdate = shop.tenant.get("bookstore-u1").await?;
    let message = update.status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.contains("create that claim"), "{message}");
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let wanted = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": spec});
    shop.tenant.apply_one(&wanted).await?;
    let update = shop.ended(1).await?;
    assert_eq!(state(&update), Some(UpdateState::Completed), "{:#?}", update.status);
    assert_eq!(update.status.map(|status| status.attempts.len()), Some(1), "the same attempt");
    Ok(())
}
