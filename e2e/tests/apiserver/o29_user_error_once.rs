//! A mistake of data or definition ends the update at once and names flow and error; the definition stays Ready.

use floe_crds::{
    condition::ConditionType::{Ready, UpdateSucceeded},
    state::{FailureClass, PipelineHealth, UpdateState},
};
use floe_e2e::{scene::Scene, seen::Conditions, virtual_pods::Script};
use serde_json::json;

#[tokio::test]
async fn o29_user_error_once() -> anyhow::Result<()> {
    let scene = Scene::open("o29").await?;
    scene.pods.every(Script::new().fails(FailureClass::User, "CAST_INVALID_INPUT", "the value 'x' cannot be cast to INT"));
    scene.pipeline("shop", json!({})).await?;
    let update = scene.ends("shop-u1", UpdateState::Failed).await?.status.unwrap();
    assert_eq!((update.attempts.len(), update.failed_flows[0].name.as_str()), (1, "main.default.orders"));
    assert_eq!(update.failed_flows[0].error_class, "CAST_INVALID_INPUT");
    assert_eq!(update.failed_flows[0].origin, "shop.sql:1:1");
    let object = scene.says("shop", UpdateSucceeded, "False", "UpdateFailed").await?;
    let message = object.message(UpdateSucceeded);
    assert!(message.contains("main.default.orders") && message.contains("the value 'x' cannot be cast to INT"), "{message}");
    assert_eq!(object.said(Ready), ("True", "GraphValid"));
    let status = object.status.unwrap();
    assert_eq!((status.health, status.consecutive_failures), (Some(PipelineHealth::Unhealthy), Some(1)));
    let last = status.last_update.unwrap();
    assert_eq!((last.name.as_str(), last.state), ("shop-u1", Some(UpdateState::Failed)));
    assert_eq!(last.failed_flows[0], "main.default.orders", "what failed stands before what was skipped");
    Ok(())
}
