//! Maintenance: small files become large ones, files and log entries and events that nobody needs any more are deleted. The rows of every
//! dataset are the same before and after, and no stream sees anything new.
//!
//! observe what readers still need → compact → vacuum → clean the log, table by table; then the event log. A table that fails stops no other.

mod event_log;
mod log_cleanup;
pub mod optimize;
pub mod readers;
mod rewrite;
mod setting;
#[cfg(test)]
mod tests;
mod vacuum;
mod zorder;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use self::{
    readers::{Need, Needs},
    rewrite::Rewriter,
    setting::Setting,
};
use crate::{
    commit::TargetTable,
    event_log::{
        EventLog,
        event::{Event, Level, MaintenanceOperation, MaintenanceProgress, OperationStatus},
    },
    execute::StopSignal,
    failure::Failure,
    observe::parse_key,
    project::Project,
    session::SessionLimits,
    state::catalog::Catalog,
    storage::{Storage, layout},
    summary::TableFacts,
};

/// A reader that is behind for longer is named in a warning.
const SLOW_READER_DAYS: i64 = 7;

/// One round of maintenance.
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Maintenance<'a> {
    pub storage: &'a Storage,
    pub project: &'a Project,
    pub log: &'a EventLog,
    pub limits: SessionLimits,
    pub stop: StopSignal,
    /// Compact only tables whose interval is over; a person who asks does not wait.
    pub by_interval: bool,
    pub now: DateTime<Utc>,
}

/// What came of a round.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Maintained {
    pub failures: Vec<Failure>,
    pub tables: Vec<TableFacts>,
    /// It was stopped before the end.
    pub stopped: bool,
}

/// Metrics of one operation; empty if there was nothing to do.
type Done = BTreeMap<&'static str, i64>;

