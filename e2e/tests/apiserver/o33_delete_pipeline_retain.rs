//! What was made for a Pipeline goes with it, also what people made for it; the Pipeline of the same name that comes next has nothing to do with it.

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState, table::Table};
use floe_e2e::{scene::Scene, seen::has_ended, virtual_pods::Script};
use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};
use kube::ResourceExt;
use serde_json::json;

#[tokio::test]
async fn o33_updates_by_hand_go_with_the_pipeline() -> anyhow::Result<()> {
    let scene = Scene::open("o33").await?;
    scene.pipeline("shop", json!({"updatePolicy": {"onChange": "None"}})).await?;
    scene.update("done", "shop", json!({})).await?;
    let done = scene.ends("done", UpdateState::Completed).await?;
    let owner = &done.owner_references()[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str(), owner.controller), ("Pipeline", "shop", Some(true)));
    scene.pods.attempt("by-hand-a1", Script::new().runs().holds());
    scene.update("by-hand", "shop", json!({})).await?;
    scene.comes_to("by-hand", UpdateState::Running).await?;
    scene.tenant.delete::<Pipeline>("shop").await?;
    scene.tenant.wait_list::<PipelineUpdate>("no updates", <[_]>::is_empty).await?;
    scene.tenant.wait_list::<batch::Job>("no batch Jobs", <[_]>::is_empty).await?;
    scene.tenant.wait_list::<Pod>("no pods", <[_]>::is_empty).await?;
    scene.pods.verdict()
}

/// Nobody looks after a runner whose Pipeline is gone, so it stops, also where the garbage collector was told to leave its update alone.
#[tokio::test]
async fn orphaned_runners_stop() -> anyhow::Result<()> {
    let scene = Scene::open("o33-orphan").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds());
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    let orphan =
        kube::api::DeleteParams { propagation_policy: Some(kube::api::PropagationPolicy::Orphan), ..kube::api::DeleteParams::default() };
    scene.tenant.api::<Pipeline>().delete("shop", &orphan).await?;
    let update = scene.ends("shop-u1", UpdateState::Canceled).await?;
    assert!(update.owner_references().is_empty());
    scene.pods.verdict()
}

/// As `kubectl delete -f` and `kubectl apply -f` at once do: the objects of the earlier life are still there.
#[tokio::test]
async fn made_again_at_once() -> anyhow::Result<()> {
    let scene = Scene::open("o33-again").await?;
    scene.pipeline("shop", json!({})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.tenant.wait::<Table>("shop-daily", "be looked at", |table| table.status.is_some()).await?;
    scene.tenant.delete::<Pipeline>("shop").await?;
    scene.pipeline("shop", json!({})).await?;
    let again: Pipeline = scene.tenant.get("shop").await?;
    let is_of_it = |owners: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference]| {
        owners.iter().any(|owner| Some(&owner.uid) == again.metadata.uid.as_ref())
    };
    let has_update = |all: &[PipelineUpdate]| all.iter().any(|update| is_of_it(update.owner_references()) && has_ended(update));
    scene.tenant.wait_list::<PipelineUpdate>("an update of its own", has_update).await?;
    let is_new = |table: &Table| is_of_it(table.owner_references());
    scene.tenant.wait::<Table>("shop-daily", "belong to the new Pipeline", is_new).await?;
    let last = |pipeline: &Pipeline| pipeline.status.as_ref().and_then(|status| status.last_update.clone());
    let pipeline = scene.tenant.wait::<Pipeline>("shop", "know its update", |pipeline| last(pipeline).is_some()).await?;
    let named = last(&pipeline).map(|last| last.id);
    assert!(scene.tenant.list::<PipelineUpdate>().await?.iter().any(|update| update.uid() == named), "not one of the earlier life");
    scene.pods.verdict()
}
