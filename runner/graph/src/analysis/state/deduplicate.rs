//! The plan node of keyed de-duplication of a stream: of all rows with one key, in all micro-batches, the first stays.

use std::{cmp::Ordering, collections::HashSet, fmt};

use datafusion_common::{DFSchemaRef, Result, plan_err};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use super::{OperatorKind, StateKey, StatefulOperator, type_of};

/// How long a key is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub enum Remember {
    /// Nothing says when it may be forgotten.
    ForEver,
    /// The event time is a part of the key: until the watermark has passed it.
    UntilEventTime,
    /// Until the watermark has passed the event time of the first row and this delay.
    For {
        /// The delay of the watermark.
        delay_us: i64,
    },
}

/// Gives out the first row of each key that is not remembered; rows that are older than the watermark are dropped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Deduplicate {
    /// A stream.
    pub input: LogicalPlan,
    /// Counts the operators of a flow, from 0. Set with the order.
    pub number: usize,
    /// Columns of `input`.
    pub keys: Vec<Expr>,
    /// What the query calls them.
    pub names: Vec<String>,
    /// Columns of `input` that say which row is the first, the most important one first. Set when the flow is complete.
    pub order: Vec<Expr>,
    /// The event-time column of `input`, if a watermark is declared.
    pub event_time: Option<Expr>,
    /// How long keys are remembered.
    pub remember: Remember,
}

impl Deduplicate {
    /// As a checkpoint knows it.
    pub fn described(&self) -> StatefulOperator {
        let kind = match self.remember {
            Remember::For { .. } => OperatorKind::DeduplicateWithinWatermark,
            Remember::ForEver | Remember::UntilEventTime => OperatorKind::Deduplicate,
        };
        let key = |(expr, name): (&Expr, &String)| StateKey { name: name.clone(), data_type: type_of(&self.input, expr) };
        StatefulOperator { kind, keys: self.keys.iter().zip(&self.names).map(key).collect() }
    }

    fn columns(&self) -> Vec<&Expr> {
        self.keys.iter().chain(&self.order).chain(&self.event_time).collect()
    }
}

impl fmt::Debug for Deduplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UserDefinedLogicalNodeCore::fmt_for_explain(self, f)
    }
}

impl PartialOrd for Deduplicate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.number, &self.keys, &self.order, &self.remember).partial_cmp(&(other.number, &other.keys, &other.order, &other.remember))
    }
}

impl UserDefinedLogicalNodeCore for Deduplicate {
    fn name(&self) -> &'static str {
        "Deduplicate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.columns().into_iter().cloned().collect()
    }

    /// Every column: a filter decides about rows that were given out, not about which one is the first.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "Deduplicate: [{}], {:?}", text(&self.keys), self.remember)?;
        if let Some(event_time) = &self.event_time {
            write!(f, ", late by {event_time}")?;
        }
        write!(f, ", first by [{}]", text(&self.order))
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return plan_err!("Deduplicate has one input");
        };
        if exprs.len() != self.columns().len() {
            return plan_err!("Deduplicate has {} columns, but {} are given", self.columns().len(), exprs.len());
        }
        let event_time = if self.event_time.is_some() { exprs.pop() } else { None };
        let order = exprs.split_off(self.keys.len());
        Ok(Self { input, keys: exprs, order, event_time, names: self.names.clone(), ..*self })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![with_columns(&self.input, output_columns, &self.columns())])
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }
}

/// The positions of `output` and those of the columns that `exprs` name.
pub(super) fn with_columns(input: &LogicalPlan, output: &[usize], exprs: &[&Expr]) -> Vec<usize> {
    let named = exprs.iter().flat_map(|expr| expr.column_refs()).filter_map(|column| input.schema().maybe_index_of_column(column));
    let mut all: Vec<usize> = output.iter().copied().chain(named).collect();
    all.sort_unstable();
    all.dedup();
    all
}
