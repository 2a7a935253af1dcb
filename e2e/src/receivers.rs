//! Who is told of runs: a server for webhooks and a mail server, both of this machine, that keep what they get.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::ensure;
use axum::{Router, body::Bytes, extract::State};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use crate::tenant::PATIENCE;

/// One request.
#[derive(Clone, Debug)]
pub struct Post {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as it came.
    pub body: String,
}

impl Post {
    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What the server answers.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// At once, with this status.
    Status(u16),
    /// Never.
    Silence,
}

type Kept<T> = Arc<Mutex<Vec<T>>>;

/// A server for webhooks on a port of its own.
pub struct Webhook {
    /// Where it is.
    pub url: String,
    posts: Kept<Post>,
    _server: AbortOnDropHandle<()>,
}

type Answers = (Arc<Mutex<VecDeque<Answer>>>, Kept<Post>);

impl Webhook {
    /// A server that gives these answers, and then 200 to all.
    pub async fn start(answers: &[Answer]) -> anyhow::Result<Self> {
        let posts = Kept::default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect::<VecDeque<_>>()));
        let router = Router::new().fallback(take).with_state((answers, posts.clone()));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap_or_default() });
        Ok(Self { url, posts, _server: AbortOnDropHandle::new(server) })
    }

    /// What came up to now.
    pub fn posts(&self) -> Vec<Post> {
        lock(&self.posts).clone()
    }

    /// Waits for so many requests.
    pub async fn wait(&self, count: usize) -> anyhow::Result<Vec<Post>> {
        wait(&self.posts, count).await
    }
}

async fn take(State((answers, posts)): State<Answers>, headers: HeaderMap, body: Bytes) -> StatusCode {
    lock(&posts).push(Post { headers, body: String::from_utf8_lossy(&body).into_owned() });
    let answer = answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    match answer.unwrap_or(Answer::Status(200)) {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT),
        Answer::Silence => std::future::pending().await,
    }
}

/// One letter: what was said before it, and its text.
#[derive(Clone, Debug, Default)]
pub struct Letter {
    /// The commands, such as `RCPT TO:<a@example.org>`.
    pub commands: Vec<String>,
    /// Head and body.
    pub text: String,
}

/// A mail server on a port of its own, without encryption.
pub struct MailServer {
    /// Its port.
    pub port: u16,
    letters: Kept<Letter>,
    _server: AbortOnDropHandle<()>,
}

impl MailServer {
    /// A server that takes every letter.
    pub async fn start() -> anyhow::Result<Self> {
        let letters = Kept::default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let kept = letters.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, kept.clone()));
            }
        });
        Ok(Self { port, letters, _server: AbortOnDropHandle::new(server) })
    }

    /// Waits for so many letters.
    pub async fn wait(&self, count: usize) -> anyhow::Result<Vec<Letter>> {
        wait(&self.letters, count).await
    }

    /// What came up to now.
    pub fn letters(&self) -> Vec<Letter> {
        lock(&self.letters).clone()
    }
}

/// One connection, one letter.
async fn talk(stream: TcpStream, kept: Kept<Letter>) -> std::io::Result<()> {
    let (mut way, mut letter) = (BufReader::new(stream), Letter::default());
    way.write_all(b"220 sink\r\n").await?;
    loop {
        let Some(line) = line(&mut way).await? else { return Ok(()) };
        let word = line.split(' ').next().unwrap_or_default().to_string();
        letter.commands.push(line);
        let answer: &[u8] = match word.as_str() {
            "DATA" => {
                way.write_all(b"354 go\r\n").await?;
                while let Some(line) = line_of_letter(&mut way).await? {
                    letter.text.push_str(&line);
                    letter.text.push('\n');
                }
                lock(&kept).push(std::mem::take(&mut letter));
                b"250 kept\r\n"
            }
            "QUIT" => return way.write_all(b"221 bye\r\n").await,
            _ => b"250 ok\r\n",
        };
        way.write_all(answer).await?;
    }
}

async fn line(way: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let read = way.read_line(&mut line).await?;
    Ok((read > 0).then(|| line.trim_end().to_string()))
}

async fn line_of_letter(way: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    Ok(line(way).await?.filter(|line| line != "."))
}

fn lock<T>(kept: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn wait<T: Clone + std::fmt::Debug>(kept: &Mutex<Vec<T>>, count: usize) -> anyhow::Result<Vec<T>> {
    let start = Instant::now();
    loop {
        let found = lock(kept).clone();
        if found.len() >= count {
            return Ok(found);
        }
        ensure!(start.elapsed() < PATIENCE, "{count} should have come, there are {found:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
