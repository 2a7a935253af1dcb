//! Which columns of a plan are event times: a watermark declares one, and it stays one as long as it is passed on as it is.

use datafusion_common::Column;
use datafusion_expr::{Expr, LogicalPlan};

use super::{Deduplicate, Watermark};
use crate::analysis::Expect;

/// An event-time column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTime {
    /// The column of the plan.
    pub column: Column,
    /// How much later than the greatest event time a row may come.
    pub delay_us: i64,
}

/// The event-time columns that `plan` gives out.
pub fn event_times(plan: &LogicalPlan) -> Vec<EventTime> {
    match plan {
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any();
            if let Some(watermark) = node.downcast_ref::<Watermark>() {
                let declared = watermark.column.column_refs().into_iter().cloned();
                let declared = declared.map(|column| EventTime { column, delay_us: watermark.delay_us });
                return event_times(&watermark.input).into_iter().chain(declared).collect();
            }
            if node.is::<Expect>() || node.is::<Deduplicate>() { of_inputs(plan) } else { Vec::new() }
        }
        LogicalPlan::Projection(projection) => {
            let known = event_times(&projection.input);
            let outputs = projection.expr.iter().zip(plan.schema().columns());
            outputs.filter_map(|(expr, column)| Some(EventTime { column, ..found(&known, passed_on(expr)?)?.clone() })).collect()
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let known = event_times(&alias.input);
            let outputs = alias.input.schema().columns().into_iter().zip(plan.schema().columns());
            outputs.filter_map(|(inner, column)| Some(EventTime { column, ..found(&known, &inner)?.clone() })).collect()
        }
        LogicalPlan::Union(union) => {
            let inputs: Vec<_> = union.inputs.iter().map(|input| (input.schema().columns(), event_times(input))).collect();
            let of = |(at, column): (usize, Column)| {
                // An event time in every branch; the longest delay is right for all of them.
                let delays = inputs.iter().map(|(columns, known)| found(known, columns.get(at)?).map(|time| time.delay_us));
                let delay_us = delays.collect::<Option<Vec<i64>>>()?.into_iter().max()?;
                Some(EventTime { column, delay_us })
            };
            plan.schema().columns().into_iter().enumerate().filter_map(of).collect()
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Join(_) | LogicalPlan::Unnest(_) => {
            of_inputs(plan)
        }
        _ => Vec::new(),
    }
}

/// Those of the inputs that are columns of the plan itself.
fn of_inputs(plan: &LogicalPlan) -> Vec<EventTime> {
    let is_output = |time: &EventTime| plan.schema().has_column(&time.column);
    plan.inputs().into_iter().flat_map(event_times).filter(is_output).collect()
}

fn passed_on(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => passed_on(&alias.expr),
        _ => None,
    }
}

fn found<'t>(known: &'t [EventTime], column: &Column) -> Option<&'t EventTime> {
    known.iter().find(|time| time.column == *column)
}
