//! Operator and runner of releases that do not understand each other say so, once.

use floe_crds::{pipeline_update::PipelineUpdate, run_report::RunReport, state::UpdateState};
use floe_e2e::seen::Conditions;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use crate::bookstore::{Bookstore, replay};

const UNKNOWN: u32 = 99;

#[tokio::test]
async fn o48_protocol_skew() -> anyhow::Result<()> {
    let shop = Bookstore::open_with("o48", "target::before=hold:/hold/hold").await?;
    shop.held("bookstore-u1").await?;

    // A runner that is newer than its operator: nobody knows what its report means.
    shop.tenant.patch::<RunReport>("bookstore-u1-a1", &json!({"spec": {"protocol": UNKNOWN}})).await?;
    let update = shop.ended(1).await?;
    let status = update.status.clone().unwrap_or_default();
    assert_eq!((status.state, status.attempts.len()), (Some(UpdateState::Failed), 1), "{status:#?}");
    let message = update.message(floe_crds::condition::ConditionType::Succeeded);
    assert!(message.contains("UNSUPPORTED_PROTOCOL") && message.contains("99"), "{message}");
    shop.release().await?;

    // A request that is newer than its runner.
    let mut request: ConfigMap = shop.tenant.get("bookstore-u1-a1-request").await?;
    let text = request.data.get_or_insert_default().entry("request.json".to_string()).or_default();
    let mut body: Value = serde_json::from_str(text)?;
    body["protocol"] = json!(UNKNOWN);
    let ended = replay(&shop.tenant, "bookstore-u1-a1", &body.to_string()).await?;
    assert_eq!(ended.exit_code, 10, "{ended:?}");
    let told: Value = serde_json::from_str(&ended.message)?;
    assert_eq!(told["errorClass"], "UNSUPPORTED_PROTOCOL");
    shop.tenant.list::<PipelineUpdate>().await.map(|all| assert_eq!(all.len(), 1, "no retry"))
}
