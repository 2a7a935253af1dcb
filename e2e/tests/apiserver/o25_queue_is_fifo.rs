//! Updates of a pipeline run one after another in the order in which they were made, and each says how many are before it.

use std::time::Duration;

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{scene::Scene, seen::state, virtual_pods::Script};
use serde_json::json;

/// Not in the order of the alphabet.
const ORDER: [&str; 5] = ["delta", "alpha", "echo", "bravo", "charlie"];

#[tokio::test]
async fn o25_queue_is_fifo() -> anyhow::Result<()> {
    let scene = Scene::open("o25").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().completes());
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    for name in ORDER {
        scene.update(name, "shop", json!({"refresh": [name]})).await?;
        // The API server tells creations apart by seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    for (number, name) in ORDER.iter().enumerate() {
        let place = Some(i32::try_from(number)? + 1);
        let waits =
            |update: &PipelineUpdate| state(update) == Some(UpdateState::Queued) && update.status.as_ref().unwrap().position == place;
        scene.tenant.wait::<PipelineUpdate>(name, &format!("place {place:?}"), waits).await?;
    }
    let queued = |pipeline: &Pipeline| pipeline.status.as_ref().and_then(|status| status.queued) == Some(5);
    scene.tenant.wait::<Pipeline>("shop", "five that wait", queued).await?;
    scene.pods.release("shop-u1-a1");
    for name in ORDER {
        scene.ends(name, UpdateState::Completed).await?;
    }
    let expected: Vec<String> = ["shop-u1"].iter().chain(&ORDER).map(|name| format!("{name}-a1-1")).collect();
    assert_eq!(scene.pods.started(), expected);
    Ok(())
}
