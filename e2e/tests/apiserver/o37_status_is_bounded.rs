//! However much a runner tells, what the operator writes stays small; numbers stay right, and what was cut is counted.

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, run_report::RunReport, state::UpdateState, table::Table};
use floe_e2e::{scene::Scene, virtual_pods::Script};
use serde_json::{Value, json};

const LIMIT: usize = 256 * 1024;
const FAILED: usize = 300;
const EXPECTATIONS: usize = 120;

fn size(status: &impl serde::Serialize) -> anyhow::Result<usize> {
    Ok(serde_json::to_string(status)?.len())
}

#[tokio::test]
async fn o37_status_is_bounded() -> anyhow::Result<()> {
    let scene = Scene::open("o37").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().exits(10));
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;

    let text = "x".repeat(900);
    let flows: Vec<Value> = (0..FAILED)
        .map(|number| {
            let name = format!("main.default.flow{number:04}");
            json!({"name": name, "dataset": name, "state": "FAILED", "errorClass": "CAST_INVALID_INPUT", "message": text, "origin": "shop.sql:1:1"})
        })
        .collect();
    let quality: Vec<Value> = (0..EXPECTATIONS)
        .map(|number| json!({"name": format!("expectation{number:03}"), "action": "WARN", "passed": 1, "failed": number}))
        .collect();
    let tables = json!([{"fullName": "main.default.orders", "rows": 7, "quality": quality, "refresh": {"update": "shop-u1"}}]);
    let told = json!({"spec": {"sequence": 1000, "flows": flows, "tables": tables}});
    scene.tenant.patch::<RunReport>("shop-u1-a1", &told).await?;

    let table = scene
        .tenant
        .wait::<Table>("shop-orders", "know its quality", |table| table.status.as_ref().is_some_and(|status| !status.quality.is_empty()))
        .await?
        .status
        .unwrap();
    assert_eq!((table.quality.len(), table.quality_truncated), (50, Some(true)));
    assert_eq!(table.failed_records, Some((0..EXPECTATIONS as i64).sum()), "what was left out is counted");
    assert!(size(&table)? <= LIMIT);
    assert_eq!(scene.operator.metric("floe_operator_status_truncated_total", &[("kind", "Table")]).await?, Some(1.0));

    scene.pods.release("shop-u1-a1");
    let update = scene.ends("shop-u1", UpdateState::Failed).await?.status.unwrap();
    assert_eq!((update.failed_flows.len(), update.flows.as_ref().unwrap().failed), (20, FAILED as i32));
    assert!(size(&update)? <= LIMIT, "{}", size(&update)?);
    assert!(scene.operator.metric("floe_operator_status_truncated_total", &[("kind", "PipelineUpdate")]).await? >= Some(1.0));
    let knows = |pipeline: &Pipeline| pipeline.status.as_ref().is_some_and(|status| status.consecutive_failures == Some(1));
    let pipeline = scene.tenant.wait::<Pipeline>("shop", "know of the failure", knows).await?.status.unwrap();
    assert_eq!(pipeline.last_update.as_ref().unwrap().failed_flows.len(), 10);
    assert!(size(&pipeline)? <= LIMIT);
    let last: PipelineUpdate = scene.tenant.get("shop-u1").await?;
    assert!(last.status.unwrap().failed_flows.iter().all(|flow| flow.message.len() <= 512));
    Ok(())
}
