//! Two replicas: one works, the other takes over, and no update is lost or made twice.

use std::time::Duration;

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{objects::pipeline, tenant::Tenant, virtual_pods::VirtualPods};
use k8s_openapi::api::batch::v1 as batch;
use kube::ResourceExt;
use serde_json::json;

use super::{replica, wait_leader};

const PIPELINES: usize = 50;

#[tokio::test]
async fn another_takes_over_when_the_leader_dies() -> anyhow::Result<()> {
    let tenant = Tenant::new("o41-dies").await?;
    let pods = VirtualPods::start(&tenant);
    let first = replica(&tenant, "first").await?.start().await?;
    wait_leader(&first).await?;
    let second = replica(&tenant, "second").await?.start().await?;
    for number in 0..PIPELINES {
        tenant.create(&pipeline(&format!("p{number}"), json!({}))).await?;
    }
    tenant.wait_list("some attempts", |jobs: &[batch::Job]| jobs.len() >= 5).await?;
    first.kill().await?;
    let took = wait_leader(&second).await?;
    assert!(took <= Duration::from_secs(20), "the other took over after {took:?}");
    let done = |pipeline: &Pipeline| {
        let status = pipeline.status.as_ref();
        status.and_then(|status| status.last_update.as_ref()?.state) == Some(UpdateState::Completed)
    };
    // In steps, because a machine that does much else needs more time for so many.
    for wanted in [PIPELINES / 2, PIPELINES * 3 / 4, PIPELINES] {
        let what = format!("{wanted} updates completed");
        tenant.wait_list(&what, |all: &[Pipeline]| all.iter().filter(|pipeline| done(pipeline)).count() >= wanted).await?;
    }

    let updates = tenant.list::<PipelineUpdate>().await?;
    assert_eq!(updates.len(), PIPELINES, "one update for each definition");
    assert!(updates.iter().all(|update| update.status.as_ref().unwrap().attempt == Some(1)));
    let mut started = pods.started();
    started.sort();
    let mut expected: Vec<String> = updates.iter().map(|update| format!("{}-a1-1", update.name_any())).collect();
    expected.sort();
    assert_eq!(started, expected, "one pod for each update");
    pods.verdict()?;
    second.kill().await
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_at_once() -> anyhow::Result<()> {
    let tenant = Tenant::new("o41-stops").await?;
    let first = replica(&tenant, "first").await?.start().await?;
    wait_leader(&first).await?;
    let second = replica(&tenant, "second").await?.start().await?;
    assert_eq!(second.metric(super::LEADER, &[]).await?, Some(0.0), "one at a time");
    assert_eq!(first.terminate().await?.code(), Some(0));
    let took = wait_leader(&second).await?;
    assert!(took <= Duration::from_secs(3), "the other took over after {took:?}");
    assert_eq!(second.terminate().await?.code(), Some(0));
    Ok(())
}
