//! Keys of table properties and of `SET`: what they mean to Floe, which are ignored, which are mistakes.

mod value;

use std::collections::BTreeMap;

pub use value::length_of_time;
use value::{MOST, Values};

use super::DatasetKind;
use crate::origin::Diagnostic;

/// Where a `pipelines.` key has an effect, and which values it takes.
struct Key {
    name: &'static str,
    table: bool,
    flow: bool,
    values: Values,
}

const fn key(name: &'static str, table: bool, flow: bool, values: Values) -> Key {
    Key { name, table, flow, values }
}

const RETRIES: Values = Values::Whole(-1, MOST, "; -1 means without a limit");
const SECONDS: Values = Values::Whole(0, MOST, "; 0 means never");

/// All `pipelines.` keys, compared without regard to letter case.
const PIPELINES: [Key; 12] = [
    key("pipelines.reset.allowed", true, false, Values::Boolean),
    key("pipelines.trigger.interval", true, true, Values::Duration),
    key("pipelines.maxFlowRetryAttempts", false, true, RETRIES),
    key("pipelines.numUpdateRetryAttempts", false, false, RETRIES),
    key("pipelines.cdc.onTie", true, false, Values::OneOf(&["resolve", "fail"])),
    key("pipelines.cdc.tombstoneGCThresholdInSeconds", true, false, SECONDS),
    key("pipelines.applyChanges.tombstoneGCThresholdInSeconds", true, false, SECONDS),
    key("pipelines.expectations.sampleRecords", true, false, Values::Boolean),
    key("pipelines.incremental.maxChangePercent", true, false, Values::Whole(0, 100, "")),
    key("pipelines.autoOptimize.managed", true, false, Values::Boolean),
    key(Z_ORDER_COLUMNS, true, false, Values::Text),
    key("pipelines.clusterShutdown.delay", false, false, Values::Text),
];

/// Keys with a place to stand whose feature this release does not have.
const NOT_YET: [&str; 2] = ["pipelines.numUpdateRetryAttempts", "pipelines.incremental.maxChangePercent"];

/// Columns by which maintenance orders the rows of a table, separated by commas.
const Z_ORDER_COLUMNS: &str = "pipelines.autoOptimize.zOrderCols";

/// Settings of the session that a flow honours.
const SESSION: [(&str, Values); 2] = [("spark.sql.session.timeZone", Values::TimeZone), ("spark.sql.ansi.enabled", Values::Boolean)];

/// Properties of Delta tables whose values Floe or another engine acts on.
const DELTA: [(&str, Values); 8] = [
    ("delta.appendOnly", Values::Boolean),
    ("delta.enableChangeDataFeed", Values::Boolean),
    (DELETION_VECTORS, Values::Boolean),
    ("delta.checkpointInterval", Values::Whole(1, MOST, "")),
    ("delta.dataSkippingNumIndexedCols", Values::Whole(-1, MOST, "; -1 means all columns")),
    ("delta.logRetentionDuration", Values::Duration),
    ("delta.deletedFileRetentionDuration", Values::Duration),
    ("delta.parquet.compression.codec", Values::OneOf(&["snappy", "zstd", "uncompressed", "none"])),
];

/// The class of a table property with a value that it does not take.
pub(crate) const INVALID_VALUE: &str = "INVALID_PROPERTY_VALUE";

/// Table features that are not applied, so that every reader can read the table.
const NOT_APPLIED: [&str; 3] = ["delta.enableRowTracking", "delta.columnMapping.mode", "delta.enableTypeWidening"];

/// Applied to streaming tables that are targets of Auto CDC.
const DELETION_VECTORS: &str = "delta.enableDeletionVectors";

/// What a key of `SET` or `spec.configuration` is.
#[derive(Debug)]
pub(super) enum Setting {
    /// An option of flows, by its usual spelling.
    Effective(String),
    /// Accepted without effect; says why.
    Ignored(Diagnostic),
    /// INVALID_CONF_VALUE: an option that does not take this value.
    Refused(Diagnostic),
    /// A value for `${}` and nothing else.
    Variable,
}

/// The meaning of a key of `SET` with its value.
pub(super) fn flow_setting(name: &str, value: &str) -> Setting {
    setting(name, value, |key| key.flow, "SET")
}

/// The meaning of a key of `spec.configuration` with its value.
pub(super) fn pipeline_setting(name: &str, value: &str) -> Setting {
    let is_effective = |key: &Key| key.flow || !["pipelines.reset.allowed", "pipelines.clusterShutdown.delay"].contains(&key.name);
    setting(name, value, is_effective, "spec.configuration")
}

