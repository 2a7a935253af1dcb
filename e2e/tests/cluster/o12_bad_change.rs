//! A change that is wrong leaves the tables alone and says where it is wrong.

use floe_crds::{condition::ConditionType, state::UpdateState};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use crate::bookstore::{Bookstore, state};

#[tokio::test]
async fn o12_bad_change_says_the_line_and_leaves_the_tables_alone() -> anyhow::Result<()> {
    let shop = Bookstore::open("o12", json!({})).await?;
    assert_eq!(state(&shop.ended(1).await?), Some(UpdateState::Completed));
    let before = shop.shown().await?;
    let transformations = "bookstore-transformations";
    let right: ConfigMap = shop.tenant.get(transformations).await?;
    let gold = right.data.clone().unwrap()["4_gold.sql"].clone();
    let wrong = format!("{gold}\nCREATE MATERIALIZED VIEW broken AS\nSELECT * FROM nowhere;\n");
    let line = wrong.lines().position(|line| line.contains("nowhere")).unwrap() + 1;
    shop.tenant.patch::<ConfigMap>(transformations, &json!({"data": {"4_gold.sql": wrong}})).await?;
    let message = shop.condition(ConditionType::Ready, "False", "GraphInvalid").await?;
    assert!(message.contains(&format!("transformations/4_gold.sql:{line}:")), "{message}");
    assert!(message.contains("nowhere"), "{message}");
    shop.condition(ConditionType::Stalled, "True", "GraphInvalid").await?;
    assert_eq!(state(&shop.ended(2).await?), Some(UpdateState::Failed));
    assert_eq!(shop.shown().await?, before, "rows and versions");
    shop.tenant.patch::<ConfigMap>(transformations, &json!({"data": {"4_gold.sql": gold}})).await?;
    shop.condition(ConditionType::Ready, "True", "GraphValid").await?;
    assert_eq!(state(&shop.ended(3).await?), Some(UpdateState::Completed));
    Ok(())
}
