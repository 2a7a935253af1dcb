//! The real cluster: the one of `KUBECONFIG`, with the operator installed by the charts, and what a person does there with kubectl.

use std::{path::PathBuf, process::Stdio};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{
    Api,
    api::{LogParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command, sync::OnceCell};

use crate::{
    apiserver::ApiServer,
    helm::{Chart, helm},
    programs,
    tenant::Tenant,
};

/// Namespace of the operator.
pub const SYSTEM: &str = "floe-system";
/// Name of the release, and so of the operator's Deployment.
pub const RELEASE: &str = "floe";
/// Values of an installation with the images of this build.
pub const VALUES: &str = "\
image: {repository: localhost/floe-operator, tag: e2e}
runner: {image: {repository: localhost/floe, tag: e2e}}
";

static SHARED: OnceCell<ApiServer> = OnceCell::const_new();

/// The cluster, with the operator of this build in it.
pub async fn shared() -> anyhow::Result<&'static ApiServer> {
    SHARED.get_or_try_init(install).await
}

async fn install() -> anyhow::Result<ApiServer> {
    let kubeconfig = std::env::var_os("KUBECONFIG").map(PathBuf::from);
    let kubeconfig = kubeconfig.context("no cluster: run bin/test, or e2e/cluster/up and set KUBECONFIG to the path that it prints")?;
    ensure!(kubeconfig.is_file(), "KUBECONFIG names {}, which is no file", kubeconfig.display());
    let server = ApiServer::of(kubeconfig);
    make_namespace(&server).await?;
    upgrade(VALUES).await?;
    Ok(server)
}

/// The operator keeps to the restricted profile as runners do.
async fn make_namespace(server: &ApiServer) -> anyhow::Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM, "labels": {
        "pod-security.kubernetes.io/enforce": "restricted",
    }}});
    let api = Api::<Namespace>::all(server.client().await?);
    api.patch(SYSTEM, &PatchParams::apply("floe-e2e").force(), &Patch::Apply(&namespace)).await?;
    Ok(())
}

/// Runs a test that changes the installation, and brings that back however the test ends.
pub async fn restoring(test: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> anyhow::Result<()> {
    let outcome = tokio::spawn(test).await;
    upgrade(VALUES).await?;
    outcome?
}

/// Takes the release away.
pub async fn uninstall() -> anyhow::Result<()> {
    helm(&["uninstall", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout", "3m"]).await.map(drop)
}

/// Installs the charts, or brings an installation to these values; waits until the operator is ready.
pub async fn upgrade(values: &str) -> anyhow::Result<()> {
    install_chart(&Chart::packed().await?, values).await
}

/// The same with other charts.
pub async fn install_chart(chart: &Chart, values: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("values.yaml");
    tokio::fs::write(&file, values).await?;
    let file = file.display().to_string();
    let arguments = ["upgrade", "--install", RELEASE, &chart.path(), "--namespace", SYSTEM];
    helm(&[&arguments[..], &["--values", &file, "--wait", "--timeout", "3m"]].concat()).await.map(drop)
}

/// Runs kubectl as a person does; its standard output. `input` is what it reads with `-f -`.
pub async fn kubectl(tenant: &Tenant, arguments: &[&str], input: Option<&str>) -> anyhow::Result<String> {
    let mut child = Command::new(programs::installed("kubectl"))
        .arg("--kubeconfig")
        .arg(tenant.server.kubeconfig())
        .args(["--namespace", &tenant.name])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run kubectl; run e2e/cluster/install once")?;
    let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
    stdin.write_all(input.unwrap_or_default().as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Asks the tables of the bookstore on their volume, with a pod of its own: `floe sql` reads what any engine would read.
pub async fn query(tenant: &Tenant, claim: &str, sql: &str) -> anyhow::Result<Vec<Value>> {
    let sources: ConfigMap = tenant.get("bookstore-transformations").await?;
    let files: Vec<Value> =
        sources.data.unwrap_or_default().keys().map(|key| json!({"key": key, "path": format!("transformations/{key}")})).collect();
    let name = format!("query-{}", jiff::Timestamp::now().as_nanosecond());
    let manifest = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": "floe",
            "image": "localhost/floe:e2e",
            "imagePullPolicy": "IfNotPresent",
            "args": ["sql", "/query", "--output", "json", "--command", sql],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "lake", "mountPath": "/lake"}, {"name": "query", "mountPath": "/query"}],
        }],
        "volumes": [
            {"name": "lake", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "query", "projected": {"sources": [
                {"configMap": {"name": "query"}},
                {"configMap": {"name": "bookstore-transformations", "items": files}},
            ]}},
        ],
    }});
    let project = "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: bookstore}\n\
                   spec: {schema: bookstore, configuration: {dataset_path: data/landing}, storage: {uri: \"file:///lake/bookstore\"}}\n";
    let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "query"}, "data": {"pipeline.yaml": project}});
    tenant.apply_one(&config_map).await?;
    tenant.create(&manifest).await?;
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    let pod = tenant.wait::<Pod>(&name, "its end", |pod| matches!(phase(pod).as_str(), "Succeeded" | "Failed")).await?;
    let said = tenant.api::<Pod>().logs(&name, &LogParams::default()).await?;
    ensure!(phase(&pod) == "Succeeded", "{sql}: {said}");
    tenant.delete::<Pod>(&name).await?;
    serde_json::from_str(&said).with_context(|| format!("no JSON: {said}"))
}
