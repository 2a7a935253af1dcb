//! Tells of transitions: Events on the run, metrics, one log line each.

use floe_crds::{
    condition::{self, ConditionType},
    job_run::{JobRunStatus, RepairState, TaskStatus},
    state::{RunResultState, RunState, TaskResultState, TaskState},
};

use super::{counts, observe::Observed};
use crate::{
    caches,
    context::Context,
    events::{EventReason, News, Severity},
    hub::reference,
};

/// Failed tasks of a run that get an Event.
const MAX_TASK_EVENTS: usize = 20;

/// What happened between two statuses. Pure.
pub fn news(old: &JobRunStatus, new: &JobRunStatus) -> Vec<News> {
    let mut told: Vec<News> = of_state(old, new).into_iter().collect();
    let known = |id: i32| old.repairs.iter().find(|repair| repair.id == id).map(|repair| repair.state);
    for repair in new.repairs.iter().filter(|repair| repair.id > 0 && known(repair.id) != Some(repair.state)) {
        let message = repair.message.clone().unwrap_or_default();
        match repair.state {
            RepairState::Rejected => {
                told.push(News::new(Severity::Warning, EventReason::RepairRejected, format!("repair {}: {message}", repair.id)));
            }
            RepairState::Running => {
                let note = format!("repair {}: {}", repair.id, repair.tasks.join(", "));
                told.push(News::new(Severity::Normal, EventReason::RepairStarted, note));
            }
            RepairState::Succeeded | RepairState::Failed => {}
        }
    }
    let failures = old.tasks.iter().filter(|task| has_failed(task)).count();
    let before = |name: &str| old.tasks.iter().find(|task| task.name == name);
    let mut left = MAX_TASK_EVENTS.saturating_sub(failures);
    for task in &new.tasks {
        let was = before(&task.name);
        if has_failed(task) && !was.is_some_and(has_failed) && left > 0 {
            left -= 1;
            let code = task.termination_code.map(|code| format!("[{code}] ")).unwrap_or_default();
            let note = format!("{code}task {}: {}", task.name, task.message.as_deref().unwrap_or_default());
            told.push(News::new(Severity::Warning, EventReason::TaskFailed, note));
        }
        if task.state == TaskState::WaitingForRetry && was.is_some_and(|was| was.retries < task.retries) {
            let note = format!("task {}, retry {}: {}", task.name, task.retries, task.message.as_deref().unwrap_or_default());
            told.push(News::new(Severity::Normal, EventReason::TaskRetrying, note));
        }
    }
    if is_warned(new) && !is_warned(old) {
        let said = condition::find(&new.conditions, ConditionType::HealthWarning).map(|warning| warning.message.clone());
        told.push(News::new(Severity::Warning, EventReason::HealthWarning, said.unwrap_or_default()));
    }
    told
}

fn is_warned(status: &JobRunStatus) -> bool {
    condition::is_true(&status.conditions, ConditionType::HealthWarning)
}

/// A task that failed itself.
fn has_failed(task: &TaskStatus) -> bool {
    task.result_state.is_some_and(|result| result.is_failed() && result != TaskResultState::UpstreamFailed)
}

fn of_state(old: &JobRunStatus, new: &JobRunStatus) -> Option<News> {
    if old.state == new.state {
        return None;
    }
    let message = new.message.clone().unwrap_or_default();
    let (severity, reason, note) = match (new.state?, new.result_state) {
        (RunState::Queued, _) => (
            Severity::Normal,
            EventReason::RunQueued,
            new.queue_reason.map(|reason| format!("waits: {}", reason.explanation())).unwrap_or_default(),
        ),
        (RunState::Pending | RunState::Running, _) if old.state.is_none_or(|state| state == RunState::Queued) => {
            (Severity::Normal, EventReason::RunStarted, "the run has started".to_string())
        }
        (RunState::Skipped, _) => (Severity::Warning, EventReason::RunSkipped, message),
        (RunState::Terminated, Some(RunResultState::Success)) => {
            (Severity::Normal, EventReason::RunSucceeded, "all tasks are done".to_string())
        }
        (RunState::Terminated, Some(RunResultState::SuccessWithFailures)) => {
            (Severity::Normal, EventReason::RunSucceeded, format!("done, with failures: {message}"))
        }
        (RunState::Terminated, Some(RunResultState::Canceled)) => (Severity::Normal, EventReason::RunCanceled, message),
        (RunState::Terminated, _) => {
            let code = new.termination_code.map(|code| format!("[{code}] ")).unwrap_or_default();
            (Severity::Warning, EventReason::RunFailed, format!("{code}{message}"))
        }
        _ => return None,
    };
    Some(News::new(severity, reason, note))
}

/// Tells people and the log.
pub fn tell(ctx: &Context, seen: &Observed, new: &JobRunStatus) {
    for news in news(&seen.status, new) {
        tracing::info!(job = seen.run.spec.job_ref.name, reason = news.reason.as_str(), "{}", news.note);
        ctx.recorder.publish(reference(seen.run.as_ref()), news, None);
    }
    let job = caches::job_of_run(&seen.run);
    for event in counts::events(&seen.run, &seen.status, new) {
        ctx.metrics.job_event(&job, &event);
    }
}
