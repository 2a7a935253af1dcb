//! A report of another pod is ignored, and names reach nothing outside their own namespace.

use std::time::Duration;

use floe_crds::{condition::ConditionType::Ready, pipeline_update::PipelineUpdate, run_report::RunReport, state::UpdateState};
use floe_e2e::{objects::update, scene::Scene, seen::state, tenant::Tenant, virtual_pods::Script};
use serde_json::json;

#[tokio::test]
async fn a_report_of_another_pod_is_ignored() -> anyhow::Result<()> {
    let scene = Scene::open("o51-report").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().completes());
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    let spoof = json!({"spec": {"podUid": "00000000-0000-0000-0000-000000000000", "sequence": 1000, "state": "COMPLETED",
        "result": {"exitCode": 0}, "totals": {"rowsWritten": 999}}});
    scene.tenant.patch::<RunReport>("shop-u1-a1", &spoof).await?;
    let believed = |all: &[PipelineUpdate]| {
        let status = all[0].status.as_ref().unwrap();
        state(&all[0]) != Some(UpdateState::Running) || status.totals.as_ref().is_some_and(|totals| totals.rows_written == 999)
    };
    scene.tenant.never::<PipelineUpdate>(Duration::from_secs(4), "an update that believes another pod", believed).await?;
    scene.pods.release("shop-u1-a1");
    scene.ends("shop-u1", UpdateState::Completed).await?;
    Ok(())
}

#[tokio::test]
async fn names_do_not_reach_other_namespaces() -> anyhow::Result<()> {
    let scene = Scene::open("o51-names").await?;
    let other = Tenant::new("o51-other").await?;
    other.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sql"}, "data": {"a.sql": "SELECT 1"}})).await?;
    scene.pipeline("shop", json!({"source": {"configMaps": [{"name": "sql"}]}})).await?;
    scene.says("shop", Ready, "False", "ConfigMapNotFound").await?;
    // The operator watches one namespace: what is elsewhere is not its business.
    other.create(&update("now", "shop", json!({}))).await?;
    other.never::<PipelineUpdate>(Duration::from_secs(3), "a look into another namespace", |all| all[0].status.is_some()).await
}
