//! No more pods than allowed at any time, and all updates end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use floe_crds::{pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{
    operator::Settings,
    scene::Scene,
    seen::{has_ended, state},
    tenant::Tenant,
    virtual_pods::Script,
};
use serde_json::json;

#[tokio::test]
async fn o30_limits_hold_back() -> anyhow::Result<()> {
    let tenant = Tenant::new("o30").await?;
    let settings = Settings::of(&tenant).await?.with("--max-active-pods", "3");
    let scene = Arc::new(Scene::of(tenant, &settings).await?);
    scene.pods.every(Script::new().runs().holds().completes());
    for number in 0..10 {
        scene.pipeline(&format!("shop{number}"), json!({})).await?;
    }
    let (most, is_done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let watcher = {
        let (scene, most, is_done) = (scene.clone(), most.clone(), is_done.clone());
        tokio::spawn(async move {
            while !is_done.load(Ordering::Relaxed) {
                most.fetch_max(scene.pods.live().len(), Ordering::Relaxed);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
    };
    scene
        .tenant
        .wait_list::<PipelineUpdate>("three that run", |all| {
            all.iter().filter(|update| state(update) == Some(UpdateState::Running)).count() == 3
        })
        .await?;
    assert_eq!(scene.operator.metric("floe_operator_held_back", &[("limit", "pods")]).await?, Some(7.0));
    for number in 0..10 {
        scene.pods.release(&format!("shop{number}-u1-a1"));
    }
    scene.tenant.wait_list::<PipelineUpdate>("the end of all", |all| all.len() == 10 && all.iter().all(has_ended)).await?;
    is_done.store(true, Ordering::Relaxed);
    watcher.await?;
    assert_eq!(most.load(Ordering::Relaxed), 3);
    Ok(())
}
