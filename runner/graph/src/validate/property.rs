//! Rules about properties and settings of the whole pipeline, and values that would silently not do what they say.
//!
//! Keys of one table, of `SET` and of `spec.configuration` are checked where they are read (`definition`), with their exact place.

use crate::{
    definition::{Dataset, DatasetKind, properties},
    origin::{Diagnostic, Severity},
    resolve::ResolveInput,
};

/// Findings about `spec.properties`; which kinds of table a value fits is asked for each table.
pub(super) fn pipeline(input: &ResolveInput) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (key, value) in &input.properties {
        let found = properties::table_property(key, value, DatasetKind::StreamingTable).into_iter().filter(is_of_every_table);
        findings.extend(found.map(|found| match input.places.get(&format!("/spec/properties/{key}")) {
            Some(place) => found.at(place),
            None => found,
        }));
    }
    findings
}

/// True if a finding holds whatever the table is.
fn is_of_every_table(found: &Diagnostic) -> bool {
    found.severity == Severity::Lint || found.class == properties::INVALID_VALUE
}

/// Errors about the properties that one table has, those of the pipeline included.
pub(super) fn table(dataset: &Dataset, input: &ResolveInput) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (key, value) in &dataset.properties {
        let is_inherited = input.properties.get(key) == Some(value);
        let inherited = if is_inherited { properties::table_property(key, value, dataset.kind) } else { Vec::new() };
        errors.extend(inherited.into_iter().filter(|found| !is_of_every_table(found)));
        errors.extend(own_key(dataset, key));
    }
    errors.into_iter().map(|error| error.at(&dataset.origin).about(dataset.name.to_string())).collect()
}

/// PROPERTY_NOT_ALLOWED: keys that Floe writes itself.
fn own_key(dataset: &Dataset, key: &str) -> Option<Diagnostic> {
    if !key.to_lowercase().starts_with("floe.") {
        return None;
    }
    let error =
        Diagnostic::error("PROPERTY_NOT_ALLOWED", format!("{} sets {key}: Floe itself writes keys with this prefix", dataset.name.name));
    Some(error.help("remove the property"))
}
