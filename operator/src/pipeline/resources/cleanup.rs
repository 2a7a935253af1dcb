//! The clean-up of a deleted Pipeline: a batch/v1 Job that removes data, and the request that says which.

use std::collections::BTreeMap;

use floe_crds::{
    API_VERSION,
    condition::Reason,
    pipeline::DeletionPolicy,
    request::{CleanupRequest, PROTOCOL, RemovedTable, RequestError, RequestedPipeline},
};
use k8s_openapi::{
    api::{
        batch::v1::{self as batch, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule},
        core::v1::{ConfigMap, EmptyDirVolumeSource, PodTemplateSpec, ServiceAccount, Volume},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use super::{super::observe::Observed, beside};
use crate::{
    attempt::{self, Refused},
    dataset, labels,
};

/// The clean-up may take so long.
const DEADLINE_SECONDS: i64 = 600;
/// Pods of one clean-up after the first, if something passes.
const RETRIES: i32 = 3;
/// Exit codes after which another pod meets the same.
const LASTING: &[i32] = &[10, 11, 12];
/// It stays so long after its end, for people who want to know what it did.
const KEPT_SECONDS: i32 = 3600;

/// The objects of a clean-up. Job and request do not belong to the Pipeline: with a foreground deletion they would go before it.
#[derive(Clone, Debug)]
pub struct Cleanup {
    /// That of the Pipeline's pods, unless it names one of its own.
    pub account: Option<ServiceAccount>,
    /// Removes the data.
    pub job: batch::Job,
    /// Says which; belongs to the Job.
    pub request: ConfigMap,
    /// Stands for what it is asked to do.
    pub asked: String,
}

/// The clean-up that follows those that have ended, or why no pod can be made for it: then nothing can be removed.
pub fn cleanup(observed: &Observed) -> Result<Cleanup, Refused> {
    let template = attempt::pod_template(&observed.settings, &observed.pipeline)?;
    let too_large = |error: RequestError| Refused { reason: Reason::InvalidSpec, path: "spec".to_string(), problem: error.to_string() };
    let text = request(observed).to_text().map_err(too_large)?;
    let pod_text = serde_json::to_string(&template).unwrap_or_default();
    let asked = labels::hash(format!("{text}\n{pod_text}").as_bytes())[..32].to_string();
    let ended = observed.cleanup.as_ref().map_or(0, |last| last.ended);
    let name = attempt::cleanup_name(&observed.pipeline, &asked, ended);
    let metadata = |name: String| ObjectMeta {
        name: Some(name),
        namespace: Some(observed.key.namespace.clone()),
        labels: Some(job_labels(observed)),
        ..ObjectMeta::default()
    };
    let request_at = labels::reconcile_request(observed.pipeline.as_ref());
    let noted = [(labels::ASKED, Some(asked.as_str())), (labels::RECONCILE_REQUESTED_AT, request_at)];
    let annotations = noted.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?.to_string()))).collect();
    let request_name = attempt::request_name(&name);
    let spec = batch::JobSpec {
        backoff_limit: Some(RETRIES),
        active_deadline_seconds: Some(DEADLINE_SECONDS),
        ttl_seconds_after_finished: Some(KEPT_SECONDS),
        pod_replacement_policy: Some("Failed".to_string()),
        pod_failure_policy: Some(PodFailurePolicy { rules: vec![attempt::disruptions_are_ignored(), lasting_failures_end_it()] }),
        template: pod(template, &request_name, observed),
        ..batch::JobSpec::default()
    };
    let metadata_of_job = ObjectMeta { annotations: Some(annotations), ..metadata(name) };
    let job = batch::Job { metadata: metadata_of_job, spec: Some(spec), status: None };
    let data = [(attempt::REQUEST_KEY.to_string(), text)].into();
    let request = ConfigMap { metadata: metadata(request_name), data: Some(data), immutable: Some(true), binary_data: None };
    Ok(Cleanup { account: beside(&observed.pipeline).account, job, request, asked })
}

fn lasting_failures_end_it() -> PodFailurePolicyRule {
    let codes = PodFailurePolicyOnExitCodesRequirement {
        container_name: Some(attempt::RUNNER.to_string()),
        operator: "In".to_string(),
        values: LASTING.to_vec(),
    };
    PodFailurePolicyRule { action: "FailJob".to_string(), on_exit_codes: Some(codes), on_pod_conditions: None }
}

fn job_labels(observed: &Observed) -> BTreeMap<String, String> {
    let mut all = labels::of_pipeline(&observed.key.name);
    all.insert(labels::STORAGE.to_string(), attempt::storage_label(&observed.pipeline));
    all.insert(labels::CLEANUP.to_string(), attempt::cleanup_label(&observed.pipeline));
    all
}

fn request(observed: &Observed) -> CleanupRequest {
    let pipeline = &observed.pipeline;
    // Tables that are deleted go as soon as a clean-up has taken over their data: it is the last to know of them.
    let taken_over = observed.cleanup.iter().flat_map(|last| &last.tables);
    let mut policies: BTreeMap<String, DeletionPolicy> = taken_over.map(|table| (table.full_name.clone(), table.deletion_policy)).collect();
    policies.extend(observed.tables.iter().filter_map(|table| {
        let full_name = dataset::full_name(table, &pipeline.spec).to_lowercase();
        table.spec.deletion_policy.map(|deletion_policy| (full_name, deletion_policy))
    }));
    CleanupRequest {
        api_version: API_VERSION.to_string(),
        kind: "CleanupRequest".to_string(),
        protocol: PROTOCOL,
        operator_version: env!("CARGO_PKG_VERSION").to_string(),
        pipeline: RequestedPipeline {
            name: observed.key.name.clone(),
            namespace: observed.key.namespace.clone(),
            uid: pipeline.uid().unwrap_or_default(),
            generation: pipeline.metadata.generation.unwrap_or_default(),
            spec: pipeline.spec.definition(),
        },
        tables: policies.into_iter().map(|(full_name, deletion_policy)| RemovedTable { full_name, deletion_policy }).collect(),
    }
}

/// The runner's pod with another command, and without the project: its ConfigMaps may be gone already.
fn pod(mut template: PodTemplateSpec, request_name: &str, observed: &Observed) -> PodTemplateSpec {
    template.metadata.get_or_insert_default().labels.get_or_insert_default().extend(job_labels(observed));
    let Some(spec) = &mut template.spec else { return template };
    for volume in spec.volumes.iter_mut().flatten() {
        match volume.name.as_str() {
            "request" => {
                if let Some(config_map) = &mut volume.config_map {
                    config_map.name = request_name.to_string();
                }
            }
            "project" => {
                *volume = Volume { name: "project".to_string(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
            }
            _ => {}
        }
    }
    for container in spec.containers.iter_mut().filter(|container| container.name == attempt::RUNNER) {
        if let Some(command) = container.args.as_mut().and_then(|args| args.first_mut()) {
            *command = "cleanup".to_string();
        }
        container.liveness_probe = None;
    }
    template
}
