//! Rows of some data files, written again into new files beside the table.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::StreamExt;

use crate::{
    commit::{StagedFiles, TableWriter, TargetTable, WriterMemory, WriterOptions, action::Add},
    engine_failure::engine_error,
    execute::view_expectation::{ExpectPlanner, ViewTallies},
    failure::Failure,
    session::{Session, SessionLimits},
    source::{DeltaSource, ReadCounters},
};

/// Reads and writes with the memory of one session.
pub struct Rewriter {
    session: Session,
    writers: WriterOptions,
}

/// Which rows of a batch stay.
pub type Keep<'a> = &'a (dyn Fn(&RecordBatch) -> Result<RecordBatch, Failure> + Sync);

impl Rewriter {
    /// A rewriter within `limits`.
    pub fn new(limits: &SessionLimits) -> Result<Self, Failure> {
        let shared = WriterMemory::new(limits.writer_bytes());
        Ok(Self { session: Session::new(limits)?, writers: WriterOptions { shared, ..WriterOptions::default() } })
    }

    /// Files with the rows of `files` that `keep` leaves. After a failure nothing is left behind.
    pub async fn rewritten(&self, table: &TargetTable, files: Vec<Add>, keep: Keep<'_>) -> Result<StagedFiles, Failure> {
        let source = DeltaSource::new(table.dataset(), table.location().clone()).managed();
        let rows = source.rows_of(files, table.schema(), &Arc::new(ReadCounters::default()))?;
        let state = self.session.state(Arc::new(ExpectPlanner::new(Arc::new(ViewTallies::default()))));
        let plan = rows.scan(&state, None, &[], None).await.map_err(engine_error)?;
        let mut writer = TableWriter::new(table, self.writers.clone())?;
        for partition in 0..plan.output_partitioning().partition_count() {
            let mut batches = plan.execute(partition, state.task_ctx()).map_err(engine_error)?;
            while let Some(batch) = batches.next().await {
                let written = async { writer.write(&keep(&batch.map_err(engine_error)?)?).await };
                if let Err(failure) = written.await {
                    writer.abort().await?;
                    return Err(failure);
                }
            }
        }
        writer.finish().await
    }
}
