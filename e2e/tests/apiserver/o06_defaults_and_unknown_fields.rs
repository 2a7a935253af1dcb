//! A minimal object comes back with the documented defaults; a field that no kind knows is refused by name.

use floe_crds::{
    pipeline::{Mode, OnChange, Pipeline},
    pipeline_update::{Cancel, PipelineUpdate, UpdateType},
    state::Cause,
    table::Table,
};
use floe_e2e::tenant::Tenant;

#[tokio::test]
async fn o06_defaults_and_unknown_fields() -> anyhow::Result<()> {
    let tenant = Tenant::new("o06").await?;
    tenant
        .apply(
            "apiVersion: floe.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec: {storage: {uri: s3://lake/shop}}
---
apiVersion: floe.dev/v1alpha1
kind: Table
metadata: {name: orders}
spec: {pipeline: shop, type: MaterializedView, query: SELECT 1}
---
apiVersion: floe.dev/v1alpha1
kind: PipelineUpdate
metadata: {name: now}
spec: {pipeline: shop}
",
        )
        .await?;

    let spec = tenant.get::<Pipeline>("shop").await?.spec;
    assert_eq!((spec.catalog.as_str(), spec.schema.as_str(), spec.mode, spec.suspend), ("main", "default", Mode::Triggered, false));
    assert_eq!((spec.update_policy.on_change, spec.update_policy.debounce_seconds), (OnChange::Update, 5));
    assert_eq!((spec.retry_policy.max_flow_retries, spec.retry_policy.max_update_retries), (2, None));
    assert_eq!((spec.update_history.successful_limit, spec.update_history.ttl_seconds_after_finished), (5, 604_800));
    assert_eq!((spec.maintenance.suspend, spec.maintenance.every_seconds), (false, 86_400));
    assert_eq!((spec.event_log.name.as_str(), spec.event_log.retention_days), ("event_log", 30));
    assert_eq!(spec.runner.termination_grace_period_seconds, 60);
    assert_eq!(spec.libraries[0].glob.as_ref().unwrap().include, "transformations/**");

    let stored = tenant.dynamic(&serde_json::json!({"apiVersion": "floe.dev/v1alpha1", "kind": "Pipeline"}))?.get("shop").await?.data;
    let shown = &stored["spec"];
    assert_eq!(shown["updatePolicy"]["debounceSeconds"], 5, "defaults are seen by everyone who reads the object: {shown}");
    assert_eq!(shown["runner"]["scratch"]["sizeLimit"], "10Gi");
    assert!(shown.as_object().unwrap().values().all(|value| !value.is_null()), "{shown}");

    let spec = tenant.get::<PipelineUpdate>("now").await?.spec;
    assert_eq!(
        (spec.update_type, spec.cause, spec.cancel, spec.request_id.as_str()),
        (UpdateType::Update, Cause::ApiCall, Cancel::None, "")
    );
    assert_eq!(tenant.get::<Table>("orders").await?.spec.freshness_seconds, 0);

    let misspelt = "apiVersion: floe.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec: {storage: {uri: s3://lake/shop}, updatePolicy: {onchange: None}}
";
    let error = tenant.apply(misspelt).await.unwrap_err().to_string();
    assert!(error.contains("updatePolicy.onchange"), "{error}");
    Ok(())
}
