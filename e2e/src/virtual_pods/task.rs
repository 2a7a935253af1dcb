//! The part of a task's pod that reports: the runner of queries, or the side-car of a container.

use std::collections::BTreeMap;

use anyhow::Context;
use floe_crds::{
    request::{PROTOCOL, TaskRequest},
    run_report::{ReportKind, RunReport, RunReportSpec, RunResult, TaskReport, apply_body},
    state::UpdateState,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::Value;

use super::runner::Place;

/// Reports what a task has left.
pub struct Reporter {
    client: Client,
    request: TaskRequest,
    place: Place,
}

impl Reporter {
    /// The reporter of a pod at `place`.
    pub fn new(client: &Client, request: TaskRequest, place: Place) -> Self {
        Self { client: client.clone(), request, place }
    }

    /// Writes the report: what was left, and how it ended.
    pub async fn report(&self, values: &BTreeMap<String, Value>, result: &RunResult) -> anyhow::Result<()> {
        let Some(target) = &self.request.report else { return Ok(()) };
        let values = values.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
        let report = RunReportSpec {
            protocol: PROTOCOL,
            kind: ReportKind::Task,
            pod_uid: self.place.pod_uid.clone(),
            pod_name: self.place.pod_name.clone(),
            node_name: self.place.node.clone(),
            runner_version: "0.1.0".to_string(),
            sequence: 1,
            heartbeat_time: Some(Time(Timestamp::now())),
            state: Some(if result.exit_code == 0 { UpdateState::Completed } else { UpdateState::Failed }),
            result: Some(result.clone()),
            task: Some(TaskReport { values, ..TaskReport::default() }),
            ..RunReportSpec::default()
        };
        let body = apply_body(&target.name, &target.owner, &report);
        let api = Api::<RunReport>::namespaced(self.client.clone(), &target.namespace);
        api.patch(&target.name, &PatchParams::apply("floe-runner").force(), &Patch::Apply(&body)).await.context("the report is refused")?;
        Ok(())
    }
}
