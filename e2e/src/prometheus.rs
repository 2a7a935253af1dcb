//! A real Prometheus that reads one process.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use kube::{Client, Config};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{ports, programs, tenant::PATIENCE};

const POLL: Duration = Duration::from_millis(200);

/// A running Prometheus; killed when it goes out of scope.
pub struct Prometheus {
    client: Client,
    _child: Child,
    _folder: TempDir,
}

/// One series of an answer.
#[derive(Debug)]
pub struct Series {
    /// Its labels, `__name__` among them.
    pub labels: BTreeMap<String, String>,
    /// Its newest value.
    pub value: f64,
}

impl Prometheus {
    /// Reads `/metrics` of the process that listens on `port` of this machine, every second.
    pub async fn reading(port: u16) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: floe\n    static_configs: [{{targets: [\"127.0.0.1:{port}\"]}}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        tokio::fs::write(&file, config).await?;
        let own = ports::free(Ipv4Addr::LOCALHOST.into())?;
        let child = Command::new(programs::installed("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={own}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run prometheus; run e2e/cluster/install once")?;
        let mut config = Config::new(format!("http://{own}").parse()?);
        config.default_retry = false;
        Ok(Self { client: Client::try_from(config)?, _child: child, _folder: folder })
    }

    /// The series of an expression, once it has any that are `wanted`.
    pub async fn wait(&self, expression: &str, wanted: impl Fn(&[Series]) -> bool) -> anyhow::Result<Vec<Series>> {
        let start = Instant::now();
        loop {
            let found = self.query(expression).await;
            if let Ok(series) = &found
                && wanted(series)
            {
                return found;
            }
            ensure!(start.elapsed() < PATIENCE, "{expression} does not come to what is wanted; it is {found:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// The series of an expression now.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<Series>> {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let answer = self.get(&format!("/api/v1/query?{query}")).await?;
        let found = answer["data"]["result"].as_array().context("no result")?;
        found
            .iter()
            .map(|series| {
                let value = series["value"][1].as_str().context("no value")?.parse()?;
                Ok(Series { labels: serde_json::from_value(series["metric"].clone())?, value })
            })
            .collect()
    }

    /// The type of each family as the exposition told it.
    pub async fn types(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let answer = self.get("/api/v1/metadata").await?;
        let families = answer["data"].as_object().context("no families")?;
        Ok(families.iter().map(|(name, told)| (name.clone(), told[0]["type"].as_str().unwrap_or_default().to_string())).collect())
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = http::Request::get(path).body(Vec::new())?;
        Ok(self.client.request(request).await?)
    }
}
