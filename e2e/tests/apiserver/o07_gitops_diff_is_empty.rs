//! What a person applied stays as it was applied: a second apply would change nothing. What a person adds to an object that the operator made stays.

use std::time::Duration;

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState, table::Table};
use floe_e2e::{
    objects::{inline, pipeline, table},
    scene::Scene,
    seen::Conditions,
};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

/// What `kubectl diff` shows: the live object beside what an apply would make of it, at a moment in which the operator wrote nothing.
async fn diff(scene: &Scene, manifest: &Value) -> anyhow::Result<(Value, Value)> {
    let api = scene.tenant.dynamic(manifest)?;
    let name = manifest["metadata"]["name"].as_str().unwrap();
    let (live, applied) = loop {
        let before = api.get(name).await?;
        let applied = api.patch(name, &PatchParams::apply("kubectl").dry_run(), &Patch::Apply(manifest)).await?;
        if api.get(name).await?.resource_version() == before.resource_version() {
            break (before, applied);
        }
    };
    let [live, applied] = [live, applied].map(|mut object| {
        object.managed_fields_mut().clear();
        object.metadata.resource_version = None;
        let mut object = serde_json::to_value(object).unwrap();
        object.as_object_mut().unwrap().remove("status");
        object
    });
    Ok((live, applied))
}

/// A Table that comes after its Pipeline is a change of the definition: one more update, and no other one after it.
#[tokio::test]
async fn a_table_that_comes_later_has_one_update_and_no_diff() -> anyhow::Result<()> {
    let scene = Scene::open("o07-later").await?;
    let manifests = [pipeline("shop", json!({})), table("by-hand", "shop", json!({"freshnessSeconds": 3600}))];
    scene.tenant.apply_one(&manifests[0]).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.tenant.apply_one(&manifests[1]).await?;
    scene.ends("shop-u2", UpdateState::Completed).await?;
    scene.tenant.wait::<Table>("by-hand", "have rows", |table| table.status.as_ref().is_some_and(|status| status.rows.is_some())).await?;
    for manifest in &manifests {
        let (live, applied) = diff(&scene, manifest).await?;
        assert_eq!(live, applied);
        scene.tenant.apply_one(manifest).await?;
    }
    let is_third = |updates: &[PipelineUpdate]| updates.len() != 2;
    scene.tenant.never::<PipelineUpdate>(Duration::from_secs(3), "an update for nothing new", is_third).await?;
    assert_eq!(scene.updates().await?, ["shop-u1", "shop-u2"]);
    Ok(())
}

#[tokio::test]
async fn o07_gitops_diff_is_empty() -> anyhow::Result<()> {
    let scene = Scene::open("o07").await?;
    // The Table first: a Table that comes later is a change of the definition, with an update of its own.
    let manifests = [table("by-hand", "shop", json!({"freshnessSeconds": 3600})), pipeline("shop", json!({}))];
    scene.tenant.apply_one(&manifests[0]).await?;
    scene.tenant.wait::<Table>("by-hand", "be seen", |table| table.status.is_some()).await?;
    scene.tenant.apply_one(&manifests[1]).await?;
    scene.tenant.wait::<Table>("by-hand", "have rows", |table| table.status.as_ref().is_some_and(|status| status.rows.is_some())).await?;
    for manifest in &manifests {
        let (live, applied) = diff(&scene, manifest).await?;
        assert_eq!(live, applied);
        assert_eq!(live["metadata"]["generation"], 1, "the operator changes no spec");
    }

    let labelled: Table = scene.tenant.patch("shop-orders", &json!({"metadata": {"labels": {"team": "books"}}})).await?;
    assert_eq!(labelled.labels()["team"], "books");
    scene.pipeline("shop", json!({"libraries": [inline("CREATE STREAMING TABLE orders AS SELECT 2 AS two;")]})).await?;
    let changed = |table: &Table| table.spec.query.as_deref() == Some("SELECT 2 AS two");
    let table = scene.tenant.wait::<Table>("shop-orders", "follow the SQL", changed).await?;
    assert_eq!(table.labels().get("team").map(String::as_str), Some("books"), "a label of a person stays");
    let pipeline = scene.tenant.get::<Pipeline>("shop").await?;
    assert!(pipeline.labels().is_empty() && pipeline.annotations().is_empty() && !pipeline.conditions().is_empty());
    scene.ends("shop-u2", UpdateState::Completed).await?;
    Ok(())
}
