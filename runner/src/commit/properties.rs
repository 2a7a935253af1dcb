//! Which properties of a dataset go into its Delta table, and which protocol they and the columns need.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::Schema;

use floe_graph::plan::{
    CHECKS, CLUSTER_COLUMNS, CONSTRAINT_PREFIX, GENERATED_COLUMNS, GENERATION_EXPRESSION, RULE_SETTINGS, settings_changed,
};

use crate::commit::{action::Protocol, schema::has_timestamp_ntz, table::TableSpec};

/// Marks every table that Floe creates with the id of its pipeline.
pub const PIPELINE_ID: &str = "floe.pipelineId";
/// Hash of the plan that a materialized view was computed with.
pub const FINGERPRINT: &str = "floe.fingerprint";
/// JSON list of the columns by which rows of the table are looked up: its files are sorted by them.
pub const KEY_COLUMNS: &str = "floe.keyColumns";
/// A checkpoint of the log is written every so many commits.
pub const CHECKPOINT_INTERVAL: &str = "delta.checkpointInterval";
const DEFAULT_CHECKPOINT_INTERVAL: i64 = 10;
/// Changed and deleted rows are marked, and their files stay.
pub const DELETION_VECTORS: &str = "delta.enableDeletionVectors";
/// The feature that a table with this property has.
pub(super) const DELETION_VECTORS_FEATURE: &str = "deletionVectors";

/// Properties that would promise a table feature that Floe does not apply: the table must stay readable by everyone.
const NOT_APPLIED: [&str; 7] = [
    "delta.enablerowtracking",
    "delta.enabletypewidening",
    "delta.enableincommittimestamps",
    "delta.settransactionretentionduration",
    "delta.minreaderversion",
    "delta.minwriterversion",
    "delta.checkpointpolicy",
];
const NOT_APPLIED_PREFIXES: [&str; 2] = ["delta.columnmapping.", "delta.feature."];

/// The configuration of the table of `spec`; a table outside of the pipeline has only what it is given.
pub(super) fn stored(spec: &TableSpec) -> BTreeMap<String, String> {
    let Some(pipeline_id) = &spec.pipeline_id else { return spec.properties.clone() };
    let applied = |key: &str| {
        let key = key.to_ascii_lowercase();
        !NOT_APPLIED.contains(&key.as_str()) && !NOT_APPLIED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
    };
    let given = spec.properties.iter().filter(|(key, _)| applied(key)).map(|(key, value)| (key.clone(), value.clone()));
    let mut stored: BTreeMap<String, String> = given.collect();
    stored.entry(CHECKPOINT_INTERVAL.to_owned()).or_insert_with(|| DEFAULT_CHECKPOINT_INTERVAL.to_string());
    stored.insert(PIPELINE_ID.to_owned(), pipeline_id.clone());
    stored
}

/// `wanted` and what of `current` no definition says: the marks of a refresh.
pub(super) fn kept(current: &BTreeMap<String, String>, wanted: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let given = [CHECKS, CLUSTER_COLUMNS, GENERATED_COLUMNS, RULE_SETTINGS];
    let own = current.iter().filter(|(key, _)| key.starts_with("floe.") && !given.contains(&key.as_str()));
    let mut merged: BTreeMap<String, String> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    merged.extend(wanted);
    merged
}

/// What these columns and properties ask of writers beyond version 2, by the version that first had it.
fn asked(schema: &Schema, properties: &BTreeMap<String, String>) -> Vec<(i32, &'static str)> {
    let generates = schema.fields().iter().any(|field| field.metadata().contains_key(GENERATION_EXPRESSION));
    let asked = [
        (!constraints(properties).is_empty(), (3, "checkConstraints")),
        (is_true(properties, "delta.enableChangeDataFeed"), (4, "changeDataFeed")),
        (generates, (4, "generatedColumns")),
    ];
    asked.into_iter().filter(|(asked, _)| *asked).map(|(_, feature)| feature).collect()
}

/// The lowest protocol for these columns and properties.
pub(super) fn protocol(schema: &Schema, properties: &BTreeMap<String, String>) -> Protocol {
    let asked = asked(schema, properties);
    let has_times = schema.fields().iter().any(|field| has_timestamp_ntz(field.data_type()));
    let needed = [(has_times, "timestampNtz"), (is_true(properties, DELETION_VECTORS), DELETION_VECTORS_FEATURE)];
    let reader: Vec<String> = needed.iter().filter(|(needed, _)| *needed).map(|(_, feature)| (*feature).to_owned()).collect();
    if reader.is_empty() {
        let min_writer_version = asked.iter().map(|(version, _)| *version).max().unwrap_or(2);
        return Protocol { min_reader_version: 1, min_writer_version, reader_features: None, writer_features: None };
    }
    let asked = asked.into_iter().map(|(_, feature)| feature.to_owned());
    let writer = features_of(2).into_iter().chain(asked).chain(reader.iter().cloned()).collect();
    Protocol { min_reader_version: 3, min_writer_version: 7, reader_features: Some(reader), writer_features: Some(writer) }
}

