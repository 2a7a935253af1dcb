//! What GROUP BY groups by: expressions, and with ROLLUP, CUBE and GROUPING SETS which of them together.

use datafusion_common::{Column as PlanColumn, ScalarValue, arrow::datatypes::DataType};
use datafusion_expr::{Expr, GroupingSet, LogicalPlan, Operator, lit};
use sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, GroupByExpr, GroupByWithModifier, Spanned},
    tokenizer::Span,
};

use super::{
    Planned, Planner, Relation, Scope, Typed,
    grouping::{Replaced, has_aggregate},
    operator::binary,
    select::Item,
    start_of,
};
use crate::analysis::references::list;

/// Most sets of one GROUP BY: each row is counted in all of them.
const MOST_SETS: usize = 1024;
/// The column in which the engine says which set a row of the result belongs to.
const GROUPING_ID: &str = "__grouping_id";
/// How the columns begin that stand for `grouping(…)` until the sets are known.
const PLACEHOLDER: &str = "__grouping#";

/// Indexes of the expressions that one row of the result is grouped by.
type Set = Vec<usize>;

/// What GROUP BY says.
#[derive(Default)]
pub struct Groups {
    /// In the order of the clause.
    pub exprs: Vec<Typed>,
    /// Which of them are grouped by together; `None`: all.
    pub sets: Option<Vec<Set>>,
}

/// True for the column that stands for `grouping(…)`.
pub fn is_grouping(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.relation.is_none() && column.name.starts_with(PLACEHOLDER))
}

