//! The charts as Helm renders and installs them.

use std::{path::Path, process::Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::programs;

/// The oldest Kubernetes that is supported.
const KUBE_VERSION: &str = "1.33.0";

/// `charts/floe` with the chart of the kinds in it, as a release would carry it.
pub struct Chart {
    folder: TempDir,
}

impl Chart {
    /// A copy of the charts of this repository.
    pub async fn packed() -> anyhow::Result<Self> {
        Self::changed(|_| Ok(())).await
    }

    /// The same as another release has them: `change` gets the folder of both charts.
    pub async fn changed(change: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts");
        let copied =
            Command::new("cp").args(["-r"]).arg(charts.join("floe")).arg(charts.join("floe-crds")).arg(folder.path()).status().await?;
        ensure!(copied.success(), "cannot copy {}", charts.display());
        change(folder.path())?;
        let chart = Self { folder };
        helm(&["dependency", "update", &chart.path()]).await?;
        Ok(chart)
    }

    /// Where it is.
    pub fn path(&self) -> String {
        self.folder.path().join("floe").display().to_string()
    }

    /// What an installation as `floe` in `floe-system` with these values (YAML) would apply, as text.
    pub async fn text(&self, values: &str) -> anyhow::Result<String> {
        let file = self.folder.path().join("values.yaml");
        tokio::fs::write(&file, values).await?;
        let values = file.display().to_string();
        helm(&["template", "floe", &self.path(), "--namespace", "floe-system", "--kube-version", KUBE_VERSION, "--values", &values]).await
    }

    /// The same as objects.
    pub async fn objects(&self, values: &str) -> anyhow::Result<Vec<Value>> {
        let text = self.text(values).await?;
        let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
        let objects = documents.collect::<Result<Vec<_>, _>>().context("the chart renders no YAML")?;
        Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
    }
}

/// The one object of a kind with a name.
pub fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> anyhow::Result<&'a Value> {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.with_context(|| format!("the chart renders no {kind} {name}"))
}

/// Runs Helm; its standard output.
pub async fn helm(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(programs::installed("helm"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run helm; run e2e/cluster/install once")?;
    ensure!(output.status.success(), "helm {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
