//! What every reconcile has at hand: clients, settings, caches, queues, metrics and the recorder of Events.

use std::sync::Arc;

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, run_report::RunReport, table::Table};
use k8s_openapi::{
    api::{
        batch::v1 as batch,
        core::v1::{self as core, ObjectReference},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Client, core::PartialObjectMeta};

use crate::{
    cache::Cache,
    controller::Controller,
    events::{EventReason, News, Recorder, Severity},
    hub,
    limits::Starts,
    memory::Memory,
    metrics::Metrics,
    queue::Queue,
    settings::Settings,
    watch,
};

/// One per process; clones share everything.
#[derive(Clone)]
pub struct Context {
    /// For everything but status.
    pub client: Client,
    /// For status: it has its own half of the request rate, so starts never hold it back.
    pub status_client: Client,
    /// What the process was started with.
    pub settings: Arc<Settings>,
    /// What is counted.
    pub metrics: Metrics,
    /// Kubernetes Events.
    pub recorder: Recorder,
    /// What the API server holds.
    pub caches: Arc<Caches>,
    /// What is to be looked at.
    pub queues: Queues,
    /// What spares requests.
    pub memory: Memory,
    /// Holds back the starts of pods.
    pub starts: Starts,
    /// Uid of the namespace kube-system; empty if it may not be read.
    pub cluster_id: Arc<str>,
    /// Field manager of what is made in this context.
    pub manager: &'static str,
}

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
        let watches = watch::scopes(namespaces).len();
        Self {
            pipelines: Cache::new(watches, hub::places_of_pipeline),
            tables: Cache::new(watches, hub::pipeline_of_table),
            updates: Cache::new(watches, hub::pipeline_of_update),
            reports: Cache::new(watches, hub::update_of_report),
            jobs: Cache::new(watches, hub::update_of_job),
            pods: Cache::new(watches, hub::update_of_pod),
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

/// One queue per controller.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    /// Of the controller of Pipelines.
    pub pipeline: Arc<Queue>,
    /// Of the controller of PipelineUpdates.
    pub update: Arc<Queue>,
    /// Of the controller of Tables.
    pub table: Arc<Queue>,
}

impl Context {
    /// The context of one controller: what it makes carries its name.
    #[must_use]
    pub fn of(&self, controller: Controller) -> Self {
        Self { manager: controller.manager(), ..self.clone() }
    }

    /// Tells people about an object that is stored but cannot be read.
    pub fn unreadable(&self, kind: &str, metadata: &ObjectMeta, error: &str) {
        let regarding = ObjectReference {
            api_version: Some(floe_crds::API_VERSION.to_string()),
            kind: Some(kind.to_string()),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            ..ObjectReference::default()
        };
        let note = format!("the stored object cannot be read and is left alone: {error}");
        self.recorder.publish(regarding, News::new(Severity::Warning, EventReason::InvalidSpec, note), None);
    }

    /// The queue of `controller`.
    pub fn queue(&self, controller: Controller) -> &Arc<Queue> {
        self.queues.of(controller)
    }
}

impl Queues {
    /// The queue of `controller`.
    pub fn of(&self, controller: Controller) -> &Arc<Queue> {
        match controller {
            Controller::Pipeline => &self.pipeline,
            Controller::Update => &self.update,
            Controller::Table => &self.table,
        }
    }
}
