//! What an update is about, told to the event log: who started it, with which definition, and what it is going to do.

use floe_crds::state::{Cause, UpdateState};
use floe_graph::plan::UpdatePlan;
use serde_json::json;

use super::Resolved;
use crate::{
    event_log::{
        EventLog, definition,
        event::{Action, CreateUpdate, Event, UserAction},
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
    log.record(definition::runtime_details(None));
}

/// The end of planning: the graph, its lints, the plan of changes, and every dataset and flow.
pub fn planned(log: &EventLog, resolved: &Resolved, plan: &UpdatePlan, development: bool) {
    for event in definition::planned(&resolved.graph, &plan.changes, &|_| None, development) {
        log.record(event);
    }
    for note in &plan.notes {
        log.record(Event::planning_note(note));
    }
}
