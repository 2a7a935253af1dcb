//! A pod that is evicted is replaced within the same attempt, and nothing is counted.

use floe_crds::state::UpdateState;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, EvictParams},
};

use crate::bookstore::{Bookstore, state};

/// The time that the pod has to end, in seconds.
const GRACE: u32 = 10;

#[tokio::test]
async fn o20_eviction_same_attempt() -> anyhow::Result<()> {
    let shop = Bookstore::open_with("o20", "target::before=hold:/hold/hold").await?;
    let pod = shop.held("bookstore-u1").await?;
    let delete_options = Some(DeleteParams { grace_period_seconds: Some(GRACE), ..DeleteParams::default() });
    shop.tenant.api::<Pod>().evict(&pod.name_any(), &EvictParams { delete_options, ..EvictParams::default() }).await?;
    // Only now, or the pod might be done before it is evicted. The next one is not held.
    shop.release().await?;
    let update = shop.ended(1).await?;
    let status = update.status.clone().unwrap();
    assert_eq!(state(&update), Some(UpdateState::Completed), "{status:#?}");
    assert_eq!(status.attempts.len(), 1, "{:#?}", status.attempts);
    assert_ne!(status.attempts[0].pod, Some(pod.name_any()), "another pod of the same attempt");
    assert_eq!(shop.bronze().await?.0, 2000);
    Ok(())
}
