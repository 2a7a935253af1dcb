//! One watch per kind and namespace: it fills the cache and wakes whom a change concerns.

use std::fmt::Debug;

use futures::StreamExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{batch::v1 as batch, core::v1 as core},
};
use kube::{
    Api, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, run_report::RunReport, table::Table};

use crate::{
    cache::{Cache, Change, Scope},
    context::{Caches, Context},
    hub,
    key::Key,
    labels,
};

/// A kind that the operator knows.
pub trait Watched: ResourceExt + Clone + Debug + Send + Sync + Sized + 'static {
    /// The kind's name, as messages and metric labels say it.
    const NAME: &'static str;

    /// Where its objects are kept; `None` for kinds that are only written.
    fn cache(_caches: &Caches) -> Option<&Cache<Self>> {
        None
    }

    /// Wakes whom a change of an object concerns.
    fn changed(_ctx: &Context, _change: &Change<Self>) {}
}

macro_rules! watched {
    ($($kind:ty, $name:literal, $cache:ident, $changed:path;)+) => {
        $(impl Watched for $kind {
            const NAME: &'static str = $name;

            fn cache(caches: &Caches) -> Option<&Cache<Self>> {
                Some(&caches.$cache)
            }

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
    RunReport, "RunReport", reports, hub::report_changed;
    batch::Job, "Job", jobs, hub::job_changed;
    core::Pod, "Pod", pods, hub::pod_changed;
    PartialObjectMeta<core::ConfigMap>, "ConfigMap", config_maps, hub::config_map_changed;
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
        spawn::<RunReport>(&mut tasks, ctx, scope, "", stop);
        spawn::<batch::Job>(&mut tasks, ctx, scope, &mine, stop);
        spawn::<core::Pod>(&mut tasks, ctx, scope, &mine, stop);
        spawn::<PartialObjectMeta<core::ConfigMap>>(&mut tasks, ctx, scope, "", stop);
    }
    tasks
}

/// The namespaces that are watched; none named = all.
pub fn scopes(namespaces: &[String]) -> Vec<Scope> {
    if namespaces.is_empty() {
        return vec![Scope(None)];
    }
    namespaces.iter().map(|namespace| Scope(Some(namespace.clone()))).collect()
}

fn spawn<K>(tasks: &mut JoinSet<&'static str>, ctx: &Context, scope: &Scope, selector: &str, stop: &CancellationToken)
where
    K: Watched + Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
{
    let api: Api<DeserializeGuard<K>> = match &scope.0 {
        Some(namespace) => Api::namespaced(ctx.client.clone(), namespace),
        None => Api::all(ctx.client.clone()),
    };
    let config = watcher::Config::default().any_semantic().labels(selector);
    let (ctx, scope, stop) = (ctx.clone(), scope.clone(), stop.clone());
    tasks.spawn(async move {
        let events = watcher(api, config).default_backoff().take_until(stop.cancelled_owned());
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => see(&ctx, &scope, event),
                Err(error) => restarted::<K>(&ctx, &error),
            }
        }
        K::NAME
    });
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
            object.managed_fields_mut().clear();
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
