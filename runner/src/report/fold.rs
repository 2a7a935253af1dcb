//! Events become the report of an attempt: a pure fold, in the order in which they are recorded.

use std::collections::BTreeMap;

use floe_crds::{
    request::PROTOCOL,
    run_report::{FlowReport, RunReportSpec, RunResult, TableReport},
    state::{EventLevel, ExpectationAction, FlowState, MaintenanceType as Maintenance},
    table::{Quality, Streaming},
    text::cut,
};

use super::{
    counters::{self, Counters},
    graph, merge, time,
};
use crate::{
    event_log::{
        event::{DataQuality, DatasetType, EventDetails, FlowMetrics, FlowProgress, GraphPlanned, MaintenanceType, PlanningInformation},
        record::Record,
    },
    execute::{
        progress::CountedIn,
        stateful::memory::{StateMetrics, StreamingMetrics},
    },
    failure::Failure,
    output::report::change_text,
    settings::Pod,
    summary::{TableFacts, UpdateSummary},
};

/// Limits of the object's schema.
const MAX_CHANGES: usize = 200;
const MAX_TEXT_BYTES: usize = 1024;
const MAX_CLASS_BYTES: usize = 256;
const MAX_QUALITY: usize = 200;

/// What a report is about.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Name of the PipelineUpdate.
    pub update: String,
    /// Flows that an earlier attempt has completed: they take no part, and are complete all the same.
    pub completed_flows: Vec<String>,
    /// Where it runs.
    pub pod: Pod,
}

/// The report so far.
pub struct Fold {
    about: About,
    /// What an earlier pod of the attempt has reported.
    earlier: Option<RunReportSpec>,
    report: RunReportSpec,
    flows: BTreeMap<String, FlowReport>,
    tables: BTreeMap<String, TableReport>,
    /// Versions of what runs, as labels.
    build: Option<String>,
    /// Per dataset and name what an expectation does.
    actions: BTreeMap<(String, String), ExpectationAction>,
}

impl Fold {
    /// An empty report.
    pub fn new(about: About) -> Self {
        let report = RunReportSpec {
            protocol: PROTOCOL,
            pod_uid: about.pod.uid.clone(),
            pod_name: about.pod.name.clone(),
            node_name: about.pod.node.clone(),
            runner_version: env!("CARGO_PKG_VERSION").to_string(),
            ..RunReportSpec::default()
        };
        Self { about, earlier: None, report, flows: BTreeMap::new(), tables: BTreeMap::new(), build: None, actions: BTreeMap::new() }
    }

    /// Numbers of `stored`, by an earlier pod of the same attempt, are part of the report.
    pub fn follow(&mut self, stored: RunReportSpec) {
        if stored.protocol <= PROTOCOL {
            self.earlier = Some(stored);
        }
    }

    /// The report now.
    pub fn report(&self) -> RunReportSpec {
        let report = RunReportSpec {
            flows: self.flows.values().cloned().collect(),
            tables: self.tables.values().cloned().collect(),
            ..self.report.clone()
        };
        let mut report = match &self.earlier {
            Some(earlier) => merge::merged(earlier, report),
            None => report,
        };
        // A fact about this pod, not a number: it is not added to that of an earlier pod.
        if let Some(build) = &self.build {
            report.counters.insert("floe_build_info".to_string(), BTreeMap::from([(build.clone(), 1.0)]));
        }
        report
    }

    /// One more event. True if the report must be written at once.
    pub fn recorded(&mut self, record: &Record) -> bool {
        let dataset = record.subject.dataset_name.clone().unwrap_or_default();
        match &record.typed {
            EventDetails::UpdateProgress(progress) => {
                self.report.state = Some(progress.state);
                self.report.phase_times.entry(progress.state.as_str().to_string()).or_insert_with(|| time(record.timestamp));
            }
            EventDetails::RuntimeDetails(details) => {
                let versions = [
                    ("version", details.floe_version.as_str()),
                    ("datafusion", &details.datafusion_version),
                    ("deltalake", &details.deltalake_version),
                ];
                self.build = Some(counters::labels(&versions));
            }
            EventDetails::GraphPlanned(planned) => {
                self.planned(planned);
                return true;
            }
            EventDetails::DatasetDefinition(definition) if definition.dataset_type != DatasetType::View => {
                let actions = definition.expectations.iter().map(|rule| ((dataset.clone(), rule.name.clone()), rule.action));
                self.actions.extend(actions);
            }
            EventDetails::FlowProgress(progress) => return self.flow_progress(record, progress),
            EventDetails::PlanningInformation(planning) => self.planning(&dataset, planning),
            EventDetails::SchemaChange(change) => self.count("floe_schema_changes_total", &[("dataset", &change.dataset)], 1.0),
            EventDetails::EventLogProgress(lost) => {
                self.count("floe_event_log_dropped_events_total", &[], lost.discarded_events as f64);
            }
            _ => {}
        }
        false
    }

