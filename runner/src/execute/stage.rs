//! From an executable plan to staged files: all partitions at once, expectations in the same pass, one writer per partition and table.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use datafusion::{
    arrow::array::RecordBatch,
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{ExecutionPlan, ExecutionPlanProperties},
};
use futures::StreamExt;
use tokio::{sync::watch, task::JoinSet};

use super::{batch::Query, expectation::Evaluator, progress::FlowMetrics};
use crate::{
    commit::{StagedFiles, TableWriter, TargetTable, WriterOptions, clustered},
    engine_failure::engine_error,
    failure::Failure,
};

/// What becomes of the rows of a query before anything is committed.
pub trait Sink {
    /// Files that are written and not yet part of any table.
    type Staged;

    /// Runs the query and stages its rows. After a failure nothing is left behind.
    fn stage(&self, query: Query) -> impl Future<Output = Result<Self::Staged, Failure>> + Send;

    /// Deletes what was staged: it will not be committed. What cannot be deleted is garbage that a vacuum removes.
    fn discard(staged: Self::Staged) -> impl Future<Output = ()> + Send;

    /// Adds what was staged to the numbers of the batch.
    fn count(staged: &Self::Staged, metrics: &mut FlowMetrics);
}

/// Where the rows of a query go.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Takes the rows that are kept.
    pub target: Arc<TargetTable>,
    /// Takes the rows that violate a quarantine expectation.
    pub quarantine: Option<Arc<TargetTable>>,
    /// How the files are written.
    pub writers: WriterOptions,
}

/// Files that are written and not yet part of any table.
#[derive(Debug)]
pub struct Staged {
    /// Files of the target.
    pub target: StagedFiles,
    /// Files of the quarantine table, if there is one.
    pub quarantine: Option<StagedFiles>,
}

impl Staged {
    /// No files for `destination`.
    pub fn none(destination: &Destination) -> Self {
        let none = |table: &Arc<TargetTable>| StagedFiles::none(table.location());
        Self { target: none(&destination.target), quarantine: destination.quarantine.as_ref().map(none) }
    }

    fn and(self, other: Self) -> Self {
        let quarantine = match (self.quarantine, other.quarantine) {
            (Some(a), Some(b)) => Some(a.and(b)),
            (a, b) => a.or(b),
        };
        Self { target: self.target.and(other.target), quarantine }
    }

    async fn discard(self) {
        let files = std::iter::once(self.target).chain(self.quarantine);
        for staged in files {
            let place = staged.location.to_string();
            if let Err(failure) = staged.discard().await {
                tracing::warn!(%place, %failure, "staged files were left behind");
            }
        }
    }
}

impl Sink for Destination {
    type Staged = Staged;

    async fn stage(&self, query: Query) -> Result<Staged, Failure> {
        stage(&query.plan, &query.context, &query.evaluator, self, &query.counter).await
    }

    async fn discard(staged: Staged) {
        staged.discard().await;
    }

    fn count(staged: &Staged, metrics: &mut FlowMetrics) {
        metrics.num_output_rows = Some(staged.target.rows);
        metrics.num_output_bytes = Some(staged.target.bytes);
    }
}

/// Rows that have gone through the writers, for the live display.
#[derive(Debug, Default)]
pub struct RowCounter(AtomicU64);

impl RowCounter {
    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Some more have gone through.
    pub fn add(&self, rows: u64) {
        self.0.fetch_add(rows, Ordering::Relaxed);
    }
}

/// Runs all partitions of `plan` and stages their rows. After an error nothing is left behind; after a panic vacuum removes what is.
pub async fn stage(
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    evaluator: &Arc<Evaluator>,
    destination: &Destination,
    counter: &Arc<RowCounter>,
) -> Result<Staged, Failure> {
    let plan = &clustered(Arc::clone(plan), &destination.target);
    let mut partitions = JoinSet::new();
    let (stop, stopped) = watch::channel(());
    for partition in 0..plan.output_partitioning().partition_count() {
        let rows = plan.execute(partition, Arc::clone(context)).map_err(engine_error)?;
        let writers = Writers::new(destination)?;
        partitions.spawn(stage_partition(rows, writers, Arc::clone(evaluator), Arc::clone(counter), stopped.clone()));
    }
    let mut staged = Staged::none(destination);
    let mut failed = None;
    while let Some(ended) = partitions.join_next().await {
        match ended {
            Ok(Ok(part)) => staged = staged.and(part),
            Ok(Err(failure)) => failed = failed.or(Some(failure)),
            Err(panicked) if panicked.is_panic() => {
                failed = failed.or_else(|| Some(Failure::internal("a query panicked").caused_by(panicked)));
            }
            Err(_) => {}
        }
        if failed.is_some() {
            // Not aborted from outside: each deletes what it has written.
            let _ = stop.send(());
        }
    }
    let Some(failure) = failed else { return Ok(staged) };
    staged.discard().await;
    Err(failure)
}

struct Writers {
    target: TableWriter,
    quarantine: Option<TableWriter>,
}

impl Writers {
    fn new(destination: &Destination) -> Result<Self, Failure> {
        let writer = |table: &Arc<TargetTable>| TableWriter::new(table, destination.writers.clone());
        Ok(Self { target: writer(&destination.target)?, quarantine: destination.quarantine.as_ref().map(writer).transpose()? })
    }

    async fn write(&mut self, evaluator: &Evaluator, batch: RecordBatch) -> Result<(), Failure> {
        let sorted = evaluator.sort_rows(batch).map_err(engine_error)?;
        self.target.write(&sorted.kept).await?;
        if let (Some(writer), Some(rows)) = (&mut self.quarantine, sorted.quarantined) {
            writer.write(&rows).await?;
        }
        Ok(())
    }

    async fn finish(self) -> Result<Staged, Failure> {
        let target = self.target.finish().await?;
        let quarantine = match self.quarantine {
            Some(writer) => Some(writer.finish().await?),
            None => None,
        };
        Ok(Staged { target, quarantine })
    }

    async fn abort(self) {
        let writers = std::iter::once(self.target).chain(self.quarantine);
        for writer in writers {
            if let Err(failure) = writer.abort().await {
                tracing::warn!(%failure, "staged files were left behind");
            }
        }
    }
}

async fn stage_partition(
    mut rows: SendableRecordBatchStream,
    mut writers: Writers,
    evaluator: Arc<Evaluator>,
    counter: Arc<RowCounter>,
    mut stopped: watch::Receiver<()>,
) -> Result<Staged, Failure> {
    loop {
        let batch = tokio::select! {
            batch = rows.next() => batch,
            _ = stopped.changed() => Some(Err(DataFusionError::Execution("another part of the query failed".to_string()))),
        };
        let Some(batch) = batch else { break };
        let written = match batch {
            Ok(batch) => {
                counter.add(batch.num_rows() as u64);
                writers.write(&evaluator, batch).await
            }
            Err(e) => Err(engine_error(e)),
        };
        if let Err(failure) = written {
            writers.abort().await;
            return Err(failure);
        }
    }
    writers.finish().await
}
