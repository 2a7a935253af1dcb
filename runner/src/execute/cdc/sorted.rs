//! An input of a micro-batch in the order of its sort key: rows are given their sort key as they pass, then the engine sorts them, on disk
//! if memory is short.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::datatypes::{DataType, Field, Schema, SchemaRef},
    common::tree_node::TreeNodeRecursion,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr, expressions::Column},
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        ReplaceChildrenOptions, sorts::sort::SortExec, sorts::sort_preserving_merge::SortPreservingMergeExec,
    },
};

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
    let prepared: Arc<dyn ExecutionPlan> = Arc::new(PrepareExec::new(input, Arc::clone(schema), prepare));
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
struct PrepareExec {
    input: Arc<dyn ExecutionPlan>,
    prepare: Prepare,
    properties: Arc<PlanProperties>,
}

impl PrepareExec {
    fn new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef, prepare: Prepare) -> Self {
        let of_input = input.properties();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            datafusion::physical_plan::Partitioning::UnknownPartitioning(of_input.output_partitioning().partition_count()),
            of_input.emission_type,
            of_input.boundedness,
        );
        Self { input, prepare, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for PrepareExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrepareExec({:?})", self.input)
    }
}

impl DisplayAs for PrepareExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrepareExec")
    }
}

impl ExecutionPlan for PrepareExec {
    fn name(&self) -> &'static str {
        "PrepareExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children).map_err(|_| DataFusionError::Internal("PrepareExec has one input".to_string()))?;
        Ok(Arc::new(Self::new(input, self.schema(), Arc::clone(&self.prepare))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok((self.prepare)(self.input.execute(partition, context)?))
    }
}
