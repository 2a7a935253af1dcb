//! The way to the API server: two clients, each with half of the request rate, whose calls are measured, limited in time and rate, and refused
//! once the lease is lost. Nothing is tried again here: a reconcile that failed comes back by its own back-off.

mod layer;
mod request;

use std::time::Duration;

use kube::{Client, Config, client::ClientBuilder};
pub use layer::CallError;
use layer::Calls;

use crate::{leader::Guard, limits::Bucket, metrics::Metrics, settings::Limits};

/// Longest time of one call that is no watch.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The clients of the process.
#[derive(Clone)]
pub struct Clients {
    /// For everything but status.
    pub main: Client,
    /// For status, which is never held back by starts.
    pub status: Client,
}

impl Clients {
    /// Clients for the API server of the pod's cluster, or else of the kubeconfig. Writes need the leave of `guard`.
    pub async fn connect(limits: &Limits, metrics: &Metrics, guard: &Guard) -> Result<Self, kube::Error> {
        let mut config = Config::infer().await.map_err(kube::Error::InferConfig)?;
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let client = || {
            let bucket = Bucket::new(limits.api_qps / 2.0, limits.api_burst.div_ceil(2));
            let calls = Calls::new(bucket, metrics.clone(), guard.clone());
            ClientBuilder::try_from(config.clone()).map(|builder| builder.with_layer(&calls).build())
        };
        Ok(Self { main: client()?, status: client()? })
    }
}
