//! The batch/v1 Job of an attempt: one pod, never two at once, never one more after its own failure.

use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate};
use k8s_openapi::{
    api::{
        batch::v1::{self as batch, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule},
        core::v1::{self as core, EmptyDirVolumeSource, PodTemplateSpec, ProjectedVolumeSource, VolumeProjection},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use super::{RUNNER, job_name, request_name, storage_label};
use crate::{labels, owner, settings::Settings};

/// The label by which Kueue finds the queue of a batch/v1 Job.
const QUEUE_NAME: &str = "kueue.x-k8s.io/queue-name";

/// What the batch/v1 Job of an attempt is made of.
#[derive(Clone, Copy, Debug)]
pub struct JobParts<'a> {
    /// Prefixes of labels and annotations that children inherit.
    pub settings: &'a Settings,
    /// Whose tables are written.
    pub pipeline: &'a Pipeline,
    /// Which update.
    pub update: &'a PipelineUpdate,
    /// Which attempt, from 1.
    pub number: i32,
    /// The pipeline's pod template.
    pub template: &'a PodTemplateSpec,
    /// The project's files that stand in ConfigMaps.
    pub project: &'a [VolumeProjection],
}

/// The batch/v1 Job of an attempt.
pub fn job(parts: &JobParts<'_>) -> batch::Job {
    let mut metadata = metadata(parts.settings, parts.pipeline, parts.update, parts.number);
    metadata.name = Some(job_name(parts.update, parts.number));
    let pipeline = &parts.pipeline.spec;
    let limits = Limits { timeout_seconds: pipeline.update_policy.timeout_seconds, queue_name: pipeline.runner.queue_name.as_deref() };
    one_pod(metadata, template(parts), &limits)
}

/// What holds a batch/v1 Job back.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// The batch/v1 Job ends after so long; 0 = never.
    pub timeout_seconds: i32,
    /// The queue of Kueue that admits it.
    pub queue_name: Option<&'a str>,
}

/// A batch/v1 Job of one pod, which has its labels and annotations.
pub fn one_pod(mut metadata: ObjectMeta, mut template: PodTemplateSpec, limits: &Limits<'_>) -> batch::Job {
    let pod = template.metadata.get_or_insert_default();
    pod.labels.get_or_insert_default().extend(metadata.labels.clone().unwrap_or_default());
    pod.annotations.get_or_insert_default().extend(metadata.annotations.clone().unwrap_or_default());
    if let Some(queue) = limits.queue_name {
        metadata.labels.get_or_insert_default().insert(QUEUE_NAME.to_string(), queue.to_string());
    }
    let timeout = i64::from(limits.timeout_seconds);
    let spec = batch::JobSpec {
        backoff_limit: Some(0),
        completions: Some(1),
        parallelism: Some(1),
        pod_replacement_policy: Some("Failed".to_string()),
        active_deadline_seconds: (timeout > 0).then_some(timeout),
        pod_failure_policy: Some(PodFailurePolicy { rules: vec![disruptions_are_ignored()] }),
        template,
        ..batch::JobSpec::default()
    };
    batch::Job { metadata, spec: Some(spec), status: None }
}

/// Namespace, labels, inherited annotations and owner of what is made for an attempt.
pub(super) fn metadata(settings: &Settings, pipeline: &Pipeline, update: &PipelineUpdate, number: i32) -> ObjectMeta {
    let inherited = |all: &std::collections::BTreeMap<String, String>, prefixes: &[String]| {
        let chosen = all.iter().filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())));
        chosen.map(|(name, value)| (name.clone(), value.clone())).collect::<std::collections::BTreeMap<_, _>>()
    };
    let mut labels = inherited(pipeline.labels(), &settings.inherited_labels);
    labels.extend(labels::of_update(&pipeline.name_any(), &update.name_any()));
    labels.insert(labels::ATTEMPT.to_string(), number.to_string());
    // A pod that only checks writes no table: it may run beside a writer.
    if !update.spec.selection.validate_only {
        labels.insert(labels::STORAGE.to_string(), storage_label(pipeline));
    }
    let annotations = inherited(pipeline.annotations(), &settings.inherited_annotations);
    ObjectMeta {
        namespace: update.namespace(),
        labels: Some(labels),
        annotations: (!annotations.is_empty()).then_some(annotations),
        owner_references: Some(vec![owner::reference(update)]),
        ..ObjectMeta::default()
    }
}

/// A pod that lost its place is replaced within the same attempt.
pub fn disruptions_are_ignored() -> PodFailurePolicyRule {
    let disrupted = PodFailurePolicyOnPodConditionsPattern { type_: "DisruptionTarget".to_string(), status: "True".to_string() };
    PodFailurePolicyRule { action: "Ignore".to_string(), on_pod_conditions: Some(vec![disrupted]), on_exit_codes: None }
}

/// The pipeline's template with what only this attempt has.
fn template(parts: &JobParts<'_>) -> PodTemplateSpec {
    let mut template = parts.template.clone();
    let Some(spec) = &mut template.spec else { return template };
    for volume in spec.volumes.iter_mut().flatten() {
        match (volume.name.as_str(), &mut volume.config_map) {
            ("request", Some(request)) => request.name = request_name(&job_name(parts.update, parts.number)),
            ("project", None) if volume.empty_dir == Some(EmptyDirVolumeSource::default()) && !parts.project.is_empty() => {
                volume.empty_dir = None;
                volume.projected = Some(ProjectedVolumeSource { sources: Some(parts.project.to_vec()), default_mode: None });
            }
            _ => {}
        }
    }
    if let Some(runner) = spec.containers.iter_mut().find(|container| container.name == RUNNER) {
        fill_in_attempt(runner, parts.number);
    }
    template
}

fn fill_in_attempt(runner: &mut core::Container, number: i32) {
    let attempt = runner.env.iter_mut().flatten().find(|variable| variable.name == "FLOE_ATTEMPT");
    if let Some(attempt) = attempt {
        attempt.value = Some(number.to_string());
    }
}
