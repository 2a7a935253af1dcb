//! What of a plan is not decided by its inputs: time and chance.

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::{Expr, LogicalPlan};

use crate::function::{self, Determinism, LambdaStub};

/// Facts about a plan that decide how a materialized view may be refreshed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Functions of the time of the batch (`current_date` …), each once.
    pub time_functions: Vec<String>,
    /// Functions of chance (`uuid` …), each once.
    pub random_functions: Vec<String>,
}

impl Facts {
    /// True if the same inputs always give the same rows.
    pub fn is_deterministic(&self) -> bool {
        self.time_functions.is_empty() && self.random_functions.is_empty()
    }
}

/// Looks through the whole plan, subqueries included.
pub fn facts(plan: &LogicalPlan) -> Facts {
    let mut facts = Facts::default();
    let visited = plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            facts.add(&expr);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    facts
}

/// The facts of one expression.
pub(super) fn facts_of(expr: &Expr) -> Facts {
    let mut facts = Facts::default();
    facts.add(expr);
    facts
}

impl Facts {
    fn add(&mut self, expr: &Expr) {
        use datafusion_common::tree_node::TreeNode;
        let visited = expr.apply(|node| {
            if let Expr::ScalarFunction(call) = node
                && let Some(stub) = call.func.inner().downcast_ref::<LambdaStub>()
            {
                stub.call.bodies.iter().for_each(|lambda| self.add(&lambda.body));
            } else if let Expr::ScalarFunction(call) = node
                && let Some(spec) = function::scalar(call.func.name())
            {
                // With arguments, unix_timestamp reads no clock.
                let reads_clock = spec.name != "unix_timestamp" || call.args.is_empty();
                let list = match spec.determinism {
                    Determinism::Time if reads_clock => &mut self.time_functions,
                    Determinism::Random => &mut self.random_functions,
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                if !list.iter().any(|known| known == spec.name) {
                    list.push(spec.name.to_string());
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        debug_assert!(visited.is_ok(), "the visitor never fails");
    }
}
