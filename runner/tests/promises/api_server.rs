//! A server that plays the API server's part in RunReports: it keeps what is applied, and fails when it is told to.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

/// The server; its thread ends with the test's process.
pub struct ApiServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// So many calls are answered with 500.
    failures: u32,
    /// The stored objects by path.
    objects: BTreeMap<String, Value>,
    /// Every applied body, failed calls left out, with its path and query.
    applied: Vec<(String, Value)>,
}

impl ApiServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { port, state }
    }

    /// The next `failures` calls fail.
    pub fn failing(self, failures: u32) -> Self {
        self.state.lock().unwrap().failures = failures;
        self
    }

    /// A kubeconfig for this server, written into `directory`.
    pub fn kubeconfig(&self, directory: &Path) -> PathBuf {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://127.0.0.1:{}", self.port)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {}}],
        });
        let path = directory.join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Every write that was accepted: path with query, and body.
    pub fn applied(&self) -> Vec<(String, Value)> {
        self.state.lock().unwrap().applied.clone()
    }

    /// The spec of the report as it stands.
    pub fn report(&self, name: &str) -> Value {
        let state = self.state.lock().unwrap();
        let found = state.objects.iter().find(|(path, _)| path.ends_with(&format!("/runreports/{name}")));
        found.unwrap_or_else(|| panic!("no report {name}: {:?}", state.objects.keys())).1["spec"].clone()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap().to_string(), words.next().unwrap().to_string());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (status, answer) = state.lock().unwrap().answer(&method, &target, &body);
    let answer = answer.to_string();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes()));
}

impl State {
    fn answer(&mut self, method: &str, target: &str, body: &[u8]) -> (&'static str, Value) {
        let status = |code: u16, reason: &str| json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code});
        if self.failures > 0 {
            self.failures -= 1;
            return ("500 Internal Server Error", status(500, "InternalError"));
        }
        let path = target.split('?').next().unwrap().to_string();
        match method {
            "PATCH" => {
                let object: Value = serde_json::from_slice(body).unwrap();
                self.applied.push((target.to_string(), object.clone()));
                self.objects.insert(path, object.clone());
                ("200 OK", object)
            }
            "GET" => match self.objects.get(&path) {
                Some(object) => ("200 OK", object.clone()),
                None => ("404 Not Found", status(404, "NotFound")),
            },
            _ => ("405 Method Not Allowed", status(405, "MethodNotAllowed")),
        }
    }
}
