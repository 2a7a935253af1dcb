//! Gauges of pipelines and tables, computed from the caches when someone asks.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use floe_crds::{
    condition::{self, ConditionType, Status},
    job::Job,
    pipeline::{Mode, Pipeline},
    pipeline_update::PipelineUpdate,
    run_report::{FlowReport, RunReport, RunReportSpec},
    state::{PipelineState, UpdateState},
    table::{Table, TableStatus},
};
use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    families::{Family, Kind, pipeline as families},
    products::{MAX_NAMES, OTHER, PipelineKey, pairs},
    text::{Text, parse_labels},
};

type View<K> = Box<dyn Fn() -> Vec<Arc<K>> + Send + Sync>;

/// Reads the caches.
pub struct Views {
    pipelines: View<Pipeline>,
    tables: View<Table>,
    updates: View<PipelineUpdate>,
    reports: View<RunReport>,
    jobs: View<Job>,
}

impl Views {
    /// Each function gives all objects of its cache.
    pub fn new(
        pipelines: impl Fn() -> Vec<Arc<Pipeline>> + Send + Sync + 'static,
        tables: impl Fn() -> Vec<Arc<Table>> + Send + Sync + 'static,
        updates: impl Fn() -> Vec<Arc<PipelineUpdate>> + Send + Sync + 'static,
        reports: impl Fn() -> Vec<Arc<RunReport>> + Send + Sync + 'static,
        jobs: impl Fn() -> Vec<Arc<Job>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            pipelines: Box::new(pipelines),
            tables: Box::new(tables),
            updates: Box::new(updates),
            reports: Box::new(reports),
            jobs: Box::new(jobs),
        }
    }

    pub(super) fn jobs(&self) -> Vec<Arc<Job>> {
        (self.jobs)()
    }

    pub(super) fn pipelines(&self) -> Vec<Arc<Pipeline>> {
        (self.pipelines)()
    }

    pub(super) fn reports(&self) -> Vec<Arc<RunReport>> {
        (self.reports)()
    }

    pub(super) fn snapshot(&self, now: Timestamp) -> Snapshot {
        let mut pipelines = self.pipelines();
        pipelines.sort_by_cached_key(|pipeline| key(&**pipeline));
        let mut updates: HashMap<PipelineKey, Vec<Arc<PipelineUpdate>>> = HashMap::new();
        for update in (self.updates)() {
            updates.entry((update.namespace().unwrap_or_default(), update.spec.pipeline.clone())).or_default().push(update);
        }
        let all_reports = self.reports();
        // What is left of a Pipeline that is gone goes soon, and is not shown meanwhile.
        let known: HashSet<PipelineKey> = pipelines.iter().map(|pipeline| key(&**pipeline)).collect();
        let mut newest_reports = newest_reports(&all_reports, &updates);
        newest_reports.retain(|pipeline, _| known.contains(pipeline));
        let mut tables = (self.tables)();
        tables.retain(|table| known.contains(&pipeline_of(table)));
        Snapshot { pipelines, all_reports, tables, updates, newest_reports, now }
    }
}

/// The objects at one moment.
pub(super) struct Snapshot {
    pub pipelines: Vec<Arc<Pipeline>>,
    pub all_reports: Vec<Arc<RunReport>>,
    tables: Vec<Arc<Table>>,
    updates: HashMap<PipelineKey, Vec<Arc<PipelineUpdate>>>,
    newest_reports: BTreeMap<PipelineKey, Arc<RunReport>>,
    now: Timestamp,
}

