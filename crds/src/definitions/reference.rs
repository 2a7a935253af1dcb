//! The reference of the kinds for people, written from the definitions that the cluster gets.

use std::fmt::Write;

use kube::CustomResourceExt;
use serde::Serialize;
use serde_json::Value;

use crate::{
    job::Job, job_run::JobRun, manifest, pipeline::Pipeline, pipeline_update::PipelineUpdate, run_report::RunReport, table::Table,
};

/// The reference as Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Kinds\n\n\
         Group `floe.dev`, version `v1alpha1`, all in namespaces. `kubectl get floe` shows all kinds that people use. Other products have kinds of the same\n\
         name, so scripts should say `tables.floe.dev` and not `tables`. How the kinds work together is in\n\
         [running in a cluster](../guide/cluster.md); what conditions say is in [conditions](conditions.md).\n",
    );
    kind(&mut out, &Pipeline::crd(), "The keys of `spec` are in [manifest keys](manifest.md).", &["status"]);
    kind(&mut out, &Table::crd(), "The keys of `spec` are in [manifest keys](manifest.md).", &["status"]);
    kind(
        &mut out,
        &PipelineUpdate::crd(),
        "Made by the operator, or by people who want a selection. Updates do not belong in Git.",
        &["spec", "status"],
    );
    kind(&mut out, &Job::crd(), "Jobs belong in Git.", &["spec", "status"]);
    kind(
        &mut out,
        &JobRun::crd(),
        "Made by the operator when a trigger fires, by tasks, or by people. Runs do not belong in Git.",
        &["spec", "status"],
    );
    kind(&mut out, &RunReport::crd(), "Not for people: runner pods write it and the operator reads it.", &["spec"]);
    out
}

fn kind(out: &mut String, definition: &impl Serialize, about: &str, parts: &[&str]) {
    let definition = serde_json::to_value(definition).unwrap_or_default();
    let (names, version) = (&definition["spec"]["names"], &definition["spec"]["versions"][0]);
    let schema = &version["schema"]["openAPIV3Schema"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let name = text(&names["kind"]);
    let short: Vec<String> = names["shortNames"].as_array().into_iter().flatten().map(|short| format!(", `{}`", text(short))).collect();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n## {name}\n\n`{}`{}. {}. {about}\n",
        text(&definition["metadata"]["name"]),
        short.concat(),
        text(&schema["description"])
    );
    columns(out, version);
    rules(out, schema);
    for part in parts {
        let _ = write!(out, "\n### {name}: keys of `{part}`\n\n| key | type | default | meaning |\n|---|---|---|---|\n");
        manifest::rows(out, &name, "", &schema["properties"][*part]);
    }
}

fn columns(out: &mut String, version: &Value) {
    let columns = version["additionalPrinterColumns"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = |wide: bool| -> Vec<String> {
        let is_wide = |column: &&Value| column["priority"].as_i64().unwrap_or_default() > 0;
        columns
            .iter()
            .filter(|column| is_wide(column) == wide)
            .map(|column| column["name"].as_str().unwrap_or_default().to_string())
            .collect()
    };
    let _ = write!(out, "\nColumns of `kubectl get`: {}", named(false).join(", "));
    let wide = named(true);
    let _ = if wide.is_empty() { writeln!(out, ".") } else { writeln!(out, "; with `-o wide` also {}.", wide.join(", ")) };
    let fields: Vec<String> = version["selectableFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|field| format!("`{}`", field["jsonPath"].as_str().unwrap_or_default().trim_start_matches('.')))
        .collect();
    if !fields.is_empty() {
        let _ = writeln!(out, "Fields for `--field-selector`: {}.", fields.join(", "));
    }
}

/// What the API server refuses beyond types and bounds, in the words that it says.
fn rules(out: &mut String, schema: &Value) {
    let mut messages = Vec::new();
    collect(schema, &mut messages);
    if messages.is_empty() {
        return;
    }
    out.push_str("\nRefused by the API server, with these words:\n\n");
    for message in messages {
        let _ = writeln!(out, "- {message}");
    }
}

fn collect<'a>(schema: &'a Value, messages: &mut Vec<&'a str>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        if let Some(message) = rule["message"].as_str().filter(|message| !messages.contains(message)) {
            messages.push(message);
        }
    }
    let inner = schema["properties"].as_object().into_iter().flat_map(serde_json::Map::values);
    for schema in inner.chain(schema.get("items")) {
        collect(schema, messages);
    }
}
