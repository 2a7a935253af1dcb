//! The graph as text, Mermaid, DOT and JSON. Output is stable: it depends on the definitions alone, not on files or their order.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use datafusion_common::arrow::datatypes::Field;
use serde_json::{Value, json};

use crate::{
    analysis::ddl,
    cdc::{CdcSource, ResolvedAutoCdc},
    definition::{Column, DatasetKind},
    graph::{Read, ResolvedDataset, ResolvedFlow, ResolvedGraph, ResolvedKind},
    name::DatasetName,
    resolve::choice_text,
};

/// Lines for people: datasets in topological order with their flows, inputs and expectations.
pub fn text(graph: &ResolvedGraph) -> String {
    let mut out = String::new();
    for (name, dataset) in ordered(graph) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{} {name}{}", kind_text(dataset.definition.kind), layout_text(dataset));
        let flows: Vec<&ResolvedFlow> = flows_of(graph, name, dataset).collect();
        for flow in &flows {
            let _ = writeln!(out, "  flow {} ({})", flow.name, kind_of_flow(&flow.kind));
            if let Some(cdc) = flow.kind.auto_cdc() {
                let _ = writeln!(out, "    {}", cdc_text(cdc));
            }
        }
        for read in &dataset.reads {
            let _ = writeln!(out, "  reads {}", read_text(read));
        }
        for line in rule_lines(dataset) {
            let _ = writeln!(out, "  {line}");
        }
        for rule in &dataset.expectations {
            let _ = writeln!(out, "  expects {}: {} ({})", rule.name, rule.text, rule.action.as_str().to_lowercase());
        }
        if let Some(quarantine) = &dataset.quarantine {
            let _ = writeln!(out, "  quarantine {quarantine}");
        }
        if let Some(location) = dataset.sink_location() {
            let _ = writeln!(out, "  at {location}");
        }
    }
    out
}

/// A Mermaid flowchart.
pub fn mermaid(graph: &ResolvedGraph) -> String {
    let mut out = String::from("flowchart LR\n");
    let nodes = Nodes::of(graph);
    for (source, id) in &nodes.sources {
        let _ = writeln!(out, "  {id}[/\"{}\"/]", mermaid_label(source));
    }
    for (name, dataset) in ordered(graph) {
        let id = nodes.id(&name.key());
        let label = format!("{}<br/>{}", mermaid_label(&name.to_string()), kind_text(dataset.definition.kind));
        let _ = match dataset.definition.kind {
            DatasetKind::StreamingTable | DatasetKind::MaterializedView => writeln!(out, "  {id}[\"{label}\"]"),
            DatasetKind::TemporaryView | DatasetKind::View => writeln!(out, "  {id}(\"{label}\")"),
            DatasetKind::External => writeln!(out, "  {id}[(\"{label}\")]"),
            DatasetKind::Sink => writeln!(out, "  {id}[\\\"{label}\"/]"),
        };
    }
    for (from, to, streaming) in edges(graph, &nodes) {
        let arrow = if streaming { "==>" } else { "-->" };
        let _ = writeln!(out, "  {from} {arrow} {to}");
    }
    out
}

/// A Graphviz digraph.
pub fn dot(graph: &ResolvedGraph) -> String {
    let mut out = String::from("digraph pipeline {\n  rankdir=LR;\n");
    let nodes = Nodes::of(graph);
    for (source, id) in &nodes.sources {
        let _ = writeln!(out, "  {id} [label={}, shape=folder];", quoted(source));
    }
    for (name, dataset) in ordered(graph) {
        let shape = match dataset.definition.kind {
            DatasetKind::StreamingTable | DatasetKind::MaterializedView => "box",
            DatasetKind::TemporaryView | DatasetKind::View => "ellipse",
            DatasetKind::External => "cylinder",
            DatasetKind::Sink => "invhouse",
        };
        let label = quoted(&format!("{name}\n{}", kind_text(dataset.definition.kind)));
        let _ = writeln!(out, "  {} [label={label}, shape={shape}];", nodes.id(&name.key()));
    }
    for (from, to, streaming) in edges(graph, &nodes) {
        let style = if streaming { " [style=bold]" } else { "" };
        let _ = writeln!(out, "  {from} -> {to}{style};");
    }
    out.push_str("}\n");
    out
}

/// One JSON document: datasets in topological order, flows in topological order.
pub fn json(graph: &ResolvedGraph) -> Value {
    let datasets: Vec<Value> = ordered(graph).into_iter().map(|(name, dataset)| dataset_json(graph, name, dataset)).collect();
    let flows: Vec<Value> = graph.flows.iter().map(flow_json).collect();
    json!({ "id": graph.id, "datasets": datasets, "flows": flows })
}

