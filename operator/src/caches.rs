//! What the API server holds, one cache per kind, and the keys under which objects are found beside their own.

use std::{collections::BTreeSet, sync::Arc};

use floe_crds::{job::Job, job_run::JobRun, pipeline::Pipeline, pipeline_update::PipelineUpdate, run_report::RunReport, table::Table};
use k8s_openapi::api::{apps::v1::Deployment, batch::v1 as batch, core::v1 as core};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{ResourceExt, core::PartialObjectMeta};

use crate::{
    cache::{Cache, Scope},
    key::Key,
    labels, named,
    root::folders,
};

/// One cache per kind.
#[derive(Debug)]
pub struct Caches {
    /// Also found by the ConfigMaps that they name, and by storage root.
    pub pipelines: Cache<Pipeline>,
    /// Also found by Pipeline.
    pub tables: Cache<Table>,
    /// Also found by Pipeline, and by the JobRun that made it.
    pub updates: Cache<PipelineUpdate>,
    /// Our own Jobs; also found by what their triggers look at.
    pub floe_jobs: Cache<Job>,
    /// Also found by Job, and by the JobRun that made it.
    pub job_runs: Cache<JobRun>,
    /// Also found by PipelineUpdate, by JobRun and by Job.
    pub reports: Cache<RunReport>,
    /// Batch/v1 Jobs of attempts and clean-ups; also found by PipelineUpdate or JobRun or, without one, by Pipeline.
    pub jobs: Cache<batch::Job>,
    /// Of attempts; also found by PipelineUpdate or JobRun.
    pub pods: Cache<core::Pod>,
    /// Watchers of Jobs.
    pub deployments: Cache<Deployment>,
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
            updates: Cache::new(watches, places_of_update),
            floe_jobs: Cache::new(watches, places_of_floe_job),
            job_runs: Cache::new(watches, places_of_job_run),
            reports: Cache::new(watches, owner_of_report),
            jobs: Cache::new(watches, owner_of_job),
            pods: Cache::new(watches, owner_of_pod),
            deployments: Cache::new(watches, |_| Vec::new()),
            config_maps: Cache::new(watches, |_| Vec::new()),
        }
    }

    /// True once every cache has seen its first list.
    pub fn are_synced(&self) -> bool {
        self.pipelines.is_synced()
            && self.tables.is_synced()
            && self.updates.is_synced()
            && self.floe_jobs.is_synced()
            && self.job_runs.is_synced()
            && self.reports.is_synced()
            && self.jobs.is_synced()
            && self.pods.is_synced()
            && self.deployments.is_synced()
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

/// Updates under their Pipeline, and under the run whose task made them.
fn places_of_update(update: &PipelineUpdate) -> Vec<Key> {
    pipeline_of_update(update).into_iter().chain(by_label(update, labels::RUN).map(|run| of_run(&run))).collect()
}

/// Where what belongs to the run `run` is found: a name of a run may also be that of another object.
pub fn of_run(run: &Key) -> Key {
    Key::new(format!("of run {}", run.namespace), run.name.clone())
}

/// Where Jobs are found whose triggers look at the Table `table`.
pub fn looking_at_table(table: &Key) -> Key {
    Key::new(format!("looking at table {}", table.namespace), table.name.clone())
}

/// Where Jobs are found whose triggers look at runs of the Job `job`.
pub fn looking_at_job(job: &Key) -> Key {
    Key::new(format!("looking at job {}", job.namespace), job.name.clone())
}

/// Where runs of the Job `job` are found.
pub fn runs_of(job: &Key) -> Key {
    Key::new(format!("runs of {}", job.namespace), job.name.clone())
}

/// Where Jobs are found whose tasks name the Pipeline `pipeline`.
pub fn naming_pipeline(pipeline: &Key) -> Key {
    Key::new(format!("naming pipeline {}", pipeline.namespace), pipeline.name.clone())
}

/// Where Jobs are found whose tasks run the Job `job`.
pub fn calling_job(job: &Key) -> Key {
    Key::new(format!("calling job {}", job.namespace), job.name.clone())
}

fn places_of_floe_job(job: &Job) -> Vec<Key> {
    let namespace = job.namespace().unwrap_or_default();
    let at = |name: String, place: fn(&Key) -> Key| place(&Key::new(namespace.clone(), name));
    let tables = named::tables(&job.spec).into_iter().map(|name| at(name, looking_at_table));
    let upstream = named::completions(&job.spec).into_iter().map(|name| at(name, looking_at_job));
    let pipelines = named::pipelines(&job.spec).into_iter().map(|name| at(name, naming_pipeline));
    let called = named::called(&job.spec).into_iter().map(|name| at(name, calling_job));
    tables.chain(upstream).chain(pipelines).chain(called).collect()
}

/// Names of all Jobs that are tied to `job` by completion triggers, at any distance; it and those of `more` among them.
pub fn chain_of(caches: &Caches, job: &Key, more: Vec<String>) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), more);
    open.push(job.name.clone());
    while let Some(name) = open.pop() {
        if found.contains(&name) {
            continue;
        }
        let this = Key::new(job.namespace.clone(), name.clone());
        open.extend(caches.floe_jobs.get(&this).map(|job| named::completions(&job.spec)).unwrap_or_default());
        open.extend(caches.floe_jobs.by(&looking_at_job(&this)).iter().map(|job| job.name_any()));
        found.insert(name);
    }
    found
}