    /// Numbers that an earlier pod has committed; counted if it had not reported them. Events that changed no row count in the event log only:
    /// a report does not tell how far the journal was.
    pub fn recovered(&mut self, record: &Record) {
        let EventDetails::FlowProgress(progress) = &record.typed else { return };
        let dataset = record.subject.dataset_name.as_deref().unwrap_or_default();
        let reported = self.earlier.iter().flat_map(|earlier| &earlier.tables).find(|table| table.full_name == dataset);
        if reported.and_then(|table| table.version) < record.reports.and_then(CountedIn::target) {
            self.numbers(record, progress);
        }
    }

    /// The event log could not be written.
    pub fn log_failed(&mut self) {
        self.count("floe_event_log_write_failures_total", &[], 1.0);
    }

    /// The end: how it ended, and what the tables hold.
    pub fn ended(&mut self, outcome: Result<&UpdateSummary, &Failure>, result: RunResult) {
        let refused = match outcome {
            Ok(summary) => {
                summary.tables.iter().for_each(|facts| self.measured(facts));
                self.report.removed_tables.clone_from(&summary.removed);
                summary.failures.first()
            }
            Err(failure) => Some(failure),
        };
        if self.report.graph.is_none() {
            self.report.graph = refused.and_then(graph::refused);
        }
        self.report.result = Some(result);
    }

    fn planned(&mut self, planned: &GraphPlanned) {
        self.report.graph = planned.graph.as_deref().cloned();
        let changes = planned.changes.iter().take(MAX_CHANGES).map(change_text);
        self.report.changes = changes.map(|text| cut(&text, MAX_TEXT_BYTES).to_string()).collect();
    }

    /// True for a failure.
    fn flow_progress(&mut self, record: &Record, progress: &FlowProgress) -> bool {
        let Some(name) = record.subject.flow_name.clone() else { return false };
        let dataset = record.subject.dataset_name.clone().unwrap_or_default();
        let failed = progress.status == FlowState::Failed;
        let retried = failed && record.level == EventLevel::Warn;
        let was_completed = self.about.completed_flows.iter().any(|flow| flow.eq_ignore_ascii_case(&name));
        let state = if progress.status == FlowState::Excluded && was_completed { FlowState::Completed } else { progress.status };
        let flow = self.flow(&name, &dataset, state);
        flow.state = state;
        flow.retries += i32::from(retried);
        if let Some(error) = record.error.as_ref().filter(|_| failed) {
            let cause = error.exceptions.first();
            let text = |text: &str, most| cut(text, most).to_string();
            flow.error_class = cause.and_then(|cause| cause.class_name.as_deref()).map(|class| text(class, MAX_CLASS_BYTES));
            flow.message = cause.map(|cause| text(&cause.message, MAX_TEXT_BYTES));
            flow.origin = error.origin.as_deref().map(|origin| text(origin, MAX_TEXT_BYTES));
            let class = error.class.map_or("", |class| class.as_str());
            self.count("floe_flow_failures_total", &[("flow", &name), ("class", class)], 1.0);
        }
        if retried {
            self.count("floe_flow_retries_total", &[("flow", &name)], 1.0);
        }
        self.numbers(record, progress);
        if let (FlowState::Completed | FlowState::Idle, Some(generation)) = (state, record.subject.generation) {
            self.at_rest(&name, &dataset, generation, record.subject.remembered.clone().unwrap_or_default());
        }
        self.refresh_times(record, &dataset, state, retried);
        failed
    }

    /// A flow that had nothing to do still remembers what it did before.
    fn at_rest(&mut self, flow: &str, dataset: &str, generation: u64, remembered: StreamingMetrics) {
        if let Some(flow) = self.flows.get_mut(flow) {
            for (name, value) in state_sizes(&remembered) {
                flow.metrics.entry(name.to_string()).or_insert(value);
            }
        }
        let state = Some(Box::new(StateMetrics { streaming_metrics: remembered, ..StateMetrics::default() }));
        self.table(dataset).streaming.get_or_insert_with(|| streaming(generation, &FlowMetrics { state, ..FlowMetrics::default() }));
    }

