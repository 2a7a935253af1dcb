//! What a metadata commit changes in a stored table, and what its rows have to keep from then on.

use std::collections::BTreeMap;

use datafusion_common::arrow::datatypes::Field;

use super::{NewRules, StoredTable, changes::needs_full_refresh};
use crate::{
    analysis::SqlSettings,
    definition::{Dataset, properties::table_property},
    graph::{ResolvedDataset, RowRules},
    origin::Diagnostic,
};

/// Keys that Floe writes into every table itself.
const OWN_PREFIX: &str = "floe.";
/// Key of the columns by which the files of a table are sorted, as JSON.
pub const CLUSTER_COLUMNS: &str = "floe.clusterColumns";
/// Key of the names of the checks that its definition has, as JSON.
pub const CHECKS: &str = "floe.checks";
/// Key of the settings by which checks and generated columns mean what they do, as JSON: their texts alone do not tell.
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
    if !rules.checks.is_empty() || !rules.generated.is_empty() {
        properties.push((RULE_SETTINGS.to_string(), settings_text(&rules.settings)));
    }
    if !cluster_by.is_empty() {
        properties.push((CLUSTER_COLUMNS.to_string(), serde_json::json!(cluster_by).to_string()));
    }
    properties
}

fn settings_text(settings: &SqlSettings) -> String {
    serde_json::json!({"ansi": settings.ansi, "timeZone": settings.time_zone}).to_string()
}

/// True if the rules of a table with the properties `stored` were made with other settings than those of `wanted`. Of a table that does not tell,
/// it is not known.
pub fn settings_changed(stored: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    stored.get(RULE_SETTINGS).zip(wanted.get(RULE_SETTINGS)).is_some_and(|(stored, wanted)| stored != wanted)
}

/// The settings of the rules that `table` has, in words, if they are not those of `dataset`.
fn other_settings(dataset: &ResolvedDataset, table: &StoredTable) -> Option<String> {
    let stored = table.properties.get(RULE_SETTINGS).filter(|stored| **stored != settings_text(&dataset.rules.settings))?;
    let stored: serde_json::Value = serde_json::from_str(stored).unwrap_or_default();
    let ansi = if stored["ansi"] == true { "on" } else { "off" };
    Some(format!("ANSI {ansi} in the time zone {}", stored["timeZone"].as_str().unwrap_or("?")))
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
    let other_settings = other_settings(dataset, table).is_some();
    let is_stored = |name: &str, text: &str| {
        let name = name.to_lowercase();
        !other_settings
            && ours.contains(&name)
            && table.properties.get(&format!("{CONSTRAINT_PREFIX}{name}")).is_some_and(|stored| stored == text)
    };
    let checks = dataset.rules.checks.iter().filter(|check| !is_stored(&check.name, &check.text)).map(|check| check.name.clone());
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
    let other_settings = other_settings(dataset, table);
    let changed = |column: &&crate::graph::GeneratedColumn| match stored_field(table, &column.name) {
        Some(field) => other_settings.is_some() || field.metadata().get(GENERATION_EXPRESSION) != Some(&column.text),
        None => true,
    };
    let now = &dataset.rules.settings;
    let error = |column: &crate::graph::GeneratedColumn| {
        let then = match stored_field(table, &column.name).map(|field| field.metadata().get(GENERATION_EXPRESSION)) {
            None => "is not stored yet".to_string(),
            Some(None) => "is stored as the queries gave it".to_string(),
            Some(Some(text)) => match &other_settings {
                Some(settings) => format!("is stored as {text} with {settings}"),
                None => format!("is stored as {text}"),
            },
        };
        let with = match &other_settings {
            Some(_) => format!(" with ANSI {} in the time zone {}", if now.ansi { "on" } else { "off" }, now.time_zone),
            None => String::new(),
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
