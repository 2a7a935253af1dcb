//! What runners counted, by pipeline. Reports hold totals of their attempt: the difference to what was last seen of it is added.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use floe_crds::{
    pipeline::Pipeline,
    run_report::RunReport,
    state::{Cause, UpdateState},
};
use kube::ResourceExt;

use super::{
    AttemptReason, Detail,
    families::{Family, Kind, pipeline as families},
    objects::{Samples, Snapshot},
    text::{Histogram, Text, parse_labels},
};

/// Datasets and expectations of one pipeline that get series of their own; what is beyond is summed under `_other`.
pub(super) const MAX_NAMES: usize = 2000;
/// The name of everything beyond.
pub(super) const OTHER: &str = "_other";
/// Reports between two looks for what is gone.
const PRUNE_EVERY: u32 = 512;
/// Part of the records above which an expectation had a bad update.
const BAD_RATIO: f64 = 0.01;

/// Namespace and name of a Pipeline.
pub(super) type PipelineKey = (String, String);

/// One series: the pipeline and the values of the family's labels, in their order.
type Series = (PipelineKey, Vec<String>);

/// Sums over all attempts that this process saw.
pub(super) struct Products {
    detail: Detail,
    counters: BTreeMap<&'static str, BTreeMap<Series, f64>>,
    histograms: BTreeMap<&'static str, BTreeMap<Series, Histogram>>,
    /// What was last seen of each report, by namespace and name.
    seen: HashMap<(String, String), Seen>,
    names: HashMap<PipelineKey, BTreeSet<String>>,
    bad_updates: BTreeMap<Series, BadUpdates>,
    absorbed: u32,
}

#[derive(Default)]
struct Seen {
    uid: String,
    values: HashMap<(String, String), f64>,
    ended: bool,
}

/// Updates in a row in which an expectation failed too often.
#[derive(Default)]
struct BadUpdates {
    in_a_row: u32,
    newest: String,
}

