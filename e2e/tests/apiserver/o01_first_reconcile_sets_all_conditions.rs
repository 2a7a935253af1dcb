//! The first status that anyone sees of an object has every condition of its kind, for the generation that was looked at.

use floe_crds::{condition::ConditionType, pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState, table::Table};
use floe_e2e::{
    objects::table,
    scene::Scene,
    seen::{Conditions, Recording},
};
use kube::ResourceExt;
use serde_json::json;

fn check<K: Conditions + ResourceExt>(versions: &[K], types: &[ConditionType]) {
    let first = versions.iter().find(|object| !object.conditions().is_empty()).unwrap();
    let name = first.name_any();
    for kind in types {
        assert_ne!(first.said(*kind), ("", ""), "{name} has no {kind} in its first status");
    }
    assert_eq!(first.conditions().len(), types.len(), "{name}");
    let generation = first.meta().generation;
    assert!(generation.is_some() && first.observed_generation() == generation, "{name}");
    assert!(first.conditions().iter().all(|condition| condition.observed_generation == generation), "{name}");
}

#[tokio::test]
async fn o01_first_reconcile_sets_all_conditions() -> anyhow::Result<()> {
    let scene = Scene::open("o01").await?;
    let pipelines = Recording::<Pipeline>::start(&scene.tenant);
    let tables = Recording::<Table>::start(&scene.tenant);
    let updates = Recording::<PipelineUpdate>::start(&scene.tenant);
    scene.tenant.apply_one(&table("by-hand", "shop", json!({}))).await?;
    scene.pipeline("shop", json!({})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.tenant.wait::<Table>("by-hand", "be looked at", |table| !table.conditions().is_empty()).await?;
    check(&pipelines.versions(), ConditionType::PIPELINE);
    check(&tables.versions(), ConditionType::TABLE);
    check(&updates.versions(), ConditionType::PIPELINE_UPDATE);
    Ok(())
}
