//! Maintenance that is due runs once, after all updates that wait. What it does to files is the runner's part.

use floe_crds::{
    pipeline::Pipeline,
    pipeline_update::{PipelineUpdate, UpdateType},
    state::{Cause, UpdateState},
};
use floe_e2e::{
    scene::Scene,
    seen::{has_ended, state},
    virtual_pods::Script,
};
use kube::ResourceExt;
use serde_json::json;

#[tokio::test]
async fn o54_maintenance_runs() -> anyhow::Result<()> {
    let scene = Scene::open("o54").await?;
    scene.pipeline("shop", json!({"maintenance": {"suspend": false, "everySeconds": 3600}})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    let succeeded = |pipeline: &Pipeline| pipeline.status.as_ref().is_some_and(|status| status.last_successful_update.is_some());
    scene.tenant.wait::<Pipeline>("shop", "know of its success", succeeded).await?;

    // It becomes due while one update runs and another one waits.
    scene.pods.attempt("first-a1", Script::new().runs().holds().completes());
    scene.update("first", "shop", json!({"refresh": ["orders"]})).await?;
    scene.comes_to("first", UpdateState::Running).await?;
    scene.update("second", "shop", json!({"refresh": ["daily"]})).await?;
    scene.comes_to("second", UpdateState::Queued).await?;
    let long_ago = k8s_openapi::jiff::Timestamp::now() - k8s_openapi::jiff::SignedDuration::from_hours(2);
    scene.tenant.patch_status::<Pipeline>("shop", &json!({"lastMaintenanceTime": long_ago})).await?;
    scene.pods.release("first-a1");

    let is_maintenance = |update: &&PipelineUpdate| update.spec.update_type == UpdateType::Maintenance;
    let ended = |all: &[PipelineUpdate]| all.iter().filter(is_maintenance).any(has_ended);
    let all = scene.tenant.wait_list::<PipelineUpdate>("the end of maintenance", ended).await?;
    let round = all.iter().find(is_maintenance).unwrap();
    assert_eq!((state(round), round.spec.cause), (Some(UpdateState::Completed), Cause::InfrastructureMaintenance));
    let last = format!("{}-a1-1", round.name_any());
    assert_eq!(scene.pods.started(), ["shop-u1-a1-1", "first-a1-1", "second-a1-1", &last]);
    let request = scene.pods.request(&format!("{}-a1", round.name_any())).unwrap();
    assert_eq!(request.update.update_type, UpdateType::Maintenance);

    let done = |pipeline: &Pipeline| {
        let status = pipeline.status.as_ref();
        status.and_then(|status| status.last_maintenance_time.as_ref()).is_some_and(|time| time.0 > long_ago)
    };
    let pipeline = scene.tenant.wait::<Pipeline>("shop", "know of its maintenance", done).await?;
    assert_eq!(pipeline.status.unwrap().last_update.unwrap().name, "second", "maintenance is no update of the data");
    assert_eq!(scene.tenant.list::<PipelineUpdate>().await?.iter().filter(is_maintenance).count(), 1);
    Ok(())
}
