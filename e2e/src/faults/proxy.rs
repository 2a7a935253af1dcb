//! The proxy: plain HTTP for the operator, the real API server behind it. Watches stream through, everything else passes as one piece.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::Response,
};
use http::{HeaderName, Request, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use kube::{Client, config::AuthInfo};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::task::AbortOnDropHandle;

use super::{
    call::{Call, Verb},
    fault::{Fault, What},
    stale,
    watch_events::{Cut, relay},
};
use crate::{
    operator::{Operator, Settings},
    tenant::Tenant,
};

/// No request of an operator is larger.
const MAX_BODY: usize = 16 << 20;
/// How long a process that gets SIGKILL may still run; its connections stay open that long without an answer.
const DYING: Duration = Duration::from_secs(30);

/// A proxy in front of the API server; it ends when it goes out of scope.
pub struct Proxy {
    shared: Arc<Shared>,
    address: String,
    kubeconfig: PathBuf,
    _server: AbortOnDropHandle<()>,
}

/// What all requests share.
pub(super) struct Shared {
    upstream: Client,
    state: Mutex<Known>,
    pub cut: watch::Sender<Cut>,
}

#[derive(Default)]
struct Known {
    faults: Vec<Fault>,
    writes: Vec<Call>,
    /// Versions after each write, oldest first.
    versions: Vec<String>,
    lost_events: usize,
    kills: Vec<Call>,
    process: Option<Pid>,
    is_at_rest: bool,
}

impl Proxy {
    /// A proxy without faults.
    pub async fn start(tenant: &Tenant) -> anyhow::Result<Self> {
        let mut config = tenant.server.config().await?;
        // Whoever asks has said who it is: the header is passed on.
        config.auth_info = AuthInfo::default();
        let upstream = Client::try_from(config)?;
        let shared = Arc::new(Shared { upstream, state: Mutex::default(), cut: watch::Sender::new(Cut::default()) });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let router = Router::new().fallback(serve).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap_or_default() });
        let kubeconfig = tenant.logs()?.join(format!("{}.proxy.kubeconfig", tenant.name));
        let address = format!("http://127.0.0.1:{port}");
        tenant.server.write_kubeconfig(&kubeconfig, None, Some(&address))?;
        Ok(Self { shared, address, kubeconfig, _server: AbortOnDropHandle::new(server) })
    }

    /// The kubeconfig by which a process comes through this proxy, as administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Starts an operator behind this proxy and waits until it is ready.
    pub async fn operator(&self, settings: &Settings) -> anyhow::Result<Operator> {
        let mut operator = self.spawn(settings)?;
        operator.wait_ready().await?;
        Ok(operator)
    }

    /// Starts an operator with its own rights behind this proxy. It is the process that faults kill.
    pub fn spawn(&self, settings: &Settings) -> anyhow::Result<Operator> {
        let operator = settings.through(&self.address)?.spawn()?;
        self.shared.known().process = operator.pid();
        Ok(operator)
    }

    /// From now on, requests meet this fault; of several the first that fits.
    pub fn inject(&self, fault: Fault) {
        self.shared.known().faults.push(fault);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.shared.known().faults.clear();
    }

    /// Everything is at rest, or in motion again: there are faults that happen in motion only.
    pub fn set_at_rest(&self, is_at_rest: bool) {
        self.shared.known().is_at_rest = is_at_rest;
    }

    /// All watches hear that their version is too old: whoever watches must list again.
    pub fn expire_watches(&self) {
        self.shared.cut.send_modify(|cut| cut.expired += 1);
    }

    /// The API server is away, or back.
    pub fn set_away(&self, away: bool) {
        self.shared.cut.send_modify(|cut| cut.away = away);
    }

    /// The writes that reached the API server, in order.
    pub fn writes(&self) -> Vec<Call> {
        self.shared.known().writes.clone()
    }

    /// The writes after which a process was killed.
    pub fn kills(&self) -> Vec<Call> {
        self.shared.known().kills.clone()
    }

    /// How many watch events were lost.
    pub fn lost_events(&self) -> usize {
        self.shared.known().lost_events
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, call: &Call) -> What {
        let mut known = self.known();
        let at_rest = known.is_at_rest;
        // Each fault counts all that it meets, so none is passed over.
        let met: Vec<What> = known.faults.iter_mut().filter_map(|fault| fault.meets(call, at_rest).then_some(fault.what)).collect();
        met.first().copied().unwrap_or(What::Nothing)
    }

    /// What happens to a watch event; marks of progress are no events.
    pub(super) fn decide_event(&self, resource: &str, line: &[u8]) -> Option<What> {
        let mut known = self.known();
        if known.faults.is_empty() {
            return None;
        }
        let event: Value = serde_json::from_slice(line).ok()?;
        if matches!(event["type"].as_str(), Some("BOOKMARK" | "ERROR")) {
            return None;
        }
        let what = known.faults.iter_mut().find_map(|fault| fault.meets_event(resource).then_some(fault.what));
        known.lost_events += usize::from(matches!(what, Some(What::Drop)));
        what
    }

    /// The version that reads see which are `writes` behind.
    fn version(&self, writes: usize) -> Option<String> {
        let known = self.known();
        known.versions.len().checked_sub(writes + 1).and_then(|place| known.versions.get(place).cloned())
    }

    fn note(&self, call: &Call, status: StatusCode, body: &[u8]) {
        if !call.is_write() || !status.is_success() {
            return;
        }
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut known = self.known();
        known.writes.push(call.clone());
        known.versions.extend(answer["metadata"]["resourceVersion"].as_str().map(str::to_string));
    }

    fn kill(&self, call: Call) {
        let process = {
            let mut known = self.known();
            known.kills.push(call);
            known.process.take()
        };
        if let Some(pid) = process {
            // A process that is gone already is what is wanted.
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    // In a task of its own: a request whose sender has given up is done all the same, as it is on a real network.
    match tokio::spawn(async move { answer(&shared, request).await }).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => status(502, None, &format!("the proxy of the test failed: {error:#}")),
        Err(error) => status(502, None, &format!("the proxy of the test failed: {error}")),
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<Body>) -> anyhow::Result<Response> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY).await?;
    let call = Call::of(&parts.method, &parts.uri, &body);
    if shared.cut.borrow().away {
        return Ok(broken());
    }
    let what = shared.decide(&call);
    match what {
        What::Answer { code, retry_after } => return Ok(status(code, retry_after, "a fault of the test")),
        What::Reset => return Ok(broken()),
        What::Wait(time) => tokio::time::sleep(time).await,
        What::Stale { writes } => {
            if let Some(version) = shared.version(writes) {
                let request = Request::from_parts(parts, body);
                let (code, body) = stale::read(&shared.upstream, &call, &request, &version).await?;
                return Ok(Response::builder().status(code).header(header::CONTENT_TYPE, "application/json").body(Body::from(body))?);
            }
        }
        _ => {}
    }
    let upstream = shared.upstream.send(forwarded(parts, body)?).await?;
    let (mut head, body) = upstream.into_parts();
    head.headers.remove(header::TRANSFER_ENCODING);
    if call.verb == Verb::Watch && head.status.is_success() {
        return Ok(Response::from_parts(head, relay(shared, call.resource, body)));
    }
    let body = body.collect().await?.to_bytes();
    shared.note(&call, head.status, &body);
    match what {
        What::Kill => {
            shared.kill(call);
            tokio::time::sleep(DYING).await;
            Ok(broken())
        }
        What::AnswerLate(time) => {
            tokio::time::sleep(time).await;
            Ok(Response::from_parts(head, Body::from(body)))
        }
        What::AnswerAfter { code } => Ok(status(code, None, "a fault of the test")),
        What::ResetAfter => Ok(broken()),
        _ => Ok(Response::from_parts(head, Body::from(body))),
    }
}

/// The request as the API server gets it.
fn forwarded(parts: Parts, body: Bytes) -> anyhow::Result<Request<kube::client::Body>> {
    const HOP_BY_HOP: [HeaderName; 4] = [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    let path = parts.uri.path_and_query().context("a request without path")?.as_str();
    let mut request = Request::builder().method(parts.method).uri(path).body(kube::client::Body::from(body))?;
    *request.headers_mut() = parts.headers;
    for name in HOP_BY_HOP {
        request.headers_mut().remove(name);
    }
    Ok(request)
}

/// An answer of an API server in trouble.
fn status(code: u16, retry_after: Option<u32>, message: &str) -> Response {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A connection that breaks before the answer is complete.
fn broken() -> Response {
    let end = futures::stream::once(async { Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset)) });
    Response::new(Body::from_stream(end))
}
