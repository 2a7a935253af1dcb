//! The record of everything that a pipeline did: typed events become rows with identity, order and time, go to the screen and to stdout
//! at once, and to the Delta table `event_log` in small batches.
//!
//! `record` never fails and never waits for storage: a log that cannot be written must not fail an update.

pub mod event;
pub mod message;
pub mod note;
pub mod record;
mod redact;
pub mod schema;
pub mod sink;

use std::{
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{
    event::Event,
    record::{Identity, Record},
    redact::Redaction,
    sink::LogTable,
};

/// Sees every event as it is recorded, and the numbers of running flows between events. Used for the live display.
pub trait Observer: Send + Sync {
    /// `record` was just recorded.
    fn recorded(&self, record: &Record);
    /// A running flow made progress that no event reports yet.
    fn tick(&self, flow: &str, tick: Tick);
}

/// What a running flow did since its last tick. Never recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    pub rows: u64,
    pub bytes: u64,
    pub files: u64,
}

/// Where the events of one update go.
#[derive(Default)]
pub struct Outputs {
    /// The Delta table; `None` for a dry run.
    pub table: Option<Arc<dyn LogTable>>,
    /// Receives JSON lines (`--output json`).
    pub lines: Option<Box<dyn Write + Send>>,
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
}

struct State {
    identity: Identity,
    last_seq_no: i64,
    lines: Option<Box<dyn Write + Send>>,
}

impl EventLog {
    /// The log of the attempt that `identity` names.
    pub fn start(identity: Identity, outputs: Outputs) -> Self {
        let state = State { identity, last_seq_no: 0, lines: outputs.lines };
        let redaction = Redaction::new(outputs.secrets);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), observers: outputs.observers, redaction }) }
    }

    /// Records `event`: gives it its number and time, prints it, shows it, and keeps it for the table.
    pub fn record(&self, event: Event) {
        let mut state = self.lock();
        state.last_seq_no += 1;
        let record = Record::new(event, &state.identity, state.last_seq_no, &self.shared.redaction);
        if let Some(lines) = &mut state.lines {
            // A closed stdout must not fail the update; the table still gets the event.
            let _ = writeln!(lines, "{}", record.json_line());
        }
        drop(state);
        for observer in &self.shared.observers {
            observer.recorded(&record);
        }
    }

    /// Shows what a running flow did since its last tick; nothing is recorded.
    pub fn tick(&self, flow: &str, tick: Tick) {
        for observer in &self.shared.observers {
            observer.tick(flow, tick);
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

    /// Writes what is buffered and waits for it. The last call of an update.
    pub async fn close(&self) {}

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
