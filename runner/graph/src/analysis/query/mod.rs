//! From the syntax tree to the plan: the planner's state, CTEs, set operations, ORDER BY and LIMIT.

mod call;
mod date_pattern;
mod deduplicate;
mod expr;
mod generate;
mod grouping;
mod grouping_sets;
mod lambda;
mod lateral;
mod literal;
mod name;
mod named_window;
mod operator;
mod pivot;
mod relation;
mod scope;
mod select;
mod sliding;
mod syntax;
mod window_frame;
mod within;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use datafusion_common::{
    DataFusionError,
    arrow::datatypes::{DataType, Field, Schema},
};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::{
    ast::{self, Spanned},
    tokenizer::{Location, Span},
};

pub(crate) use literal::parse_interval;
pub(super) use scope::{Column, Scope};
use sliding::TimeWindow;

use super::{AnalysedQuery, Parameters, Relations, SqlSettings, ddl, streaming};
use crate::{
    definition::Query,
    function::coercion,
    name::Namespace,
    origin::{Diagnostic, Origin},
};

/// Result of planning a part of a query. The error is boxed because it is large and rare.
pub(super) type Planned<T> = Result<T, Box<Diagnostic>>;

/// An expression and its type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Typed {
    pub expr: Expr,
    pub data_type: DataType,
}

impl Typed {
    pub fn new(expr: Expr, data_type: DataType) -> Self {
        Self { expr, data_type }
    }
}

/// A plan and the columns that names may mean over it. Columns of the plan without an entry cannot be named.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub plan: LogicalPlan,
    pub columns: Vec<Column>,
}

/// What holds within one SELECT, but not in subqueries of it.
#[derive(Default)]
struct Local {
    /// Windows that the WINDOW clause names, in lower case.
    named_windows: HashMap<String, ast::WindowSpec>,
    /// Arguments and type of each `grouping(…)`.
    groupings: Vec<(Vec<Expr>, DataType)>,
    /// Columns of the plan whose names differ from those that SQL gives them.
    written: Vec<(datafusion_common::Column, String)>,
    /// Sliding windows of GROUP BY, with the column that holds each.
    sliding: Vec<(TimeWindow, Typed)>,
}

/// Plans one query; lives as long as that takes.
pub(super) struct Planner<'a> {
    pub file: Arc<str>,
    pub namespace: &'a Namespace,
    pub relations: &'a dyn Relations,
    pub settings: &'a SqlSettings,
    pub parameters: &'a Parameters,
    /// The query names `_metadata`, so file relations offer it.
    pub uses_metadata: bool,
    pub ctes: HashMap<String, Relation>,
    pub lints: Vec<Diagnostic>,
    /// What a streaming query may not do.
    pub violations: Vec<Diagnostic>,
    /// Errors of select items that did not stop the planning of the others.
    pub errors: Vec<Diagnostic>,
    /// What the present SELECT has named and computed.
    local: Local,
    /// Names of relations in the plans, in lower case; each is given once.
    aliases: HashSet<String>,
    counter: usize,
    /// How deep the expression is nested that is planned.
    depth: usize,
}

/// Whether output columns may have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputNames {
    /// They are columns of a table or view.
    Differ,
    /// They are shown to somebody.
    MayRepeat,
}

/// Where the item of the outermost SELECT stands that has no alias and gets `name`.
pub(crate) fn place_of_item(query: &Query, name: &str) -> Option<Origin> {
    let ast::SetExpr::Select(select) = query.ast.body.as_ref() else { return None };
    let place = select.projection.iter().find_map(|item| match item {
        ast::SelectItem::UnnamedExpr(expr) if name::spark_name(expr) == name => Some(start_of(expr).start),
        _ => None,
    })?;
    (place.line > 0).then(|| Origin::new(Arc::clone(&query.file), place.line as u32, place.column as u32))
}

