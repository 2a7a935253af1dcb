//! What comes next in a run: a function of what is written down and what is seen.

mod attempts;
mod begin;
mod bound;
mod end;
mod loops;
mod resolve;
mod tasks;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resolve::Trigger;
pub use resolve::detail;

use super::{
    decide::Stopping,
    graph::Graph,
    parameters::Parameters,
    scene::{Action, Scene, Step},
};
use crate::{
    job::{JobSpec, Task, TaskKind},
    job_run::{JobRunStatus, TaskStatus},
    pipeline_update::Cancel,
    state::{RunState, TaskResultState, TaskState, TerminationCode},
    text::cut,
};

/// Longest message of a task, in bytes.
const MAX_TASK_MESSAGE: usize = 1000;

/// What comes next in the run of `scene`.
pub fn step(scene: &Scene<'_>) -> Step {
    let mut step = match scene.status.state {
        None => begin::begin(scene),
        Some(RunState::Queued) => begin::leave_queue(scene),
        Some(RunState::Pending | RunState::Running | RunState::Terminating) => advance(scene),
        Some(RunState::Terminated | RunState::Skipped) => begin::take_up_repair(scene),
    };
    begin::refuse_early_repair(scene, &mut step.status);
    bound::fit(&mut step.status);
    step
}

/// A run whose tasks may go on.
struct Machine<'a> {
    scene: &'a Scene<'a>,
    spec: &'a JobSpec,
    graph: &'a Graph<'a>,
    trigger: &'a Trigger,
    parameters: Parameters,
    stopping: Stopping,
    status: JobRunStatus,
    actions: Vec<Action>,
    wake: Option<Timestamp>,
    places: usize,
}

fn advance(scene: &Scene<'_>) -> Step {
    let Some(snapshot) = scene.snapshot else { return begin::without_snapshot(scene) };
    let spec = match begin::spec_in_force(scene, snapshot) {
        Ok(spec) => spec,
        Err(problem) => return begin::invalid(scene, &problem),
    };
    let trigger = Trigger::of(scene);
    let parameters = match resolve::parameters(scene, snapshot, &trigger) {
        Ok(parameters) => parameters,
        Err(problem) => return begin::invalid(scene, &problem),
    };
    let graph = Graph::of(&spec);
    let mut machine = Machine {
        scene,
        spec: &spec,
        graph: &graph,
        trigger: &trigger,
        parameters,
        stopping: Stopping::No,
        status: scene.status.clone(),
        actions: Vec::new(),
        wake: None,
        places: scene.places,
    };
    machine.stop();
    machine.see_attempts();
    machine.decide_all();
    machine.end();
    machine.into_step()
}

impl Machine<'_> {
    fn now(&self) -> Time {
        Time(self.scene.now)
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |other| other.min(at)));
    }

    fn status_of(&self, task: &str) -> Option<&TaskStatus> {
        self.status.tasks.iter().find(|status| status.name == task)
    }

    /// The task of the spec in force whose status stands at `place`; one that has left the spec has none.
    fn task_at(&self, place: usize) -> Option<&Task> {
        self.spec.task(&self.status.tasks[place].name)
    }

    /// Why the task does not take part, if it does not.
    fn off(&self, task: &Task) -> Option<TerminationCode> {
        if !self.is_selected(&task.name) {
            return Some(TerminationCode::NotSelected);
        }
        task.disabled.then_some(TerminationCode::Disabled)
    }

    /// True for tasks that the run is for. What slices are for their own runs know.
    fn is_selected(&self, task: &str) -> bool {
        let only = &self.scene.request.only;
        only.is_empty() || self.scene.request.backfill.is_some() || only.iter().any(|selected| selected == task)
    }

    /// Looks whether the run is to stop. What runs when that is first seen is told so; clean-ups that begin later are left alone.
    fn stop(&mut self) {
        let canceled = if self.scene.is_deleted { Cancel::Immediate } else { self.scene.request.cancel };
        let timed_out = self.status.termination_code == Some(TerminationCode::RunTimeout) || self.is_out_of_time();
        self.stopping = match canceled {
            _ if timed_out => Stopping::Immediate,
            Cancel::None => return,
            Cancel::Graceful => Stopping::Graceful,
            Cancel::Immediate => Stopping::Immediate,
        };
        if timed_out {
            self.status.termination_code = Some(TerminationCode::RunTimeout);
        }
        let is_new = self.status.state != Some(RunState::Terminating);
        self.status.state = Some(RunState::Terminating);
        if !is_new && self.stopping != Stopping::Immediate {
            return;
        }
        for place in 0..self.status.tasks.len() {
            self.take_over(place);
            let task = &mut self.status.tasks[place];
            match task.state {
                TaskState::Pending | TaskState::Running => task.state = TaskState::Terminating,
                TaskState::Queued if task.child.is_some() => task.state = TaskState::Terminating,
                TaskState::WaitingForRetry => {
                    let message = "stopped before it was tried again";
                    self.terminate(place, TaskResultState::Canceled, TerminationCode::UserCanceled, message);
                }
                _ => {}
            }
        }
    }

    /// Finds the attempt of a task that was made before it could be written down, so that the stop reaches it. That of a clean-up may have begun since.
    fn take_over(&mut self, place: usize) {
        let Some(task) = self.task_at(place).cloned() else { return };
        let status = &self.status.tasks[place];
        let waits = match status.state {
            TaskState::WaitingForRetry => true,
            TaskState::Blocked => self.stopping == Stopping::Immediate || !task.run_if.cleans_up(),
            TaskState::Queued => status.child.is_none() && (self.stopping == Stopping::Immediate || !task.run_if.cleans_up()),
            _ => false,
        };
        if !waits || !self.scene.attempts.has_begun(status) {
            return;
        }
        self.status.tasks[place].repair_id = self.status.snapshot_id();
        if task.kind() == TaskKind::ForEach { self.open_loop(place, &task) } else { self.start(place, &task) }
    }

    /// How attempts are stopped. A run that is out of time leaves them the time to end.
    fn how_to_stop(&self) -> Cancel {
        let out_of_time = self.status.termination_code == Some(TerminationCode::RunTimeout);
        if self.stopping == Stopping::Immediate && !out_of_time { Cancel::Immediate } else { Cancel::Graceful }
    }

    fn is_out_of_time(&mut self) -> bool {
        let started = self.status.execution_mut().and_then(|execution| execution.start_time.as_ref()).map(|time| time.0);
        let seconds = i64::from(self.spec.timeout_seconds);
        let Some(started) = started.filter(|_| seconds > 0) else { return false };
        let deadline = started.saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        if deadline > self.scene.now {
            self.wake_at(deadline);
        }
        deadline <= self.scene.now
    }

    /// The task whose status stands at `place` has its result.
    fn terminate(&mut self, place: usize, result: TaskResultState, code: TerminationCode, message: &str) {
        let now = self.now();
        // Who is stopped or not begun because the time of the run is over was not canceled by anyone.
        let is_out_of_time = self.status.termination_code == Some(TerminationCode::RunTimeout);
        let code = if is_out_of_time && code == TerminationCode::UserCanceled { TerminationCode::RunTimeout } else { code };
        let task = &mut self.status.tasks[place];
        task.state = TaskState::Terminated;
        task.result_state = Some(result);
        task.termination_code = Some(code);
        task.message = (!message.is_empty()).then(|| cut(message, MAX_TASK_MESSAGE).to_string());
        task.next_retry_time = None;
        task.end_time = Some(now);
    }

    fn into_step(self) -> Step {
        Step { status: self.status, actions: self.actions, wake: self.wake }
    }
}
