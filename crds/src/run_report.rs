//! The RunReport kind: the only object that a runner writes. What happened in one attempt, totals so far, newest state of each flow and table.
#![expect(clippy::duplicated_attributes, reason = "printer columns repeat the keys of their attributes")]

mod work;

use std::{cmp::Reverse, collections::BTreeMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use work::{TaskOutput, TaskReport, TriggerWatch};

use crate::{
    pipeline::GraphCounts,
    pipeline_update::Totals,
    request::Owner,
    schemas,
    state::{FailureClass, FlowState, FlowType, UpdateState},
    table::{Quality, Refresh, Streaming, TableSpec, TableType},
};

/// What a runner reports. Numbers are totals of the attempt, so that reading a report twice does no harm.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "floe.dev",
    version = "v1alpha1",
    kind = "RunReport",
    namespaced,
    derive = "PartialEq",
    category = "floe",
    doc = "What one runner pod did; written by the pod, read by the operator",
    printcolumn(name = "State", type_ = "string", json_path = ".spec.state"),
    printcolumn(name = "Pod", type_ = "string", json_path = ".spec.podName"),
    printcolumn(name = "Heartbeat", type_ = "date", json_path = ".spec.heartbeatTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RunReportSpec {
    /// Version of this format.
    pub protocol: i32,
    /// What kind of work is reported.
    #[serde(default)]
    pub kind: ReportKind,
    /// The pod that writes.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub pod_uid: String,
    /// Its name.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub pod_name: String,
    /// Where it runs.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub node_name: String,
    /// Version of Floe in the pod.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub runner_version: String,
    /// Grows by one with each write; lower numbers are ignored.
    #[serde(default)]
    pub sequence: i64,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_time: Option<Time>,
    /// State of the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UpdateState>,
    /// The first time of each state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::times")]
    pub phase_times: BTreeMap<String, Time>,
    /// The end; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RunResult>,
    /// The graph, once it was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphReport>,
    /// The plan of changes, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(max = 1024)))]
    pub changes: Vec<String>,
    /// Every flow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5000))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub flows: Vec<FlowReport>,
    /// Every table that the attempt has seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5000))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tables: Vec<TableReport>,
    /// Full names of the datasets of `removedTables` in the request whose data are gone: removed by this attempt, or found gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5000), inner(length(max = 512)))]
    pub removed_tables: Vec<String>,
    /// Rows and bytes of the attempt.
    #[serde(default)]
    pub totals: Totals,
    /// Metric family → labels (`key="value",…`) → value, never falling within the attempt.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::free_form")]
    pub counters: BTreeMap<String, BTreeMap<String, f64>>,
    /// One attempt of a task of a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskReport>,
    /// What a watcher sees: trigger → files and tables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 10))]
    pub watch: BTreeMap<String, TriggerWatch>,
    /// Something was left out to fit into the object.
    #[serde(default)]
    pub truncated: bool,
}

/// What kind of work is reported.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportKind {
    /// An attempt of a PipelineUpdate.
    #[default]
    Update,
    /// A task of a Job.
    Task,
    /// A watcher of triggers.
    Watch,
}

/// How a runner ended; the same text is its termination message.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// The exit code that follows.
    pub exit_code: i32,
    /// Whose fault it is; absent if all went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// The error's class, e.g. `EXPECTATION_VIOLATION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub error_class: Option<String>,
    /// The flow that failed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub flow: Option<String>,
    /// What it writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub dataset: Option<String>,
    /// `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub origin: Option<String>,
    /// The error itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
}

/// The graph of the definition, or why there is none.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GraphReport {
    /// Hash of everything that decides results.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub hash: String,
    /// No finding is an error.
    pub valid: bool,
    /// Errors first, then lints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub findings: Vec<Finding>,
    /// Datasets with what a Table object needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5000))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub datasets: Vec<DatasetReport>,
    /// Flows between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5000))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub flows: Vec<GraphFlow>,
    /// What the graph is made of; complete even where the lists are cut.
    #[serde(default)]
    pub counts: GraphCounts,
}

