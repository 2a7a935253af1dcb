//! Changes that come together start one update, with the last of them; what does not change the definition starts none.

use std::time::Duration;

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{objects::inline, scene::Scene, seen::state, virtual_pods::Script};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::{Value, json};

fn config_map(text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sql"}, "data": {"shop.sql": text}})
}

#[tokio::test]
async fn edits_of_a_config_map_start_one_update() -> anyhow::Result<()> {
    let scene = Scene::open("o11-map").await?;
    scene.tenant.apply_one(&config_map("CREATE MATERIALIZED VIEW a AS SELECT 1 AS n;")).await?;
    scene
        .pipeline("shop", json!({"source": {"configMaps": [{"name": "sql"}]}, "libraries": null, "updatePolicy": {"debounceSeconds": 2}}))
        .await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    for view in ["b", "c", "d"] {
        scene.tenant.apply_one(&config_map(&format!("CREATE MATERIALIZED VIEW {view} AS SELECT 1 AS n;"))).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    scene.ends("shop-u2", UpdateState::Completed).await?;
    let tables = scene.pods.lake().tables("s3://lake/shop");
    assert_eq!(tables.keys().collect::<Vec<_>>(), ["main.default.a", "main.default.d"], "only the last edit ran");

    scene.tenant.annotate::<ConfigMap>("sql", "note", "no change").await?;
    scene.tenant.annotate::<Pipeline>("shop", "note", "no change").await?;
    scene
        .tenant
        .patch::<Pipeline>("shop", &json!({"metadata": {"labels": {"team": "books"}}, "spec": {"updateHistory": {"failedLimit": 3}}}))
        .await?;
    scene.tenant.never::<PipelineUpdate>(Duration::from_secs(5), "an update that nothing asked for", |all| all.len() > 2).await
}

#[tokio::test]
async fn edits_during_an_update_leave_one_that_waits() -> anyhow::Result<()> {
    let scene = Scene::open("o11-spec").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().completes());
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    for view in ["b", "c", "d"] {
        scene.pipeline("shop", json!({"libraries": [inline(&format!("CREATE MATERIALIZED VIEW {view} AS SELECT 1 AS n;"))]})).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    scene.pods.release("shop-u1-a1");
    let is_load = |update: &PipelineUpdate| !update.spec.selection.validate_only;
    let ended = |all: &[PipelineUpdate]| {
        let ended = all.iter().filter(|update| is_load(update) && state(update) == Some(UpdateState::Completed)).count();
        ended == 2 && all.iter().all(floe_e2e::seen::has_ended)
    };
    let all = scene.tenant.wait_list::<PipelineUpdate>("two completed updates", ended).await?;
    let superseded: Vec<String> =
        all.iter().filter(|update| is_load(update) && state(update) == Some(UpdateState::Canceled)).map(ResourceExt::name_any).collect();
    assert!(superseded.len() <= 2, "{superseded:?}");
    let tables = scene.pods.lake().tables("s3://lake/shop");
    assert_eq!(
        tables.keys().collect::<Vec<_>>(),
        ["main.default.d", "main.default.daily", "main.default.orders"],
        "the last edit ran, and no other"
    );
    Ok(())
}
