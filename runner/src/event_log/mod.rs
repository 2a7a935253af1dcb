//! The record of everything that a pipeline did: typed events become rows with identity, order and time, go to the screen and to stdout
//! at once, and to the Delta table `event_log` in small batches.
//!
//! `record` never fails and never waits for storage: a log that cannot be written must not fail an update.

pub mod definition;
pub mod event;
pub mod flows;
mod marker;
pub mod message;
pub mod note;
pub mod record;
mod recovery;
mod redact;
pub mod schema;
pub mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use chrono::{DateTime, Utc};
use floe_crds::state::FlowState;
use serde_json::json;
use tokio::sync::Notify;

use self::{
    event::{Event, EventDetails, Level},
    marker::Marker,
    record::{Identity, Record},
    table::LogTable,
};
pub use self::{
    recovery::{beside, open},
    redact::Redaction,
};
use crate::{commit::KnownTable, execute::progress::Moving, failure::Failure, storage::Storage};

/// How long the log waits.
#[derive(Clone, Copy, Debug)]
struct Pauses {
    /// Events wait so long for company.
    flush_after: Duration,
    /// Between the last attempts to write, when the update ends.
    closing: [Duration; 2],
}

impl Default for Pauses {
    fn default() -> Self {
        Self { flush_after: Duration::from_secs(5), closing: [Duration::from_millis(300), Duration::from_secs(2)] }
    }
}

/// So many events are written at once.
const FLUSH_EVENTS: usize = 1_000;
/// So many events wait while the table cannot be written; beyond that METRICS go first, then the oldest.
const MAX_BUFFERED_EVENTS: usize = 10_000;

/// Sees every event as it is recorded, and what running flows do between events. Used for the live display.
pub trait Observer: Send + Sync {
    /// `record` was just recorded.
    fn recorded(&self, record: &Record);
    /// `record` was recorded for a dead process that worked on this same attempt: its numbers are reported by nobody else.
    fn recovered(&self, _record: &Record) {}
    /// How far `flow` is in the micro-batch or refresh that it works on.
    fn moving(&self, flow: &str, moving: Moving);
    /// The loop that starts and ends flows has turned once more.
    fn turned(&self) {}
    /// The event log could not be written; it will be tried again.
    fn log_failed(&self, failure: &Failure);
}

/// Where the events of one update go beside the table.
#[derive(Default)]
pub struct Outputs {
    /// Receives JSON lines (`--output json`).
    pub lines: Option<Box<dyn Write + Send>>,
    /// The live display.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Values that must be printed nowhere.
    pub secrets: Vec<String>,
}

/// The event log of one attempt of one update. Clones are handles of the same log.
#[derive(Clone)]
pub struct EventLog {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    observers: Vec<Arc<dyn Observer>>,
    redaction: Redaction,
    table: Option<Arc<dyn LogTable>>,
    /// Where the marker stands that says whether this update has ended.
    storage: Option<Storage>,
    wake: Arc<Wake>,
    pauses: Pauses,
    /// Keeps the commits of one log in order.
    writing: tokio::sync::Mutex<()>,
}

struct State {
    identity: Identity,
    last_seq_no: i64,
    last_timestamp: DateTime<Utc>,
    lines: Option<Box<dyn Write + Send>>,
    buffer: VecDeque<Record>,
    discarded: u64,
    write_failures: u64,
    /// What stands in `_floe/active.json` while the update runs.
    marker: Option<Marker>,
    /// What will stand there next, as it was some minutes ago.
    next_marker: Option<Marker>,
    /// An earlier process worked on the same attempt.
    continued: bool,
    /// The update reached a terminal state.
    ended: bool,
}

/// How `record` wakes the task that writes.
#[derive(Default)]
struct Wake {
    /// The buffer holds something.
    filled: Notify,
    /// It must be written now.
    urgent: Notify,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.wake.filled.notify_one();
        self.wake.urgent.notify_one();
    }
}

