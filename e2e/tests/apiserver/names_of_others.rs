//! What the operator did not make it leaves alone, even under a name that it needs: the Pipeline says so and goes on when the name is free.

use floe_crds::{condition::ConditionType::Stalled, pipeline::Pipeline, state::UpdateState};
use floe_e2e::{scene::Scene, seen::Conditions};
use k8s_openapi::api::{core::v1::ServiceAccount, rbac::v1::RoleBinding};
use kube::{
    ResourceExt,
    api::{DeleteParams, PropagationPolicy},
};
use serde_json::json;

#[tokio::test]
async fn names_of_others() -> anyhow::Result<()> {
    let scene = Scene::open("names").await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "floe-shop", "labels": {"app.kubernetes.io/managed-by": "Helm"}}});
    scene.tenant.apply_one(&account).await?;
    let before: ServiceAccount = scene.tenant.get("floe-shop").await?;
    scene.pipeline("shop", json!({})).await?;
    let pipeline = scene.says("shop", Stalled, "True", "NameTaken").await?;
    let message = format!("ServiceAccount {}/floe-shop exists and belongs to someone else; delete or rename it", scene.tenant.name);
    assert_eq!(pipeline.message(Stalled), message);
    assert_eq!(scene.tenant.get::<ServiceAccount>("floe-shop").await?, before, "nobody has touched it");
    assert!(before.owner_references().is_empty());

    scene.tenant.delete::<ServiceAccount>("floe-shop").await?;
    scene.tenant.annotate::<Pipeline>("shop", "floe.dev/reconcile-requested-at", "now").await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.says("shop", Stalled, "False", "GraphValid").await?;
    Ok(())
}

/// After `kubectl delete --cascade=orphan` account and binding belong to nobody. This API server lets nobody take them over who may not delete them.
#[tokio::test]
async fn orphans_are_named() -> anyhow::Result<()> {
    let scene = Scene::open("orphans").await?;
    scene.pipeline("shop", json!({})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    scene.tenant.api::<Pipeline>().delete("shop", &orphan).await?;
    scene.tenant.wait_list::<Pipeline>("no Pipeline", <[_]>::is_empty).await?;
    let before: ServiceAccount = scene.tenant.get("floe-shop").await?;
    assert!(before.owner_references().is_empty());

    scene.pipeline("shop", json!({"parameters": [{"name": "day", "value": "1"}]})).await?;
    let pipeline = scene.says("shop", Stalled, "True", "NameTaken").await?;
    let message = pipeline.message(Stalled);
    assert!(message.contains("/floe-shop was left behind by an earlier Pipeline") && message.contains("delete it too"), "{message}");
    assert_eq!(scene.tenant.get::<ServiceAccount>("floe-shop").await?, before, "nobody has touched it");

    scene.tenant.delete::<ServiceAccount>("floe-shop").await?;
    scene.tenant.delete::<RoleBinding>("floe-shop").await?;
    scene.tenant.annotate::<Pipeline>("shop", "floe.dev/reconcile-requested-at", "now").await?;
    scene.ends("shop-u2", UpdateState::Completed).await?;
    scene.says("shop", Stalled, "False", "GraphValid").await?;
    Ok(())
}
