//! FROM: relations, aliases, joins.

use std::sync::Arc;

use datafusion_common::{
    JoinType, TableReference,
    arrow::datatypes::{DataType, Field, Schema},
};
use datafusion_expr::{LogicalPlanBuilder, TableSource, lit};
use sqlparser::{
    ast::{self, JoinConstraint, JoinOperator, Spanned, TableFactor},
    tokenizer::Span,
};

use super::{Column, Planned, Planner, Relation, Scope, Typed, lateral::Lateral, start_of};
use crate::{
    analysis::{
        FoundRelation, ReferenceKind, RelationReference,
        references::{Reader, watermark},
        streaming,
    },
    definition::is_near,
    file_schema::TIME_ZONE,
    function,
    origin::Diagnostic,
    relation::{RelationKind, RelationSource},
};

impl Planner<'_> {
    /// The relation that FROM describes; one row without columns if there is none.
    pub fn from(&mut self, tables: &[ast::TableWithJoins], outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let mut result: Option<Relation> = None;
        for table in tables {
            result = Some(self.join_item(result, table, outer)?);
        }
        match result {
            Some(relation) => Ok(relation),
            None => Ok(Relation { plan: self.built(LogicalPlanBuilder::empty(true).build(), Span::empty())?, columns: Vec::new() }),
        }
    }

    /// One item of the comma list, joined to those before it.
    fn join_item(&mut self, left: Option<Relation>, table: &ast::TableWithJoins, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let keeps_right = table.joins.iter().any(|join| !keeps_left_only(&join.join_operator));
        let mut left = left;
        // `a, b RIGHT JOIN c` joins b and c first. Without such joins the order makes no difference, and LATERAL sees all before it.
        let before = if keeps_right { left.take() } else { None };
        let mut relation = match left {
            None => self.factor(&table.relation, outer)?,
            Some(left) => self.joined(left, &table.relation, &JoinOperator::CrossJoin(JoinConstraint::None), outer)?,
        };
        for join in &table.joins {
            relation = self.joined(relation, &join.relation, &join.join_operator, outer)?;
        }
        match before {
            None => Ok(relation),
            Some(before) => self.join(before, relation, (JoinType::Inner, &JoinConstraint::None), table.relation.span(), outer),
        }
    }

    fn joined(&mut self, left: Relation, factor: &TableFactor, operator: &JoinOperator, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let span = factor_span(factor);
        let Some((join_type, constraint)) = join_kind(operator) else {
            return self.unsupported("this kind of join", span);
        };
        if let Some((generator, alias, is_outer)) = self.generator_of(factor)? {
            let keep_empty = match (join_type, constraint) {
                (JoinType::Inner, JoinConstraint::None) => is_outer,
                (JoinType::Inner | JoinType::Left, JoinConstraint::None | JoinConstraint::On(_)) if always_true(constraint) => {
                    is_outer || join_type == JoinType::Left
                }
                _ => return self.unsupported("a join condition on LATERAL; put it into WHERE", span),
            };
            return self.generate_relation(left, &generator, alias.as_ref(), keep_empty, outer);
        }
        if let TableFactor::Derived { lateral: true, subquery, alias, .. } = factor {
            let lateral = Lateral { subquery, alias: alias.as_ref(), join: (join_type, constraint), span };
            return self.lateral(left, &lateral, outer);
        }
        let right = self.factor(factor, outer)?;
        self.join(left, right, (join_type, constraint), span, outer)
    }

    pub fn join(
        &mut self,
        left: Relation,
        right: Relation,
        (join_type, constraint): (JoinType, &JoinConstraint),
        span: Span,
        outer: Option<&Scope<'_>>,
    ) -> Planned<Relation> {
        self.check_stream_join(&left, &right, join_type, span);
        let columns: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
        let left_count = left.columns.len();
        let mut shared: Vec<(usize, usize)> = Vec::new();
        let on = match constraint {
            JoinConstraint::None => None,
            JoinConstraint::On(expr) => {
                let scope = Scope::new(&columns, outer);
                let on = self.expr(expr, &scope)?;
                Some(self.condition(on, "JOIN condition", start_of(expr))?)
            }
            JoinConstraint::Using(names) => {
                let names: Vec<String> = names
                    .iter()
                    .map(|name| name.0.last().map_or_else(String::new, |part| part.to_string().trim_matches('`').to_string()))
                    .collect();
                shared = self.shared(&names, &columns, left_count, span)?;
                Some(self.equal(&shared, &columns, span)?)
            }
            JoinConstraint::Natural => {
                let common =
                    |column: &&Column| right.columns.iter().any(|other| !other.hidden && other.name.eq_ignore_ascii_case(&column.name));
                let names: Vec<String> =
                    left.columns.iter().filter(|c| !c.hidden).filter(common).map(|column| column.name.clone()).collect();
                shared = self.shared(&names, &columns, left_count, span)?;
                Some(self.equal(&shared, &columns, span)?)
            }
        };
        let builder = LogicalPlanBuilder::from(left.plan);
        let plan = match (on, join_type) {
            (None, JoinType::Inner) => builder.cross_join(right.plan),
            (on, join_type) => builder.join_on(right.plan, join_type, [on.unwrap_or_else(|| lit(true))]),
        };
        let plan = self.built(plan.and_then(LogicalPlanBuilder::build), span)?;
        let relation = self.with_shared(Relation { plan, columns }, &shared, join_type, span)?;
        Ok(match join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => side_of(relation, |index| index < left_count),
            JoinType::RightSemi | JoinType::RightAnti => side_of(relation, |index| index >= left_count),
            _ => relation,
        })
    }

    /// Where the columns that USING names stand among those of the left and of the right side.
    fn shared(&self, names: &[String], columns: &[Column], left_count: usize, span: Span) -> Planned<Vec<(usize, usize)>> {
        let mut shared = Vec::with_capacity(names.len());
        for name in names {
            let find = |mut range: std::ops::Range<usize>| {
                range.find(|index| !columns[*index].hidden && columns[*index].name.eq_ignore_ascii_case(name))
            };
            let (Some(left), Some(right)) = (find(0..left_count), find(left_count..columns.len())) else {
                return self.error(
                    "UNRESOLVED_USING_COLUMN_FOR_JOIN",
                    format!("column {name} of USING must be on both sides of the join"),
                    span,
                );
            };
            shared.push((left, right));
        }
        Ok(shared)
    }

    /// Equality of the columns of USING.
    fn equal(&self, shared: &[(usize, usize)], columns: &[Column], span: Span) -> Planned<datafusion_expr::Expr> {
        let mut condition: Option<datafusion_expr::Expr> = None;
        for (left, right) in shared {
            let equal = self.compare(columns[*left].typed(), &ast::BinaryOperator::Eq, columns[*right].typed(), span)?;
            condition = Some(match condition {
                None => equal.expr,
                Some(before) => before.and(equal.expr),
            });
        }
        Ok(condition.unwrap_or_else(|| lit(true)))
    }

    /// Of each pair of columns of USING only one is visible, before all others: that of the side whose rows are kept, of a FULL JOIN the one
    /// that is not NULL. Its two sides can still be named with their tables.
    fn with_shared(&mut self, relation: Relation, shared: &[(usize, usize)], join_type: JoinType, span: Span) -> Planned<Relation> {
        let Relation { mut plan, mut columns } = relation;
        let mut computed = Vec::new();
        let mut first: Vec<Column> = Vec::new();
        for (left, right) in shared {
            match join_type {
                JoinType::Full => {
                    let value = self.stub("coalesce", vec![columns[*left].typed(), columns[*right].typed()], span)?;
                    let name = format!("__using#{}", self.next_number());
                    computed.push(value.expr.alias(&name));
                    first.push(Column::output(&columns[*left].name, &name, value.data_type));
                    columns[*left].hidden = true;
                    columns[*right].hidden = true;
                }
                // These have the columns of one side only.
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::RightSemi | JoinType::RightAnti => {}
                JoinType::Right => columns[*left].hidden = true,
                _ => columns[*right].hidden = true,
            }
        }
        if !computed.is_empty() {
            let exprs: Vec<_> = columns.iter().map(Column::expr).chain(computed).collect();
            plan = self.built(LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build), span)?;
        }
        if !matches!(join_type, JoinType::LeftSemi | JoinType::LeftAnti | JoinType::RightSemi | JoinType::RightAnti) {
            let kept = |(left, right): &(usize, usize)| if join_type == JoinType::Right { *right } else { *left };
            let leading: Vec<usize> = if join_type == JoinType::Full { Vec::new() } else { shared.iter().map(kept).collect() };
            first.extend(leading.iter().map(|index| columns[*index].clone()));
            let others = columns.iter().enumerate().filter(|(index, _)| !leading.contains(index)).map(|(_, column)| column.clone());
            columns = first.into_iter().chain(others).collect();
        }
        Ok(Relation { plan, columns })
    }

    /// Stream with stream is for a later release; with a static side, the stream must be the side whose rows are kept.
    fn check_stream_join(&mut self, left: &Relation, right: &Relation, join_type: JoinType, span: Span) {
        let streams = (streaming::is_streaming(&left.plan), streaming::is_streaming(&right.plan));
        let origin = self.origin(span);
        let refused = match (streams, join_type) {
            ((true, true), _) => Diagnostic::not_supported("a join of two streams"),
            ((false, false), _)
            | (_, JoinType::Inner)
            | ((true, false), JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti)
            | ((false, true), JoinType::Right | JoinType::RightSemi | JoinType::RightAnti) => return,
            (_, join_type) => Diagnostic::error(
                "UNSUPPORTED_STREAMING_OPERATION",
                format!("{join_type} join that keeps rows of the static side is not possible in a streaming query"),
            ),
        };
        self.violations.push(refused.at(&origin));
    }

    /// A relation of FROM that sees none of those before it.
    pub fn factor(&mut self, factor: &TableFactor, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let span = factor_span(factor);
        if let Some(ignored) = not_read(factor) {
            return self.unsupported_but(ignored, "leave it out; rows are chosen by WHERE", span);
        }
        let reader = Reader { file: &self.file, namespace: self.namespace, parameters: self.parameters };
        if let Some(reference) = reader.reference(factor)? {
            return match watermark(factor) {
                Some(clause) => self.watermarked(&reference, &clause, alias_of(factor), span),
                None => self.reference(&reference, alias_of(factor), span),
            };
        }
        match factor {
            TableFactor::Derived { subquery, alias, .. } => {
                let relation = self.query(subquery, outer)?;
                match alias {
                    Some(alias) => self.aliased(relation, alias),
                    None => self.named(relation, &[], "__subquery", span),
                }
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let relation = self.join_item(None, table_with_joins, outer)?;
                match alias {
                    Some(alias) => self.aliased(relation, alias),
                    None => Ok(relation),
                }
            }
            TableFactor::Pivot { .. } => self.pivot(factor, outer),
            TableFactor::Unpivot { .. } => self.unpivot(factor, outer),
            other => match self.generator_of(other)? {
                Some((generator, alias, is_outer)) => {
                    let one = self.from(&[], None)?;
                    self.generate_relation(one, &generator, alias.as_ref(), is_outer, outer)
                }
                None => self.unknown_table_function(other, span),
            },
        }
    }

    fn unknown_table_function<T>(&self, factor: &TableFactor, span: Span) -> Planned<T> {
        let name = match factor {
            TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => name.to_string(),
            other => return self.unsupported(&format!("{other} in FROM"), span),
        };
        if name.eq_ignore_ascii_case("range") {
            let help = "write SELECT explode(sequence(0, n - 1)) AS id";
            return self.unsupported_but("range(…) in FROM", help, span);
        }
        let known = ["table_changes", "cloud_files_state", "read_kafka", "unnest"];
        if known.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            return self.unsupported(&format!("{name}(…) in FROM"), span);
        }
        if function::refusal(&name).is_some() || function::scalar(&name).is_some() {
            return self.unsupported(&format!("{name} in FROM"), span);
        }
        let meant = ["STREAM", "READ_FILES"].into_iter().find(|known| is_near(&name, known));
        let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        self.error("UNRESOLVABLE_TABLE_VALUED_FUNCTION", format!("there is no table function {name}{meant}"), span)
    }

    /// A CTE, or what the name stands for outside of the query.
    pub(super) fn reference(&mut self, reference: &RelationReference, alias: Option<&ast::TableAlias>, span: Span) -> Planned<Relation> {
        let qualifier: Vec<String> = match &reference.kind {
            ReferenceKind::Name(parts) => parts.clone(),
            ReferenceKind::EventLog => vec!["event_log".to_string()],
            ReferenceKind::DeltaPath(_) | ReferenceKind::Files { .. } => Vec::new(),
        };
        let cte = match &reference.kind {
            ReferenceKind::Name(parts) if parts.len() == 1 => self.ctes.get(&parts[0].to_lowercase()).cloned(),
            _ => None,
        };
        let relation = match cte {
            Some(relation) => relation,
            None => self.found(reference, span)?,
        };
        if let Some(alias) = alias {
            return self.aliased(relation, alias);
        }
        let name = qualifier.last().cloned().unwrap_or_else(|| "__files".to_string());
        self.named(relation, &qualifier, &name, span)
    }

    fn found(&mut self, reference: &RelationReference, span: Span) -> Planned<Relation> {
        let found = self.relations.relation(reference).map_err(|diagnostic| {
            let origin = diagnostic.origin.clone().unwrap_or_else(|| self.origin(span));
            Box::new(diagnostic.at(&origin))
        })?;
        let (plan, hidden) = match found {
            FoundRelation::View { plan } => (plan, false),
            FoundRelation::Leaf(source) => {
                let source = in_zone(source, &self.settings.time_zone);
                let is_file = matches!(source.relation.kind, RelationKind::Files { .. });
                let with_metadata = is_file && self.uses_metadata && source.schema.column_with_name("_metadata").is_none();
                let source = if with_metadata { with_file_metadata(source) } else { source };
                let name = TableReference::bare(source.relation.source_id());
                let source: Arc<dyn TableSource> = Arc::new(source);
                let plan = LogicalPlanBuilder::scan(name, source, None).and_then(LogicalPlanBuilder::build);
                (self.built(plan, span)?, is_file)
            }
        };
        let columns = plan.schema().iter().map(|(qualifier, field)| {
            let column = datafusion_common::Column::new(qualifier.cloned(), field.name());
            let is_hidden = hidden && field.name() == "_metadata";
            Column { column, hidden: is_hidden, ..Column::output(field.name(), field.name(), field.data_type().clone()) }
        });
        Ok(Relation { columns: columns.collect(), plan })
    }

    /// The relation under an alias, with its columns renamed if the alias lists names.
    pub fn aliased(&mut self, mut relation: Relation, alias: &ast::TableAlias) -> Planned<Relation> {
        let span = alias.name.span;
        if alias.at.is_some() {
            return self.unsupported("AT after a table alias", span);
        }
        if !alias.columns.is_empty() {
            let visible = relation.columns.iter().filter(|column| !column.hidden).count();
            if visible != alias.columns.len() {
                let message = format!("{} names {} columns, but the relation has {visible}", alias.name, alias.columns.len());
                return self.error("ASSIGNMENT_ARITY_MISMATCH", message, span);
            }
            for (column, name) in relation.columns.iter_mut().filter(|column| !column.hidden).zip(&alias.columns) {
                column.name.clone_from(&name.name.value);
            }
        }
        let name = alias.name.value.clone();
        self.named(relation, std::slice::from_ref(&name), &name, span)
    }

    /// Puts the relation under a name that the plan has only once; SQL calls it by `qualifier`.
    pub fn named(&mut self, relation: Relation, qualifier: &[String], name: &str, span: Span) -> Planned<Relation> {
        let number = self.next_number();
        let unique = if self.aliases.insert(name.to_lowercase()) { name.to_string() } else { format!("{name}#{number}") };
        // Columns of several relations may share a name: they get one of their own before the alias takes their qualifiers away.
        let mut columns: Vec<Column> = Vec::with_capacity(relation.columns.len());
        let mut projection = Vec::with_capacity(relation.columns.len());
        for (index, column) in relation.columns.iter().enumerate() {
            let twice = columns.iter().any(|known| known.column.name == column.column.name);
            let plan_name = if twice { format!("{}#{index}", column.column.name) } else { column.column.name.clone() };
            let renamed = Column { column: datafusion_common::Column::new_unqualified(plan_name.clone()), ..column.clone() };
            projection.push(if twice { column.expr().alias(plan_name) } else { column.expr() });
            columns.push(renamed.within(&unique, qualifier));
        }
        let same = relation.plan.schema().fields().len() == columns.len()
            && columns.iter().zip(relation.plan.schema().fields()).all(|(column, field)| column.column.name == *field.name());
        let builder = LogicalPlanBuilder::from(relation.plan);
        let builder = if same || columns.is_empty() { Ok(builder) } else { builder.project(projection) };
        let plan = builder.and_then(|builder| builder.alias(TableReference::bare(unique))).and_then(LogicalPlanBuilder::build);
        Ok(Relation { plan: self.built(plan, span)?, columns })
    }

    /// A condition: BOOLEAN, or NULL.
    pub fn condition(&self, value: Typed, place: &str, span: Span) -> Planned<datafusion_expr::Expr> {
        match value.data_type {
            DataType::Boolean => Ok(value.expr),
            DataType::Null => Ok(self.cast(value, &DataType::Boolean).expr),
            other => {
                let message = format!("the {place} must be BOOLEAN, but it is {}", crate::analysis::ddl::type_text(&other));
                self.error("DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN", message, span)
            }
        }
    }
}