/// Plans the whole query and closes it with a projection to the output names.
pub(super) fn analyse(
    query: &Query,
    relations: &dyn Relations,
    settings: &SqlSettings,
    parameters: &Parameters,
    output_names: OutputNames,
) -> Result<AnalysedQuery, Vec<Diagnostic>> {
    let named = super::identifier::named(query, parameters).map_err(|error| vec![*error])?;
    let ast = named.as_ref().unwrap_or(&query.ast);
    let mut planner = Planner::new(Arc::clone(&query.file), &query.namespace, relations, settings, parameters);
    planner.uses_metadata = super::references::names_metadata(ast);
    let output = planner.query(ast, None).and_then(|relation| planner.output(relation, start_of_query(&ast.body), output_names));
    match output {
        Ok(output) if planner.errors.is_empty() => Ok(AnalysedQuery { lints: planner.lints, violations: planner.violations, ..output }),
        Ok(_) => Err(planner.errors),
        Err(error) => {
            let mut errors = planner.errors;
            if !errors.contains(&error) {
                errors.push(*error);
            }
            Err(errors)
        }
    }
}

/// Where a query starts. Its own span would be computed from every expression in it.
fn start_of_query(body: &ast::SetExpr) -> Span {
    match body {
        ast::SetExpr::Select(select) => select.select_token.0.span,
        ast::SetExpr::Query(query) => start_of_query(&query.body),
        ast::SetExpr::SetOperation { left, .. } => start_of_query(left),
        _ => Span::empty(),
    }
}

/// Where an expression starts. A chain of operators is nested to the left as deep as it is long, so this is a loop.
fn start_of(mut expr: &ast::Expr) -> Span {
    while let ast::Expr::BinaryOp { left, .. } = expr {
        expr = left;
    }
    expr.span()
}

impl<'a> Planner<'a> {
    pub fn new(
        file: Arc<str>,
        namespace: &'a Namespace,
        relations: &'a dyn Relations,
        settings: &'a SqlSettings,
        parameters: &'a Parameters,
    ) -> Self {
        Self {
            file,
            namespace,
            relations,
            settings,
            parameters,
            uses_metadata: false,
            ctes: HashMap::new(),
            lints: Vec::new(),
            violations: Vec::new(),
            errors: Vec::new(),
            local: Local::default(),
            aliases: HashSet::new(),
            counter: 0,
            depth: 0,
        }
    }

    /// A number that no other name in this query's plans has.
    pub fn next_number(&mut self) -> usize {
        self.counter += 1;
        self.counter
    }

    /// The place where `span` starts; the start of the file if the parser gave none.
    pub fn origin(&self, span: Span) -> Origin {
        self.origin_at(span.start)
    }

    pub fn origin_at(&self, location: Location) -> Origin {
        Origin::new(Arc::clone(&self.file), location.line.max(1) as u32, location.column.max(1) as u32)
    }

    pub fn error<T>(&self, class: &str, message: impl Into<String>, span: Span) -> Planned<T> {
        Err(Box::new(Diagnostic::error(class, message).at(&self.origin(span))))
    }

    pub fn unsupported<T>(&self, feature: &str, span: Span) -> Planned<T> {
        Err(Box::new(Diagnostic::not_supported(feature).at(&self.origin(span))))
    }

    /// What is refused, and what to write instead.
    pub fn unsupported_but<T>(&self, feature: &str, help: &str, span: Span) -> Planned<T> {
        Err(Box::new(Diagnostic::not_supported(feature).at(&self.origin(span)).help(help)))
    }

    /// Gives an error of DataFusion's plan builder a class and the place of the clause that was planned.
    pub fn built<T>(&self, result: Result<T, DataFusionError>, span: Span) -> Planned<T> {
        result.or_else(|error| {
            let text = error.strip_backtrace();
            let text = text.lines().next().unwrap_or_default().trim_start_matches("Error during planning: ").to_string();
            self.error("INVALID_QUERY", text, span)
        })
    }

    pub fn lint(&mut self, code: &str, message: impl Into<String>, span: Span) {
        let lint = Diagnostic::lint(code, message).at(&self.origin(span));
        if !self.lints.contains(&lint) {
            self.lints.push(lint);
        }
    }

    /// Notes what a streaming query may not do, if `plan` reads a stream.
    pub fn refuse_on_stream(&mut self, plan: &LogicalPlan, operator: &str, span: Span) {
        if streaming::is_streaming(plan) {
            let text = format!("{operator} is not possible in a streaming query; use a materialized view");
            self.violations.push(Diagnostic::error("UNSUPPORTED_STREAMING_OPERATION", text).at(&self.origin(span)));
        }
    }

