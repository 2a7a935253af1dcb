//! Rows of some data files, written again into new files beside the table.

use std::sync::Arc;

use datafusion::{
    arrow::array::RecordBatch,
    error::Result as EngineResult,
    execution::SessionState,
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::col},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
    },
};
use futures::StreamExt;

use super::zorder;
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
    writers: WriterMemory,
}

/// Which rows of a batch stay.
pub type Keep<'a> = &'a (dyn Fn(&RecordBatch) -> Result<RecordBatch, Failure> + Sync);

impl Rewriter {
    /// A rewriter within `limits`.
    pub fn new(limits: &SessionLimits) -> Result<Self, Failure> {
        Ok(Self { session: Session::new(limits)?, writers: WriterMemory::new(limits.writer_bytes()) })
    }

    /// Files with the rows of `files` that `keep` leaves, sorted if those of the table are. After a failure nothing is left behind.
    pub async fn rewritten(&self, table: &TargetTable, files: Vec<Add>, keep: Keep<'_>) -> Result<StagedFiles, Failure> {
        let state = self.state();
        let rows = self.rows(table, files, None, &state).await?;
        let plan = sorted(rows, &table.key_columns()).map_err(engine_error)?;
        self.written(table, &plan, &state, WriterOptions::of(table, self.writers.clone()), keep).await
    }

    /// Files with the rows of `files` along a Z-curve through `columns`. After a failure nothing is left behind.
    pub async fn z_ordered(&self, table: &TargetTable, files: Vec<Add>, columns: &[String]) -> Result<StagedFiles, Failure> {
        let state = self.state();
        let at = columns.iter().filter_map(|name| table.schema().index_of(name).ok()).collect();
        let sampled = self.rows(table, files.clone(), Some(at), &state).await?;
        let ranges = zorder::Ranges::of(&sampled, &state).await?;
        let rows = self.rows(table, files, None, &state).await?;
        let plan = ranges.numbered(&rows).and_then(|rows| sorted(rows, &[zorder::NUMBER.to_owned()])).map_err(engine_error)?;
        let options = WriterOptions { order_mark: Some(zorder::mark(columns)), ..WriterOptions::of(table, self.writers.clone()) };
        self.written(table, &plan, &state, options, &zorder::without_number).await
    }

    fn state(&self) -> SessionState {
        self.session.state(Arc::new(ExpectPlanner::new(Arc::new(ViewTallies::default()))))
    }

    async fn rows(
        &self,
        table: &TargetTable,
        files: Vec<Add>,
        columns: Option<Vec<usize>>,
        state: &SessionState,
    ) -> Result<Arc<dyn ExecutionPlan>, Failure> {
        let source = DeltaSource::new(table.dataset(), table.location().clone()).managed();
        let rows = source.rows_of(files, table.schema(), &Arc::new(ReadCounters::default()))?;
        rows.scan(state, columns.as_ref(), &[], None).await.map_err(engine_error)
    }

    async fn written(
        &self,
        table: &TargetTable,
        plan: &Arc<dyn ExecutionPlan>,
        state: &SessionState,
        options: WriterOptions,
        keep: Keep<'_>,
    ) -> Result<StagedFiles, Failure> {
        let mut writer = TableWriter::new(table, options)?;
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

/// The rows in the order of `keys`, in one partition; as they come without keys.
fn sorted(rows: Arc<dyn ExecutionPlan>, keys: &[String]) -> EngineResult<Arc<dyn ExecutionPlan>> {
    let schema = rows.schema();
    let key = |name: &String| Ok(PhysicalSortExpr::new_default(col(name, &schema)?));
    let Some(order) = LexOrdering::new(keys.iter().map(key).collect::<EngineResult<Vec<_>>>()?) else { return Ok(rows) };
    let runs = SortExec::new(order.clone(), rows).with_preserve_partitioning(true);
    Ok(Arc::new(SortPreservingMergeExec::new(order, Arc::new(runs))))
}
