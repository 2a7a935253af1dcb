//! What a metadata commit changes in a stored table, and what its rows have to keep from then on.

use std::collections::BTreeMap;

use datafusion_common::arrow::datatypes::{Field, Schema};
use serde_json::{Map, Value};

use super::{NewRules, StoredTable, changes::needs_full_refresh};
use crate::{
    analysis::Dependence,
    definition::{Dataset, properties::table_property},
    graph::{GeneratedColumn, ResolvedCheck, ResolvedDataset, RowRules},
    origin::Diagnostic,
};

/// Keys that Floe writes into every table itself.
const OWN_PREFIX: &str = "floe.";
/// Key of the columns by which the files of a table are sorted, as JSON.
pub const CLUSTER_COLUMNS: &str = "floe.clusterColumns";
/// Key of the names of the checks that its definition has, as JSON.
pub const CHECKS: &str = "floe.checks";
/// Key of the names of the generated columns that its definition has, as JSON.
pub const GENERATED_COLUMNS: &str = "floe.generatedColumns";
/// Key of the settings by which checks and generated columns mean what they do, as JSON: their texts alone do not tell. Settings that matter to none
/// of them are left out.
pub const RULE_SETTINGS: &str = "floe.ruleSettings";
/// Key of a check in a Delta table, with its name behind it.
pub const CONSTRAINT_PREFIX: &str = "delta.constraints.";
/// Key of the expression of a generated column, in the metadata of its field.
pub const GENERATION_EXPRESSION: &str = "delta.generationExpression";

/// Properties of a table by which it keeps its rules and its order.
pub fn rule_properties(rules: &RowRules, cluster_by: &[String]) -> Vec<(String, String)> {
    let mut properties: Vec<(String, String)> =
        rules.checks.iter().map(|check| (format!("{CONSTRAINT_PREFIX}{}", check.name.to_lowercase()), check.text.clone())).collect();
    if !rules.checks.is_empty() {
        let names: Vec<String> = rules.checks.iter().map(|check| check.name.to_lowercase()).collect();
        properties.push((CHECKS.to_string(), serde_json::json!(names).to_string()));
    }
    if !rules.generated.is_empty() {
        let names: Vec<&String> = rules.generated.iter().map(|column| &column.name).collect();
        properties.push((GENERATED_COLUMNS.to_string(), serde_json::json!(names).to_string()));
    }
    let counted = counted(rules);
    if !counted.is_empty() {
        properties.push((RULE_SETTINGS.to_string(), Value::Object(counted).to_string()));
    }
    if !cluster_by.is_empty() {
        properties.push((CLUSTER_COLUMNS.to_string(), serde_json::json!(cluster_by).to_string()));
    }
    properties
}

/// The settings that decide about `rules`.
fn counted(rules: &RowRules) -> Map<String, Value> {
    let (depends, settings) = (rules.dependence(), &rules.settings);
    let ansi = depends.ansi.then(|| ("ansi".to_string(), settings.ansi.into()));
    let zone = depends.time_zone.then(|| ("timeZone".to_string(), settings.time_zone.clone().into()));
    ansi.into_iter().chain(zone).collect()
}

