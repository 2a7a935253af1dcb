//! The ways in which the operator writes to the API server. Every answer goes into the cache, so the next look sees it.

use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ObjectList, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    context::Context,
    error::Error,
    key::Key,
    owner::{Claim, claim},
    watch::Watched,
};

/// Field manager of every status.
const STATUS_MANAGER: &str = "floe-operator/status";

/// What a kind must be to be written.
pub trait Writable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Watched + Clone + std::fmt::Debug + Serialize + DeserializeOwned
{
}

impl<K> Writable for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Watched + Clone + std::fmt::Debug + Serialize + DeserializeOwned
{
}

/// What became of a create.
#[derive(Clone, Debug)]
pub enum Created<K> {
    /// It was made now.
    New(K),
    /// An earlier life of the operator made it.
    Found(K),
}

impl<K> Created<K> {
    /// The object, however it came to be.
    pub fn into_inner(self) -> K {
        match self {
            Self::New(object) | Self::Found(object) => object,
        }
    }
}

impl Context {
    fn api<K: Writable>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn failed<K: Watched>(act: &'static str, key: &Key) -> impl FnOnce(kube::Error) -> Error {
        let (key, kind) = (key.clone(), K::NAME);
        move |source| Error::Api { act, kind, key, source: Box::new(source) }
    }

    /// Reads the object from the API server and not from the cache.
    pub async fn fetch<K: Writable>(&self, key: &Key) -> Result<Option<K>, Error> {
        self.api::<K>(&key.namespace).get_opt(&key.name).await.map_err(Self::failed::<K>("get", key))
    }

    /// Lists objects with these labels from the API server and not from the cache.
    pub async fn list<K: Writable>(&self, namespace: &str, labels: &str) -> Result<Vec<K>, Error> {
        self.listed::<K>(namespace, labels).await.map(|list| list.items)
    }

    async fn listed<K: Writable>(&self, namespace: &str, labels: &str) -> Result<ObjectList<K>, Error> {
        let params = kube::api::ListParams::default().labels(labels);
        let key = Key::new(namespace, labels);
        self.api::<K>(namespace).list(&params).await.map_err(Self::failed::<K>("list", &key))
    }

    /// Reads the object from the API server, and makes the cache agree. It takes no right beyond those of the watch.
    pub async fn refresh<K: Writable>(&self, key: &Key) -> Result<Option<K>, Error> {
        let params = kube::api::ListParams::default().fields(&format!("metadata.name={}", key.name));
        let list = self.api::<K>(&key.namespace).list(&params).await.map_err(Self::failed::<K>("list", key))?;
        let cached = K::cache(&self.caches).and_then(|cache| cache.get(key));
        self.settle(&cached.into_iter().collect::<Vec<_>>(), &list);
        let found = list.items.into_iter().next();
        if let Some(found) = &found {
            self.note(found.clone());
        }
        Ok(found)
    }

    /// Lists objects with these labels from the API server, and makes the cache, which holds `cached`, agree.
    pub async fn refresh_all<K: Writable>(&self, namespace: &str, labels: &str, cached: Vec<Arc<K>>) -> Result<(), Error> {
        let list = self.listed::<K>(namespace, labels).await?;
        self.settle(&cached, &list);
        for found in list.items {
            self.note(found);
        }
        Ok(())
    }

    /// Makes `object`, or finds it as an earlier life made it. A name that belongs to another owner is an error.
    pub async fn create<K: Writable>(&self, object: &K) -> Result<Created<K>, Error> {
        let key = Key::of(object);
        let params = PostParams { field_manager: Some(self.manager.to_string()), ..PostParams::default() };
        match self.api::<K>(&key.namespace).create(&params, object).await {
            Ok(made) => {
                self.note(made.clone());
                Ok(Created::New(made))
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let Some(found) = self.fetch::<K>(&key).await? else { return Err(Error::Leaving { kind: K::NAME, key }) };
                match claim(&found, object) {
                    Claim::Ours => {
                        self.note(found.clone());
                        Ok(Created::Found(found))
                    }
                    Claim::OfEarlierLife => Err(Error::Leaving { kind: K::NAME, key }),
                    Claim::Orphan => Err(Error::Orphaned { kind: K::NAME, key }),
                    Claim::Foreign => Err(Error::NameTaken { kind: K::NAME, key }),
                }
            }
            Err(error) => Err(Self::failed::<K>("create", &key)(error)),
        }
    }

    /// Server-side apply of `object`: what it names becomes so, what others wrote stays. A name that belongs to another owner is an error; what an
    /// earlier life made is awaited, because only who may delete an object may give it another owner.
    pub async fn apply<K: Writable>(&self, object: &K) -> Result<K, Error> {
        let key = Key::of(object);
        let claim = self.fetch::<K>(&key).await?.map(|found| claim(&found, object));
        match claim {
            None | Some(Claim::Ours | Claim::Orphan) => {}
            Some(Claim::OfEarlierLife) => return Err(Error::Leaving { kind: K::NAME, key }),
            Some(Claim::Foreign) => return Err(Error::NameTaken { kind: K::NAME, key }),
        }
        let params = PatchParams::apply(self.manager).force();
        let body = typed(object)?;
        let made: K = match self.api(&key.namespace).patch(&key.name, &params, &Patch::Apply(body)).await {
            Ok(made) => made,
            // Some API servers let only those take over an orphan who may delete it.
            Err(kube::Error::Api(status)) if status.code == 403 && claim == Some(Claim::Orphan) => {
                return Err(Error::Orphaned { kind: K::NAME, key });
            }
            Err(error) => return Err(Self::failed::<K>("apply", &key)(error)),
        };
        self.note(made.clone());
        Ok(made)
    }

