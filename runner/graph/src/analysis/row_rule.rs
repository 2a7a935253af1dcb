//! Rules of a stored row, typed over the columns of its table: checks, and values that the table computes.
//!
//! Other engines evaluate the same text with nothing but the row, so that it may read nothing else: no parameter, no time, no chance.

use std::sync::Arc;

use datafusion_common::arrow::datatypes::{DataType, SchemaRef};
use datafusion_expr::Expr;
use sqlparser::ast::{self, Visit, Visitor};

use super::{
    Parameters, SqlSettings, ddl,
    dependence::dependence,
    determinism::facts_of,
    expectation::{NoRelations, unsupported_part},
    query::{Column, Planner, Scope},
};
use crate::{
    definition::{ClauseExpr, Dataset},
    graph::{GeneratedColumn, ResolvedCheck, RowRules},
    name::Namespace,
    origin::Diagnostic,
    resolve::same_type,
};

/// The rules of `dataset` over the columns of `schema`, or everything that is wrong with them.
pub fn analyse_row_rules(dataset: &Dataset, schema: &SchemaRef, settings: &SqlSettings) -> Result<RowRules, Vec<Diagnostic>> {
    let mut rules = RowRules { settings: settings.clone(), ..RowRules::default() };
    let mut errors = Vec::new();
    for check in &dataset.checks {
        let with = |settings: &SqlSettings| {
            Rule { dataset, settings, clause: &check.predicate, what: format!("CHECK {}", check.name) }.check(schema)
        };
        match with(settings) {
            Ok(predicate) => {
                let depends = dependence(&predicate, schema, settings, |settings| with(settings).ok());
                let (name, text) = (check.name.clone(), check.predicate.text.clone());
                rules.checks.push(ResolvedCheck { name, text, predicate, depends });
            }
            Err(error) => errors.push(*error),
        }
    }
    for column in dataset.columns.iter().flatten() {
        let (Some(clause), Ok(field)) = (&column.generated, schema.field_with_name(&column.name)) else { continue };
        let what = || format!("generated column {}", column.name);
        let with = |settings: &SqlSettings| Rule { dataset, settings, clause, what: what() }.generated(schema, field.data_type());
        match with(settings) {
            Ok(value) => {
                let depends = dependence(&value, schema, settings, |settings| with(settings).ok());
                rules.generated.push(GeneratedColumn { name: field.name().clone(), text: clause.text.clone(), value, depends });
            }
            Err(error) => errors.push(*error),
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

struct Rule<'a> {
    dataset: &'a Dataset,
    settings: &'a SqlSettings,
    clause: &'a ClauseExpr,
    /// What messages call it.
    what: String,
}

impl Rule<'_> {
    fn check(&self, schema: &SchemaRef) -> Result<Expr, Box<Diagnostic>> {
        let (value, data_type) = self.typed(schema, &[], &DataType::Boolean)?;
        if !matches!(data_type, DataType::Boolean | DataType::Null) {
            let text = format!("{} must be BOOLEAN, but it is {}", self.what, ddl::type_text(&data_type));
            return self.error("DELTA_NON_BOOLEAN_CHECK_CONSTRAINT", text, "write a predicate");
        }
        Ok(value)
    }

    fn generated(&self, schema: &SchemaRef, wanted: &DataType) -> Result<Expr, Box<Diagnostic>> {
        let generated: Vec<&str> =
            self.dataset.columns.iter().flatten().filter(|column| column.generated.is_some()).map(|column| column.name.as_str()).collect();
        let (value, data_type) = self.typed(schema, &generated, wanted)?;
        if !same_type(&data_type, wanted) {
            let (given, wanted) = (ddl::type_text(&data_type), ddl::type_text(wanted));
            let text = format!("{} is declared as {wanted}, but its expression gives {given}", self.what);
            let help = format!("write CAST(… AS {wanted}), or declare the column as {given}");
            return self.error("DELTA_GENERATED_COLUMNS_EXPR_TYPE_MISMATCH", text, &help);
        }
        Ok(value)
    }

    /// The typed expression over the columns of `schema` without `hidden` ones, as `wanted`, and the type that it has by itself.
    fn typed(&self, schema: &SchemaRef, hidden: &[&str], wanted: &DataType) -> Result<(Expr, DataType), Box<Diagnostic>> {
        let refused = unsupported_part(&self.clause.expr).or_else(|| parameter(&self.clause.expr));
        if let Some(part) = refused {
            let text = format!("{} uses {part}; it sees one row and nothing else", self.what);
            let help = "use an expectation, which may read parameters, or compute the value in the query";
            return self.error("DELTA_UNSUPPORTED_EXPRESSION_IN_ROW_RULE", text, help);
        }
        let is_hidden = |name: &str| hidden.iter().any(|hidden| hidden.eq_ignore_ascii_case(name));
        let fields = schema.fields().iter().filter(|field| !is_hidden(field.name()));
        let columns: Vec<Column> = fields.map(|field| Column::output(field.name(), field.name(), field.data_type().clone())).collect();
        let namespace = Namespace { catalog: String::new(), schema: String::new() };
        let none = Parameters::default();
        let mut planner = Planner::new(Arc::clone(&self.clause.origin.file), &namespace, &NoRelations, self.settings, &none);
        let value = planner.expr(&self.clause.expr, &Scope::new(&columns, None)).map_err(|error| Box::new(self.located(*error)))?;
        if let Some(function) = changing(&value.expr) {
            let text = format!("{} uses {function}, whose value is another one each time", self.what);
            return self.error("DELTA_NON_DETERMINISTIC_EXPRESSION_IN_ROW_RULE", text, "use a column of the row");
        }
        let data_type = value.data_type.clone();
        let wanted = if matches!(data_type, DataType::Null) || same_type(&data_type, wanted) { wanted } else { &data_type };
        Ok((planner.cast(value, wanted).expr, data_type))
    }

    fn error<T>(&self, class: &str, text: String, help: &str) -> Result<T, Box<Diagnostic>> {
        Err(Box::new(self.located(Diagnostic::error(class, text).help(help))))
    }

    fn located(&self, found: Diagnostic) -> Diagnostic {
        let origin = found.origin.clone().filter(|origin| origin.line > 1 || origin.column > 1);
        found.at(&origin.unwrap_or_else(|| self.clause.origin.clone())).about(self.dataset.name.to_string())
    }
}

/// A function of time or chance.
fn changing(expr: &Expr) -> Option<String> {
    let facts = facts_of(expr);
    facts.time_functions.into_iter().chain(facts.random_functions).next()
}

/// A parameter that the expression reads, in words.
fn parameter(expr: &ast::Expr) -> Option<String> {
    struct Finder(Option<String>);
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> std::ops::ControlFlow<()> {
            if let ast::Value::Placeholder(name) = &value.value {
                self.0 = Some(format!("the parameter {name}"));
            }
            std::ops::ControlFlow::Continue(())
        }
    }
    let mut finder = Finder(None);
    // The visitor never breaks.
    let _ = expr.visit(&mut finder);
    finder.0
}
