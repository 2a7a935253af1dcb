//! What the process counts and measures. Families of the process itself are in one registry; those of pipelines, tables and jobs are computed from the
//! caches and from what runners reported, when someone asks, so that objects that are gone leave no series behind.

mod families;
mod jobs;
mod objects;
mod products;
pub mod reference;
mod text;

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

pub use families::is_gauge;
use families::{Family, Kind, operator};
use floe_crds::{
    run_report::RunReport,
    state::{Cause, UpdateState},
};
use jiff::Timestamp;
use jobs::JobCounts;
pub use jobs::JobEvent;
pub use objects::Views;
use products::Products;
use prometheus::{CounterVec, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry, TextEncoder, process_collector::ProcessCollector};
pub use text::parse_labels;

use crate::{error::ErrorClass, key::Key, limits::Limit};

/// How fine the metrics of pipelines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// With labels for flows, datasets and expectations.
    Dataset,
    /// Summed up for each pipeline.
    Pipeline,
}

/// Why an object waits for its reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// For a free place.
    Queued,
    /// For the end of its back-off.
    Backoff,
}

/// Why an update makes another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptReason {
    /// A failure that may pass.
    Transient,
    /// The pod lost its place.
    Eviction,
    /// Out of memory.
    Oom,
    /// An end without explanation.
    Unknown,
}

/// All metrics of the process; clones are the same metrics.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

struct Inner {
    registry: Registry,
    operator: OperatorFamilies,
    products: Mutex<Products>,
    jobs: Mutex<JobCounts>,
    views: OnceLock<Views>,
    threads: AtomicUsize,
}

struct OperatorFamilies {
    leader: GaugeVec,
    feature_gate: GaugeVec,
    reconciles: CounterVec,
    reconcile_errors: CounterVec,
    reconcile_duration: HistogramVec,
    event_lag: HistogramVec,
    pending: GaugeVec,
    cached: GaugeVec,
    api_requests: CounterVec,
    api_duration: HistogramVec,
    api_throttled: CounterVec,
    watch_restarts: CounterVec,
    report_lag: HistogramVec,
    start_latency: HistogramVec,
    held_back: GaugeVec,
    events_failed: CounterVec,
    status_truncated: CounterVec,
    invalid_objects: GaugeVec,
    notifications: CounterVec,
    tasks: GaugeVec,
    blocking_threads: GaugeVec,
}

