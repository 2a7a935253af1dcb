//! Which properties of a dataset go into its Delta table, and which protocol they and the columns need.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::Schema;

use crate::commit::{action::Protocol, schema::has_timestamp_ntz, table::TableSpec};

/// Marks every table that Floe creates with the id of its pipeline.
pub const PIPELINE_ID: &str = "floe.pipelineId";
/// Hash of the plan that a materialized view was computed with.
pub const FINGERPRINT: &str = "floe.fingerprint";
/// A checkpoint of the log is written every so many commits.
pub const CHECKPOINT_INTERVAL: &str = "delta.checkpointInterval";
const DEFAULT_CHECKPOINT_INTERVAL: i64 = 10;

/// Properties that would promise a table feature that Floe does not apply: the table must stay readable by everyone.
const NOT_APPLIED: [&str; 8] = [
    "delta.enabledeletionvectors",
    "delta.enablerowtracking",
    "delta.enabletypewidening",
    "delta.enableincommittimestamps",
    "delta.settransactionretentionduration",
    "delta.minreaderversion",
    "delta.minwriterversion",
    "delta.checkpointpolicy",
];
const NOT_APPLIED_PREFIXES: [&str; 2] = ["delta.columnmapping.", "delta.feature."];

/// The configuration of the table of `spec`.
pub(super) fn stored(spec: &TableSpec) -> BTreeMap<String, String> {
    let applied = |key: &str| {
        let key = key.to_ascii_lowercase();
        !NOT_APPLIED.contains(&key.as_str()) && !NOT_APPLIED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
    };
    let given = spec.properties.iter().filter(|(key, _)| applied(key)).map(|(key, value)| (key.clone(), value.clone()));
    let mut stored: BTreeMap<String, String> = given.collect();
    stored.entry(CHECKPOINT_INTERVAL.to_owned()).or_insert_with(|| DEFAULT_CHECKPOINT_INTERVAL.to_string());
    stored.insert(PIPELINE_ID.to_owned(), spec.pipeline_id.clone());
    stored
}

/// `wanted` and what of `current` was not set by a user's definition: our marks and the constraints of other engines.
pub(super) fn kept(current: &BTreeMap<String, String>, wanted: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = current.iter().filter(|(key, _)| key.starts_with("floe.") || key.starts_with("delta.constraints."));
    let mut merged: BTreeMap<String, String> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    merged.extend(wanted);
    merged
}

/// The lowest protocol for these columns and properties.
pub(super) fn protocol(schema: &Schema, properties: &BTreeMap<String, String>) -> Protocol {
    let change_feed = is_true(properties, "delta.enableChangeDataFeed");
    if schema.fields().iter().any(|field| has_timestamp_ntz(field.data_type())) {
        let mut writer = vec!["appendOnly".to_owned(), "invariants".to_owned(), "timestampNtz".to_owned()];
        if change_feed {
            writer.push("changeDataFeed".to_owned());
        }
        return Protocol {
            min_reader_version: 3,
            min_writer_version: 7,
            reader_features: Some(vec!["timestampNtz".to_owned()]),
            writer_features: Some(writer),
        };
    }
    Protocol { min_reader_version: 1, min_writer_version: if change_feed { 4 } else { 2 }, reader_features: None, writer_features: None }
}

/// `current`, raised where `needed` asks for more; `None` if it suffices.
pub(super) fn raised(current: &Protocol, needed: &Protocol) -> Option<Protocol> {
    if current.min_writer_version == 7 {
        let missing = |have: &Option<Vec<String>>, want: &Option<Vec<String>>| -> Vec<String> {
            let have = have.as_deref().unwrap_or_default();
            want.iter().flatten().filter(|feature| !have.contains(feature)).cloned().collect()
        };
        let mut wanted = needed.clone();
        if needed.min_writer_version == 4 {
            wanted.writer_features = Some(vec!["changeDataFeed".to_owned()]);
        }
        let (reader, writer) =
            (missing(&current.reader_features, &wanted.reader_features), missing(&current.writer_features, &wanted.writer_features));
        if reader.is_empty() && writer.is_empty() {
            return None;
        }
        let mut next = current.clone();
        if !reader.is_empty() {
            next.min_reader_version = 3;
            next.reader_features.get_or_insert_default().extend(reader);
        }
        next.writer_features.get_or_insert_default().extend(writer);
        return Some(next);
    }
    let suffices = needed.min_reader_version <= current.min_reader_version && needed.min_writer_version <= current.min_writer_version;
    if suffices { None } else { Some(needed.clone()) }
}

/// Commits between two checkpoints of the log.
pub(super) fn checkpoint_interval(properties: &BTreeMap<String, String>) -> i64 {
    let interval = properties.get(CHECKPOINT_INTERVAL).and_then(|value| value.parse().ok());
    interval.filter(|interval| *interval > 0).unwrap_or(DEFAULT_CHECKPOINT_INTERVAL)
}

fn is_true(properties: &BTreeMap<String, String>, key: &str) -> bool {
    properties.iter().any(|(name, value)| name.eq_ignore_ascii_case(key) && value.eq_ignore_ascii_case("true"))
}
