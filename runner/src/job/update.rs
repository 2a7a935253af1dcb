//! A pipeline task: one update in this process, as `floe run` makes it.

use std::sync::Arc;

use floe_crds::{
    pipeline::{Mode, PipelineSpec},
    state::{Cause, TerminationCode, UpdateState},
    update::UpdateSelection,
};
use floe_graph::plan::Selection;

use super::{
    execute::{Assignment, on_thread, until},
    outcome::Outcome,
    site::Site,
};
use crate::{
    execute::StopSignal,
    failure::Failure,
    output::{counted, failure::failure_text, live::LiveDisplay},
    project,
    settings::{RunSettings, Settings},
    summary::UpdateSummary,
    update,
};

/// Brings the Pipeline of the task up to date.
pub async fn update(assignment: &mut Assignment) -> Outcome {
    let site = Arc::clone(&assignment.site);
    let Some(task) = assignment.attempt.effective.work.pipeline.clone() else { return Outcome::success() };
    let Some(spec) = site.pipelines.get(&task.name) else {
        let message = format!("{} has no pipeline {}; {}", site.settings.project.display(), task.name, site.known("pipeline"));
        return Outcome::refused(TerminationCode::ResourceNotFound, message);
    };
    if spec.mode == Mode::Continuous {
        return Outcome::refused(TerminationCode::InvalidRunConfiguration, format!("pipeline {} is continuous", task.name));
    }
    let stop = StopSignal::default();
    let settings = settings(&site, &task.name, spec, &task.selection, assignment, stop.clone());
    let (there, label) = (Arc::clone(&site), assignment.label.clone());
    let mut work = Box::pin(on_thread("update", move || Box::pin(run(there, label, settings))));
    let (deadline, mut timed_out) = (assignment.deadline(), false);
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            _ = assignment.told() => stop.request(),
            () = until(deadline), if !timed_out => {
                timed_out = true;
                stop.request();
            }
        }
    };
    match ended.and_then(|ended| ended) {
        Ok(summary) if timed_out && summary.state != UpdateState::Completed => assignment.timeout(),
        Ok(summary) => of_update(&summary),
        Err(failure) => Outcome::failed(&failure),
    }
}

async fn run(site: Arc<Site>, label: String, mut settings: RunSettings) -> Result<UpdateSummary, Failure> {
    let terminal = site.terminal.with_prefix(&label);
    let live = Arc::new(LiveDisplay::new(terminal.clone()));
    settings.observers.push(Arc::clone(&live) as _);
    let outcome = match project::load(&settings.settings) {
        Ok(project) => Box::pin(update::run(settings, project)).await,
        Err(failure) => Err(failure),
    };
    live.finish();
    let failures = match &outcome {
        Ok(summary) => summary.failures.iter().collect(),
        Err(failure) => vec![failure],
    };
    for failure in failures {
        terminal.err(&failure_text(failure, &site.root, terminal.color_err));
    }
    outcome
}

fn settings(
    site: &Site,
    name: &str,
    spec: &PipelineSpec,
    selection: &UpdateSelection,
    assignment: &Assignment,
    stop: StopSignal,
) -> RunSettings {
    // Parameters of the Job are handed to every task; what the Pipeline does not declare is not for it.
    let is_declared = |name: &str| spec.parameters.iter().any(|declared| declared.name.eq_ignore_ascii_case(name));
    let parameters = selection.parameters.iter().filter(|(name, _)| is_declared(name));
    RunSettings {
        settings: Settings {
            project: site.settings.project.clone(),
            pipeline: Some(name.to_string()),
            parameters: parameters.map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..site.settings.clone()
        },
        selection: Selection {
            refresh: selection.refresh.clone(),
            refresh_flows: selection.refresh_flows.clone(),
            full_refresh: selection.full_refresh.clone(),
            full_refresh_all: selection.full_refresh_all,
            reset_checkpoints: selection.reset_checkpoints.clone(),
            cascade: selection.cascade,
        },
        dry_run: selection.validate_only,
        cause: Some(Cause::JobTask),
        run_as: site.environment.run_as(),
        host: site.environment.host(),
        update_id: Some(assignment.child.uid.clone()),
        stop,
        ..RunSettings::default()
    }
}

fn of_update(summary: &UpdateSummary) -> Outcome {
    match (summary.state, summary.deciding_failure()) {
        (UpdateState::Canceled, _) => Outcome::canceled(),
        (_, Some(failure)) => {
            let mut outcome = Outcome::failed(failure);
            let others = summary.failures.len().saturating_sub(1);
            if others > 0 {
                outcome.message = format!("{}; and {}", outcome.message, counted(others as u64, "further failure"));
            }
            outcome
        }
        (UpdateState::Failed, None) => Outcome::failed(&Failure::internal("the update failed without a reason")),
        _ => Outcome::success(),
    }
}
