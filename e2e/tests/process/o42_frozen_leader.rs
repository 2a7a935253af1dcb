//! A leader that slept while another took over writes nothing when it wakes: it ends.

use std::time::Duration;

use floe_e2e::{faults::Proxy, objects::pipeline, tenant::Tenant};
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;

use super::{replica, wait_leader};

#[tokio::test]
async fn a_leader_that_was_frozen_ends_before_it_writes() -> anyhow::Result<()> {
    let tenant = Tenant::new("o42").await?;
    let proxy = Proxy::start(&tenant).await?;
    let mut first = proxy.spawn(&replica(&tenant, "first").await?)?;
    first.wait_ready().await?;
    wait_leader(&first).await?;
    tenant.create(&pipeline("before", json!({}))).await?;
    tenant.wait_list("a write of the first leader", |_: &[Lease]| !proxy.writes().is_empty()).await?;
    let mut second = replica(&tenant, "second").await?.spawn()?;
    second.wait_ready().await?;

    first.freeze()?;
    // What it finds when it wakes, and would act on.
    for number in 0..20 {
        tenant.create(&pipeline(&format!("while-{number}"), json!({}))).await?;
    }
    wait_leader(&second).await?;
    // What was on its way when the process froze has arrived long ago.
    let written = proxy.writes().len();
    tokio::time::sleep(Duration::from_secs(40)).await;
    first.thaw()?;
    assert_eq!(first.wait().await?.code(), Some(1), "{}", first.log());
    assert_eq!(proxy.writes().len(), written, "{:?}", &proxy.writes()[written..]);
    assert_eq!(second.terminate().await?.code(), Some(0));
    let lease = tenant.get::<Lease>("floe-operator").await?.spec.unwrap();
    assert_eq!((lease.holder_identity, lease.lease_transitions), (None, Some(1)), "given back at the end");
    Ok(())
}
