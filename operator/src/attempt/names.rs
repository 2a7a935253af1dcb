//! Names that are functions of what they are for.

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, text::cut};
use k8s_openapi::api::batch::v1 as batch;
use kube::ResourceExt;
use serde_json::Value;

use crate::labels;

/// Longest name of a batch/v1 Job: it is a label of its pods.
const MAX_JOB_NAME: usize = 63;
/// What is kept of a long name of an update.
const KEPT: usize = 45;

/// Name of the batch/v1 Job of attempt `number`; its report has the same.
pub fn job_name(update: &PipelineUpdate, number: i32) -> String {
    let name = update.name_any();
    let whole = format!("{name}-a{number}");
    if whole.len() <= MAX_JOB_NAME {
        return whole;
    }
    let uid = labels::short_hash(&update.uid().unwrap_or_default());
    format!("{}-{uid}-a{number}", cut(&name, KEPT).trim_end_matches(['-', '.']))
}

/// The number of the attempt whose batch/v1 Job and report have this name.
pub fn attempt_number(name: &str) -> Option<i32> {
    name.rsplit_once("-a")?.1.parse().ok()
}

/// Name of the ConfigMap with the request of the attempt whose batch/v1 Job is `job`.
pub fn request_name(job: &str) -> String {
    format!("{job}-request")
}

/// Name of the batch/v1 Job that removes the data of a deleted Pipeline, asked to do `asked`, after `ended` others. One of the same name that is made
/// later has clean-ups of its own.
pub fn cleanup_name(pipeline: &Pipeline, asked: &str, ended: usize) -> String {
    format!("{}-cleanup-{}", pipeline.name_any(), labels::short_hash(&format!("{} {asked} {ended}", pipeline.uid().unwrap_or_default())))
}

/// Stands for this life of the Pipeline in the label of its clean-ups.
pub fn cleanup_label(pipeline: &Pipeline) -> String {
    labels::short_hash(&pipeline.uid().unwrap_or_default())
}

/// True if the batch/v1 Job is a clean-up of this life of the Pipeline.
pub fn is_cleanup_of(job: &batch::Job, pipeline: &Pipeline) -> bool {
    job.labels().get(labels::CLEANUP).is_some_and(|life| *life == cleanup_label(pipeline))
}

/// The service account that is made for the pipeline's runners, and the binding of its rights.
pub fn own_account(pipeline: &Pipeline) -> String {
    format!("floe-{}", pipeline.name_any())
}

/// The service account that is made for the pods of a Job, and the binding of its rights.
pub fn job_account(job: &str) -> String {
    format!("floe-job-{job}")
}

/// The service account of the pipeline's runners.
pub fn service_account(pipeline: &Pipeline) -> String {
    pipeline.spec.runner.service_account_name.clone().unwrap_or_else(|| own_account(pipeline))
}

/// Stands for the storage root in labels: pods and batch/v1 Jobs with the same value write the same tables. A path is on the volumes of the
/// pods, so in another namespace or on other volumes it is another place.
pub fn storage_label(pipeline: &Pipeline) -> String {
    let root = pipeline.spec.storage.as_ref().map(|storage| storage.uri.trim_end_matches('/')).unwrap_or_default();
    if !root.starts_with("file://") {
        return root_hash(root);
    }
    let volumes = volumes(pipeline).unwrap_or_default();
    root_hash(&format!("{root} {} {volumes}", pipeline.namespace().unwrap_or_default()))
}

/// Sixteen hex digits: two roots that met in one value would wait for each other.
fn root_hash(root: &str) -> String {
    labels::hash(root.as_bytes())[..16].to_string()
}

/// The volumes that a Pipeline mounts by its pod template.
pub fn volumes(pipeline: &Pipeline) -> Option<Value> {
    pipeline.spec.runner.pod_template.as_ref()?.pointer("/spec/volumes").cloned()
}

#[cfg(test)]
mod tests {
    use floe_crds::pipeline_update::PipelineUpdateSpec;

    use super::*;

    #[test]
    fn names_fit_and_stay_different() {
        let update = |name: &str| {
            let mut update = PipelineUpdate::new(name, PipelineUpdateSpec::default());
            update.metadata.uid = Some(format!("uid of {name}"));
            update
        };
        assert_eq!(job_name(&update("bookstore-u7"), 2), "bookstore-u7-a2");
        let (a, b) = (format!("{}a", "x".repeat(62)), format!("{}b", "x".repeat(62)));
        let (a, b) = (job_name(&update(&a), 1000), job_name(&update(&b), 1000));
        assert!(a.len() <= MAX_JOB_NAME && a != b && a.ends_with("-a1000"), "{a}");
    }

    #[test]
    fn a_root_has_one_label_with_room_for_many() {
        let label = |uri: &str| {
            let spec = serde_json::from_value(serde_json::json!({"storage": {"uri": uri}})).unwrap();
            storage_label(&Pipeline::new("p", spec))
        };
        assert_eq!(label("s3://lake/a"), label("s3://lake/a/"));
        assert_ne!(label("s3://lake/a"), label("s3://lake/b"));
        assert_eq!(label("s3://lake/a").len(), 16);
    }
}
