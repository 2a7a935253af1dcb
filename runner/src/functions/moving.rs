//! Aggregates over frames that move: functions that cannot take a row back keep the rows of the frame and aggregate them anew.

use std::{collections::VecDeque, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef},
        compute::concat,
        datatypes::{FieldRef, Schema},
    },
    common::{Result, ScalarValue},
    logical_expr::{Accumulator, AggregateUDF, function::AccumulatorArgs},
    physical_expr::{PhysicalExpr, PhysicalSortExpr},
};

use super::aggregate::unexpected;

/// Parts of a frame that are kept apart; more are joined, so that a long frame is not read row by row.
const MAX_PARTS: usize = 64;

/// The rows of one frame, first in first out.
#[derive(Debug)]
pub(super) struct MovingFrame {
    function: Function,
    parts: VecDeque<Vec<ArrayRef>>,
}

impl MovingFrame {
    pub fn new(udf: &Arc<AggregateUDF>, args: &AccumulatorArgs<'_>) -> Self {
        Self { function: Function::of(udf, args), parts: VecDeque::new() }
    }

    fn join(&mut self) -> Result<()> {
        let columns = self.parts.front().map_or(0, Vec::len);
        let column = |at: usize| {
            let arrays: Option<Vec<&dyn Array>> = self.parts.iter().map(|part| part.get(at).map(AsRef::as_ref)).collect();
            Ok(concat(&arrays.ok_or_else(|| unexpected("a moving frame"))?)?)
        };
        let joined = (0..columns).map(column).collect::<Result<Vec<_>>>()?;
        self.parts = VecDeque::from([joined]);
        Ok(())
    }
}

impl Accumulator for MovingFrame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.parts.push_back(values.to_vec());
        if self.parts.len() > MAX_PARTS { self.join() } else { Ok(()) }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut leaving = values.first().map_or(0, Array::len);
        while leaving > 0 {
            let Some(first) = self.parts.front_mut() else { return Err(unexpected("a moving frame")) };
            let rows = first.first().map_or(0, Array::len);
            if rows > leaving {
                for array in first {
                    *array = array.slice(leaving, rows - leaving);
                }
                return Ok(());
            }
            leaving -= rows;
            self.parts.pop_front();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut accumulator = self.function.accumulator()?;
        for part in &self.parts {
            accumulator.update_batch(part)?;
        }
        accumulator.evaluate()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.parts.iter().flatten().map(Array::get_array_memory_size).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(unexpected("a moving frame"))
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        Err(unexpected("a moving frame"))
    }
}

/// What an accumulator is made of.
#[derive(Debug)]
struct Function {
    udf: Arc<AggregateUDF>,
    return_field: FieldRef,
    schema: Schema,
    ignore_nulls: bool,
    order_bys: Vec<PhysicalSortExpr>,
    is_reversed: bool,
    name: String,
    is_distinct: bool,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    expr_fields: Vec<FieldRef>,
}

impl Function {
    fn of(udf: &Arc<AggregateUDF>, args: &AccumulatorArgs<'_>) -> Self {
        Self {
            udf: Arc::clone(udf),
            return_field: Arc::clone(&args.return_field),
            schema: args.schema.clone(),
            ignore_nulls: args.ignore_nulls,
            order_bys: args.order_bys.to_vec(),
            is_reversed: args.is_reversed,
            name: args.name.to_string(),
            is_distinct: args.is_distinct,
            exprs: args.exprs.to_vec(),
            expr_fields: args.expr_fields.to_vec(),
        }
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        self.udf.accumulator(AccumulatorArgs {
            return_field: Arc::clone(&self.return_field),
            schema: &self.schema,
            ignore_nulls: self.ignore_nulls,
            order_bys: &self.order_bys,
            is_reversed: self.is_reversed,
            name: &self.name,
            is_distinct: self.is_distinct,
            exprs: &self.exprs,
            expr_fields: &self.expr_fields,
        })
    }
}
