//! PIVOT and UNPIVOT.

use datafusion_common::arrow::datatypes::DataType;
use datafusion_expr::{Expr, LogicalPlanBuilder};
use sqlparser::{
    ast::{self, Expr as Sql, ExprWithAlias, FunctionArguments, PivotValueSource, Spanned, TableFactor, Visit, Visitor},
    tokenizer::Span,
};

use super::{
    Planned, Planner, Relation, Scope, Typed,
    generate::Source,
    grouping_sets::Groups,
    literal::text,
    name::spark_name,
    scope::Resolved,
    select::{Item, plain_item},
    start_of,
};

impl Planner<'_> {
    /// `t PIVOT (aggregates FOR columns IN (values))`: rows grouped by all other columns, one column per value and aggregate.
    pub fn pivot(&mut self, factor: &TableFactor, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let TableFactor::Pivot { table, aggregate_functions, value_column, value_source, default_on_null, alias } = factor else {
            return self.unsupported("PIVOT", factor.span());
        };
        let relation = self.factor(table, outer)?;
        let span = value_column.first().map_or_else(|| factor.span(), start_of);
        let PivotValueSource::List(values) = value_source else {
            return self.unsupported("PIVOT over values that are not listed", span);
        };
        if default_on_null.is_some() {
            return self.unsupported("PIVOT … DEFAULT ON NULL", span);
        }
        self.refuse_aggregation(&relation.plan, span);
        let used = self.used_columns(aggregate_functions, value_column, &relation, outer, span)?;
        let groups = relation.columns.iter().enumerate().filter(|(index, column)| !column.hidden && !used.contains(index));
        let mut items: Vec<Item> = groups.map(|(_, column)| plain_item(column)).collect();
        let groups = Groups { exprs: items.iter().map(|item| item.value.clone()).collect(), sets: None };
        let scope = Scope { aggregates: true, ..Scope::new(&relation.columns, outer) };
        for value in values {
            let condition = self.is_value(value_column, value)?;
            for aggregate in aggregate_functions {
                let name = pivot_name(value, aggregate, aggregate_functions.len());
                let filtered = present_only(aggregate, &condition);
                let value = self.expr(&filtered, &scope)?;
                items.push(Item { name, value, path: Vec::new() });
            }
        }
        let mut exprs: Vec<&mut Typed> = items.iter_mut().map(|item| &mut item.value).collect();
        let plan = self.group(relation.plan, &groups, &mut exprs, span)?;
        let relation = self.project(plan, items, span)?;
        self.pivoted(relation, alias.as_ref(), "__pivot", span)
    }

    /// The indexes of the columns that a PIVOT names.
    fn used_columns(
        &self,
        aggregates: &[ExprWithAlias],
        value_column: &[Sql],
        relation: &Relation,
        outer: Option<&Scope<'_>>,
        span: Span,
    ) -> Planned<Vec<usize>> {
        let mut names = Names::default();
        // The visitor never breaks.
        let _ = aggregates.iter().try_for_each(|aggregate| aggregate.expr.visit(&mut names));
        let _ = value_column.iter().try_for_each(|column| column.visit(&mut names));
        let scope = Scope::new(&relation.columns, outer);
        let mut used = Vec::new();
        for name in names.found {
            match scope.resolve(&name) {
                Resolved::Column { column, outer: false, .. } => {
                    used.extend(relation.columns.iter().position(|known| known.column == column.column));
                }
                Resolved::Missing => return self.unresolved(&name, &scope, span),
                _ => {}
            }
        }
        Ok(used)
    }

    /// The condition that a row has one of the values of a PIVOT.
    fn is_value(&self, columns: &[Sql], value: &ExprWithAlias) -> Planned<Sql> {
        let is = |column: &Sql, value: &Sql| Sql::IsNotDistinctFrom(Box::new(column.clone()), Box::new(value.clone()));
        let values = match &value.expr {
            Sql::Tuple(values) if columns.len() > 1 => values.as_slice(),
            single => std::slice::from_ref(single),
        };
        if values.len() != columns.len() {
            let message = format!("PIVOT is FOR {} columns, but {} has {} values", columns.len(), value.expr, values.len());
            return self.error("PIVOT_VALUE_DATA_TYPE_MISMATCH", message, start_of(&value.expr));
        }
        let conditions = columns.iter().zip(values).map(|(column, value)| is(column, value));
        let and = |left, right| Sql::BinaryOp { left: Box::new(left), op: ast::BinaryOperator::And, right: Box::new(right) };
        Ok(conditions.reduce(and).unwrap_or(Sql::Value(ast::Value::Boolean(true).into())))
    }

    /// `t UNPIVOT [INCLUDE NULLS] (value FOR name IN (columns))`: one row per listed column.
    pub fn unpivot(&mut self, factor: &TableFactor, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let TableFactor::Unpivot { table, value, name, columns, null_inclusion, alias } = factor else {
            return self.unsupported("UNPIVOT", factor.span());
        };
        let relation = self.factor(table, outer)?;
        let span = name.span;
        let value_names = self.value_names(value)?;
        let mut rows: Vec<(String, Vec<Typed>)> = Vec::new();
        let mut used: Vec<usize> = Vec::new();
        for listed in columns {
            let parts = match &listed.expr {
                Sql::Tuple(values) => values.as_slice(),
                single => std::slice::from_ref(single),
            };
            if parts.len() != value_names.len() {
                let message = format!("UNPIVOT gives {} values, but {} has {} columns", value_names.len(), listed.expr, parts.len());
                return self.error("UNPIVOT_VALUE_SIZE_MISMATCH", message, start_of(&listed.expr));
            }
            let scope = Scope::new(&relation.columns, outer);
            let values: Vec<Typed> = parts.iter().map(|part| self.expr(part, &scope)).collect::<Planned<_>>()?;
            for value in &values {
                match relation.columns.iter().position(|known| known.expr() == value.expr) {
                    Some(index) => used.push(index),
                    None => {
                        return self.error("UNPIVOT_REQUIRES_ATTRIBUTES", "UNPIVOT lists columns, not expressions", start_of(&listed.expr));
                    }
                }
            }
            let names: Vec<String> = parts.iter().map(spark_name).collect();
            rows.push((listed.alias.as_ref().map_or_else(|| names.join("_"), |alias| alias.value.clone()), values));
        }
        let names: Vec<String> = std::iter::once(name.value.clone()).chain(value_names).collect();
        let array = self.unpivoted_rows(rows, &names, span)?;
        let known = relation.columns.len();
        let mut relation = self.generate_from(relation, Source { name: "inline", argument: array, keeps_empty: false, span }, &names)?;
        if !matches!(null_inclusion, Some(ast::NullInclusion::IncludeNulls)) {
            let present = relation.columns[known + 1..].iter().map(|column| column.expr().is_not_null()).reduce(Expr::or);
            if let Some(present) = present {
                let plan = LogicalPlanBuilder::from(relation.plan).filter(present).and_then(LogicalPlanBuilder::build);
                relation.plan = self.built(plan, span)?;
            }
        }
        let kept = relation.columns.iter().enumerate().filter(|(index, column)| !column.hidden && !used.contains(index));
        let items: Vec<Item> = kept.map(|(_, column)| plain_item(column)).collect();
        let relation = self.project(relation.plan, items, span)?;
        self.pivoted(relation, alias.as_ref(), "__unpivot", span)
    }

    /// The names of the columns of values: `v` or `(v, w)`.
    fn value_names(&self, value: &Sql) -> Planned<Vec<String>> {
        let parts = match value {
            Sql::Tuple(values) => values.as_slice(),
            Sql::Nested(inner) => std::slice::from_ref(inner.as_ref()),
            single => std::slice::from_ref(single),
        };
        let name = |part: &Sql| match part {
            Sql::Identifier(ident) => Ok(ident.value.clone()),
            other => self.error("PARSE_SYNTAX_ERROR", format!("expected the name of a column, found {other}"), start_of(other)),
        };
        parts.iter().map(name).collect()
    }

    /// One struct per listed column, the values of each place in their common type.
    fn unpivoted_rows(&self, rows: Vec<(String, Vec<Typed>)>, names: &[String], span: Span) -> Planned<Typed> {
        let mut types = Vec::new();
        for place in 0..names.len().saturating_sub(1) {
            let column = rows.iter().map(|(_, values)| values[place].data_type.clone()).collect::<Vec<DataType>>();
            types.push(self.common(column, "UNPIVOT", span)?);
        }
        let mut structs = Vec::with_capacity(rows.len());
        for (label, values) in rows {
            let values = values.into_iter().zip(&types).map(|(value, wanted)| self.cast(value, wanted));
            let fields = std::iter::once(text(label)).chain(values);
            let arguments = names.iter().zip(fields).flat_map(|(name, value)| [text(name.clone()), value]).collect();
            structs.push(self.stub("named_struct", arguments, span)?);
        }
        self.stub("array", structs, span)
    }

    fn pivoted(&mut self, relation: Relation, alias: Option<&ast::TableAlias>, name: &str, span: Span) -> Planned<Relation> {
        match alias {
            Some(alias) => self.aliased(relation, alias),
            None => self.named(relation, &[], name, span),
        }
    }
}

