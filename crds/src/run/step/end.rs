//! The result of a run, and the counts that people see.

use super::Machine;
use crate::{
    job_run::{JobRunStatus, RepairState, TaskCounts, TaskStatus},
    pipeline_update::Cancel,
    state::{RunResultState, RunState, TaskResultState, TaskState, TerminationCode},
    text::cut,
};

/// Longest message of a run, in bytes.
const MAX_MESSAGE: usize = 4000;

impl Machine<'_> {
    /// Ends the run if all its tasks have ended, and counts them.
    pub(super) fn end(&mut self) {
        if self.status.tasks.iter().all(|task| task.state == TaskState::Terminated) {
            let (result, code, message) = self.result();
            conclude(&mut self.status, self.scene.now, result, code, &message);
        }
        self.status.task_counts = Some(self.counts());
    }

    /// The tasks of the spec in force with their results. One that has left the spec decides nothing any more.
    fn results(&self) -> impl Iterator<Item = (&TaskStatus, TaskResultState)> {
        let known = self.status.tasks.iter().filter(|status| self.spec.task(&status.name).is_some());
        known.filter_map(|status| Some((status, status.result_state?)))
    }

    fn result(&self) -> (RunResultState, TerminationCode, String) {
        if self.scene.is_deleted || self.scene.request.cancel != Cancel::None {
            return (RunResultState::Canceled, TerminationCode::UserCanceled, "canceled on request".to_string());
        }
        if self.status.termination_code == Some(TerminationCode::RunTimeout) {
            let message = format!("the run took longer than timeoutSeconds ({}) and was stopped", self.spec.timeout_seconds);
            return (RunResultState::TimedOut, TerminationCode::RunTimeout, message);
        }
        let is_leaf =
            |task: &TaskStatus| self.graph.children(&task.name).all(|child| self.off(child) == Some(TerminationCode::NotSelected));
        let has_leaf = |wanted: fn(TaskResultState) -> bool| self.results().any(|(task, result)| wanted(result) && is_leaf(task));
        let has_failed = self.results().any(|(_, result)| result.is_failed());
        let (code, message) = self.first_failure().unwrap_or((TerminationCode::RunExecutionError, String::new()));
        if has_leaf(TaskResultState::is_failed) {
            (RunResultState::Failed, code, message)
        } else if has_leaf(TaskResultState::is_canceled) {
            (RunResultState::Canceled, TerminationCode::UserCanceled, "a task was canceled".to_string())
        } else if has_failed {
            (RunResultState::SuccessWithFailures, TerminationCode::SuccessWithFailures, message)
        } else {
            (RunResultState::Success, TerminationCode::Success, String::new())
        }
    }

    /// The first task that failed itself, in the order of the graph.
    fn first_failure(&self) -> Option<(TerminationCode, String)> {
        let own = |name: &&str| {
            let status = self.status_of(name)?;
            let result = status.result_state.filter(|result| result.is_failed() && *result != TaskResultState::UpstreamFailed)?;
            Some((status, result))
        };
        let (status, result) = self.graph.order().iter().find_map(own)?;
        let told = status.message.clone().unwrap_or_else(|| result.as_str().to_string());
        Some((status.termination_code.unwrap_or(TerminationCode::RunExecutionError), format!("{}: {told}", status.name)))
    }

    fn counts(&self) -> TaskCounts {
        if let (Some(_), [slices]) = (&self.scene.request.backfill, self.status.tasks.as_slice()) {
            return of_slices(slices);
        }
        counts_of(&self.status)
    }
}

/// The run has ended so.
pub(super) fn conclude(status: &mut JobRunStatus, now: jiff::Timestamp, result: RunResultState, code: TerminationCode, message: &str) {
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now);
    status.state = Some(RunState::Terminated);
    status.result_state = Some(result);
    status.termination_code = Some(code);
    status.message = (!message.is_empty()).then(|| cut(message, MAX_MESSAGE).to_string());
    (status.queue_reason, status.queued_until) = (None, None);
    let running = status.repairs.iter_mut().rev().find(|repair| repair.state == RepairState::Running);
    let started = running.as_ref().and_then(|repair| repair.start_time.clone()).or_else(|| status.start_time.clone());
    if let Some(repair) = running {
        repair.state = if result.is_success() { RepairState::Succeeded } else { RepairState::Failed };
        repair.end_time = Some(now.clone());
    }
    status.run_duration_seconds = started.map(|started| now.0.duration_since(started.0).as_secs().max(0));
    status.end_time = Some(now);
}

/// Tasks by what became of them.
pub(super) fn counts_of(status: &JobRunStatus) -> TaskCounts {
    let mut counts = TaskCounts { total: i32::try_from(status.tasks.len()).unwrap_or(i32::MAX), ..TaskCounts::default() };
    for task in &status.tasks {
        let place = match (task.state, task.result_state) {
            (TaskState::Terminated, Some(TaskResultState::Success)) => &mut counts.succeeded,
            (TaskState::Terminated, Some(TaskResultState::Excluded)) => &mut counts.excluded,
            (TaskState::Terminated, Some(TaskResultState::Disabled)) => &mut counts.disabled,
            (TaskState::Terminated, Some(result)) if result.is_failed() => &mut counts.failed,
            (TaskState::Terminated, _) => &mut counts.canceled,
            (TaskState::Blocked, _) => &mut counts.blocked,
            (TaskState::Queued, _) if task.child.is_none() => &mut counts.blocked,
            _ => &mut counts.running,
        };
        *place += 1;
    }
    with_done(counts)
}

fn of_slices(slices: &TaskStatus) -> TaskCounts {
    let all = slices.for_each.clone().unwrap_or_default();
    let left = all.total - all.succeeded - all.failed - all.active;
    let (blocked, canceled) = if slices.state == TaskState::Terminated { (0, left) } else { (left, 0) };
    with_done(TaskCounts {
        total: all.total,
        blocked,
        running: all.active,
        succeeded: all.succeeded,
        failed: all.failed,
        canceled,
        ..TaskCounts::default()
    })
}

fn with_done(mut counts: TaskCounts) -> TaskCounts {
    counts.done = format!("{}/{}", counts.total - counts.blocked - counts.running, counts.total);
    counts
}
