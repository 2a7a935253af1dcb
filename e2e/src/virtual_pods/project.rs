//! What a runner would make of the SQL of a project, just enough of it to play one: names of datasets, and one kind of mistake.

use anyhow::Context;
use floe_crds::{
    pipeline::GraphCounts,
    request::UpdateRequest,
    run_report::{DatasetReport, Finding, GraphFlow, GraphReport},
    state::FlowType,
    table::{TableSpec, TableType},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use serde_json::json;

/// A dataset that reads from this name is wrong.
pub const UNKNOWN: &str = "nowhere";

/// One file of a project.
struct File {
    name: String,
    text: String,
}

/// The graph of the request's pipeline: datasets of its SQL and of its Table objects.
pub async fn graph(client: &Client, request: &UpdateRequest) -> anyhow::Result<GraphReport> {
    let mut graph = GraphReport { valid: true, ..GraphReport::default() };
    for file in files(client, request).await? {
        for (number, line) in file.text.lines().enumerate() {
            statement(request, &file.name, number + 1, line, &mut graph)?;
        }
    }
    for table in &request.tables {
        let dataset = table.spec.name.clone().unwrap_or_else(|| table.name.replace('-', "_"));
        add(request, &dataset, table.spec.table_type, "manifest".to_string(), None, &mut graph);
    }
    graph.valid = !graph.findings.iter().any(|finding| finding.error);
    graph.hash = format!("{:x}", graph.datasets.len());
    graph.counts.flows = graph.flows.len() as i32;
    Ok(graph)
}

async fn files(client: &Client, request: &UpdateRequest) -> anyhow::Result<Vec<File>> {
    let spec = &request.pipeline.spec;
    let inline = spec.libraries.iter().filter_map(|library| library.inline.as_ref());
    let mut files: Vec<File> = inline.map(|inline| File { name: inline.name.clone(), text: inline.sql.clone() }).collect();
    let api = Api::<ConfigMap>::namespaced(client.clone(), &request.pipeline.namespace);
    for source in spec.source.iter().flat_map(|source| &source.config_maps) {
        let Some(map) = api.get_opt(&source.name).await? else { continue };
        for (key, text) in map.data.into_iter().flatten() {
            files.push(File { name: format!("{}/{key}", source.path), text });
        }
    }
    Ok(files)
}

/// Takes in a line such as `CREATE STREAMING TABLE orders AS SELECT …`.
fn statement(request: &UpdateRequest, file: &str, number: usize, line: &str, graph: &mut GraphReport) -> anyhow::Result<()> {
    let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
    if let Some(place) = words.iter().position(|word| *word == UNKNOWN) {
        let column = line.find(UNKNOWN).unwrap_or_default() + 1;
        graph.findings.push(Finding {
            error: true,
            class: "TABLE_OR_VIEW_NOT_FOUND".to_string(),
            message: format!("the table or view `{}` is not there", words[place]),
            origin: Some(format!("{file}:{number}:{column}")),
            help: None,
        });
    }
    let (table_type, name) = match words.as_slice() {
        ["CREATE", "STREAMING", "TABLE", name, ..] => (TableType::StreamingTable, name),
        ["CREATE", "MATERIALIZED", "VIEW", name, ..] => (TableType::MaterializedView, name),
        ["CREATE", "TEMPORARY", "VIEW", name, ..] => (TableType::TemporaryView, name),
        _ => return Ok(()),
    };
    let query = line.split_once(" AS ").map_or("SELECT 1", |(_, query)| query.trim_end_matches(';'));
    let spec = json!({"pipeline": request.pipeline.name, "type": table_type, "name": name, "query": query});
    let spec: TableSpec = serde_json::from_value(spec).context("the played runner makes no Table of a statement")?;
    let spec = (table_type != TableType::TemporaryView).then_some(spec);
    add(request, name, table_type, format!("{file}:{number}:1"), spec, graph);
    Ok(())
}

fn add(request: &UpdateRequest, name: &str, kind: TableType, declared_in: String, spec: Option<TableSpec>, graph: &mut GraphReport) {
    let pipeline = &request.pipeline.spec;
    let full_name = format!("{}.{}.{name}", pipeline.catalog, pipeline.schema);
    let counts: &mut GraphCounts = &mut graph.counts;
    let (counter, flow_type) = match kind {
        TableType::StreamingTable => (&mut counts.streaming_tables, Some(FlowType::Append)),
        TableType::MaterializedView => (&mut counts.materialized_views, Some(FlowType::MaterializedView)),
        TableType::TemporaryView => (&mut counts.views, None),
        TableType::External => (&mut counts.externals, None),
    };
    *counter += 1;
    if kind != TableType::External {
        counts.datasets += 1;
    }
    let flow = flow_type.map(|flow_type| GraphFlow { name: full_name.clone(), dataset: full_name.clone(), flow_type, inputs: Vec::new() });
    graph.flows.extend(flow);
    graph.datasets.push(DatasetReport { full_name, table_type: kind, declared_in, spec });
}
