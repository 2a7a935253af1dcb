//! What an update is going to do, as events: the plan, every dataset and every flow.

use std::collections::BTreeMap;

use datafusion::{
    arrow::datatypes::{DataType, Schema},
    logical_expr::LogicalPlan,
};
use floe_graph::{
    analysis::ddl::{schema_json, type_text},
    definition::DatasetKind,
    graph::{ResolvedDataset, ResolvedFlow, ResolvedGraph, ResolvedKind},
    origin::Diagnostic,
    plan::Change,
};

use super::{
    event::{
        DatasetDefinition, DatasetType, Event, ExpectationDefinition, FlowDefinition, FlowType, GraphPlanned, InputDataset, Lint,
        RuntimeDetails, SchemaField, SinkDefinition, Subject,
    },
    redact::{MAX_EXPLAIN_BYTES, truncated},
};

/// Versions of what runs.
pub fn runtime_details(image_key: Option<String>) -> Event {
    Event::runtime_details(RuntimeDetails {
        image_key,
        floe_version: env!("CARGO_PKG_VERSION").to_string(),
        datafusion_version: datafusion::DATAFUSION_VERSION.to_string(),
        deltalake_version: deltalake::crate_version().to_string(),
    })
}

/// The end of planning and everything that was planned: `graph_planned`, then lints about legacy syntax, datasets and flows.
///
/// `flow_id` gives the UUID of a flow's incremental life, if it is known already. `development` adds plans to the flows.
pub fn planned(graph: &ResolvedGraph, changes: &[Change], flow_id: &dyn Fn(&str) -> Option<String>, development: bool) -> Vec<Event> {
    let lints: Vec<Lint> = graph.lints.iter().map(lint).collect();
    let legacy: Vec<Event> = lints.iter().filter(|lint| lint.code == "W001").map(Event::deprecation).collect();
    let planned = GraphPlanned {
        datasets: graph.datasets.values().filter(|dataset| dataset.sink_location().is_none()).count() as u64,
        flows: graph.flows.len() as u64,
        lints,
        changes: changes.to_vec(),
        graph: None,
    };
    let mut events = vec![Event::graph_planned(planned)];
    events.extend(legacy);
    events.extend(graph.datasets.values().filter_map(|dataset| dataset_definition(graph, dataset)));
    events.extend(graph.datasets.values().filter_map(sink_definition));
    events.extend(graph.flows.iter().map(|flow| flow_definition(graph, flow, flow_id(&flow.name), development)));
    events
}

fn lint(lint: &Diagnostic) -> Lint {
    Lint { code: lint.class.clone(), message: lint.message.clone(), position: lint.origin.as_ref().map(ToString::to_string) }
}

/// External tables are not ours to define; sinks have events of their own.
fn dataset_definition(graph: &ResolvedGraph, dataset: &ResolvedDataset) -> Option<Event> {
    let name = &dataset.definition.name;
    let dataset_type = match dataset.definition.kind {
        DatasetKind::StreamingTable => DatasetType::StreamingTable,
        DatasetKind::MaterializedView => DatasetType::MaterializedView,
        DatasetKind::TemporaryView | DatasetKind::View => DatasetType::View,
        DatasetKind::External | DatasetKind::Sink => return None,
    };
    let rule = |rule: &floe_graph::graph::ResolvedExpectation| ExpectationDefinition {
        name: rule.name.clone(),
        expression: rule.text.clone(),
        action: rule.action,
    };
    let definition = DatasetDefinition {
        dataset_type,
        num_flows: graph.flows_into(name).count() as u64,
        expectations: dataset.expectations.iter().map(rule).collect(),
        schema_json: schema_json(&dataset.schema).to_string(),
    };
    Some(Event::dataset_definition(Subject::dataset(name.to_string()), definition))
}

fn sink_definition(dataset: &ResolvedDataset) -> Option<Event> {
    let options = BTreeMap::from([("path".to_string(), dataset.sink_location()?.to_string())]);
    let subject = Subject { sink_name: Some(dataset.definition.name.to_string()), ..Subject::default() };
    Some(Event::sink_definition(subject, SinkDefinition { format: "delta", options }))
}

fn flow_definition(graph: &ResolvedGraph, flow: &ResolvedFlow, flow_id: Option<String>, development: bool) -> Event {
    let is_sink = graph.datasets.get(&flow.target).is_some_and(|target| target.sink_location().is_some());
    let target = Some(flow.target.to_string());
    let (output_dataset, output_sink) = if is_sink { (None, target) } else { (target, None) };
    let subject = Subject {
        flow_name: Some(flow.name.clone()),
        flow_id,
        dataset_name: output_dataset.clone(),
        sink_name: output_sink.clone(),
        ..Subject::default()
    };
    let inputs = flow.inputs.iter().map(|input| InputDataset { name: input.source_id() });
    let definition = FlowDefinition {
        input_datasets: inputs.collect(),
        output_dataset,
        output_sink,
        explain_text: development.then(|| explain_text(&flow.plan)),
        schema_json: schema_json(&flow.schema).to_string(),
        schema: fields(&flow.schema),
        flow_type: match flow.kind {
            ResolvedKind::Append | ResolvedKind::Once => FlowType::Append,
            ResolvedKind::Complete => FlowType::MaterializedView,
            ResolvedKind::AutoCdc(_) if flow.kind.is_snapshot() => FlowType::SnapshotChange,
            ResolvedKind::AutoCdc(_) => FlowType::Change,
        },
        comment: flow.comment.clone(),
        spark_conf: flow.settings.clone(),
        language: "SQL",
        once: flow.kind.is_once(),
    };
    Event::flow_definition(subject, definition)
}

fn explain_text(plan: &LogicalPlan) -> String {
    truncated(plan.display_indent().to_string(), MAX_EXPLAIN_BYTES)
}

/// All columns with those inside structs; `path` is the dotted place.
fn fields(schema: &Schema) -> Vec<SchemaField> {
    let mut found = Vec::new();
    for field in schema.fields() {
        add_field(field.name(), field.name(), field.data_type(), &mut found);
    }
    found
}

fn add_field(name: &str, path: &str, data_type: &DataType, found: &mut Vec<SchemaField>) {
    found.push(SchemaField { name: name.to_string(), path: path.to_string(), data_type: type_text(data_type) });
    if let DataType::Struct(inner) = data_type {
        for field in inner {
            add_field(field.name(), &format!("{path}.{}", field.name()), field.data_type(), found);
        }
    }
}
