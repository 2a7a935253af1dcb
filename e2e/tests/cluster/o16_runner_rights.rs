//! A runner may write reports, and nothing else.

use floe_crds::state::UpdateState;
use floe_e2e::cluster::kubectl;
use serde_json::json;

use crate::bookstore::{Bookstore, state};

#[tokio::test]
async fn o16_runner_rights() -> anyhow::Result<()> {
    let shop = Bookstore::open("o16", json!({})).await?;
    assert_eq!(state(&shop.ended(1).await?), Some(UpdateState::Completed));
    let account = format!("system:serviceaccount:{}:floe-bookstore", shop.tenant.name);
    let mut granted = Vec::new();
    let kinds = [
        "runreports.floe.dev",
        "pipelines.floe.dev",
        "tables.floe.dev",
        "pipelineupdates.floe.dev",
        "secrets",
        "configmaps",
        "pods",
        "jobs.batch",
        "serviceaccounts",
        "events",
    ];
    for kind in kinds {
        for verb in ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"] {
            // The answer is also the exit code.
            let may = kubectl(&shop.tenant, &["auth", "can-i", verb, kind, "--as", &account], None).await;
            if may.is_ok_and(|answer| answer.trim() == "yes") {
                granted.push(format!("{verb} {kind}"));
            }
        }
    }
    assert_eq!(granted, ["get runreports.floe.dev", "create runreports.floe.dev", "patch runreports.floe.dev"]);
    Ok(())
}
