//! Flux, `kubectl wait` and others judge objects by the rules of kstatus: each situation of an object gives the verdict that its owner expects.

use floe_crds::{
    condition::ConditionType::{Accepted, Ready, Reconciling, UpdateSucceeded},
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    state::{FailureClass, UpdateState},
};
use floe_e2e::{
    objects::{SQL, inline, pipeline},
    oracle::{Verdict, verdict},
    scene::Scene,
    seen::Conditions,
    virtual_pods::Script,
};
use serde::Serialize;
use serde_json::json;

fn judged(object: &impl Serialize) -> Verdict {
    verdict(&serde_json::to_value(object).unwrap())
}

#[tokio::test]
async fn definitions() -> anyhow::Result<()> {
    let scene = Scene::open("o02-definitions").await?;
    scene.pods.attempt("valid-u1-a1", Script::new().starts().holds().completes());
    scene.pipeline("valid", json!({})).await?;
    let object = scene.says("valid", Ready, "Unknown", "Validating").await?;
    assert_eq!(judged(&object), Verdict::InProgress, "a new definition waits for its validation");
    scene.pods.release("valid-u1-a1");
    let object = scene.says("valid", Ready, "True", "GraphValid").await?;
    assert_eq!(judged(&object), Verdict::Current, "the graph is valid");
    scene.ends("valid-u1", UpdateState::Completed).await?;

    scene.operator.freeze()?;
    let object: Pipeline = scene.tenant.patch("valid", &json!({"spec": {"suspend": true}})).await?;
    assert_eq!(judged(&object), Verdict::InProgress, "the generation is not yet seen");
    scene.operator.thaw()?;

    scene.pipeline("clock", json!({"updatePolicy": {"schedule": {"cron": "every night"}}})).await?;
    let object = scene.says("clock", Accepted, "False", "InvalidSchedule").await?;
    assert_eq!((judged(&object), object.said(Ready)), (Verdict::Failed, ("False", "InvalidSchedule")), "a static check failed");

    scene.pipeline("files", json!({"source": {"configMaps": [{"name": "sql"}]}, "libraries": null})).await?;
    let object = scene.says("files", Ready, "False", "ConfigMapNotFound").await?;
    assert_eq!(judged(&object), Verdict::InProgress, "what is missing may come");

    scene.pipeline("unchecked", json!({"updatePolicy": {"onChange": "None"}})).await?;
    let object = scene.says("unchecked", Ready, "True", "NotValidated").await?;
    assert_eq!(judged(&object), Verdict::Current, "no validation is wanted");

    scene.pipeline("wrong", json!({"libraries": [inline("CREATE MATERIALIZED VIEW daily AS SELECT * FROM nowhere;")]})).await?;
    let object = scene.says("wrong", Ready, "False", "GraphInvalid").await?;
    assert_eq!(judged(&object), Verdict::Failed, "the graph is invalid");
    Ok(())
}

#[tokio::test]
async fn updates() -> anyhow::Result<()> {
    let scene = Scene::open("o02-updates").await?;
    scene.pods.attempt("shop-u1-a1", Script::new().runs().holds().completes());
    scene.pods.attempt("bad-a1", Script::new().fails(FailureClass::User, "CAST_INVALID_INPUT", "'x' is no number"));
    scene.pipeline("shop", json!({})).await?;
    scene.comes_to("shop-u1", UpdateState::Running).await?;
    let object = scene.says("shop", Ready, "True", "GraphValid").await?;
    assert_eq!(judged(&object), Verdict::Current, "a sync never waits for a load");
    let update = scene.tenant.get::<PipelineUpdate>("shop-u1").await?;
    assert_eq!((judged(&update), update.said(Reconciling).0), (Verdict::InProgress, "True"), "the update itself runs");
    scene.update("bad", "shop", json!({})).await?;
    let update = scene.comes_to("bad", UpdateState::Queued).await?;
    assert_eq!(judged(&update), Verdict::InProgress, "the update waits");

    scene.pods.release("shop-u1-a1");
    let update = scene.ends("shop-u1", UpdateState::Completed).await?;
    assert_eq!(judged(&update), Verdict::Current);
    let update = scene.ends("bad", UpdateState::Failed).await?;
    assert_eq!(judged(&update), Verdict::Failed);
    let object = scene.says("shop", UpdateSucceeded, "False", "UpdateFailed").await?;
    assert_eq!((judged(&object), object.said(Ready).0), (Verdict::Current, "True"), "the definition is right, the last update failed");
    Ok(())
}

#[tokio::test]
async fn deletion() -> anyhow::Result<()> {
    let scene = Scene::open("o02-deletion").await?;
    scene.tenant.apply_one(&pipeline("shop", json!({"deletionPolicy": "Delete", "libraries": [inline(SQL)]}))).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.tenant.wait::<Pipeline>("shop", "have a finalizer", |pipeline| pipeline.metadata.finalizers.is_some()).await?;
    scene.operator.freeze()?;
    scene.tenant.delete::<Pipeline>("shop").await?;
    assert_eq!(judged(&scene.tenant.get::<Pipeline>("shop").await?), Verdict::Terminating);
    scene.operator.thaw()?;
    Ok(())
}
