//! What streaming flows remember from one micro-batch to the next: event times and keys. See `docs/design/0008-watermarks.md`.

mod compact;
mod deduplicate;
mod keys;
pub mod memory;
mod watermark;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use datafusion::{
    arrow::datatypes::{DataType, TimeUnit},
    execution::{SessionState, TaskContext},
    physical_plan::ExecutionPlan,
};

pub use compact::Compaction;
pub use deduplicate::Deduplicating;
pub use keys::Keys;
pub use watermark::{EventTimes, Noting};

use crate::{
    commit::WriterOptions,
    engine_failure::engine_error,
    execute::operator::OperatorExec,
    failure::Failure,
    state::{BatchState, Segment},
    storage::Location,
};

/// What a micro-batch of a flow with state begins with.
#[derive(Clone)]
pub struct Beginning {
    /// Rows with earlier event times are late.
    pub watermark_us: Option<i64>,
    /// What was remembered after the batch before.
    pub previous: Option<Arc<BatchState>>,
    /// Where files of keys stand.
    pub directory: Location,
    /// How they are written.
    pub writers: WriterOptions,
}

/// One attempt to execute a micro-batch: shared by the operators of its plan.
pub struct StateRun {
    beginning: Beginning,
    /// For plans beside that of the query.
    session: SessionState,
    staged: Mutex<StagedState>,
}

/// What a micro-batch adds to what is remembered, written to files and not committed yet.
#[derive(Clone, Debug, Default)]
pub struct StagedState {
    /// By the name of the watermark.
    pub event_times: BTreeMap<String, EventTimes>,
    /// By the number of the operator.
    pub operators: BTreeMap<usize, StagedKeys>,
}

/// What one operator did.
#[derive(Clone, Debug, Default)]
pub struct StagedKeys {
    /// Files of new keys.
    pub segments: Vec<Segment>,
    /// Rows that were older than the watermark.
    pub late: u64,
}

impl std::fmt::Debug for StateRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateRun(watermark {:?})", self.beginning.watermark_us)
    }
}

impl StateRun {
    /// The attempt begins.
    pub fn new(beginning: Beginning, session: SessionState) -> Self {
        Self { beginning, session, staged: Mutex::default() }
    }

    /// Takes the rest of operators whose rows nobody asked for to the end: their keys are known from now on, whatever became of the rows.
    pub async fn finish(&self, plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<(), Failure> {
        let mut nodes = vec![Arc::clone(plan)];
        while let Some(node) = nodes.pop() {
            let node_ref: &dyn ExecutionPlan = node.as_ref();
            if let Some(found) = (node_ref as &dyn std::any::Any).downcast_ref::<OperatorExec<Deduplicating>>() {
                found.operator().finish(found.input(), context).await.map_err(engine_error)?;
            }
            nodes.extend(node.children().into_iter().cloned());
        }
        Ok(())
    }

    /// What was staged.
    pub fn take(&self) -> StagedState {
        std::mem::take(&mut *self.staged.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Deletes what was staged.
    pub async fn discard(&self) {
        for segment in self.take().operators.into_values().flat_map(|operator| operator.segments) {
            if let Err(failure) = self.beginning.directory.delete(&segment.file.path).await {
                tracing::warn!("a file of keys was left behind: {failure}");
            }
        }
    }

    fn add_keys(&self, number: usize, keys: StagedKeys) {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).operators.insert(number, keys);
    }

    fn add_event_times(&self, name: &str, times: &EventTimes) {
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        staged.event_times.entry(name.to_owned()).or_default().add(times);
    }
}

/// The type of event times and of the times at which keys are forgotten.
fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}
