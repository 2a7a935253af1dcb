//! Rules about names that the command line gives a value: each must be read by something.

use std::{collections::BTreeSet, ops::ControlFlow};

use sqlparser::ast::{self, Visit, Visitor};

use crate::{
    definition::Definitions,
    origin::{Diagnostic, Severity},
    resolve::{ResolveInput, near_names},
};

/// UNKNOWN_SQL_PARAMETER and UNKNOWN_CONFIGURATION_KEY: values that no query reads.
pub(crate) fn unread(definitions: &Definitions, input: &ResolveInput) -> Vec<Diagnostic> {
    let mut errors = unread_configuration(definitions, input);
    // What a statement with an error reads is not known.
    let is_complete = definitions.incomplete.is_empty() && !definitions.diagnostics.iter().any(|found| found.severity == Severity::Error);
    if is_complete && !input.given.parameters.is_empty() {
        errors.extend(unread_parameters(definitions, input));
    }
    errors
}

fn unread_configuration(definitions: &Definitions, input: &ResolveInput) -> Vec<Diagnostic> {
    let given = &input.given.configuration;
    let declared = || input.configuration.keys().filter(|key| !given.contains(*key));
    let known = || definitions.configuration_keys.iter().chain(declared());
    let unread = given.iter().filter(|key| !definitions.configuration_keys.contains(*key));
    let error = |key: &String| {
        let error = Diagnostic::error("UNKNOWN_CONFIGURATION_KEY", format!("--set {key}: nothing reads ${{{key}}}"));
        error.help(instead(key, known().cloned(), "remove it, or read it in a query or in spec.configuration"))
    };
    unread.map(error).collect()
}

fn unread_parameters(definitions: &Definitions, input: &ResolveInput) -> Vec<Diagnostic> {
    let given = &input.given.parameters;
    let read = read_parameters(definitions);
    let declared = input.parameters.iter().map(|(name, _)| name).filter(|name| !given.contains(*name));
    let known: BTreeSet<&String> = declared.chain(&read).collect();
    let error = |name: &String| {
        let error = Diagnostic::error("UNKNOWN_SQL_PARAMETER", format!("--param {name}: no query reads :{name}"));
        error.help(instead(name, known.iter().map(|name| (*name).clone()), "remove it, or read it in a query"))
    };
    given.iter().filter(|name| !read.contains(*name)).map(error).collect()
}

fn instead(name: &str, known: impl Iterator<Item = String>, otherwise: &str) -> String {
    match near_names(name, known).first() {
        Some(near) => format!("did you mean {near}?"),
        None => otherwise.to_string(),
    }
}

/// Lower-case names of the parameters that queries and expectations read.
fn read_parameters(definitions: &Definitions) -> BTreeSet<String> {
    let mut found = Placeholders::default();
    // The visitor never breaks.
    for flow in &definitions.flows {
        let _ = flow.query.ast.visit(&mut found);
        if let crate::definition::FlowKind::AutoCdc(cdc) = &flow.kind {
            let clauses = [&cdc.sequence_by, &cdc.apply_as_delete_when, &cdc.apply_as_truncate_when];
            for clause in clauses.into_iter().flatten() {
                let _ = clause.expr.visit(&mut found);
            }
        }
    }
    for rule in definitions.datasets.iter().flat_map(|dataset| &dataset.expectations) {
        let _ = rule.expr.visit(&mut found);
    }
    found.names
}

#[derive(Default)]
struct Placeholders {
    names: BTreeSet<String>,
}

impl Visitor for Placeholders {
    type Break = ();

    fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<()> {
        if let ast::Value::Placeholder(name) = &value.value {
            self.names.insert(name.trim_start_matches(':').to_lowercase());
        }
        ControlFlow::Continue(())
    }
}
