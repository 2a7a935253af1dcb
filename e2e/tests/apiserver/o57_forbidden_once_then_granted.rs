//! A right that is taken away shows as a condition and not as a hot loop; when it is given back, the work goes on.

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{
    faults::Proxy,
    objects::pipeline,
    operator::Settings,
    rights::OPERATOR,
    seen::{Conditions, has_ended, state},
    tenant::Tenant,
    virtual_pods::VirtualPods,
};
use k8s_openapi::api::rbac::v1::RoleBinding;
use serde_json::json;

#[tokio::test]
async fn o57_forbidden_once_then_granted() -> anyhow::Result<()> {
    let tenant = Tenant::new("o57").await?;
    let _pods = VirtualPods::start(&tenant);
    let proxy = Proxy::start(&tenant).await?;
    let operator = proxy.operator(&Settings::of(&tenant).await?).await?;

    let mut rules = tenant.operator_rules().await?;
    for rule in &mut rules {
        if rule.resources.iter().flatten().any(|resource| resource == "jobs") {
            rule.verbs.retain(|verb| verb != "create");
        }
    }
    // Rights in a namespace have no names of things outside of it.
    rules.retain(|rule| !rule.resources.iter().flatten().any(|resource| resource == "namespaces"));
    tenant
        .apply_one(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "less"}, "rules": rules}))
        .await?;
    tenant.bind_operator("Role", "less").await?;
    tenant.delete::<RoleBinding>(&format!("test-{OPERATOR}")).await?;

    tenant.apply_one(&pipeline("shop", json!({}))).await?;
    let denied = |update: &PipelineUpdate| update.conditions().iter().any(|condition| condition.reason == "PermissionDenied");
    let update = tenant.wait::<PipelineUpdate>("shop-u1", "say which right is missing", denied).await?;
    let told = update.conditions().iter().find(|condition| condition.reason == "PermissionDenied").unwrap();
    assert!(told.message.contains("jobs"), "{}", told.message);
    let before = operator.metric("floe_operator_reconcile_errors_total", &[("class", "forbidden")]).await?.unwrap_or_default();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let after = operator.metric("floe_operator_reconcile_errors_total", &[("class", "forbidden")]).await?.unwrap_or_default();
    assert!(after - before <= 1.0, "{} tries in five seconds", after - before);

    tenant.bind_operator("ClusterRole", OPERATOR).await?;
    // Who mended it does not want to wait for the next try.
    tenant.annotate::<PipelineUpdate>("shop-u1", "floe.dev/reconcile-requested-at", "mended").await?;
    tenant.annotate::<Pipeline>("shop", "floe.dev/reconcile-requested-at", "mended").await?;
    let update = tenant.wait::<PipelineUpdate>("shop-u1", "its end", has_ended).await?;
    assert_eq!(state(&update), Some(UpdateState::Completed));
    Ok(())
}
