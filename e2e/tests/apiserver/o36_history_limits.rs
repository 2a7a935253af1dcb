//! Of the updates that ended, the newest ones stay, as many as the limits say; what belongs to the others goes with them.

use floe_crds::{
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    state::{FailureClass, UpdateState},
};
use floe_e2e::{
    scene::Scene,
    seen::{has_ended, state},
    virtual_pods::Script,
};
use k8s_openapi::api::{batch::v1 as batch, core::v1::ConfigMap};
use kube::ResourceExt;
use serde_json::json;

/// Of each kind; more than the limits by some.
const EACH: usize = 5;

#[tokio::test]
async fn o36_history_limits() -> anyhow::Result<()> {
    let scene = Scene::open("o36").await?;
    for number in 0..EACH {
        scene.pods.attempt(&format!("bad{number}-a1"), Script::new().fails(FailureClass::User, "CAST_INVALID_INPUT", "no"));
    }
    scene
        .pipeline("shop", json!({"updatePolicy": {"onChange": "None"}, "updateHistory": {"successfulLimit": 2, "failedLimit": 3}}))
        .await?;
    for number in 0..EACH {
        for kind in ["good", "bad"] {
            let name = format!("{kind}{number}");
            scene.update(&name, "shop", json!({})).await?;
            scene.tenant.wait_list::<PipelineUpdate>("the end of all", |all| all.iter().all(has_ended)).await?;
        }
    }
    let kept = scene.tenant.wait_list::<PipelineUpdate>("two good and three bad", |all| all.len() == 5).await?;
    let count = |wanted| kept.iter().filter(|update| state(update) == Some(wanted)).count();
    assert_eq!((count(UpdateState::Completed), count(UpdateState::Failed)), (2, 3));
    let names: Vec<String> = kept.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["bad2", "bad3", "bad4", "good3", "good4"]);
    scene.tenant.wait_list::<batch::Job>("the Jobs of those that are kept", |jobs| jobs.len() == 5).await?;
    scene
        .tenant
        .wait_list::<ConfigMap>("the requests of those that are kept", |maps| {
            maps.iter().filter(|map| map.name_any().ends_with("-request")).count() == 5
        })
        .await?;

    let spec = json!({"spec": {"updateHistory": {"successfulLimit": 0, "failedLimit": 0, "ttlSecondsAfterFinished": 0}}});
    scene.tenant.patch::<Pipeline>("shop", &spec).await?;
    let kept = scene.tenant.wait_list::<PipelineUpdate>("the newest one", |all| all.len() <= 2).await?;
    let names: Vec<String> = kept.iter().map(ResourceExt::name_any).collect();
    assert!(names.contains(&"bad4".to_string()), "the newest always stays: {names:?}");
    Ok(())
}

/// One hour after the end, request, Job and report are gone; the update itself stays.
#[tokio::test]
async fn children_go_after_an_hour() -> anyhow::Result<()> {
    let scene = Scene::open("o36-children").await?;
    scene.pipeline("shop", json!({})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.update("later", "shop", json!({})).await?;
    scene.ends("later", UpdateState::Completed).await?;
    let long_ago = k8s_openapi::jiff::Timestamp::now() - k8s_openapi::jiff::SignedDuration::from_mins(61);
    let mut attempts = serde_json::to_value(scene.tenant.get::<PipelineUpdate>("shop-u1").await?.status.unwrap().attempts)?;
    attempts[0]["endTime"] = json!(long_ago);
    scene.tenant.patch_status::<PipelineUpdate>("shop-u1", &json!({"endTime": long_ago, "attempts": attempts})).await?;
    scene.tenant.wait_gone::<batch::Job>("shop-u1-a1").await?;
    scene.tenant.wait_gone::<ConfigMap>("shop-u1-a1-request").await?;
    assert_eq!(state(&scene.tenant.get::<PipelineUpdate>("shop-u1").await?), Some(UpdateState::Completed));
    scene.tenant.get::<batch::Job>("later-a1").await?;
    Ok(())
}
