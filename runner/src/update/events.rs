//! The event log of an update: who runs it, where it goes, and what it says about the plan.

use std::io::Write;

use floe_crds::state::{Cause, UpdateState};
use floe_graph::{
    graph::ResolvedGraph,
    plan::{Selection, UpdatePlan},
};
use serde_json::{Value, json};

use crate::{
    event_log::{
        self, EventLog, Outputs, definition,
        event::{Action, CreateUpdate, Event, UserAction},
        record::Identity,
    },
    project::Project,
    settings::RunSettings,
    state::catalog::Catalog,
    storage::Storage,
};

/// The log of an update that writes.
pub(super) async fn open(settings: &RunSettings, project: &Project, storage: &Storage, catalog: &Catalog, update_id: &str) -> EventLog {
    let identity = identity(settings, project, &catalog.pipeline_id, update_id);
    let log = event_log::open(storage, catalog, identity, outputs(settings, project)).await;
    begin(&log, settings, project, update_id);
    log
}

/// The log of an update that writes nothing.
pub(super) fn without_table(settings: &RunSettings, project: &Project, catalog: Option<&Catalog>, update_id: &str) -> EventLog {
    let pipeline_id = catalog.map_or("", |catalog| &catalog.pipeline_id);
    let log = EventLog::start(identity(settings, project, pipeline_id, update_id), outputs(settings, project), None);
    begin(&log, settings, project, update_id);
    log
}

fn identity(settings: &RunSettings, project: &Project, pipeline_id: &str, update_id: &str) -> Identity {
    Identity {
        update_id: update_id.to_string(),
        attempt: 1,
        pipeline_id: pipeline_id.to_string(),
        pipeline_name: project.name.clone(),
        host: settings.host.clone(),
        ..Identity::default()
    }
}

fn outputs(settings: &RunSettings, project: &Project) -> Outputs {
    let lines: Option<Box<dyn Write + Send>> = if settings.json_lines { Some(Box::new(std::io::stdout())) } else { None };
    Outputs { lines, observers: settings.observers.clone(), secrets: project.secrets.clone() }
}

fn begin(log: &EventLog, settings: &RunSettings, project: &Project, update_id: &str) {
    let cause = settings.cause.unwrap_or(Cause::UserAction);
    let create = CreateUpdate {
        config: serde_json::to_value(&project.spec).unwrap_or_default(),
        update_spec: selection(&settings.selection, settings.dry_run),
        run_as: Some(settings.run_as.clone()),
        cause,
        attempt: 1,
    };
    log.record(Event::create_update(update_id, create));
    if cause == Cause::UserAction {
        log.record(Event::user_action(UserAction { user_name: settings.run_as.clone(), user_id: None, action: Action::Start }));
    }
    log.record(Event::update_progress(update_id, UpdateState::Created));
    log.record(definition::runtime_details(None));
}

/// The request in the words of a PipelineUpdate.
fn selection(selection: &Selection, validate_only: bool) -> Value {
    json!({
        "refresh": selection.refresh,
        "refreshFlows": selection.refresh_flows,
        "fullRefresh": selection.full_refresh,
        "fullRefreshAll": selection.full_refresh_all,
        "resetCheckpoints": selection.reset_checkpoints,
        "cascade": selection.cascade,
        "validateOnly": validate_only,
    })
}

/// What planning found.
pub(super) fn planned(log: &EventLog, graph: &ResolvedGraph, plan: &UpdatePlan, development: bool) {
    for event in definition::planned(graph, &plan.changes, &|_| None, development) {
        log.record(event);
    }
}