impl Maintenance<'_> {
    /// Maintains every declared table and the event log.
    pub async fn run(&self, catalog: &mut Catalog) -> Result<Maintained, Failure> {
        let rewriter = Rewriter::new(&self.limits)?;
        let needs = readers::observe(self.storage, catalog, &self.declared_flows()).await?;
        let mut maintained = Maintained::default();
        for key in self.declared(catalog) {
            if self.stop.is_requested() {
                maintained.stopped = true;
                return Ok(maintained);
            }
            if let Err(failure) = Box::pin(self.table(catalog, &key, &needs, &rewriter, &mut maintained)).await {
                maintained.failures.push(failure.about(&key));
            }
        }
        let retention_days = self.project.spec.event_log.retention_days;
        if let Err(failure) = Box::pin(self.event_log(&rewriter, retention_days)).await {
            maintained.failures.push(failure.about("event_log"));
        }
        catalog.write(self.storage).await?;
        Ok(maintained)
    }

    /// Keys of the tables that the definition has; all of them if the definition has errors. Others rest.
    fn declared(&self, catalog: &Catalog) -> Vec<String> {
        let definitions = &self.project.definitions;
        let declared: BTreeSet<String> = definitions.datasets.iter().map(|dataset| dataset.name.key()).collect();
        let all = self.has_errors();
        let is_declared = |key: &String, owner: &Option<String>| all || declared.contains(owner.as_ref().unwrap_or(key));
        catalog.datasets.iter().filter(|(key, entry)| is_declared(key, &entry.part_of)).map(|(key, _)| key.clone()).collect()
    }

    /// Flows whose positions count; `None` if all do.
    fn declared_flows(&self) -> Option<BTreeSet<String>> {
        (!self.has_errors()).then(|| self.project.definitions.flows.iter().map(|flow| flow.name.to_lowercase()).collect())
    }

    fn has_errors(&self) -> bool {
        self.project.definitions.diagnostics.iter().any(|found| found.severity == floe_graph::origin::Severity::Error)
    }

    async fn table(
        &self,
        catalog: &mut Catalog,
        key: &str,
        needs: &Needs,
        rewriter: &Rewriter,
        maintained: &mut Maintained,
    ) -> Result<(), Failure> {
        let (Some(entry), Some(name)) = (catalog.datasets.get(key).cloned(), parse_key(key)) else { return Ok(()) };
        let location = self.storage.at(&entry.path(&name));
        let Some(table) = TargetTable::open(&location, Some(entry.table.clone())).await? else { return Ok(()) };
        let given = self.project.maintenance.get(entry.part_of.as_deref().unwrap_or(key));
        let setting = Setting::of(given, table.properties());
        if setting.suspended {
            return Ok(());
        }
        let need = needs.of(table.id());
        let mut optimized = Ok(());
        if setting.optimize && (!self.by_interval || setting.is_due(entry.optimized_us, self.now)) {
            optimized = self.optimize(key, &table, rewriter).await;
            if let (Ok(()), false, Some(entry)) = (&optimized, self.stop.is_requested(), catalog.datasets.get_mut(key)) {
                entry.optimized_us = Some(self.now.timestamp_micros());
            }
        }
        self.warn_of_slow_reader(key, &table, &need).await?;
        self.clean(key, &table, &setting, &need).await?;
        let size = crate::commit::size::measure(table.location(), entry.size.as_ref(), table.version()).await?;
        if let Some(entry) = catalog.datasets.get_mut(key) {
            entry.size = Some(size);
            if entry.part_of.is_none() {
                maintained.tables.push(TableFacts::of(name.to_string(), &table, Some(entry)));
            }
        }
        // What could not be made smaller is still cleaned.
        optimized
    }

    /// Piece by piece, so that a stop or a failure costs only the last one.
    async fn optimize(&self, name: &str, table: &TargetTable, rewriter: &Rewriter) -> Result<(), Failure> {
        let (done, outcome) = Box::pin(optimize::run(table, rewriter, &self.stop)).await;
        if outcome.is_err() && !done.is_empty() {
            self.did(MaintenanceOperation::Optimize, name, Ok(done))?;
            return self.did(MaintenanceOperation::Optimize, name, outcome.map(|()| Done::new()));
        }
        self.did(MaintenanceOperation::Optimize, name, outcome.map(|()| done))
    }

    async fn event_log(&self, rewriter: &Rewriter, retention_days: i32) -> Result<(), Failure> {
        // Its own events are part of what is looked at.
        Box::pin(self.log.flush()).await;
        let Some(table) = TargetTable::open(&self.storage.at(layout::EVENT_LOG), None).await? else { return Ok(()) };
        let name = "event_log";
        let oldest = self.now - chrono::TimeDelta::days(i64::from(retention_days));
        self.did(MaintenanceOperation::EventLogRetention, name, event_log::retain(&table, rewriter, oldest).await)?;
        let optimized = self.optimize(name, &table, rewriter).await;
        self.clean(name, &table, &Setting::default(), &Need::default()).await?;
        optimized
    }

    async fn clean(&self, name: &str, table: &TargetTable, setting: &Setting, need: &Need) -> Result<(), Failure> {
        self.did(MaintenanceOperation::Vacuum, name, vacuum::run(table, self.now - setting.files, need).await)?;
        self.did(MaintenanceOperation::LogCleanup, name, log_cleanup::run(table, self.now - setting.log, need).await)
    }

    /// An operation with nothing to do leaves no event.
    fn did(&self, operation: MaintenanceOperation, dataset: &str, outcome: Result<Done, Failure>) -> Result<(), Failure> {
        let (status, metrics) = match &outcome {
            Ok(done) if done.is_empty() => return Ok(()),
            Ok(done) => (OperationStatus::Completed, done.clone()),
            Err(_) => (OperationStatus::Failed, Done::new()),
        };
        let progress = MaintenanceProgress { operation, dataset: dataset.to_string(), status, metrics };
        self.log.record(Event::maintenance_progress(progress));
        outcome.map(|_| ())
    }

    async fn warn_of_slow_reader(&self, key: &str, table: &TargetTable, need: &Need) -> Result<(), Failure> {
        let Some((flow, version)) = need.slowest.clone().filter(|(_, version)| *version < table.version()) else { return Ok(()) };
        let first = crate::commit::table::commits(table.location(), version, version + 1).await?.unwrap_or_default();
        let time = first.first().and_then(|commit| vacuum::commit_time(&commit.actions));
        if time.is_some_and(|time| time < self.now - chrono::TimeDelta::days(SLOW_READER_DAYS)) {
            let progress = MaintenanceProgress {
                operation: MaintenanceOperation::Vacuum,
                dataset: key.to_string(),
                status: OperationStatus::InProgress,
                metrics: Done::from([("read_version", version)]),
            };
            let message = format!(
                "Flow {flow} has not read {key} beyond version {version} for more than {SLOW_READER_DAYS} days: the files that it still needs stay."
            );
            self.log.record(Event::maintenance_progress(progress).at_level(Level::Warn).saying(message));
        }
        Ok(())
    }
}
