//! SELECT: items, WHERE, GROUP BY, HAVING, QUALIFY, DISTINCT, ORDER BY.

use datafusion_common::{ScalarValue, arrow::datatypes::DataType};
use datafusion_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, WindowFrame, WindowFunctionDefinition,
    expr::{WindowFunction, WindowFunctionParams},
    lit,
};
use sqlparser::{
    ast::{self, GroupByExpr, SelectItem, SelectItemQualifiedWildcardKind, Spanned},
    tokenizer::Span,
};

use super::{
    Column, Planned, Planner, Relation, Scope, Typed,
    call::sort_expr,
    deduplicate::{DistinctKeys, Place, is_within_watermark},
    grouping::has_aggregate,
    grouping_sets::Groups,
    name::{is_named, spark_name},
    scope::{Resolved, Role},
    start_of,
};
use crate::{
    analysis::{state::state_of, streaming},
    function,
    origin::Diagnostic,
};

/// One output column of a SELECT.
#[derive(Clone, Debug)]
pub struct Item {
    pub name: String,
    pub value: Typed,
    pub path: Vec<String>,
}

/// Index of the select item that is a generator, and its columns.
type Generated = (usize, Vec<Column>);

/// What comes after the items, planned in the same scope.
#[derive(Default)]
struct Rest {
    groups: Groups,
    is_grouped: bool,
    having: Option<Typed>,
    qualify: Option<Typed>,
    /// Sort keys with the item they come from.
    order: Vec<(Typed, ast::OrderByExpr)>,
    distinct_on: Vec<Typed>,
}

