//! Keys of table properties and of `SET`: what they mean to Floe, which are ignored, which are mistakes.

use super::DatasetKind;
use crate::origin::Diagnostic;

/// Where a `pipelines.` key has an effect.
struct Key {
    name: &'static str,
    table: bool,
    flow: bool,
}

const fn key(name: &'static str, table: bool, flow: bool) -> Key {
    Key { name, table, flow }
}

/// All `pipelines.` keys, compared without regard to letter case.
const PIPELINES: [Key; 12] = [
    key("pipelines.reset.allowed", true, false),
    key("pipelines.trigger.interval", true, true),
    key("pipelines.maxFlowRetryAttempts", false, true),
    key("pipelines.numUpdateRetryAttempts", false, false),
    key("pipelines.cdc.onTie", true, false),
    key("pipelines.cdc.tombstoneGCThresholdInSeconds", true, false),
    key("pipelines.applyChanges.tombstoneGCThresholdInSeconds", true, false),
    key("pipelines.expectations.sampleRecords", true, false),
    key("pipelines.incremental.maxChangePercent", true, false),
    key("pipelines.autoOptimize.managed", true, false),
    key("pipelines.autoOptimize.zOrderCols", true, false),
    key("pipelines.clusterShutdown.delay", false, false),
];

/// Keys with a place to stand whose feature this release does not have.
const NOT_YET: [&str; 8] = [
    "pipelines.trigger.interval",
    "pipelines.numUpdateRetryAttempts",
    "pipelines.cdc.onTie",
    "pipelines.cdc.tombstoneGCThresholdInSeconds",
    "pipelines.applyChanges.tombstoneGCThresholdInSeconds",
    "pipelines.incremental.maxChangePercent",
    "pipelines.autoOptimize.managed",
    "pipelines.autoOptimize.zOrderCols",
];

/// Settings of the session that a flow honours.
const SESSION: [&str; 2] = ["spark.sql.session.timeZone", "spark.sql.ansi.enabled"];

/// Table features that are not applied, so that every reader can read the table.
const NOT_APPLIED: [&str; 4] =
    ["delta.enableRowTracking", "delta.columnMapping.mode", "delta.enableTypeWidening", "delta.enableDeletionVectors"];

/// What a key of `SET` or `spec.configuration` is.
#[derive(Debug)]
pub(super) enum Setting {
    /// An option of flows, by its usual spelling.
    Effective(String),
    /// Accepted without effect; says why.
    Ignored(Diagnostic),
    /// A value for `${}` and nothing else.
    Variable,
}

/// The meaning of a key of `SET`.
pub(super) fn flow_setting(name: &str) -> Setting {
    setting(name, |key| key.flow, "SET")
}

/// The meaning of a key of `spec.configuration`.
pub(super) fn pipeline_setting(name: &str) -> Setting {
    let is_effective = |key: &Key| key.flow || !["pipelines.reset.allowed", "pipelines.clusterShutdown.delay"].contains(&key.name);
    setting(name, is_effective, "spec.configuration")
}

fn setting(name: &str, is_effective: impl Fn(&Key) -> bool, level: &str) -> Setting {
    if let Some(known) = SESSION.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return Setting::Effective((*known).to_string());
    }
    if has_prefix(name, "pipelines.") {
        return match PIPELINES.iter().find(|key| key.name.eq_ignore_ascii_case(name)) {
            Some(key) if NOT_YET.contains(&key.name) => Setting::Ignored(ignored(key.name, "has no effect in this release")),
            Some(key) if is_effective(key) => Setting::Effective(key.name.to_string()),
            Some(key) => Setting::Ignored(ignored(key.name, &format!("has no effect in {level}"))),
            None => Setting::Ignored(unknown(name)),
        };
    }
    if has_prefix(name, "spark.") {
        return Setting::Ignored(ignored(name, "is a setting of Spark and has no effect"));
    }
    Setting::Variable
}

/// What there is to say about a table property.
pub(crate) fn table_property(name: &str, value: &str, kind: DatasetKind) -> Vec<Diagnostic> {
    if has_prefix(name, "pipelines.") {
        return match PIPELINES.iter().find(|key| key.name.eq_ignore_ascii_case(name)) {
            Some(key) if NOT_YET.contains(&key.name) => vec![ignored(key.name, "has no effect in this release")],
            Some(key) if key.table => Vec::new(),
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
    if name.eq_ignore_ascii_case("delta.appendOnly") && value.eq_ignore_ascii_case("true") && kind == DatasetKind::MaterializedView {
        return vec![
            Diagnostic::error("APPEND_ONLY_NOT_ALLOWED", "delta.appendOnly is not allowed on a materialized view")
                .help("leave it out: every refresh replaces rows"),
        ];
    }
    let is_feature = has_prefix(name, "delta.feature.") && !name.eq_ignore_ascii_case("delta.feature.timestampNtz");
    if is_feature || NOT_APPLIED.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return vec![Diagnostic::lint("W008", format!("property {name} is not applied")).help("the table stays readable by every reader")];
    }
    Vec::new()
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
        assert!(effective(flow_setting("Pipelines.MaxFlowRetryAttempts")));
        assert!(matches!(flow_setting("pipelines.reset.allowed"), Setting::Ignored(found) if found.class == "W007"));
        assert!(matches!(flow_setting("spark.sql.shuffle.partitions"), Setting::Ignored(found) if found.class == "W007"));
        assert!(matches!(flow_setting("dataset_path"), Setting::Variable));
        let found = table_property("pipelines.reset.alowed", "false", DatasetKind::StreamingTable);
        assert_eq!((found[0].class.as_str(), found[0].help.as_deref()), ("W005", Some("did you mean pipelines.reset.allowed?")));
        assert!(table_property("PIPELINES.reset.ALLOWED", "false", DatasetKind::StreamingTable).is_empty());
        let found = table_property("PIPELINES.autooptimize.ZORDERCOLS", "a", DatasetKind::StreamingTable);
        assert_eq!(found[0].message, "pipelines.autoOptimize.zOrderCols has no effect in this release");
        assert!(table_property("quality", "bronze", DatasetKind::StreamingTable).is_empty());
        assert_eq!(table_property("delta.feature.x", "y", DatasetKind::StreamingTable)[0].class, "W008");
        assert!(table_property("delta.feature.timestampNtz", "supported", DatasetKind::StreamingTable).is_empty());
        assert_eq!(
            table_property("delta.setTransactionRetentionDuration", "1", DatasetKind::StreamingTable)[0].class,
            "PROPERTY_NOT_ALLOWED"
        );
        assert_eq!(table_property("delta.appendOnly", "true", DatasetKind::MaterializedView)[0].class, "APPEND_ONLY_NOT_ALLOWED");
    }
}