/// What stands behind a relation and would change its rows, if nothing here reads it.
fn not_read(factor: &TableFactor) -> Option<&'static str> {
    match factor {
        TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => Some("TABLESAMPLE"),
        TableFactor::Table { with_hints, .. } if !with_hints.is_empty() => Some("WITH (…) behind a table that is no stream"),
        TableFactor::Table { partitions, .. } if !partitions.is_empty() => Some("PARTITION behind a table"),
        TableFactor::Table { index_hints, .. } if !index_hints.is_empty() => Some("an index hint behind a table"),
        TableFactor::Table { with_ordinality: true, .. } => Some("WITH ORDINALITY"),
        TableFactor::Table { json_path: Some(_), .. } => Some("a path behind a table"),
        _ => None,
    }
}

/// The alias of a table factor.
pub fn alias_of(factor: &TableFactor) -> Option<&ast::TableAlias> {
    match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Pivot { alias, .. }
        | TableFactor::Unpivot { alias, .. } => alias.as_ref(),
        _ => None,
    }
}

fn join_kind(operator: &JoinOperator) -> Option<(JoinType, &JoinConstraint)> {
    Some(match operator {
        JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::CrossJoin(c) => (JoinType::Inner, c),
        JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (JoinType::Left, c),
        JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (JoinType::Right, c),
        JoinOperator::FullOuter(c) => (JoinType::Full, c),
        JoinOperator::Semi(c) | JoinOperator::LeftSemi(c) => (JoinType::LeftSemi, c),
        JoinOperator::RightSemi(c) => (JoinType::RightSemi, c),
        JoinOperator::Anti(c) | JoinOperator::LeftAnti(c) => (JoinType::LeftAnti, c),
        JoinOperator::RightAnti(c) => (JoinType::RightAnti, c),
        _ => return None,
    })
}

