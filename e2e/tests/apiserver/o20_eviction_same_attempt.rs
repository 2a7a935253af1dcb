//! A pod that loses its node is followed by another pod of the same attempt, and nothing is counted.

use floe_crds::state::UpdateState;
use floe_e2e::{scene::Scene, virtual_pods::Script};
use serde_json::json;

#[tokio::test]
async fn o20_eviction_same_attempt() -> anyhow::Result<()> {
    let scene = Scene::open("o20").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().evicted().completes());
    scene.pipeline("shop", json!({"retryPolicy": {"maxUpdateRetries": 0}})).await?;
    let update = scene.ends("shop-u1", UpdateState::Completed).await?;
    let status = update.status.unwrap();
    assert_eq!((status.attempt, status.attempts.len()), (Some(1), 1));
    assert_eq!(scene.pods.started(), ["shop-u1-a1-1", "shop-u1-a1-2"]);
    assert_eq!(status.attempts[0].pod.as_deref(), Some("shop-u1-a1-2"));
    Ok(())
}