/// One flow of the graph.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GraphFlow {
    /// Name of the flow.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
    /// Full name of what it writes.
    #[schemars(length(max = 512))]
    pub dataset: String,
    /// What it does with its target.
    #[serde(rename = "type")]
    pub flow_type: FlowType,
    /// Full names of what it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), inner(length(max = 512)))]
    pub inputs: Vec<String>,
}

/// Something that validation found.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// An error, not a lint.
    pub error: bool,
    /// Class of the finding.
    #[schemars(length(max = 256))]
    pub class: String,
    /// What is wrong.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub origin: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub help: Option<String>,
}

/// One dataset of the graph.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DatasetReport {
    /// `catalog.schema.name`.
    #[schemars(length(min = 1, max = 512))]
    pub full_name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub table_type: TableType,
    /// `file:line:column` of its statement, or `manifest` for a Table object.
    #[schemars(length(max = 1024))]
    pub declared_in: String,
    /// The spec of its Table object; absent for views and for datasets from manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::free_form")]
    pub spec: Option<TableSpec>,
}

/// One flow in this attempt.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FlowReport {
    /// Name of the flow.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
    /// Full name of what it writes.
    #[schemars(length(max = 512))]
    pub dataset: String,
    /// Where it is.
    pub state: FlowState,
    /// Retries in this attempt.
    #[serde(default)]
    pub retries: i32,
    /// Class of its last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub error_class: Option<String>,
    /// Its last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub origin: Option<String>,
    /// Sums of the attempt, by the names of the event log.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::free_form")]
    pub metrics: BTreeMap<String, i64>,
}

/// One stored dataset as the runner left it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TableReport {
    /// `catalog.schema.name`.
    #[schemars(length(min = 1, max = 512))]
    pub full_name: String,
    /// Where it stands.
    #[serde(default)]
    #[schemars(length(max = 2048))]
    pub location: String,
    /// Newest Delta version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Rows in it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Bytes of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// Number of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<i64>,
    /// When the newest version was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_commit_time: Option<Time>,
    /// Hash of its columns.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub schema_hash: String,
    /// Number of its columns.
    #[serde(default)]
    pub columns: i32,
    /// What this attempt did to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
    /// Expectations of this attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub quality: Vec<Quality>,
    /// How far its flows have read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streaming: Option<Streaming>,
}

/// Bytes of a report: an object in etcd may have 1.5 MiB with everything around it.
const MAX_BYTES: usize = 1024 * 1024;
/// Above this, what matters least goes first.
const SOFT_BYTES: usize = 400 * 1024;
/// Counters of what people are told of and of what the process is: these few stay.
const TOLD: [&str; 6] = [
    "floe_build_info",
    "floe_event_log_dropped_events_total",
    "floe_event_log_write_failures_total",
    "floe_flow_failures_total",
    "floe_flow_retries_total",
    "floe_schema_changes_total",
];

