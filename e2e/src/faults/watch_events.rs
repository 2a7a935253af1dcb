//! A watch as it streams by: each event is one line of JSON, and each may meet a fault.

use std::{io, sync::Arc};

use axum::body::{Body, Bytes};
use futures::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use tokio::sync::watch;

use super::{fault::What, proxy::Shared};

/// What the stream was doing.
struct Relay {
    shared: Arc<Shared>,
    resource: String,
    upstream: kube::client::Body,
    buffer: Vec<u8>,
    cut: watch::Receiver<Cut>,
}

/// What ends a watch from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// Counts the times that all watches were told that their version is too old.
    pub expired: u64,
    /// The API server is away.
    pub away: bool,
}

/// The events of `upstream` that are let through.
pub(super) fn relay(shared: &Arc<Shared>, resource: String, upstream: kube::client::Body) -> Body {
    let mut cut = shared.cut.subscribe();
    cut.mark_unchanged();
    let relay = Relay { shared: shared.clone(), resource, upstream, buffer: Vec::new(), cut };
    Body::from_stream(lines(relay))
}

fn lines(relay: Relay) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(relay), async |state| {
        let mut relay = state?;
        let mut cut = relay.cut.clone();
        tokio::select! {
            line = relay.next_line() => match line {
                Some(Ok(line)) => Some((Ok(line), Some(relay))),
                Some(Err(error)) => Some((Err(error), None)),
                None => None,
            },
            changed = cut.changed() => {
                let away = changed.is_err() || cut.borrow().away;
                Some(if away { (Err(io::Error::other("the API server is away")), None) } else { (Ok(expired()), None) })
            }
        }
    })
    .boxed()
}

impl Relay {
    /// The next event that no fault swallows.
    async fn next_line(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                match self.shared.decide_event(&self.resource, &line) {
                    Some(What::Drop) => continue,
                    Some(What::Wait(time)) => tokio::time::sleep(time).await,
                    _ => {}
                }
                return Some(Ok(Bytes::from(line)));
            }
            match self.upstream.frame().await? {
                Ok(frame) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Err(error) => return Some(Err(io::Error::other(error))),
            }
        }
    }
}

/// What an API server says that has forgotten the version from which a watch goes on.
fn expired() -> Bytes {
    let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired",
        "message": "too old resource version"});
    Bytes::from(format!("{}\n", serde_json::json!({"type": "ERROR", "object": status})))
}
