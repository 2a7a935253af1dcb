//! The example from `kubectl apply` to tables that others can read, and a second update that does only what is new.

use floe_crds::{condition::ConditionType, pipeline::Pipeline, state::UpdateState};
use floe_e2e::cluster::kubectl;
use kube::ResourceExt;
use serde_json::json;

use crate::bookstore::{Bookstore, NAME, state};

#[tokio::test]
async fn o08_bookstore_in_cluster() -> anyhow::Result<()> {
    let shop = Bookstore::open("o08", json!({})).await?;
    let update = shop.ended(1).await?;
    assert_eq!(state(&update), Some(UpdateState::Completed), "{:#?}", update.status);
    shop.condition(ConditionType::Ready, "True", "GraphValid").await?;
    shop.condition(ConditionType::UpdateSucceeded, "True", "UpdateCompleted").await?;

    // The same numbers as a local run, in the objects and on the volume.
    let settled = |tables: &[floe_crds::table::Table]| {
        tables.len() == 9 && tables.iter().all(|table| table.status.as_ref().is_some_and(|status| status.rows.is_some()))
    };
    shop.tenant.wait_list::<floe_crds::table::Table>("nine tables with rows", settled).await?;
    let shown = shop.shown().await?;
    assert_eq!(shown.iter().map(|(_, rows, _)| rows.unwrap_or_default()).sum::<i64>(), 6686, "{shown:?}");
    let bronze = shown.iter().find(|(name, ..)| name == "bronze").unwrap();
    assert_eq!(bronze.1, Some(2000));
    assert_eq!(shop.bronze().await?.0, 2000);
    let totals = update.status.as_ref().and_then(|status| status.totals.clone()).unwrap();
    assert_eq!((totals.rows_written, totals.upserted, totals.deleted), (6443, 243, 0));

    // What a person sees.
    let pipelines = kubectl(&shop.tenant, &["get", "pipelines.floe.dev"], None).await?;
    let line: Vec<&str> = pipelines.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(&line[..5], [NAME, "True", "IDLE", "HEALTHY", "COMPLETED"], "{pipelines}");
    let events = kubectl(&shop.tenant, &["get", "events", "--output", "jsonpath={.items[*].reason}"], None).await?;
    for reason in ["Accepted", "UpdateStarted", "UpdateCompleted"] {
        assert!(events.contains(reason), "no Event {reason}: {events}");
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/bookstore");
    kubectl(&shop.tenant, &["diff", "--kustomize", folder], None).await?;

    // A landed file starts an update that reads nothing else.
    shop.land().await?;
    let second = shop.ended(2).await?;
    assert_eq!(state(&second), Some(UpdateState::Completed), "{:#?}", second.status);
    assert_eq!(shop.bronze().await?.0, 2001);
    let pipeline: Pipeline = shop.tenant.get(NAME).await?;
    assert_eq!(pipeline.status.and_then(|status| status.update_counter), Some(2));
    let written = second.status.as_ref().and_then(|status| status.totals.clone()).unwrap();
    assert!(written.rows_written < 2000, "one message: {written:?}");
    assert_eq!(second.name_any(), "bookstore-u2");
    Ok(())
}
