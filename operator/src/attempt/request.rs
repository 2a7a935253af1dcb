//! The request of an attempt: what the runner is asked to do, and the ConfigMap that brings it into the pod.

use std::{collections::BTreeMap, sync::Arc};

use floe_crds::{
    API_VERSION,
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    request::{
        Owner, PROTOCOL, ReportTarget, RequestError, RequestedParameter, RequestedPipeline, RequestedTable, RequestedUpdate, UpdateRequest,
    },
    state::{Cause, UpdateState},
    table::Table,
};
use k8s_openapi::{
    api::core::v1::{ConfigMap, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{Resource, ResourceExt};

use super::{PROJECT, REQUEST_KEY, SCRATCH, job::metadata, job_name, request_name, template::parameter_variables};
use crate::{dataset, labels, settings::Settings};

/// What a request is made of.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// Whose tables are written.
    pub pipeline: &'a Pipeline,
    /// Which update.
    pub update: &'a PipelineUpdate,
    /// Which attempt, from 1.
    pub number: i32,
    /// The pod that will read it.
    pub template: &'a PodTemplateSpec,
    /// All Table objects of the pipeline.
    pub tables: &'a [Arc<Table>],
    /// Flows that earlier attempts have completed.
    pub completed_flows: &'a [String],
    /// Times of the states before there was a runner.
    pub phase_times: &'a BTreeMap<String, Time>,
    /// Uid of the namespace `kube-system`; empty if unknown.
    pub cluster_id: &'a str,
}

/// The request of an attempt.
pub fn request(parts: &RequestParts<'_>) -> UpdateRequest {
    let (pipeline, update) = (parts.pipeline, parts.update);
    let spec = parts.template.spec.as_ref();
    let declared = parts.tables.iter().filter(|table| dataset::declares(table));
    UpdateRequest {
        api_version: API_VERSION.to_string(),
        kind: "UpdateRequest".to_string(),
        protocol: PROTOCOL,
        operator_version: crate::BUILD[0].to_string(),
        update: requested_update(parts),
        pipeline: requested_pipeline(pipeline),
        tables: declared.map(|table| requested_table(table, pipeline)).collect(),
        selection: update.spec.selection.clone(),
        parameters: parameters(pipeline),
        completed_flows: parts.completed_flows.to_vec(),
        removed_tables: dataset::removed(&pipeline.spec, parts.tables),
        project: PROJECT.to_string(),
        scratch: SCRATCH.to_string(),
        report: Some(ReportTarget {
            namespace: update.namespace().unwrap_or_default(),
            name: job_name(update, parts.number),
            owner: Owner { kind: PipelineUpdate::kind(&()).into_owned(), name: update.name_any(), uid: update.uid().unwrap_or_default() },
        }),
        grace_period_seconds: spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or_default(),
        cluster_id: parts.cluster_id.to_string(),
        run_as: spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default(),
    }
}

fn requested_update(parts: &RequestParts<'_>) -> RequestedUpdate {
    let update = parts.update;
    let early = [UpdateState::Queued, UpdateState::Created, UpdateState::WaitingForResources].map(UpdateState::as_str);
    RequestedUpdate {
        name: update.name_any(),
        id: update.uid().unwrap_or_default(),
        update_type: update.spec.update_type,
        cause: if parts.number > 1 { Cause::RetryOnFailure } else { update.spec.cause },
        request_id: update.spec.request_id.clone(),
        attempt: u32::try_from(parts.number).unwrap_or(1),
        created_at: update.creation_timestamp().unwrap_or(Time(jiff::Timestamp::UNIX_EPOCH)),
        state_times: parts
            .phase_times
            .iter()
            .filter(|(state, _)| early.contains(&state.as_str()))
            .map(|(state, at)| (state.clone(), at.clone()))
            .collect(),
    }
}

/// A pipeline as a runner gets it.
pub fn requested_pipeline(pipeline: &Pipeline) -> RequestedPipeline {
    RequestedPipeline {
        name: pipeline.name_any(),
        namespace: pipeline.namespace().unwrap_or_default(),
        uid: pipeline.uid().unwrap_or_default(),
        generation: pipeline.metadata.generation.unwrap_or_default(),
        spec: pipeline.spec.definition(),
    }
}

/// A Table as a runner gets it.
pub fn requested_table(table: &Table, pipeline: &Pipeline) -> RequestedTable {
    RequestedTable {
        name: table.name_any(),
        uid: table.uid().unwrap_or_default(),
        generation: table.metadata.generation.unwrap_or_default(),
        deletion_policy: dataset::deletion_policy(table, &pipeline.spec),
        spec: table.spec.clone(),
    }
}

/// Values stand in the request; those from Secrets and ConfigMaps are in the environment of the pod.
fn parameters(pipeline: &Pipeline) -> Vec<RequestedParameter> {
    let plain = pipeline.spec.parameters.iter().filter(|parameter| parameter.value_from.is_none()).map(|parameter| RequestedParameter {
        name: parameter.name.clone(),
        value: parameter.value.clone(),
        env: None,
        secret: false,
    });
    let elsewhere = parameter_variables(&pipeline.spec.parameters).into_iter().map(|(parameter, variable, _)| RequestedParameter {
        name: parameter.name.clone(),
        value: None,
        env: Some(variable),
        secret: parameter.value_from.as_ref().is_some_and(|from| from.secret_key_ref.is_some()),
    });
    plain.chain(elsewhere).collect()
}

/// The immutable ConfigMap with `request`, or why it does not fit.
pub fn request_config_map(settings: &Settings, parts: &RequestParts<'_>, request: &UpdateRequest) -> Result<ConfigMap, RequestError> {
    let text = request.to_text()?;
    let mut metadata = metadata(settings, parts.pipeline, parts.update, parts.number);
    metadata.name = Some(request_name(&job_name(parts.update, parts.number)));
    metadata.annotations.get_or_insert_default().insert(labels::PROTOCOL.to_string(), PROTOCOL.to_string());
    Ok(ConfigMap { metadata, data: Some([(REQUEST_KEY.to_string(), text)].into()), immutable: Some(true), binary_data: None })
}

/// The request that `config_map` holds.
pub fn requested(config_map: &ConfigMap) -> Option<UpdateRequest> {
    UpdateRequest::read(config_map.data.as_ref()?.get(REQUEST_KEY)?).ok()
}