impl Planner<'_> {
    pub fn select(&mut self, select: &ast::Select, order_by: Option<&ast::OrderBy>, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let around = std::mem::take(&mut self.local);
        let planned = self.select_alone(select, order_by, outer);
        self.local = around;
        planned
    }

    fn select_alone(&mut self, select: &ast::Select, order_by: Option<&ast::OrderBy>, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let span = select.select_token.0.span;
        self.refuse_select_clauses(select, span)?;
        self.name_windows(&select.named_window)?;
        let mut relation = self.from(&select.from, outer)?;
        for view in &select.lateral_views {
            relation = self.lateral_view(relation, view, outer)?;
        }
        if let Some(selection) = &select.selection {
            let scope = Scope { role: Role::Filter, ..Scope::new(&relation.columns, outer) };
            let condition = self.expr(selection, &scope)?;
            let condition = self.condition(condition, "WHERE condition", start_of(selection))?;
            let plan = LogicalPlanBuilder::from(relation.plan).filter(condition).and_then(LogicalPlanBuilder::build);
            relation.plan = self.built(plan, start_of(selection))?;
        }
        let (relation, generated) = self.select_generator(relation, &select.projection, outer)?;
        let relation = self.slide(relation, select, outer)?;
        let renamed = relation.columns.iter().filter(|column| column.name != column.column.name);
        self.local.written = renamed.map(|column| (column.column.clone(), column.name.clone())).collect();
        let windows = self.group_windows(&select.group_by, &relation, outer)?;
        let items = self.items(&select.projection, &relation, (windows, generated), outer)?;
        let rest = self.rest(select, order_by, &relation, &items, outer)?;
        let place = if outer.is_some() { Place::Subquery } else { Place::From };
        self.assemble(select, relation.plan, items, rest, place)
    }

    fn refuse_select_clauses(&self, select: &ast::Select, span: Span) -> Planned<()> {
        let clauses = [
            (select.top.is_some(), "TOP"),
            (select.into.is_some(), "SELECT INTO"),
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (!select.cluster_by.is_empty(), "CLUSTER BY in a query"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
            (!select.sort_by.is_empty(), "SORT BY"),
            (select.value_table_mode.is_some(), "SELECT AS STRUCT"),
            (select.exclude.is_some(), "EXCLUDE; write * EXCEPT (…)"),
            (matches!(select.flavor, ast::SelectFlavor::FromFirstNoSelect), "FROM without SELECT"),
        ];
        match clauses.iter().find(|(present, _)| *present) {
            Some((_, name)) => self.unsupported(name, span),
            None => Ok(()),
        }
    }

    /// Applies the one generator that the items may hold. Gives the item's index and the names of its columns.
    fn select_generator(
        &mut self,
        relation: Relation,
        projection: &[SelectItem],
        outer: Option<&Scope<'_>>,
    ) -> Planned<(Relation, Option<Generated>)> {
        let mut found = None;
        for (index, item) in projection.iter().enumerate() {
            let (expr, names) = match item {
                SelectItem::UnnamedExpr(expr) => (expr, Vec::new()),
                SelectItem::ExprWithAlias { expr, alias } => (expr, vec![alias.value.clone()]),
                SelectItem::ExprWithAliases { expr, aliases } => (expr, aliases.iter().map(|alias| alias.value.clone()).collect()),
                _ => continue,
            };
            if let Some(generator) = self.generator_call(expr)? {
                if found.is_some() {
                    return self.error(
                        "UNSUPPORTED_GENERATOR.MULTI_GENERATOR",
                        "only one generator is possible in a SELECT",
                        start_of(expr),
                    );
                }
                found = Some((index, generator, names));
            }
        }
        let Some((index, generator, names)) = found else { return Ok((relation, None)) };
        let known = relation.columns.len();
        let keeps_empty = generator.keeps_empty;
        let mut relation = self.generate(relation, &generator, keeps_empty, &names, outer)?;
        for column in &mut relation.columns[known..] {
            column.hidden = true;
        }
        let columns = relation.columns[known..].to_vec();
        Ok((relation, Some((index, columns))))
    }

    /// Items over the rows of a relation, as those of a subquery without FROM.
    pub fn row_items(
        &mut self,
        projection: &[SelectItem],
        relation: Relation,
        outer: Option<&Scope<'_>>,
    ) -> Planned<(Relation, Vec<Item>)> {
        let (relation, generated) = self.select_generator(relation, projection, outer)?;
        let items = self.items(projection, &relation, (Vec::new(), generated), outer)?;
        match items.iter().position(|item| has_aggregate(&item.value.expr)) {
            Some(_) => self.unsupported("an aggregate in a LATERAL subquery without FROM", Span::empty()),
            None => Ok((relation, items)),
        }
    }

    /// `window(…)` of GROUP BY, which items may call `window`.
    fn group_windows(&mut self, group_by: &GroupByExpr, relation: &Relation, outer: Option<&Scope<'_>>) -> Planned<Vec<(String, Typed)>> {
        let GroupByExpr::Expressions(exprs, _) = group_by else { return Ok(Vec::new()) };
        let scope = Scope::new(&relation.columns, outer);
        let mut named = Vec::new();
        for expr in exprs {
            if let ast::Expr::Function(call) = expr
                && call.name.to_string().eq_ignore_ascii_case("window")
            {
                named.push(("window".to_string(), self.expr(expr, &scope)?));
            }
        }
        Ok(named)
    }

    /// All output columns; errors of several items are collected.
    fn items(
        &mut self,
        projection: &[SelectItem],
        relation: &Relation,
        (named, generated): (Vec<(String, Typed)>, Option<Generated>),
        outer: Option<&Scope<'_>>,
    ) -> Planned<Vec<Item>> {
        let mut scope = Scope { named, aggregates: true, windows: true, ..Scope::new(&relation.columns, outer) };
        let mut items: Vec<Item> = Vec::new();
        let mut last_error = None;
        for (index, item) in projection.iter().enumerate() {
            let planned = match &generated {
                Some((at, columns)) if *at == index => Ok(columns.iter().map(plain_item).collect()),
                _ => self.item_columns(item, &scope),
            };
            match planned {
                Ok(columns) => {
                    if matches!(item, SelectItem::ExprWithAlias { .. }) {
                        scope.named.extend(columns.iter().map(|item: &Item| (item.name.clone(), item.value.clone())));
                    }
                    items.extend(columns);
                }
                Err(error) => {
                    self.errors.push(error.as_ref().clone());
                    last_error = Some(error);
                }
            }
        }
        match last_error {
            None => Ok(items),
            Some(error) => Err(error),
        }
    }

    fn item_columns(&mut self, item: &SelectItem, scope: &Scope<'_>) -> Planned<Vec<Item>> {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = spark_name(expr);
                if !is_named(expr) {
                    self.lint("W003", format!("this column has no name and is called \"{name}\"; give it one with AS"), start_of(expr));
                }
                Ok(vec![self.one_item(name, expr, scope)?])
            }
            SelectItem::ExprWithAlias { expr, alias } => Ok(vec![self.one_item(alias.value.clone(), expr, scope)?]),
            SelectItem::ExprWithAliases { expr, .. } => self.unsupported("several aliases for one expression", start_of(expr)),
            SelectItem::Wildcard(options) => {
                let columns: Vec<Item> = scope.columns.iter().filter(|column| !column.hidden).map(plain_item).collect();
                if columns.is_empty() {
                    return self.error("INVALID_USAGE_OF_STAR_OR_REGEX", "* needs a FROM clause", options.wildcard_token.0.span);
                }
                self.except(columns, options)
            }
            SelectItem::QualifiedWildcard(kind, options) => {
                let columns = self.qualified_wildcard(kind, scope, options.wildcard_token.0.span)?;
                self.except(columns, options)
            }
        }
    }

    fn one_item(&mut self, name: String, expr: &ast::Expr, scope: &Scope<'_>) -> Planned<Item> {
        let path = match expr {
            ast::Expr::Identifier(ident) => vec![ident.value.clone()],
            ast::Expr::CompoundIdentifier(parts) => parts.iter().map(|ident| ident.value.clone()).collect(),
            _ => Vec::new(),
        };
        let value = self.expr(expr, scope)?;
        let Resolved::Column { column, fields, .. } = scope.resolve(&path) else {
            return Ok(Item { name, value, path: Vec::new() });
        };
        // A plain column keeps the name as first written, whatever the letter case here.
        let keeps_name = fields.is_empty() && path.last() == Some(&name) && column.name.eq_ignore_ascii_case(&name);
        let name = if keeps_name { column.name.clone() } else { name };
        let path = column.qualifier.last().cloned().into_iter().chain([column.name]).chain(fields.iter().cloned()).collect();
        Ok(Item { name, value, path })
    }

    /// `t.*` of a relation, or `s.*` of a struct.
    pub fn qualified_wildcard(&mut self, kind: &SelectItemQualifiedWildcardKind, scope: &Scope<'_>, span: Span) -> Planned<Vec<Item>> {
        let (value, parts) = match kind {
            SelectItemQualifiedWildcardKind::ObjectName(name) => {
                let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.clone()).collect();
                let columns: Vec<Item> = scope.columns.iter().filter(|c| !c.hidden && c.belongs_to(&parts)).map(plain_item).collect();
                if !columns.is_empty() {
                    return Ok(columns);
                }
                (self.identifier(&parts, scope, name.span())?, parts)
            }
            SelectItemQualifiedWildcardKind::Expr(expr) => (self.expr(expr, scope)?, Vec::new()),
        };
        let DataType::Struct(fields) = value.data_type.clone() else {
            return self.mismatch(".*", &value.data_type, "a table or a STRUCT", span);
        };
        fields
            .iter()
            .map(|field| {
                let path = if parts.is_empty() { Vec::new() } else { parts.iter().cloned().chain([field.name().clone()]).collect() };
                Ok(Item { name: field.name().clone(), value: self.field(value.clone(), field.name(), span)?, path })
            })
            .collect()
    }

    pub fn except(&self, mut columns: Vec<Item>, options: &ast::WildcardAdditionalOptions) -> Planned<Vec<Item>> {
        let span = options.wildcard_token.0.span;
        if options.opt_ilike.is_some() || options.opt_replace.is_some() || options.opt_rename.is_some() || options.opt_exclude.is_some() {
            return self.unsupported("an option of * other than EXCEPT", span);
        }
        let Some(except) = &options.opt_except else { return Ok(columns) };
        for ident in std::iter::once(&except.first_element).chain(&except.additional_elements) {
            let before = columns.len();
            columns.retain(|column| !column.name.eq_ignore_ascii_case(&ident.value));
            if columns.len() == before {
                let message = format!("EXCEPT names {}, which is not a column of *", ident.value);
                return self.error("UNRESOLVED_COLUMN.WITH_SUGGESTION", message, ident.span);
            }
        }
        Ok(columns)
    }

    fn rest(
        &mut self,
        select: &ast::Select,
        order_by: Option<&ast::OrderBy>,
        relation: &Relation,
        items: &[Item],
        outer: Option<&Scope<'_>>,
    ) -> Planned<Rest> {
        let named: Vec<(String, Typed)> = items.iter().map(|item| (item.name.clone(), item.value.clone())).collect();
        let mut rest = Rest { groups: self.groups(&select.group_by, relation, items, outer)?, ..Rest::default() };
        let mut scope = Scope { named, aggregates: true, ..Scope::new(&relation.columns, outer) };
        if let Some(having) = &select.having {
            (scope.named_first, scope.role) = (true, Role::Filter);
            let value = self.expr(having, &scope)?;
            (scope.named_first, scope.role) = (false, Role::Value);
            rest.having = Some(Typed::new(self.condition(value, "HAVING condition", having.span())?, DataType::Boolean));
        }
        scope.windows = true;
        if let Some(qualify) = &select.qualify {
            let value = self.expr(qualify, &scope)?;
            rest.qualify = Some(Typed::new(self.condition(value, "QUALIFY condition", qualify.span())?, DataType::Boolean));
        }
        if let Some(ast::Distinct::On(exprs)) = &select.distinct {
            let keys = exprs.iter().filter(|expr| !is_within_watermark(expr));
            rest.distinct_on = keys.map(|expr| self.key(expr, items, &scope)).collect::<Planned<_>>()?;
        }
        for item in order_items(order_by, items.len()) {
            let key = self.key(&item.expr, items, &scope)?;
            rest.order.push((key, item));
        }
        let has_groups = match &select.group_by {
            GroupByExpr::All(_) => true,
            GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
        };
        let aggregates =
            items.iter().any(|item| has_aggregate(&item.value.expr)) || rest.order.iter().any(|(key, _)| has_aggregate(&key.expr));
        rest.is_grouped = has_groups || aggregates || rest.having.is_some();
        Ok(rest)
    }

    /// A key of ORDER BY, DISTINCT ON or GROUP BY: the number of an item, its name, or an expression.
    pub fn key(&mut self, expr: &ast::Expr, items: &[Item], scope: &Scope<'_>) -> Planned<Typed> {
        match expr {
            ast::Expr::Value(value) if matches!(value.value, ast::Value::Number(..)) => {
                let position = value.value.to_string().parse::<usize>().ok().and_then(|number| items.get(number.checked_sub(1)?));
                match position {
                    Some(item) => Ok(item.value.clone()),
                    None => self.error("ORDER_BY_POS_OUT_OF_RANGE", format!("there is no column {value} in the SELECT list"), value.span),
                }
            }
            ast::Expr::Identifier(ident) => match items.iter().find(|item| item.name.eq_ignore_ascii_case(&ident.value)) {
                Some(item) => Ok(item.value.clone()),
                None => self.expr(expr, scope),
            },
            _ => self.expr(expr, scope),
        }
    }

    /// Puts the parts on top of FROM and WHERE.
    fn assemble(
        &mut self,
        select: &ast::Select,
        mut plan: LogicalPlan,
        mut items: Vec<Item>,
        mut rest: Rest,
        place: Place,
    ) -> Planned<Relation> {
        let span = select.select_token.0.span;
        if rest.is_grouped {
            self.refuse_aggregation(&plan, if rest.groups.exprs.is_empty() { span } else { select.group_by.span() });
            let groups = std::mem::take(&mut rest.groups);
            let mut exprs = all_exprs(&mut items, &mut rest);
            plan = self.group(plan, &groups, &mut exprs, span)?;
        }
        if let Some(having) = rest.having.take() {
            plan = self.built(LogicalPlanBuilder::from(plan).filter(having.expr).and_then(LogicalPlanBuilder::build), span)?;
        }
        plan = self.windows(plan, &mut all_exprs(&mut items, &mut rest), span)?;
        if let Some(qualify) = rest.qualify.take() {
            plan = self.built(LogicalPlanBuilder::from(plan).filter(qualify.expr).and_then(LogicalPlanBuilder::build), span)?;
        }
        if let Some((_, item)) = rest.order.first() {
            let at = start_of(&item.expr);
            self.refuse_on_stream(&plan, "ORDER BY", at);
        }
        match &select.distinct {
            None | Some(ast::Distinct::All) => {
                let keys = rest.order.into_iter().map(|(key, item)| sort_expr(key.expr, &item)).collect();
                let plan = self.sorted(plan, keys, span)?;
                self.project(plan, items, span)
            }
            Some(ast::Distinct::Distinct) if streaming::is_streaming(&plan) => {
                let relation = self.project(plan, items, span)?;
                let keys = relation.columns.iter().map(|column| (column.name.clone(), column.typed())).collect();
                let plan = self.first_of_stream(relation.plan, DistinctKeys { keys, within: false, span }, place)?;
                Ok(Relation { plan, columns: relation.columns })
            }
            Some(ast::Distinct::Distinct) => self.distinct(plan, items, rest, span),
            Some(ast::Distinct::On(exprs)) => {
                let within = exprs.iter().find(|expr| is_within_watermark(expr));
                let plan = if streaming::is_streaming(&plan) {
                    let names = exprs.iter().filter(|expr| !is_within_watermark(expr)).map(ToString::to_string);
                    let keys = names.zip(rest.distinct_on).collect();
                    self.first_of_stream(plan, DistinctKeys { keys, within: within.is_some(), span }, place)?
                } else if let Some(within) = within {
                    return self.error("PARSE_SYNTAX_ERROR", "WITHIN WATERMARK is for streams", within.span());
                } else {
                    self.first_of_each(plan, &rest, span)?
                };
                self.project(plan, items, span)
            }
        }
    }

    /// Notes an aggregation of a stream.
    pub fn refuse_aggregation(&mut self, plan: &LogicalPlan, span: Span) {
        if !streaming::is_streaming(plan) {
            return;
        }
        let origin = self.origin(span);
        let watermark = if state_of(plan).watermarks.is_empty() { "without watermark" } else { "is not there yet, also with a watermark" };
        let text = format!("streaming aggregation {watermark}; use a materialized view");
        let error = Diagnostic::error("STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION", text);
        self.violations.push(error.at(&origin));
    }

    fn sorted(&self, plan: LogicalPlan, keys: Vec<SortExpr>, span: Span) -> Planned<LogicalPlan> {
        if keys.is_empty() {
            return Ok(plan);
        }
        self.built(LogicalPlanBuilder::from(plan).sort(keys).and_then(LogicalPlanBuilder::build), span)
    }

    pub fn project(&self, plan: LogicalPlan, items: Vec<Item>, span: Span) -> Planned<Relation> {
        let mut columns: Vec<Column> = Vec::with_capacity(items.len());
        let mut exprs = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            // Names may be there twice as long as nobody refers to them and the query is not the outermost.
            let twice = columns.iter().any(|column| column.column.name == item.name);
            let plan_name = if twice { format!("{}#{index}", item.name) } else { item.name.clone() };
            exprs.push(item.value.expr.alias(&plan_name));
            columns.push(Column { path: item.path, ..Column::output(&item.name, &plan_name, item.value.data_type) });
        }
        let plan = self.built(LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build), span)?;
        Ok(Relation { plan, columns })
    }

    fn distinct(&self, plan: LogicalPlan, items: Vec<Item>, rest: Rest, span: Span) -> Planned<Relation> {
        let values: Vec<Expr> = items.iter().map(|item| item.value.expr.clone()).collect();
        let relation = self.project(plan, items, span)?;
        let plan = self.built(LogicalPlanBuilder::from(relation.plan).distinct().and_then(LogicalPlanBuilder::build), span)?;
        let mut keys = Vec::new();
        for (key, item) in rest.order {
            match values.iter().position(|value| *value == key.expr) {
                Some(index) => keys.push(sort_expr(relation.columns[index].expr(), &item)),
                None => {
                    return self.error(
                        "UNRESOLVED_COLUMN.WITH_SUGGESTION",
                        "with DISTINCT, ORDER BY can only name columns of the SELECT list",
                        start_of(&item.expr),
                    );
                }
            }
        }
        Ok(Relation { plan: self.sorted(plan, keys, span)?, columns: relation.columns })
    }

    /// DISTINCT ON of a batch: the first row of each key in the order of ORDER BY.
    fn first_of_each(&mut self, plan: LogicalPlan, rest: &Rest, span: Span) -> Planned<LogicalPlan> {
        let Some(spec) = function::window("row_number") else { return self.unsupported("DISTINCT ON", span) };
        let order_by: Vec<SortExpr> = rest.order.iter().map(|(key, item)| sort_expr(key.expr.clone(), item)).collect();
        let params = WindowFunctionParams {
            args: Vec::new(),
            partition_by: rest.distinct_on.iter().map(|key| key.expr.clone()).collect(),
            window_frame: WindowFrame::new((!order_by.is_empty()).then_some(false)),
            order_by: order_by.clone(),
            filter: None,
            null_treatment: None,
            distinct: false,
        };
        let fun = WindowFunctionDefinition::WindowUDF(function::window_stub(spec, self.settings));
        let mut number = Typed::new(Expr::from(WindowFunction { fun, params }), DataType::Int32);
        let plan = self.windows(plan, &mut [&mut number], span)?;
        let first = number.expr.eq(lit(ScalarValue::Int32(Some(1))));
        let plan = self.built(LogicalPlanBuilder::from(plan).filter(first).and_then(LogicalPlanBuilder::build), span)?;
        self.sorted(plan, order_by, span)
    }

    /// ORDER BY of a set operation: only output columns.
    pub fn order_output(&mut self, relation: Relation, order_by: &ast::OrderBy) -> Planned<Relation> {
        self.refuse_on_stream(&relation.plan, "ORDER BY", order_by.span());
        let items: Vec<Item> = relation.columns.iter().map(plain_item).collect();
        let mut keys = Vec::new();
        for item in order_items(Some(order_by), items.len()) {
            let scope = Scope::new(&relation.columns, None);
            let key = self.key(&item.expr, &items, &scope)?;
            keys.push(sort_expr(key.expr, &item));
        }
        Ok(Relation { plan: self.sorted(relation.plan, keys, order_by.span())?, columns: relation.columns })
    }
}