impl EventLog {
    /// The log of the attempt that `identity` names. Without `table` nothing is stored (dry run); see [`open`] for the usual way.
    /// Must be called within a tokio runtime if there is a table.
    pub fn start(identity: Identity, outputs: Outputs, table: Option<Arc<dyn LogTable>>) -> Self {
        Self::with_storage(identity, outputs, table, None, Pauses::default())
    }

    fn with_storage(
        identity: Identity,
        outputs: Outputs,
        table: Option<Arc<dyn LogTable>>,
        storage: Option<Storage>,
        pauses: Pauses,
    ) -> Self {
        let state = State {
            identity,
            last_seq_no: 0,
            last_timestamp: DateTime::UNIX_EPOCH,
            lines: outputs.lines,
            buffer: VecDeque::new(),
            discarded: 0,
            write_failures: 0,
            marker: None,
            next_marker: None,
            continued: false,
            ended: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            observers: outputs.observers,
            redaction: Redaction::new(outputs.secrets),
            table,
            storage,
            wake: Arc::default(),
            pauses,
            writing: tokio::sync::Mutex::default(),
        });
        if shared.table.is_some() {
            tokio::spawn(write_in_background(Arc::downgrade(&shared), Arc::clone(&shared.wake), pauses.flush_after));
        }
        Self { shared }
    }

    /// Records `event`: gives it its number and time, prints it, shows it, and keeps it for the table.
    pub fn record(&self, event: Event) {
        let mut state = self.lock();
        state.last_seq_no += 1;
        let mut record = Record::new(event, &state.identity, state.last_seq_no, &self.shared.redaction);
        // A clock that was set back must not turn the order of events around.
        record.timestamp = record.timestamp.max(state.last_timestamp);
        state.last_timestamp = record.timestamp;
        state.ended |= matches!(&record.typed, EventDetails::UpdateProgress(progress) if progress.state.is_terminal());
        for observer in &self.shared.observers {
            observer.recorded(&record);
        }
        self.keep(&mut state, record);
    }

    /// Keeps an event that an earlier runner should have recorded, under its identity. Who looks at this update sees it only if it is of the
    /// same attempt: other numbers are not those of this update.
    fn record_recovered(&self, event: Event, identity: &Identity, seq_no: i64) {
        let record = Record::new(event, identity, seq_no, &self.shared.redaction);
        let mut state = self.lock();
        if record.identity.instance() == state.identity.instance() {
            self.shared.observers.iter().for_each(|observer| observer.recovered(&record));
        }
        self.keep(&mut state, record);
    }

    /// Another process has worked on this attempt and recorded so many events.
    fn go_on_after(&self, last_seq_no: i64) {
        let mut state = self.lock();
        state.continued = true;
        state.last_seq_no = state.last_seq_no.max(last_seq_no);
    }

    /// True if another process has worked on this attempt before.
    pub fn is_continued(&self) -> bool {
        self.lock().continued
    }

    fn keep(&self, state: &mut State, record: Record) {
        if let Some(lines) = &mut state.lines {
            // A closed stdout must not fail the update; the table still gets the event.
            let _ = writeln!(lines, "{}", record.json_line());
        }
        if self.shared.table.is_none() {
            return;
        }
        let urgent = is_urgent(&record);
        state.buffer.push_back(record);
        if state.buffer.len() > MAX_BUFFERED_EVENTS {
            let metrics = state.buffer.iter().position(|record| record.level == Level::Metrics);
            state.buffer.remove(metrics.unwrap_or(0));
            state.discarded += 1;
        }
        if urgent || state.buffer.len() >= FLUSH_EVENTS {
            self.shared.wake.urgent.notify_one();
        }
        self.shared.wake.filled.notify_one();
    }

    /// Shows how far a running flow is; nothing is recorded.
    pub fn moving(&self, flow: &str, moving: Moving) {
        for observer in &self.shared.observers {
            observer.moving(flow, moving);
        }
    }

    /// The loop of flows has turned; nothing is recorded.
    pub fn turned(&self) {
        for observer in &self.shared.observers {
            observer.turned();
        }
    }

    /// The hash of the resolved graph, known after planning: part of the origin of all later events.
    pub fn set_graph_id(&self, graph_id: &str) {
        self.lock().identity.graph_id = Some(graph_id.to_string());
    }

    /// Id of the update that this log belongs to.
    pub fn update_id(&self) -> String {
        self.lock().identity.update_id.clone()
    }

    /// Attempt of the update, counted from 1.
    pub fn attempt(&self) -> u32 {
        self.lock().identity.attempt
    }

    /// How often the table could not be written.
    pub fn write_failures(&self) -> u64 {
        self.lock().write_failures
    }

    /// Writes what is buffered and waits for it, a few times if need be, and marks the update as ended, or as stopped if it has no terminal
    /// state. The last call of an update.
    pub async fn close(&self) {
        let mut written = Box::pin(self.flush()).await;
        for pause in self.shared.pauses.closing {
            if written {
                break;
            }
            tokio::time::sleep(pause).await;
            written = Box::pin(self.flush()).await;
        }
        // Without the mark the next runner looks for what is missing.
        let (Some(storage), Some(table), true) = (&self.shared.storage, &self.shared.table, written) else { return };
        let known = table.known().await;
        let marker = self.lock().last_marker(known);
        if let Err(failure) = marker.write(storage).await {
            self.log_failed(&failure);
        }
    }

    /// Writes what is buffered in one commit. False if it could not be written; then it stays buffered.
    pub async fn flush(&self) -> bool {
        let Some(table) = &self.shared.table else { return true };
        let _one_at_a_time = self.shared.writing.lock().await;
        let mut records = self.take_buffer();
        let discarded = std::mem::take(&mut self.lock().discarded);
        if discarded > 0 {
            self.record(Event::events_discarded(discarded));
            records.extend(self.take_buffer());
        }
        if records.is_empty() {
            return true;
        }
        let Err(failure) = table.append(&records).await else { return true };
        let mut state = self.lock();
        state.write_failures += 1;
        for record in records.into_iter().rev() {
            state.buffer.push_front(record);
        }
        drop(state);
        self.log_failed(&failure);
        false
    }

    fn take_buffer(&self) -> Vec<Record> {
        self.lock().buffer.drain(..).collect()
    }

    fn log_failed(&self, failure: &Failure) {
        let message = self.shared.redaction.text(&failure.to_string());
        if let Some(lines) = &mut self.lock().lines {
            let _ = writeln!(lines, "{}", json!({"event_type": "event_log_write_failed", "message": message}));
        }
        for observer in &self.shared.observers {
            observer.log_failed(failure);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The marker when all events are written. Of an update that was only stopped the log is looked through again from its beginning.
    fn last_marker(&self, event_log: Option<KnownTable>) -> Marker {
        let begun = self.marker.clone().unwrap_or_else(|| Marker::of(&self.identity));
        let event_log = if self.ended { event_log } else { begun.event_log.clone() };
        Marker { ended: self.ended, stopped: !self.ended, last_seq_no: self.last_seq_no, event_log, ..begun }
    }
}

/// A failed flow and the end of the update are written at once.
fn is_urgent(record: &Record) -> bool {
    match &record.typed {
        EventDetails::FlowProgress(progress) => progress.status == FlowState::Failed,
        EventDetails::UpdateProgress(progress) => progress.state.is_terminal(),
        _ => false,
    }
}

/// Writes the buffer a while after it began to fill, at once when told so, until the log is gone.
async fn write_in_background(log: Weak<Shared>, wake: Arc<Wake>, flush_after: Duration) {
    loop {
        wake.filled.notified().await;
        tokio::select! {
            () = tokio::time::sleep(flush_after) => {}
            () = wake.urgent.notified() => {}
        }
        let Some(shared) = log.upgrade() else { return };
        let log = EventLog { shared };
        if Box::pin(log.flush()).await {
            Box::pin(log.move_marker(Utc::now())).await;
        } else {
            // What could not be written is tried again after the usual pause.
            log.shared.wake.filled.notify_one();
        }
    }
}