/// The settings that a table with these properties was made with, as far as it tells.
fn stored_settings(properties: &BTreeMap<String, String>) -> Map<String, Value> {
    properties.get(RULE_SETTINGS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// True if the rules of a table with the properties `stored` were made with other settings than those of `wanted`. Of a setting that the table does
/// not tell, it is not known.
pub fn settings_changed(stored: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    let stored = stored_settings(stored);
    stored_settings(wanted).iter().any(|(key, wanted)| stored.get(key).is_some_and(|stored| stored != wanted))
}

/// The generated columns that a definition gave a table with these properties.
pub fn own_generated(properties: &BTreeMap<String, String>) -> Vec<String> {
    properties.get(GENERATED_COLUMNS).and_then(|names| serde_json::from_str(names).ok()).unwrap_or_default()
}

/// A column of `stored`, with its expression, that another program made a generated one: neither the definition that made the table nor `wanted` says so.
pub fn foreign_generated<'a>(
    stored: &'a Schema,
    properties: &BTreeMap<String, String>,
    wanted: impl Fn(&str) -> Option<String>,
) -> Option<(&'a str, &'a str)> {
    let own = own_generated(properties);
    let is_own = |name: &str| own.iter().any(|own| own.eq_ignore_ascii_case(name));
    let generated =
        stored.fields().iter().filter_map(|field| Some((field.name().as_str(), field.metadata().get(GENERATION_EXPRESSION)?.as_str())));
    let mut foreign = generated.filter(|(name, text)| !is_own(name) && wanted(name).as_deref() != Some(text));
    foreign.next()
}

/// DELTA_UNSUPPORTED_FEATURES_FOR_WRITE: the rows of the definition would not have the values that another program promised.
pub(super) fn foreign(dataset: &ResolvedDataset, table: &StoredTable) -> Option<Diagnostic> {
    let definition = &dataset.definition;
    let wanted = |name: &str| {
        let column = dataset.rules.generated.iter().find(|column| column.name.eq_ignore_ascii_case(name));
        column.map(|column| column.text.clone())
    };
    let (column, text) = foreign_generated(&table.schema, &table.properties, wanted)?;
    let message =
        format!("{} has the generated column {column}, which its definition lacks: another program made it {text}", definition.name.name);
    let help = format!(
        "declare it in the definition ({column} … GENERATED ALWAYS AS ({text})), or make it a plain column there; nothing was changed"
    );
    let error = Diagnostic::error("DELTA_UNSUPPORTED_FEATURES_FOR_WRITE", message).at(&definition.origin);
    Some(error.about(definition.name.to_string()).help(help))
}

/// The settings of a rule as the table has it and as it would have it, in words, if they differ.
fn other_settings(depends: Dependence, dataset: &ResolvedDataset, table: &StoredTable) -> Option<(String, String)> {
    let (stored, now) = (stored_settings(&table.properties), &dataset.rules.settings);
    let ansi = stored.get("ansi").and_then(Value::as_bool).filter(|_| depends.ansi);
    let zone = stored.get("timeZone").and_then(Value::as_str).filter(|_| depends.time_zone);
    if ansi.is_none_or(|ansi| ansi == now.ansi) && zone.is_none_or(|zone| zone == now.time_zone) {
        return None;
    }
    let words = |ansi: Option<bool>, zone: Option<&str>| {
        let ansi = ansi.map(|ansi| format!("ANSI {}", if ansi { "on" } else { "off" }));
        ansi.into_iter().chain(zone.map(|zone| format!("the time zone {zone}"))).collect::<Vec<_>>().join(" in ")
    };
    Some((words(ansi, zone), words(ansi.map(|_| now.ansi), zone.map(|_| now.time_zone.as_str()))))
}

/// Comments, properties and clustering that differ, each in words.
pub(super) fn changes(dataset: &ResolvedDataset, table: &StoredTable) -> Vec<String> {
    let definition = &dataset.definition;
    let mut what = Vec::new();
    if definition.comment != table.comment {
        what.push("comment".to_string());
    }
    for (key, value) in definition.properties.iter().filter(|(key, value)| is_stored(dataset, key, value)) {
        let stored = table.properties.iter().find(|(stored, _)| stored.eq_ignore_ascii_case(key));
        if stored.is_none_or(|(_, stored)| stored != value) {
            what.push(format!("property {key} = {value}"));
        }
    }
    let clustered: Vec<String> =
        table.properties.get(CLUSTER_COLUMNS).and_then(|columns| serde_json::from_str(columns).ok()).unwrap_or_default();
    if clustered != definition.cluster_by {
        let columns = definition.cluster_by.join(", ");
        what.push(if columns.is_empty() { "no clustering".to_string() } else { format!("clustering by {columns}") });
    }
    for column in dataset.schema.fields() {
        let declared = definition.columns.iter().flatten().find(|declared| declared.name.eq_ignore_ascii_case(column.name()));
        let comment = declared.and_then(|declared| declared.comment.as_ref());
        if stored_field(table, column.name()).is_some_and(|field| field.metadata().get("comment") != comment) {
            what.push(format!("comment of column {}", column.name()));
        }
    }
    what
}

/// False for keys that Floe writes itself and for properties that are not applied.
fn is_stored(dataset: &ResolvedDataset, key: &str, value: &str) -> bool {
    let has_prefix = |prefix: &str| key.to_lowercase().starts_with(prefix);
    let vectors = key.eq_ignore_ascii_case("delta.enableDeletionVectors") && dataset.auto_cdc.is_none();
    let not_applied = || table_property(key, value, dataset.definition.kind).iter().any(|found| found.class == "W008");
    !has_prefix(OWN_PREFIX) && !has_prefix("delta.feature.") && !vectors && !not_applied()
}

/// Rules that are added, changed or given up in place, each in words.
pub(super) fn rule_changes(dataset: &ResolvedDataset, table: &StoredTable) -> Vec<String> {
    let new = new_rules(dataset, table);
    let mut what: Vec<String> = new.checks.iter().map(|name| format!("check {name}")).collect();
    let is_declared = |name: &String| dataset.rules.checks.iter().any(|check| check.name.eq_ignore_ascii_case(name));
    what.extend(stored_checks(table).iter().filter(|name| !is_declared(name)).map(|name| format!("no check {name}")));
    what.extend(new.not_null.iter().map(|column| format!("column {column} NOT NULL")));
    for column in dataset.schema.fields() {
        let Some(stored) = stored_field(table, column.name()) else { continue };
        if !stored.is_nullable() && is_optional(&dataset.definition, column.name()) {
            what.push(format!("column {} may be NULL", column.name()));
        }
        if stored.metadata().contains_key(GENERATION_EXPRESSION) && !is_generated(dataset, column.name()) {
            what.push(format!("column {} is generated no more", column.name()));
        }
    }
    what
}

/// What the stored rows have to keep that they did not have to keep before.
pub(super) fn new_rules(dataset: &ResolvedDataset, table: &StoredTable) -> NewRules {
    let ours = stored_checks(table);
    let is_stored = |check: &&ResolvedCheck| {
        let name = check.name.to_lowercase();
        other_settings(check.depends, dataset, table).is_none()
            && ours.contains(&name)
            && table.properties.get(&format!("{CONSTRAINT_PREFIX}{name}")).is_some_and(|stored| *stored == check.text)
    };
    let checks = dataset.rules.checks.iter().filter(|check| !is_stored(check)).map(|check| check.name.clone());
    let required = dataset.definition.columns.iter().flatten().filter(|column| !column.nullable);
    let required = required.filter(|column| stored_field(table, &column.name).is_some_and(Field::is_nullable));
    NewRules {
        dataset: dataset.definition.name.clone(),
        version: table.version,
        checks: checks.collect(),
        not_null: required.map(|column| column.name.clone()).collect(),
    }
}

/// SCHEMA_CHANGE_REQUIRES_FULL_REFRESH: stored rows have other values than those that the table would compute.
pub(super) fn generated(dataset: &ResolvedDataset, table: &StoredTable) -> Vec<Diagnostic> {
    let definition = &dataset.definition;
    let changed = |column: &&GeneratedColumn| match stored_field(table, &column.name) {
        Some(field) => {
            other_settings(column.depends, dataset, table).is_some() || field.metadata().get(GENERATION_EXPRESSION) != Some(&column.text)
        }
        None => true,
    };
    let error = |column: &GeneratedColumn| {
        let settings = other_settings(column.depends, dataset, table);
        let (then_with, with) = settings.map(|(then, now)| (format!(" with {then}"), format!(" with {now}"))).unwrap_or_default();
        let then = match stored_field(table, &column.name).map(|field| field.metadata().get(GENERATION_EXPRESSION)) {
            None => "is not stored yet".to_string(),
            Some(None) => "is stored as the queries gave it".to_string(),
            Some(Some(text)) => format!("is stored as {text}{then_with}"),
        };
        let what = format!("column {} {then} and would be generated as {}{with}", column.name, column.text);
        needs_full_refresh(definition, &definition.name, &what).help(format!(
            "leave GENERATED out, put it or the settings back as they were, or run with --full-refresh {}",
            definition.name.name
        ))
    };
    dataset.rules.generated.iter().filter(changed).map(error).collect()
}

/// Names of the checks of the table that a definition gave it.
fn stored_checks(table: &StoredTable) -> Vec<String> {
    table.properties.get(CHECKS).and_then(|names| serde_json::from_str(names).ok()).unwrap_or_default()
}

fn stored_field<'a>(table: &'a StoredTable, name: &str) -> Option<&'a Field> {
    table.schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name)).map(AsRef::as_ref)
}

fn is_optional(definition: &Dataset, name: &str) -> bool {
    definition.columns.iter().flatten().find(|column| column.name.eq_ignore_ascii_case(name)).is_none_or(|column| column.nullable)
}

fn is_generated(dataset: &ResolvedDataset, name: &str) -> bool {
    dataset.rules.generated.iter().any(|column| column.name.eq_ignore_ascii_case(name))
}
