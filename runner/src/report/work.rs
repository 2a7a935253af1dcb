//! Reports of work that has no events: a task says how far it is and how it ended, a watcher what it sees.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::Utc;
use floe_crds::{
    request::PROTOCOL,
    run_report::{ReportKind, RunReportSpec},
};
use futures::{FutureExt, future::BoxFuture};
use tokio::sync::Notify;

use super::{HEARTBEAT, Reports, Told, Writing, time};
use crate::settings::Pod;

/// A report whose content is set directly. Clones are handles of the same report.
#[derive(Clone)]
pub struct WorkReport(Arc<Work>);

struct Work {
    report: Mutex<RunReportSpec>,
    changed: Notify,
    heartbeat: Duration,
}

impl WorkReport {
    /// An empty report of `kind`, written by `pod`.
    pub fn new(kind: ReportKind, pod: &Pod) -> Self {
        let report = RunReportSpec {
            protocol: PROTOCOL,
            kind,
            pod_uid: pod.uid.clone(),
            pod_name: pod.name.clone(),
            node_name: pod.node.clone(),
            runner_version: env!("CARGO_PKG_VERSION").to_string(),
            ..RunReportSpec::default()
        };
        // A watcher lives for months and writes only what it has seen.
        let heartbeat = if kind == ReportKind::Watch { Duration::from_secs(u64::from(u32::MAX)) } else { HEARTBEAT };
        Self(Arc::new(Work { report: Mutex::new(report), changed: Notify::new(), heartbeat }))
    }

    /// Begins to write the report to `reports`.
    pub async fn write_to(&self, reports: Box<dyn Reports>) -> Writing {
        Writing::begin(Arc::clone(&self.0) as _, reports).await
    }

    /// Changes the report; what is equal afterwards is not written again.
    pub fn update(&self, change: impl FnOnce(&mut RunReportSpec)) {
        let mut report = self.lock();
        let before = report.clone();
        change(&mut report);
        if let Some(state) = report.state.filter(|state| before.state != Some(*state)) {
            report.phase_times.entry(state.as_str().to_string()).or_insert_with(|| time(Utc::now()));
        }
        if *report != before {
            self.0.changed.notify_one();
        }
    }

    /// The report as it stands.
    pub fn current(&self) -> RunReportSpec {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, RunReportSpec> {
        self.0.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told for Work {
    fn report(&self) -> RunReportSpec {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An attempt that begins again in another pod begins from nothing; a watcher has read its marks before.
    fn follow(&self, _: RunReportSpec) {}

    fn change(&self) -> BoxFuture<'_, bool> {
        self.changed.notified().map(|()| false).boxed()
    }

    fn heartbeat(&self) -> Duration {
        self.heartbeat
    }
}
