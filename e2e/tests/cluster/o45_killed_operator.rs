//! An operator that dies in the middle of an update is missed by nobody.

use floe_crds::{condition::ConditionType, state::UpdateState};
use floe_e2e::cluster::{SYSTEM, kubectl};

use crate::bookstore::{Bookstore, state};

#[tokio::test]
async fn o45_killed_operator() -> anyhow::Result<()> {
    let shop = Bookstore::open_with("o45", "target::before=hold:/hold/hold").await?;
    let pod = shop.held("bookstore-u1").await?;
    let operator =
        ["delete", "pod", "--namespace", SYSTEM, "--selector", "app.kubernetes.io/name=floe-operator", "--force", "--grace-period", "0"];
    kubectl(&shop.tenant, &operator, None).await?;
    shop.release().await?;
    let update = shop.ended(1).await?;
    let status = update.status.clone().unwrap();
    assert_eq!(state(&update), Some(UpdateState::Completed), "{status:#?}");
    assert_eq!(status.attempts.len(), 1);
    assert_eq!(status.attempts[0].pod, pod.metadata.name, "the runner did not notice");
    shop.condition(ConditionType::UpdateSucceeded, "True", "UpdateCompleted").await?;
    assert_eq!(shop.bronze().await?.0, 2000);
    Ok(())
}
