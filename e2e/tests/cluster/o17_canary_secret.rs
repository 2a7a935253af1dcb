//! A secret stays where it is: in no object, Event or log.

use floe_crds::state::UpdateState;
use floe_e2e::cluster::kubectl;
use serde_json::json;

use crate::bookstore::{Bookstore, state};

const CANARY: &str = "canary-4f1d8a";

#[tokio::test]
async fn o17_canary_secret() -> anyhow::Result<()> {
    let shop = Bookstore::open("o17", json!({"suspend": true})).await?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "salt"}, "stringData": {"SALT": CANARY}});
    shop.tenant.apply_one(&secret).await?;
    let uses = json!({
        "suspend": false,
        "storage": {"secretRef": {"name": "salt"}},
        "parameters": [{"name": "salt", "valueFrom": {"secretKeyRef": {"name": "salt", "key": "SALT"}}}],
        "libraries": [
            {"glob": {"include": "transformations/**"}},
            {"inline": {"name": "salted.sql", "sql": "CREATE MATERIALIZED VIEW salted AS SELECT sha2(:salt, 256) AS hash;"}},
        ],
    });
    shop.apply(uses).await?;
    let update = shop.ended(1).await?;
    assert_eq!(state(&update), Some(UpdateState::Completed), "{:#?}", update.status);
    let kinds = "pipelines.floe.dev,tables.floe.dev,pipelineupdates.floe.dev,runreports.floe.dev,configmaps,jobs.batch,pods,events";
    let objects = kubectl(&shop.tenant, &["get", kinds, "--output", "yaml"], None).await?;
    assert!(objects.contains("bookstore-u1") && !objects.contains(CANARY));
    let logs = kubectl(&shop.tenant, &["logs", "--selector", "floe.dev/update=bookstore-u1", "--tail", "-1"], None).await?;
    assert!(logs.contains("salted") && !logs.contains(CANARY));
    let operator = kubectl(&shop.tenant, &["logs", "--namespace", "floe-system", "deployment/floe-operator", "--tail", "-1"], None).await?;
    assert!(!operator.contains(CANARY));
    let events = floe_e2e::cluster::query(&shop.tenant, crate::bookstore::CLAIM, "SELECT * FROM event_log").await?;
    assert!(!events.is_empty() && !events.iter().any(|row| row.to_string().contains(CANARY)));
    Ok(())
}
