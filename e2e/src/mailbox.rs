//! A mail server that keeps what it gets, on the address of this machine that pods reach.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::ensure;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use crate::tenant::{PATIENCE, Tenant};

/// A letter, as it came.
#[derive(Clone, Debug, Default)]
pub struct Letter {
    /// Who gets it.
    pub to: Vec<String>,
    /// Head and body.
    pub text: String,
}

/// The server; gone with the value.
pub struct Mailbox {
    /// Where it listens.
    pub address: SocketAddr,
    letters: Arc<Mutex<Vec<Letter>>>,
    _server: AbortOnDropHandle<()>,
}

impl Mailbox {
    /// A server beside the API server.
    pub async fn beside(tenant: &Tenant) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((tenant.server.address().await?, 0)).await?;
        let address = listener.local_addr()?;
        let letters = Arc::<Mutex<Vec<Letter>>>::default();
        let kept = letters.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who breaks off in the middle has sent nothing.
                tokio::spawn(talk(BufReader::new(stream), kept.clone()));
            }
        });
        Ok(Self { address, letters, _server: AbortOnDropHandle::new(server) })
    }

    /// All letters until now.
    pub fn letters(&self) -> Vec<Letter> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The letters, once there are so many.
    pub async fn come(&self, count: usize) -> anyhow::Result<Vec<Letter>> {
        let start = Instant::now();
        while self.letters().len() < count {
            ensure!(start.elapsed() < PATIENCE, "{count} letters were awaited, and came: {:#?}", self.letters());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(self.letters())
    }
}

async fn talk(mut way: BufReader<TcpStream>, kept: Arc<Mutex<Vec<Letter>>>) -> std::io::Result<()> {
    let mut letter = Letter::default();
    way.write_all(b"220 mailbox\r\n").await?;
    loop {
        let mut line = String::new();
        if way.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.split([' ', ':']).next().unwrap_or_default().trim_end() {
            "RCPT" => {
                letter.to.push(line.trim_end().trim_start_matches("RCPT TO:").trim_matches(['<', '>']).to_string());
                "250 ok\r\n"
            }
            "DATA" => {
                way.write_all(b"354 go on\r\n").await?;
                read_text(&mut way, &mut letter.text).await?;
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut letter));
                "250 kept\r\n"
            }
            "QUIT" => return way.write_all(b"221 bye\r\n").await,
            _ => "250 ok\r\n",
        };
        way.write_all(answer.as_bytes()).await?;
    }
}

async fn read_text(way: &mut BufReader<TcpStream>, text: &mut String) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        if way.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(());
        }
        text.push_str(&line);
    }
}
