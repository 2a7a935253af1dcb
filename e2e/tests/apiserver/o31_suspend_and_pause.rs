//! Suspended, nothing starts by itself but what is asked for; paused, nothing is touched and the status says so.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType::{Paused, Reconciling},
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    state::UpdateState,
    table::Table,
};
use floe_e2e::{objects::inline, scene::Scene, seen::Conditions, virtual_pods::Script};
use serde_json::json;

#[tokio::test]
async fn suspended_edits_and_schedules_start_nothing() -> anyhow::Result<()> {
    let scene = Scene::open("o31-suspend").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().completes());
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    let often = json!({"schedule": {"quartzCron": "0/10 * * * * ?"}});
    scene.pipeline("shop", json!({"suspend": true, "updatePolicy": often, "configuration": {"a": "b"}})).await?;
    scene.tenant.wait::<Pipeline>("shop", "be seen", |pipeline| pipeline.observed_generation() == pipeline.metadata.generation).await?;
    scene.pods.release("shop-u1-a1");
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.tenant.never::<PipelineUpdate>(Duration::from_secs(12), "an update while suspended", |all| all.len() > 1).await?;
    let suspended = scene.tenant.get::<Pipeline>("shop").await?;
    assert_eq!(
        (suspended.said(Reconciling).1, suspended.message(Reconciling)),
        ("Suspended", "spec.suspend is set: no update starts by itself")
    );
    assert_eq!(suspended.status.unwrap().next_schedule_time, None);

    scene.tenant.annotate::<Pipeline>("shop", "floe.dev/update-requested-at", "now").await?;
    scene.ends("shop-u2", UpdateState::Completed).await?;
    scene.update("by-hand", "shop", json!({})).await?;
    scene.ends("by-hand", UpdateState::Completed).await?;

    scene.tenant.patch::<Pipeline>("shop", &json!({"spec": {"suspend": false}})).await?;
    scene.ends("shop-u3", UpdateState::Completed).await?;
    scene.tenant.patch::<Pipeline>("shop", &json!({"spec": {"suspend": true}})).await?;
    Ok(())
}

#[tokio::test]
async fn paused_nothing_is_touched() -> anyhow::Result<()> {
    let scene = Scene::open("o31-pause").await?;
    scene.pipeline("shop", json!({})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.tenant.wait::<Table>("shop-daily", "be looked at", |table| table.status.is_some()).await?;
    scene.tenant.annotate::<Pipeline>("shop", "floe.dev/paused", "true").await?;
    let paused = scene.says("shop", Paused, "True", "Paused").await?;
    assert_eq!(paused.message(Reconciling), "the annotation floe.dev/paused is set: nothing but the status is written");
    scene.tenant.delete::<Table>("shop-daily").await?;
    let edited = json!({"spec": {"libraries": [inline("CREATE MATERIALIZED VIEW daily AS SELECT 2 AS n;")]}});
    scene.tenant.patch::<Pipeline>("shop", &edited).await?;
    scene.tenant.annotate::<Pipeline>("shop", "floe.dev/update-requested-at", "now").await?;
    scene.tenant.never::<PipelineUpdate>(Duration::from_secs(5), "an update while paused", |all| all.len() > 1).await?;
    assert_eq!(scene.tenant.api::<Table>().get_opt("shop-daily").await?, None, "nothing is made again");

    scene.tenant.patch::<Pipeline>("shop", &json!({"metadata": {"annotations": {"floe.dev/paused": null}}})).await?;
    scene.says("shop", Paused, "False", "NotPaused").await?;
    scene.ends("shop-u2", UpdateState::Completed).await?;
    Ok(())
}
