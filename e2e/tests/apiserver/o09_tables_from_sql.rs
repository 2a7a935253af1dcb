//! Datasets from SQL have Table objects that follow the SQL and nothing else.

use floe_crds::{
    condition::{ConditionType, find},
    pipeline::Pipeline,
    table::Table,
};
use floe_e2e::{
    objects::{SQL, inline, pipeline},
    operator::Operator,
    tenant::Tenant,
    virtual_pods::{ROWS, VirtualPods},
};
use kube::ResourceExt;
use serde_json::json;

/// `True Reason` of a condition.
pub fn said(table: &Table, kind: ConditionType) -> String {
    let conditions = table.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, kind).map(|found| format!("{} {}", found.status, found.reason)).unwrap_or_default()
}

#[tokio::test]
async fn o09_tables_from_sql() -> anyhow::Result<()> {
    let tenant = Tenant::new("o09").await?;
    let _operator = Operator::start(&tenant).await?;
    let _pods = VirtualPods::start(&tenant);
    tenant.apply_one(&pipeline("shop", json!({}))).await?;

    let refreshed = |table: &Table| {
        (said(table, ConditionType::RefreshSucceeded).as_str(), said(table, ConditionType::Ready).as_str())
            == ("True UpdateCompleted", "True GraphValid")
    };
    let daily = tenant.wait::<Table>("shop-daily", "its refresh", refreshed).await?;
    let orders = tenant.wait::<Table>("shop-orders", "its refresh", refreshed).await?;
    assert_eq!(tenant.list::<Table>().await?.len(), 2);
    assert_eq!(said(&daily, ConditionType::Active), "True Declared");
    assert_eq!(daily.annotations()["floe.dev/declared-in"], "sql");
    let owner = &daily.owner_references()[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str(), owner.controller), ("Pipeline", "shop", Some(true)));
    assert_eq!(daily.spec.query.as_deref(), Some("SELECT day, count(*) AS n FROM orders GROUP BY day"));
    let status = orders.status.as_ref().unwrap();
    assert_eq!((status.full_name.as_deref(), status.rows, status.version), (Some("main.default.orders"), Some(ROWS), Some(0)));
    assert_eq!((status.declared_in.as_deref(), status.table_type.as_deref()), (Some("shop.sql:1:1"), Some("StreamingTable")));

    // What people edit is taken back, also what they add.
    tenant.patch::<Table>("shop-daily", &json!({"spec": {"query": "SELECT 2 AS two", "freshnessSeconds": 60}})).await?;
    tenant.wait::<Table>("shop-daily", "its spec from SQL", |table| table.spec == daily.spec).await?;
    // What they delete is made again.
    tenant.delete::<Table>("shop-daily").await?;
    let again = tenant.wait::<Table>("shop-daily", "a new object", |table| table.uid() != daily.uid()).await?;
    assert_eq!(again.spec, daily.spec);
    tenant
        .wait::<Table>("shop-daily", "what is known of it", |table| table.status.as_ref().is_some_and(|status| status.rows == Some(ROWS)))
        .await?;

    // What leaves the SQL keeps its object and its data.
    let first = SQL.lines().next().unwrap();
    tenant.patch::<Pipeline>("shop", &json!({"spec": {"libraries": [inline(first)]}})).await?;
    let left =
        tenant.wait::<Table>("shop-daily", "inactivity", |table| said(table, ConditionType::Active) == "False RemovedFromSource").await?;
    assert_eq!((left.uid(), left.metadata.deletion_timestamp.is_none()), (again.uid(), true));
    tenant.patch::<Pipeline>("shop", &json!({"spec": {"libraries": [inline(SQL)]}})).await?;
    let back = tenant.wait::<Table>("shop-daily", "activity", |table| said(table, ConditionType::Active) == "True Declared").await?;
    assert_eq!(back.uid(), again.uid());

    // Another type of dataset is another object.
    let changed = SQL.replace("CREATE MATERIALIZED VIEW daily", "CREATE STREAMING TABLE daily");
    tenant.patch::<Pipeline>("shop", &json!({"spec": {"libraries": [inline(&changed)]}})).await?;
    let changed = |table: &Table| table.status.as_ref().is_some_and(|status| status.table_type.as_deref() == Some("StreamingTable"));
    assert_ne!(tenant.wait::<Table>("shop-daily", "another type", changed).await?.uid(), back.uid());
    Ok(())
}