impl Metrics {
    /// A registry with all families. Fails only if the list of families contradicts itself.
    pub fn new(detail: Detail) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let build = gauge(&registry, &operator::BUILD_INFO)?;
        build.get_metric_with_label_values(&crate::BUILD)?.set(1.0);
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let operator = OperatorFamilies::new(&registry)?;
        operator.touch();
        let inner = Inner {
            registry,
            operator,
            products: Mutex::new(Products::new(detail)),
            jobs: Mutex::default(),
            views: OnceLock::new(),
            threads: AtomicUsize::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where gauges of pipelines and tables come from. Only the first call counts.
    pub fn watch(&self, views: Views) {
        let _ = self.inner.views.set(views);
    }

    /// Everything in the text format.
    pub fn expose(&self, now: Timestamp) -> prometheus::Result<String> {
        self.measure_runtime();
        let mut text = TextEncoder::new().encode_to_string(&self.inner.registry.gather())?;
        if let Some(views) = self.inner.views.get().filter(|_| self.leads()) {
            let snapshot = views.snapshot(now);
            text.push_str(&lock(&self.inner.products).expose(&snapshot));
            text.push_str(&lock(&self.inner.jobs).expose(&views.jobs()));
        }
        Ok(text)
    }

    /// A thread of the runtime started.
    pub fn thread_started(&self) {
        self.inner.threads.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread of the runtime ended.
    pub fn thread_ended(&self) {
        self.inner.threads.fetch_sub(1, Ordering::Relaxed);
    }

    fn measure_runtime(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let metrics = runtime.metrics();
        set(&self.inner.operator.tasks, &[], metrics.num_alive_tasks() as f64);
        let blocking = self.inner.threads.load(Ordering::Relaxed).saturating_sub(metrics.num_workers());
        set(&self.inner.operator.blocking_threads, &[], blocking as f64);
    }

    /// This process holds the lease, or not (any more).
    pub fn leader(&self, leads: bool) {
        set(&self.inner.operator.leader, &[], f64::from(u8::from(leads)));
    }

    fn leads(&self) -> bool {
        self.inner.operator.leader.get_metric_with_label_values::<&str>(&[]).is_ok_and(|leader| leader.get() > 0.0)
    }

    /// A feature gate and whether it is on.
    pub fn feature_gate(&self, name: &str, stage: &str, on: bool) {
        set(&self.inner.operator.feature_gate, &[name, stage], f64::from(u8::from(on)));
    }

    /// A reconcile ended well; `requeue`: it asked to come back earlier than usual.
    pub fn reconciled(&self, controller: &str, requeue: bool, took: Duration) {
        count(&self.inner.operator.reconciles, &[controller, if requeue { "requeue" } else { "ok" }], 1.0);
        observe(&self.inner.operator.reconcile_duration, &[controller], took);
    }

    /// A reconcile failed.
    pub fn reconcile_failed(&self, controller: &str, class: ErrorClass, took: Duration) {
        count(&self.inner.operator.reconciles, &[controller, "error"], 1.0);
        count(&self.inner.operator.reconcile_errors, &[controller, class.as_str()], 1.0);
        observe(&self.inner.operator.reconcile_duration, &[controller], took);
    }

    /// A reconcile starts that an event asked for `lag` ago.
    pub fn event_lag(&self, controller: &str, lag: Duration) {
        observe(&self.inner.operator.event_lag, &[controller], lag);
    }

    /// So many objects wait.
    pub fn pending(&self, controller: &str, reason: Pending, objects: usize) {
        let reason = match reason {
            Pending::Queued => "queued",
            Pending::Backoff => "backoff",
        };
        set(&self.inner.operator.pending, &[controller, reason], objects as f64);
    }

    /// So many objects of `kind` are cached.
    pub fn cached(&self, kind: &str, objects: usize) {
        set(&self.inner.operator.cached, &[kind], objects as f64);
    }

    /// So many stored objects of `kind` cannot be parsed.
    pub fn invalid_objects(&self, kind: &str, objects: usize) {
        set(&self.inner.operator.invalid_objects, &[kind], objects as f64);
    }

    /// The watch of `kind` was started again, for the `reason` gone, error or timeout.
    pub fn watch_restarted(&self, kind: &str, reason: &str) {
        count(&self.inner.operator.watch_restarts, &[kind, reason], 1.0);
    }

    /// A request to the API server ended.
    pub fn api_request(&self, verb: &str, resource: &str, code: &str, took: Duration) {
        count(&self.inner.operator.api_requests, &[verb, resource, code], 1.0);
        observe(&self.inner.operator.api_duration, &[verb, resource], took);
    }

    /// A request waited for the rate limit.
    pub fn api_throttled(&self, waited: Duration) {
        count(&self.inner.operator.api_throttled, &[], waited.as_secs_f64());
    }

    /// A status was written from a RunReport that was `lag` old.
    pub fn report_lag(&self, lag: Duration) {
        observe(&self.inner.operator.report_lag, &[], lag);
    }

    /// The batch/v1 Job of an attempt was made, `latency` after the decision. `kind`: update.
    pub fn start_latency(&self, kind: &str, latency: Duration) {
        observe(&self.inner.operator.start_latency, &[kind], latency);
    }

    /// So many starts are held back by `limit`.
    pub fn held_back(&self, limit: Limit, starts: usize) {
        set(&self.inner.operator.held_back, &[limit.as_str()], starts as f64);
    }

    /// An Event could not be written.
    pub fn events_failed(&self) {
        count(&self.inner.operator.events_failed, &[], 1.0);
    }

    /// A status of `kind` was cut to its size limit.
    pub fn status_truncated(&self, kind: &str) {
        count(&self.inner.operator.status_truncated, &[kind], 1.0);
    }

    /// A try of a notification ended. `target`: webhook or email; `result`: delivered, retried or failed.
    pub fn notification(&self, target: &str, result: &str) {
        count(&self.inner.operator.notifications, &[target, result], 1.0);
    }

    /// Takes over what a runner of `pipeline` counted. Reading a report twice counts nothing twice.
    pub fn absorb(&self, report: &RunReport, namespace: &str, pipeline: &str) {
        let mut products = lock(&self.inner.products);
        products.absorb(report, namespace, pipeline);
        if products.wants_pruning()
            && let Some(views) = self.inner.views.get()
        {
            products.prune(&views.pipelines(), &views.reports());
        }
    }

    /// An update ended in `result`, after `duration` if it had started.
    pub fn update_ended(&self, namespace: &str, pipeline: &str, result: UpdateState, cause: Cause, duration: Option<Duration>) {
        lock(&self.inner.products).update_ended(namespace, pipeline, result, cause, duration);
    }

    /// Something happened to a Job or one of its runs.
    pub fn job_event(&self, job: &Key, event: &JobEvent<'_>) {
        lock(&self.inner.jobs).count(job, event);
    }

    /// The run of an instant of a trigger was made so long after it.
    pub fn schedule_delay(&self, delay: Duration) {
        lock(&self.inner.jobs).delayed(delay);
    }

    /// An update makes another attempt.
    pub fn attempt(&self, namespace: &str, pipeline: &str, reason: AttemptReason) {
        lock(&self.inner.products).attempt(namespace, pipeline, reason);
    }
}

impl OperatorFamilies {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            leader: gauge(registry, &operator::LEADER)?,
            feature_gate: gauge(registry, &operator::FEATURE_GATE)?,
            reconciles: counter(registry, &operator::RECONCILES)?,
            reconcile_errors: counter(registry, &operator::RECONCILE_ERRORS)?,
            reconcile_duration: histogram(registry, &operator::RECONCILE_DURATION)?,
            event_lag: histogram(registry, &operator::EVENT_LAG)?,
            pending: gauge(registry, &operator::PENDING)?,
            cached: gauge(registry, &operator::CACHED)?,
            api_requests: counter(registry, &operator::API_REQUESTS)?,
            api_duration: histogram(registry, &operator::API_DURATION)?,
            api_throttled: counter(registry, &operator::API_THROTTLED)?,
            watch_restarts: counter(registry, &operator::WATCH_RESTARTS)?,
            report_lag: histogram(registry, &operator::REPORT_LAG)?,
            start_latency: histogram(registry, &operator::START_LATENCY)?,
            held_back: gauge(registry, &operator::HELD_BACK)?,
            events_failed: counter(registry, &operator::EVENTS_FAILED)?,
            status_truncated: counter(registry, &operator::STATUS_TRUNCATED)?,
            invalid_objects: gauge(registry, &operator::INVALID_OBJECTS)?,
            notifications: counter(registry, &operator::NOTIFICATIONS)?,
            tasks: gauge(registry, &operator::TASKS)?,
            blocking_threads: gauge(registry, &operator::BLOCKING_THREADS)?,
        })
    }

    /// Makes the series that exist from the start, so that alerts see a zero and not an absence.
    fn touch(&self) {
        for gauge in [&self.leader, &self.tasks, &self.blocking_threads] {
            set(gauge, &[], 0.0);
        }
        for counter in [&self.api_throttled, &self.events_failed] {
            count(counter, &[], 0.0);
        }
        for (target, result) in [("webhook", "failed"), ("email", "failed")] {
            count(&self.notifications, &[target, result], 0.0);
        }
        for limit in Limit::ALL {
            set(&self.held_back, &[limit.as_str()], 0.0);
        }
        let _ = self.report_lag.get_metric_with_label_values::<&str>(&[]);
    }
}

