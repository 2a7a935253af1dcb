//! The reference of manifest keys for people, written from the schemas that manifests are checked against.

use std::fmt::Write;

use serde_json::Value;

use super::check;

/// What the schema cannot say: keys without effect outside of a cluster, and keys that are refused. The key is `Kind.path`.
const NOTES: &[(&str, &str)] = &[
    ("Job.health", "For a cluster; no effect with `floe run --job`."),
    ("Job.maxConcurrentRuns", "For a cluster; no effect with `floe run --job`."),
    ("Job.notifications", "`floe run --job` prints them, and sends with `--notify`."),
    ("Job.queue", "For a cluster; no effect with `floe run --job`."),
    ("Job.runHistory", "For a cluster; `floe run --job` keeps the newest 20 runs."),
    ("Job.suspend", "For a cluster; no effect with `floe run --job`."),
    ("Job.triggers", "For a cluster; `floe run --job` does not look at them."),
    ("Pipeline.deletionPolicy", "For a cluster; `floe run` never deletes data."),
    ("Pipeline.eventLog.retentionDays", "`floe maintain` and the maintenance of a cluster remove them."),
    ("Pipeline.maintenance", "For a cluster; no effect with `floe run`."),
    ("Pipeline.notifications", "For a cluster; no effect with `floe run`."),
    ("Pipeline.parameters[].valueFrom", "Outside of a cluster the value comes from `--param` or `FLOE_PARAM_<NAME>`."),
    ("Pipeline.retryPolicy.maxUpdateRetries", "For a cluster; `floe run` makes one attempt."),
    ("Pipeline.runner", "For a cluster; no effect with `floe run`."),
    ("Pipeline.sinks[].secretRef", "Refused in this release: credentials of all stores come from `storage.secretRef`."),
    ("Pipeline.source", "For a cluster; `floe run` reads the project from its folder."),
    ("Pipeline.storage.secretRef", "For a cluster; `floe run` takes credentials from its environment."),
    ("Pipeline.suspend", "For a cluster; no effect with `floe run`."),
    ("Pipeline.updateHistory", "For a cluster; no effect with `floe run`."),
    ("Pipeline.updatePolicy", "For a cluster; no effect with `floe run`."),
    ("Table.clusterBy", "Not for a target of Auto CDC."),
    ("Table.columns[].generatedAs", "Not for a target of Auto CDC."),
    ("Table.constraints.foreignKeys", "For information; not checked."),
    ("Table.constraints.primaryKey", "For information; not checked."),
    ("Table.deletionPolicy", "For a cluster; `floe run` never deletes data."),
    ("Table.freshnessSeconds", "For a cluster; no effect with `floe run`."),
    ("Table.maintenance", "`floe maintain` keeps to it; in a cluster the operator starts that by itself."),
    (
        "Table.refreshPolicy",
        "`Auto` computes the view anew when an input changed; `Incremental` and `IncrementalStrict` are refused in this release.",
    ),
];

/// The reference as Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Manifest keys\n\n\
         A manifest is a YAML document with `apiVersion: floe.dev/v1alpha1`, `kind`, `metadata.name` and `spec`. An unknown key is an error that names\n\
         the nearest known one. `*` marks required keys. Kubernetes metadata (`namespace`, `labels`, `annotations` …) is accepted and not used.\n",
    );
    for (kind, about, schema) in [
        ("Pipeline", "One per project. How the parts work together is in [pipelines](../guide/pipelines.md).", &*check::PIPELINE),
        (
            "Job",
            "Tasks, what they wait for, and what starts them. What texts may refer to is in [references](job-references.md).",
            &*check::JOB,
        ),
        ("Table", "A dataset without SQL statements; the same meaning as the [statement](../guide/sql.md) of its type.", &*check::TABLE),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n## {kind}: keys of `spec`\n\n{about}\n\n| key | type | default | meaning |\n|---|---|---|---|\n");
        rows(&mut out, kind, "", schema);
    }
    out
}

/// One line per key of `schema`, a mapping at `path`; nested keys follow their parent.
pub(crate) fn rows(out: &mut String, kind: &str, path: &str, schema: &Value) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let star = if required.contains(&name.as_str()) { "*" } else { "" };
        let default = match field.get("default") {
            Some(Value::String(text)) if !text.is_empty() => format!("`{text}`"),
            Some(value) if value.is_number() || value.is_boolean() => format!("`{value}`"),
            Some(Value::Array(items)) if !items.is_empty() => format!("`{}`", Value::Array(items.clone())),
            _ => String::new(),
        };
        let meaning = cell(&meaning(kind, &path, field));
        let _ = writeln!(out, "| `{path}`{star} | {} | {default} | {meaning} |", cell(&type_text(field)));
        let (inner, path) = match field.get("items") {
            Some(items) => (items, format!("{path}[]")),
            None => (field, path),
        };
        if NOTES.iter().any(|(noted, text)| *noted == format!("{kind}.{}", path.trim_end_matches("[]")) && text.starts_with("Refused")) {
            continue;
        }
        rows(out, kind, &path, inner);
    }
}

fn meaning(kind: &str, path: &str, field: &Value) -> String {
    let description = field.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
    let note = NOTES.iter().find(|(noted, _)| *noted == format!("{kind}.{path}")).map(|(_, text)| *text).unwrap_or_default();
    [description.trim(), note].iter().filter(|text| !text.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

/// The kind of value with its bounds.
fn type_text(field: &Value) -> String {
    if let Some(words) = field.get("enum").and_then(Value::as_array) {
        return words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    let number = |key: &str| field.get(key).and_then(Value::as_f64).map(|number| number as i64);
    match field.get("type").and_then(Value::as_str) {
        Some("integer") => match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => format!("whole number, {least} to {most}"),
            _ => "whole number".to_string(),
        },
        Some("boolean") => "true or false".to_string(),
        Some("array") => match number("maxItems") {
            Some(most) => format!("list, at most {most}"),
            None => "list".to_string(),
        },
        Some("object") if field.get("additionalProperties").is_some() => "mapping of text to text".to_string(),
        Some("object") => "mapping".to_string(),
        Some("string") => match (field.get("pattern").is_some(), number("maxLength")) {
            (true, _) => check::Pattern::of(field.get("pattern").and_then(Value::as_str).unwrap_or_default()).words().join(", "),
            (false, Some(most)) => format!("text, at most {most} characters"),
            (false, None) => "text".to_string(),
        },
        _ => String::new(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_is_about_a_key_that_exists() {
        let text = reference();
        for (key, note) in NOTES {
            let (_, path) = key.split_once('.').unwrap();
            assert!(text.contains(&format!("| `{path}`")) && text.contains(note), "{key} is no key of the schema");
        }
        assert!(text.contains("| `pipeline`* | text, at most 46 characters |  | Name of the Pipeline"), "{text}");
    }
}