impl Planner<'_> {
    pub fn groups(&mut self, group_by: &GroupByExpr, relation: &Relation, items: &[Item], outer: Option<&Scope<'_>>) -> Planned<Groups> {
        let (exprs, modifiers) = match group_by {
            GroupByExpr::Expressions(exprs, modifiers) => (exprs, modifiers),
            GroupByExpr::All(modifiers) if modifiers.is_empty() => {
                let exprs = items.iter().filter(|item| !has_aggregate(&item.value.expr)).map(|item| item.value.clone()).collect();
                return Ok(Groups { exprs, sets: None });
            }
            GroupByExpr::All(_) => return self.error("PARSE_SYNTAX_ERROR", "GROUP BY ALL takes no WITH", group_by.span()),
        };
        let named = items.iter().map(|item| (item.name.clone(), item.value.clone())).collect();
        let scope = Scope { named, ..Scope::new(&relation.columns, outer) };
        let mut groups = Groups::default();
        let mut sets: Vec<Set> = vec![Set::new()];
        let mut has_sets = !modifiers.is_empty();
        for expr in exprs {
            has_sets |= matches!(expr, ast::Expr::GroupingSets(_) | ast::Expr::Cube(_) | ast::Expr::Rollup(_));
            let choices = self.choices(expr, &mut groups, items, &scope)?;
            sets = self.bounded(product(&sets, &choices), start_of(expr))?;
        }
        for modifier in modifiers {
            let all: Vec<Set> = sets.concat().into_iter().map(|index| vec![index]).collect();
            sets = match modifier {
                GroupByWithModifier::Rollup => prefixes(&all),
                GroupByWithModifier::Cube => self.subsets(&all, group_by.span())?,
                GroupByWithModifier::GroupingSets(ast::Expr::GroupingSets(sets)) => self.sets(sets, &mut groups, items, &scope)?,
                other => return self.unsupported(&format!("GROUP BY … {other}"), group_by.span()),
            };
        }
        groups.sets = has_sets.then_some(sets);
        Ok(groups)
    }

    /// The sets that one item of GROUP BY offers.
    fn choices(&mut self, expr: &ast::Expr, groups: &mut Groups, items: &[Item], scope: &Scope<'_>) -> Planned<Vec<Set>> {
        match expr {
            ast::Expr::GroupingSets(sets) => self.sets(sets, groups, items, scope),
            ast::Expr::Rollup(parts) => Ok(prefixes(&self.sets(parts, groups, items, scope)?)),
            ast::Expr::Cube(parts) => {
                let parts = self.sets(parts, groups, items, scope)?;
                self.subsets(&parts, start_of(expr))
            }
            ast::Expr::Tuple(values) if values.is_empty() => Ok(vec![Set::new()]),
            _ => Ok(vec![vec![self.member(expr, groups, items, scope)?]]),
        }
    }

    fn sets(&mut self, sets: &[Vec<ast::Expr>], groups: &mut Groups, items: &[Item], scope: &Scope<'_>) -> Planned<Vec<Set>> {
        let mut found = Vec::with_capacity(sets.len());
        for set in sets {
            found.push(set.iter().map(|expr| self.member(expr, groups, items, scope)).collect::<Planned<Set>>()?);
        }
        Ok(found)
    }

    /// The index of an expression that rows are grouped by.
    fn member(&mut self, expr: &ast::Expr, groups: &mut Groups, items: &[Item], scope: &Scope<'_>) -> Planned<usize> {
        let group = match expr {
            ast::Expr::Value(_) => self.key(expr, items, scope)?,
            _ => self.expr(expr, scope)?,
        };
        if has_aggregate(&group.expr) {
            return self.error("GROUP_BY_AGGREGATE", format!("{expr} is an aggregate; rows cannot be grouped by it"), start_of(expr));
        }
        let known = groups.exprs.iter().position(|known| *known == group);
        Ok(known.unwrap_or_else(|| {
            groups.exprs.push(group);
            groups.exprs.len() - 1
        }))
    }

    fn subsets(&self, parts: &[Set], span: Span) -> Planned<Vec<Set>> {
        let mut subsets = vec![Set::new()];
        for part in parts {
            subsets = self.bounded(product(&subsets, &[part.clone(), Set::new()]), span)?;
        }
        Ok(subsets)
    }

    fn bounded(&self, sets: Vec<Set>, span: Span) -> Planned<Vec<Set>> {
        if sets.len() > MOST_SETS {
            return self.error("GROUPING_SIZE_LIMIT_EXCEEDED", format!("more than {MOST_SETS} grouping sets"), span);
        }
        Ok(sets)
    }

    /// `grouping(c)` and `grouping_id([c, …])`: a column that stands for it until the sets are known.
    pub fn grouping_call(&mut self, call: &ast::Function, name: &str, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        if !scope.aggregates {
            let message = format!("{name} cannot stand here (WHERE, ON, GROUP BY, inside an aggregate)");
            return self.error("UNSUPPORTED_GROUPING_EXPRESSION", message, span);
        }
        let inner = Scope { aggregates: false, windows: false, named: scope.named.clone(), ..*scope };
        let mut arguments = Vec::new();
        for arg in list(&call.args) {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
                return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", format!("{name} takes expressions of GROUP BY"), span);
            };
            arguments.push(self.expr(expr, &inner)?.expr);
        }
        let is_id = name == "grouping_id";
        if !is_id && arguments.len() != 1 {
            return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "grouping takes one expression of GROUP BY", span);
        }
        let data_type = if is_id { DataType::Int64 } else { DataType::Int8 };
        let known = self.local.groupings.iter().position(|known| *known == (arguments.clone(), data_type.clone()));
        let number = known.unwrap_or(self.local.groupings.len());
        if known.is_none() {
            self.local.groupings.push((arguments, data_type.clone()));
        }
        let column = PlanColumn::new_unqualified(format!("{PLACEHOLDER}{number}"));
        Ok(Typed::new(Expr::Column(column), data_type))
    }

    /// The plan with a column for each expression, the sets over these columns, and what the expressions are above the aggregation.
    pub fn grouping_sets(
        &mut self,
        plan: LogicalPlan,
        groups: &[Typed],
        sets: &[Set],
        span: Span,
    ) -> Planned<(LogicalPlan, Vec<Expr>, Replaced)> {
        let (plan, columns) = self.key_columns(plan, groups.to_vec(), span)?;
        let mut listed: Vec<usize> = Vec::new();
        let mut by_set: Vec<Vec<Expr>> = Vec::with_capacity(sets.len());
        for set in sets {
            let mut members: Vec<usize> = Vec::with_capacity(set.len());
            for index in set {
                if !members.contains(index) {
                    members.push(*index);
                }
            }
            listed.extend(members.iter().filter(|index| !listed.contains(index)).copied().collect::<Vec<_>>());
            by_set.push(members.into_iter().map(|index| columns[index].clone()).collect());
        }
        let mut replaced: Replaced = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let null = ScalarValue::try_new_null(&group.data_type).unwrap_or(ScalarValue::Null);
            let over = if listed.contains(&index) { columns[index].clone() } else { lit(null) };
            replaced.push((group.expr.clone(), over));
        }
        for (number, (arguments, data_type)) in self.local.groupings.iter().enumerate() {
            let named = if arguments.is_empty() { groups.iter().map(|group| group.expr.clone()).collect() } else { arguments.clone() };
            let mut id: Option<Expr> = None;
            for argument in named {
                let Some(index) = groups.iter().position(|group| group.expr == argument) else { continue };
                let bit = bit_of(&listed, index);
                id = Some(match id {
                    None => bit,
                    Some(before) => binary(binary(before, Operator::Multiply, lit(2_i64)), Operator::Plus, bit),
                });
            }
            let id = datafusion_expr::cast(id.unwrap_or_else(|| lit(0_i64)), data_type.clone());
            let known_all = arguments.iter().all(|argument| groups.iter().any(|group| group.expr == *argument));
            let placeholder = PlanColumn::new_unqualified(format!("{PLACEHOLDER}{number}"));
            if known_all {
                replaced.push((Expr::Column(placeholder), id));
            }
        }
        Ok((plan, vec![Expr::GroupingSet(GroupingSet::GroupingSets(by_set))], replaced))
    }
}

/// 1 if the rows of a set are not grouped by the expression: a bit of the engine's number, whose lowest one is the last listed expression.
fn bit_of(listed: &[usize], index: usize) -> Expr {
    let Some(position) = listed.iter().position(|known| *known == index) else { return lit(1_i64) };
    let id = datafusion_expr::cast(Expr::Column(PlanColumn::new_unqualified(GROUPING_ID)), DataType::Int64);
    let shifted = binary(id, Operator::BitwiseShiftRight, lit((listed.len() - 1 - position) as i64));
    binary(shifted, Operator::BitwiseAnd, lit(1_i64))
}

fn product(sets: &[Set], choices: &[Set]) -> Vec<Set> {
    sets.iter().flat_map(|set| choices.iter().map(|choice| [set.as_slice(), choice.as_slice()].concat())).collect()
}

/// All parts, all but the last, … none.
fn prefixes(parts: &[Set]) -> Vec<Set> {
    (0..=parts.len()).rev().map(|length| parts[..length].concat()).collect()
}
