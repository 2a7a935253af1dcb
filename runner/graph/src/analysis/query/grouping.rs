//! GROUP BY and aggregates: the aggregation, and expressions rewritten over its output.

use datafusion_common::{
    Column as PlanColumn,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::tokenizer::Span;

use super::{
    Planned, Planner, Typed,
    grouping_sets::{Groups, is_grouping},
};

/// Expressions over the input of an aggregation, and what they are over its output.
pub(super) type Replaced = Vec<(Expr, Expr)>;

impl Planner<'_> {
    /// Aggregates `plan` by `groups` and rewrites `exprs` to read the result.
    pub fn group(&mut self, plan: LogicalPlan, groups: &Groups, exprs: &mut [&mut Typed], span: Span) -> Planned<LogicalPlan> {
        let (plan, group_exprs, mut replaced) = if let Some(sets) = &groups.sets {
            self.grouping_sets(plan, &groups.exprs, sets, span)?
        } else {
            let (group_exprs, replaced) = self.plain_groups(&groups.exprs);
            (plan, group_exprs, replaced)
        };
        let mut aggregates = Vec::new();
        for expr in exprs.iter() {
            for aggregate in found(&expr.expr, |expr| matches!(expr, Expr::AggregateFunction(_))) {
                if !replaced.iter().any(|(known, _)| *known == aggregate) {
                    let column = PlanColumn::new_unqualified(format!("__aggregate#{}", self.next_number()));
                    aggregates.push(aggregate.clone().alias(&column.name));
                    replaced.push((aggregate, Expr::Column(column)));
                }
            }
        }
        for expr in exprs.iter_mut() {
            expr.expr = self.over_groups(expr.expr.clone(), &replaced, span)?;
        }
        let plan = LogicalPlanBuilder::from(plan).aggregate(group_exprs, aggregates).and_then(LogicalPlanBuilder::build);
        self.built(plan, span)
    }

    /// Each expression once, under a name of its own unless it is a column.
    fn plain_groups(&mut self, groups: &[Typed]) -> (Vec<Expr>, Replaced) {
        let mut replaced: Replaced = Vec::new();
        let mut group_exprs = Vec::new();
        for group in groups {
            if replaced.iter().any(|(known, _)| *known == group.expr) {
                continue;
            }
            let column = match &group.expr {
                Expr::Column(column) => column.clone(),
                _ => PlanColumn::new_unqualified(format!("__group#{}", self.next_number())),
            };
            let is_column = matches!(group.expr, Expr::Column(_));
            group_exprs.push(if is_column { group.expr.clone() } else { group.expr.clone().alias(&column.name) });
            replaced.push((group.expr.clone(), Expr::Column(column)));
        }
        (group_exprs, replaced)
    }

    /// The expression over the aggregation's output; a column that is not grouped is an error.
    fn over_groups(&self, expr: Expr, replaced: &Replaced, span: Span) -> Planned<Expr> {
        let mut ungrouped: Option<PlanColumn> = None;
        let rewritten = expr.transform_down(|node| {
            if let Some((_, over)) = replaced.iter().find(|(known, _)| *known == node) {
                return Ok(Transformed::new(over.clone(), true, TreeNodeRecursion::Jump));
            }
            if let Expr::Column(column) = &node {
                ungrouped.get_or_insert_with(|| column.clone());
            }
            Ok(Transformed::no(node))
        });
        if ungrouped.as_ref().is_some_and(|column| is_grouping(&Expr::Column(PlanColumn::new_unqualified(&column.name)))) {
            let message = "grouping() and grouping_id() need GROUP BY with ROLLUP, CUBE or GROUPING SETS";
            return self.error("UNSUPPORTED_GROUPING_EXPRESSION", message, span);
        }
        if let Some(column) = ungrouped {
            let column = self.local.written.iter().find(|(known, _)| *known == column).map_or(column.name, |(_, name)| name.clone());
            let message =
                format!("column {column} is neither in GROUP BY nor inside an aggregate; add it to GROUP BY or use any_value({column})");
            return self.error("MISSING_AGGREGATION", message, span);
        }
        Ok(self.built(rewritten, span)?.data)
    }

    /// Computes the window functions of `exprs` and rewrites them to read the result.
    pub fn windows(&mut self, plan: LogicalPlan, exprs: &mut [&mut Typed], span: Span) -> Planned<LogicalPlan> {
        let mut windows: Vec<Expr> = Vec::new();
        for expr in exprs.iter() {
            for window in found(&expr.expr, |expr| matches!(expr, Expr::WindowFunction(_))) {
                if !windows.contains(&window) {
                    windows.push(window);
                }
            }
        }
        if windows.is_empty() {
            return Ok(plan);
        }
        self.refuse_on_stream(&plan, "a window function", span);
        let replaced: Vec<(Expr, PlanColumn)> =
            windows.iter().map(|window| (window.clone(), PlanColumn::new_unqualified(window.schema_name().to_string()))).collect();
        for expr in exprs.iter_mut() {
            let rewritten = expr.expr.clone().transform_down(|node| {
                let found = replaced.iter().find(|(known, _)| *known == node);
                Ok(match found {
                    Some((_, column)) => Transformed::new(Expr::Column(column.clone()), true, TreeNodeRecursion::Jump),
                    None => Transformed::no(node),
                })
            });
            expr.expr = self.built(rewritten, span)?.data;
        }
        self.built(LogicalPlanBuilder::window_plan(plan, windows), span)
    }
}

/// True if an aggregate, or what only an aggregation knows, stands in the expression (outside of subqueries).
pub fn has_aggregate(expr: &Expr) -> bool {
    !found(expr, |expr| matches!(expr, Expr::AggregateFunction(_)) || is_grouping(expr)).is_empty()
}

/// The outermost parts of an expression that fit.
fn found(expr: &Expr, fits: impl Fn(&Expr) -> bool) -> Vec<Expr> {
    let mut result = Vec::new();
    let visited = expr.apply(|node| {
        if fits(node) {
            result.push(node.clone());
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    result
}
