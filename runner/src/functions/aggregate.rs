//! Aggregate functions: those of DataFusion behind Spark's names, types and overflow rules, and a few of our own.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray},
        compute::{CastOptions, cast, cast_with_options, nullif},
        datatypes::{DataType, Field, FieldRef},
    },
    common::{Result, ScalarValue, internal_datafusion_err},
    functions_aggregate as builtin,
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, StatisticsArgs, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::AggregateOrderSensitivity,
    },
};
use floe_graph::{analysis::ddl::type_text, function::FunctionSpec};

use super::{error::FunctionError, moving::MovingFrame, own_aggregate::OwnAggregate, scalar::plain_type};

/// How the arguments reach the inner function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    AsIs,
    /// Sums need room that the result does not have, so that overflow is seen.
    Wide,
    /// Numbers that are no decimals become DOUBLE.
    Double,
    /// Only true counts.
    TrueOnly,
    /// Types that the estimate does not know become text.
    Hashable,
}

/// An aggregate function of the list.
#[derive(Clone, Debug)]
pub(crate) struct AggregateImplementation {
    spec: &'static FunctionSpec,
    inner: Arc<AggregateUDF>,
    input: Input,
    signature: Signature,
}

impl AggregateImplementation {
    /// The implementation of `spec`, if there is one.
    pub fn new(spec: &'static FunctionSpec) -> Option<Self> {
        let (inner, input) = inner(spec.name)?;
        Some(Self { spec, inner, input, signature: Signature::user_defined(Volatility::Immutable) })
    }

    fn returned(&self, types: &[DataType]) -> Result<DataType> {
        let types: Vec<DataType> = types.iter().map(plain_type).collect();
        self.spec.return_type(&types, &[]).map_err(|error| FunctionError::new(error.class, error.message).into())
    }

    fn inner_fields(&self, fields: &[FieldRef]) -> Vec<FieldRef> {
        let convert = |field: &FieldRef| {
            let data_type = inner_type(self.input, &plain_type(field.data_type()));
            Arc::new(Field::new(field.name(), data_type, true))
        };
        fields.iter().map(convert).collect()
    }

    fn inner_return(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(fields)
    }

    fn conversion(&self, outer: &[FieldRef], inner: &[FieldRef], returns: DataType) -> Conversion {
        let same = self.input != Input::TrueOnly && outer.iter().zip(inner).all(|(o, i)| o.data_type() == i.data_type());
        Conversion {
            name: self.spec.name,
            inputs: if same { None } else { Some(inner.iter().map(|field| field.data_type().clone()).collect()) },
            true_only: self.input == Input::TrueOnly,
            returns,
            try_only: matches!(self.spec.name, "try_sum" | "try_avg"),
        }
    }

    fn with_inner<T>(&self, args: &AccumulatorArgs<'_>, build: impl FnOnce(AccumulatorArgs<'_>) -> Result<T>) -> Result<(T, Conversion)> {
        let fields = self.inner_fields(args.expr_fields);
        let return_field = self.inner_return(&fields)?;
        let conversion = self.conversion(args.expr_fields, &fields, args.return_field.data_type().clone());
        let made = build(AccumulatorArgs { return_field, expr_fields: &fields, ..copy_args(args) })?;
        Ok((made, conversion))
    }
}

fn copy_args<'a>(args: &AccumulatorArgs<'a>) -> AccumulatorArgs<'a> {
    AccumulatorArgs {
        return_field: Arc::clone(&args.return_field),
        schema: args.schema,
        ignore_nulls: args.ignore_nulls,
        order_bys: args.order_bys,
        is_reversed: args.is_reversed,
        name: args.name,
        is_distinct: args.is_distinct,
        exprs: args.exprs,
        expr_fields: args.expr_fields,
    }
}

