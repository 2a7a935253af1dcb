//! Predicates of expectations, typed over the output columns of their dataset.

use std::sync::Arc;

use datafusion_common::arrow::datatypes::DataType;
use sqlparser::ast::{self, Visit, Visitor};

use super::{
    AnalysedQuery, FoundRelation, Parameters, RelationReference, Relations, SqlSettings,
    query::{Column, Planner, Scope},
};
use crate::{analysis::ddl, definition::Expectation, function, graph::ResolvedExpectation, name::Namespace, origin::Diagnostic};

/// Types the predicate over the output columns of `output`; `dataset` is the full name of what declares it.
pub fn analyse_expectation(
    expectation: &Expectation,
    dataset: &str,
    output: &AnalysedQuery,
    settings: &SqlSettings,
    parameters: &Parameters,
) -> Result<ResolvedExpectation, Diagnostic> {
    let located = |diagnostic: Diagnostic| {
        let origin =
            diagnostic.origin.clone().filter(|origin| origin.line > 1 || origin.column > 1).unwrap_or_else(|| expectation.origin.clone());
        diagnostic.at(&origin).about(dataset)
    };
    if let Some(what) = unsupported_part(&expectation.expr) {
        let text = format!("expectation {} uses {what}; a predicate sees one row only", expectation.name);
        return Err(located(
            Diagnostic::error("EXPECTATION_UNSUPPORTED_EXPRESSION", text)
                .help("check it with a materialized view and a FAIL expectation over its rows"),
        ));
    }
    let namespace = Namespace { catalog: String::new(), schema: String::new() };
    let file = Arc::clone(&expectation.origin.file);
    let mut planner = Planner::new(file, &namespace, &NoRelations, settings, parameters);
    let columns: Vec<Column> =
        output.schema.fields().iter().map(|field| Column::output(field.name(), field.name(), field.data_type().clone())).collect();
    let paths = qualified(&columns, output);
    let mut scope = Scope::new(&columns, None);
    scope.paths = &paths;
    let value = planner.expr(&expectation.expr, &scope).map_err(|error| located(*error))?;
    if !matches!(value.data_type, DataType::Boolean | DataType::Null) {
        let text = format!("expectation {} must be BOOLEAN, but it is {}", expectation.name, ddl::type_text(&value.data_type));
        return Err(located(Diagnostic::error("EXPECTATION_NOT_BOOLEAN", text)));
    }
    Ok(ResolvedExpectation {
        name: expectation.name.clone(),
        dataset: dataset.to_string(),
        text: expectation.text.clone(),
        predicate: planner.cast(value, &DataType::Boolean).expr,
        action: expectation.action,
    })
}

/// Output columns by the dotted path that selected them.
pub(super) fn qualified(columns: &[Column], output: &AnalysedQuery) -> Vec<(Vec<String>, Column)> {
    let paths = output.paths.iter().zip(columns).filter(|(path, _)| path.len() > 1);
    paths.map(|(path, column)| (path.clone(), column.clone())).collect()
}

/// A part that an expression over one row may not have, in words.
pub(super) fn unsupported_part(expr: &ast::Expr) -> Option<String> {
    struct Finder(Option<String>);
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> std::ops::ControlFlow<()> {
            let found = match expr {
                ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => Some("a subquery".to_string()),
                ast::Expr::Function(call) => {
                    let name = call.name.to_string();
                    if call.over.is_some() || function::window(&name).is_some() {
                        Some(format!("the window function {name}"))
                    } else if function::aggregate(&name).is_some() || name.eq_ignore_ascii_case("count_distinct") {
                        Some(format!("the aggregate {name}"))
                    } else if function::generator(&name).is_some() {
                        Some(format!("the generator {name}"))
                    } else {
                        None
                    }
                }
                _ => None,
            };
            self.0 = found;
            if self.0.is_some() { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        }
    }
    let mut finder = Finder(None);
    let _ = expr.visit(&mut finder);
    finder.0
}

/// Expressions over one row read no relation.
pub(super) struct NoRelations;

impl Relations for NoRelations {
    fn relation(&self, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
        Err(Diagnostic::not_supported("a relation in an expectation").at(&reference.origin))
    }
}
