//! Nothing can be made in a namespace that is being deleted, no clean-up either: the finalizers go at once, and the namespace with them.

use floe_crds::{pipeline::Pipeline, state::UpdateState, table::Table};
use floe_e2e::{objects, operator::Settings, scene::Scene, tenant::Tenant};
use k8s_openapi::api::{core::v1::Namespace, rbac::v1::ClusterRoleBinding};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::json;

#[tokio::test]
async fn o35_a_namespace_goes_at_once() -> anyhow::Result<()> {
    let (home, tenant) = (Tenant::new("o35-home").await?, Tenant::new("o35").await?);
    // In its own namespace the operator would lose its rights first.
    let settings = Settings::of(&home).await?.with("--watch-namespaces", &tenant.name);
    let binding = json!({
        "metadata": {"generateName": "o35-"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "floe-operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "floe-operator", "namespace": home.name}],
    });
    Api::<ClusterRoleBinding>::all(home.client.clone()).create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
    let scene = Scene::of(tenant, &settings).await?;
    scene.pipeline("shop", json!({"deletionPolicy": "Delete"})).await?;
    scene.tenant.apply_one(&objects::table("by-manifest", "shop", json!({}))).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.tenant.wait::<Pipeline>("shop", "have its finalizer", |pipeline| !pipeline.finalizers().is_empty()).await?;
    scene.tenant.wait::<Table>("by-manifest", "have its finalizer", |table| !table.finalizers().is_empty()).await?;
    let namespaces = Api::<Namespace>::all(scene.tenant.client.clone());
    namespaces.delete(&scene.tenant.name, &DeleteParams::default()).await?;
    scene.tenant.wait_gone::<Pipeline>("shop").await?;
    scene.tenant.wait_gone::<Table>("by-manifest").await?;
    assert!(scene.operator.log().contains("the namespace is being deleted"), "{}", scene.operator.log());
    scene.pods.verdict()
}
