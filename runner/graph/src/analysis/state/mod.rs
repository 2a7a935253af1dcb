//! What a streaming query remembers from one micro-batch to the next: event times of its sources, keys that it has given out.

mod deduplicate;
mod event_time;
#[cfg(test)]
mod tests;
mod watermark;

use datafusion_common::{Result, tree_node::TreeNodeRecursion};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use serde::{Deserialize, Serialize};

pub use deduplicate::{Deduplicate, Remember};
pub use event_time::{EventTime, event_times};
pub use watermark::Watermark;

use super::{cdc::with_source_order, ddl};
use crate::origin::Diagnostic;

/// One operator with state, as it is compared with what a checkpoint was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatefulOperator {
    /// What it does.
    pub kind: OperatorKind,
    /// In the order of the clause.
    pub keys: Vec<StateKey>,
}

/// What an operator with state does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OperatorKind {
    /// The first row of each key stays.
    Deduplicate,
    /// The same, and a key is forgotten when the delay of its first row has passed.
    DeduplicateWithinWatermark,
}

/// A key of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateKey {
    /// As it is written in the query.
    pub name: String,
    /// In the words of SQL.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// A declared watermark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredWatermark {
    /// Source and column.
    pub name: String,
    /// How much later than the greatest event time a row may come.
    pub delay_us: i64,
}

/// What a plan remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateOfPlan {
    /// Declared watermarks, each name and delay once.
    pub watermarks: Vec<DeclaredWatermark>,
    /// In the order of their numbers.
    pub operators: Vec<StatefulOperator>,
}

impl StateOfPlan {
    /// True if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.watermarks.is_empty() && self.operators.is_empty()
    }
}

/// What `plan` remembers.
pub fn state_of(plan: &LogicalPlan) -> StateOfPlan {
    let mut state = StateOfPlan::default();
    let mut operators: Vec<(usize, StatefulOperator)> = Vec::new();
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Extension(extension) = node {
            if let Some(watermark) = extension.node.as_any().downcast_ref::<Watermark>() {
                let declared = DeclaredWatermark { name: watermark.name(), delay_us: watermark.delay_us };
                if !state.watermarks.contains(&declared) {
                    state.watermarks.push(declared);
                }
            }
            if let Some(operator) = extension.node.as_any().downcast_ref::<Deduplicate>() {
                operators.push((operator.number, operator.described()));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    operators.sort_by_key(|(number, _)| *number);
    state.operators = operators.into_iter().map(|(_, operator)| operator).collect();
    state
}

/// The plan whose operators with state know the order of their source and have numbers; the columns stay.
pub fn with_state_order(plan: &LogicalPlan) -> Result<LogicalPlan> {
    if state_of(plan).operators.is_empty() {
        return Ok(plan.clone());
    }
    let (ordered, _) = with_source_order(plan)?;
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    LogicalPlanBuilder::from(ordered).project(columns)?.build()
}

/// `STATE_STORE_INCOMPATIBLE` if the state of `stored` is not that of `now`.
pub fn drift(now: &[StatefulOperator], stored: &[StatefulOperator]) -> Option<Diagnostic> {
    if now == stored {
        return None;
    }
    let text = |operators: &[StatefulOperator]| {
        let all: Vec<String> = operators.iter().map(StatefulOperator::text).collect();
        if all.is_empty() { "no keys".to_string() } else { all.join(", then ") }
    };
    let message = format!("the state of the flow was made for {}, and the query de-duplicates by {} now", text(stored), text(now));
    Some(Diagnostic::error("STATE_STORE_INCOMPATIBLE", message))
}

impl StatefulOperator {
    fn text(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(|key| format!("{} {}", key.name, key.data_type)).collect();
        let within = if self.kind == OperatorKind::DeduplicateWithinWatermark { " within the watermark" } else { "" };
        format!("({}){within}", keys.join(", "))
    }
}

/// The type of a column in the words of SQL.
fn type_of(plan: &LogicalPlan, expr: &Expr) -> String {
    use datafusion_expr::ExprSchemable;
    expr.get_type(plan.schema()).map_or_else(|_| "?".to_string(), |data_type| ddl::type_text(&data_type))
}
