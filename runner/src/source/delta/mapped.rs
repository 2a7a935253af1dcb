//! Tables with column mapping: read through the library's own scan, its columns brought to the declared types.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{RecordBatch, RecordBatchOptions, new_null_array},
        compute::CastOptions,
        datatypes::SchemaRef,
    },
    catalog::{Session, TableProvider},
    common::{format::DEFAULT_FORMAT_OPTIONS, nested_struct::cast_column},
    datasource::provider_as_source,
    error::{DataFusionError, Result as EngineResult},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, LogicalPlanBuilder, TableType},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use deltalake::DeltaTable;
use futures::StreamExt;

use super::DeltaSource;
use crate::{
    failure::Failure,
    source::{ReadCounters, counters::ScanCounters},
    storage::delta_failure,
};

/// One version of a table behind the library's scan.
pub(super) struct MappedTable {
    table: DeltaTable,
    provider: Arc<dyn TableProvider>,
    schema: SchemaRef,
    counters: Arc<ReadCounters>,
}

impl fmt::Debug for MappedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MappedTable({:?})", self.provider)
    }
}

impl MappedTable {
    pub(super) async fn open(source: &DeltaSource, version: i64, schema: SchemaRef, counters: Arc<ReadCounters>) -> Result<Self, Failure> {
        let failure = |error| delta_failure("open", &source.location, error);
        let table = Box::pin(source.location.delta()?.with_version(version as u64).load()).await.map_err(failure)?;
        let provider = table.table_provider().await.map_err(|error| {
            Failure::user("DELTA_ERROR", format!("cannot read {} at {}: {error}", source.name, source.location)).caused_by(error)
        })?;
        Ok(Self { table, provider, schema, counters })
    }
}

#[async_trait]
impl TableProvider for MappedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let projection = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let output = Arc::new(self.schema.project(&projection)?);
        self.table.update_datafusion_session(state).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let found = self.provider.schema();
        let wanted = |name: &String| output.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
        let columns = found.fields().iter().enumerate().filter(|(_, field)| wanted(field.name())).map(|(index, _)| index).collect();
        let plan = LogicalPlanBuilder::scan("t", provider_as_source(Arc::clone(&self.provider)), Some(columns))?.build()?;
        // Planned as a whole: what the library's scan demands of its partitions must be met below this node.
        let inner = state.create_physical_plan(&plan).await?;
        let counters = self.counters.start();
        let partition = |index| {
            let partition = Partition { inner: Arc::clone(&inner), index, output: Arc::clone(&output), counters: Arc::clone(&counters) };
            Arc::new(partition) as Arc<dyn PartitionStream>
        };
        let partitions = (0..inner.output_partitioning().partition_count()).map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(output, partitions, None, [], false, limit)?))
    }
}

/// One partition of the library's scan.
#[derive(Debug)]
struct Partition {
    inner: Arc<dyn ExecutionPlan>,
    index: usize,
    output: SchemaRef,
    counters: Arc<ScanCounters>,
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.output
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let output = Arc::clone(&self.output);
        let counters = Arc::clone(&self.counters);
        let batches = match self.inner.execute(self.index, context) {
            Ok(batches) => batches,
            Err(error) => {
                let failed = futures::stream::once(async move { Err(error) });
                return Box::pin(RecordBatchStreamAdapter::new(output, failed));
            }
        };
        let target = Arc::clone(&self.output);
        let adapted = batches.map(move |batch| {
            let batch = batch?;
            counters.add_rows(batch.num_rows() as u64, 0);
            adapted(&batch, &target)
        });
        Box::pin(RecordBatchStreamAdapter::new(output, adapted))
    }
}

/// The columns of `target`, by name; NULL where the table lacks one.
fn adapted(batch: &RecordBatch, target: &SchemaRef) -> EngineResult<RecordBatch> {
    let found = batch.schema();
    let options = CastOptions { safe: true, format_options: DEFAULT_FORMAT_OPTIONS };
    let columns = target
        .fields()
        .iter()
        .map(|field| match found.fields().iter().position(|column| column.name().eq_ignore_ascii_case(field.name())) {
            Some(index) if batch.column(index).data_type() == field.data_type() => Ok(Arc::clone(batch.column(index))),
            Some(index) => cast_column(batch.column(index), field.data_type(), &options),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<EngineResult<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(target), columns, &options)?)
}
