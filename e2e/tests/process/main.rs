//! The operator as a process: what it shows of itself, how it shares the work with others, how it ends.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod o40_metrics;
mod o41_leader_failover;
mod o42_frozen_leader;
mod o43_health_endpoints;
mod start;

use std::time::{Duration, Instant};

use anyhow::ensure;
use floe_e2e::{
    operator::{Operator, Settings},
    tenant::{PATIENCE, Tenant},
};

const LEADER: &str = "floe_operator_leader";

/// Status and body of a page.
async fn page(operator: &Operator, path: &str) -> anyhow::Result<(u16, String)> {
    match operator.get(path).await {
        Ok(body) => Ok((200, body)),
        Err(error) => match error.downcast::<kube::Error>()? {
            kube::Error::Api(status) => Ok((status.code, status.message)),
            error => Err(error.into()),
        },
    }
}

/// Waits until the page says so.
async fn wait_page(operator: &Operator, path: &str, expected: (u16, &str)) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let found = page(operator, path).await;
        if found.as_ref().is_ok_and(|(code, body)| (*code, body.as_str()) == expected) {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "{path} did not come to {expected:?}; it is {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One of several operators that share the work of a namespace.
async fn replica(tenant: &Tenant, name: &str) -> anyhow::Result<Settings> {
    let mut settings = Settings::of(tenant).await?.with("--leader-elect", "true").with("--pod-name", name);
    settings.log = tenant.logs()?.join(format!("{name}.log"));
    Ok(settings)
}

/// Waits until the operator holds the lease and says how long that took.
async fn wait_leader(operator: &Operator) -> anyhow::Result<Duration> {
    let start = Instant::now();
    while operator.metric(LEADER, &[]).await? != Some(1.0) {
        ensure!(start.elapsed() < PATIENCE, "no leader; its log:\n{}", operator.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(start.elapsed())
}

/// Waits until no series holds this text.
async fn wait_no_series(operator: &Operator, text: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    while let Some(line) = operator.get("/metrics").await?.lines().find(|line| line.contains(text)) {
        ensure!(start.elapsed() < PATIENCE, "there is still {line}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