fn places_of_job_run(run: &JobRun) -> Vec<Key> {
    let job = job_of_run(run);
    let parents = run.owner_references().iter().filter(|owner| owner.kind == "JobRun");
    let parents = parents.map(|owner| of_run(&Key::new(job.namespace.clone(), owner.name.clone())));
    parents.chain([runs_of(&job)]).collect()
}

/// The Job of a run.
pub fn job_of_run(run: &JobRun) -> Key {
    Key::new(run.namespace().unwrap_or_default(), run.spec.job_ref.name.clone())
}

/// Reports under the update, the run or the Job that they belong to.
fn owner_of_report(report: &RunReport) -> Vec<Key> {
    let namespace = report.namespace().unwrap_or_default();
    let place = |owner: &OwnerReference| match owner.kind.as_str() {
        "PipelineUpdate" => Some(Key::new(namespace.clone(), owner.name.clone())),
        "JobRun" => Some(of_run(&Key::new(namespace.clone(), owner.name.clone()))),
        "Job" => Some(runs_of(&Key::new(namespace.clone(), owner.name.clone()))),
        _ => None,
    };
    report.owner_references().iter().filter_map(place).collect()
}

/// The update that a report belongs to.
pub fn update_of_report(report: &RunReport) -> Vec<Key> {
    owners_of_report(report, "PipelineUpdate")
}

/// The owners of a report of this kind.
pub fn owners_of_report(report: &RunReport, kind: &str) -> Vec<Key> {
    let owners = report.owner_references().iter().filter(|owner| owner.kind == kind);
    owners.map(|owner| Key::new(report.namespace().unwrap_or_default(), owner.name.clone())).collect()
}

/// Batch Jobs under their update or run, else under their Pipeline.
fn owner_of_job(job: &batch::Job) -> Vec<Key> {
    owner_by_label(job)
}

/// Pods under their update or run, else under their Pipeline.
fn owner_of_pod(pod: &core::Pod) -> Vec<Key> {
    owner_by_label(pod)
}

fn owner_by_label(object: &impl ResourceExt) -> Vec<Key> {
    let run = || by_label(object, labels::RUN).map(|run| of_run(&run));
    by_label(object, labels::UPDATE).or_else(run).or_else(|| by_label(object, labels::PIPELINE)).into_iter().collect()
}

/// The object that a label names.
pub fn by_label(object: &impl ResourceExt, label: &str) -> Option<Key> {
    object.labels().get(label).map(|value| Key::new(object.namespace().unwrap_or_default(), value))
}
