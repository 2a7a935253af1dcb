//! Windows of time: `window(t, size [, slide [, start]])`. A row belongs to one window, or to several that overlap.

use std::ops::ControlFlow;

use datafusion_common::{
    ScalarValue,
    arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit},
};
use datafusion_expr::{Expr, LogicalPlanBuilder, lit};
use sqlparser::{
    ast::{self, GroupByExpr, Spanned, Visit, Visitor},
    tokenizer::Span,
};

use super::{
    Planned, Planner, Relation, Scope, Typed,
    generate::Source,
    literal::{scalar, text},
};
use crate::analysis::references::list;

/// Most windows that one row belongs to.
const MOST_WINDOWS: i64 = 1000;
const NANOS_PER_MICRO: i64 = 1000;

/// A call of `window`, lengths in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeWindow {
    time: Typed,
    size: i64,
    slide: i64,
    start: i64,
}

impl Planner<'_> {
    /// The window that a row belongs to. One that overlaps others is known from `slide`, which made a row of each.
    pub fn window_struct(&self, arguments: Vec<Typed>, span: Span) -> Planned<Typed> {
        let window = self.time_window(arguments, span)?;
        if window.slide == window.size {
            return self.tumbling(&window.time, window.size, window.start, span);
        }
        match self.local.sliding.iter().find(|(known, _)| *known == window) {
            Some((_, column)) => Ok(column.clone()),
            None => self.unsupported("a sliding window here; it stands in GROUP BY, or in the items of a SELECT without GROUP BY", span),
        }
    }

    fn time_window(&self, arguments: Vec<Typed>, span: Span) -> Planned<TimeWindow> {
        let mut arguments = arguments.into_iter();
        let (Some(time), Some(size)) = (arguments.next(), arguments.next()) else {
            return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "window takes a time, a size, and optionally slide and start", span);
        };
        let size = self.microseconds(&size, span)?;
        let slide = arguments.next().map(|slide| self.microseconds(&slide, span)).transpose()?.unwrap_or(size);
        let start = arguments.next().map(|start| self.microseconds(&start, span)).transpose()?.unwrap_or(0);
        if size <= 0 || slide <= 0 || slide > size || start.abs() >= slide {
            let message = "a window needs a size above 0, a slide of at most the size, and a start below the slide";
            return self.error("DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION", message, span);
        }
        if size / slide >= MOST_WINDOWS {
            let message = format!("a row would belong to more than {MOST_WINDOWS} windows; choose a longer slide");
            return self.error("DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION", message, span);
        }
        Ok(TimeWindow { time, size, slide, start })
    }

    fn tumbling(&self, time: &Typed, size: i64, start: i64, span: Span) -> Planned<Typed> {
        let number = |value: i64| scalar(ScalarValue::Int64(Some(value)));
        self.stub("window", vec![time.clone(), number(size), number(start)], span)
    }

    /// For each sliding window of GROUP BY, or of the items without it, one row per window that a row belongs to.
    pub fn slide(&mut self, mut relation: Relation, select: &ast::Select, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        for call in window_calls(select) {
            let span = call.name.span();
            let window = {
                let scope = Scope::new(&relation.columns, outer);
                let arguments = self.arguments(list(&call.args), &scope, span)?;
                self.time_window(arguments, span)?
            };
            let is_known = self.local.sliding.iter().any(|(known, _)| *known == window);
            if window.slide < window.size && !is_known {
                if !self.local.sliding.is_empty() {
                    return self.unsupported("a second sliding window in one SELECT, which would pair all windows of both", span);
                }
                relation = self.overlapping(relation, window, span)?;
            }
        }
        Ok(relation)
    }

    fn overlapping(&mut self, relation: Relation, window: TimeWindow, span: Span) -> Planned<Relation> {
        let last = self.field(self.tumbling(&window.time, window.slide, window.start, span)?, "start", span)?;
        let mut windows = Vec::new();
        let mut back = 0;
        while back < window.size {
            let start = self.stub("$add_interval", vec![last.clone(), interval(-back)], span)?;
            let end = self.stub("$add_interval", vec![last.clone(), interval(window.size - back)], span)?;
            windows.push(self.stub("named_struct", vec![text("start"), start, text("end"), end], span)?);
            back += window.slide;
        }
        let argument = self.stub("array", windows, span)?;
        let mut relation = self.generate_from(relation, Source { name: "explode", argument, keeps_empty: false, span }, &[])?;
        let Some(column) = relation.columns.last_mut() else { return Ok(relation) };
        column.hidden = true;
        // Nobody can write this, so that only the window means the column.
        column.name = format!("__window#{}", column.column.name);
        let column = column.typed();
        let end = self.field(column.clone(), "end", span)?;
        let within = self.compare(window.time.clone(), &ast::BinaryOperator::Lt, end, span)?;
        let plan = LogicalPlanBuilder::from(relation.plan).filter(within.expr).and_then(LogicalPlanBuilder::build);
        relation.plan = self.built(plan, span)?;
        self.local.sliding.push((window, column));
        Ok(relation)
    }
}

/// The calls of `window` that may make several rows of one: those of GROUP BY, without it those of the items.
fn window_calls(select: &ast::Select) -> Vec<ast::Function> {
    let is_window = |call: &ast::Function| call.over.is_none() && call.name.to_string().eq_ignore_ascii_case("window");
    match &select.group_by {
        GroupByExpr::Expressions(exprs, _) if !exprs.is_empty() => {
            let calls = exprs.iter().filter_map(|expr| if let ast::Expr::Function(call) = expr { Some(call.clone()) } else { None });
            calls.filter(is_window).collect()
        }
        GroupByExpr::All(_) => Vec::new(),
        GroupByExpr::Expressions(..) => {
            let mut calls = Calls::default();
            // The visitor never breaks.
            let _ = select.projection.visit(&mut calls);
            calls.found.into_iter().filter(is_window).collect()
        }
    }
}

/// The calls of functions outside of subqueries.
#[derive(Default)]
struct Calls {
    found: Vec<ast::Function>,
    queries: usize,
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        if let (0, ast::Expr::Function(call)) = (self.queries, expr) {
            self.found.push(call.clone());
        }
        ControlFlow::Continue(())
    }
}

fn interval(us: i64) -> Typed {
    let value = IntervalMonthDayNano::new(0, 0, us.saturating_mul(NANOS_PER_MICRO));
    let expr: Expr = lit(ScalarValue::IntervalMonthDayNano(Some(value)));
    Typed::new(expr, DataType::Interval(IntervalUnit::MonthDayNano))
}
