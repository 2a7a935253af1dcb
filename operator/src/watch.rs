//! One watch per kind and namespace: it fills the cache and wakes whom a change concerns.

use std::{fmt::Debug, marker::PhantomData, time::Duration};

use futures::StreamExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::Deployment, batch::v1 as batch, core::v1 as core},
};
use kube::{
    Api, Resource, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use floe_crds::{job::Job, job_run::JobRun, pipeline::Pipeline, pipeline_update::PipelineUpdate, run_report::RunReport, table::Table};

use crate::{
    cache::{Cache, Change, Scope},
    caches::{Caches, scopes},
    context::Context,
    hub,
    key::Key,
    labels,
};

/// What a list did not show is asked for again after this time, if there was no answer, or an old one.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A kind that the operator knows.
pub trait Watched: ResourceExt + Clone + Debug + Send + Sync + Sized + 'static {
    /// The kind's name, as messages and metric labels say it.
    const NAME: &'static str;

    /// Where its objects are kept; `None` for kinds that are only written.
    fn cache(_caches: &Caches) -> Option<&Cache<Self>> {
        None
    }

    /// Takes out what nobody reads in the cache.
    fn slim(&mut self) {
        self.managed_fields_mut().clear();
    }

    /// Wakes whom a change of an object concerns.
    fn changed(_ctx: &Context, _change: &Change<Self>) {}
}

macro_rules! watched {
    ($($kind:ty, $name:literal, $cache:ident, $changed:path $(, $slim:path)?;)+) => {
        $(impl Watched for $kind {
            const NAME: &'static str = $name;

            fn cache(caches: &Caches) -> Option<&Cache<Self>> {
                Some(&caches.$cache)
            }

            $(fn slim(&mut self) {
                self.managed_fields_mut().clear();
                $slim(self);
            })?

            fn changed(ctx: &Context, change: &Change<Self>) {
                $changed(ctx, change);
            }
        })+
    };
}

watched! {
    Pipeline, "Pipeline", pipelines, hub::pipeline_changed;
    Table, "Table", tables, hub::table_changed;
    PipelineUpdate, "PipelineUpdate", updates, hub::update_changed;
    Job, "jobs.floe.dev", floe_jobs, hub::floe_job_changed;
    JobRun, "JobRun", job_runs, hub::job_run_changed;
    RunReport, "RunReport", reports, hub::report_changed;
    batch::Job, "Job", jobs, hub::job_changed, slim_job;
    core::Pod, "Pod", pods, hub::pod_changed, slim_pod;
    Deployment, "Deployment", deployments, hub::deployment_changed, slim_deployment;
    PartialObjectMeta<core::ConfigMap>, "ConfigMap", config_maps, hub::config_map_changed;
}

/// Thousands of ended attempts are kept for an hour: their pod templates would be most of the memory.
fn slim_job(job: &mut batch::Job) {
    if let Some(spec) = &mut job.spec {
        spec.template = core::PodTemplateSpec::default();
    }
}

/// Whether a watcher is as it should be tells an annotation.
fn slim_deployment(deployment: &mut Deployment) {
    if let Some(spec) = &mut deployment.spec {
        spec.template = core::PodTemplateSpec::default();
    }
}

/// Of its spec a pod keeps the node, and names and limits of its containers.
fn slim_pod(pod: &mut core::Pod) {
    let Some(spec) = pod.spec.take() else { return };
    let slim = |container: core::Container| {
        let limits = container.resources.and_then(|resources| resources.limits);
        let resources = core::ResourceRequirements { limits, ..core::ResourceRequirements::default() };
        core::Container { name: container.name, resources: Some(resources), ..core::Container::default() }
    };
    let containers = spec.containers.into_iter().map(slim).collect();
    pod.spec = Some(core::PodSpec { node_name: spec.node_name, containers, ..core::PodSpec::default() });
}

macro_rules! only_written {
    ($($kind:ty, $name:literal;)+) => {
        $(impl Watched for $kind {
            const NAME: &'static str = $name;
        })+
    };
}

only_written! {
    core::ConfigMap, "ConfigMap";
    core::ServiceAccount, "ServiceAccount";
    k8s_openapi::api::rbac::v1::RoleBinding, "RoleBinding";
    k8s_openapi::api::policy::v1::PodDisruptionBudget, "PodDisruptionBudget";
}

/// Starts all watches. A task that ends before `stop` is a fault of the process.
pub fn start(ctx: &Context, stop: &CancellationToken) -> JoinSet<&'static str> {
    let mut tasks = JoinSet::new();
    let scopes = scopes(&ctx.settings.watch_namespaces);
    for scope in &scopes {
        let mine = format!("{}={}", labels::MANAGED_BY, labels::OPERATOR);
        let shard = ctx.settings.label_selector.clone().unwrap_or_default();
        spawn::<Pipeline>(&mut tasks, ctx, scope, &shard, stop);
        spawn::<Table>(&mut tasks, ctx, scope, "", stop);
        spawn::<PipelineUpdate>(&mut tasks, ctx, scope, "", stop);
        spawn::<Job>(&mut tasks, ctx, scope, &shard, stop);
        spawn::<JobRun>(&mut tasks, ctx, scope, "", stop);
        spawn::<RunReport>(&mut tasks, ctx, scope, "", stop);
        spawn::<batch::Job>(&mut tasks, ctx, scope, &mine, stop);
        spawn::<core::Pod>(&mut tasks, ctx, scope, &mine, stop);
        spawn::<Deployment>(&mut tasks, ctx, scope, &mine, stop);
        spawn::<PartialObjectMeta<core::ConfigMap>>(&mut tasks, ctx, scope, "", stop);
    }
    tasks
}

