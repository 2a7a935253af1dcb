//! The runner in a virtual pod: it reads its request as the real one does, and writes the reports that the real one would write.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use floe_crds::{
    pipeline::DeletionPolicy,
    pipeline_update::{Totals, UpdateType},
    request::{PROTOCOL, TaskRequest, UpdateRequest},
    run_report::{FlowReport, GraphReport, RunReport, RunReportSpec, RunResult, TableReport, apply_body},
    state::{FailureClass, FlowState, MaintenanceType, UpdateState},
    table::{Refresh, TableType},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{batch::v1 as batch, core::v1::ConfigMap},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::Value;

use super::{
    project,
    script::{Reported, Told},
};

/// Rows that each flow writes in an update that gets to its end.
pub const ROWS: i64 = 100;
/// What a runner does between two signs of life takes so long.
const WORK: Duration = Duration::from_millis(100);

/// What storage holds: root → full name → what was written. Shared by all runners, as storage is.
#[derive(Clone, Default)]
pub struct Lake(Arc<Mutex<HashMap<String, BTreeMap<String, Stored>>>>);

/// One table of the lake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Newest version.
    pub version: i64,
    /// Rows in it.
    pub rows: i64,
}

impl Lake {
    /// The tables below a storage root.
    pub fn tables(&self, root: &str) -> BTreeMap<String, Stored> {
        self.lock().get(root).cloned().unwrap_or_default()
    }

    fn write(&self, root: &str, table: &str) -> Stored {
        let mut lake = self.lock();
        let tables = lake.entry(root.to_string()).or_default();
        let stored = tables.entry(table.to_string()).and_modify(|stored| stored.version += 1).or_default();
        stored.rows += ROWS;
        *stored
    }

