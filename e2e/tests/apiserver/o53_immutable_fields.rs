//! What must not change is refused with the reason.

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, table::Table};
use floe_e2e::{
    objects::{pipeline, table, update},
    tenant::Tenant,
};
use serde_json::json;

#[tokio::test]
async fn o53_immutable_fields() -> anyhow::Result<()> {
    let tenant = Tenant::new("o53").await?;
    for object in [pipeline("shop", json!({})), table("daily", "shop", json!({})), update("now", "shop", json!({}))] {
        tenant.apply_one(&object).await?;
    }
    let error = tenant.patch::<Pipeline>("shop", &json!({"spec": {"storage": {"uri": "s3://lake/other"}}})).await.unwrap_err().to_string();
    assert!(error.contains("storage.uri is immutable: tables would be lost from view; create a new Pipeline"), "{error}");
    let error = tenant.patch::<Table>("daily", &json!({"spec": {"type": "StreamingTable"}})).await.unwrap_err().to_string();
    assert!(error.contains("type is immutable"), "{error}");
    let error = tenant.patch::<PipelineUpdate>("now", &json!({"spec": {"fullRefreshAll": true}})).await.unwrap_err().to_string();
    assert!(error.contains("PipelineUpdate spec is immutable; only cancel may change"), "{error}");

    tenant.patch::<PipelineUpdate>("now", &json!({"spec": {"cancel": "Graceful"}})).await?;
    let error = tenant.patch::<PipelineUpdate>("now", &json!({"spec": {"cancel": "None"}})).await.unwrap_err().to_string();
    assert!(error.contains("cancel only rises: None, Graceful, Immediate"), "{error}");
    Ok(())
}