    /// Counts rows, bytes and verdicts of one event.
    fn numbers(&mut self, record: &Record, progress: &FlowProgress) {
        let name = record.subject.flow_name.clone().unwrap_or_default();
        let dataset = record.subject.dataset_name.clone().unwrap_or_default();
        counters::add_progress(&mut self.report.counters, &name, &dataset, progress);
        let metrics = progress.metrics.clone().unwrap_or_default();
        let quality = progress.data_quality.clone().unwrap_or_default();
        add_to_flow(&mut self.flow(&name, &dataset, progress.status).metrics, &metrics, &quality);
        self.add_quality(&dataset, &quality);
        if metrics.rows_written().is_none() {
            return;
        }
        let dropped = quality.dropped_records.saturating_sub(quality.quarantined_records) as i64;
        let quarantined = quality.quarantined_records as i64;
        let rows = metrics.num_output_rows.unwrap_or(0) as i64;
        let changes = metrics.cdc.unwrap_or_default();
        let (upserted, deleted) = (changes.upserted as i64, changes.deleted as i64);
        let totals = &mut self.report.totals;
        totals.rows_written += rows;
        totals.upserted += upserted;
        totals.deleted += deleted;
        totals.dropped += dropped;
        totals.quarantined += quarantined;
        totals.bytes_written += metrics.num_output_bytes.unwrap_or(0) as i64;
        totals.input_rows += metrics.num_input_rows as i64;
        let generation = record.subject.generation;
        let table = self.table(&dataset);
        table.version = record.reports.and_then(CountedIn::target).max(table.version);
        let refresh = table.refresh.get_or_insert_default();
        refresh.rows_written += rows;
        refresh.upserted += upserted;
        refresh.deleted += deleted;
        refresh.dropped += dropped;
        refresh.quarantined += quarantined;
        if let Some(generation) = generation {
            table.streaming = Some(streaming(generation, &metrics));
        }
    }

    /// Verdicts of views stand in the event log and in the metrics; no table has them.
    fn add_quality(&mut self, target: &str, quality: &DataQuality) {
        for count in &quality.expectations {
            let key = (count.dataset.clone(), count.name.clone());
            let action = self.actions.get(&key).copied();
            if action.is_none() && count.dataset != target {
                continue;
            }
            let action = action.unwrap_or(ExpectationAction::Warn);
            let update = self.about.update.clone();
            let known = &mut self.table(&count.dataset).quality;
            let at = known.iter().position(|known| known.name == count.name).or_else(|| {
                let fresh = Quality { name: count.name.clone(), action, passed: 0, failed: 0, last_failed_update: None };
                (known.len() < MAX_QUALITY).then(|| {
                    known.push(fresh);
                    known.len() - 1
                })
            });
            let Some(known) = at.and_then(|at| known.get_mut(at)) else { continue };
            known.passed += count.passed as i64;
            known.failed += count.failed as i64;
            if count.failed > 0 {
                known.last_failed_update = Some(update);
            }
        }
    }

    /// A refresh begins with the first flow of its dataset and ends with the last.
    fn refresh_times(&mut self, record: &Record, dataset: &str, state: FlowState, retried: bool) {
        let own = self.flows.values().filter(|flow| flow.dataset == dataset);
        let states: Vec<FlowState> = own.map(|flow| flow.state).collect();
        let update = self.about.update.clone();
        match state {
            FlowState::Planning | FlowState::Starting => {
                let refresh = self.table(dataset).refresh.get_or_insert_default();
                refresh.update = update;
                refresh.start_time.get_or_insert_with(|| time(record.timestamp));
            }
            _ if retried || !states.iter().all(|state| state.is_terminal() || *state == FlowState::Idle) => {}
            _ => {
                let Some(refresh) = self.tables.get_mut(dataset).and_then(|table| table.refresh.as_mut()) else { return };
                refresh.end_time = Some(time(record.timestamp));
                refresh.succeeded = Some(states.iter().all(|state| state.lets_downstream_start()));
            }
        }
    }

