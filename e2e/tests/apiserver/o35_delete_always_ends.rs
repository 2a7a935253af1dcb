//! What cannot be removed holds nothing for ever: a person who does not want to wait says so, and is told what is left.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType::Stalled,
    pipeline::Pipeline,
    state::{
        FailureClass,
        UpdateState::{Completed, Running},
    },
    table::Table,
};
use floe_e2e::{objects::table, scene::Scene, seen::Conditions, virtual_pods::Script};
use k8s_openapi::api::{batch::v1 as batch, events::v1::Event};
use kube::ResourceExt;
use serde_json::json;

const SKIP: &str = "floe.dev/skip-cleanup";

/// Waits for the Event that lists what is left of an object.
async fn told(scene: &Scene, kind: &str, place: &str) -> anyhow::Result<()> {
    let tells = |event: &Event| {
        let regards = event.regarding.as_ref().and_then(|object| object.kind.as_deref()) == Some(kind);
        regards && event.reason.as_deref() == Some("CleanupFailed") && event.note.as_ref().is_some_and(|note| note.contains(place))
    };
    scene.tenant.wait_list::<Event>(&format!("CleanupFailed of {place}"), |all| all.iter().any(tells)).await.map(drop)
}

#[tokio::test]
async fn o35_delete_always_ends() -> anyhow::Result<()> {
    let scene = Scene::open("o35").await?;
    scene.pipeline("shop", json!({"deletionPolicy": "Delete"})).await?;
    scene.ends("shop-u1", Completed).await?;
    // The clean-up finds its Secret gone and never begins.
    scene.pods.every(Script::new().waits("CreateContainerConfigError", "secret \"lake\" not found", 1));
    scene.tenant.delete::<Pipeline>("shop").await?;
    let is_cleanup = |job: &batch::Job| job.name_any().starts_with("shop-cleanup-");
    scene.tenant.wait_list::<batch::Job>("a clean-up", |jobs| jobs.iter().any(is_cleanup)).await?;
    let held: Pipeline = scene.tenant.get("shop").await?;
    assert_eq!(held.finalizers(), ["floe.dev/pipeline-cleanup"]);
    scene.tenant.annotate::<Pipeline>("shop", SKIP, "true").await?;
    scene.tenant.wait_gone::<Pipeline>("shop").await?;
    told(&scene, "Pipeline", "s3://lake/shop").await?;
    assert_eq!(scene.pods.lake().tables("s3://lake/shop").len(), 2, "the data are there still");
    Ok(())
}

#[tokio::test]
async fn a_clean_up_that_is_refused_says_so_and_is_tried_again_on_request() -> anyhow::Result<()> {
    let scene = Scene::open("o35-refused").await?;
    scene.pipeline("shop", json!({"deletionPolicy": "Delete"})).await?;
    scene.ends("shop-u1", Completed).await?;
    let refused = "Pipeline data/other wrote this storage last (remove the data by hand)";
    scene.pods.every(Script::new().fails_without_report(FailureClass::User, "STORAGE_OF_ANOTHER_PIPELINE", refused));
    scene.tenant.delete::<Pipeline>("shop").await?;
    // Once the Job is over, too, it is known when the next one begins.
    let is_told = |pipeline: &Pipeline| {
        pipeline.said(Stalled) == ("True", "CleanupFailed") && pipeline.message(Stalled).contains("is tried again at")
    };
    let told = scene.tenant.wait::<Pipeline>("shop", "say why its data are still there", is_told).await?;
    let message = told.message(Stalled);
    assert!(message.contains(&format!("[STORAGE_OF_ANOTHER_PIPELINE] {refused}")), "{message}");
    assert!(message.contains(SKIP), "{message}");
    // Nothing is tried in between.
    let cleanups = |jobs: &[batch::Job]| jobs.iter().filter(|job| job.name_any().starts_with("shop-cleanup-")).count();
    scene.tenant.never::<batch::Job>(Duration::from_secs(4), "a second clean-up", |jobs| cleanups(jobs) > 1).await?;
    assert_eq!(scene.tenant.get::<Pipeline>("shop").await?.resource_version(), told.resource_version(), "and nothing is written");

    scene.pods.every(Script::new().starts().completes());
    scene.tenant.annotate::<Pipeline>("shop", "floe.dev/reconcile-requested-at", "now").await?;
    scene.tenant.wait_gone::<Pipeline>("shop").await?;
    assert_eq!(cleanups(&scene.tenant.list().await?), 2);
    scene.pods.verdict()
}

#[tokio::test]
async fn a_table_goes_when_no_update_can_remove_its_data() -> anyhow::Result<()> {
    let scene = Scene::open("o35-table").await?;
    scene.tenant.apply_one(&table("one", "shop", json!({"deletionPolicy": "Delete"}))).await?;
    scene.pipeline("shop", json!({})).await?;
    scene.ends("shop-u1", Completed).await?;
    scene
        .tenant
        .wait::<Table>("one", "know where its data are", |table| table.status.as_ref().is_some_and(|s| s.location.is_some()))
        .await?;
    // The update that shall remove them does not come to it.
    scene.pods.every(Script::new().runs().holds());
    scene.tenant.delete::<Table>("one").await?;
    scene.comes_to("shop-u2", Running).await?;
    let held: Table = scene.tenant.get("one").await?;
    assert_eq!(held.finalizers(), ["floe.dev/table-cleanup"]);
    scene.tenant.annotate::<Table>("one", SKIP, "true").await?;
    scene.tenant.wait_gone::<Table>("one").await?;
    told(&scene, "Table", "s3://lake/shop/main/default/one").await
}
