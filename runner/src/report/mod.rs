//! The RunReport of an attempt: one more sink of the typed events, folded into totals and written to the cluster while the update runs.
//!
//! Nothing of it can fail an update: what cannot be written is tried again later, and at the end for half a minute. Tasks and watchers, which have
//! no events, say directly what stands in their reports ([`work`]); they are written in the same way.

pub mod counters;
mod fold;
pub mod graph;
pub mod kubernetes;
mod merge;
pub mod result;
pub mod work;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use floe_crds::run_report::{RunReportSpec, RunResult};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

pub use self::fold::About;
use self::fold::Fold;
use crate::{
    event_log::{Observer, Redaction, record::Record},
    execute::progress::Moving,
    failure::Failure,
    summary::UpdateSummary,
};

/// Least time between two writes of what is not urgent.
const SPACING: Duration = Duration::from_secs(1);
/// Most time between two writes.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Waits after failed writes: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long the first look at a report of an earlier pod may hold up the update.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// How often the end is tried again.
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// Where reports are kept.
#[async_trait]
pub trait Reports: Send + Sync {
    /// The report as it is stored, if an earlier pod of the attempt has written it.
    async fn read(&self) -> Result<Option<RunReportSpec>, UnwrittenReport>;
    /// Replaces the report.
    async fn write(&self, spec: &RunReportSpec) -> Result<(), UnwrittenReport>;
}

/// Why a report could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnwrittenReport(pub Box<dyn std::error::Error + Send + Sync>);

/// Folds the events of an update into its report. Clones are handles of the same report.
#[derive(Clone)]
pub struct Reporter {
    shared: Arc<Shared>,
}

/// What is written: a report that changes while it is written.
trait Told: Send + Sync {
    /// The report as it stands now, without sequence and heartbeat.
    fn report(&self) -> RunReportSpec;
    /// Takes over what an earlier pod of the same work has reported.
    fn follow(&self, stored: RunReportSpec);
    /// Waits until the report has changed, and says whether that is urgent.
    fn change(&self) -> BoxFuture<'_, bool>;
    /// Most time between two writes.
    fn heartbeat(&self) -> Duration;
}

struct Shared {
    fold: Mutex<Fold>,
    redaction: Redaction,
    changed: Notify,
    urgent: Notify,
    /// When the loop of flows turned last, ms since 1970; 0 while it does not run.
    turned_ms: AtomicI64,
}

/// Writes the report of a [`Reporter`] in the background.
pub struct Writing {
    end: oneshot::Sender<Duration>,
    task: tokio::task::JoinHandle<()>,
}

