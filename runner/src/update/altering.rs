//! Tables that get columns or wider types; how far those are that are written again for it is told to the event log and the display.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::tables::Wanted;
use crate::{
    commit::{Altered, Rewriting, Rewritten, TargetTable, WriterMemory},
    event_log::{
        EventLog,
        event::{Event, EventError, MaintenanceOperation, MaintenanceProgress, OperationStatus},
    },
    execute::{StopSignal, progress::Moving},
    failure::Failure,
};

/// How often an event tells how far a table is.
const RECORDED_EVERY: Duration = Duration::from_secs(5);

/// What altering takes beside the tables.
#[derive(Clone)]
pub struct Altering {
    pub log: EventLog,
    /// What all writers share.
    pub memory: WriterMemory,
    /// Ends the rewriting of a table, which is left as it was.
    pub stop: StopSignal,
}

impl Altering {
    /// Brings `table` in line with what is wanted, with wider types if it may have them. `None` if it was stopped before anything was changed.
    pub async fn alter(&self, table: &mut TargetTable, wanted: &Wanted) -> Result<Option<Altered>, Failure> {
        if !wanted.widens {
            return table.alter(&wanted.spec).await.map(Some);
        }
        let told = Told { log: &self.log, dataset: &wanted.spec.dataset, last: Mutex::default() };
        let rewriting = Rewriting {
            memory: self.memory.clone(),
            parallelism: std::thread::available_parallelism().map_or(2, usize::from),
            progress: &|reached| told.reached(reached),
            is_stopped: &|| self.stop.is_requested(),
        };
        let altered = table.widen(&wanted.spec, &rewriting).await;
        told.ended(&altered);
        altered
    }
}

/// What was told of the rewriting of one table.
struct Told<'a> {
    log: &'a EventLog,
    dataset: &'a str,
    /// How far it was last, and when an event said so; `None` as long as nothing is written again.
    last: Mutex<Option<(Rewritten, Instant)>>,
}

impl Told<'_> {
    fn reached(&self, now: Rewritten) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = last.map(|(_, recorded)| recorded);
        let is_due = recorded.is_none_or(|recorded| recorded.elapsed() >= RECORDED_EVERY);
        *last = Some((now, recorded.filter(|_| !is_due).unwrap_or_else(Instant::now)));
        drop(last);
        if is_due {
            self.record(if recorded.is_none() { OperationStatus::Started } else { OperationStatus::InProgress }, now, None);
        }
        self.log.moving(self.dataset, Moving { rows: now.rows, read: 0, files: now.files });
    }

    fn ended(&self, outcome: &Result<Option<Altered>, Failure>) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((reached, _)) = last else { return };
        match outcome {
            Ok(Some(_)) => self.record(OperationStatus::Completed, reached, None),
            Ok(None) => self.record(OperationStatus::Canceled, reached, None),
            Err(failure) => self.record(OperationStatus::Failed, reached, Some(EventError::of(failure, false))),
        }
    }

    fn record(&self, status: OperationStatus, reached: Rewritten, error: Option<EventError>) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let Rewritten { files, files_total, rows, rows_total, read_bytes } = reached;
        let numbers = [("files", files), ("files_total", files_total), ("rows", rows), ("read_bytes", read_bytes)];
        let metrics: BTreeMap<&'static str, i64> =
            numbers.into_iter().chain(rows_total.map(|rows| ("rows_total", rows))).map(|(name, count)| (name, number(count))).collect();
        let (operation, dataset) = (MaintenanceOperation::TypeWidening, self.dataset.to_string());
        let event = Event::maintenance_progress(MaintenanceProgress { operation, dataset, status, metrics });
        self.log.record(match error {
            Some(error) => event.with_error(error),
            None => event,
        });
    }
}
