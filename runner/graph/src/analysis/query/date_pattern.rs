//! Patterns of dates that are literals are checked while planning, with the class that they have when rows meet them.

use datafusion_common::{ScalarValue, arrow::datatypes::DataType};
use datafusion_expr::Expr;
use sqlparser::tokenizer::Span;

use super::{Planned, Planner, Typed, literal::value_of};
use crate::{
    function::date_pattern::{self, PATTERN_HELP},
    origin::Diagnostic,
};

impl Planner<'_> {
    /// Fails if one of the patterns that the call of `function` gives is none.
    pub(super) fn check_date_patterns(&self, function: &str, arguments: &[Typed], span: Span) -> Planned<()> {
        let given = |index: usize| arguments.get(index).map(|argument| &argument.expr);
        // Of what is a time already no pattern is asked.
        let reads_text = arguments.first().is_some_and(|value| value.data_type == DataType::Utf8);
        let patterns: Vec<&str> = match function {
            "date_format" | "from_unixtime" => given(1).and_then(text).into_iter().collect(),
            "to_date" | "try_to_date" | "to_timestamp" | "try_to_timestamp" | "unix_timestamp" if reads_text => {
                given(1).and_then(text).into_iter().collect()
            }
            "from_json" => given(2).map(|options| patterns_of(options, &["timestampformat", "dateformat"])).unwrap_or_default(),
            "to_json" => given(1).map(|options| patterns_of(options, &["timestampformat"])).unwrap_or_default(),
            _ => return Ok(()),
        };
        let Some(error) = patterns.into_iter().find_map(|pattern| date_pattern::items(pattern).err()) else { return Ok(()) };
        let text = format!("{error} (in {function})");
        Err(Box::new(Diagnostic::error("INVALID_DATETIME_PATTERN", text).at(&self.origin(span)).help(PATTERN_HELP)))
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match value_of(expr)? {
        ScalarValue::Utf8(text) => text.as_deref(),
        _ => None,
    }
}

/// The values that the call `map(…)` gives the keys `names`.
fn patterns_of<'a>(options: &'a Expr, names: &[&str]) -> Vec<&'a str> {
    let Expr::ScalarFunction(call) = options else { return Vec::new() };
    if call.func.name() != "map" {
        return Vec::new();
    }
    let entries = call.args.chunks(2).filter_map(|entry| Some((text(entry.first()?)?, text(entry.get(1)?)?)));
    entries.filter(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name))).map(|(_, pattern)| pattern).collect()
}
