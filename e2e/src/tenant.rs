//! The namespace of one test: what a user applies in it, and waiting for what should become of that.

use std::{
    fmt::Debug,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Namespace};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, ValidationDirective},
    core::{ApiResource, GroupVersionKind},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{apiserver::ApiServer, cluster};

/// Everything that is waited for comes within seconds on a quiet machine; the limit is for one that does much else.
pub const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);

/// One namespace with a client of the administrator.
#[derive(Clone)]
pub struct Tenant {
    /// Name of the namespace.
    pub name: String,
    /// Client with all rights.
    pub client: Client,
    /// The API server.
    pub server: &'static ApiServer,
    /// How long anything may take.
    pub patience: Duration,
    /// How often what is waited for is looked at.
    pub poll: Duration,
}

/// Images are unpacked and pods start; on a machine that does much else that takes its time.
const PATIENCE_WITH_PODS: Duration = Duration::from_mins(5);

impl Tenant {
    /// A new namespace of the program's API server; its name begins with `prefix`.
    pub async fn new(prefix: &str) -> anyhow::Result<Self> {
        Self::on(ApiServer::shared().await?, prefix).await
    }

    /// A new namespace of this API server.
    pub async fn on(server: &'static ApiServer, prefix: &str) -> anyhow::Result<Self> {
        Self::of(server, PATIENCE, json!({"generateName": format!("{prefix}-")})).await
    }

    /// A new namespace of the real cluster, where the operator is installed and pods must keep to the restricted profile.
    pub async fn in_cluster(prefix: &str) -> anyhow::Result<Self> {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let metadata = json!({"generateName": format!("{prefix}-"), "labels": labels});
        Self::of(cluster::shared().await?, PATIENCE_WITH_PODS, metadata).await
    }

    async fn of(server: &'static ApiServer, patience: Duration, metadata: Value) -> anyhow::Result<Self> {
        let client = server.client().await?;
        let namespace = serde_json::from_value(json!({"metadata": metadata}))?;
        let created = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(Self { name: created.name_any(), client, server, patience, poll: POLL })
    }

