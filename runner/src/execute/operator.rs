//! Physical operators with one input: what the engine asks of each of ours, beside what it does with rows.

use std::{fmt, sync::Arc};

use datafusion::{
    common::tree_node::TreeNodeRecursion,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions},
};

/// What an operator does with the rows of its input.
pub trait RowOperator: Send + Sync + 'static {
    /// As plans show it.
    const NAME: &'static str;
    /// True if rows come out in the order in which they came in, partition by partition.
    const KEEPS_ORDER: bool = true;

    /// What plans show behind the name.
    fn details(&self) -> String {
        String::new()
    }

    /// Columns, partitions and order of the output; those of the input unless the operator says otherwise.
    fn properties(&self, input: &dyn ExecutionPlan) -> Arc<PlanProperties> {
        Arc::clone(input.properties())
    }

    /// The expressions that it evaluates on rows.
    fn expressions(&self) -> &[Arc<dyn PhysicalExpr>] {
        &[]
    }

    /// The rows of one partition.
    fn execute(&self, input: &Arc<dyn ExecutionPlan>, partition: usize, context: &Arc<TaskContext>) -> Result<SendableRecordBatchStream>;
}

/// An operator over its input, as a part of a plan.
pub struct OperatorExec<O> {
    input: Arc<dyn ExecutionPlan>,
    operator: Arc<O>,
    properties: Arc<PlanProperties>,
}

impl<O: RowOperator> OperatorExec<O> {
    /// `operator` over `input`.
    pub fn new(input: Arc<dyn ExecutionPlan>, operator: O) -> Self {
        Self::shared(input, Arc::new(operator))
    }

    fn shared(input: Arc<dyn ExecutionPlan>, operator: Arc<O>) -> Self {
        let properties = operator.properties(input.as_ref());
        Self { input, operator, properties }
    }

    /// What gives the rows.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// What is done with them.
    pub fn operator(&self) -> &O {
        &self.operator
    }
}

impl<O: RowOperator> fmt::Debug for OperatorExec<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}, {:?})", O::NAME, self.operator.details(), self.input)
    }
}

impl<O: RowOperator> DisplayAs for OperatorExec<O> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", O::NAME, self.operator.details())
    }
}

impl<O: RowOperator> ExecutionPlan for OperatorExec<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![O::KEEPS_ORDER]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        for expression in self.operator.expressions() {
            if f(expression)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children).map_err(|_| DataFusionError::Internal(format!("{} has one input", O::NAME)))?;
        Ok(Arc::new(Self::shared(input, Arc::clone(&self.operator))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.operator.execute(&self.input, partition, &context)
    }
}
