//! What every reconcile has at hand: clients, settings, caches, queues, metrics and the recorder of Events.

use std::sync::Arc;

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Client;

use crate::{
    caches::Caches,
    controller::Controller,
    events::{EventReason, News, Recorder, Severity},
    limits::Starts,
    memory::Memory,
    metrics::Metrics,
    notify::Deliveries,
    queue::Queue,
    settings::Settings,
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
    /// Tells people of runs.
    pub deliveries: Deliveries,
    /// Holds back the starts of pods.
    pub starts: Starts,
    /// Uid of the namespace kube-system; empty if it may not be read.
    pub cluster_id: Arc<str>,
    /// Field manager of what is made in this context.
    pub manager: &'static str,
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
    /// Of the controller of Jobs.
    pub job: Arc<Queue>,
    /// Of the controller of JobRuns.
    pub job_run: Arc<Queue>,
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
            Controller::Job => &self.job,
            Controller::JobRun => &self.job_run,
        }
    }
}
