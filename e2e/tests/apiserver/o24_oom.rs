//! A runner that needs more memory than it may have gets one more attempt; then the message names limit and flow.

use floe_crds::{condition::ConditionType::Succeeded, state::UpdateState};
use floe_e2e::{scene::Scene, seen::Conditions, virtual_pods::Script};
use serde_json::json;

#[tokio::test]
async fn o24_oom() -> anyhow::Result<()> {
    let scene = Scene::open("o24").await?;
    scene.pods.every(Script::new().runs_out_of_memory());
    scene.pipeline("shop", json!({"runner": {"resources": {"limits": {"memory": "256Mi"}}}})).await?;
    let update = scene.ends("shop-u1", UpdateState::Failed).await?;
    assert_eq!(update.status.as_ref().unwrap().attempts.len(), 2);
    let message = update.message(Succeeded);
    for part in ["256Mi", "main.default.", "spec.runner.resources.limits.memory"] {
        assert!(message.contains(part), "{message}");
    }
    Ok(())
}
