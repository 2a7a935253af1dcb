//! The event log by its promises: exact columns and messages, order without gaps, nothing secret, nothing lost.

mod content;
mod recovery;
mod writing;

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;

use super::{
    EventLog, Outputs, Pauses,
    event::{DataQuality, ExpectationCount, FlowMetrics, Subject},
    record::{Identity, Record},
    table::LogTable,
};
use crate::{execute::progress::FlowProgress, failure::Failure};

/// Collects what is written to standard output.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn events(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A table in memory that can be made to fail.
#[derive(Default)]
struct MemoryTable {
    commits: Mutex<Vec<Vec<Record>>>,
    broken: AtomicBool,
}

#[async_trait]
impl LogTable for MemoryTable {
    async fn append(&self, records: &[Record]) -> Result<(), Failure> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Failure::storage("PERMISSION_DENIED", "no write access"));
        }
        self.commits.lock().unwrap().push(records.to_vec());
        Ok(())
    }
}

impl MemoryTable {
    fn records(&self) -> Vec<Record> {
        self.commits.lock().unwrap().concat()
    }
}

fn identity(update: &str) -> Identity {
    Identity {
        update_id: update.to_string(),
        attempt: 1,
        pipeline_id: "p1".to_string(),
        pipeline_name: "bookstore".to_string(),
        host: "laptop".to_string(),
        ..Identity::default()
    }
}

fn memory_log() -> (EventLog, Arc<MemoryTable>, Lines) {
    let (table, lines) = (Arc::new(MemoryTable::default()), Lines::default());
    let outputs = Outputs { lines: Some(Box::new(lines.clone())), ..Outputs::default() };
    let pauses = Pauses { flush_after: Duration::from_millis(400), closing: [Duration::from_millis(1); 2] };
    (EventLog::with_storage(identity("u1"), outputs, Some(Arc::clone(&table) as _), None, pauses), table, lines)
}

fn orders() -> Subject {
    Subject::flow("orders_silver", "f1", "main.bookstore.orders_silver")
}

fn batch(batch_id: Option<i64>, rows: u64) -> FlowProgress {
    FlowProgress {
        batch_id,
        metrics: FlowMetrics { num_output_rows: Some(rows), num_output_bytes: Some(2048), num_input_rows: 10, ..FlowMetrics::default() },
        data_quality: DataQuality {
            dropped_records: 2,
            quarantined_records: 0,
            expectations: vec![ExpectationCount {
                name: "a".to_string(),
                dataset: "main.bookstore.orders_silver".to_string(),
                passed: 8,
                failed: 2,
            }],
        },
        target_version: Some(4),
        journal_version: None,
    }
}