impl RunReportSpec {
    /// The report within its limits. Over 400 KiB go, one after the other until it fits: the plan of changes, the flows of the graph, the
    /// histograms, the metrics of flows that did not fail, the counters of what went well, expectations that nothing failed. Over 1 MiB go
    /// details of tables, then specs of datasets, the largest first, then what is left of tables and of flows that did not fail.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let soft: [fn(&mut Self); 6] =
            [Self::drop_changes, Self::drop_edges, Self::drop_histograms, Self::drop_metrics, Self::drop_counters, Self::drop_passed];
        let hard: [fn(&mut Self); 4] = [Self::drop_details, Self::drop_specs, Self::drop_tables, Self::drop_flows];
        let steps = soft.into_iter().map(|step| (SOFT_BYTES, step)).chain(hard.into_iter().map(|step| (MAX_BYTES, step)));
        for (limit, step) in steps {
            if bytes(&self) > limit {
                self.truncated = true;
                step(&mut self);
            }
        }
        self
    }

    fn drop_changes(&mut self) {
        self.changes.clear();
    }

    fn drop_edges(&mut self) {
        self.graph.iter_mut().for_each(|graph| graph.flows.clear());
    }

    fn drop_histograms(&mut self) {
        self.counters.retain(|family, _| !family.ends_with("_bucket"));
    }

    fn drop_metrics(&mut self) {
        self.flows.iter_mut().filter(|flow| flow.error_class.is_none()).for_each(|flow| flow.metrics.clear());
    }

    fn drop_counters(&mut self) {
        self.counters.retain(|family, _| TOLD.contains(&family.as_str()));
    }

    fn drop_passed(&mut self) {
        self.tables.iter_mut().for_each(|table| table.quality.retain(|quality| quality.failed > 0));
    }

    /// Whoever knows a table has heard of these before; its version and its sizes stay.
    fn drop_details(&mut self) {
        for table in &mut self.tables {
            (table.location, table.schema_hash, table.streaming) = (String::new(), String::new(), None);
            table.refresh = table.refresh.take().filter(|refresh| refresh.succeeded == Some(false));
        }
    }

    fn drop_specs(&mut self) {
        let mut excess = bytes(self).saturating_sub(MAX_BYTES);
        let datasets = self.graph.iter_mut().flat_map(|graph| &mut graph.datasets);
        let mut specs: Vec<(usize, &mut Option<TableSpec>)> =
            datasets.map(|dataset| (bytes(&dataset.spec), &mut dataset.spec)).filter(|(_, spec)| spec.is_some()).collect();
        specs.sort_by_key(|(size, _)| Reverse(*size));
        for (size, spec) in specs {
            if excess == 0 {
                break;
            }
            *spec = None;
            excess = excess.saturating_sub(size);
        }
    }

    fn drop_tables(&mut self) {
        self.tables.clear();
    }

    fn drop_flows(&mut self) {
        self.flows.retain(|flow| flow.error_class.is_some());
    }
}

fn bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(MAX_BYTES, |text| text.len())
}