impl Reporter {
    /// A report of `about`; `secrets` stand nowhere in it.
    pub fn new(about: About, redaction: Redaction) -> Self {
        let shared = Shared {
            fold: Mutex::new(Fold::new(about)),
            redaction,
            changed: Notify::default(),
            urgent: Notify::default(),
            turned_ms: AtomicI64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Begins to write the report to `reports`. An earlier pod's report is looked for first, so that its numbers are not lost.
    pub async fn write_to(&self, reports: Box<dyn Reports>) -> Writing {
        Writing::begin(Arc::clone(&self.shared) as _, reports).await
    }

    /// The update ended like this.
    pub fn ended(&self, outcome: Result<&UpdateSummary, &Failure>, result: RunResult) {
        self.shared.turned_ms.store(0, Ordering::Relaxed);
        self.lock().ended(outcome, result);
    }

    /// The report as it stands now.
    pub fn current(&self) -> RunReportSpec {
        self.lock().report()
    }

    /// How long ago at `now` the loop of flows turned; no time while it does not run, because then nothing tells slow work from none.
    pub fn silence(&self, now: DateTime<Utc>) -> Duration {
        match self.shared.turned_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            turned => Duration::from_millis(u64::try_from(now.timestamp_millis() - turned).unwrap_or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Fold> {
        self.shared.lock()
    }
}

impl Told for Shared {
    fn report(&self) -> RunReportSpec {
        redacted(self.lock().report(), &self.redaction)
    }

    fn follow(&self, stored: RunReportSpec) {
        self.lock().follow(stored);
    }

    fn change(&self) -> BoxFuture<'_, bool> {
        let urgent = async {
            tokio::select! {
                () = self.urgent.notified() => true,
                () = self.changed.notified() => false,
            }
        };
        urgent.boxed()
    }

    fn heartbeat(&self) -> Duration {
        HEARTBEAT
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Reporter {
    fn recorded(&self, record: &Record) {
        let urgent = self.lock().recorded(record);
        if urgent { self.shared.urgent.notify_one() } else { self.shared.changed.notify_one() }
    }

    fn recovered(&self, record: &Record) {
        self.lock().recovered(record);
        self.shared.changed.notify_one();
    }

    fn moving(&self, _: &str, _: Moving) {}

    fn turned(&self) {
        self.shared.turned_ms.store(Utc::now().timestamp_millis(), Ordering::Relaxed);
    }

    fn log_failed(&self, _: &Failure) {
        self.lock().log_failed();
    }
}

impl Writing {
    /// Begins to write what `told` says. An earlier pod's report is looked for first.
    async fn begin(told: Arc<dyn Told>, reports: Box<dyn Reports>) -> Self {
        let mut writer = Writer { told, reports, sequence: None };
        // Later is early enough if the cluster does not answer now.
        let _ = tokio::time::timeout(FIRST_LOOK, writer.look()).await;
        let (end, ended) = oneshot::channel();
        Self { end, task: tokio::spawn(async move { writer.run(ended).await }) }
    }

    /// Writes the end, trying for `within`, and waits for it.
    pub async fn finish(self, within: Duration) {
        // The task is gone only if it panicked.
        if self.end.send(within).is_ok() {
            let _ = self.task.await;
        }
    }
}

struct Writer {
    told: Arc<dyn Told>,
    reports: Box<dyn Reports>,
    /// Number of the last write; `None` until the stored report was looked for.
    sequence: Option<i64>,
}

/// When the next write is due.
#[derive(Clone, Copy, Debug)]
struct Due {
    last: Instant,
    dirty: bool,
    urgent: bool,
    /// Writes that failed in a row.
    failures: u32,
    heartbeat: Duration,
}

impl Due {
    fn at(&self) -> Instant {
        if self.failures > 0 {
            return self.last + BACKOFF.0.saturating_mul(1 << (self.failures - 1).min(8)).min(BACKOFF.1);
        }
        match (self.urgent, self.dirty) {
            (true, _) => Instant::now(),
            (false, true) => self.last + SPACING,
            (false, false) => self.last + self.heartbeat,
        }
    }
}

impl Writer {
    async fn run(mut self, mut ended: oneshot::Receiver<Duration>) {
        let told = Arc::clone(&self.told);
        let mut due = Due { last: Instant::now(), dirty: true, urgent: false, failures: 0, heartbeat: told.heartbeat() };
        let within = loop {
            tokio::select! {
                within = &mut ended => break within.unwrap_or_default(),
                urgent = told.change() => (due.dirty, due.urgent) = (true, due.urgent || urgent),
                () = tokio::time::sleep_until(due.at()) => {
                    let written = self.write().await;
                    if let (Err(error), 0) = (&written, due.failures) {
                        tracing::warn!("the report could not be written and will be tried again: {error}");
                    }
                    due = match written {
                        Ok(()) => Due { last: Instant::now(), dirty: false, urgent: false, failures: 0, ..due },
                        Err(_) => Due { last: Instant::now(), failures: due.failures + 1, ..due },
                    };
                }
            }
        };
        self.last_write(within).await;
    }

    async fn last_write(&mut self, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let outcome = tokio::time::timeout_at(until, self.write()).await;
            let error = match outcome {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(late) => late.to_string(),
            };
            if Instant::now() + LAST_PAUSE >= until {
                return tracing::warn!("the end could not be reported: {error}");
            }
            tokio::time::sleep(LAST_PAUSE).await;
        }
    }

    /// Looks for the report of an earlier pod of this attempt: its numbers are part of the attempt's, its sequence goes on.
    async fn look(&mut self) -> Result<i64, UnwrittenReport> {
        if let Some(sequence) = self.sequence {
            return Ok(sequence);
        }
        let stored = self.reports.read().await?;
        let sequence = stored.as_ref().map_or(0, |stored| stored.sequence);
        if let Some(stored) = stored {
            self.told.follow(stored);
        }
        self.sequence = Some(sequence);
        Ok(sequence)
    }

    async fn write(&mut self) -> Result<(), UnwrittenReport> {
        let sequence = self.look().await? + 1;
        // A write whose answer was lost has used its number.
        self.sequence = Some(sequence);
        let report = RunReportSpec { sequence, heartbeat_time: Some(time(Utc::now())), ..self.told.report() };
        self.reports.write(&report.bounded()).await
    }
}

/// Texts of events are without secrets; those of the definition may quote one.
fn redacted(mut report: RunReportSpec, redaction: &Redaction) -> RunReportSpec {
    for change in &mut report.changes {
        *change = redaction.text(change);
    }
    let Some(graph) = &mut report.graph else { return report };
    for finding in &mut graph.findings {
        finding.message = redaction.text(&finding.message);
        finding.help = finding.help.as_ref().map(|help| redaction.text(help));
    }
    for spec in graph.datasets.iter_mut().filter_map(|dataset| dataset.spec.as_mut()) {
        spec.query = spec.query.as_ref().map(|query| redaction.text(query));
        spec.flows.iter_mut().for_each(|flow| flow.query = flow.query.as_ref().map(|query| redaction.text(query)));
        let changes = spec.auto_cdc.iter_mut().chain(spec.flows.iter_mut().filter_map(|flow| flow.auto_cdc.as_mut()));
        for clause in changes.flat_map(|cdc| [&mut cdc.sequence_by, &mut cdc.apply_as_delete_when, &mut cdc.apply_as_truncate_when]) {
            *clause = clause.as_ref().map(|text| redaction.text(text));
        }
        spec.expectations.iter_mut().for_each(|rule| rule.expr = redaction.text(&rule.expr));
        spec.properties.values_mut().for_each(|value| *value = redaction.text(value));
        spec.comment = spec.comment.as_ref().map(|comment| redaction.text(comment));
    }
    report
}

/// An instant as the API writes it.
pub fn time(instant: DateTime<Utc>) -> Time {
    Time(Timestamp::from_microsecond(instant.timestamp_micros()).unwrap_or_default())
}