    /// The output of the whole query: unqualified names that differ, and their types.
    fn output(&self, relation: Relation, span: Span, names: OutputNames) -> Planned<AnalysedQuery> {
        let columns: Vec<&Column> = relation.columns.iter().filter(|column| !column.hidden).collect();
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
        let mut projection: Vec<Expr> = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let twice = fields.iter().any(|field| field.name().eq_ignore_ascii_case(&column.name));
            let plan_name = if twice { format!("{}#{}", column.name, index + 1) } else { column.name.clone() };
            projection.push(column.expr().alias(plan_name));
            if twice && names == OutputNames::Differ {
                let message = format!("column {} is in the output twice; give one of them another name with AS", column.name);
                return self.error("COLUMN_ALREADY_EXISTS", message, span);
            }
            fields.push(Field::new(&column.name, column.data_type.clone(), true));
        }
        let paths = columns.iter().map(|column| column.path.clone()).collect();
        let plan = self.built(LogicalPlanBuilder::from(relation.plan).project(projection).and_then(LogicalPlanBuilder::build), span)?;
        let leaves = streaming::leaves(&plan);
        let streaming = leaves.iter().any(|leaf| leaf.streaming);
        let schema = Arc::new(Schema::new(fields));
        Ok(AnalysedQuery { plan, schema, paths, leaves, streaming, lints: Vec::new(), violations: Vec::new() })
    }

    /// A query with its CTEs, ORDER BY and LIMIT. `outer` is the scope around a subquery.
    pub fn query(&mut self, query: &ast::Query, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        self.refuse_query_clauses(query)?;
        let known = self.ctes.clone();
        if let Some(with) = &query.with {
            self.common_tables(with, outer)?;
        }
        let relation = self.body(query, outer);
        self.ctes = known;
        let relation = relation?;
        self.limit(query, relation)
    }

    fn refuse_query_clauses(&self, query: &ast::Query) -> Planned<()> {
        let clauses = [
            (query.fetch.is_some(), "FETCH"),
            (!query.locks.is_empty(), "FOR UPDATE"),
            (query.for_clause.is_some(), "FOR"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
            (!query.pipe_operators.is_empty(), "pipe syntax (|>)"),
        ];
        match clauses.iter().find(|(present, _)| *present) {
            Some((_, name)) => self.unsupported(name, query.span()),
            None => Ok(()),
        }
    }

    fn common_tables(&mut self, with: &ast::With, outer: Option<&Scope<'_>>) -> Planned<()> {
        if with.recursive {
            let help = "write each step as a query of its own; sequence(a, b) with explode counts";
            return self.unsupported_but("WITH RECURSIVE", help, with.span());
        }
        for cte in &with.cte_tables {
            let relation = self.query(&cte.query, outer)?;
            let relation = self.aliased(relation, &cte.alias)?;
            self.ctes.insert(cte.alias.name.value.to_lowercase(), relation);
        }
        Ok(())
    }

    /// The body together with ORDER BY, which may name columns that the body does not give out.
    fn body(&mut self, query: &ast::Query, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        match (query.body.as_ref(), &query.order_by) {
            (ast::SetExpr::Select(select), order_by) => self.select(select, order_by.as_ref(), outer),
            (body, None) => self.set_expr(body, outer),
            (body, Some(order_by)) => {
                let relation = self.set_expr(body, outer)?;
                self.order_output(relation, order_by)
            }
        }
    }

    fn set_expr(&mut self, body: &ast::SetExpr, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        match body {
            ast::SetExpr::Select(select) => self.select(select, None, outer),
            ast::SetExpr::Query(query) => self.query(query, outer),
            ast::SetExpr::Values(values) => self.values(values, outer),
            ast::SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let left_relation = self.set_expr(left, outer)?;
                let right_relation = self.set_expr(right, outer)?;
                self.set_operation(left_relation, right_relation, (*op, *set_quantifier), right.span())
            }
            ast::SetExpr::Table(_) => self.unsupported("TABLE as a query", body.span()),
            _ => self.error("UNSUPPORTED_PIPELINE_STATEMENT", "only queries are possible here", body.span()),
        }
    }

    fn set_operation(
        &mut self,
        left: Relation,
        right: Relation,
        (operator, quantifier): (ast::SetOperator, ast::SetQuantifier),
        span: Span,
    ) -> Planned<Relation> {
        use ast::{SetOperator as O, SetQuantifier as Q};
        let by_name = matches!(quantifier, Q::ByName | Q::AllByName | Q::DistinctByName);
        let all = matches!(quantifier, Q::All | Q::AllByName);
        let right = if by_name { self.by_name(&left, right, span)? } else { right };
        let (left, right) = self.aligned(left, right, span)?;
        if all && matches!(operator, O::Union) {
            // The one set operation that streams know.
        } else if matches!(operator, O::Union) {
            let name = "UNION without ALL (de-duplication)";
            self.refuse_on_stream(&left.plan, name, span);
            self.refuse_on_stream(&right.plan, name, span);
        } else {
            self.refuse_on_stream(&left.plan, &operator.to_string(), span);
            self.refuse_on_stream(&right.plan, &operator.to_string(), span);
        }
        if matches!(operator, O::Union) && streaming::is_streaming(&left.plan) != streaming::is_streaming(&right.plan) {
            let text = "UNION of a stream with a relation that is read without STREAM";
            self.violations.push(Diagnostic::error("UNSUPPORTED_STREAMING_OPERATION", text).at(&self.origin(span)));
        }
        let columns = left.columns;
        let result = match operator {
            O::Union if all => LogicalPlanBuilder::from(left.plan).union(right.plan).and_then(LogicalPlanBuilder::build),
            O::Union => LogicalPlanBuilder::from(left.plan).union_distinct(right.plan).and_then(LogicalPlanBuilder::build),
            O::Except | O::Minus => LogicalPlanBuilder::except(left.plan, right.plan, all),
            O::Intersect => LogicalPlanBuilder::intersect(left.plan, right.plan, all),
        };
        Ok(Relation { plan: self.built(result, span)?, columns })
    }

    /// The columns of `right` in the order of `left`, matched by name.
    fn by_name(&self, left: &Relation, right: Relation, span: Span) -> Planned<Relation> {
        let wanted: Vec<&Column> = left.columns.iter().filter(|column| !column.hidden).collect();
        let mut columns = Vec::with_capacity(wanted.len());
        for column in &wanted {
            match right.columns.iter().find(|known| !known.hidden && known.name.eq_ignore_ascii_case(&column.name)) {
                Some(found) => columns.push(found.clone()),
                None => return self.error("NUM_COLUMNS_MISMATCH", format!("column {} is missing in the second query", column.name), span),
            }
        }
        if right.columns.iter().filter(|column| !column.hidden).count() != columns.len() {
            return self.error("NUM_COLUMNS_MISMATCH", "the second query has columns that the first one lacks", span);
        }
        Ok(Relation { plan: right.plan, columns })
    }

    /// Both sides cast to common types, with plain output columns named as on the left.
    fn aligned(&self, left: Relation, right: Relation, span: Span) -> Planned<(Relation, Relation)> {
        let visible = |relation: &Relation| relation.columns.iter().filter(|c| !c.hidden).cloned().collect::<Vec<Column>>();
        let (left_columns, right_columns) = (visible(&left), visible(&right));
        if left_columns.len() != right_columns.len() {
            let message = format!("the queries have {} and {} columns; both must have as many", left_columns.len(), right_columns.len());
            return self.error("NUM_COLUMNS_MISMATCH", message, span);
        }
        let mut sides = (Vec::new(), Vec::new());
        let mut columns = Vec::new();
        for (index, (l, r)) in left_columns.iter().zip(&right_columns).enumerate() {
            let Some(common) = coercion::common_type(&l.data_type, &r.data_type) else {
                let (l_type, r_type) = (ddl::type_text(&l.data_type), ddl::type_text(&r.data_type));
                let message = format!("column {} is {l_type} in the first and {r_type} in the second query", l.name);
                return self.error("INCOMPATIBLE_COLUMN_TYPE", message, span);
            };
            // Names may be there twice as long as nobody refers to them.
            let twice = left_columns[..index].iter().any(|known| known.name == l.name);
            let name = if twice { format!("{}#{index}", l.name) } else { l.name.clone() };
            sides.0.push(self.cast(l.typed(), &common).expr.alias(&name));
            sides.1.push(self.cast(r.typed(), &common).expr.alias(&name));
            columns.push(Column::output(&l.name, &name, common));
        }
        let project =
            |plan: LogicalPlan, exprs: Vec<Expr>| LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build);
        let left = self.built(project(left.plan, sides.0), span)?;
        let right = self.built(project(right.plan, sides.1), span)?;
        Ok((Relation { plan: left, columns: columns.clone() }, Relation { plan: right, columns }))
    }

    fn values(&mut self, values: &ast::Values, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let scope = Scope::new(&[], outer);
        let mut rows: Vec<Vec<Typed>> = Vec::new();
        for row in &values.rows {
            let row: Vec<Typed> = row.iter().map(|expr| self.expr(expr, &scope)).collect::<Planned<_>>()?;
            rows.push(row);
        }
        let width = rows.first().map_or(0, Vec::len);
        let span = values.span();
        if rows.iter().any(|row| row.len() != width) {
            return self.error("INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH", "all rows of VALUES must have as many values", span);
        }
        let mut columns = Vec::new();
        for index in 0..width {
            let mut common = DataType::Null;
            for row in &rows {
                common = match coercion::common_type(&common, &row[index].data_type) {
                    Some(common) => common,
                    None => {
                        return self.error(
                            "INVALID_INLINE_TABLE.INCOMPATIBLE_TYPES_IN_INLINE_TABLE",
                            format!("column {} of VALUES has no common type", index + 1),
                            span,
                        );
                    }
                };
            }
            columns.push(Column::output(&format!("col{}", index + 1), &format!("column{}", index + 1), common));
        }
        let cast =
            |row: Vec<Typed>| row.into_iter().zip(&columns).map(|(value, column)| self.cast(value, &column.data_type).expr).collect();
        let rows: Vec<Vec<Expr>> = rows.into_iter().map(cast).collect();
        let plan = self.built(LogicalPlanBuilder::values(rows).and_then(LogicalPlanBuilder::build), span)?;
        Ok(Relation { plan, columns })
    }

    fn limit(&mut self, query: &ast::Query, relation: Relation) -> Planned<Relation> {
        let Some(clause) = &query.limit_clause else { return Ok(relation) };
        let (limit, offset) = match clause {
            ast::LimitClause::LimitOffset { limit_by, .. } if !limit_by.is_empty() => return self.unsupported("LIMIT BY", query.span()),
            ast::LimitClause::LimitOffset { limit, offset, .. } => (limit.as_ref(), offset.as_ref().map(|offset| &offset.value)),
            ast::LimitClause::OffsetCommaLimit { offset, limit } => (Some(limit), Some(offset)),
        };
        let span = limit.or(offset).map_or(query.span(), Spanned::span);
        self.refuse_on_stream(&relation.plan, "LIMIT", span);
        let count = |expr: Option<&ast::Expr>| expr.map(|expr| self.row_count(expr)).transpose();
        let (limit, offset) = (count(limit)?.flatten(), count(offset)?.flatten());
        let plan = LogicalPlanBuilder::from(relation.plan).limit(offset.unwrap_or(0), limit).and_then(LogicalPlanBuilder::build);
        Ok(Relation { plan: self.built(plan, span)?, columns: relation.columns })
    }

    /// A literal number of rows; `ALL` is none.
    fn row_count(&self, expr: &ast::Expr) -> Planned<Option<usize>> {
        match expr {
            ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Number(text, _), .. }) => match text.parse() {
                Ok(count) => Ok(Some(count)),
                Err(_) => self.error("INVALID_LIMIT_LIKE_EXPRESSION.DATA_TYPE", format!("{text} is not a number of rows"), expr.span()),
            },
            ast::Expr::Identifier(ident) if ident.value.eq_ignore_ascii_case("all") => Ok(None),
            other => self.error("INVALID_LIMIT_LIKE_EXPRESSION.IS_UNFOLDABLE", format!("{other} must be a literal number"), expr.span()),
        }
    }
}
