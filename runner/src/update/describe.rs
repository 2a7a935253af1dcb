//! What an update is about, told to the event log: who started it, with which definition, and what it is going to do.

use chrono::Utc;
use floe_crds::{
    pipeline_update::UpdateType,
    state::{Cause, UpdateState},
};
use floe_graph::plan::UpdatePlan;
use serde_json::json;

use super::Resolved;
use crate::{
    event_log::{
        EventLog, definition,
        event::{Action, CreateUpdate, Event, EventDetails, UserAction},
    },
    project::Project,
    report,
    settings::RunSettings,
};

/// The first events: the update, who asked for it, what runs it. An attempt that lost its pod goes on in the middle of its events.
pub fn created(log: &EventLog, settings: &RunSettings, project: &Project) {
    let cause = settings.cause.unwrap_or(Cause::UserAction);
    if !log.is_continued() {
        create_update(log, settings, project, cause);
    }
    earlier_states(log, settings);
    if cause == Cause::UserAction && !log.is_continued() {
        log.record(Event::user_action(UserAction { user_name: settings.run_as.clone(), user_id: None, action: Action::Start }));
    }
    if settings.requested.is_none() {
        log.record(Event::update_progress(&log.update_id(), UpdateState::Created));
    }
    log.record(definition::runtime_details(None));
}

fn create_update(log: &EventLog, settings: &RunSettings, project: &Project, cause: Cause) {
    let selection = &settings.selection;
    let mut update_spec = json!({
        "refresh": selection.refresh, "refreshFlows": selection.refresh_flows, "fullRefresh": selection.full_refresh,
        "fullRefreshAll": selection.full_refresh_all, "resetCheckpoints": selection.reset_checkpoints, "cascade": selection.cascade,
    });
    if let Some(requested) = &settings.requested {
        update_spec["validateOnly"] = requested.validate_only.into();
        if requested.update_type == UpdateType::Maintenance {
            update_spec["type"] = json!(requested.update_type);
        }
    }
    let create = CreateUpdate {
        config: serde_json::to_value(&project.spec).unwrap_or_default(),
        update_spec,
        run_as: Some(settings.run_as.clone()),
        cause,
        attempt: log.attempt(),
    };
    let event = Event::create_update(&log.update_id(), create);
    let created_at = settings.requested.as_ref().filter(|requested| requested.attempt == 1).and_then(|requested| requested.created_at);
    log.record(match created_at {
        Some(time) => event.happened_at(time),
        None => event,
    });
}

/// The states from before there was a runner, with their true times; a further attempt or pod only waited once more.
fn earlier_states(log: &EventLog, settings: &RunSettings) {
    let Some(requested) = &settings.requested else { return };
    let event = |state| Event::update_progress(&log.update_id(), state);
    if requested.attempt > 1 || log.is_continued() {
        return log.record(event(UpdateState::WaitingForResources).happened_at(Utc::now()));
    }
    for (state, time) in &requested.state_times {
        log.record(event(*state).happened_at(*time));
    }
}

/// The end of planning: the graph, its lints, the plan of changes, and every dataset and flow.
pub fn planned(log: &EventLog, resolved: &Resolved, plan: &UpdatePlan, development: bool) {
    for mut event in definition::planned(&resolved.graph, &plan.changes, &|_| None, development) {
        if let EventDetails::GraphPlanned(planned) = &mut event.details {
            planned.graph = Some(Box::new(report::graph::report(resolved)));
        }
        log.record(event);
    }
    for note in &plan.notes {
        log.record(Event::planning_note(note));
    }
    for warning in &plan.warnings {
        log.record(Event::planning_warning(warning));
    }
}
