//! Subqueries of FROM that see the relations before them.

use std::sync::Arc;

use datafusion_common::{JoinType, Spans, tree_node::TreeNodeRecursion};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, utils::split_conjunction};
use sqlparser::{
    ast::{self, JoinConstraint},
    tokenizer::Span,
};

use super::{Column, Planned, Planner, Relation, Scope, relation::always_true, select::Item};

/// `JOIN LATERAL (subquery) alias`.
pub struct Lateral<'a> {
    pub subquery: &'a ast::Query,
    pub alias: Option<&'a ast::TableAlias>,
    pub join: (JoinType, &'a JoinConstraint),
    pub span: Span,
}

impl Planner<'_> {
    /// `left` with the columns of the subquery, which is computed for each row of it.
    pub fn lateral(&mut self, left: Relation, lateral: &Lateral<'_>, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let span = lateral.span;
        if let Some(items) = values_only(lateral) {
            let generates = |item: &ast::SelectItem| match item {
                ast::SelectItem::UnnamedExpr(expr)
                | ast::SelectItem::ExprWithAlias { expr, .. }
                | ast::SelectItem::ExprWithAliases { expr, .. } => self.generator_call(expr).is_ok_and(|found| found.is_some()),
                _ => false,
            };
            if lateral.join.0 == JoinType::Left && items.iter().any(generates) {
                return self.unsupported("LEFT JOIN LATERAL of a SELECT with a generator; write LATERAL VIEW OUTER", span);
            }
            return self.lateral_values(left, items, lateral.alias, outer);
        }
        let scope = Scope::new(&left.columns, outer);
        let mut right = self.query(lateral.subquery, Some(&scope))?;
        let outer_ref_columns = right.plan.all_out_ref_exprs();
        if !outer_ref_columns.is_empty() {
            if !matches!(lateral.join.0, JoinType::Inner | JoinType::Left) || !can_be_joined(&right.plan) {
                let what = "LATERAL with a subquery that uses its row elsewhere than in WHERE (below GROUP BY: in equalities), or with ORDER BY, LIMIT, DISTINCT or a join above";
                let help = "join the tables, and number or group the rows: QUALIFY row_number() OVER (PARTITION BY … ORDER BY …) <= n";
                return self.unsupported_but(what, help, span);
            }
            let subquery = Subquery { subquery: Arc::new(right.plan), outer_ref_columns, spans: Spans::default() };
            right.plan = LogicalPlan::Subquery(subquery);
        }
        let right = match lateral.alias {
            Some(alias) => self.aliased(right, alias)?,
            None => self.named(right, &[], "__lateral", span)?,
        };
        self.join(left, right, lateral.join, span, outer)
    }

    /// Expressions over the row: a projection.
    fn lateral_values(
        &mut self,
        left: Relation,
        items: &[ast::SelectItem],
        alias: Option<&ast::TableAlias>,
        outer: Option<&Scope<'_>>,
    ) -> Planned<Relation> {
        let known = left.columns.len();
        let (relation, values) = self.row_items(items, left, outer)?;
        let number = self.next_number();
        let mut columns = relation.columns;
        columns.truncate(known);
        let mut exprs: Vec<Expr> = columns.iter().map(Column::expr).collect();
        let qualifier: Vec<String> = alias.map(|alias| alias.name.value.clone()).into_iter().collect();
        let names = alias.map_or(&[][..], |alias| alias.columns.as_slice());
        let span = alias.map_or(Span::empty(), |alias| alias.name.span);
        if !names.is_empty() && names.len() != values.len() {
            let message = format!("the alias names {} columns, but the subquery has {}", names.len(), values.len());
            return self.error("ASSIGNMENT_ARITY_MISMATCH", message, span);
        }
        for (index, Item { name, value, .. }) in values.into_iter().enumerate() {
            let plan_name = format!("__lateral#{number}#{index}");
            exprs.push(value.expr.alias(&plan_name));
            let name = names.get(index).map_or(name, |named| named.name.value.clone());
            columns.push(Column { qualifier: qualifier.clone(), ..Column::output(&name, &plan_name, value.data_type) });
        }
        let plan = self.built(LogicalPlanBuilder::from(relation.plan).project(exprs).and_then(LogicalPlanBuilder::build), span)?;
        Ok(Relation { plan, columns })
    }
}

/// The items of a subquery that has nothing but them, joined without a condition.
fn values_only<'a>(lateral: &Lateral<'a>) -> Option<&'a [ast::SelectItem]> {
    let query = lateral.subquery;
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return None };
    let is_bare = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let has_only_items = select.from.is_empty()
        && select.lateral_views.is_empty()
        && select.selection.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.distinct.is_none()
        && matches!(&select.group_by, ast::GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
    let is_value = |item: &ast::SelectItem| !matches!(item, ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..));
    let has_only_items = has_only_items && select.projection.iter().all(is_value);
    let joins_all = matches!(lateral.join.0, JoinType::Inner | JoinType::Left) && always_true(lateral.join.1);
    (is_bare && has_only_items && joins_all).then_some(select.projection.as_slice())
}

/// True if the engine can turn the subquery into a join: what it takes of the row around is in filters at its bottom.
fn can_be_joined(plan: &LogicalPlan) -> bool {
    let mut grouped = false;
    let mut node = plan;
    loop {
        match node {
            LogicalPlan::Filter(filter) if has_outer(&filter.predicate) => {
                let equal = |expr: &&Expr| matches!(expr, Expr::BinaryExpr(binary) if binary.op == Operator::Eq) || !has_outer(expr);
                let fits = !grouped || split_conjunction(&filter.predicate).iter().all(equal);
                return fits && !uses_outer(&filter.input);
            }
            LogicalPlan::Aggregate(aggregate) if !grouped && !own_outer(node) => {
                grouped = true;
                node = &aggregate.input;
            }
            LogicalPlan::Projection(projection) if !own_outer(node) => node = &projection.input,
            LogicalPlan::SubqueryAlias(alias) => node = &alias.input,
            LogicalPlan::Filter(filter) if !grouped => node = &filter.input,
            _ => return false,
        }
    }
}

fn has_outer(expr: &Expr) -> bool {
    expr.contains_outer()
}

/// True if the node itself names the row around.
fn own_outer(node: &LogicalPlan) -> bool {
    node.expressions().iter().any(has_outer)
}

fn uses_outer(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let visited = plan.apply_with_subqueries(|node| {
        found |= own_outer(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    found
}
