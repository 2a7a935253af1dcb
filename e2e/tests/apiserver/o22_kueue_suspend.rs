//! A batch Job that another controller suspends waits, and the operator leaves that decision alone.

use std::time::Duration;

use floe_crds::{pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{scene::Scene, seen::state, virtual_pods::Script};
use k8s_openapi::api::batch::v1 as batch;
use kube::ResourceExt;
use serde_json::json;

#[tokio::test]
async fn o22_kueue_suspend() -> anyhow::Result<()> {
    let scene = Scene::open("o22").await?;
    // Its pod is there and has not started, as that of a Job that Kueue suspends when it is made.
    scene.pods.every(Script::new().holds().completes());
    scene.pipeline("shop", json!({"runner": {"queueName": "team"}})).await?;
    let job = scene.tenant.wait::<batch::Job>("shop-u1-a1", "be there", |_| true).await?;
    assert_eq!(job.labels().get("kueue.x-k8s.io/queue-name").map(String::as_str), Some("team"));
    let suspended = |job: &batch::Job| job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
    scene.tenant.patch::<batch::Job>("shop-u1-a1", &json!({"spec": {"suspend": true}})).await?;
    let waits = |update: &PipelineUpdate| {
        let message = update.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
        state(update) == Some(UpdateState::WaitingForResources) && message.contains("suspended until a queue admits it")
    };
    scene.tenant.wait::<PipelineUpdate>("shop-u1", "wait for its queue", waits).await?;
    let reverted = |jobs: &[batch::Job]| !jobs.iter().all(suspended);
    scene.tenant.never::<batch::Job>(Duration::from_secs(3), "a Job that the operator has started again", reverted).await?;

    scene.tenant.patch::<batch::Job>("shop-u1-a1", &json!({"spec": {"suspend": false}})).await?;
    scene.pods.release("shop-u1-a1");
    let status = scene.ends("shop-u1", UpdateState::Completed).await?.status.unwrap();
    assert_eq!((status.attempt, status.attempts.len()), (Some(1), 1));
    Ok(())
}
