//! The API server of a bench: a real one, or the stand-in in a process of its own, so that its processor time is its own too.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context;
use floe_e2e::{
    apiserver::ApiServer,
    operator::Settings,
    standin::{PROCESS, StandIn},
    tenant::Tenant,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// What a bench of the operator runs against, and how the operator is set.
#[derive(clap::Args, Clone, Debug)]
pub struct World {
    /// Use a stand-in for the API server, in memory: it shows what the operator can do where the API server is not the limit
    #[arg(long)]
    pub stand_in: bool,
    /// Requests per second that the operator allows itself [default: its own]
    #[arg(long)]
    pub api_qps: Option<u32>,
    /// Requests that it may send at once [default: its own]
    #[arg(long)]
    pub api_burst: Option<u32>,
}

impl World {
    /// The operator as it is started: pods are neither held back nor counted.
    pub async fn settings(&self, tenant: &Tenant) -> anyhow::Result<Settings> {
        let mut settings = Settings::of(tenant).await?.with("--pod-create-rate", "0").with("--max-active-pods", "0");
        for (flag, value) in [("--api-qps", self.api_qps), ("--api-burst", self.api_burst)] {
            if let Some(value) = value {
                settings = settings.with(flag, &value.to_string());
            }
        }
        Ok(settings)
    }

    /// Says what was measured.
    pub fn figure(&self, server: &Server) -> Value {
        json!({"bench": "server", "server": server.name, "api_qps": self.api_qps, "api_burst": self.api_burst})
    }
}

/// The API server, for as long as the bench takes.
pub struct Server {
    /// Its name in the figures.
    pub name: &'static str,
    /// The processes that it is made of.
    pub processes: &'static [&'static str],
    api: &'static ApiServer,
    _process: Option<(Child, tempfile::TempDir)>,
}

impl Server {
    /// Starts etcd and a real API server, or the stand-in.
    pub async fn start(stands_in: bool) -> anyhow::Result<Self> {
        if !stands_in {
            let server = ApiServer::shared().await?;
            return Ok(Self { name: "kube-apiserver", processes: &["kube-apiserver", "etcd"], api: server, _process: None });
        }
        let folder = tempfile::tempdir()?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg(PROCESS)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the stand-in")?;
        let stdout = process.stdout.take().context("the stand-in has no output")?;
        let line = BufReader::new(stdout).lines().next_line().await?.context("the stand-in ended at once")?;
        let server = Box::leak(Box::new(ApiServer::of(PathBuf::from(line))));
        Ok(Self { name: PROCESS, processes: &[PROCESS], api: server, _process: Some((process, folder)) })
    }

    /// A namespace of its own.
    pub async fn tenant(&self, prefix: &str) -> anyhow::Result<Tenant> {
        Tenant::on(self.api, prefix).await
    }
}

/// The stand-in's process: serves until whoever started it is gone.
#[tokio::main]
pub async fn stand_in(folder: &Path) -> anyhow::Result<()> {
    let served = StandIn::start(folder).await?;
    crate::output::line(&served.server().kubeconfig().display().to_string())?;
    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
    Ok(())
}
