//! What is counted of Jobs and their runs, and gauges that are computed from the Jobs themselves when someone asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use floe_crds::{
    job::{Job, JobStatus, TaskKind},
    job_run::TriggerType,
    state::{RunResultState, TaskResultState},
};

use super::{
    families::{Family, Kind, job as families},
    text::{Histogram, Text},
};
use crate::key::Key;

/// Runs that never started have no result state, but are counted.
const SKIPPED: &str = "skipped";

/// One series: the Job and the values of the family's labels, in their order.
type Series = (Key, Vec<String>);

/// Something that happened to a Job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEvent<'a> {
    /// A run left the queue, so long after it was made.
    RunStarted(Duration),
    /// A run ended, so long after its start; without result if it was skipped.
    RunEnded {
        /// How.
        result: Option<RunResultState>,
        /// What had started it.
        trigger: TriggerType,
        /// Time from its start, if it had one.
        took: Option<Duration>,
    },
    /// An attempt of a task ended.
    AttemptEnded(TaskKind, TaskResultState),
    /// A repair ended.
    RepairEnded(RunResultState),
    /// A trigger made a run.
    TriggerFired(&'a str),
    /// A trigger cannot see what it looks at, or its run cannot be made.
    TriggerFailed(&'a str),
}

/// Sums over everything that this process saw.
#[derive(Default)]
pub(super) struct JobCounts {
    counters: BTreeMap<&'static str, BTreeMap<Series, f64>>,
    histograms: BTreeMap<&'static str, BTreeMap<Series, Histogram>>,
    delay: Option<Histogram>,
}

impl JobCounts {
    pub(super) fn count(&mut self, job: &Key, event: &JobEvent<'_>) {
        match event {
            JobEvent::RunStarted(queued) => self.observe(&families::RUN_QUEUE, job, &[], *queued),
            JobEvent::RunEnded { result, trigger, took } => {
                let result = result.map_or_else(|| SKIPPED.to_string(), |result| result.as_str().to_lowercase());
                self.add(&families::RUNS, job, &[&result, trigger.reference()]);
                if let Some(took) = took {
                    self.observe(&families::RUN_DURATION, job, &[&result], *took);
                }
            }
            JobEvent::AttemptEnded(kind, result) => {
                self.add(&families::TASK_ATTEMPTS, job, &[kind.as_str(), &result.as_str().to_lowercase()]);
            }
            JobEvent::RepairEnded(result) => self.add(&families::REPAIRS, job, &[&result.as_str().to_lowercase()]),
            JobEvent::TriggerFired(trigger) => self.add(&families::TRIGGER_FIRES, job, &[trigger]),
            JobEvent::TriggerFailed(trigger) => self.add(&families::TRIGGER_ERRORS, job, &[trigger]),
        }
    }

    /// The run of an instant was made so long after it.
    pub(super) fn delayed(&mut self, delay: Duration) {
        self.delay.get_or_insert_with(|| empty(&families::SCHEDULE_DELAY)).observe(delay.as_secs_f64());
    }

    fn add(&mut self, family: &Family, job: &Key, values: &[&str]) {
        *self.counters.entry(family.name).or_default().entry(series(job, values)).or_default() += 1.0;
    }

    fn observe(&mut self, family: &Family, job: &Key, values: &[&str], took: Duration) {
        let histograms = self.histograms.entry(family.name).or_default();
        histograms.entry(series(job, values)).or_insert_with(|| empty(family)).observe(took.as_secs_f64());
    }

    /// Forgets Jobs that are gone.
    fn prune(&mut self, jobs: &[Arc<Job>]) {
        let alive: BTreeSet<Key> = jobs.iter().map(|job| Key::of(job.as_ref())).collect();
        self.counters.values_mut().for_each(|series| series.retain(|(job, _), _| alive.contains(job)));
        self.histograms.values_mut().for_each(|series| series.retain(|(job, _), _| alive.contains(job)));
    }

    /// All families of Jobs in the text format.
    pub(super) fn expose(&mut self, jobs: &[Arc<Job>]) -> String {
        self.prune(jobs);
        let mut text = Text::default();
        for family in families::ALL {
            match family.kind {
                Kind::Histogram(_) if family.name == families::SCHEDULE_DELAY.name => {
                    if let Some(delay) = &self.delay {
                        text.family(family);
                        text.histogram(family, &[], delay);
                    }
                }
                Kind::Histogram(_) => self.expose_histograms(family, &mut text),
                Kind::Counter => self.expose_counters(family, &mut text),
                Kind::Gauge | Kind::Extreme => expose_gauge(family, jobs, &mut text),
            }
        }
        text.into_string()
    }

    fn expose_counters(&self, family: &'static Family, text: &mut Text) {
        let Some(counters) = self.counters.get(family.name).filter(|counters| !counters.is_empty()) else { return };
        text.family(family);
        for (series, value) in counters {
            text.sample(family, pairs(series, family), *value);
        }
    }

    fn expose_histograms(&self, family: &'static Family, text: &mut Text) {
        let Some(histograms) = self.histograms.get(family.name).filter(|histograms| !histograms.is_empty()) else { return };
        text.family(family);
        for (series, histogram) in histograms {
            text.histogram(family, &pairs(series, family), histogram);
        }
    }
}

fn empty(family: &Family) -> Histogram {
    let bounds = if let Kind::Histogram(bounds) = family.kind { bounds } else { &[] };
    Histogram::new(bounds)
}

fn series(job: &Key, values: &[&str]) -> Series {
    (job.clone(), values.iter().map(|value| (*value).to_string()).collect())
}

fn pairs<'a>(series: &'a Series, family: &Family) -> Vec<(&'a str, &'a str)> {
    let (job, values) = series;
    let own = family.labels.iter().copied().zip(values.iter().map(String::as_str));
    [("namespace", job.namespace.as_str()), ("job", job.name.as_str())].into_iter().chain(own).collect()
}