/// Where a number of a report goes.
enum Target {
    Counter(&'static Family),
    Bucket(&'static Family),
    Sum(&'static Family),
    Count(&'static Family),
}

impl Target {
    /// `None` for gauges, which are read from the newest report, and for families of a newer runner.
    fn of(name: &str) -> Option<Self> {
        let find = |name: &str| families::ALL.iter().find(|family| family.name == name);
        if let Some(family) = find(name) {
            return matches!(family.kind, Kind::Counter).then_some(Self::Counter(family));
        }
        let (stem, suffix) = name.rsplit_once('_')?;
        let family = find(stem).filter(|family| matches!(family.kind, Kind::Histogram(_)))?;
        match suffix {
            "bucket" => Some(Self::Bucket(family)),
            "sum" => Some(Self::Sum(family)),
            "count" => Some(Self::Count(family)),
            _ => None,
        }
    }

    const fn family(&self) -> &'static Family {
        match self {
            Self::Counter(family) | Self::Bucket(family) | Self::Sum(family) | Self::Count(family) => family,
        }
    }
}

impl Products {
    pub(super) fn new(detail: Detail) -> Self {
        Self {
            detail,
            counters: BTreeMap::new(),
            histograms: BTreeMap::new(),
            seen: HashMap::new(),
            names: HashMap::new(),
            bad_updates: BTreeMap::new(),
            absorbed: 0,
        }
    }

    pub(super) fn absorb(&mut self, report: &RunReport, namespace: &str, pipeline: &str) {
        self.absorbed = self.absorbed.wrapping_add(1);
        let key = (namespace.to_string(), pipeline.to_string());
        let place = (namespace.to_string(), report.name_any());
        let mut seen = self.seen.remove(&place).unwrap_or_default();
        let uid = report.uid().unwrap_or_default();
        if seen.uid != uid {
            seen = Seen { uid, ..Seen::default() };
        }
        for (name, values) in &report.spec.counters {
            let Some(target) = Target::of(name) else { continue };
            for (labels, value) in values {
                let last = seen.values.insert((name.clone(), labels.clone()), *value).unwrap_or(0.0);
                // A successor of an evicted pod counts from zero again.
                let more = if *value >= last { *value - last } else { *value };
                self.add(&target, &key, labels, more);
            }
        }
        if report.spec.result.is_some() && !seen.ended {
            seen.ended = true;
            self.judge(report, &key);
        }
        self.seen.insert(place, seen);
    }

    fn add(&mut self, target: &Target, pipeline: &PipelineKey, labels: &str, more: f64) {
        let Some(labels) = parse_labels(labels) else {
            tracing::warn!(namespace = pipeline.0, name = pipeline.1, labels, "a runner reported labels that cannot be read");
            return;
        };
        let family = target.family();
        let values = self.label_values(family, pipeline, &labels);
        let series = (pipeline.clone(), values);
        if let Target::Counter(_) = target {
            *self.counters.entry(family.name).or_default().entry(series).or_default() += more;
            return;
        }
        let histogram = self.histograms.entry(family.name).or_default().entry(series).or_default();
        match target {
            Target::Sum(_) => histogram.sum += more,
            Target::Count(_) => histogram.count += more,
            Target::Counter(_) | Target::Bucket(_) => {
                let bound = labels.iter().find(|(name, _)| name == "le").and_then(|(_, bound)| bound.parse().ok());
                histogram.add(bound.unwrap_or(f64::INFINITY), more);
            }
        }
    }

    /// The values of the labels of `family`, without those that the settings leave out.
    fn label_values(&mut self, family: &Family, pipeline: &PipelineKey, labels: &[(String, String)]) -> Vec<String> {
        let value = |wanted: &str| labels.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.as_str());
        let names = shown_labels(family, self.detail);
        let mut values: Vec<String> = names.iter().map(|name| value(name).to_string()).collect();
        let unbounded = |label: &str| label == "dataset" || label == "expectation";
        let name: Vec<&str> = names.iter().zip(&values).filter(|(label, _)| unbounded(label)).map(|(_, value)| value.as_str()).collect();
        if !name.is_empty() && !self.has_place(pipeline, name.join("\n")) {
            names.iter().zip(&mut values).filter(|(label, _)| unbounded(label)).for_each(|(_, value)| *value = OTHER.to_string());
        }
        values
    }

    fn has_place(&mut self, pipeline: &PipelineKey, name: String) -> bool {
        let names = self.names.entry(pipeline.clone()).or_default();
        if names.contains(&name) {
            return true;
        }
        if names.len() < MAX_NAMES {
            return names.insert(name);
        }
        if names.len() == MAX_NAMES {
            names.insert(OTHER.to_string());
            tracing::warn!(
                namespace = pipeline.0,
                name = pipeline.1,
                "more than {MAX_NAMES} datasets and expectations: the rest is summed as {OTHER} in metrics"
            );
        }
        false
    }

    /// Counts the expectations of an ended attempt that failed too often.
    fn judge(&mut self, report: &RunReport, pipeline: &PipelineKey) {
        let update = report.owner_references().first().map(|owner| owner.name.clone()).unwrap_or_default();
        for table in &report.spec.tables {
            for quality in table.quality.iter().filter(|quality| quality.passed + quality.failed > 0) {
                let labels = [("dataset".to_string(), table.full_name.clone()), ("expectation".to_string(), quality.name.clone())];
                let values = self.label_values(&families::BAD_UPDATES, pipeline, &labels);
                let bad = self.bad_updates.entry((pipeline.clone(), values)).or_default();
                let ratio = quality.failed as f64 / (quality.passed + quality.failed) as f64;
                if ratio <= BAD_RATIO {
                    bad.in_a_row = 0;
                } else if bad.in_a_row == 0 || bad.newest != update {
                    bad.in_a_row += 1;
                }
                bad.newest.clone_from(&update);
            }
        }
    }

    pub(super) fn update_ended(&mut self, namespace: &str, pipeline: &str, result: UpdateState, cause: Cause, duration: Option<Duration>) {
        let key = (namespace.to_string(), pipeline.to_string());
        let result = result.as_str().to_lowercase();
        let series = (key.clone(), vec![result.clone(), cause.as_str().to_string()]);
        *self.counters.entry(families::UPDATES.name).or_default().entry(series).or_default() += 1.0;
        let Kind::Histogram(bounds) = families::UPDATE_DURATION.kind else { return };
        if let Some(duration) = duration {
            let histograms = self.histograms.entry(families::UPDATE_DURATION.name).or_default();
            histograms.entry((key, vec![result])).or_insert_with(|| Histogram::new(bounds)).observe(duration.as_secs_f64());
        }
    }

    pub(super) fn attempt(&mut self, namespace: &str, pipeline: &str, reason: AttemptReason) {
        let reason = match reason {
            AttemptReason::Transient => "transient",
            AttemptReason::Eviction => "eviction",
            AttemptReason::Oom => "oom",
            AttemptReason::Unknown => "unknown",
        };
        let series = ((namespace.to_string(), pipeline.to_string()), vec![reason.to_string()]);
        *self.counters.entry(families::ATTEMPTS.name).or_default().entry(series).or_default() += 1.0;
    }

    /// True from time to time: what is gone is then forgotten even if nobody asks for metrics.
    pub(super) const fn wants_pruning(&self) -> bool {
        self.absorbed.is_multiple_of(PRUNE_EVERY)
    }

    /// Forgets pipelines and reports that are gone.
    pub(super) fn prune(&mut self, pipelines: &[Arc<Pipeline>], reports: &[Arc<RunReport>]) {
        let key = |namespace: Option<String>, name: String| (namespace.unwrap_or_default(), name);
        let alive: BTreeSet<PipelineKey> = pipelines.iter().map(|one| key(one.namespace(), one.name_any())).collect();
        for series in self.counters.values_mut() {
            series.retain(|(pipeline, _), _| alive.contains(pipeline));
        }
        for series in self.histograms.values_mut() {
            series.retain(|(pipeline, _), _| alive.contains(pipeline));
        }
        self.bad_updates.retain(|(pipeline, _), _| alive.contains(pipeline));
        self.names.retain(|pipeline, _| alive.contains(pipeline));
        let reported: BTreeSet<(String, String)> = reports.iter().map(|one| key(one.namespace(), one.name_any())).collect();
        self.seen.retain(|report, _| reported.contains(report));
    }

    /// All families of pipelines in the text format.
    pub(super) fn expose(&mut self, snapshot: &Snapshot) -> String {
        self.prune(&snapshot.pipelines, &snapshot.all_reports);
        let mut text = Text::default();
        for family in families::ALL {
            self.expose_family(family, snapshot, &mut text);
        }
        text.into_string()
    }

    fn expose_family(&self, family: &'static Family, snapshot: &Snapshot, text: &mut Text) {
        let labels = shown_labels(family, self.detail);
        if let Kind::Histogram(_) = family.kind {
            let Some(series) = self.histograms.get(family.name).filter(|series| !series.is_empty()) else { return };
            text.family(family);
            for (series, histogram) in series {
                text.histogram(family, &pairs(series, &labels), histogram);
            }
            return;
        }
        let mut samples = Samples::new(family, labels.clone());
        match family.name {
            name if name == families::BAD_UPDATES.name => {
                for ((pipeline, values), bad) in &self.bad_updates {
                    samples.merge(pipeline.clone(), values.clone(), f64::from(bad.in_a_row));
                }
            }
            name if family.kind == Kind::Counter => {
                for ((pipeline, values), value) in self.counters.get(name).into_iter().flatten() {
                    samples.merge(pipeline.clone(), values.clone(), *value);
                }
            }
            _ => snapshot.sample(family, &mut samples),
        }
        samples.write(text);
    }
}

/// The labels of `family` that the settings show, without `namespace` and `pipeline`.
pub(super) fn shown_labels(family: &Family, detail: Detail) -> Vec<&'static str> {
    let fine = |label: &str| matches!(label, "flow" | "dataset" | "expectation");
    family.labels.iter().copied().filter(|label| detail == Detail::Dataset || !fine(label)).collect()
}

/// Label names and values of a series.
pub(super) fn pairs<'a>(series: &'a Series, labels: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let ((namespace, pipeline), values) = series;
    let own = labels.iter().copied().zip(values.iter().map(String::as_str));
    [("namespace", namespace.as_str()), ("pipeline", pipeline.as_str())].into_iter().chain(own).collect()
}