    /// All objects of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Applies manifests as a user does: server-side, and what no kind knows is refused.
    pub async fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        for document in documents(manifests)? {
            self.apply_one(&document).await?;
        }
        Ok(())
    }

    /// Applies one object and gives the answer.
    pub async fn apply_one(&self, object: &Value) -> anyhow::Result<DynamicObject> {
        let name = object["metadata"]["name"].as_str().context("an object needs metadata.name")?;
        let parameters = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::apply("kubectl").force() };
        Ok(self.dynamic(object)?.patch(name, &parameters, &Patch::Apply(object)).await?)
    }

    /// Creates one object; a second time it is an error.
    pub async fn create(&self, object: &Value) -> anyhow::Result<DynamicObject> {
        Ok(self.dynamic(object)?.create(&PostParams::default(), &serde_json::from_value(object.clone())?).await?)
    }

    /// Creates one object or puts it in the place of the one that is there, with every field as given.
    pub async fn put(&self, object: &Value) -> anyhow::Result<DynamicObject> {
        let name = object["metadata"]["name"].as_str().context("an object needs metadata.name")?;
        let api = self.dynamic(object)?;
        let Some(old) = api.get_opt(name).await? else { return self.create(object).await };
        let mut object: DynamicObject = serde_json::from_value(object.clone())?;
        object.metadata.resource_version = old.metadata.resource_version;
        Ok(api.replace(name, &PostParams::default(), &object).await?)
    }

    /// The interface for the kind that `object` says it is.
    pub fn dynamic(&self, object: &Value) -> anyhow::Result<Api<DynamicObject>> {
        let text = |key: &str| object[key].as_str().with_context(|| format!("an object needs {key}"));
        let (group, version) = text("apiVersion")?.split_once('/').unwrap_or(("", text("apiVersion")?));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")?));
        Ok(Api::namespaced_with(self.client.clone(), &self.name, &resource))
    }

    /// Changes fields of an object as a user does with `kubectl patch --type merge`.
    pub async fn patch<K>(&self, name: &str, patch: &Value) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        Ok(self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Sets one annotation.
    pub async fn annotate<K>(&self, name: &str, key: &str, value: &str) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        self.patch(name, &json!({"metadata": {"annotations": {key: value}}})).await
    }

    /// Changes the status of an object, as nobody but a controller does.
    pub async fn patch_status<K>(&self, name: &str, status: &Value) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        Ok(self.api::<K>().patch_status(name, &PatchParams::default(), &Patch::Merge(&json!({"status": status}))).await?)
    }

    /// Deletes an object.
    pub async fn delete<K>(&self, name: &str) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        self.api::<K>().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The object as it is.
    pub async fn get<K>(&self, name: &str) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        Ok(self.api::<K>().get(name).await?)
    }

    /// All objects of a kind, by name.
    pub async fn list<K>(&self) -> anyhow::Result<Vec<K>>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let mut items = self.api::<K>().list(&ListParams::default()).await?.items;
        items.sort_by_key(ResourceExt::name_any);
        Ok(items)
    }

    /// Waits until the object is as `wanted` says; `what` stands in the error, with the object as it was last.
    pub async fn wait<K>(&self, name: &str, what: &str, wanted: impl Fn(&K) -> bool) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
        K::DynamicType: Default,
    {
        let (api, start) = (self.api::<K>(), Instant::now());
        loop {
            let found = api.get_opt(name).await?;
            match found {
                Some(object) if wanted(&object) => return Ok(object),
                last if start.elapsed() > self.patience => bail!("{name} did not come to {what}; it is\n{}", readable(last.as_ref())),
                _ => tokio::time::sleep(self.poll).await,
            }
        }
    }

    /// Waits until the list of a kind is as `wanted` says.
    pub async fn wait_list<K>(&self, what: &str, wanted: impl Fn(&[K]) -> bool) -> anyhow::Result<Vec<K>>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
        K::DynamicType: Default,
    {
        let start = Instant::now();
        loop {
            let found = self.list::<K>().await?;
            if wanted(&found) {
                return Ok(found);
            }
            ensure!(
                start.elapsed() < self.patience,
                "{}: did not come to {what}; there are\n{}",
                K::kind(&K::DynamicType::default()),
                readable(Some(&found))
            );
            tokio::time::sleep(self.poll).await;
        }
    }

    /// Waits until the object is no more.
    pub async fn wait_gone<K>(&self, name: &str) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
        K::DynamicType: Default,
    {
        let (api, start) = (self.api::<K>(), Instant::now());
        while let Some(object) = api.get_opt(name).await? {
            ensure!(start.elapsed() < self.patience, "{name} does not go away; it is\n{}", readable(Some(&object)));
            tokio::time::sleep(self.poll).await;
        }
        Ok(())
    }

    /// Fails if the list of a kind becomes as `forbidden` says within `time`.
    pub async fn never<K>(&self, time: Duration, what: &str, forbidden: impl Fn(&[K]) -> bool) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
        K::DynamicType: Default,
    {
        let start = Instant::now();
        while start.elapsed() < time {
            let found = self.list::<K>().await?;
            ensure!(!forbidden(&found), "{what}:\n{}", readable(Some(&found)));
            tokio::time::sleep(self.poll).await;
        }
        Ok(())
    }

    /// The folder of this test's logs; kept after the test, emptied by its next run.
    pub fn logs(&self) -> anyhow::Result<PathBuf> {
        let name = self.name.rsplit_once('-').map_or(self.name.as_str(), |(prefix, _)| prefix);
        let folder =
            std::env::current_exe()?.ancestors().nth(2).context("the test program stands in no folder")?.join("e2e-logs").join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// The documents of a manifest file.
pub fn documents(manifests: &str) -> anyhow::Result<Vec<Value>> {
    use serde::Deserialize;
    let documents = serde_yaml::Deserializer::from_str(manifests).map(Value::deserialize);
    let all: Result<Vec<Value>, _> = documents.collect();
    Ok(all?.into_iter().filter(|document| !document.is_null()).collect())
}

fn readable(object: Option<&(impl Serialize + ?Sized)>) -> String {
    let Some(Ok(mut value)) = object.map(serde_json::to_value) else { return "not there".to_string() };
    strip_managed_fields(&mut value);
    serde_yaml::to_string(&value).unwrap_or_default()
}

fn strip_managed_fields(value: &mut Value) {
    for object in value.as_array_mut().into_iter().flatten() {
        strip_managed_fields(object);
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}
