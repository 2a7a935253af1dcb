//! Rules about table properties and settings: unknown, not applied, not allowed.

use crate::{
    definition::{Dataset, DatasetKind, Flow},
    origin::{Diagnostic, Origin},
    resolve::{ResolveInput, near_names},
};

/// Keys with the prefix `pipelines.` that have a meaning, in lower case.
const KNOWN: &[&str] = &[
    "pipelines.reset.allowed",
    "pipelines.trigger.interval",
    "pipelines.maxflowretryattempts",
    "pipelines.numupdateretryattempts",
    "pipelines.cdc.ontie",
    "pipelines.cdc.tombstonegcthresholdinseconds",
    "pipelines.applychanges.tombstonegcthresholdinseconds",
    "pipelines.expectations.samplerecords",
    "pipelines.incremental.maxchangepercent",
    "pipelines.autooptimize.managed",
    "pipelines.autooptimize.zordercols",
];
/// Accepted and without effect.
const IGNORED: &[&str] = &["pipelines.clustershutdown.delay"];
/// Settings of SQL that have an effect.
const SQL_SETTINGS: &[&str] = &["spark.sql.session.timezone", "spark.sql.ansi.enabled"];
/// Delta properties that would need a table feature which this release does not write.
const NOT_APPLIED: &[&str] =
    &["delta.enablerowtracking", "delta.columnmapping.mode", "delta.enabletypewidening", "delta.enabledeletionvectors"];

/// Lints and errors about the properties of one table.
pub(super) fn table(dataset: &Dataset) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (key, value) in &dataset.properties {
        let lower = key.to_lowercase();
        let finding = unknown(key, &dataset.origin)
            .or_else(|| not_allowed(dataset, key, &lower))
            .or_else(|| append_only(dataset, &lower, value))
            .or_else(|| not_applied(key, &lower, value, &dataset.origin))
            .or_else(|| not_boolean(dataset, key, &lower, value));
        findings.extend(finding.map(|finding| finding.about(dataset.name.to_string())));
    }
    findings
}

/// Lints about `SET` values in force for a flow.
pub(super) fn flow(flow: &Flow) -> Vec<Diagnostic> {
    flow.settings.keys().filter_map(|key| unknown(key, &flow.origin).or_else(|| ignored(key, Some(&flow.origin)))).collect()
}

/// Lints about `spec.configuration`. Other keys are values of `${key}`.
pub(super) fn configuration(input: &ResolveInput) -> Vec<Diagnostic> {
    let place = None;
    input.configuration.keys().filter_map(|key| unknown_key(key).or_else(|| ignored(key, place))).collect()
}

fn unknown(key: &str, origin: &Origin) -> Option<Diagnostic> {
    unknown_key(key).map(|lint| lint.at(origin))
}

fn unknown_key(key: &str) -> Option<Diagnostic> {
    let lower = key.to_lowercase();
    if !lower.starts_with("pipelines.") || KNOWN.contains(&lower.as_str()) || IGNORED.contains(&lower.as_str()) {
        return None;
    }
    let lint = Diagnostic::lint("W005", format!("`{key}` is not a setting of Floe and has no effect"));
    let near = near_names(&lower, KNOWN.iter().map(ToString::to_string));
    Some(if near.is_empty() { lint } else { lint.help(format!("did you mean {}?", near.join(", "))) })
}

fn ignored(key: &str, origin: Option<&Origin>) -> Option<Diagnostic> {
    let lower = key.to_lowercase();
    let is_ignored = IGNORED.contains(&lower.as_str()) || (lower.starts_with("spark.") && !SQL_SETTINGS.contains(&lower.as_str()));
    let lint = is_ignored.then(|| Diagnostic::lint("W007", format!("`{key}` is ignored: it has no meaning in Floe")))?;
    Some(match origin {
        Some(origin) => lint.at(origin),
        None => lint,
    })
}

/// PROPERTY_NOT_ALLOWED.
fn not_allowed(dataset: &Dataset, key: &str, lower: &str) -> Option<Diagnostic> {
    let reason = match lower {
        "delta.settransactionretentionduration" => "exactly-once rests on the transaction ids that it would remove",
        _ if lower.starts_with("floe.") => "keys that begin with floe. are written by Floe itself",
        _ => return None,
    };
    let error = Diagnostic::error("PROPERTY_NOT_ALLOWED", format!("{} sets {key}: {reason}", dataset.name.name));
    Some(error.at(&dataset.origin).help("remove the property"))
}

/// APPEND_ONLY_NOT_ALLOWED: the table is overwritten at each refresh.
fn append_only(dataset: &Dataset, lower: &str, value: &str) -> Option<Diagnostic> {
    let forbids = lower == "delta.appendonly" && value.eq_ignore_ascii_case("true") && dataset.kind == DatasetKind::MaterializedView;
    if !forbids {
        return None;
    }
    let message = format!("materialized view {} cannot be append-only: each refresh replaces it", dataset.name.name);
    Some(Diagnostic::error("APPEND_ONLY_NOT_ALLOWED", message).at(&dataset.origin).help("remove delta.appendOnly"))
}

/// W008: stored, but without effect.
fn not_applied(key: &str, lower: &str, value: &str, origin: &Origin) -> Option<Diagnostic> {
    let is_off = value.eq_ignore_ascii_case("false") || value.eq_ignore_ascii_case("none");
    let is_feature = lower.starts_with("delta.feature.") && lower != "delta.feature.timestampntz";
    if is_off || !(NOT_APPLIED.contains(&lower) || is_feature) {
        return None;
    }
    let lint = Diagnostic::lint("W008", format!("`{key}` is not applied in this release: the table stays readable by everyone"));
    Some(lint.at(origin))
}

/// A flag that is neither true nor false would silently not protect a table.
fn not_boolean(dataset: &Dataset, key: &str, lower: &str, value: &str) -> Option<Diagnostic> {
    let is_flag = matches!(lower, "pipelines.reset.allowed" | "delta.appendonly" | "delta.enablechangedatafeed");
    if !is_flag || value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
        return None;
    }
    let error = Diagnostic::error("INVALID_PROPERTY_VALUE", format!("{} sets {key} to {value:?}", dataset.name.name));
    Some(error.at(&dataset.origin).help("use true or false"))
}
