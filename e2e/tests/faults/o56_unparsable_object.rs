//! A stored object that the operator cannot read disturbs nobody else, is counted, and has an Event; when it is mended, it is an object as any other.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use floe_crds::{pipeline::Pipeline, state::UpdateState};
use floe_e2e::{
    apiserver::ApiServer,
    objects::pipeline,
    operator::Settings,
    scene::Scene,
    tenant::{PATIENCE, Tenant},
};
use k8s_openapi::{api::events::v1::Event, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

const KIND: &str = "pipelines.floe.dev";

/// The kind of the next version knows a word that this one does not.
async fn install_next_version(tenant: &Tenant) -> anyhow::Result<()> {
    let kinds = Api::<CustomResourceDefinition>::all(tenant.client.clone());
    let mut versions = serde_json::to_value(&kinds.get(KIND).await?)?["spec"]["versions"].take();
    let words = versions.pointer_mut("/0/schema/openAPIV3Schema/properties/spec/properties/mode/enum").and_then(Value::as_array_mut);
    words.context("spec.mode has no list of words")?.push("Sometimes".into());
    kinds.patch(KIND, &PatchParams::default(), &Patch::Merge(&json!({"spec": {"versions": versions}}))).await?;
    Ok(())
}

/// Creates it as soon as the schema that allows it is in force.
async fn create(tenant: &Tenant, object: &Value) -> anyhow::Result<()> {
    let start = Instant::now();
    while let Err(error) = tenant.create(object).await {
        ensure!(start.elapsed() < PATIENCE, "{error:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn counts(scene: &Scene, wanted: f64) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let found = scene.operator.metric("floe_operator_invalid_objects", &[("kind", "Pipeline")]).await?;
        if found == Some(wanted) {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "unreadable objects: {found:?} and not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn o56_unparsable_object() -> anyhow::Result<()> {
    // A changed kind ends all watches of it: the other tests have another API server.
    let tenant = Tenant::on(ApiServer::alone("o56").await?, "o56").await?;
    let settings = Settings::of(&tenant).await?;
    let scene = Scene::of(tenant, &settings).await?;
    install_next_version(&scene.tenant).await?;
    create(&scene.tenant, &pipeline("strange", json!({"mode": "Sometimes"}))).await?;
    scene.pipeline("shop", json!({})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    counts(&scene, 1.0).await?;
    let about = |event: &Event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some("strange");
    let events = scene.tenant.wait_list::<Event>("an Event on it", |events| events.iter().any(about)).await?;
    let event = events.iter().find(|event| about(event)).unwrap();
    assert!(event.note.as_deref().unwrap().contains("Sometimes"), "{event:?}");

    scene.tenant.patch::<Pipeline>("strange", &json!({"spec": {"mode": "Triggered"}})).await?;
    scene.ends("strange-u1", UpdateState::Completed).await?;
    counts(&scene, 0.0).await
}
