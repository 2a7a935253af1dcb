//! What the API server holds, one cache per kind, and the keys under which objects are found beside their own.

use std::sync::Arc;

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, run_report::RunReport, table::Table};
use k8s_openapi::api::{batch::v1 as batch, core::v1 as core};
use kube::{ResourceExt, core::PartialObjectMeta};

use crate::{
    cache::{Cache, Scope},
    key::Key,
    labels,
    root::folders,
};

/// One cache per kind.
#[derive(Debug)]
pub struct Caches {
    /// Also found by the ConfigMaps that they name, and by storage root.
    pub pipelines: Cache<Pipeline>,
    /// Also found by Pipeline.
    pub tables: Cache<Table>,
    /// Also found by Pipeline.
    pub updates: Cache<PipelineUpdate>,
    /// Also found by PipelineUpdate.
    pub reports: Cache<RunReport>,
    /// Of attempts and clean-ups; also found by PipelineUpdate or, without one, by Pipeline.
    pub jobs: Cache<batch::Job>,
    /// Of attempts; also found by PipelineUpdate.
    pub pods: Cache<core::Pod>,
    /// Metadata only.
    pub config_maps: Cache<PartialObjectMeta<core::ConfigMap>>,
}

impl Caches {
    /// Empty caches, each filled by one watch per namespace (or one for all).
    pub fn new(namespaces: &[String]) -> Self {
        let watches = scopes(namespaces).len();
        Self {
            pipelines: Cache::new(watches, places_of_pipeline),
            tables: Cache::new(watches, pipeline_of_table),
            updates: Cache::new(watches, pipeline_of_update),
            reports: Cache::new(watches, update_of_report),
            jobs: Cache::new(watches, update_of_job),
            pods: Cache::new(watches, update_of_pod),
            config_maps: Cache::new(watches, |_| Vec::new()),
        }
    }

    /// True once every cache has seen its first list.
    pub fn are_synced(&self) -> bool {
        self.pipelines.is_synced()
            && self.tables.is_synced()
            && self.updates.is_synced()
            && self.reports.is_synced()
            && self.jobs.is_synced()
            && self.pods.is_synced()
            && self.config_maps.is_synced()
    }
}

/// The namespaces that are watched; none named = all.
pub fn scopes(namespaces: &[String]) -> Vec<Scope> {
    if namespaces.is_empty() {
        return vec![Scope(None)];
    }
    namespaces.iter().map(|namespace| Scope(Some(namespace.clone()))).collect()
}

/// Pipelines under the ConfigMaps that they name.
pub fn config_maps_of(pipeline: &Pipeline) -> Vec<Key> {
    let namespace = pipeline.namespace().unwrap_or_default();
    let source = pipeline.spec.source.iter().flat_map(|source| &source.config_maps).map(|source| source.name.clone());
    let parameters = pipeline.spec.parameters.iter().filter_map(|parameter| parameter.value_from.as_ref()?.config_map_key_ref.as_ref());
    source.chain(parameters.map(|key| key.name.clone())).map(|name| Key::new(namespace.clone(), name)).collect()
}

/// Namespaces that no object has: the index of storage roots lies beside that of objects.
const STORAGE_AT: &str = "storage at";
const STORAGE_INSIDE: &str = "storage inside";

/// Pipelines under the ConfigMaps that they name, under their storage root, and under every folder in which it lies.
pub fn places_of_pipeline(pipeline: &Pipeline) -> Vec<Key> {
    let mut places = config_maps_of(pipeline);
    let Some(storage) = &pipeline.spec.storage else { return places };
    let around = folders(&storage.uri);
    places.extend(around.last().map(|root| Key::new(STORAGE_AT, root)));
    places.extend(around.into_iter().map(|folder| Key::new(STORAGE_INSIDE, folder)));
    places
}

/// Pipelines whose storage root is `uri`, or lies inside or around it.
pub fn sharing_storage(caches: &Caches, uri: &str) -> Vec<Arc<Pipeline>> {
    let mut around = folders(uri);
    let Some(root) = around.pop() else { return Vec::new() };
    let around = around.into_iter().flat_map(|folder| caches.pipelines.by(&Key::new(STORAGE_AT, folder)));
    caches.pipelines.by(&Key::new(STORAGE_INSIDE, root)).into_iter().chain(around).collect()
}

/// Tables under their Pipeline.
pub fn pipeline_of_table(table: &Table) -> Vec<Key> {
    vec![Key::new(table.namespace().unwrap_or_default(), &table.spec.pipeline)]
}

/// Updates under their Pipeline.
pub fn pipeline_of_update(update: &PipelineUpdate) -> Vec<Key> {
    vec![Key::new(update.namespace().unwrap_or_default(), &update.spec.pipeline)]
}

/// Reports under the update that they belong to.
pub fn update_of_report(report: &RunReport) -> Vec<Key> {
    let owners = report.owner_references().iter().filter(|owner| owner.kind == "PipelineUpdate");
    owners.map(|owner| Key::new(report.namespace().unwrap_or_default(), &owner.name)).collect()
}

/// Batch Jobs under their update.
pub fn update_of_job(job: &batch::Job) -> Vec<Key> {
    by_label(job, labels::UPDATE).or_else(|| by_label(job, labels::PIPELINE)).into_iter().collect()
}

/// Pods under their update.
pub fn update_of_pod(pod: &core::Pod) -> Vec<Key> {
    by_label(pod, labels::UPDATE).or_else(|| by_label(pod, labels::PIPELINE)).into_iter().collect()
}

/// The object that a label names.
pub fn by_label(object: &impl ResourceExt, label: &str) -> Option<Key> {
    object.labels().get(label).map(|value| Key::new(object.namespace().unwrap_or_default(), value))
}