/// The names that expressions use.
#[derive(Default)]
struct Names {
    found: Vec<Vec<String>>,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Sql) -> std::ops::ControlFlow<()> {
        match expr {
            Sql::Identifier(ident) => self.found.push(vec![ident.value.clone()]),
            Sql::CompoundIdentifier(parts) => self.found.push(parts.iter().map(|part| part.value.clone()).collect()),
            _ => {}
        }
        std::ops::ControlFlow::Continue(())
    }
}

/// The column of a value: its alias or text, with several aggregates followed by theirs.
fn pivot_name(value: &ExprWithAlias, aggregate: &ExprWithAlias, aggregates: usize) -> String {
    let of_value = match (&value.alias, &value.expr) {
        (Some(alias), _) => alias.value.clone(),
        (None, Sql::Tuple(values)) => format!("{{{}}}", values.iter().map(spark_name).collect::<Vec<_>>().join(", ")),
        (None, single) => spark_name(single),
    };
    if aggregates == 1 {
        return of_value;
    }
    let of_aggregate = aggregate.alias.as_ref().map_or_else(|| spark_name(&aggregate.expr), |alias| alias.value.clone());
    format!("{of_value}_{of_aggregate}")
}

/// The aggregate over the rows of a value; NULL where there are none, also for a count.
fn present_only(aggregate: &ExprWithAlias, condition: &Sql) -> Sql {
    let Sql::Function(call) = &aggregate.expr else { return aggregate.expr.clone() };
    let filter = match &call.filter {
        Some(own) => Sql::BinaryOp { left: own.clone(), op: ast::BinaryOperator::And, right: Box::new(condition.clone()) },
        None => condition.clone(),
    };
    let filtered = ast::Function { filter: Some(Box::new(filter)), ..call.clone() };
    let star = ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard);
    let args = ast::FunctionArgumentList { duplicate_treatment: None, args: vec![star], clauses: Vec::new() };
    let count = ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::new("count")]),
        args: FunctionArguments::List(args),
        filter: Some(Box::new(condition.clone())),
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
        ..call.clone()
    };
    let zero = Sql::Value(ast::Value::Number("0".to_string(), false).into());
    let is_present = Sql::BinaryOp { left: Box::new(Sql::Function(count)), op: ast::BinaryOperator::Gt, right: Box::new(zero) };
    Sql::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![ast::CaseWhen { condition: is_present, result: Sql::Function(filtered) }],
        else_result: None,
    }
}