fn setting(name: &str, value: &str, is_effective: impl Fn(&Key) -> bool, level: &str) -> Setting {
    if let Some((known, values)) = SESSION.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return effective(known, *values, value);
    }
    if has_prefix(name, "pipelines.") {
        return match PIPELINES.iter().find(|key| key.name.eq_ignore_ascii_case(name)) {
            Some(key) if NOT_YET.contains(&key.name) => match key.values.refuse(value) {
                Some(_) => effective(key.name, key.values, value),
                None => Setting::Ignored(ignored(key.name, "has no effect in this release")),
            },
            Some(key) if is_effective(key) => effective(key.name, key.values, value),
            Some(key) => Setting::Ignored(ignored(key.name, &format!("has no effect in {level}"))),
            None => Setting::Ignored(unknown(name)),
        };
    }
    if has_prefix(name, "spark.") {
        return Setting::Ignored(ignored(name, "is a setting of Spark and has no effect"));
    }
    Setting::Variable
}

fn effective(name: &str, values: Values, value: &str) -> Setting {
    match values.refuse(value) {
        Some(help) => Setting::Refused(Diagnostic::error("INVALID_CONF_VALUE", format!("{name} cannot be {value:?}")).help(help)),
        None => Setting::Effective(name.to_string()),
    }
}

/// What to write instead, if `value` is no time zone.
pub(crate) fn not_a_time_zone(value: &str) -> Option<String> {
    Values::TimeZone.refuse(value)
}

/// What there is to say about a table property.
pub(crate) fn table_property(name: &str, value: &str, kind: DatasetKind) -> Vec<Diagnostic> {
    if has_prefix(name, "pipelines.") {
        return match PIPELINES.iter().find(|key| key.name.eq_ignore_ascii_case(name)) {
            Some(key) if NOT_YET.contains(&key.name) => {
                let wrong = refused_value(key.name, key.values, value);
                vec![wrong.unwrap_or_else(|| ignored(key.name, "has no effect in this release"))]
            }
            Some(key) if key.table => refused_value(key.name, key.values, value).into_iter().collect(),
            Some(key) => vec![ignored(key.name, "has no effect as a table property")],
            None => vec![unknown(name)],
        };
    }
    if name.eq_ignore_ascii_case("delta.setTransactionRetentionDuration") {
        return vec![
            Diagnostic::error("PROPERTY_NOT_ALLOWED", format!("{name} is not allowed"))
                .help("leave it out: exactly-once rests on the transaction ids that it would remove"),
        ];
    }
    if has_prefix(name, "delta.constraints.") {
        return vec![
            Diagnostic::error("PROPERTY_NOT_ALLOWED", format!("{name} is not allowed as a property"))
                .help("write CONSTRAINT name CHECK (…) among the columns, or constraints.checks in a manifest"),
        ];
    }
    if name.eq_ignore_ascii_case("delta.appendOnly") && value.eq_ignore_ascii_case("true") && kind == DatasetKind::MaterializedView {
        return vec![
            Diagnostic::error("APPEND_ONLY_NOT_ALLOWED", "delta.appendOnly is not allowed on a materialized view")
                .help("leave it out: every refresh replaces rows"),
        ];
    }
    let is_feature = has_prefix(name, "delta.feature.") && !name.eq_ignore_ascii_case("delta.feature.timestampNtz");
    let is_replaced = kind != DatasetKind::StreamingTable && name.eq_ignore_ascii_case(DELETION_VECTORS);
    if is_feature || is_replaced || NOT_APPLIED.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return vec![Diagnostic::lint("W008", format!("property {name} is not applied")).help("the table stays readable by every reader")];
    }
    let known = DELTA.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.and_then(|(name, values)| refused_value(name, *values, value)).into_iter().collect()
}

/// The columns that `pipelines.autoOptimize.zOrderCols` names, as written.
pub fn z_order_columns(properties: &BTreeMap<String, String>) -> Vec<String> {
    let given = properties.iter().find(|(key, _)| key.eq_ignore_ascii_case(Z_ORDER_COLUMNS)).map(|(_, value)| value.as_str());
    let names = given.into_iter().flat_map(|names| names.split(',')).map(|name| name.trim().trim_matches('`').to_string());
    names.filter(|name| !name.is_empty()).collect()
}

