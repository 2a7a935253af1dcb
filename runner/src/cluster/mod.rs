//! The objects of a cluster as a person's command sees them: every call of `floe job` to an API server is here.

pub mod change;
pub mod ending;
pub mod failure;
pub mod logs;
pub mod pods;
#[cfg(test)]
mod tests;

use std::{fmt::Debug, time::Duration};

use futures::Stream;
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt, watcher},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use self::failure::{Asked, Kind};
use crate::{args::job::ClusterArguments, failure::Failure};

/// Who owns the fields that a command writes.
const FIELD_MANAGER: &str = "floe";
/// No answer after this time is a failure.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Objects that one call brings.
const PAGE: u32 = 500;

/// A namespace of a cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// Name of the namespace.
    pub namespace: String,
    /// Address of the API server, for messages.
    pub server: String,
}

/// A kind that commands read and write.
pub trait Object: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static {}

impl<K> Object for K where K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static {}

impl Cluster {
    /// The cluster that `wanted` and the environment name. Nothing is called yet.
    pub async fn connect(wanted: &ClusterArguments) -> Result<Self, Failure> {
        let mut config = configuration(wanted).await?;
        config.connect_timeout = Some(CALL_TIMEOUT);
        // A creation that is repeated in secret may make two runs.
        config.default_retry = false;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_string();
        let namespace = wanted.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(failure::no_client)?;
        Ok(Self { client, namespace, server })
    }

    /// The objects of a kind in the namespace.
    fn api<K: Object>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn asked<K: Object>(&self, verb: &'static str, name: Option<&str>) -> Asked<'_> {
        Asked { verb, kind: Kind::of::<K>(), name: name.map(str::to_string), namespace: &self.namespace, server: &self.server }
    }

    /// Waits for the answer of one call.
    async fn call<T>(&self, asked: &Asked<'_>, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failure::of(error, asked)),
            Err(_) => Err(failure::no_answer(asked, CALL_TIMEOUT)),
        }
    }

    /// The object of this name, if there is one.
    pub async fn find<K: Object>(&self, name: &str) -> Result<Option<K>, Failure> {
        let asked = self.asked::<K>("get", Some(name));
        match self.call(&asked, self.api::<K>().get(name)).await {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.error == failure::NOT_FOUND => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The object of this name; without one a failure that names the nearest.
    pub async fn get<K: Object>(&self, name: &str) -> Result<K, Failure> {
        if let Some(found) = self.find(name).await? {
            return Ok(found);
        }
        // Who may not list hears all the same that the object is not there.
        let known = self.list::<K>(None).await.unwrap_or_default();
        let known: Vec<String> = known.iter().map(ResourceExt::name_any).collect();
        Err(failure::missing(&self.asked::<K>("get", Some(name)), name, &known))
    }

    /// All objects of a kind, or those with these labels.
    pub async fn list<K: Object>(&self, selector: Option<&str>) -> Result<Vec<K>, Failure> {
        let parameters = ListParams { label_selector: selector.map(str::to_string), ..ListParams::default() };
        self.pages(parameters).await
    }

    /// All objects of a kind with this value of a field.
    pub async fn list_with<K: Object>(&self, field: &str, value: &str) -> Result<Vec<K>, Failure> {
        self.pages(ListParams::default().fields(&format!("{field}={value}"))).await
    }

    async fn pages<K: Object>(&self, parameters: ListParams) -> Result<Vec<K>, Failure> {
        let (api, asked) = (self.api::<K>(), self.asked::<K>("list", None));
        let mut parameters = parameters.limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.call(&asked, api.list(&parameters)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(all),
            }
        }
    }

    /// Creates an object.
    pub async fn create<K: Object + Serialize>(&self, object: &K) -> Result<K, Failure> {
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_string()), ..PostParams::default() };
        self.call(&self.asked::<K>("create", None), self.api::<K>().create(&parameters, object)).await
    }

    /// Changes fields of an object; `None` if it is not as `patch` says it was read.
    pub async fn patch<K: Object>(&self, name: &str, patch: &Value) -> Result<Option<K>, Failure> {
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_string()), ..PatchParams::default() };
        let (api, patch) = (self.api::<K>(), Patch::Merge(patch));
        match self.call(&self.asked::<K>("patch", Some(name)), api.patch(name, &parameters, &patch)).await {
            Ok(changed) => Ok(Some(changed)),
            Err(failure) if failure.error == failure::CONFLICT => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// An object as it is, and after each change; `None` when it is gone. Failures that may pass are tried again in the stream.
    pub fn watch<K: Object>(&self, name: &str) -> impl Stream<Item = Result<Option<K>, watcher::Error>> + Send + use<K> {
        watcher::watch_object(self.api::<K>(), name).default_backoff()
    }

    /// What a watch could not do, if it will not do it later either; else whether the API server is away.
    pub fn watch_failure<K: Object>(&self, error: watcher::Error, name: &str) -> Result<bool, Failure> {
        let asked = self.asked::<K>("watch", Some(name));
        match error {
            watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => {
                let failure = failure::of(error, &asked);
                if failure::is_passing(&failure) { Ok(true) } else { Err(failure) }
            }
            // It begins anew, as it does after some minutes anyway.
            _ => Ok(false),
        }
    }
}

/// The kubeconfig that is named or current; in a pod without one its own account.
async fn configuration(wanted: &ClusterArguments) -> Result<Config, Failure> {
    let options = KubeConfigOptions { context: wanted.context.clone(), ..KubeConfigOptions::default() };
    if let Some(file) = &wanted.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(file).map_err(failure::no_kubeconfig)?;
        return Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failure::no_kubeconfig);
    }
    if wanted.context.is_some() {
        return Config::from_kubeconfig(&options).await.map_err(failure::no_kubeconfig);
    }
    Config::infer().await.map_err(failure::no_cluster)
}
