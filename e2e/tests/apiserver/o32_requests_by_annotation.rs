//! The annotation starts one update for each new text, however often that is set.

use std::time::Duration;

use floe_crds::{
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    state::{Cause, UpdateState},
};
use floe_e2e::scene::Scene;
use serde_json::json;

const KEY: &str = "floe.dev/update-requested-at";

#[tokio::test]
async fn o32_requests_by_annotation() -> anyhow::Result<()> {
    let scene = Scene::open("o32").await?;
    scene.pipeline("shop", json!({})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.tenant.annotate::<Pipeline>("shop", KEY, "tuesday").await?;
    let update = scene.ends("shop-u2", UpdateState::Completed).await?;
    assert_eq!((update.spec.cause, update.spec.request_id.as_str()), (Cause::UserAction, "tuesday"));
    assert_eq!(scene.pods.request("shop-u2-a1").unwrap().update.request_id, "tuesday");
    let handled = |text: &'static str| {
        move |pipeline: &Pipeline| pipeline.status.as_ref().unwrap().last_handled_update_request.as_deref() == Some(text)
    };
    scene.tenant.wait("shop", "echo the request", handled("tuesday")).await?;

    scene.tenant.annotate::<Pipeline>("shop", KEY, "tuesday").await?;
    scene.tenant.annotate::<Pipeline>("shop", "other", "text").await?;
    scene.tenant.never::<PipelineUpdate>(Duration::from_secs(4), "a second update for one text", |all| all.len() > 2).await?;
    scene.tenant.annotate::<Pipeline>("shop", KEY, "wednesday").await?;
    scene.ends("shop-u3", UpdateState::Completed).await?;
    scene.tenant.wait("shop", "echo the request", handled("wednesday")).await?;

    scene.tenant.annotate::<Pipeline>("shop", "floe.dev/reconcile-requested-at", "now").await?;
    let echoed = |pipeline: &Pipeline| pipeline.status.as_ref().unwrap().last_handled_reconcile_at.as_deref() == Some("now");
    scene.tenant.wait("shop", "echo that it was looked at", echoed).await?;
    assert_eq!(scene.updates().await?, ["shop-u1", "shop-u2", "shop-u3"]);
    Ok(())
}

#[tokio::test]
async fn an_update_is_looked_at_anew_on_request() -> anyhow::Result<()> {
    let scene = Scene::open("o32-update").await?;
    scene.pipeline("shop", json!({})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    let read = async |verb: &str, resource: &str| {
        scene.operator.metric("floe_operator_api_requests_total", &[("verb", verb), ("resource", resource), ("code", "200")]).await
    };
    let before = read("list", "jobs").await?.unwrap_or_default();
    for text in ["monday", "tuesday"] {
        scene.tenant.annotate::<PipelineUpdate>("shop-u1", "floe.dev/reconcile-requested-at", text).await?;
        let echoed = |update: &PipelineUpdate| update.status.as_ref().unwrap().last_handled_reconcile_at.as_deref() == Some(text);
        scene.tenant.wait("shop-u1", "echo that it was looked at", echoed).await?;
    }
    let reads = read("list", "jobs").await?.unwrap_or_default() - before;
    assert!(reads >= 2.0, "for each text its batch/v1 Jobs are read, not taken from the cache: {reads}");
    assert_eq!(scene.updates().await?, ["shop-u1"]);
    Ok(())
}
