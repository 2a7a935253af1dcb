//! The plan node of `WATERMARK`: its input's rows, whose event times are noted as they pass.

use std::{cmp::Ordering, collections::HashSet, fmt};

use datafusion_common::{DFSchemaRef, Result, plan_err};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use super::deduplicate::with_columns;

/// Notes the event time of every row of `input`, before any filter.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Watermark {
    /// A stream, and the event-time column behind its columns if that is computed.
    pub input: LogicalPlan,
    /// What the query calls the stream.
    pub source: String,
    /// The event-time column of `input`.
    pub column: Expr,
    /// How much later than the greatest event time a row may come.
    pub delay_us: i64,
}

impl Watermark {
    /// What a checkpoint calls it: source and column.
    pub fn name(&self) -> String {
        let column = self.column.column_refs().into_iter().next().map(|column| column.name.clone());
        format!("{}.{}", self.source, column.unwrap_or_default())
    }
}

impl fmt::Debug for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UserDefinedLogicalNodeCore::fmt_for_explain(self, f)
    }
}

impl PartialOrd for Watermark {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.source, &self.column, self.delay_us).partial_cmp(&(&other.source, &other.column, other.delay_us))
    }
}

impl UserDefinedLogicalNodeCore for Watermark {
    fn name(&self) -> &'static str {
        "Watermark"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.column.clone()]
    }

    /// Every column, so that no filter is pushed below: the event time of a row counts before it is thrown away.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watermark: {} of {}, delay {} µs", self.column, self.source, self.delay_us)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Ok([column]), Ok([input])) = (<[Expr; 1]>::try_from(exprs), <[LogicalPlan; 1]>::try_from(inputs)) else {
            return plan_err!("Watermark has one input and one column");
        };
        Ok(Self { input, column, source: self.source.clone(), delay_us: self.delay_us })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![with_columns(&self.input, output_columns, &[&self.column])])
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }
}
