//! Window functions: those of DataFusion with Spark's result types.

use std::{
    hash::{Hash, Hasher},
    ops::Range,
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::ArrayRef,
        compute::cast,
        datatypes::{DataType, Field, FieldRef},
    },
    common::Result,
    functions_window as builtin,
    logical_expr::{
        LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
        function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs},
    },
    physical_expr::PhysicalExpr,
    scalar::ScalarValue,
};
use floe_graph::function::FunctionSpec;

use super::{error::FunctionError, scalar::plain_type};

/// A window function of the list.
#[derive(Clone, Debug)]
pub(crate) struct WindowImplementation {
    spec: &'static FunctionSpec,
    inner: Arc<WindowUDF>,
    signature: Signature,
}

impl WindowImplementation {
    /// The implementation of `spec`, if there is one.
    pub fn new(spec: &'static FunctionSpec) -> Option<Self> {
        Some(Self { spec, inner: inner(spec.name)?, signature: Signature::user_defined(Volatility::Immutable) })
    }

    fn returned(&self, fields: &[FieldRef]) -> Result<DataType> {
        let types: Vec<DataType> = fields.iter().map(|field| plain_type(field.data_type())).collect();
        self.spec.return_type(&types, &[]).map_err(|error| FunctionError::new(error.class, error.message).into())
    }
}

fn inner(name: &str) -> Option<Arc<WindowUDF>> {
    Some(match name {
        "row_number" => builtin::row_number::row_number_udwf(),
        "rank" => builtin::rank::rank_udwf(),
        "dense_rank" => builtin::rank::dense_rank_udwf(),
        "percent_rank" => builtin::rank::percent_rank_udwf(),
        "cume_dist" => builtin::cume_dist::cume_dist_udwf(),
        "ntile" => builtin::ntile::ntile_udwf(),
        "lag" => builtin::lead_lag::lag_udwf(),
        "lead" => builtin::lead_lag::lead_udwf(),
        _ => return None,
    })
}

impl PartialEq for WindowImplementation {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name
    }
}

impl Eq for WindowImplementation {}

impl Hash for WindowImplementation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.name.hash(state);
    }
}

impl WindowUDFImpl for WindowImplementation {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.iter().map(plain_type).collect())
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.inner.expressions(args)
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), self.returned(args.input_fields())?, true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let returns = self.returned(args.input_fields())?;
        Ok(Box::new(Converted { inner: self.inner.partition_evaluator_factory(args)?, returns }))
    }

    fn sort_options(&self) -> Option<datafusion::arrow::compute::SortOptions> {
        None
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.inner.inner().limit_effect(args)
    }
}

#[derive(Debug)]
struct Converted {
    inner: Box<dyn PartitionEvaluator>,
    returns: DataType,
}

impl Converted {
    fn convert(&self, array: ArrayRef) -> Result<ArrayRef> {
        Ok(if *array.data_type() == self.returns { array } else { cast(&array, &self.returns)? })
    }
}

impl PartitionEvaluator for Converted {
    fn memoize(&mut self, state: &mut datafusion::logical_expr::window_state::WindowAggState) -> Result<()> {
        self.inner.memoize(state)
    }

    fn get_range(&self, index: usize, rows: usize) -> Result<Range<usize>> {
        self.inner.get_range(index, rows)
    }

    fn is_causal(&self) -> bool {
        self.inner.is_causal()
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let array = self.inner.evaluate_all(values, rows)?;
        self.convert(array)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        self.inner.evaluate(values, range)?.cast_to(&self.returns)
    }

    fn evaluate_all_with_rank(&self, rows: usize, ranks: &[Range<usize>]) -> Result<ArrayRef> {
        self.convert(self.inner.evaluate_all_with_rank(rows, ranks)?)
    }

    fn supports_bounded_execution(&self) -> bool {
        self.inner.supports_bounded_execution()
    }

    fn uses_window_frame(&self) -> bool {
        self.inner.uses_window_frame()
    }

    fn include_rank(&self) -> bool {
        self.inner.include_rank()
    }
}

/// Every window function with an implementation, for the comparison with the list.
#[cfg(test)]
pub(crate) fn implemented(name: &str) -> bool {
    inner(name).is_some()
}