/// INVALID_PROPERTY_VALUE: a value that would silently not do what it says.
fn refused_value(name: &str, values: Values, value: &str) -> Option<Diagnostic> {
    let help = values.refuse(value)?;
    Some(Diagnostic::error(INVALID_VALUE, format!("{name} cannot be {value:?}")).help(help))
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn ignored(name: &str, why: &str) -> Diagnostic {
    Diagnostic::lint("W007", format!("{name} {why}"))
}

fn unknown(name: &str) -> Diagnostic {
    let found = Diagnostic::lint("W005", format!("unknown key {name}"));
    let near = PIPELINES.iter().map(|key| (strsim::jaro_winkler(&key.name.to_lowercase(), &name.to_lowercase()), key.name));
    match near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.85) {
        Some((_, key)) => found.help(format!("did you mean {key}?")),
        None => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_levels_and_near_names() {
        let effective = |found: Setting| matches!(found, Setting::Effective(name) if name == "pipelines.maxFlowRetryAttempts");
        assert!(effective(flow_setting("Pipelines.MaxFlowRetryAttempts", "3")));
        assert!(matches!(flow_setting("pipelines.reset.allowed", "no"), Setting::Ignored(found) if found.class == "W007"));
        assert!(matches!(flow_setting("spark.sql.shuffle.partitions", "8"), Setting::Ignored(found) if found.class == "W007"));
        assert!(matches!(flow_setting("dataset_path", "x"), Setting::Variable));
        let found = table_property("pipelines.reset.alowed", "false", DatasetKind::StreamingTable);
        assert_eq!((found[0].class.as_str(), found[0].help.as_deref()), ("W005", Some("did you mean pipelines.reset.allowed?")));
        assert!(table_property("PIPELINES.reset.ALLOWED", "false", DatasetKind::StreamingTable).is_empty());
        assert!(table_property("PIPELINES.autooptimize.ZORDERCOLS", "a", DatasetKind::StreamingTable).is_empty());
        let found = table_property("pipelines.incremental.MAXchangePercent", "30", DatasetKind::MaterializedView);
        assert_eq!(found[0].message, "pipelines.incremental.maxChangePercent has no effect in this release");
        let columns = BTreeMap::from([("pipelines.autooptimize.zOrdercols".to_string(), "a, `b c` ,".to_string())]);
        assert_eq!(z_order_columns(&columns), ["a", "b c"]);
        assert_eq!(table_property("delta.constraints.positive", "id > 0", DatasetKind::StreamingTable)[0].class, "PROPERTY_NOT_ALLOWED");
        assert!(table_property("quality", "bronze", DatasetKind::StreamingTable).is_empty());
        assert_eq!(table_property("delta.feature.x", "y", DatasetKind::StreamingTable)[0].class, "W008");
        assert!(table_property("delta.feature.timestampNtz", "supported", DatasetKind::StreamingTable).is_empty());
        assert_eq!(
            table_property("delta.setTransactionRetentionDuration", "1", DatasetKind::StreamingTable)[0].class,
            "PROPERTY_NOT_ALLOWED"
        );
        assert_eq!(table_property("delta.appendOnly", "true", DatasetKind::MaterializedView)[0].class, "APPEND_ONLY_NOT_ALLOWED");
    }
    #[test]
    fn values_that_a_key_does_not_take_are_refused() {
        let refused = |found: Setting| match found {
            Setting::Refused(found) => (found.class, found.message, found.help.unwrap_or_default()),
            other => panic!("{other:?}"),
        };
        let (class, message, help) = refused(flow_setting("pipelines.maxflowretryattempts", "three"));
        assert_eq!((class.as_str(), message.as_str()), ("INVALID_CONF_VALUE", r#"pipelines.maxFlowRetryAttempts cannot be "three""#));
        assert_eq!(help, "use a whole number from -1 on; -1 means without a limit");
        assert_eq!(refused(pipeline_setting("spark.sql.ansi.enabled", "1")).2, "use true or false");
        assert!(refused(pipeline_setting("spark.sql.session.timezone", "Berlin")).2.contains("Europe/Berlin"));
        let property =
            |name, value| table_property(name, value, DatasetKind::StreamingTable).pop().map(|found| (found.class, found.message));
        let wrong = |message: &str| Some(("INVALID_PROPERTY_VALUE".to_string(), message.to_string()));
        assert_eq!(property("delta.appendOnly", "yes"), wrong(r#"delta.appendOnly cannot be "yes""#));
        assert_eq!(property("delta.checkpointinterval", "0"), wrong(r#"delta.checkpointInterval cannot be "0""#));
        assert_eq!(property("pipelines.cdc.onTie", "explode"), wrong(r#"pipelines.cdc.onTie cannot be "explode""#));
        assert_eq!(property("delta.parquet.compression.codec", "gzip"), wrong(r#"delta.parquet.compression.codec cannot be "gzip""#));
        assert_eq!(property("delta.logRetentionDuration", "interval 30 days"), None);
    }
}
