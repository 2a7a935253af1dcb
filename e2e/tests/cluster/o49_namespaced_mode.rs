//! An operator of one namespace has rights in it alone, does everything there, and leaves all others alone.

use floe_crds::{condition::ConditionType, pipeline::Pipeline, state::UpdateState};
use floe_e2e::{
    cluster::{SYSTEM, VALUES, kubectl, restoring, upgrade},
    objects,
    tenant::Tenant,
};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::bookstore::{Bookstore, state};

#[tokio::test]
async fn o49_namespaced_mode() -> anyhow::Result<()> {
    let shop = Bookstore::alone("o49").await?;
    let elsewhere = Tenant::in_cluster("o49-elsewhere").await?;
    let other = elsewhere.clone();
    restoring(async move {
        let tenant = &shop.tenant;
        upgrade(&format!("{VALUES}watchNamespaces: [{}]\n", tenant.name)).await?;
        let clusterwide = tenant.client.clone();
        assert!(Api::<ClusterRole>::all(clusterwide.clone()).get_opt("floe-operator").await?.is_none());
        assert!(Api::<ClusterRoleBinding>::all(clusterwide).get_opt("floe-operator").await?.is_none());
        tenant.get::<Role>("floe-operator").await?;
        let account = format!("system:serviceaccount:{SYSTEM}:floe-operator");
        for place in ["--all-namespaces", &format!("--namespace={}", other.name)] {
            // The answer is also the exit code.
            let may = kubectl(tenant, &["auth", "can-i", "list", "pipelines.floe.dev", place, "--as", &account], None).await;
            assert!(may.is_err(), "{place}: {may:?}");
        }

        let untouched = other.create(&objects::pipeline("shop", json!({"suspend": true}))).await?;
        shop.apply(json!({})).await?;
        let update = shop.ended(1).await?;
        assert_eq!(state(&update), Some(UpdateState::Completed), "{:#?}", update.status);
        shop.condition(ConditionType::Ready, "True", "GraphValid").await?;
        assert_eq!(shop.bronze().await?.0, 2000);
        assert_eq!(shop.shown().await?.len(), 9);
        shop.land().await?;
        assert_eq!(state(&shop.ended(2).await?), Some(UpdateState::Completed));
        assert_eq!(shop.bronze().await?.0, 2001);
        let now: Pipeline = other.get("shop").await?;
        assert_eq!(now.resource_version(), untouched.metadata.resource_version, "{now:#?}");
        Ok(())
    })
    .await?;
    // The operator of the whole cluster looks after it.
    elsewhere.wait::<Pipeline>("shop", "be looked at", |pipeline| pipeline.status.is_some()).await.map(drop)
}