fn dataset_json(graph: &ResolvedGraph, name: &DatasetName, dataset: &ResolvedDataset) -> Value {
    let definition = &dataset.definition;
    let expectation =
        |rule: &crate::graph::ResolvedExpectation| json!({ "name": rule.name, "expression": rule.text, "action": rule.action });
    let read = |read: &Read| json!({ "source": read.source, "streaming": read.streaming });
    json!({
        "name": name.to_string(),
        "kind": kind_word(definition.kind),
        "private": definition.private,
        "comment": definition.comment,
        "schema": ddl::schema_text(&dataset.schema),
        "columns": dataset.schema.fields().iter().map(|field| column_json(dataset, field)).collect::<Vec<_>>(),
        "checks": dataset.rules.checks.iter().map(|check| json!({ "name": check.name, "expression": check.text })).collect::<Vec<_>>(),
        "partition_by": definition.partition_by,
        "cluster_by": definition.cluster_by,
        "properties": definition.properties,
        "expectations": dataset.expectations.iter().map(expectation).collect::<Vec<_>>(),
        "quarantine": dataset.quarantine.as_ref().map(ToString::to_string),
        "reads": dataset.reads.iter().map(read).collect::<Vec<_>>(),
        "flows": flows_of(graph, name, dataset).map(|flow| &flow.name).collect::<Vec<_>>(),
    })
}

fn column_json(dataset: &ResolvedDataset, field: &Field) -> Value {
    let declared = declared(dataset, field.name());
    let generated = dataset.rules.generated.iter().find(|column| column.name == *field.name());
    json!({
        "name": field.name(),
        "type": ddl::type_text(field.data_type()),
        "not_null": declared.is_some_and(|column| !column.nullable),
        "comment": declared.and_then(|column| column.comment.as_ref()),
        "generated_as": generated.map(|column| &column.text),
    })
}

/// What the statement says about a column.
fn declared<'a>(dataset: &'a ResolvedDataset, name: &str) -> Option<&'a Column> {
    dataset.definition.columns.iter().flatten().find(|column| column.name.eq_ignore_ascii_case(name))
}

/// What every row keeps, in lines.
fn rule_lines(dataset: &ResolvedDataset) -> Vec<String> {
    let columns = dataset.definition.columns.iter().flatten();
    let not_null: Vec<&str> = columns.filter(|column| !column.nullable).map(|column| column.name.as_str()).collect();
    let generated = dataset.rules.generated.iter().map(|column| format!("generates {}: {}", column.name, column.text));
    let checks = dataset.rules.checks.iter().map(|check| format!("checks {}: {}", check.name, check.text));
    let not_null = (!not_null.is_empty()).then(|| format!("not null {}", not_null.join(", ")));
    not_null.into_iter().chain(generated).chain(checks).collect()
}

fn flow_json(flow: &ResolvedFlow) -> Value {
    let inputs: BTreeSet<String> = flow.inputs.iter().map(|input| input.source_id()).collect();
    json!({
        "name": flow.name,
        "target": flow.target.to_string(),
        "type": kind_of_flow(&flow.kind),
        "auto_cdc": flow.kind.auto_cdc().map(|cdc| cdc_json(cdc)),
        "inputs": inputs,
        "upstream": flow.upstream,
        "fingerprint": flow.fingerprint,
        "comment": flow.comment,
        "settings": flow.settings,
    })
}

fn flows_of<'a>(graph: &'a ResolvedGraph, name: &'a DatasetName, dataset: &ResolvedDataset) -> impl Iterator<Item = &'a ResolvedFlow> {
    let is_view = dataset.view.is_some();
    graph.flows_into(name).filter(move |_| !is_view)
}

/// Datasets so that each comes after what it reads, ties by name.
fn ordered(graph: &ResolvedGraph) -> Vec<(&DatasetName, &ResolvedDataset)> {
    let owners: BTreeMap<String, String> = graph
        .datasets
        .iter()
        .filter_map(|(name, dataset)| dataset.quarantine.as_ref().map(|quarantine| (quarantine.key(), name.key())))
        .collect();
    let inputs = |dataset: &ResolvedDataset| -> BTreeSet<String> {
        let datasets = dataset.reads.iter().filter(|read| read.is_dataset).map(|read| read.source.to_lowercase());
        datasets.map(|key| owners.get(&key).cloned().unwrap_or(key)).collect()
    };
    let mut readers: BTreeMap<String, Vec<&DatasetName>> = BTreeMap::new();
    let mut waiting: BTreeMap<&DatasetName, usize> = BTreeMap::new();
    for (name, dataset) in &graph.datasets {
        let known: Vec<String> = inputs(dataset).into_iter().filter(|key| *key != name.key()).collect();
        waiting.insert(name, known.len());
        for key in known {
            readers.entry(key).or_default().push(name);
        }
    }
    let mut ready: BTreeSet<&DatasetName> = waiting.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    let mut order = Vec::new();
    while let Some(name) = ready.pop_first() {
        order.push((name, &graph.datasets[name]));
        for reader in readers.get(&name.key()).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(reader) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(reader);
                }
            }
        }
    }
    order
}

/// Short ids for datasets and for sources outside the graph.
struct Nodes {
    datasets: BTreeMap<String, String>,
    sources: Vec<(String, String)>,
}