fn counter(registry: &Registry, family: &Family) -> prometheus::Result<CounterVec> {
    let counter = CounterVec::new(Opts::new(family.name, family.help), family.labels)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(registry: &Registry, family: &Family) -> prometheus::Result<GaugeVec> {
    let gauge = GaugeVec::new(Opts::new(family.name, family.help), family.labels)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn histogram(registry: &Registry, family: &Family) -> prometheus::Result<HistogramVec> {
    let Kind::Histogram(bounds) = family.kind else {
        return Err(prometheus::Error::Msg(format!("{} is no histogram", family.name)));
    };
    let histogram = HistogramVec::new(HistogramOpts::new(family.name, family.help).buckets(bounds.to_vec()), family.labels)?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

// The number of labels is that of the family wherever these are called, so that the only error cannot happen; tests touch every method.

fn count(counter: &CounterVec, labels: &[&str], by: f64) {
    if let Ok(counter) = counter.get_metric_with_label_values(labels) {
        counter.inc_by(by);
    }
}

fn set(gauge: &GaugeVec, labels: &[&str], value: f64) {
    if let Ok(gauge) = gauge.get_metric_with_label_values(labels) {
        gauge.set(value);
    }
}

fn observe(histogram: &HistogramVec, labels: &[&str], took: Duration) {
    if let Ok(histogram) = histogram.get_metric_with_label_values(labels) {
        histogram.observe(took.as_secs_f64());
    }
}

/// The lock holds sums that are right between any two statements: a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
