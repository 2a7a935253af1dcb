//! Jobs and runs of a cluster as people read them: lists, and one run in full. Pure: the time is an argument.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment};
use floe_crds::{
    condition::{ConditionType, find},
    job::Job,
    job_run::{DeliveryState, JobRun, JobRunStatus, RepairType, TaskStatus},
    state::{RunResultState, RunState},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::ResourceExt;
use serde_json::Value;

use super::{
    Paint, duration,
    job::{break_last_only, result_cell, spent, titled},
};

/// Jobs in the order of their names.
pub fn jobs(jobs: &[Job], color: bool) -> String {
    const TITLES: [&str; 8] = ["job", "schedule", "suspended", "active", "queued", "last run", "result", "next run"];
    let mut table = titled(&TITLES, color);
    for job in jobs {
        let status = job.status.clone().unwrap_or_default();
        let last = status.last_run.as_ref();
        let result = match last {
            Some(run) => word(run.state, run.result_state),
            None => String::new(),
        };
        let refused = find(&status.conditions, ConditionType::Accepted).filter(|accepted| accepted.status == "False");
        table.add_row(vec![
            Cell::new(job.name_any()),
            Cell::new(refused.map_or(status.schedule.as_deref().unwrap_or_default(), |accepted| &accepted.reason)),
            Cell::new(if job.spec.suspend { "yes" } else { "" }),
            right(status.active),
            right(status.queued),
            Cell::new(at(last.and_then(|run| run.start_time.as_ref()))),
            Cell::new(result),
            Cell::new(at(status.next_run_time.as_ref())),
        ]);
    }
    table.trim_fmt()
}

/// Runs, newest first.
pub fn runs(runs: &[JobRun], now: Timestamp, color: bool) -> String {
    const TITLES: [&str; 7] = ["run", "state", "trigger", "tasks", "repairs", "started", "duration"];
    let mut table = titled(&TITLES, color);
    for run in runs {
        let status = run.status.clone().unwrap_or_default();
        table.add_row(vec![
            Cell::new(run.name_any()),
            state_cell(&status, color),
            Cell::new(run.spec.trigger.trigger_type.as_str()),
            Cell::new(status.task_counts.as_ref().map(|counts| counts.done.clone()).unwrap_or_default()),
            right(status.repair_count),
            Cell::new(at(status.start_time.as_ref())),
            Cell::new(lasted(&status, now)).set_alignment(CellAlignment::Right),
        ]);
    }
    table.trim_fmt()
}

/// What is known of a run beside the run itself.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Values by task.
    pub values: BTreeMap<String, BTreeMap<String, Value>>,
    /// Pods by what they run, in the order of the tasks.
    pub pods: Vec<(String, String)>,
}

/// One run in full.
pub fn run(run: &JobRun, known: &Known, now: Timestamp, color: bool) -> String {
    let status = run.status.clone().unwrap_or_default();
    let mut parts = vec![head(run, &status, now)];
    let mut section = |title: &str, lines: String| {
        if !lines.is_empty() {
            parts.push(format!("\n{}\n{lines}", Paint::Bold.on(title, color)));
        }
    };
    section("tasks", if status.tasks.is_empty() { String::new() } else { tasks(&status.tasks, color) });
    section("values", values(known));
    section("pods", known.pods.iter().map(|(label, pod)| format!("  {label}: {pod}")).collect::<Vec<_>>().join("\n"));
    section("repairs", repairs(&status, color));
    section("notifications", notifications(&status));
    parts.join("\n")
}

fn head(run: &JobRun, status: &JobRunStatus, now: Timestamp) -> String {
    let trigger = &run.spec.trigger;
    let name = if trigger.name.is_empty() { String::new() } else { format!(" ({})", trigger.name) };
    let instant = trigger.time.as_ref().map(|time| format!(" for {}", at(Some(time)))).unwrap_or_default();
    let code = status
        .termination_code
        .filter(|_| status.result_state.is_some_and(|result| !result.is_success()) || status.state == Some(RunState::Skipped));
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    let queued = status.queue_reason.map(|reason| format!(" ({reason:?})")).unwrap_or_default();
    let backfill = run.spec.backfill.as_ref();
    let slices = backfill.map(|all| format!("{} to {} every {}", at(Some(&all.from)), at(Some(&all.to)), all.every));
    let list = |map: &BTreeMap<String, String>| map.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    let lines = [
        ("run", run.name_any()),
        ("job", run.spec.job_ref.name.clone()),
        ("state", format!("{}{code}{queued}", word(status.state, status.result_state))),
        ("message", status.message.clone().unwrap_or_default()),
        ("trigger", format!("{}{name}{instant}", trigger.trigger_type.as_str())),
        ("slices", slices.unwrap_or_default()),
        ("only", run.spec.only.join(", ")),
        ("parameters", list(&status.parameters)),
        ("started", at(status.start_time.as_ref())),
        ("ended", at(status.end_time.as_ref())),
        ("duration", lasted(status, now)),
    ];
    let shown = lines.iter().filter(|(_, text)| !text.is_empty());
    shown.map(|(title, text)| format!("{:<12}{}", format!("{title}:"), text.replace('\n', "\n            "))).collect::<Vec<_>>().join("\n")
}