fn key(object: &impl ResourceExt) -> PipelineKey {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn pipeline_of(table: &Table) -> PipelineKey {
    (table.namespace().unwrap_or_default(), table.spec.pipeline.clone())
}

/// The newest report of each pipeline. One of an update that only validates counts if there is no other.
fn newest_reports(
    reports: &[Arc<RunReport>],
    updates: &HashMap<PipelineKey, Vec<Arc<PipelineUpdate>>>,
) -> BTreeMap<PipelineKey, Arc<RunReport>> {
    let by_name: HashMap<PipelineKey, (&PipelineKey, bool)> = updates
        .iter()
        .flat_map(|(pipeline, updates)| updates.iter().map(move |update| (key(&**update), (pipeline, update.spec.selection.validate_only))))
        .collect();
    let mut newest: BTreeMap<PipelineKey, (Rank, Arc<RunReport>)> = BTreeMap::new();
    for report in reports {
        let Some(owner) = report.owner_references().first() else { continue };
        let Some((pipeline, validates)) = by_name.get(&(report.namespace().unwrap_or_default(), owner.name.clone())) else { continue };
        let rank = (!validates, report.spec.heartbeat_time.as_ref().map(|time| time.0));
        let best = newest.entry((*pipeline).clone()).or_insert_with(|| (rank, Arc::clone(report)));
        if rank > best.0 {
            *best = (rank, Arc::clone(report));
        }
    }
    newest.into_iter().map(|(pipeline, (_, report))| (pipeline, report)).collect()
}

/// Whether a report is of an update that writes, and when it was written.
type Rank = (bool, Option<Timestamp>);

/// Samples of one family. Several with the same labels, when flows or datasets are left out, become one.
pub(super) struct Samples {
    family: &'static Family,
    labels: Vec<&'static str>,
    series: BTreeMap<(PipelineKey, Vec<String>), f64>,
    /// Flows, datasets and expectations of each pipeline that have series of their own.
    names: HashMap<PipelineKey, HashSet<String>>,
}

impl Samples {
    pub(super) fn new(family: &'static Family, labels: Vec<&'static str>) -> Self {
        Self { family, labels, series: BTreeMap::new(), names: HashMap::new() }
    }

    /// A sample by label names; labels that are not shown are left out.
    fn add(&mut self, pipeline: &PipelineKey, labels: &[(&str, &str)], value: f64) {
        let of = |wanted: &str| labels.iter().find(|(name, _)| *name == wanted).map_or("", |(_, value)| *value);
        let mut values: Vec<String> = self.labels.iter().map(|name| of(name).to_string()).collect();
        let is_open = |label: &str| matches!(label, "flow" | "dataset" | "expectation");
        let open: Vec<&mut String> =
            self.labels.iter().zip(&mut values).filter(|(label, _)| is_open(label)).map(|(_, value)| value).collect();
        let name: Vec<&str> = open.iter().map(|value| value.as_str()).collect();
        if !name.is_empty() {
            let (name, names) = (name.join("\n"), self.names.entry(pipeline.clone()).or_default());
            if names.len() < MAX_NAMES {
                names.insert(name);
            } else if !names.contains(&name) {
                for value in open {
                    OTHER.clone_into(value);
                }
            }
        }
        self.merge(pipeline.clone(), values, value);
    }

    /// A sample by the values of the labels that are shown.
    pub(super) fn merge(&mut self, pipeline: PipelineKey, values: Vec<String>, value: f64) {
        let merge = |known: &mut f64| *known = if self.family.kind == Kind::Extreme { known.max(value) } else { *known + value };
        self.series.entry((pipeline, values)).and_modify(merge).or_insert(value);
    }

    pub(super) fn write(&self, text: &mut Text) {
        if self.series.is_empty() {
            return;
        }
        text.family(self.family);
        for (series, value) in &self.series {
            text.sample(self.family, pairs(series, &self.labels), *value);
        }
    }
}

impl Snapshot {
    /// The samples of a gauge.
    pub(super) fn sample(&self, family: &Family, samples: &mut Samples) {
        for pipeline in &self.pipelines {
            self.sample_pipeline(family, pipeline, &key(&**pipeline), samples);
        }
        for table in &self.tables {
            let Some(status) = &table.status else { continue };
            sample_table(family, status, &pipeline_of(table), samples);
        }
        for (pipeline, report) in &self.newest_reports {
            sample_report(family, &report.spec, pipeline, samples, self.now);
        }
    }

    fn sample_pipeline(&self, family: &Family, pipeline: &Pipeline, key: &PipelineKey, samples: &mut Samples) {
        let status = pipeline.status.as_ref();
        match family.name {
            name if name == families::INFO.name => {
                let mode = match pipeline.spec.mode {
                    Mode::Triggered => "Triggered",
                    Mode::Continuous => "Continuous",
                };
                let development = if pipeline.spec.development { "true" } else { "false" };
                samples.add(key, &[("mode", mode), ("development", development)], 1.0);
            }
            name if name == families::CONDITION.name => {
                for condition in status.map_or(&[][..], |status| &status.conditions) {
                    for word in [Status::True, Status::False, Status::Unknown].map(Status::as_str) {
                        samples.add(key, &[("type", &condition.type_), ("status", word)], flag(condition.status == word));
                    }
                }
            }
            name if name == families::STATE.name => {
                let Some(now) = status.and_then(|status| status.state) else { return };
                for state in PipelineState::ALL {
                    samples.add(key, &[("state", state.as_str())], flag(*state == now));
                }
            }
            name if name == families::QUEUED.name => {
                samples.add(key, &[], f64::from(status.and_then(|status| status.queued).unwrap_or(0)));
            }
            name if name == families::LAST_SUCCESS.name => {
                let last = status.and_then(|status| status.last_successful_update.as_ref()?.end_time.as_ref());
                if let Some(time) = last {
                    samples.add(key, &[], time.0.as_second() as f64);
                }
            }
            name if name == families::INTERVAL.name => {
                let updates = self.updates.get(key).map_or(&[][..], Vec::as_slice);
                if let Some(seconds) = expected_interval(pipeline, updates) {
                    samples.add(key, &[], seconds);
                }
            }
            name if name == families::UPDATE_PHASE.name => {
                for (phase, seconds) in self.updates.get(key).and_then(|updates| last_phases(updates)).unwrap_or_default() {
                    samples.add(key, &[("phase", &phase)], seconds);
                }
            }
            _ => {}
        }
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// By the schedule the time between its last and its next instant, else the median between the last 10 starts.
fn expected_interval(pipeline: &Pipeline, updates: &[Arc<PipelineUpdate>]) -> Option<f64> {
    if pipeline.spec.suspend || pipeline.spec.mode == Mode::Continuous {
        return None;
    }
    let status = pipeline.status.as_ref()?;
    if pipeline.spec.update_policy.schedule.is_some()
        && let (Some(last), Some(next)) = (&status.last_schedule_time, &status.next_schedule_time)
    {
        return Some(seconds_between(last.0, next.0));
    }
    let mut starts: Vec<Timestamp> = updates
        .iter()
        .filter(|update| !update.spec.selection.validate_only)
        .filter_map(|update| Some(update.status.as_ref()?.start_time.as_ref()?.0))
        .collect();
    starts.sort_unstable();
    let newest = &starts[starts.len().saturating_sub(10)..];
    let mut gaps: Vec<f64> = newest.windows(2).map(|pair| seconds_between(pair[0], pair[1])).collect();
    gaps.sort_unstable_by(f64::total_cmp);
    gaps.get(gaps.len() / 2).copied()
}

/// How long the newest ended update was in each phase.
fn last_phases(updates: &[Arc<PipelineUpdate>]) -> Option<Vec<(String, f64)>> {
    const PHASES: [UpdateState; 5] = [
        UpdateState::WaitingForResources,
        UpdateState::Initializing,
        UpdateState::Resetting,
        UpdateState::SettingUpTables,
        UpdateState::Running,
    ];
    let ended = updates.iter().filter(|update| !update.spec.selection.validate_only).filter_map(|update| {
        let status = update.status.as_ref()?;
        Some((status.end_time.as_ref()?.0, status))
    });
    let (end, status) = ended.max_by_key(|(end, _)| *end)?;
    let mut times: Vec<(Timestamp, &str)> = status.phase_times.iter().map(|(state, time)| (time.0, state.as_str())).collect();
    times.sort_unstable();
    let ends = times.iter().skip(1).map(|(time, _)| *time).chain([end]);
    let phases = times.iter().zip(ends).filter_map(|((start, state), end)| {
        let phase = PHASES.iter().find(|phase| phase.as_str() == *state)?;
        Some((phase.as_str().to_lowercase(), seconds_between(*start, end)))
    });
    Some(phases.collect())
}

fn seconds_between(start: Timestamp, end: Timestamp) -> f64 {
    end.duration_since(start).as_secs_f64()
}

fn sample_table(family: &Family, status: &TableStatus, pipeline: &PipelineKey, samples: &mut Samples) {
    let Some(dataset) = status.full_name.as_deref() else { return };
    let number = |value: Option<i64>| value.map(|value| value as f64);
    let value = match family.name {
        name if name == families::TABLE_ROWS.name => number(status.rows),
        name if name == families::TABLE_BYTES.name => number(status.size_bytes),
        name if name == families::TABLE_FILES.name => number(status.files),
        name if name == families::TABLE_VERSION.name => number(status.version),
        name if name == families::TABLE_COMMIT.name => number(status.last_commit_time.as_ref().map(|time| time.0.as_second())),
        name if name == families::TABLE_TROUBLE.name => {
            let is = |kind, word: Status| condition::find(&status.conditions, kind).is_some_and(|found| found.status == word.as_str());
            let troubles = [
                ("IncrementalDegraded", is(ConditionType::IncrementalDegraded, Status::True)),
                ("RefreshFailed", is(ConditionType::RefreshSucceeded, Status::False)),
                ("Stale", is(ConditionType::Fresh, Status::False)),
            ];
            for (kind, has) in troubles {
                samples.add(pipeline, &[("dataset", dataset), ("type", kind)], flag(has));
            }
            None
        }
        _ => None,
    };
    if let Some(value) = value {
        samples.add(pipeline, &[("dataset", dataset)], value);
    }
}

fn sample_report(family: &Family, report: &RunReportSpec, pipeline: &PipelineKey, samples: &mut Samples, now: Timestamp) {
    let backlog = |samples: &mut Samples, metric: &str| {
        for flow in &report.flows {
            if let Some(value) = flow.metrics.get(metric) {
                samples.add(pipeline, &[("flow", &flow.name)], *value as f64);
            }
        }
    };
    match family.name {
        name if name == families::FLOW_STATE.name => {
            for flow in &report.flows {
                samples.add(pipeline, &[("flow", &flow.name), ("state", flow.state.as_str())], 1.0);
            }
        }
        name if name == families::BACKLOG_FILES.name => backlog(samples, "backlog_files"),
        name if name == families::BACKLOG_BYTES.name => backlog(samples, "backlog_bytes"),
        name if name == families::BACKLOG_RECORDS.name => backlog(samples, "backlog_records"),
        name if name == families::BACKLOG_SECONDS.name => backlog(samples, "backlog_seconds"),
        name if name == families::STATE_ROWS.name => backlog(samples, "state_rows"),
        name if name == families::STATE_BYTES.name => backlog(samples, "state_bytes"),
        name if name == families::WATERMARK_DELAY.name => {
            for table in &report.tables {
                let Some(watermark) = table.streaming.as_ref().and_then(|streaming| streaming.watermark.as_ref()) else { continue };
                let writes = |flow: &&FlowReport| flow.dataset == table.full_name;
                for flow in report.flows.iter().filter(writes) {
                    samples.add(pipeline, &[("flow", &flow.name)], seconds_between(watermark.0, now));
                }
            }
        }
        name if name == families::LINTS.name => {
            for finding in report.graph.iter().flat_map(|graph| &graph.findings).filter(|finding| !finding.error) {
                samples.add(pipeline, &[("code", &finding.class)], 1.0);
            }
        }
        name => {
            for (labels, value) in report.counters.get(name).into_iter().flatten() {
                let labels = parse_labels(labels).unwrap_or_default();
                let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                samples.add(pipeline, &labels, *value);
            }
        }
    }
}
