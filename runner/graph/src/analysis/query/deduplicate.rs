//! Watermarks and de-duplication of streams.

use std::sync::Arc;

use datafusion_common::{
    Column as PlanColumn,
    arrow::datatypes::{DataType, TimeUnit},
};
use datafusion_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder};
use sqlparser::{ast, tokenizer::Span};

use super::{Column, Planned, Planner, Relation, Scope, Typed, literal::parse_interval, start_of};
use crate::{
    analysis::{
        RelationReference, ddl,
        references::WatermarkClause,
        state::{Deduplicate, EventTime, Remember, Watermark, event_times},
    },
    definition::WITHIN_WATERMARK,
};

/// Microseconds of a day, nanoseconds of a microsecond.
const MICROS_PER_DAY: i64 = 86_400_000_000;
const NANOS_PER_MICRO: i64 = 1000;

/// Where a SELECT stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the query, or a relation of one.
    From,
    /// It is a value or a set in an expression.
    Subquery,
}

/// The keys of a DISTINCT, with their text.
pub struct DistinctKeys {
    pub keys: Vec<(String, Typed)>,
    /// `WITHIN WATERMARK` stands behind them.
    pub within: bool,
    /// Of the SELECT.
    pub span: Span,
}

/// True for the key that stands for `WITHIN WATERMARK`.
pub fn is_within_watermark(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident) if ident.value == WITHIN_WATERMARK)
}

