//! Two operators with label selectors share a namespace: each looks after its own pipelines, and neither touches what belongs to the other.

use std::{collections::BTreeMap, time::Duration};

use floe_crds::{condition::ConditionType, pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState, table::Table};
use floe_e2e::{
    objects::{pipeline, table, update},
    operator::Settings,
    scene::Scene,
    seen::Conditions,
    tenant::Tenant,
};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

const SHARDS: [(&str, &str); 2] = [("a", "alpha"), ("b", "beta")];

/// The versions of all objects of a kind by name.
async fn versions<K>(tenant: &Tenant) -> anyhow::Result<BTreeMap<String, String>>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    Ok(tenant.list::<K>().await?.iter().map(|object| (object.name_any(), object.resource_version().unwrap_or_default())).collect())
}

#[tokio::test]
async fn o49_two_operators_share_a_namespace() -> anyhow::Result<()> {
    let tenant = Tenant::new("o49-two").await?;
    let settings = Settings::of(&tenant).await?;
    let _second = settings.clone().with("--label-selector", "shard=b").start().await?;
    let scene = Scene::of(tenant, &settings.with("--label-selector", "shard=a")).await?;
    for (shard, name) in SHARDS {
        let mut object = pipeline(name, json!({"deletionPolicy": "Delete"}));
        object["metadata"]["labels"] = json!({"shard": shard});
        scene.tenant.apply_one(&table(&format!("{name}-one"), name, json!({"name": "one"}))).await?;
        scene.tenant.apply_one(&object).await?;
    }
    for (_, name) in SHARDS {
        scene.ends(&format!("{name}-u1"), UpdateState::Completed).await?;
        scene.tenant.create(&update(&format!("{name}-by-hand"), name, json!({}))).await?;
    }
    for (_, name) in SHARDS {
        scene.ends(&format!("{name}-by-hand"), UpdateState::Completed).await?;
    }
    let ready = |table: &Table| table.said(ConditionType::Ready).0 == "True";
    scene.tenant.wait_list::<Table>("six ready tables", |tables| tables.len() == 6 && tables.iter().all(ready)).await?;

    // Both have had their turn at all of it; at rest nobody writes.
    let all = async || -> anyhow::Result<_> {
        let tenant = &scene.tenant;
        Ok([versions::<Pipeline>(tenant).await?, versions::<PipelineUpdate>(tenant).await?, versions::<Table>(tenant).await?])
    };
    let mut before = all().await?;
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = all().await?;
        if now == before {
            break;
        }
        before = now;
    }

    scene.tenant.delete::<Pipeline>("beta").await?;
    scene.tenant.wait_gone::<Pipeline>("beta").await?;
    let left: Vec<String> = versions::<Pipeline>(&scene.tenant).await?.into_keys().collect();
    assert_eq!(left, ["alpha"]);
    let rows = |tables: &[Table]| tables.iter().filter(|table| table.spec.pipeline == "alpha" && ready(table)).count();
    assert_eq!(rows(&scene.tenant.list::<Table>().await?), 3);
    Ok(())
}