fn spawn<K>(tasks: &mut JoinSet<&'static str>, ctx: &Context, scope: &Scope, selector: &str, stop: &CancellationToken)
where
    K: Watched + Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
{
    let watch = Watch { ctx: ctx.clone(), scope: scope.clone(), selector: selector.to_string(), kind: PhantomData::<K> };
    tasks.spawn(watch.run(stop.clone()));
}

/// One watch of a kind.
struct Watch<K> {
    ctx: Context,
    scope: Scope,
    selector: String,
    kind: PhantomData<K>,
}

impl<K> Watch<K>
where
    K: Watched + Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
{
    async fn run(self, stop: CancellationToken) -> &'static str {
        let api: Api<DeserializeGuard<K>> = match &self.scope.0 {
            Some(namespace) => Api::namespaced(self.ctx.client.clone(), namespace),
            None => Api::all(self.ctx.client.clone()),
        };
        let config = watcher::Config::default().any_semantic().labels(&self.selector);
        let events = watcher(api, config).default_backoff().take_until(stop.cancelled_owned());
        let mut events = std::pin::pin!(events);
        let mut ask_at: Option<Instant> = None;
        loop {
            let next = match ask_at {
                Some(at) => timeout_at(at, events.next()).await,
                None => Ok(events.next().await),
            };
            match next {
                Ok(Some(Ok(event))) => {
                    if matches!(event, watcher::Event::InitDone) {
                        ask_at = Some(Instant::now());
                    }
                    see(&self.ctx, &self.scope, event);
                }
                Ok(Some(Err(error))) => restarted::<K>(&self.ctx, &error),
                Ok(None) => return K::NAME,
                Err(_elapsed) => ask_at = self.asks().await.then(|| Instant::now() + ASK_AGAIN),
            }
        }
    }

    /// Asks the API server for the objects that a list did not show and that may be younger than it; true if doubts are left.
    async fn asks(&self) -> bool {
        let Some(cache) = K::cache(&self.ctx.caches) else { return false };
        for (namespace, objects) in cache.doubted(&self.scope) {
            // Without a version the answer is what is true now, not what some server has seen so far.
            let params = ListParams::default().labels(&self.selector);
            let list = match Api::<K>::namespaced(self.ctx.client.clone(), &namespace).list_metadata(&params).await {
                Ok(list) => list,
                Err(error) => {
                    tracing::warn!(kind = K::NAME, namespace, %error, "what a list did not show cannot be asked for");
                    continue;
                }
            };
            self.ctx.settle(&objects, &list);
        }
        !cache.doubted(&self.scope).is_empty()
    }
}

fn see<K: Watched>(ctx: &Context, scope: &Scope, event: watcher::Event<DeserializeGuard<K>>) {
    let Some(cache) = K::cache(&ctx.caches) else { return };
    let parsed = match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(parse(ctx, object)),
        watcher::Event::InitApply(object) => watcher::Event::InitApply(parse(ctx, object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(parse(ctx, object)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
    };
    for change in cache.observe(scope, parsed) {
        K::changed(ctx, &change);
    }
}

/// The object, slimmed, or the key of one that cannot be read.
fn parse<K: Watched>(ctx: &Context, object: DeserializeGuard<K>) -> Result<K, Key> {
    match object.0 {
        Ok(mut object) => {
            object.slim();
            Ok(object)
        }
        Err(invalid) => {
            let key = Key::new(invalid.metadata.namespace.clone().unwrap_or_default(), invalid.metadata.name.clone().unwrap_or_default());
            tracing::warn!(kind = K::NAME, namespace = key.namespace, name = key.name, error = %invalid.error, "stored object cannot be read");
            ctx.unreadable(K::NAME, &invalid.metadata, &invalid.error);
            Err(key)
        }
    }
}

fn restarted<K: Watched>(ctx: &Context, error: &watcher::Error) {
    let gone = matches!(error, watcher::Error::WatchError(status) if status.code == 410);
    tracing::warn!(kind = K::NAME, %error, "watch starts again");
    ctx.metrics.watch_restarted(K::NAME, if gone { "gone" } else { "error" });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn caches_keep_what_is_read() {
        let container = json!({"name": "runner", "image": "floe:1", "env": [{"name": "A"}], "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1"}}});
        let spec = json!({"nodeName": "n1", "serviceAccountName": "s", "containers": [container]});
        let mut pod: core::Pod =
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec, "status": {"phase": "Running"}})).unwrap();
        pod.slim();
        let kept = json!({"nodeName": "n1", "containers": [{"name": "runner", "resources": {"limits": {"memory": "1Gi"}}}]});
        assert_eq!((json!(pod.spec), json!(pod.status)), (kept, json!({"phase": "Running"})));
        let job =
            json!({"metadata": {"name": "j", "managedFields": [{"manager": "m"}]}, "spec": {"suspend": true, "template": {"spec": spec}}});
        let mut job: batch::Job = serde_json::from_value(job).unwrap();
        job.slim();
        assert_eq!(json!(job.spec), json!({"suspend": true, "template": {}}));
        assert!(job.managed_fields().is_empty());
    }
}
