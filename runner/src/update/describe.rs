//! What an update is about, told to the event log: who started it, with which definition, and what it is going to do.

use floe_crds::state::{Cause, UpdateState};
use floe_graph::{
    analysis::ddl,
    definition::{DatasetKind, FlowKind},
    graph::{ResolvedDataset, ResolvedFlow},
    plan::UpdatePlan,
};
use serde_json::json;

use super::Resolved;
use crate::{
    event_log::{
        EventLog,
        event::{
            Action, CreateUpdate, DatasetDefinition, DatasetType, Event, ExpectationDefinition, FlowDefinition, FlowType, GraphPlanned,
            InputDataset, Lint, RuntimeDetails, SchemaField, Subject, UserAction,
        },
    },
    project::Project,
    settings::RunSettings,
};

/// The first events: the update, who asked for it, what runs it.
pub fn created(log: &EventLog, settings: &RunSettings, project: &Project) {
    let selection = &settings.selection;
    let update_spec = json!({
        "refresh": selection.refresh, "refreshFlows": selection.refresh_flows, "fullRefresh": selection.full_refresh,
        "fullRefreshAll": selection.full_refresh_all, "resetCheckpoints": selection.reset_checkpoints, "cascade": selection.cascade,
    });
    let update_id = log.update_id();
    let create = CreateUpdate {
        config: serde_json::to_value(&project.spec).unwrap_or_default(),
        update_spec,
        run_as: Some(settings.run_as.clone()),
        cause: settings.cause.unwrap_or(Cause::UserAction),
        attempt: log.attempt(),
    };
    log.record(Event::create_update(&update_id, create));
    log.record(Event::user_action(UserAction { user_name: settings.run_as.clone(), user_id: None, action: Action::Start }));
    log.record(Event::update_progress(&update_id, UpdateState::Created));
    log.record(Event::runtime_details(RuntimeDetails {
        image_key: None,
        floe_version: env!("CARGO_PKG_VERSION").to_string(),
        datafusion_version: datafusion::DATAFUSION_VERSION.to_string(),
        deltalake_version: deltalake::crate_version().to_string(),
    }));
}

/// The end of planning: the graph, its lints, the plan of changes, and every dataset and flow.
pub fn planned(log: &EventLog, resolved: &Resolved, plan: &UpdatePlan, development: bool) {
    let graph = &resolved.graph;
    let lint = |found: &floe_graph::origin::Diagnostic| Lint {
        code: found.class.clone(),
        message: found.message.clone(),
        position: found.origin.as_ref().map(ToString::to_string),
    };
    let lints: Vec<Lint> = graph.lints.iter().map(lint).collect();
    for lint in lints.iter().filter(|lint| lint.code == "W001") {
        log.record(Event::deprecation(lint));
    }
    let (datasets, flows) = (graph.datasets.len() as u64, graph.flows.len() as u64);
    log.record(Event::graph_planned(GraphPlanned { datasets, flows, lints, changes: plan.changes.clone() }));
    for dataset in graph.datasets.values().filter(|dataset| dataset.definition.kind != DatasetKind::External) {
        log.record(dataset_event(resolved, dataset));
    }
    for flow in &graph.flows {
        log.record(flow_event(flow, development));
    }
}

fn dataset_event(resolved: &Resolved, dataset: &ResolvedDataset) -> Event {
    let definition = &dataset.definition;
    let expectation = |e: &floe_graph::graph::ResolvedExpectation| ExpectationDefinition {
        name: e.name.clone(),
        expression: e.text.clone(),
        action: e.action,
    };
    let details = DatasetDefinition {
        dataset_type: match definition.kind {
            DatasetKind::StreamingTable => DatasetType::StreamingTable,
            DatasetKind::MaterializedView => DatasetType::MaterializedView,
            DatasetKind::TemporaryView | DatasetKind::View | DatasetKind::External => DatasetType::View,
        },
        num_flows: resolved.graph.flows.iter().filter(|flow| flow.target == definition.name).count() as u64,
        expectations: dataset.expectations.iter().map(expectation).collect(),
        schema_json: ddl::schema_json(&dataset.schema).to_string(),
    };
    Event::dataset_definition(Subject::dataset(definition.name.to_string()), details)
}

fn flow_event(flow: &ResolvedFlow, development: bool) -> Event {
    let target = flow.target.to_string();
    let field = |field: &std::sync::Arc<datafusion::arrow::datatypes::Field>| SchemaField {
        name: field.name().clone(),
        path: field.name().clone(),
        data_type: ddl::type_text(field.data_type()),
    };
    let definition = FlowDefinition {
        input_datasets: flow.inputs.iter().map(|input| InputDataset { name: input.source_id() }).collect(),
        output_dataset: Some(target.clone()),
        output_sink: None,
        explain_text: development.then(|| flow.plan.display_indent().to_string()),
        schema_json: ddl::schema_json(&flow.schema).to_string(),
        schema: flow.schema.fields().iter().map(field).collect(),
        flow_type: if flow.kind == FlowKind::Complete { FlowType::MaterializedView } else { FlowType::Append },
        comment: flow.comment.clone(),
        spark_conf: flow.settings.clone(),
        language: "SQL",
        once: flow.kind == FlowKind::Once,
    };
    Event::flow_definition(Subject { flow_id: None, ..Subject::flow(flow.name.clone(), String::new(), target) }, definition)
}
