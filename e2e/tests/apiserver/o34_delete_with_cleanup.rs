//! A clean-up removes data only when nothing else writes them, and can always run: with an account, also long after the last update.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType::{Reconciling, Stalled},
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    state::UpdateState,
    table::Table,
};
use floe_e2e::{objects, scene::Scene, seen::Conditions, virtual_pods::Script};
use k8s_openapi::api::{
    batch::v1 as batch,
    core::v1::{ResourceQuota, ServiceAccount},
};
use kube::ResourceExt;
use serde_json::json;

/// The first clean-up whose name is not `known`.
async fn cleanup(scene: &Scene, known: &str) -> anyhow::Result<String> {
    let is_cleanup = |job: &batch::Job| job.name_any().contains("-cleanup-") && job.name_any() != known;
    let jobs = scene.tenant.wait_list::<batch::Job>("a clean-up", |jobs| jobs.iter().any(is_cleanup)).await?;
    Ok(jobs.into_iter().find(is_cleanup).map(|job| job.name_any()).unwrap_or_default())
}

#[tokio::test]
async fn o34_the_cleanup_waits_for_every_writer() -> anyhow::Result<()> {
    let scene = Scene::open("o34").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().completes());
    scene.pipeline("shop", json!({"deletionPolicy": "Delete"})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    let orphan =
        kube::api::DeleteParams { propagation_policy: Some(kube::api::PropagationPolicy::Orphan), ..kube::api::DeleteParams::default() };
    scene.tenant.api::<PipelineUpdate>().delete("shop-u1", &orphan).await?;
    scene.tenant.wait_gone::<PipelineUpdate>("shop-u1").await?;
    scene.tenant.delete::<ServiceAccount>("floe-shop").await?;
    scene.tenant.delete::<Pipeline>("shop").await?;
    let waits = |pipeline: &Pipeline| pipeline.message(Reconciling).contains("the clean-up waits for the end of");
    scene.tenant.wait::<Pipeline>("shop", "wait for the writer", waits).await?;
    let is_cleanup = |jobs: &[batch::Job]| jobs.iter().any(|job| job.name_any().contains("-cleanup-"));
    scene.tenant.never::<batch::Job>(Duration::from_secs(6), "a clean-up beside a runner", is_cleanup).await?;
    scene.pods.every(Script::new().starts().holds().completes());
    scene.pods.release("shop-u1-a1");
    let name = cleanup(&scene, "").await?;
    scene.tenant.get::<ServiceAccount>("floe-shop").await?;
    scene.pods.release(&name);
    scene.tenant.wait_gone::<Pipeline>("shop").await?;
    scene.pods.verdict()
}

#[tokio::test]
async fn a_pipeline_that_never_ran_goes_at_once() -> anyhow::Result<()> {
    let scene = Scene::open("o34-never").await?;
    scene.pipeline("shop", json!({"deletionPolicy": "Delete", "suspend": true})).await?;
    let is_held = |pipeline: &Pipeline| !pipeline.finalizers().is_empty() && pipeline.status.is_some();
    scene.tenant.wait::<Pipeline>("shop", "have its finalizer", is_held).await?;
    scene.tenant.delete::<Pipeline>("shop").await?;
    scene.tenant.wait_gone::<Pipeline>("shop").await?;
    assert!(scene.tenant.list::<batch::Job>().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_quota_forbids_the_cleanup() -> anyhow::Result<()> {
    let scene = Scene::open("o34-quota").await?;
    scene.pipeline("shop", json!({"deletionPolicy": "Delete"})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    let hard = json!({"count/jobs.batch": "1"});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": hard}});
    scene.tenant.create(&quota).await?;
    // What the quota controller would write.
    scene.tenant.patch_status::<ResourceQuota>("full", &json!({"hard": hard, "used": {"count/jobs.batch": "1"}})).await?;
    scene.tenant.delete::<Pipeline>("shop").await?;
    let pipeline = scene.says("shop", Stalled, "True", "QuotaExceeded").await?;
    let message = pipeline.message(Stalled);
    assert!(message.contains("exceeded quota: full") && message.contains("raise the quota"), "{message}");
    scene.tenant.delete::<ResourceQuota>("full").await?;
    scene.tenant.wait_gone::<Pipeline>("shop").await
}

/// The Job of the first clean-up stays for an hour.
#[tokio::test]
async fn every_life_has_its_own_cleanup() -> anyhow::Result<()> {
    let scene = Scene::open("o34-lives").await?;
    scene.pipeline("shop", json!({"deletionPolicy": "Delete"})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.tenant.delete::<Pipeline>("shop").await?;
    scene.tenant.wait_gone::<Pipeline>("shop").await?;
    let first = cleanup(&scene, "").await?;
    scene.tenant.wait_list::<PipelineUpdate>("no updates", <[_]>::is_empty).await?;

    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().stops_slowly());
    scene.tenant.apply_one(&objects::table("kept", "shop", json!({"deletionPolicy": "Delete"}))).await?;
    scene.tenant.wait::<Table>("kept", "be seen: a Table that comes later is a change", |table| table.status.is_some()).await?;
    scene.pipeline("shop", json!({"deletionPolicy": "Retain"})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    scene.tenant.wait::<Table>("kept", "have its finalizer", |table| !table.finalizers().is_empty()).await?;
    let is_held = |pipeline: &Pipeline| !pipeline.finalizers().is_empty();
    scene.tenant.wait::<Pipeline>("shop", "have its finalizer", is_held).await?;
    scene.tenant.delete::<Pipeline>("shop").await?;
    scene.tenant.delete::<Table>("kept").await?;
    let is_gone = |tables: &[Table]| tables.iter().all(|table| table.name_any() != "kept");
    scene.tenant.never::<Table>(Duration::from_secs(4), "a Table that goes before its data", is_gone).await?;
    scene.pods.release("shop-u1-a1");
    cleanup(&scene, &first).await?;
    scene.tenant.wait_gone::<Table>("kept").await?;
    scene.tenant.wait_gone::<Pipeline>("shop").await?;
    scene.pods.verdict()
}