/// The body of the server-side apply that writes `spec`.
pub fn apply_body(name: &str, owner: &Owner, spec: &RunReportSpec) -> Value {
    serde_json::json!({
        "apiVersion": crate::API_VERSION,
        "kind": "RunReport",
        "metadata": {"name": name, "ownerReferences": [owner.reference()]},
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{request::PROTOCOL, state::ExpectationAction};

    #[test]
    fn large_reports_lose_what_matters_least() {
        let flow = |n: usize, failed: bool| FlowReport {
            name: format!("flow_{n}"),
            dataset: format!("main.default.table_{n}"),
            state: FlowState::Completed,
            retries: 0,
            error_class: failed.then(|| "EXPECTATION_VIOLATION".to_string()),
            message: None,
            origin: None,
            metrics: (0..20).map(|metric| (format!("num_of_something_{metric}"), 1_000_000)).collect(),
        };
        let report = RunReportSpec {
            protocol: PROTOCOL,
            changes: vec!["a new column".to_string()],
            flows: (0..1000).map(|n| flow(n, n == 7)).collect(),
            ..RunReportSpec::default()
        };
        let bounded = report.bounded();
        assert!(bounded.truncated && bounded.changes.is_empty());
        assert_eq!(bounded.flows.iter().filter(|flow| !flow.metrics.is_empty()).count(), 1);
        assert!(serde_json::to_vec(&bounded).unwrap().len() < SOFT_BYTES);
    }

    #[test]
    fn specs_of_datasets_go_last_and_the_largest_first() {
        let dataset = |n: usize| {
            let query = "x".repeat(if n == 7 { 900 * 1024 } else { 1024 });
            let spec = serde_json::json!({"pipeline": "p", "type": "MaterializedView", "query": query});
            DatasetReport {
                full_name: format!("main.default.t{n}"),
                table_type: TableType::MaterializedView,
                declared_in: "a.sql:1:1".to_string(),
                spec: Some(serde_json::from_value(spec).unwrap()),
            }
        };
        let graph = GraphReport { valid: true, datasets: (0..200).map(dataset).collect(), ..GraphReport::default() };
        let bounded = RunReportSpec { protocol: PROTOCOL, graph: Some(graph), ..RunReportSpec::default() }.bounded();
        let lost: Vec<String> =
            bounded.graph.as_ref().unwrap().datasets.iter().filter(|all| all.spec.is_none()).map(|all| all.full_name.clone()).collect();
        assert_eq!(lost, ["main.default.t7"]);
        assert!(bytes(&bounded) <= MAX_BYTES);
    }

    /// What a full run of `n` datasets tells, each with an expectation and a query of some lines.
    fn full_run(n: usize) -> RunReportSpec {
        let name = |n: usize| format!("main.bookstore.table_{n}");
        let dataset = |n: usize| DatasetReport {
            full_name: name(n),
            table_type: TableType::StreamingTable,
            declared_in: format!("transformations/table_{n}.sql:1:1"),
            spec: serde_json::from_value(serde_json::json!({
                "pipeline": "shop", "type": "StreamingTable", "name": format!("table_{n}"),
                "query": format!("SELECT * FROM STREAM read_files('s3://lake/in/{n}')"),
            }))
            .unwrap(),
        };
        let quality = |n: usize| Quality {
            name: format!("valid_{n}"),
            action: ExpectationAction::Warn,
            passed: 1000,
            failed: i64::from(n == 5),
            last_failed_update: None,
        };
        let table = |n: usize| TableReport {
            full_name: name(n),
            location: format!("s3://lake/shop/bookstore/table_{n}"),
            version: Some(17),
            rows: Some(1_000_000),
            schema_hash: "0".repeat(64),
            refresh: Some(Refresh { update: "shop-u1".to_string(), succeeded: Some(true), rows_written: 1_000_000, ..Refresh::default() }),
            quality: vec![quality(n)],
            streaming: Some(Streaming { generation: 1, ..Streaming::default() }),
            ..TableReport::default()
        };
        let flow = |n: usize| FlowReport {
            name: format!("table_{n}"),
            dataset: name(n),
            state: FlowState::Completed,
            retries: 0,
            error_class: None,
            message: None,
            origin: None,
            metrics: [("num_output_rows".to_string(), 1_000_000), ("executor_time_ms".to_string(), 1234)].into(),
        };
        let series = |family: &str| {
            let bounds = if family.ends_with("_bucket") { 10 } else { 1 };
            let labels = (0..n).flat_map(move |n| (0..bounds).map(move |bound| format!("flow=\"table_{n}\",le=\"{bound}\"")));
            (family.to_string(), labels.map(|labels| (labels, 1.0)).collect())
        };
        let families = ["floe_flow_batch_duration_seconds_bucket", "floe_flow_output_rows_total", "floe_flow_input_rows_total"];
        RunReportSpec {
            protocol: PROTOCOL,
            graph: Some(GraphReport { valid: true, datasets: (0..n).map(dataset).collect(), ..GraphReport::default() }),
            flows: (0..n).map(flow).collect(),
            tables: (0..n).map(table).collect(),
            counters: families.into_iter().chain(["floe_flow_retries_total"]).map(series).collect(),
            ..RunReportSpec::default()
        }
    }

    #[test]
    fn specs_of_datasets_outlive_the_numbers_of_a_full_run() {
        for count in [301, 901, 2000] {
            let bounded = full_run(count).bounded();
            let specs = bounded.graph.as_ref().unwrap().datasets.iter().filter(|dataset| dataset.spec.is_some()).count();
            assert_eq!((specs, bounded.tables.len(), bounded.flows.len()), (count, count, count));
            assert!(bytes(&bounded) <= MAX_BYTES, "{}", bytes(&bounded));
            assert_eq!(bounded.tables[7].version, Some(17));
        }
        let small = full_run(10);
        assert_eq!(small.clone().bounded(), small, "nothing goes without need");
    }

    #[test]
    fn every_report_gets_below_the_limit() {
        let mut report = full_run(5000);
        let datasets = report.graph.iter_mut().flat_map(|graph| &mut graph.datasets);
        datasets.for_each(|dataset| dataset.spec.as_mut().unwrap().query = Some("x".repeat(2000)));
        assert!(bytes(&report.bounded()) <= MAX_BYTES);
    }
}