impl Nodes {
    fn of(graph: &ResolvedGraph) -> Self {
        let datasets = ordered(graph).into_iter().enumerate().map(|(at, (name, _))| (name.key(), format!("d{at}"))).collect();
        let outside: BTreeSet<&str> = graph
            .datasets
            .values()
            .flat_map(|dataset| &dataset.reads)
            .filter(|read| !graph.datasets.keys().any(|name| read.is_dataset && name.key() == read.source.to_lowercase()))
            .map(|read| read.source.as_str())
            .collect();
        let sources = outside.into_iter().enumerate().map(|(at, source)| (source.to_string(), format!("s{at}"))).collect();
        Self { datasets, sources }
    }

    fn id(&self, key: &str) -> &str {
        let source = || self.sources.iter().find(|(source, _)| source.eq_ignore_ascii_case(key)).map(|(_, id)| id);
        self.datasets.get(&key.to_lowercase()).or_else(source).map_or("unknown", String::as_str)
    }
}

fn edges<'a>(graph: &'a ResolvedGraph, nodes: &'a Nodes) -> Vec<(&'a str, &'a str, bool)> {
    let reads = |(name, dataset): (&'a DatasetName, &'a ResolvedDataset)| {
        dataset.reads.iter().map(move |read| (nodes.id(&read.source), nodes.id(&name.key()), read.streaming))
    };
    ordered(graph).into_iter().flat_map(reads).collect()
}

fn read_text(read: &Read) -> String {
    if read.streaming { format!("STREAM({})", read.source) } else { read.source.clone() }
}

fn layout_text(dataset: &ResolvedDataset) -> String {
    let definition = &dataset.definition;
    let mut parts = Vec::new();
    if definition.private {
        parts.push("private".to_string());
    }
    if !definition.partition_by.is_empty() {
        parts.push(format!("partitioned by {}", definition.partition_by.join(", ")));
    }
    if !definition.cluster_by.is_empty() {
        parts.push(format!("clustered by {}", definition.cluster_by.join(", ")));
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}

/// The kind in words.
pub(crate) fn kind_text(kind: DatasetKind) -> &'static str {
    match kind {
        DatasetKind::StreamingTable => "streaming table",
        DatasetKind::MaterializedView => "materialized view",
        DatasetKind::TemporaryView => "temporary view",
        DatasetKind::View => "view",
        DatasetKind::External => "external table",
        DatasetKind::Sink => "sink",
    }
}

fn kind_word(kind: DatasetKind) -> &'static str {
    match kind {
        DatasetKind::StreamingTable => "STREAMING_TABLE",
        DatasetKind::MaterializedView => "MATERIALIZED_VIEW",
        DatasetKind::TemporaryView => "TEMPORARY_VIEW",
        DatasetKind::View => "VIEW",
        DatasetKind::External => "EXTERNAL",
        DatasetKind::Sink => "SINK",
    }
}

/// What the flow does, in words.
pub fn kind_of_flow(kind: &ResolvedKind) -> &'static str {
    let ResolvedKind::AutoCdc(cdc) = kind else {
        return match kind {
            ResolvedKind::Once => "once",
            ResolvedKind::Complete => "complete",
            ResolvedKind::Append | ResolvedKind::AutoCdc(_) => "append",
        };
    };
    match cdc.source {
        CdcSource::Stream(_) => "auto cdc",
        CdcSource::Once(_) => "auto cdc once",
        CdcSource::Snapshot => "auto cdc from snapshot",
    }
}

/// The clauses in one line, as far as they were given.
fn cdc_text(cdc: &ResolvedAutoCdc) -> String {
    let mut parts = vec![format!("scd type {}", cdc.scd.number()), format!("keys ({})", cdc.keys.join(", "))];
    if let Some(events) = cdc.events() {
        parts.push(format!("sequence by {} {}", events.sequence, ddl::type_text(&cdc.sequence_type)));
        parts.extend(events.delete_when.as_ref().map(|condition| format!("delete when {condition}")));
    }
    parts.extend(cdc.truncate_when().map(|condition| format!("truncate when {condition}")));
    parts.extend(cdc.tracked().map(|tracked| format!("track history on {}", choice_text(Some(tracked)))));
    parts.extend(cdc.ignore_null.as_ref().map(|choice| format!("ignore null updates on {}", choice_text(Some(choice)))));
    parts.join("; ")
}

fn cdc_json(cdc: &ResolvedAutoCdc) -> Value {
    let events = cdc.events();
    let text = |expression: Option<&datafusion_expr::Expr>| expression.map(ToString::to_string);
    json!({
        "scd_type": cdc.scd.number(),
        "keys": cdc.keys,
        "columns": cdc.columns,
        "sequence_by": text(events.map(|events| &events.sequence)),
        "sequence_type": ddl::type_text(&cdc.sequence_type),
        "apply_as_delete_when": text(events.and_then(|events| events.delete_when.as_ref())),
        "apply_as_truncate_when": text(cdc.truncate_when()),
        "track_history": cdc.tracked().map(|tracked| &tracked.columns),
        "ignore_null_updates": cdc.ignore_null.as_ref().map(|choice| &choice.columns),
        "snapshot": cdc.source == CdcSource::Snapshot,
        "once": matches!(cdc.source, CdcSource::Once(_)),
    })
}

fn mermaid_label(text: &str) -> String {
    text.replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
