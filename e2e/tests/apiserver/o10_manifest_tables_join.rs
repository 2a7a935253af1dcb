//! Table manifests are part of a pipeline like its SQL, whoever comes first.

use floe_crds::{condition::ConditionType, pipeline_update::PipelineUpdate, state::UpdateState, table::Table};
use floe_e2e::{
    objects::{SQL, inline, pipeline, table},
    operator::Operator,
    oracle::{Verdict, verdict},
    tenant::Tenant,
    virtual_pods::{ROWS, VirtualPods},
};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::o09_tables_from_sql::said;

fn judged(table: &Table) -> Verdict {
    verdict(&serde_json::to_value(table).unwrap_or(Value::Null))
}

#[tokio::test]
async fn o10_manifest_tables_join() -> anyhow::Result<()> {
    let tenant = Tenant::new("o10").await?;
    let _operator = Operator::start(&tenant).await?;
    let pods = VirtualPods::start(&tenant);
    let monthly = table("sales-monthly", "shop", json!({"query": "SELECT month, sum(n) AS n FROM daily GROUP BY month"}));
    tenant.apply_one(&monthly).await?;
    let alone = tenant.wait::<Table>("sales-monthly", "a first look", |table| table.status.is_some()).await?;
    assert_eq!((judged(&alone), said(&alone, ConditionType::Ready)), (Verdict::InProgress, "False PipelineNotFound".to_string()));
    assert_eq!(alone.status.as_ref().unwrap().conditions.len(), ConditionType::TABLE.len());

    tenant.apply_one(&pipeline("shop", json!({}))).await?;
    let joined = tenant.wait::<Table>("sales-monthly", "readiness", |table| judged(table) == Verdict::Current).await?;
    let refreshed = |table: &Table| table.status.as_ref().is_some_and(|status| status.rows == Some(ROWS));
    let joined = tenant.wait::<Table>(&joined.name_any(), "its rows", refreshed).await?;
    let status = joined.status.as_ref().unwrap();
    assert_eq!((status.full_name.as_deref(), status.declared_in.as_deref()), (Some("main.default.sales_monthly"), Some("manifest")));
    assert!(
        joined.owner_references().is_empty() && joined.finalizers().is_empty(),
        "nothing is written into an object of a person but status"
    );
    assert_eq!(
        tenant.list::<Table>().await?.iter().map(ResourceExt::name_any).collect::<Vec<_>>(),
        ["sales-monthly", "shop-daily", "shop-orders"]
    );
    let request = pods.request("shop-u1-a1").unwrap();
    let names: Vec<&str> = request.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["sales-monthly"], "objects from SQL are no part of the definition");
    Ok(())
}

#[tokio::test]
async fn o10_a_dataset_is_declared_once() -> anyhow::Result<()> {
    let tenant = Tenant::new("o10-twice").await?;
    let _operator = Operator::start(&tenant).await?;
    let _pods = VirtualPods::start(&tenant);
    tenant.apply_one(&pipeline("shop", json!({"libraries": [inline(SQL.lines().next().unwrap())]}))).await?;
    tenant.apply_one(&table("monthly", "shop", json!({}))).await?;
    tenant.apply_one(&table("again", "shop", json!({"name": "Monthly"}))).await?;
    let second = tenant.wait::<Table>("again", "its failure", |table| judged(table) == Verdict::Failed).await?;
    assert_eq!(said(&second, ConditionType::Accepted), "False DuplicateDataset");
    tenant.delete::<Table>("again").await?;
    tenant.wait::<Table>("monthly", "readiness", |table| judged(table) == Verdict::Current).await?;
    Ok(())
}

/// The data of a removed Table go only where that is wanted, and with the one update that every change starts.
#[tokio::test]
async fn o10_data_go_with_their_policy() -> anyhow::Result<()> {
    let tenant = Tenant::new("o10-data").await?;
    let _operator = Operator::start(&tenant).await?;
    let pods = VirtualPods::start(&tenant);
    tenant.apply_one(&table("kept", "shop", json!({}))).await?;
    tenant.apply_one(&table("dropped", "shop", json!({"deletionPolicy": "Delete"}))).await?;
    tenant.apply_one(&pipeline("shop", json!({"libraries": [inline(SQL.lines().next().unwrap())]}))).await?;
    let refreshed = |table: &Table| table.status.as_ref().is_some_and(|status| status.rows.is_some());
    tenant.wait::<Table>("kept", "its rows", refreshed).await?;
    let dropped = tenant.wait::<Table>("dropped", "its rows", refreshed).await?;
    assert_eq!(dropped.finalizers(), ["floe.dev/table-cleanup"]);
    let ended = |updates: &[PipelineUpdate]| {
        updates.iter().all(|update| update.status.as_ref().and_then(|status| status.state) == Some(UpdateState::Completed))
    };
    let before = tenant.wait_list::<PipelineUpdate>("their end", |updates| !updates.is_empty() && ended(updates)).await?.len();

    tenant.delete::<Table>("dropped").await?;
    tenant.wait_gone::<Table>("dropped").await?;
    let names: Vec<String> = pods.lake().tables("s3://lake/shop").into_keys().collect();
    assert_eq!(names, ["main.default.kept", "main.default.orders"]);
    tenant.wait_list::<PipelineUpdate>("one more update", |updates| updates.len() == before + 1 && ended(updates)).await?;

    // What does not change results starts nothing.
    tenant.patch::<Table>("kept", &json!({"spec": {"freshnessSeconds": 3600}})).await?;
    tenant.wait::<Table>("kept", "freshness", |table| said(table, ConditionType::Fresh) == "True Fresh").await?;
    tenant.delete::<Table>("kept").await?;
    tenant.wait_gone::<Table>("kept").await?;
    tenant.wait_list::<PipelineUpdate>("one more update", |updates| updates.len() == before + 2 && ended(updates)).await?;
    assert!(pods.lake().tables("s3://lake/shop").contains_key("main.default.kept"));
    Ok(())
}
