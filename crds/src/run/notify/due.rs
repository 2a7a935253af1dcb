//! Which deliveries become due when one status follows another.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Identity, RunRef, execution, warning};
use crate::{
    job::{JobEvent, JobSpec, Task, TaskKind, TaskNotification},
    job_run::{Delivery, DeliveryState, JobRunStatus, TaskStatus},
    state::{RunResultState, RunState, TaskResultState, TaskState},
};

/// A warning is repeated after this time if no rule says another.
const USUAL_REPEAT_SECONDS: i64 = 1800;

/// What becomes due because `after` follows `before`, in order of time. What `after` holds already is not due again.
pub fn due(spec: &JobSpec, run: &RunRef, before: &JobRunStatus, after: &JobRunStatus, now: Timestamp) -> Vec<Delivery> {
    let mut found = Found { run_uid: run.uid, after, now, deliveries: Vec::new() };
    if has_started(before, after) {
        found.of_run(spec, JobEvent::Start, 0);
    }
    for task in &spec.tasks {
        found.of_task(task, before);
    }
    if let Some(instant) = warned(spec, after, now) {
        found.of_run(spec, JobEvent::HealthWarning, instant);
    }
    if let Some(event) = end(before, after) {
        found.of_run(spec, event, 0);
    }
    found.deliveries
}

struct Found<'a> {
    run_uid: &'a str,
    after: &'a JobRunStatus,
    now: Timestamp,
    deliveries: Vec<Delivery>,
}

impl Found<'_> {
    fn of_run(&mut self, spec: &JobSpec, event: JobEvent, count: i64) {
        let repair = execution(self.after);
        for notification in spec.notifications.iter().filter(|notification| notification.events.contains(&event)) {
            self.add(&Identity { event, name: &notification.name, task: "", repair, count });
        }
    }

    /// A loop is told of once, not once for each iteration: what its inner task says is told of the loop.
    fn of_task(&mut self, task: &Task, before: &JobRunStatus) {
        let inner = task.for_each.as_ref().map(|for_each| &for_each.task);
        let is_quiet = task.notifications.is_empty() && inner.is_none_or(|inner| inner.notifications.is_empty());
        let Some(after) = status_of(self.after, &task.name).filter(|after| !is_quiet && after.kind != TaskKind::Condition) else { return };
        for moment in moments(status_of(before, &task.name), after) {
            self.at(&moment, after.repair_id, &task.name, &task.notifications);
            if let Some(inner) = inner {
                self.at(&moment, after.repair_id, &inner.name, &inner.notifications);
            }
        }
    }

    fn at(&mut self, moment: &Moment, repair: i32, task: &str, notifications: &[TaskNotification]) {
        let is_told = |notification: &&TaskNotification| {
            let wants = notification.events.iter().any(|event| event.job_event() == moment.event);
            wants && (moment.is_decisive || !notification.only_last_attempt)
        };
        for notification in notifications.iter().filter(is_told) {
            self.add(&Identity { event: moment.event, name: &notification.name, task, repair, count: moment.count });
        }
    }

    fn add(&mut self, identity: &Identity) {
        let key = identity.key(self.run_uid);
        if self.after.notifications.iter().chain(&self.deliveries).any(|known| known.key == key) {
            return;
        }
        self.deliveries.push(Delivery {
            key,
            event: identity.event.as_str().to_string(),
            target: identity.target(),
            state: DeliveryState::Pending,
            attempts: 0,
            next_attempt_time: None,
            time: Some(Time(self.now)),
            message: None,
        });
    }
}

fn status_of<'a>(status: &'a JobRunStatus, task: &str) -> Option<&'a TaskStatus> {
    status.tasks.iter().find(|status| status.name == task)
}

/// The execution that has left the queue.
fn started(status: &JobRunStatus) -> Option<i32> {
    let has = match status.state? {
        RunState::Pending | RunState::Running | RunState::Terminating => true,
        RunState::Terminated => status.start_time.is_some(),
        RunState::Queued | RunState::Skipped => false,
    };
    has.then(|| execution(status))
}

fn has_started(before: &JobRunStatus, after: &JobRunStatus) -> bool {
    // Who was stopped in the queue never left it.
    let was_waiting = before.state.is_none_or(|state| state == RunState::Queued);
    let is_stopped = after.state == Some(RunState::Terminated) && after.result_state == Some(RunResultState::Canceled);
    started(after).is_some() && started(before) != started(after) && !(was_waiting && is_stopped)
}

