//! The request of an attempt, copied to a laptop, plans there what it planned in its pod.

use anyhow::Context;
use floe_crds::state::UpdateState;
use floe_e2e::programs;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::LogParams;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::bookstore::{Bookstore, folder, replay, state};

const ATTEMPT: &str = "bookstore-u1-a1";

/// The changes that the event of the end of planning lists, in a log of one event per line.
fn planned(log: &str) -> anyhow::Result<Value> {
    let event = |line: &str| serde_json::from_str::<Value>(line).with_context(|| format!("no event: {line}"));
    let events = log.lines().map(event).collect::<anyhow::Result<Vec<_>>>()?;
    let planned =
        events.iter().find(|event| event["event_type"] == "graph_planned").with_context(|| format!("nothing was planned:\n{log}"))?;
    Ok(planned["details"]["graph_planned"]["changes"].clone())
}

#[tokio::test]
async fn o59_replay_request() -> anyhow::Result<()> {
    let shop = Bookstore::open("o59", json!({})).await?;
    let update = shop.ended(1).await?;
    assert_eq!(state(&update), Some(UpdateState::Completed), "{:#?}", update.status);
    let pod = update.status.context("no status")?.attempts.remove(0).pod.context("no pod")?;
    let in_pod = planned(&shop.tenant.api::<Pod>().logs(&pod, &LogParams::default()).await?)?;
    assert_eq!(in_pod.as_array().map(Vec::len), Some(12), "{in_pod:#}");

    let request: ConfigMap = shop.tenant.get(&format!("{ATTEMPT}-request")).await?;
    let request = request.data.and_then(|mut data| data.remove("request.json")).context("no request")?;
    let laptop = tempfile::tempdir()?;
    let file = laptop.path().join("request.json");
    tokio::fs::write(&file, &request).await?;
    let output = Command::new(programs::ours("floe")?)
        .args(["run", &folder(), "--request", &file.display().to_string(), "--dry-run", "--output", "json"])
        .args(["--storage", &laptop.path().join("lake").display().to_string()])
        .env_clear()
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_str::<Value>(&said)?["changes"], in_pod);
    assert!(!laptop.path().join("lake").exists(), "a dry run writes nothing");

    // Another pod with empty storage and without the operator does it all again.
    let ended = replay(&shop.tenant, ATTEMPT, &request).await?;
    assert_eq!((ended.exit_code, planned(&ended.log)?), (0, in_pod), "{ended:#?}");
    Ok(())
}
