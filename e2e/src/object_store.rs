//! A server that speaks S3 (moto) on the address of this machine that pods reach; it can be away and come later.

use std::{net::SocketAddr, process::Stdio, time::Instant};

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    ports,
    tenant::{PATIENCE, Tenant},
};

/// Where a server is, or will be.
pub struct Place(SocketAddr);

/// A server that runs; gone with the value.
pub struct ObjectStore {
    place: SocketAddr,
    _process: Child,
}

impl Place {
    /// A port beside the API server on which nobody listens.
    pub async fn beside(tenant: &Tenant) -> anyhow::Result<Self> {
        Ok(Self(ports::free(tenant.server.address().await?)?))
    }

    /// What clients are told of it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.0)
    }

    /// Starts the server with one bucket.
    pub async fn start(self, bucket: &str) -> anyhow::Result<ObjectStore> {
        let process = Command::new("moto_server")
            .args(["-H", &self.0.ip().to_string(), "-p", &self.0.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run moto_server; bin/test installs it, or: pip install 'moto[server]'")?;
        let store = ObjectStore { place: self.0, _process: process };
        let start = Instant::now();
        while TcpStream::connect(store.place).await.is_err() {
            ensure!(start.elapsed() < PATIENCE, "moto_server does not listen on {}", store.place);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let answer = store.ask("PUT", &format!("/{bucket}")).await?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "the bucket {bucket} cannot be made: {answer}");
        Ok(store)
    }
}

impl ObjectStore {
    /// The list of all objects of a bucket whose name begins with `prefix`, as the server writes it.
    pub async fn list(&self, bucket: &str, prefix: &str) -> anyhow::Result<String> {
        self.ask("GET", &format!("/{bucket}?list-type=2&prefix={prefix}")).await
    }

    async fn ask(&self, method: &str, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.place).await?;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", self.place);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}