/// The function that does the work, and what it is fed.
fn inner(name: &str) -> Option<(Arc<AggregateUDF>, Input)> {
    Some(match name {
        "count" => (builtin::count::count_udaf(), Input::AsIs),
        "count_if" => (builtin::count::count_udaf(), Input::TrueOnly),
        "sum" | "try_sum" => (builtin::sum::sum_udaf(), Input::Wide),
        "avg" | "try_avg" => (builtin::average::avg_udaf(), Input::Double),
        "min" => (builtin::min_max::min_udaf(), Input::AsIs),
        "max" => (builtin::min_max::max_udaf(), Input::AsIs),
        "first" => (builtin::first_last::first_value_udaf(), Input::AsIs),
        "last" => (builtin::first_last::last_value_udaf(), Input::AsIs),
        "stddev" => (builtin::stddev::stddev_udaf(), Input::AsIs),
        "stddev_pop" => (builtin::stddev::stddev_pop_udaf(), Input::AsIs),
        "variance" => (builtin::variance::var_samp_udaf(), Input::AsIs),
        "var_pop" => (builtin::variance::var_pop_udaf(), Input::AsIs),
        "approx_count_distinct" => (builtin::approx_distinct::approx_distinct_udaf(), Input::Hashable),
        "median" => (builtin::median::median_udaf(), Input::AsIs),
        "collect_list" => (datafusion_spark::function::aggregate::collect_list(), Input::AsIs),
        "collect_set" => (datafusion_spark::function::aggregate::collect_set(), Input::AsIs),
        "bool_and" => (builtin::bool_and_or::bool_and_udaf(), Input::AsIs),
        "bool_or" => (builtin::bool_and_or::bool_or_udaf(), Input::AsIs),
        "bit_and" => (builtin::bit_and_or_xor::bit_and_udaf(), Input::AsIs),
        "bit_or" => (builtin::bit_and_or_xor::bit_or_udaf(), Input::AsIs),
        "bit_xor" => (builtin::bit_and_or_xor::bit_xor_udaf(), Input::AsIs),
        "corr" => (builtin::correlation::corr_udaf(), Input::AsIs),
        "covar_pop" => (builtin::covariance::covar_pop_udaf(), Input::AsIs),
        "covar_samp" => (builtin::covariance::covar_samp_udaf(), Input::AsIs),
        "regr_avgx" => (builtin::regr::regr_avgx_udaf(), Input::AsIs),
        "regr_avgy" => (builtin::regr::regr_avgy_udaf(), Input::AsIs),
        "regr_count" => (builtin::regr::regr_count_udaf(), Input::AsIs),
        "regr_intercept" => (builtin::regr::regr_intercept_udaf(), Input::AsIs),
        "regr_r2" => (builtin::regr::regr_r2_udaf(), Input::AsIs),
        "regr_slope" => (builtin::regr::regr_slope_udaf(), Input::AsIs),
        "regr_sxx" => (builtin::regr::regr_sxx_udaf(), Input::AsIs),
        "regr_sxy" => (builtin::regr::regr_sxy_udaf(), Input::AsIs),
        "regr_syy" => (builtin::regr::regr_syy_udaf(), Input::AsIs),
        "nth_value" => (builtin::nth_value::nth_value_udaf(), Input::AsIs),
        own => (Arc::new(AggregateUDF::new_from_impl(OwnAggregate::new(own)?)), Input::AsIs),
    })
}

fn inner_type(input: Input, given: &DataType) -> DataType {
    match (input, given) {
        (Input::Wide, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64) => DataType::Decimal128(38, 0),
        (Input::Wide, DataType::Decimal128(precision, scale)) if *precision <= 28 => DataType::Decimal128(38, *scale),
        (Input::Wide, DataType::Decimal128(_, scale)) => DataType::Decimal256(76, *scale),
        // The engine cuts the average off; with one digit more it can be rounded half up on the way out.
        (Input::Double, DataType::Decimal128(precision, scale)) if *precision <= 28 && *scale >= 0 => {
            DataType::Decimal128(*precision + 1, *scale + 1)
        }
        // Room for the sum of 10^20 rows, and for the decimals that the engine adds.
        (Input::Double, DataType::Decimal128(precision, scale)) => DataType::Decimal256(*precision + 21, *scale + 1),
        (Input::Wide | Input::Double, _) => DataType::Float64,
        (Input::Hashable, DataType::Float32 | DataType::Float64) => DataType::Utf8,
        _ => given.clone(),
    }
}

impl PartialEq for AggregateImplementation {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name
    }
}

impl Eq for AggregateImplementation {}

impl Hash for AggregateImplementation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.name.hash(state);
    }
}

