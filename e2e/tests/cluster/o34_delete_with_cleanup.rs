//! Where the policy says so, the data go with the Pipeline: exactly those of the datasets that follow it.

use floe_crds::{pipeline::Pipeline, state::UpdateState};
use serde_json::json;

use crate::bookstore::{Bookstore, NAME, state};

#[tokio::test]
async fn o34_delete_with_cleanup() -> anyhow::Result<()> {
    let shop = Bookstore::open("o34", json!({"deletionPolicy": "Delete"})).await?;
    assert_eq!(state(&shop.ended(1).await?), Some(UpdateState::Completed));
    assert_eq!(shop.bronze().await?.0, 2000);
    let pipeline: Pipeline = shop.tenant.get(NAME).await?;
    assert_eq!(pipeline.metadata.finalizers.unwrap_or_default(), ["floe.dev/pipeline-cleanup"]);
    shop.tenant.delete::<Pipeline>(NAME).await?;
    shop.tenant.wait_gone::<Pipeline>(NAME).await?;
    assert_eq!(shop.bronze().await?.0, 0);
    // Made again, it begins at the beginning.
    shop.apply(json!({"deletionPolicy": "Retain"})).await?;
    assert_eq!(state(&shop.ended(1).await?), Some(UpdateState::Completed));
    assert_eq!(shop.bronze().await?.0, 2000);
    Ok(())
}
