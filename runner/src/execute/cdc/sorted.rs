//! An input of a micro-batch in the order of its sort key: rows are given their sort key as they pass, then the engine sorts them, on disk
//! if memory is short.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, Schema, SchemaRef},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties, sorts::sort::SortExec,
        sorts::sort_preserving_merge::SortPreservingMergeExec,
    },
};

use crate::execute::operator::{OperatorExec, RowOperator};

/// The columns of `rows` behind those that an input is sorted by.
pub fn sorted_schema(rows: &Schema) -> SchemaRef {
    let internal = [
        Field::new("__floe_sort", DataType::Binary, false),
        Field::new("__floe_key_bytes", DataType::UInt32, false),
        Field::new("__floe_sequence_bytes", DataType::UInt32, false),
        Field::new("__floe_op", DataType::UInt8, false),
    ];
    Arc::new(Schema::new(internal.into_iter().map(Arc::new).chain(rows.fields().iter().cloned()).collect::<Vec<_>>()))
}

/// What happens to the rows of one partition before they are sorted.
pub type Prepare = Arc<dyn Fn(SendableRecordBatchStream) -> SendableRecordBatchStream + Send + Sync>;

/// The rows of `input`, prepared to have the columns of `schema` (see [`sorted_schema`]), in the order of their sort key.
pub fn sorted(
    input: Arc<dyn ExecutionPlan>,
    schema: &SchemaRef,
    prepare: Prepare,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let prepared: Arc<dyn ExecutionPlan> = Arc::new(OperatorExec::new(input, Preparing { schema: Arc::clone(schema), prepare }));
    let by_key = PhysicalSortExpr::new_default(Arc::new(Column::new(schema.field(0).name(), 0)));
    let order = LexOrdering::new([by_key]).ok_or_else(|| DataFusionError::Internal("an empty order".to_string()))?;
    let partitions = prepared.output_partitioning().partition_count();
    let sorted = SortExec::new(order.clone(), prepared).with_preserve_partitioning(true);
    if partitions == 1 {
        return sorted.execute(0, Arc::clone(context));
    }
    SortPreservingMergeExec::new(order, Arc::new(sorted)).execute(0, Arc::clone(context))
}

/// Passes each partition of its input through a function.
struct Preparing {
    schema: SchemaRef,
    prepare: Prepare,
}

impl RowOperator for Preparing {
    const NAME: &'static str = "PrepareExec";
    const KEEPS_ORDER: bool = false;

    fn properties(&self, input: &dyn ExecutionPlan) -> Arc<PlanProperties> {
        let of_input = input.properties();
        Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&self.schema)),
            Partitioning::UnknownPartitioning(of_input.output_partitioning().partition_count()),
            of_input.emission_type,
            of_input.boundedness,
        ))
    }

    fn execute(&self, input: &Arc<dyn ExecutionPlan>, partition: usize, context: &Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok((self.prepare)(input.execute(partition, Arc::clone(context))?))
    }
}