fn expose_gauge(family: &'static Family, jobs: &[Arc<Job>], text: &mut Text) {
    let none = JobStatus::default();
    let mut samples: Vec<(Key, f64)> =
        jobs.iter().filter_map(|job| Some((Key::of(job.as_ref()), gauge(family, job.status.as_ref().unwrap_or(&none))?))).collect();
    if samples.is_empty() {
        return;
    }
    samples.sort_by(|one, other| one.0.cmp(&other.0));
    text.family(family);
    for (job, value) in samples {
        text.sample(family, [("namespace", job.namespace.as_str()), ("job", job.name.as_str())], value);
    }
}

fn gauge(family: &Family, status: &JobStatus) -> Option<f64> {
    match family.name {
        name if name == families::INFO.name => Some(1.0),
        name if name == families::ACTIVE.name => Some(f64::from(status.active)),
        name if name == families::QUEUED.name => Some(f64::from(status.queued)),
        name if name == families::FAILURES.name => Some(f64::from(status.consecutive_failures)),
        name if name == families::LAST_SUCCESS.name => status.last_successful_time.as_ref().map(|time| time.0.as_second() as f64),
        name if name == families::NEXT_RUN.name => status.next_run_time.as_ref().map(|time| time.0.as_second() as f64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(name: &str, status: &serde_json::Value) -> Arc<Job> {
        let job = json!({
            "apiVersion": "floe.dev/v1alpha1", "kind": "Job", "metadata": {"name": name, "namespace": "data"},
            "spec": {"tasks": [{"name": "a", "runJob": {"name": "other"}}]}, "status": status,
        });
        Arc::new(serde_json::from_value(job).unwrap())
    }

    #[test]
    fn every_family_of_jobs_is_exported_with_its_labels() {
        let (mut counts, key) = (JobCounts::default(), Key::new("data", "nightly"));
        let took = Some(Duration::from_secs(20));
        let events = [
            JobEvent::RunStarted(Duration::from_secs(2)),
            JobEvent::RunEnded { result: Some(RunResultState::SuccessWithFailures), trigger: TriggerType::Periodic, took },
            JobEvent::RunEnded { result: None, trigger: TriggerType::OneTime, took: None },
            JobEvent::AttemptEnded(TaskKind::Sql, TaskResultState::TimedOut),
            JobEvent::RepairEnded(RunResultState::Success),
            JobEvent::TriggerFired("clock"),
            JobEvent::TriggerFired("clock"),
            JobEvent::TriggerFailed("files"),
        ];
        for event in &events {
            counts.count(&key, event);
        }
        counts.delayed(Duration::from_millis(700));
        let status = json!({
            "active": 2, "queued": 3, "consecutiveFailures": 4,
            "nextRunTime": "1970-01-01T00:20:00Z", "lastSuccessfulTime": "1970-01-01T00:10:00Z",
        });
        let jobs = [job("nightly", &status), job("idle", &json!(null))];
        let text = counts.expose(&jobs);
        for family in families::ALL {
            assert!(text.contains(&format!("# TYPE {} {}\n", family.name, family.kind.as_str())), "{} is missing", family.name);
        }
        for line in [
            r#"floe_job_info{namespace="data",job="idle"} 1"#,
            r#"floe_job_active_runs{namespace="data",job="nightly"} 2"#,
            r#"floe_job_next_run_timestamp_seconds{namespace="data",job="nightly"} 1200"#,
            r#"floe_job_last_success_timestamp_seconds{namespace="data",job="nightly"} 600"#,
            r#"floe_job_consecutive_failures{namespace="data",job="nightly"} 4"#,
            r#"floe_job_runs_total{namespace="data",job="nightly",result="success_with_failures",trigger="periodic"} 1"#,
            r#"floe_job_runs_total{namespace="data",job="nightly",result="skipped",trigger="one_time"} 1"#,
            r#"floe_job_run_duration_seconds_bucket{namespace="data",job="nightly",result="success_with_failures",le="30"} 1"#,
            r#"floe_job_run_queue_seconds_sum{namespace="data",job="nightly"} 2"#,
            r#"floe_job_task_attempts_total{namespace="data",job="nightly",kind="sql",result="timedout"} 1"#,
            r#"floe_job_repairs_total{namespace="data",job="nightly",result="success"} 1"#,
            r#"floe_job_trigger_fires_total{namespace="data",job="nightly",trigger="clock"} 2"#,
            r#"floe_job_trigger_errors_total{namespace="data",job="nightly",trigger="files"} 1"#,
            r#"floe_job_schedule_delay_seconds_bucket{le="1"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains(r#"floe_job_next_run_timestamp_seconds{namespace="data",job="idle"}"#), "unknown is absent");
        assert!(!counts.expose(&jobs[1..]).contains("nightly"), "a Job that is gone leaves no series");
    }
}
