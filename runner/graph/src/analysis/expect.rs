//! The plan node of a temporary view's expectations: its input's rows, checked where the view is inlined.

use std::{cmp::Ordering, collections::HashSet, fmt, sync::Arc};

use datafusion_common::{DFSchemaRef, Result, plan_err};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::graph::ResolvedExpectation;

/// Checks every row of `input` and drops or fails as the actions say. Needs all columns, and lets no filter pass.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Expect {
    /// The plan of the view's query.
    pub input: LogicalPlan,
    /// Full name of the view.
    pub dataset: String,
    /// At least one; predicates use unqualified columns of `input`.
    pub expectations: Vec<ResolvedExpectation>,
}

/// The plan of a view with its expectations around it; the plan itself if there are none.
pub fn with_expectations(plan: LogicalPlan, dataset: &str, expectations: Vec<ResolvedExpectation>) -> LogicalPlan {
    if expectations.is_empty() {
        return plan;
    }
    LogicalPlan::Extension(Extension { node: Arc::new(Expect { input: plan, dataset: dataset.to_string(), expectations }) })
}

impl fmt::Debug for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UserDefinedLogicalNodeCore::fmt_for_explain(self, f)
    }
}

impl PartialOrd for Expect {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.dataset, &self.expectations).partial_cmp(&(&other.dataset, &other.expectations))
    }
}

impl UserDefinedLogicalNodeCore for Expect {
    fn name(&self) -> &'static str {
        "Expect"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.expectations.iter().map(|expectation| expectation.predicate.clone()).collect()
    }

    /// Every column, so that no filter is pushed below: a row must be counted before it is thrown away.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.expectations.iter().map(|e| format!("{} {:?}", e.name, e.action)).collect();
        write!(f, "Expect: {} [{}]", self.dataset, names.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return plan_err!("Expect has one input");
        };
        if exprs.len() != self.expectations.len() {
            return plan_err!("Expect has {} predicates, but {} are given", self.expectations.len(), exprs.len());
        }
        let expectations =
            self.expectations.iter().zip(exprs).map(|(e, predicate)| ResolvedExpectation { predicate, ..e.clone() }).collect();
        Ok(Self { input, dataset: self.dataset.clone(), expectations })
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }
}
