//! Execution of planned flows: one micro-batch or one refresh at a time, from a resolved plan to committed rows and counted expectations.
//!
//! bind (leaves become providers) → run → expectations in the same pass → stage → commit. The position of a flow is durable before its
//! data, and its data carry the transaction id of the position: see `docs/design/0002-commit-protocol.md`.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::SchemaRef;
use floe_graph::{
    graph::{ResolvedDataset, ResolvedFlow, ResolvedGraph, ResolvedKind},
    name::DatasetName,
};

use crate::{
    commit::{TargetTable, WriterOptions},
    failure::Failure,
    session::Session,
    state::Checkpoint,
    storage::Storage,
};

mod append;
mod batch;
pub mod cdc;
mod complete;
pub mod expectation;
mod inputs;
mod operator;
pub mod places;
pub mod progress;
pub mod refresh;
pub mod stage;
pub mod stateful;
pub mod view_expectation;

pub use append::Cleanings;
use futures::FutureExt;
use places::Places;
use progress::{FlowFailure, FlowProgress, FlowResult, Observer};
use stage::Destination;

/// What all flows of one update share.
#[derive(Clone)]
pub struct Execution {
    /// The engine that all flows share.
    pub session: Session,
    /// How data files are written, and the memory that all writers share.
    pub writers: WriterOptions,
    /// Root of tables and state.
    pub storage: Storage,
    /// The resolved graph of the update.
    pub graph: Arc<ResolvedGraph>,
    /// First part of every transaction id.
    pub pipeline_id: String,
    /// Stands in the events and in the commit info.
    pub update_id: String,
    /// Is told of every step.
    pub observer: Arc<dyn Observer>,
    /// Asked between micro-batches.
    pub stop: StopSignal,
    /// All tables of the pipeline that exist, quarantine tables included.
    pub tables: Arc<BTreeMap<DatasetName, Arc<TargetTable>>>,
    /// Per source id the Delta table id of each external table, as it was found when the update began.
    pub external_ids: BTreeMap<String, String>,
    /// The columns that were found in files whose reads declare none, by `file_schema::key`.
    pub found_schemas: Arc<BTreeMap<String, SchemaRef>>,
    /// The project directory: relative paths of sources begin there.
    pub project: PathBuf,
    /// What the clock of queries says; `None`: the time when a micro-batch or refresh begins.
    pub now: Option<DateTime<Utc>>,
    /// False: failure messages show `***` instead of a record.
    pub sample_records: bool,
    /// Shared by all attempts of the update.
    pub unsure: Unsure,
    /// Positions of flows that look for new data again and again.
    pub kept: KeptCheckpoints,
    /// What flows that clean up their files remember from round to round.
    pub cleanings: Cleanings,
}

impl Execution {
    /// The time of a micro-batch or refresh that begins now, in microseconds.
    pub fn batch_time_us(&self) -> i64 {
        self.now.unwrap_or_else(Utc::now).timestamp_micros()
    }
}

/// One flow with its tables, which exist.
#[derive(Clone, Debug)]
pub struct FlowRun {
    /// The flow with its plan.
    pub flow: Arc<ResolvedFlow>,
    /// The table that it writes.
    pub target: Arc<TargetTable>,
    /// Takes the rows that violate a quarantine expectation.
    pub quarantine: Option<Arc<TargetTable>>,
    /// What an Auto CDC flow knows of the keys of its target.
    pub journal: Option<Arc<TargetTable>>,
    /// Which of the flow's rounds it is.
    pub round: Round,
}

impl FlowRun {
    /// Where rows go that are neither merged nor compared.
    fn destination(&self, execution: &Execution) -> Destination {
        Destination { target: Arc::clone(&self.target), quarantine: self.quarantine.clone(), writers: execution.writers.clone() }
    }
}

/// The rounds of a flow in its update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Round {
    /// The update ends when its flows have caught up.
    #[default]
    Only,
    /// A continuous update: the flow starts, or starts again after a failure.
    First,
    /// The flow is idle and looks for new data. If there are none, it says nothing.
    Later,
}

/// Asks running flows to stop after the micro-batch in hand. Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(Arc<AtomicU8>);

impl StopSignal {
    const REQUESTED: u8 = 1;
    const INTERRUPTED: u8 = 2;

    /// No new micro-batch starts from now on; the update ends for good.
    pub fn request(&self) {
        self.0.fetch_max(Self::REQUESTED, Ordering::Relaxed);
    }

    /// No new micro-batch starts from now on; whether another process goes on with the update is not known here.
    pub fn interrupt(&self) {
        self.0.fetch_max(Self::INTERRUPTED, Ordering::Relaxed);
    }

    /// True after `request` or `interrupt`.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::REQUESTED
    }

    /// True after `interrupt`.
    pub fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::INTERRUPTED
    }
}

/// Per flow the numbers of a commit whose outcome was not known when the flow failed: the attempt that finds it in the table reports
/// them. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Unsure(Arc<Mutex<BTreeMap<String, FlowProgress>>>);

impl Unsure {
    /// A commit with these numbers is about to be tried. Gives those of an earlier attempt.
    fn begin(&self, flow: &str, progress: &FlowProgress) -> Option<FlowProgress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(flow.to_string(), progress.clone())
    }

    /// The outcome is known.
    fn end(&self, flow: &str) -> Option<FlowProgress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(flow)
    }
}

/// Checkpoints of flows between two rounds, so that a look for new data reads no position again. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct KeptCheckpoints(Arc<Mutex<BTreeMap<String, Checkpoint>>>);

impl KeptCheckpoints {
    /// Only a round that ended well gives its checkpoint back: after a failure storage says where the flow is.
    fn take(&self, flow: &str) -> Option<Checkpoint> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(flow)
    }

    fn keep(&self, checkpoint: Checkpoint) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(checkpoint.flow().to_string(), checkpoint);
    }
}

impl Execution {
    /// Brings the target of one flow up to date with what its inputs hold now.
    pub async fn run_flow(&self, run: &FlowRun) -> Result<FlowResult, FlowFailure> {
        let outcome = match run.flow.kind {
            ResolvedKind::Append | ResolvedKind::Once | ResolvedKind::AutoCdc(_) => append::run(self, run).boxed().await,
            ResolvedKind::Complete => complete::run(self, run).boxed().await,
        };
        outcome.map_err(|failed| FlowFailure { failure: located(failed.failure, &run.flow), ..failed })
    }

    /// Where the relations of the update are.
    pub fn places(&self) -> Places<'_> {
        Places { storage: &self.storage, graph: &self.graph, project: &self.project }
    }

    fn dataset(&self, run: &FlowRun) -> Result<&ResolvedDataset, Failure> {
        let missing = || Failure::internal(format!("the target {} of flow {} is not in the graph", run.flow.target, run.flow.name));
        self.graph.datasets.get(&run.flow.target).ok_or_else(missing)
    }
}

/// A failure inside a flow names the flow, its dataset and where it is defined.
fn located(failure: Failure, flow: &ResolvedFlow) -> Failure {
    Failure {
        flow: failure.flow.or_else(|| Some(flow.name.clone())),
        dataset: failure.dataset.or_else(|| Some(flow.target.to_string())),
        origin: failure.origin.or_else(|| Some(flow.origin.clone())),
        ..failure
    }
}
