//! Equal requests that wait run once, and all of them end as that one ends.

use floe_crds::{pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{scene::Scene, seen::Conditions, virtual_pods::Script};
use serde_json::json;

#[tokio::test]
async fn o26_equal_requests_coalesce() -> anyhow::Result<()> {
    let scene = Scene::open("o26").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().completes());
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    for name in ["one", "two", "three"] {
        scene.update(name, "shop", json!({"refresh": ["daily"]})).await?;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    }
    scene.update("other", "shop", json!({"refresh": ["orders"]})).await?;
    for name in ["two", "three"] {
        let joined = |update: &PipelineUpdate| update.status.as_ref().is_some_and(|status| status.coalesced_into.as_deref() == Some("one"));
        let update = scene.tenant.wait::<PipelineUpdate>(name, "join the first", joined).await?;
        assert_eq!(update.said(floe_crds::condition::ConditionType::Reconciling).1, "Coalesced");
    }
    scene.pods.release("shop-u1-a1");
    let one = scene.ends("one", UpdateState::Completed).await?.status.unwrap();
    for name in ["two", "three"] {
        let update = scene.ends(name, UpdateState::Completed).await?.status.unwrap();
        assert_eq!((update.end_time, update.attempts.len()), (one.end_time.clone(), 0), "{name} ends with the first");
    }
    scene.ends("other", UpdateState::Completed).await?;
    assert_eq!(scene.pods.started(), ["shop-u1-a1-1", "one-a1-1", "other-a1-1"]);
    Ok(())
}