fn end(before: &JobRunStatus, after: &JobRunStatus) -> Option<JobEvent> {
    let ended = |status: &JobRunStatus| status.state.filter(|state| state.is_terminal()).map(|_| execution(status));
    if ended(after).is_none() || ended(before) == ended(after) {
        return None;
    }
    if after.state == Some(RunState::Skipped) {
        return Some(JobEvent::Skipped);
    }
    Some(match after.result_state? {
        RunResultState::Success | RunResultState::SuccessWithFailures => JobEvent::Success,
        RunResultState::Failed | RunResultState::TimedOut => JobEvent::Failure,
        RunResultState::Canceled => JobEvent::Canceled,
    })
}

/// How often a warning of `status` is repeated: by the rule that its text names, else by the most impatient.
pub(super) fn repeat_seconds(spec: &JobSpec, message: &str) -> i64 {
    let named = spec.health.iter().filter(|rule| message.contains(rule.metric.as_str()));
    let named = named.map(|rule| rule.every_seconds).min();
    let every = named.or_else(|| spec.health.iter().map(|rule| rule.every_seconds).min());
    every.map_or(USUAL_REPEAT_SECONDS, i64::from).max(1)
}

/// The newest instant (Unix seconds) at which a warning was due. It is part of the key, so each instant is told once.
fn warned(spec: &JobSpec, after: &JobRunStatus, now: Timestamp) -> Option<i64> {
    let (since, message) = warning(after)?;
    if after.state.is_none_or(RunState::is_terminal) {
        return None;
    }
    let every = repeat_seconds(spec, message);
    let passed = (now.as_second() - since.as_second()).max(0);
    Some(since.as_second() + passed / every * every)
}

/// Something to tell of a task.
struct Moment {
    event: JobEvent,
    /// Number of the attempt; 0 for loops.
    count: i64,
    /// The first start, or the final result.
    is_decisive: bool,
}

fn moments(before: Option<&TaskStatus>, after: &TaskStatus) -> Vec<Moment> {
    let mut moments = Vec::new();
    if begun(after).is_some() && before.and_then(begun) != begun(after) {
        moments.push(Moment { event: JobEvent::Start, count: count(after), is_decisive: after.retries == 0 });
    }
    if let Some(count) = failed_attempt(before, after) {
        moments.push(Moment { event: JobEvent::Failure, count, is_decisive: false });
    }
    let ended = |task: &TaskStatus| (task.state == TaskState::Terminated).then(|| (task.repair_id, count(task)));
    let event = match after.result_state {
        Some(TaskResultState::Success) => Some(JobEvent::Success),
        Some(TaskResultState::Failed | TaskResultState::TimedOut) => Some(JobEvent::Failure),
        _ => None,
    };
    if let Some(event) = event.filter(|_| ended(after).is_some() && before.and_then(ended) != ended(after)) {
        moments.push(Moment { event, count: count(after), is_decisive: true });
    }
    moments
}

/// Attempts of a loop are those of its iterations: they do not count.
fn count(task: &TaskStatus) -> i64 {
    if task.kind == TaskKind::ForEach { 0 } else { i64::from(task.execution_count) }
}

/// Repair and attempt that have begun to run.
fn begun(task: &TaskStatus) -> Option<(i32, i64)> {
    let ran = match task.state {
        TaskState::Running | TaskState::WaitingForRetry => true,
        TaskState::Terminating => task.start_time.is_some(),
        TaskState::Terminated => {
            let did = matches!(
                task.result_state,
                Some(TaskResultState::Success | TaskResultState::Failed | TaskResultState::TimedOut | TaskResultState::Canceled)
            );
            did && task.start_time.is_some()
        }
        TaskState::Blocked | TaskState::Queued | TaskState::Pending => false,
    };
    ran.then(|| (task.repair_id, count(task)))
}

/// The attempt that failed and is followed by another one.
fn failed_attempt(before: Option<&TaskStatus>, after: &TaskStatus) -> Option<i64> {
    let waits = |task: &TaskStatus| task.state == TaskState::WaitingForRetry;
    let before = before.filter(|before| before.repair_id == after.repair_id);
    if after.kind == TaskKind::ForEach || before.is_some_and(waits) {
        return None;
    }
    if waits(after) {
        return Some(count(after));
    }
    before.filter(|before| after.retries > before.retries).map(count)
}
