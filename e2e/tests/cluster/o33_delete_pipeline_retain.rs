//! A Pipeline that is deleted takes its pods with it and leaves its data; made again, it goes on.

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, run_report::RunReport, state::UpdateState, table::Table};
use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};
use serde_json::json;

use crate::bookstore::{Bookstore, NAME, failpoints, hold, holding, state};

#[tokio::test]
async fn o33_delete_pipeline_retain() -> anyhow::Result<()> {
    let shop = Bookstore::open("o33", json!({})).await?;
    assert_eq!(state(&shop.ended(1).await?), Some(UpdateState::Completed));
    shop.tenant.apply_one(&hold()).await?;
    shop.tenant.apply_one(&failpoints("target::before=hold:/hold/hold")).await?;
    shop.apply(holding()).await?;
    shop.land().await?;
    shop.held("bookstore-u2").await?;
    shop.tenant.delete::<Pipeline>(NAME).await?;
    shop.tenant.wait_gone::<Pipeline>(NAME).await?;
    shop.tenant.wait_list::<PipelineUpdate>("no updates", <[_]>::is_empty).await?;
    shop.tenant.wait_list::<Table>("no tables", <[_]>::is_empty).await?;
    shop.tenant.wait_list::<batch::Job>("no batch Jobs", <[_]>::is_empty).await?;
    shop.tenant.wait_list::<RunReport>("no reports", <[_]>::is_empty).await?;
    shop.tenant.wait_list::<Pod>("no pods", <[_]>::is_empty).await?;
    assert_eq!(shop.bronze().await?.0, 2000);
    shop.release().await?;
    shop.apply(json!({})).await?;
    let again = shop.ended(1).await?;
    assert_eq!(state(&again), Some(UpdateState::Completed), "{:#?}", again.status);
    assert_eq!(shop.bronze().await?.0, 2001, "what was landed, once");
    Ok(())
}