    fn planning(&mut self, dataset: &str, planning: &PlanningInformation) {
        let Some(chosen) = planning.technique_information.iter().find(|technique| technique.is_chosen) else { return };
        let chosen = match chosen.maintenance_type {
            MaintenanceType::NoOp => Maintenance::NoOp,
            MaintenanceType::CompleteRecompute => Maintenance::CompleteRecompute,
        };
        let issue = planning.technique_information.iter().find_map(|technique| technique.incrementalization_issues.first());
        let issue = issue.map_or("none", |issue| issue.issue_type.as_str()).to_string();
        self.count("floe_mv_refresh_total", &[("dataset", dataset), ("maintenance_type", chosen.as_str()), ("issue", &issue)], 1.0);
        self.table(dataset).refresh.get_or_insert_default().maintenance_type = Some(chosen);
    }

    fn measured(&mut self, facts: &TableFacts) {
        let table = self.table(&facts.dataset);
        table.location = cut(&facts.location, 2048).to_string();
        table.version = Some(facts.version);
        table.schema_hash.clone_from(&facts.schema_hash);
        table.columns = facts.columns as i32;
        let Some(size) = &facts.size else { return };
        table.rows = size.rows;
        table.size_bytes = Some(size.bytes);
        table.files = Some(size.files);
        table.last_commit_time = size.committed_ms.and_then(chrono::DateTime::from_timestamp_millis).map(time);
    }

    fn count(&mut self, family: &str, labels: &[(&str, &str)], value: f64) {
        let counters: &mut Counters = &mut self.report.counters;
        counters::add(counters, family, labels, value);
    }

    fn flow(&mut self, name: &str, dataset: &str, state: FlowState) -> &mut FlowReport {
        self.flows.entry(name.to_string()).or_insert_with(|| FlowReport {
            name: name.to_string(),
            dataset: dataset.to_string(),
            state,
            retries: 0,
            error_class: None,
            message: None,
            origin: None,
            metrics: BTreeMap::new(),
        })
    }

    fn table(&mut self, dataset: &str) -> &mut TableReport {
        let fresh = || TableReport { full_name: dataset.to_string(), ..TableReport::default() };
        self.tables.entry(dataset.to_string()).or_insert_with(fresh)
    }
}

/// Sums by the names of the event log.
fn add_to_flow(sums: &mut BTreeMap<String, i64>, metrics: &FlowMetrics, quality: &DataQuality) {
    let counted = [
        ("num_output_rows", metrics.num_output_rows.unwrap_or(0)),
        ("num_output_bytes", metrics.num_output_bytes.unwrap_or(0)),
        ("num_input_rows", metrics.num_input_rows),
        ("num_corrupt_records", metrics.num_corrupt_records),
        ("num_corrupt_files", metrics.num_corrupt_files),
        ("num_skipped_change_commits", metrics.num_skipped_change_commits),
        ("num_rows_dropped_by_watermark", metrics.state.as_ref().map_or(0, |state| state.num_rows_dropped_by_watermark)),
        ("executor_time_ms", metrics.executor_time_ms),
        ("dropped_records", quality.dropped_records),
        ("quarantined_records", quality.quarantined_records),
    ];
    let of_events = metrics.cdc.iter().flat_map(crate::execute::cdc::Counts::named);
    for (name, value) in counted.into_iter().chain(of_events).filter(|(_, value)| *value > 0) {
        *sums.entry(name.to_string()).or_default() += value as i64;
    }
    let backlog = [("backlog_files", metrics.backlog_files), ("backlog_bytes", metrics.backlog_bytes)];
    let state = metrics.state.iter().flat_map(|state| state_sizes(&state.streaming_metrics));
    for (name, value) in backlog.into_iter().filter_map(|(name, value)| Some((name, value? as i64))).chain(state) {
        sums.insert(name.to_string(), value);
    }
}

/// What is remembered, by the names of a report.
fn state_sizes(remembered: &StreamingMetrics) -> impl Iterator<Item = (&'static str, i64)> + use<> {
    let sizes = [("state_rows", remembered.state_rows), ("state_bytes", remembered.state_bytes)];
    sizes.into_iter().filter_map(|(name, value)| Some((name, value? as i64)))
}

fn streaming(generation: u64, metrics: &FlowMetrics) -> Streaming {
    Streaming {
        generation: generation as i64,
        backlog_files: metrics.backlog_files.map(|files| files as i64),
        backlog_bytes: metrics.backlog_bytes.map(|bytes| bytes as i64),
        backlog_seconds: None,
        watermark: metrics.state.as_ref().and_then(|state| state.streaming_metrics.watermark.as_ref()?.parse().ok()).map(time),
    }
}
