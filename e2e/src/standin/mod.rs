//! A stand-in for an API server, in memory: it shows what the operator can do where the API server is not the limit.
//!
//! It speaks as much of the Kubernetes API as the operator and the played pods use: lists, watches, creates, updates, merge patches, server-side
//! apply with its owners of fields, status as a part of its own, finalizers, graceful ends of pods, garbage collection. It is as strict as a real
//! one where two writers meet: the same conflicts, the same revisions, each change told once and in order.
//!
//! It judges nothing: no validation by schema (only defaults and the keys of lists are taken from it), no CEL, no admission, no rights (everybody may
//! do everything), no quotas, no ends of namespaces, and nothing is on disk. What it does not play it refuses by name. So it proves nothing
//! about what a cluster accepts: that is what the tests with a real API server are for.

mod answer;
mod ask;
mod built_in;
mod collect;
mod counts;
mod fields;
mod patch;
mod refusal;
mod resource;
mod selector;
mod shape;
mod store;
#[cfg(test)]
mod tests;
mod version;
mod watch;
mod write;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Router, serve::ListenerExt};
use serde_json::json;
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::task::AbortOnDropHandle;

use self::{counts::Counts, refusal::Refusal, store::Store};
use crate::apiserver::ApiServer;

/// Its name among the processes of an API server.
pub const PROCESS: &str = "stand-in";

/// What all requests share.
struct Shared {
    store: Mutex<Store>,
    counts: Counts,
    garbage: Notify,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, and wakes the collector if something may have to go then.
    fn write<T>(&self, act: impl FnOnce(&mut Store) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut store = self.store();
        let outcome = act(&mut store);
        if !store.dirty.is_empty() {
            self.garbage.notify_one();
        }
        outcome
    }
}

/// A running stand-in; it ends when it goes out of scope.
pub struct StandIn {
    server: &'static ApiServer,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl StandIn {
    /// Starts one in this process. `folder` gets its kubeconfig, and the id of this process where those of a real one stand.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared { store: Mutex::default(), counts: Counts::default(), garbage: Notify::new() });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = format!("http://{}", listener.local_addr()?);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": PROCESS,
            "clusters": [{"name": PROCESS, "cluster": {"server": address}}],
            "users": [{"name": PROCESS, "user": {"token": "everybody"}}],
            "contexts": [{"name": PROCESS, "context": {"cluster": PROCESS, "user": PROCESS}}],
        });
        fs::create_dir_all(folder.join("run"))?;
        fs::write(folder.join("run").join(format!("{PROCESS}.pid")), std::process::id().to_string())?;
        let path = folder.join("kubeconfig");
        fs::write(&path, kubeconfig.to_string())?;
        let router = Router::new().fallback(answer::serve).with_state(shared.clone());
        // Small pieces of a watch must not wait for each other.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap_or_default() });
        let collector = tokio::spawn(collect_for_ever(shared));
        // As long as the program, as every API server of tests.
        let server = Box::leak(Box::new(ApiServer::of(path)));
        Ok(Self { server, _tasks: [AbortOnDropHandle::new(serving), AbortOnDropHandle::new(collector)] })
    }

    /// How it is reached.
    pub fn server(&self) -> &'static ApiServer {
        self.server
    }
}

async fn collect_for_ever(shared: Arc<Shared>) {
    loop {
        shared.garbage.notified().await;
        while shared.store().sweep() {}
    }
}
