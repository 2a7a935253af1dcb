//! What the operator did not make it leaves alone, even under a name that it needs: the Pipeline says so and goes on when the name is free.

use floe_crds::{condition::ConditionType::Stalled, pipeline::Pipeline, state::UpdateState};
use floe_e2e::{scene::Scene, seen::Conditions};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
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
