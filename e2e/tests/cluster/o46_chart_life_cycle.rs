//! The life of an installation: an earlier release, its upgrade with other values and kinds, its removal, and one that goes on from what was kept.

use std::path::Path;

use anyhow::Context;
use floe_crds::{pipeline::Pipeline, state::UpdateState, table::Table};
use floe_e2e::{
    cluster::{RELEASE, SYSTEM, VALUES, install_chart, kubectl, restoring, uninstall, upgrade},
    helm::Chart,
    tenant::Tenant,
};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::bookstore::{Bookstore, NAME, state};

const KIND: &str = "pipelines.floe.dev";
/// A field that the earlier release does not have.
const NEW_FIELD: &str = "queueName";

/// The charts as the release before this one had them.
fn earlier(charts: &Path) -> anyhow::Result<()> {
    for chart in ["floe", "floe-crds"] {
        let file = charts.join(chart).join("Chart.yaml");
        std::fs::write(&file, std::fs::read_to_string(&file)?.replace("0.1.0", "0.0.9"))?;
    }
    let file = charts.join("floe-crds/templates/pipelines.floe.dev.yaml");
    let text = std::fs::read_to_string(&file)?;
    let mut lines = text.lines().peekable();
    let mut kept = Vec::new();
    while let Some(line) = lines.next() {
        if line.trim() != format!("{NEW_FIELD}:") {
            kept.push(line);
            continue;
        }
        let deeper = |other: &&str| indent(other) > indent(line);
        while lines.next_if(|other| deeper(other)).is_some() {}
    }
    anyhow::ensure!(kept.len() < text.lines().count(), "{KIND} has no {NEW_FIELD}");
    Ok(std::fs::write(&file, format!("{}\n", kept.join("\n")))?)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

async fn knows_the_new_field(tenant: &Tenant) -> anyhow::Result<bool> {
    let kind = Api::<CustomResourceDefinition>::all(tenant.client.clone()).get(KIND).await?;
    let kind = serde_json::to_value(&kind.spec.versions[0].schema)?;
    Ok(!kind["openAPIV3Schema"]["properties"]["spec"]["properties"]["runner"]["properties"][NEW_FIELD].is_null())
}

async fn operator(tenant: &Tenant) -> anyhow::Result<Option<Deployment>> {
    Ok(Api::<Deployment>::namespaced(tenant.client.clone(), SYSTEM).get_opt("floe-operator").await?)
}

/// A variable of the operator's container.
fn variable(deployment: &Deployment, name: &str) -> Option<String> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers[0].env.iter().flatten().find(|variable| variable.name == name)?.value.clone()
}

async fn uids(tenant: &Tenant) -> anyhow::Result<Vec<Option<String>>> {
    let pipelines = tenant.list::<Pipeline>().await?.iter().map(ResourceExt::uid).collect::<Vec<_>>();
    let tables = tenant.list::<Table>().await?;
    Ok(pipelines.into_iter().chain(tables.iter().map(ResourceExt::uid)).collect())
}

#[tokio::test]
async fn o46_chart_life_cycle() -> anyhow::Result<()> {
    let shop = Bookstore::alone("o46").await?;
    restoring(async move {
        let tenant = &shop.tenant;
        install_chart(&Chart::changed(earlier).await?, VALUES).await?;
        assert!(!knows_the_new_field(tenant).await?);
        assert_eq!(release().await?, "floe-0.0.9");
        shop.apply_with("target::before=hold:/hold/hold", json!({})).await?;
        let pod = shop.held("bookstore-u1").await?;

        // In the middle of an update.
        upgrade(&format!("{VALUES}logLevel: debug\nlimits: {{maxActivePods: 7}}\n")).await?;
        assert!(knows_the_new_field(tenant).await?);
        assert_eq!(release().await?, "floe-0.1.0");
        let deployment = operator(tenant).await?.context("there is no operator")?;
        let variables = ["FLOE_LOG_LEVEL", "FLOE_MAX_ACTIVE_PODS"].map(|name| variable(&deployment, name));
        assert_eq!(variables, [Some("debug".to_string()), Some("7".to_string())]);
        assert_eq!(tenant.get::<Pod>(&pod.name_any()).await?.uid(), pod.uid(), "the runner did not notice");
        shop.release().await?;
        let update = shop.ended(1).await?;
        let attempts = update.status.clone().unwrap_or_default().attempts;
        assert_eq!((state(&update), attempts.len()), (Some(UpdateState::Completed), 1), "{attempts:#?}");
        assert_eq!(attempts[0].pod, pod.metadata.name);
        shop.shown().await?;

        // Without the operator all is there, and nothing happens.
        let before = uids(tenant).await?;
        uninstall().await?;
        assert!(operator(tenant).await?.is_none());
        assert!(knows_the_new_field(tenant).await?, "the kinds are kept");
        assert_eq!(uids(tenant).await?, before, "and with them all objects");
        let roles =
            kubectl(tenant, &["get", "clusterroles", "--selector", "app.kubernetes.io/part-of=floe", "--output", "name"], None).await?;
        assert_eq!(roles, "");
        shop.land().await?;
        assert_eq!(shop.bronze().await?.0, 2000, "the tables are readable");

        upgrade(VALUES).await?;
        let second = shop.ended(2).await?;
        assert_eq!(state(&second), Some(UpdateState::Completed), "{:#?}", second.status);
        assert_eq!(shop.bronze().await?.0, 2001, "what was landed meanwhile, once");
        assert_eq!(uids(tenant).await?, before);
        let pipeline: Pipeline = tenant.get(NAME).await?;
        assert_eq!(pipeline.status.and_then(|status| status.update_counter), Some(2), "nothing was run again");
        Ok(())
    })
    .await
}

/// Name and version of the chart that is installed.
async fn release() -> anyhow::Result<String> {
    let all: Vec<Value> = serde_json::from_str(&floe_e2e::helm::helm(&["list", "--namespace", SYSTEM, "--output", "json"]).await?)?;
    let found = all.iter().find(|release| release["name"] == RELEASE).context("there is no release")?;
    Ok(found["chart"].as_str().unwrap_or_default().to_string())
}