impl Planner<'_> {
    /// A stream with its event time. The name of the stream is that of the clause's columns; an alias comes after it.
    pub fn watermarked(
        &mut self,
        reference: &RelationReference,
        clause: &WatermarkClause<'_>,
        alias: Option<&ast::TableAlias>,
        span: Span,
    ) -> Planned<Relation> {
        let mut relation = self.reference(reference, None, span)?;
        let at = start_of(clause.expr);
        if !event_times(&relation.plan).is_empty() {
            let text = format!("{} has a watermark already, and a stream has only one", reference.text());
            return self.error("UNSUPPORTED_STREAMING_OPERATION", text, at);
        }
        let delay_us = self.delay(&clause.delay, clause.delay_span)?;
        let value = self.expr(clause.expr, &Scope::new(&relation.columns, None))?;
        let is_time = matches!(value.data_type, DataType::Timestamp(TimeUnit::Microsecond, _));
        if !is_time {
            let message = format!("the event time must be a TIMESTAMP, but it is {}", ddl::type_text(&value.data_type));
            return self.error("EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE", message, at);
        }
        let column = match (&value.expr, &clause.name) {
            (Expr::Column(column), None) => column.clone(),
            (_, None) => {
                let message = "an event time that is computed needs a name: WATERMARK expression AS name DELAY OF …";
                return self.error("REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE", message, at);
            }
            (_, Some(name)) => self.event_time(&mut relation, &value, name, at)?,
        };
        let node = Watermark { source: reference.text(), column: Expr::Column(column), delay_us, input: relation.plan };
        let relation = Relation { plan: LogicalPlan::Extension(Extension { node: Arc::new(node) }), columns: relation.columns };
        match alias {
            Some(alias) => self.aliased(relation, alias),
            None => Ok(relation),
        }
    }

    fn delay(&self, text: &str, span: Span) -> Planned<i64> {
        let lower = text.trim().to_lowercase();
        let found = parse_interval(lower.strip_prefix("interval").unwrap_or(&lower).trim().trim_matches('\''));
        let Some(found) = found else {
            let message = format!("{text} is not a delay; write for example DELAY OF INTERVAL 10 MINUTES");
            return self.error("INVALID_INTERVAL_FORMAT", message, span);
        };
        let us = i64::from(found.days).checked_mul(MICROS_PER_DAY).and_then(|days| days.checked_add(found.nanoseconds / NANOS_PER_MICRO));
        match us {
            Some(us) if us >= 0 && found.months == 0 => Ok(us),
            _ => {
                let message = format!("a delay of {text} is not possible: it must be zero or more, without months and years");
                self.error("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", message, span)
            }
        }
    }

    /// Adds the event time as a column of the relation.
    fn event_time(&self, relation: &mut Relation, value: &Typed, name: &str, span: Span) -> Planned<PlanColumn> {
        if relation.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)) {
            let message = format!("the stream has a column {name} already; give the event time another name");
            return self.error("COLUMN_ALREADY_EXISTS", message, span);
        }
        let like = relation.columns.first();
        let (qualifier, table) = like.map_or_else(Default::default, |like| (like.qualifier.clone(), like.column.relation.clone()));
        let column = PlanColumn::new(table.clone(), name);
        let known = relation.plan.schema().columns().into_iter().map(Expr::Column);
        let exprs: Vec<Expr> = known.chain([value.expr.clone().alias_qualified(table, name)]).collect();
        let plan = LogicalPlanBuilder::from(relation.plan.clone()).project(exprs).and_then(LogicalPlanBuilder::build);
        relation.plan = self.built(plan, span)?;
        let output = Column::output(name, name, value.data_type.clone());
        relation.columns.push(Column { qualifier, column: column.clone(), ..output });
        Ok(column)
    }

    /// The first row of each key of a stream, in all micro-batches.
    pub fn first_of_stream(&mut self, plan: LogicalPlan, distinct: DistinctKeys, place: Place) -> Planned<LogicalPlan> {
        let span = distinct.span;
        if place == Place::Subquery {
            let message = "DISTINCT over a stream is not possible in a subquery; de-duplicate in a temporary view";
            return self.error("UNSUPPORTED_STREAMING_OPERATION", message, span);
        }
        if let Some((name, key)) = distinct.keys.iter().find(|(_, key)| holds_map(&key.data_type)) {
            let message = format!("{name} is {} and cannot be a key: maps are not compared", ddl::type_text(&key.data_type));
            return self.error("UNSUPPORTED_FEATURE.SET_OPERATION_ON_MAP_TYPE", message, span);
        }
        let (names, keys): (Vec<String>, Vec<Typed>) = distinct.keys.into_iter().unzip();
        let (plan, keys) = self.key_columns(plan, keys, span)?;
        let event_time = event_times(&plan).into_iter().next();
        let is_key = |time: &EventTime| keys.iter().any(|key| *key == Expr::Column(time.column.clone()));
        let remember = match (&event_time, distinct.within) {
            (Some(time), true) => Remember::For { delay_us: time.delay_us },
            (None, true) => {
                let message = "WITHIN WATERMARK needs a watermark: STREAM(t) WATERMARK event_time DELAY OF INTERVAL 10 MINUTES";
                return self.error("UNSUPPORTED_STREAMING_OPERATION", message, span);
            }
            (Some(time), false) if is_key(time) => Remember::UntilEventTime,
            (_, false) => Remember::ForEver,
        };
        if remember == Remember::ForEver {
            let why = match &event_time {
                Some(time) => format!("{} is not among them", time.column.name),
                None => "there is no watermark".to_string(),
            };
            self.lint("W006", format!("keys of this DISTINCT are kept for ever, because {why}"), span);
        }
        let event_time = event_time.map(|time| Expr::Column(time.column));
        let node = Deduplicate { input: plan, number: 0, keys, names, order: Vec::new(), event_time, remember };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The keys as columns of the plan; those that are computed get a hidden one.
    pub fn key_columns(&mut self, plan: LogicalPlan, keys: Vec<Typed>, span: Span) -> Planned<(LogicalPlan, Vec<Expr>)> {
        let mut computed = Vec::new();
        let mut columns = Vec::with_capacity(keys.len());
        for key in keys {
            let key = if key.data_type == DataType::Null { self.cast(key, &DataType::Boolean) } else { key };
            if matches!(key.expr, Expr::Column(_)) {
                columns.push(key.expr);
                continue;
            }
            let name = format!("__floe_key#{}", self.next_number());
            columns.push(Expr::Column(PlanColumn::new_unqualified(&name)));
            computed.push(key.expr.alias(name));
        }
        if computed.is_empty() {
            return Ok((plan, columns));
        }
        let exprs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).chain(computed).collect();
        let plan = self.built(LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build), span)?;
        Ok((plan, columns))
    }
}

fn holds_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| holds_map(field.data_type())),
        DataType::List(field) => holds_map(field.data_type()),
        _ => false,
    }
}