/// What a writer version without named features stands for, as far as Floe writes it.
fn features_of(writer_version: i32) -> Vec<String> {
    let features = [(2, "appendOnly"), (2, "invariants"), (4, "changeDataFeed")];
    features.iter().filter(|(since, _)| writer_version >= *since).map(|(_, feature)| (*feature).to_owned()).collect()
}

/// `current`, raised where these columns and properties ask for more; `None` if it suffices.
pub(super) fn raised(current: &Protocol, schema: &Schema, properties: &BTreeMap<String, String>) -> Option<Protocol> {
    let needed = protocol(schema, properties);
    let both = |a: &[String], b: &[String]| -> Vec<String> {
        let more = b.iter().filter(|feature| !a.contains(feature));
        a.iter().chain(more).cloned().collect()
    };
    // What the table has by its version, it keeps by name; what is asked for by version is asked for by name too.
    let had = current.writer_features.clone().unwrap_or_else(|| features_of(current.min_writer_version));
    let by_version = || asked(schema, properties).into_iter().map(|(_, feature)| feature.to_owned()).collect();
    let asked = needed.writer_features.clone().unwrap_or_else(by_version);
    let reader = |protocol: &Protocol| protocol.reader_features.clone().unwrap_or_default();
    if current.min_writer_version < 7 && needed.min_writer_version < 7 {
        return (needed.min_writer_version > current.min_writer_version).then_some(needed);
    }
    let (reader_features, writer_features) = (both(&reader(current), &reader(&needed)), both(&had, &asked));
    let next = Protocol {
        min_reader_version: if reader_features.is_empty() { current.min_reader_version } else { 3 },
        min_writer_version: 7,
        reader_features: (!reader_features.is_empty() || current.reader_features.is_some()).then_some(reader_features),
        writer_features: Some(writer_features),
    };
    (next != *current).then_some(next)
}

/// The checks of a table with these properties: texts by names in lower case.
pub(super) fn constraints(properties: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let named = properties.iter().filter_map(|(key, text)| Some((key.strip_prefix(CONSTRAINT_PREFIX)?.to_lowercase(), text.clone())));
    named.collect()
}

/// True if `wanted` has a check that `current` lacks, or has by other settings.
pub(super) fn has_new_checks(current: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    let stored = constraints(current);
    let other_settings = settings_changed(current, wanted);
    constraints(wanted).iter().any(|(name, text)| other_settings || stored.get(name) != Some(text))
}

/// A check that no definition gave the table, with another program's name for it.
pub(super) fn foreign_check(properties: &BTreeMap<String, String>) -> Option<String> {
    let ours: Vec<String> = properties.get(CHECKS).and_then(|names| serde_json::from_str(names).ok()).unwrap_or_default();
    constraints(properties).into_keys().find(|name| !ours.contains(name))
}

/// The columns that `CLUSTER BY` of its definition gave a table with these properties.
pub(super) fn cluster_columns(properties: &BTreeMap<String, String>) -> Vec<String> {
    properties.get(CLUSTER_COLUMNS).and_then(|columns| serde_json::from_str(columns).ok()).unwrap_or_default()
}

/// The columns by which the files of a table with these properties are sorted.
pub(super) fn key_columns(properties: &BTreeMap<String, String>) -> Vec<String> {
    properties.get(KEY_COLUMNS).and_then(|columns| serde_json::from_str(columns).ok()).unwrap_or_default()
}

/// Commits between two checkpoints of the log.
pub(super) fn checkpoint_interval(properties: &BTreeMap<String, String>) -> i64 {
    let interval = properties.get(CHECKPOINT_INTERVAL).and_then(|value| value.parse().ok());
    interval.filter(|interval| *interval > 0).unwrap_or(DEFAULT_CHECKPOINT_INTERVAL)
}

pub(super) fn is_true(properties: &BTreeMap<String, String>, key: &str) -> bool {
    properties.iter().any(|(name, value)| name.eq_ignore_ascii_case(key) && value.eq_ignore_ascii_case("true"))
}
