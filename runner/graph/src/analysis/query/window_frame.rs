//! Frames of windows: `ROWS BETWEEN 2 PRECEDING AND CURRENT ROW`, `RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND …`.

use datafusion_common::{ScalarValue, arrow::datatypes::IntervalMonthDayNano};
use datafusion_expr::{SortExpr, WindowFrame};
use sqlparser::{
    ast::{self, Spanned, WindowFrameBound as Bound},
    tokenizer::Span,
};

use super::{Planned, Planner, literal::value_of};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

impl Planner<'_> {
    /// The frame that is written, or the one that Spark takes: all rows up to the peers of the current one if there is an order, else all.
    pub fn window_frame(&self, frame: Option<&ast::WindowFrame>, order_by: &mut Vec<SortExpr>, span: Span) -> Planned<WindowFrame> {
        let Some(frame) = frame else { return Ok(WindowFrame::new((!order_by.is_empty()).then_some(false))) };
        let start_bound = self.frame_bound(&frame.start_bound)?;
        let end_bound = frame.end_bound.as_ref().map(|bound| self.frame_bound(bound)).transpose()?;
        let written = ast::WindowFrame { units: frame.units, start_bound, end_bound };
        let built = self.built(WindowFrame::try_from(written), span)?;
        self.built(built.regularize_order_bys(order_by), span)?;
        Ok(built)
    }

    /// The bound with its interval as one text, which is the only form that the engine reads.
    fn frame_bound(&self, bound: &Bound) -> Planned<Bound> {
        Ok(match bound {
            Bound::Preceding(Some(distance)) => Bound::Preceding(Some(self.frame_distance(distance)?)),
            Bound::Following(Some(distance)) => Bound::Following(Some(self.frame_distance(distance)?)),
            Bound::CurrentRow | Bound::Preceding(None) | Bound::Following(None) => bound.clone(),
        })
    }

    fn frame_distance(&self, distance: &ast::Expr) -> Planned<Box<ast::Expr>> {
        match distance {
            ast::Expr::Value(_) => Ok(Box::new(distance.clone())),
            ast::Expr::Interval(interval) => {
                let typed = self.interval(interval, distance.span())?;
                let Some(ScalarValue::IntervalMonthDayNano(Some(value))) = value_of(&typed.expr) else {
                    return self.unsupported("this interval as the bound of a frame", distance.span());
                };
                let value = Box::new(ast::Expr::Value(ast::Value::SingleQuotedString(interval_text(value)).into()));
                let text = ast::Interval { value, leading_field: None, last_field: None, ..interval.clone() };
                Ok(Box::new(ast::Expr::Interval(text)))
            }
            _ => self.unsupported("a bound of a frame that is neither a number nor an interval", distance.span()),
        }
    }
}

fn interval_text(value: &IntervalMonthDayNano) -> String {
    let (seconds, rest) = (value.nanoseconds / NANOS_PER_SECOND, (value.nanoseconds % NANOS_PER_SECOND).unsigned_abs());
    let sign = if value.nanoseconds < 0 && seconds == 0 { "-" } else { "" };
    format!("{} months {} days {sign}{seconds}.{rest:09} seconds", value.months, value.days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_one_text() {
        let text = |months, days, nanoseconds| interval_text(&IntervalMonthDayNano::new(months, days, nanoseconds));
        assert_eq!(text(14, -1, 1_500_000_000), "14 months -1 days 1.500000000 seconds");
        assert_eq!(text(0, 0, -1), "0 months 0 days -0.000000001 seconds");
    }
}