fn tasks(tasks: &[TaskStatus], color: bool) -> String {
    const TITLES: [&str; 8] = ["task", "kind", "result", "attempts", "started", "duration", "runs as", "message"];
    let mut table = titled(&TITLES, color);
    for task in tasks {
        let attempts = match &task.for_each {
            Some(all) => format!("{} of {} done", all.succeeded + all.failed + all.excluded, all.total),
            None if task.execution_count == 0 => String::new(),
            None => task.execution_count.to_string(),
        };
        let message = task.message.as_deref().or(task.outcome.as_deref()).unwrap_or_default();
        table.add_row(vec![
            Cell::new(&task.name),
            Cell::new(task.kind.as_str()),
            result_cell(task, color),
            Cell::new(attempts).set_alignment(CellAlignment::Right),
            Cell::new(at(task.start_time.as_ref())),
            Cell::new(spent(task)).set_alignment(CellAlignment::Right),
            Cell::new(task.child.as_ref().map(runs_as).unwrap_or_default()),
            Cell::new(message),
        ]);
    }
    break_last_only(&mut table, TITLES.len());
    table.trim_fmt()
}

/// An object with the name by which kubectl finds it.
fn runs_as(child: &floe_crds::job_run::Child) -> String {
    let resource = match child.kind.as_str() {
        "PipelineUpdate" => "pipelineupdates.floe.dev",
        "JobRun" => "jobruns.floe.dev",
        _ => "jobs.batch",
    };
    format!("{resource}/{}", child.name)
}

fn values(known: &Known) -> String {
    let lines = known.values.iter().flat_map(|(task, values)| values.iter().map(move |(key, value)| format!("  {task}.{key} = {value}")));
    lines.collect::<Vec<_>>().join("\n")
}

fn repairs(status: &JobRunStatus, color: bool) -> String {
    const TITLES: [&str; 5] = ["id", "state", "started", "tasks", "message"];
    if !status.repairs.iter().any(|record| record.repair_type == RepairType::Repair) {
        return String::new();
    }
    let mut table = titled(&TITLES, color);
    for record in &status.repairs {
        let tasks = if record.repair_type == RepairType::Original { "the first execution".to_string() } else { record.tasks.join(", ") };
        table.add_row(vec![
            Cell::new(record.id).set_alignment(CellAlignment::Right),
            Cell::new(format!("{:?}", record.state).to_lowercase()),
            Cell::new(at(record.start_time.as_ref())),
            Cell::new(tasks),
            Cell::new(record.message.as_deref().unwrap_or_default()),
        ]);
    }
    break_last_only(&mut table, TITLES.len());
    table.trim_fmt()
}

fn notifications(status: &JobRunStatus) -> String {
    let lines = status.notifications.iter().map(|delivery| {
        let state = match delivery.state {
            DeliveryState::Pending => "not delivered yet",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "given up",
        };
        let told = delivery.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        let tries = if delivery.attempts == 1 { String::new() } else { format!(" after {} tries", delivery.attempts) };
        format!("  {} to {}: {state}{tries}{told}", delivery.event, delivery.target)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Where a run is, or how it ended, in small letters.
pub fn word(state: Option<RunState>, result: Option<RunResultState>) -> String {
    let word = match (state, result) {
        (Some(RunState::Terminated) | None, Some(result)) => result.as_str(),
        (Some(state), _) => state.as_str(),
        (None, None) => "not begun",
    };
    word.to_lowercase().replace('_', " ")
}

fn state_cell(status: &JobRunStatus, color: bool) -> Cell {
    let text = word(status.state, status.result_state);
    let paint = match (status.state, status.result_state) {
        (Some(RunState::Terminated), Some(RunResultState::Success)) => comfy_table::Color::Green,
        (Some(RunState::Terminated), Some(RunResultState::Failed | RunResultState::TimedOut)) => comfy_table::Color::Red,
        (Some(RunState::Terminated | RunState::Skipped), _) => comfy_table::Color::Yellow,
        _ => return Cell::new(text),
    };
    if color { Cell::new(text).fg(paint) } else { Cell::new(text) }
}

fn right(number: i32) -> Cell {
    Cell::new(if number == 0 { String::new() } else { number.to_string() }).set_alignment(CellAlignment::Right)
}

fn at(time: Option<&Time>) -> String {
    time.map(|time| time.0.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default()
}

/// How long a run took, or has taken so far; of a repaired one its newest execution.
fn lasted(status: &JobRunStatus, now: Timestamp) -> String {
    let newest = status.repairs.iter().rev().find_map(|record| record.start_time.as_ref());
    let Some(start) = newest.or(status.start_time.as_ref()) else { return String::new() };
    let is_over = status.state.is_some_and(RunState::is_terminal);
    let end = if is_over { status.end_time.as_ref().map_or(start.0, |end| end.0) } else { now };
    duration(u64::try_from(end.duration_since(start.0).as_millis()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
