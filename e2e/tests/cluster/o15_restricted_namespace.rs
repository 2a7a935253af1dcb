//! Every pod keeps to the restricted profile, and where a person asks for more it is admission that says no.

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{
    cluster::{SYSTEM, kubectl},
    objects::merge,
};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::bookstore::{Bookstore, NAME, holding, state};

#[tokio::test]
async fn o15_restricted_namespace() -> anyhow::Result<()> {
    let mut privileged = holding();
    let container = json!({"name": "runner", "securityContext": {"privileged": true, "allowPrivilegeEscalation": true}});
    merge(&mut privileged, json!({"runner": {"envFrom": null, "podTemplate": {"spec": {"containers": [container]}}}}));
    let shop = Bookstore::open("o15", privileged).await?;
    for namespace in [SYSTEM, &shop.tenant.name] {
        let profile = "jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}";
        assert_eq!(kubectl(&shop.tenant, &["get", "namespace", namespace, "--output", profile], None).await?, "restricted");
    }
    let refused = |update: &PipelineUpdate| {
        let status = update.status.clone().unwrap_or_default();
        status.state == Some(UpdateState::WaitingForResources) && status.message.unwrap_or_default().contains("violates PodSecurity")
    };
    shop.tenant.wait("bookstore-u1", "be refused by Pod Security", refused).await?;
    assert_eq!(shop.tenant.list::<Pod>().await?.len(), 0);

    // As the operator makes them, all pods are admitted: runner, and clean-up with the Pipeline.
    let stop = json!({"spec": {"cancel": "Immediate"}});
    shop.tenant.patch::<PipelineUpdate>("bookstore-u1", &stop).await?;
    shop.ended(1).await?;
    shop.apply(json!({"deletionPolicy": "Delete"})).await?;
    shop.tenant.annotate::<Pipeline>(NAME, "floe.dev/update-requested-at", "now").await?;
    assert_eq!(state(&shop.ended(2).await?), Some(UpdateState::Completed));
    shop.tenant.delete::<Pipeline>(NAME).await?;
    shop.tenant.wait_gone::<Pipeline>(NAME).await?;
    assert_eq!(shop.bronze().await?.0, 0, "the clean-up ran");
    Ok(())
}
