//! Nothing is written where nothing changed: not while all is settled, not after a restart, not after all watches began anew.

use std::time::Duration;

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState, table::Table};
use floe_e2e::{
    faults::{Call, Proxy},
    objects::pipeline,
    operator::Settings,
    seen::{Conditions, has_ended},
    tenant::Tenant,
    virtual_pods::VirtualPods,
};
use serde_json::json;

/// One Pipeline, one update and two Tables each.
const PIPELINES: usize = 25;

/// Waits until no write came for two seconds.
async fn settle(proxy: &Proxy) -> Vec<Call> {
    loop {
        let before = proxy.writes().len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        if proxy.writes().len() == before {
            return proxy.writes();
        }
    }
}

#[tokio::test]
async fn o03_idle_writes_nothing() -> anyhow::Result<()> {
    let tenant = Tenant::new("o03").await?;
    let _pods = VirtualPods::start(&tenant);
    let proxy = Proxy::start(&tenant).await?;
    let settings = Settings::of(&tenant).await?;
    let operator = proxy.operator(&settings).await?;
    for number in 0..PIPELINES {
        tenant.apply_one(&pipeline(&format!("shop{number}"), json!({}))).await?;
    }
    tenant.wait_list::<PipelineUpdate>("the end of all", |all| all.len() == PIPELINES && all.iter().all(has_ended)).await?;
    tenant
        .wait_list::<Table>("all tables", |all| all.len() == 2 * PIPELINES && all.iter().all(|table| !table.conditions().is_empty()))
        .await?;
    assert!(tenant.list::<PipelineUpdate>().await?.iter().all(|update| floe_e2e::seen::state(update) == Some(UpdateState::Completed)));

    let settled = settle(&proxy).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(written_since(&proxy, &settled), Vec::<String>::new(), "at rest");

    proxy.expire_watches();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(written_since(&proxy, &settled), Vec::<String>::new(), "after all watches began anew");

    operator.terminate().await?;
    let operator = proxy.operator(&settings).await?;
    while operator.metric("floe_operator_reconcile_total", &[("controller", "pipeline")]).await?.unwrap_or_default() < PIPELINES as f64 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(written_since(&proxy, &settled), Vec::<String>::new(), "a new process has looked at everything");
    assert_eq!(tenant.list::<Pipeline>().await?.len(), PIPELINES);
    Ok(())
}

fn written_since(proxy: &Proxy, settled: &[Call]) -> Vec<String> {
    proxy.writes()[settled.len()..].iter().map(ToString::to_string).collect()
}