impl AggregateUDFImpl for AggregateImplementation {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.iter().map(plain_type).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.returned(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let fields = self.inner_fields(args.input_fields);
        let return_field = self.inner_return(&fields)?;
        self.inner.state_fields(StateFieldsArgs {
            name: args.name,
            input_fields: &fields,
            return_field,
            ordering_fields: args.ordering_fields,
            is_distinct: args.is_distinct,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (inner, conversion) = self.with_inner(&args, |args| self.inner.accumulator(args))?;
        Ok(Box::new(Converted { inner, conversion }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (inner, conversion) = self.with_inner(&args, |args| {
            let inner = self.inner.create_sliding_accumulator(copy_args(&args))?;
            if inner.supports_retract_batch() { Ok(inner) } else { Ok(Box::new(MovingFrame::new(&self.inner, &args)) as _) }
        })?;
        Ok(Box::new(Converted { inner, conversion }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.with_inner(&args, |args| Ok(self.inner.groups_accumulator_supported(args))).is_ok_and(|(supported, _)| supported)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let (inner, conversion) = self.with_inner(&args, |args| self.inner.create_groups_accumulator(args))?;
        Ok(Box::new(ConvertedGroups { inner, conversion }))
    }

    fn with_beneficial_ordering(self: Arc<Self>, ordering: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = self.inner.as_ref().clone().with_beneficial_ordering(ordering)?;
        Ok(inner.map(|inner| Arc::new(Self { inner: Arc::new(inner), ..self.as_ref().clone() }) as Arc<dyn AggregateUDFImpl>))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_udf() {
            ReversedUDAF::Identical => ReversedUDAF::Identical,
            _ => ReversedUDAF::NotSupported,
        }
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        match self.spec.name {
            "count" | "min" | "max" => self.inner.value_from_stats(statistics),
            _ => None,
        }
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.spec.name {
            "count" | "count_if" | "approx_count_distinct" | "regr_count" => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn supports_null_handling_clause(&self) -> bool {
        matches!(self.spec.name, "first" | "last" | "nth_value")
    }
}

/// The way into an inner function and out of it.
#[derive(Clone, Debug)]
struct Conversion {
    name: &'static str,
    inputs: Option<Vec<DataType>>,
    true_only: bool,
    returns: DataType,
    try_only: bool,
}

impl Conversion {
    fn inputs(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let Some(types) = &self.inputs else { return Ok(values.to_vec()) };
        let convert = |(value, data_type): (&ArrayRef, &DataType)| -> Result<ArrayRef> {
            let value = if value.data_type() == data_type { Arc::clone(value) } else { cast(value, data_type)? };
            if !self.true_only {
                return Ok(value);
            }
            let not_true = datafusion::arrow::compute::not(value.as_boolean())?;
            Ok(nullif(&value, &not_true)?)
        };
        values.iter().zip(types).map(convert).collect()
    }

    fn output(&self, value: ArrayRef) -> Result<ArrayRef> {
        if *value.data_type() == self.returns {
            return Ok(value);
        }
        let result = cast_with_options(&value, &self.returns, &CastOptions { safe: true, ..CastOptions::default() })?;
        if !self.try_only && result.null_count() > value.null_count() {
            return Err(FunctionError::new(
                "ARITHMETIC_OVERFLOW",
                format!("the result of {} does not fit {}", self.name, type_text(&self.returns)),
            )
            .into());
        }
        Ok(result)
    }

    fn output_scalar(&self, value: &ScalarValue) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.output(value.to_array()?)?, 0)
    }
}

#[derive(Debug)]
struct Converted {
    inner: Box<dyn Accumulator>,
    conversion: Conversion,
}

impl Accumulator for Converted {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&self.conversion.inputs(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.inner.evaluate()?;
        self.conversion.output_scalar(&value)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&self.conversion.inputs(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

struct ConvertedGroups {
    inner: Box<dyn GroupsAccumulator>,
    conversion: Conversion,
}

impl GroupsAccumulator for ConvertedGroups {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.inner.update_batch(&self.conversion.inputs(values)?, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let value = self.inner.evaluate(emit_to)?;
        self.conversion.output(value)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(values, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&self.conversion.inputs(values)?, filter)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.inner.size()
    }
}

/// Every aggregate with an implementation, for the comparison with the list.
#[cfg(test)]
pub(crate) fn implemented(name: &str) -> bool {
    inner(name).is_some()
}

/// An error for arrays that are not what planning promised.
pub(super) fn unexpected(what: &str) -> datafusion::common::DataFusionError {
    internal_datafusion_err!("unexpected input of {what}")
}
