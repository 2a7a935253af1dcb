//! A pod that is evicted is replaced within the same attempt, and nothing is counted.

use floe_crds::state::UpdateState;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::EvictParams};
use serde_json::json;

use crate::bookstore::{Bookstore, state};

/// The time that a pod has to end, in seconds; as short as may be.
const GRACE: i64 = 30;

#[tokio::test]
async fn o20_eviction_same_attempt() -> anyhow::Result<()> {
    let shop = Bookstore::empty("o20").await?;
    shop.apply_with("target::before=hold:/hold/hold", json!({"runner": {"terminationGracePeriodSeconds": GRACE}})).await?;
    let pod = shop.held("bookstore-u1").await?;
    shop.tenant.api::<Pod>().evict(&pod.name_any(), &EvictParams::default()).await?;
    // Only when its container has ended: released earlier, it might be done before the kubelet tells it to stop. The next one is not held.
    shop.tenant.wait_list::<Pod>("the end of the evicted runner", |pods| pods.iter().all(|found| !is_at_work(found, &pod))).await?;
    shop.release().await?;
    let update = shop.ended(1).await?;
    let status = update.status.clone().unwrap();
    assert_eq!(state(&update), Some(UpdateState::Completed), "{status:#?}");
    assert_eq!(status.attempts.len(), 1, "{:#?}", status.attempts);
    assert_ne!(status.attempts[0].pod, Some(pod.name_any()), "another pod of the same attempt");
    let counted = status.retries.unwrap_or_default();
    assert_eq!((counted.transient, counted.interrupted, counted.unknown), (0, 0, 0), "nothing is counted");
    assert_eq!(shop.bronze().await?.0, 2000);
    Ok(())
}

/// True if `found` is `evicted` and its container has not ended.
fn is_at_work(found: &Pod, evicted: &Pod) -> bool {
    let containers = found.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut states = containers.filter_map(|container| container.state.as_ref());
    found.uid() == evicted.uid() && !states.any(|state| state.terminated.is_some())
}