/// The items of ORDER BY; `ALL` is the number of each of the `count` output columns.
fn order_items(order_by: Option<&ast::OrderBy>, count: usize) -> Vec<ast::OrderByExpr> {
    let Some(order_by) = order_by else { return Vec::new() };
    match &order_by.kind {
        ast::OrderByKind::Expressions(items) => items.clone(),
        ast::OrderByKind::All(options) => {
            let number = |position: usize| ast::Expr::Value(ast::Value::Number(position.to_string(), false).with_span(order_by.span()));
            let item = |position| ast::OrderByExpr { expr: number(position), options: *options, with_fill: None };
            (1..=count).map(item).collect()
        }
    }
}

pub fn plain_item(column: &Column) -> Item {
    let path = column.qualifier.last().cloned().into_iter().chain([column.name.clone()]).collect();
    Item { name: column.name.clone(), value: column.typed(), path }
}

fn all_exprs<'r>(items: &'r mut [Item], rest: &'r mut Rest) -> Vec<&'r mut Typed> {
    let items = items.iter_mut().map(|item| &mut item.value);
    let order = rest.order.iter_mut().map(|(key, _)| key);
    items.chain(order).chain(&mut rest.having).chain(&mut rest.qualify).chain(&mut rest.distinct_on).collect()
}
