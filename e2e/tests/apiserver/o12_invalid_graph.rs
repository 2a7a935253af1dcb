//! A mistake in the SQL shows in the Pipeline with file, line and column, and goes when it is mended.

use floe_crds::{
    condition::ConditionType::{Ready, Stalled},
    state::{PipelineState, UpdateState},
};
use floe_e2e::{
    objects::{SQL, inline},
    scene::Scene,
    seen::Conditions,
};
use serde_json::json;

#[tokio::test]
async fn o12_invalid_graph() -> anyhow::Result<()> {
    let scene = Scene::open("o12").await?;
    scene.pipeline("shop", json!({"libraries": [inline("-- views\nCREATE MATERIALIZED VIEW daily AS SELECT * FROM nowhere;")]})).await?;
    let object = scene.says("shop", Ready, "False", "GraphInvalid").await?;
    let message = object.message(Ready);
    assert!(message.contains("shop.sql:2:49") && message.contains("TABLE_OR_VIEW_NOT_FOUND"), "{message}");
    assert_eq!(object.said(Stalled).0, "True");
    let update = scene.ends("shop-u1", UpdateState::Failed).await?;
    assert_eq!(update.status.unwrap().attempts.len(), 1, "a mistake is not tried again");

    scene.pipeline("shop", json!({"libraries": [inline(SQL)]})).await?;
    let object = scene.says("shop", Ready, "True", "GraphValid").await?;
    assert_eq!(object.said(Stalled).0, "False");
    scene.ends("shop-u2", UpdateState::Completed).await?;
    let object = scene.tenant.wait("shop", "rest", |pipeline: &floe_crds::pipeline::Pipeline| {
        pipeline.status.as_ref().is_some_and(|status| status.state == Some(PipelineState::Idle))
    });
    assert_eq!(object.await?.status.unwrap().graph.unwrap().datasets, 2);
    Ok(())
}