    /// A merge patch of `object` as it was read: it fails with a conflict if someone was faster.
    pub async fn merge<K: Writable>(&self, object: &K, mut patch: Value) -> Result<K, Error> {
        let key = Key::of(object);
        patch["metadata"]["resourceVersion"] = json!(object.resource_version());
        let params = PatchParams { field_manager: Some(self.manager.to_string()), ..PatchParams::default() };
        let made: K =
            self.api(&key.namespace).patch(&key.name, &params, &Patch::Merge(patch)).await.map_err(Self::failed::<K>("patch", &key))?;
        self.note(made.clone());
        Ok(made)
    }

    /// Writes the status of `object` as it was read: it fails with a conflict if someone was faster.
    pub async fn write_status<K: Writable>(&self, object: &K, status: &impl Serialize) -> Result<K, Error> {
        let key = Key::of(object);
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": key.name, "namespace": key.namespace, "resourceVersion": object.resource_version()},
            "status": serde_json::to_value(status).map_err(|source| Error::Unwritable { what: "a status", source })?,
        });
        let params = PatchParams::apply(STATUS_MANAGER).force();
        let api: Api<K> = Api::namespaced(self.status_client.clone(), &key.namespace);
        let failed = Self::failed::<K>("write the status of", &key);
        let made = api.patch_status(&key.name, &params, &Patch::Apply(body)).await.map_err(failed)?;
        self.note(made.clone());
        Ok(made)
    }

    /// Deletes `object`, and no other one that has taken its name. What it owns goes after it. One that is gone already is as good.
    pub async fn delete<K: Writable>(&self, object: &K) -> Result<(), Error> {
        self.delete_within(object, None).await
    }

    /// As `delete`, but it stays until all that it owns is gone.
    pub async fn delete_in_foreground<K: Writable>(&self, object: &K) -> Result<(), Error> {
        self.delete_as(object, PropagationPolicy::Foreground, None).await
    }

    /// As `delete`, with another time for its end than it was made with.
    pub async fn delete_within<K: Writable>(&self, object: &K, grace_seconds: Option<u32>) -> Result<(), Error> {
        self.delete_as(object, PropagationPolicy::Background, grace_seconds).await
    }

    async fn delete_as<K: Writable>(&self, object: &K, policy: PropagationPolicy, grace_seconds: Option<u32>) -> Result<(), Error> {
        let key = Key::of(object);
        let params = DeleteParams {
            propagation_policy: Some(policy),
            grace_period_seconds: grace_seconds,
            preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.api::<K>(&key.namespace).delete(&key.name, &params).await {
            Ok(either) => {
                if let Some(dying) = either.left() {
                    self.note(dying);
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            // Another object under this name is a conflict: the next look sees it.
            Err(error) => Err(Self::failed::<K>("delete", &key)(error)),
        }
    }

    /// Takes the answer to a write into the cache and wakes whom it concerns.
    pub fn note<K: Watched>(&self, mut object: K) {
        object.slim();
        if let Some(cache) = K::cache(&self.caches)
            && let Some(change) = cache.note(object)
        {
            K::changed(self, &change);
        }
    }

    /// Takes out of the cache what of `cached` the API server does not have any more, as `list` says.
    pub fn settle<K: Watched, L: ResourceExt + Clone>(&self, cached: &[Arc<K>], list: &ObjectList<L>) {
        let Some(cache) = K::cache(&self.caches) else { return };
        let version = list.metadata.resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or(u64::MAX);
        let shown = list.items.iter().filter_map(ResourceExt::uid).collect();
        for change in cache.settle(cached, &shown, version) {
            K::changed(self, &change);
        }
    }
}

fn typed<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Result<Value, Error> {
    let mut body = serde_json::to_value(object).map_err(|source| Error::Unwritable { what: "an object", source })?;
    body["apiVersion"] = json!(K::api_version(&()));
    body["kind"] = json!(K::kind(&()));
    Ok(body)
}

/// True if everything that `wanted` says is so in `found`; what others added does not matter.
pub fn holds<K: serde::Serialize>(found: Option<&K>, wanted: &K) -> bool {
    let text = |object: &K| serde_json::to_value(object).unwrap_or_default();
    found.is_some_and(|found| contains(&text(found), &text(wanted)))
}

/// True if everything in `wanted` is in `found`.
fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| found.get(key).is_some_and(|found| contains(found, value)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| contains(found, wanted))
        }
        _ => found == wanted,
    }
}
