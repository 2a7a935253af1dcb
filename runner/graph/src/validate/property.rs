//! Rules about properties and settings of the whole pipeline, and values that would silently not do what they say.
//!
//! Keys of one table, of `SET` and of `spec.configuration` are checked where they are read (`definition`), with their exact place.

use crate::{
    definition::{Dataset, DatasetKind, properties},
    origin::{Diagnostic, Severity},
    resolve::ResolveInput,
};

/// Lints about `spec.properties`; which kinds of table a value fits is asked for each table.
pub(super) fn pipeline(input: &ResolveInput) -> Vec<Diagnostic> {
    let found = |(key, value): (&String, &String)| properties::table_property(key, value, DatasetKind::StreamingTable);
    input.properties.iter().flat_map(found).filter(|found| found.severity == Severity::Lint).collect()
}

/// Errors about the properties that one table has, those of the pipeline included.
pub(super) fn table(dataset: &Dataset, input: &ResolveInput) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (key, value) in &dataset.properties {
        let is_inherited = input.properties.get(key) == Some(value);
        let inherited = if is_inherited { properties::table_property(key, value, dataset.kind) } else { Vec::new() };
        errors.extend(inherited.into_iter().filter(|found| found.severity == Severity::Error));
        errors.extend(own_key(dataset, key));
        errors.extend(not_boolean(dataset, key, value));
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

/// A flag that is neither true nor false would silently not protect a table.
fn not_boolean(dataset: &Dataset, key: &str, value: &str) -> Option<Diagnostic> {
    let flags = ["pipelines.reset.allowed", "delta.appendOnly", "delta.enableChangeDataFeed"];
    let is_flag = flags.iter().any(|flag| flag.eq_ignore_ascii_case(key));
    if !is_flag || value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
        return None;
    }
    let error = Diagnostic::error("INVALID_PROPERTY_VALUE", format!("{} sets {key} to {value:?}", dataset.name.name));
    Some(error.help("use true or false"))
}