    fn remove(&self, root: &str, table: &str) {
        self.lock().get_mut(root).map(|tables| tables.remove(table));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, BTreeMap<String, Stored>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a runner runs.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Name of the pod.
    pub pod_name: String,
    /// Its uid.
    pub pod_uid: String,
    /// Its node.
    pub node: String,
}

/// What the pod of a batch/v1 Job was asked to do; nothing of both for a clean-up.
#[derive(Clone, Debug, Default)]
pub struct Requested {
    /// An attempt of an update.
    pub update: Option<UpdateRequest>,
    /// An attempt of a task.
    pub task: Option<TaskRequest>,
}

/// One runner process.
pub struct Runner {
    client: Client,
    lake: Lake,
    request: UpdateRequest,
    report: RunReportSpec,
}

impl Runner {
    /// The request that `job` mounts.
    pub async fn request(client: &Client, job: &batch::Job) -> anyhow::Result<Requested> {
        let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let mut volumes = pod.into_iter().flat_map(|pod| pod.volumes.iter().flatten());
        let map = volumes.find(|volume| volume.name == "request").and_then(|volume| volume.config_map.as_ref());
        let Some(name) = map.map(|map| map.name.clone()) else { return Ok(Requested::default()) };
        let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
        // A kubelet waits for what a pod mounts.
        let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
        let map = loop {
            match api.get_opt(&name).await? {
                Some(map) => break map,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let text = map.data.as_ref().and_then(|data| data.get("request.json")).context("the request has no key request.json")?;
        let value: Value = serde_json::from_str(text)?;
        let unreadable = "a runner cannot read the request";
        Ok(match value["kind"].as_str() {
            Some("UpdateRequest") => Requested { update: Some(serde_json::from_value(value).context(unreadable)?), task: None },
            Some("TaskRequest") => Requested { update: None, task: Some(serde_json::from_value(value).context(unreadable)?) },
            _ => Requested::default(),
        })
    }

    /// A runner that has read its request and takes over the report that an evicted one may have left.
    pub async fn new(client: &Client, lake: &Lake, request: UpdateRequest, place: Place) -> anyhow::Result<Self> {
        let mut sequence = 0;
        if let Some(target) = &request.report {
            let found = Api::<RunReport>::namespaced(client.clone(), &target.namespace).get_opt(&target.name).await?;
            sequence = found.map_or(0, |report| report.spec.sequence);
        }
        let report = RunReportSpec {
            protocol: PROTOCOL,
            pod_uid: place.pod_uid,
            pod_name: place.pod_name,
            node_name: place.node,
            runner_version: "0.1.0".to_string(),
            sequence,
            ..RunReportSpec::default()
        };
        Ok(Self { client: client.clone(), lake: lake.clone(), request, report })
    }

    /// Reports what the script says. Gives the end of a runner that can go no further: that of a graph with errors.
    pub async fn tell(&mut self, what: Reported) -> anyhow::Result<Option<RunResult>> {
        match what {
            Reported::Graph => {
                let graph = project::graph(&self.client, &self.request).await?;
                let invalid = invalid(&graph);
                self.report.graph = Some(graph);
                self.enter(UpdateState::Initializing);
                self.write(Timestamp::now()).await?;
                return Ok(invalid);
            }
            Reported::Running if !self.only_validates() => {
                self.report.flows = self.flows(FlowState::Running);
                self.enter(UpdateState::SettingUpTables);
                self.enter(UpdateState::Running);
                self.write(Timestamp::now()).await?;
            }
            Reported::Running => {}
            Reported::Heartbeat => {
                tokio::time::sleep(WORK).await;
                self.write(Timestamp::now()).await?;
            }
            Reported::OldHeartbeat => self.write(Timestamp::now() - SignedDuration::from_mins(3)).await?,
        }
        Ok(None)
    }

    /// The last word. Gives the termination message.
    pub async fn end(&mut self, told: &Told) -> anyhow::Result<Option<String>> {
        let (result, is_reported) = match told {
            Told::Nothing => return Ok(None),
            Told::Message(result) => (result.clone(), false),
            Told::Report(result) => (result.clone(), true),
        };
        let result = self.located(result);
        if is_reported {
            self.finish(&result);
            self.report.result = Some(result.clone());
            self.write(Timestamp::now()).await?;
        }
        Ok(Some(serde_json::to_string(&result)?))
    }

    /// The end of a runner that was asked to stop.
    pub fn stopped() -> RunResult {
        RunResult {
            exit_code: i32::from(FailureClass::Terminated.exit_code()),
            class: Some(FailureClass::Terminated),
            message: Some("stopped".to_string()),
            ..RunResult::default()
        }
    }

    fn only_validates(&self) -> bool {
        self.request.selection.validate_only || self.request.update.update_type == UpdateType::Maintenance
    }

    /// A failure with the flow that it is of.
    fn located(&self, result: RunResult) -> RunResult {
        let flow = self.report.flows.first().filter(|_| result.class.is_some_and(|class| class != FailureClass::Terminated));
        let Some(flow) = flow.filter(|_| result.flow.is_none()) else { return result };
        RunResult { flow: Some(flow.name.clone()), dataset: Some(flow.dataset.clone()), origin: Some("shop.sql:1:1".to_string()), ..result }
    }

    fn finish(&mut self, result: &RunResult) {
        match result.class {
            None if self.only_validates() => self.enter(UpdateState::Completed),
            None => {
                self.report.flows = self.flows(FlowState::Completed);
                self.commit();
                self.remove();
                self.enter(UpdateState::Completed);
            }
            Some(FailureClass::Terminated) => {
                self.report.flows = self.flows(FlowState::Stopped);
                self.enter(UpdateState::Stopping);
                self.enter(UpdateState::Canceled);
            }
            Some(_) => {
                for (number, flow) in self.report.flows.iter_mut().enumerate() {
                    flow.state = if number == 0 { FlowState::Failed } else { FlowState::Skipped };
                    if number == 0 {
                        flow.error_class.clone_from(&result.error_class);
                        flow.message.clone_from(&result.message);
                        flow.origin.clone_from(&result.origin);
                    }
                }
                self.enter(UpdateState::Failed);
            }
        }
    }

    /// Writes all stored datasets.
    fn commit(&mut self) {
        let root = self.request.pipeline.spec.storage.as_ref().map(|storage| storage.uri.clone()).unwrap_or_default();
        let now = Time(Timestamp::now());
        let stored = |kind| matches!(kind, TableType::StreamingTable | TableType::MaterializedView);
        let graph = self.report.graph.iter();
        let datasets = graph.flat_map(|graph| &graph.datasets).filter(|dataset| stored(dataset.table_type));
        let tables = datasets.map(|dataset| {
            let Stored { version, rows } = self.lake.write(&root, &dataset.full_name);
            let is_view = dataset.table_type == TableType::MaterializedView;
            TableReport {
                full_name: dataset.full_name.clone(),
                location: format!("{root}/{}", dataset.full_name.replace('.', "/")),
                version: Some(version),
                rows: Some(rows),
                size_bytes: Some(rows * 10),
                files: Some(version + 1),
                last_commit_time: Some(now.clone()),
                schema_hash: "5c".to_string(),
                columns: 2,
                refresh: Some(Refresh {
                    update: self.request.update.name.clone(),
                    maintenance_type: is_view.then_some(MaintenanceType::CompleteRecompute),
                    start_time: Some(now.clone()),
                    end_time: Some(now.clone()),
                    succeeded: Some(true),
                    rows_written: ROWS,
                    ..Refresh::default()
                }),
                ..TableReport::default()
            }
        });
        self.report.tables = tables.collect();
        let rows = ROWS * self.report.tables.len() as i64;
        self.report.totals = Totals { rows_written: rows, bytes_written: rows * 10, input_rows: rows, ..Totals::default() };
        let series = self.report.tables.iter().map(|table| {
            let name = &table.full_name;
            (format!("flow=\"{name}\",dataset=\"{name}\""), ROWS as f64)
        });
        self.report.counters = BTreeMap::from([("floe_flow_output_rows_total".to_string(), series.collect())]);
    }

    /// Removes the data that the request asks to remove, but for what the graph declares.
    fn remove(&mut self) {
        let root = self.request.pipeline.spec.storage.as_ref().map(|storage| storage.uri.clone()).unwrap_or_default();
        let declared = |name: &String| self.report.graph.iter().flat_map(|graph| &graph.datasets).any(|dataset| dataset.full_name == *name);
        let removed = self.request.removed_tables.iter().filter(|table| table.deletion_policy == DeletionPolicy::Delete);
        let removed: Vec<String> = removed.map(|table| table.full_name.clone()).filter(|name| !declared(name)).collect();
        for name in &removed {
            self.lake.remove(&root, name);
        }
        self.report.removed_tables = removed;
    }

    fn flows(&self, state: FlowState) -> Vec<FlowReport> {
        let flows = self.report.graph.iter().flat_map(|graph| &graph.flows);
        let metrics = if state == FlowState::Completed { BTreeMap::from([("num_output_rows".to_string(), ROWS)]) } else { BTreeMap::new() };
        flows
            .map(|flow| FlowReport {
                name: flow.name.clone(),
                dataset: flow.dataset.clone(),
                state,
                retries: 0,
                error_class: None,
                message: None,
                origin: None,
                metrics: metrics.clone(),
            })
            .collect()
    }

    fn enter(&mut self, state: UpdateState) {
        self.report.state = Some(state);
        self.report.phase_times.entry(state.to_string()).or_insert_with(|| Time(Timestamp::now()));
    }

    async fn write(&mut self, heartbeat: Timestamp) -> anyhow::Result<()> {
        let Some(target) = &self.request.report else { return Ok(()) };
        self.report.sequence += 1;
        self.report.heartbeat_time = Some(Time(heartbeat));
        let body = apply_body(&target.name, &target.owner, &self.report);
        let api = Api::<RunReport>::namespaced(self.client.clone(), &target.namespace);
        api.patch(&target.name, &PatchParams::apply("floe-runner").force(), &Patch::Apply(&body)).await.context("the report is refused")?;
        Ok(())
    }
}

/// The end of a runner whose graph has errors.
fn invalid(graph: &GraphReport) -> Option<RunResult> {
    let finding = graph.findings.iter().find(|finding| finding.error)?;
    Some(RunResult {
        exit_code: i32::from(FailureClass::User.exit_code()),
        class: Some(FailureClass::User),
        error_class: Some(finding.class.clone()),
        origin: finding.origin.clone(),
        message: Some(finding.message.clone()),
        ..RunResult::default()
    })
}
