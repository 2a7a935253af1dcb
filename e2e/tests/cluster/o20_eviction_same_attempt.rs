//! A pod that is evicted is replaced within the same attempt, and nothing is counted.

use floe_crds::state::UpdateState;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::EvictParams};

use crate::bookstore::{Bookstore, state};

#[tokio::test]
async fn o20_eviction_same_attempt() -> anyhow::Result<()> {
    let shop = Bookstore::open_with("o20", "target::before=hold:/hold/hold").await?;
    let pod = shop.held("bookstore-u1").await?;
    shop.release().await?;
    shop.tenant.api::<Pod>().evict(&pod.name_any(), &EvictParams::default()).await?;
    let update = shop.ended(1).await?;
    let status = update.status.clone().unwrap();
    assert_eq!(state(&update), Some(UpdateState::Completed), "{status:#?}");
    assert_eq!(status.attempts.len(), 1, "{:#?}", status.attempts);
    assert_ne!(status.attempts[0].pod, Some(pod.name_any()), "another pod of the same attempt");
    assert_eq!(shop.bronze().await?.0, 2000);
    Ok(())
}
