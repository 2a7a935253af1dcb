//! The pod of a task's attempt as Kubernetes objects: its request, its template, its batch/v1 Job. Pure.

mod request;
mod template;

use std::collections::BTreeMap;

use floe_crds::{job_run::JobRun, run::scene::Attempt, trigger::names::slug};
use k8s_openapi::{
    api::{
        batch::v1 as batch,
        core::v1::{ConfigMap, PodTemplateSpec, VolumeProjection},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;
pub use request::{Sql, TaskParts, request};
pub use template::{container_template, sql_template};

use crate::{
    attempt::{Limits, one_pod, request_name},
    caches, labels, owner,
};

/// Namespace, labels and owner of what is made for an attempt.
pub fn metadata(run: &JobRun, attempt: &Attempt) -> ObjectMeta {
    let mut all = labels::of_run(&caches::job_of_run(run).name, &run.name_any());
    all.insert(labels::TASK.to_string(), labels::value(slug(&attempt.task).trim_matches('-')));
    all.insert(labels::ATTEMPT.to_string(), attempt.execution.to_string());
    if let Some(iteration) = attempt.iteration {
        all.insert(labels::ITERATION.to_string(), iteration.to_string());
    }
    ObjectMeta {
        name: Some(attempt.name.clone()),
        namespace: run.namespace(),
        labels: Some(all),
        annotations: Some(BTreeMap::from([(labels::TASK_KEY.to_string(), attempt.task.clone())])),
        owner_references: Some(vec![owner::reference(run)]),
        ..ObjectMeta::default()
    }
}

/// The immutable ConfigMap with the request of an attempt.
pub fn request_config_map(run: &JobRun, attempt: &Attempt, text: String) -> ConfigMap {
    let metadata = ObjectMeta { name: Some(request_name(&attempt.name)), ..metadata(run, attempt) };
    let data = BTreeMap::from([(crate::attempt::REQUEST_KEY.to_string(), text)]);
    ConfigMap { metadata, data: Some(data), immutable: Some(true), binary_data: None }
}

/// The batch/v1 Job of an attempt: one pod, never two at once, never one more after its own failure.
pub fn batch_job(run: &JobRun, attempt: &Attempt, template: &PodTemplateSpec, project: &[VolumeProjection]) -> batch::Job {
    let limits = Limits { timeout_seconds: attempt.effective.timeout_seconds, queue_name: attempt.effective.pod.queue_name.as_deref() };
    one_pod(metadata(run, attempt), template::filled_in(template, attempt, project), &limits)
}
