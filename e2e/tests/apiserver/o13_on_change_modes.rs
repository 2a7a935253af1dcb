//! What a changed definition starts is for its owner to say; that it is right is known within seconds, however long the running update takes.

use std::time::Duration;

use floe_crds::{condition::ConditionType::Ready, pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{objects::inline, scene::Scene, seen::state, virtual_pods::Script};
use serde_json::json;

#[tokio::test]
async fn validate_writes_no_table_and_none_starts_nothing() -> anyhow::Result<()> {
    let scene = Scene::open("o13-modes").await?;
    scene.pipeline("checked", json!({"updatePolicy": {"onChange": "Validate"}})).await?;
    scene.says("checked", Ready, "True", "GraphValid").await?;
    let update = scene.ends("checked-u1", UpdateState::Completed).await?;
    assert!(update.spec.selection.validate_only);
    assert!(scene.pods.lake().tables("s3://lake/checked").is_empty());

    scene.pipeline("left", json!({"updatePolicy": {"onChange": "None"}})).await?;
    scene.says("left", Ready, "True", "NotValidated").await?;
    scene.pipeline("left", json!({"updatePolicy": {"onChange": "None"}, "configuration": {"a": "b"}})).await?;
    scene
        .tenant
        .never::<PipelineUpdate>(Duration::from_secs(4), "an update that nothing asked for", |all| {
            all.iter().any(|update| update.spec.pipeline == "left") || all.len() > 1
        })
        .await
}

#[tokio::test]
async fn a_change_during_a_long_update_is_judged_at_once() -> anyhow::Result<()> {
    let scene = Scene::open("o13-long").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().completes());
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    scene.pipeline("shop", json!({"libraries": [inline("CREATE MATERIALIZED VIEW daily AS SELECT * FROM nowhere;")]})).await?;
    scene.says("shop", Ready, "False", "GraphInvalid").await?;
    scene.pipeline("shop", json!({"libraries": [inline("CREATE MATERIALIZED VIEW daily AS SELECT 1 AS n;")]})).await?;
    scene.says("shop", Ready, "True", "GraphValid").await?;
    assert_eq!(state(&scene.tenant.get::<PipelineUpdate>("shop-u1").await?), Some(UpdateState::Running));
    let waits = scene.tenant.list::<PipelineUpdate>().await?;
    let waits: Vec<_> = waits.iter().filter(|update| state(update) == Some(UpdateState::Queued)).collect();
    assert_eq!(waits.len(), 1, "the update of the new definition waits");
    scene.pods.release("shop-u1-a1");
    scene.ends(waits[0].metadata.name.as_deref().unwrap(), UpdateState::Completed).await?;
    Ok(())
}