fn keeps_left_only(operator: &JoinOperator) -> bool {
    join_kind(operator).is_some_and(|(kind, _)| matches!(kind, JoinType::Inner | JoinType::Left))
}

/// The columns of one side of a semi join.
fn side_of(relation: Relation, keeps: impl Fn(usize) -> bool) -> Relation {
    let columns = relation.columns.into_iter().enumerate().filter(|(index, _)| keeps(*index)).map(|(_, column)| column).collect();
    Relation { plan: relation.plan, columns }
}

pub fn always_true(constraint: &JoinConstraint) -> bool {
    match constraint {
        JoinConstraint::On(ast::Expr::Value(value)) => matches!(value.value, ast::Value::Boolean(true)),
        JoinConstraint::None => true,
        _ => false,
    }
}

/// The file relation with the hidden column at its end.
fn with_file_metadata(source: RelationSource) -> RelationSource {
    let mut fields: Vec<Field> = source.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new("_metadata", file_metadata_type(), true));
    RelationSource { schema: Arc::new(Schema::new(fields)), relation: source.relation }
}

/// The type of `_metadata`.
pub fn file_metadata_type() -> DataType {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    DataType::Struct(
        vec![
            field("file_path", DataType::Utf8),
            field("file_name", DataType::Utf8),
            field("file_size", DataType::Int64),
            field("file_block_start", DataType::Int64),
            field("file_block_length", DataType::Int64),
            field("file_modification_time", function::timestamp_type()),
        ]
        .into(),
    )
}

fn factor_span(factor: &TableFactor) -> Span {
    let span = factor.span();
    match factor {
        TableFactor::Table { name, .. } | TableFactor::Function { name, .. } if span.start.line == 0 => name.span(),
        _ => span,
    }
}

/// Texts of files are read in the time zone of the session, unless their read names another.
fn in_zone(source: RelationSource, zone: &str) -> RelationSource {
    let is_text = matches!(&source.relation.kind, RelationKind::Files { format, .. } if ["json", "jsonl", "ndjson", "csv"].contains(&format.as_str()));
    if !is_text || zone == "UTC" || source.relation.options.contains_key(TIME_ZONE) {
        return source;
    }
    let mut relation = source.relation.as_ref().clone();
    relation.options.insert(TIME_ZONE.to_string(), zone.to_string());
    RelationSource { relation: Arc::new(relation), ..source }
}
