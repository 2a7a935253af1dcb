//! Attempts of tasks: how far they are, what follows them, and the next ones.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Machine;
use crate::{
    job::{EffectiveTask, RunJobTask, Task, TaskKind},
    job_run::Child,
    pipeline_update::Cancel,
    run::{
        attempt::{AttemptEnd, EndClass, Past, Sequel, after_attempt},
        decide::Stopping,
        parameters::Parameters,
        scene::{Action, Attempt, Progress, Seen},
    },
    state::{TaskResultState, TaskState, TerminationCode},
    text::cut,
    trigger::names,
};

/// So many jobs may call each other.
const MAX_DEPTH: usize = 3;

/// Why no attempt can be made.
pub(super) struct Refusal {
    pub code: TerminationCode,
    pub message: String,
}

impl Refusal {
    pub fn new(code: TerminationCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub fn internal(message: &str) -> Self {
        Self { code: TerminationCode::InternalError, message: format!("{message}; please report this as a bug of Floe") }
    }
}

impl Machine<'_> {
    /// Takes note of attempts, and goes on with tasks that wait for the next one or for a place.
    pub(super) fn see_attempts(&mut self) {
        for place in 0..self.status.tasks.len() {
            let task = &self.status.tasks[place];
            match task.state {
                TaskState::Running | TaskState::Terminating if task.kind == TaskKind::ForEach => self.go_on(place),
                TaskState::Queued if task.child.is_none() => self.try_again(place),
                TaskState::Queued | TaskState::Pending | TaskState::Running | TaskState::Terminating => self.see(place),
                TaskState::WaitingForRetry => self.wait_for_retry(place),
                TaskState::Blocked | TaskState::Terminated => {}
            }
        }
    }

    fn see(&mut self, place: usize) {
        let task = &self.status.tasks[place];
        let seen = self.scene.attempts.find(&task.name, None, task.execution_count).cloned();
        let terminating = task.state == TaskState::Terminating;
        let Some(seen) = seen else {
            let started = task.start_time.as_ref().map_or(self.scene.now, |time| time.0);
            return self.ended(place, started, &removed(self.scene.now));
        };
        let is_late = self.is_late(place, &seen);
        match &seen.progress {
            Progress::Ended(end) if is_late && end.class == EndClass::Canceled => self.ended(place, seen.started, &late(end)),
            Progress::Ended(end) => self.ended(place, seen.started, end),
            _ if is_late => {
                let (task, child) = (self.status.tasks[place].name.clone(), seen.child);
                self.shows(place, TaskState::Running, "took longer than timeoutSeconds and is being stopped");
                self.actions.push(Action::Stop { task, iteration: None, child, how: Cancel::Graceful });
            }
            _ if terminating => self.tell_to_stop(place, seen.child),
            Progress::Queued(message) => self.shows(place, TaskState::Queued, message),
            Progress::Pending(message) => self.shows(place, TaskState::Pending, message),
            Progress::Running => self.shows(place, TaskState::Running, ""),
        }
    }

    /// True if the attempt is of a kind that has no pod to count its time, and takes longer than it may.
    fn is_late(&mut self, place: usize, seen: &Seen) -> bool {
        let Some(task) = self.task_at(place) else { return false };
        let effective = self.spec.effective(task);
        let counts = matches!(effective.kind, TaskKind::Pipeline | TaskKind::RunJob) && effective.timeout_seconds > 0;
        let seconds = jiff::SignedDuration::from_secs(i64::from(effective.timeout_seconds));
        let Some(deadline) = seen.started.checked_add(seconds).ok().filter(|_| counts) else { return false };
        if deadline > self.scene.now {
            self.wake_at(deadline);
        }
        deadline <= self.scene.now && self.status.tasks[place].state != TaskState::Terminating
    }

    fn shows(&mut self, place: usize, state: TaskState, message: &str) {
        let task = &mut self.status.tasks[place];
        task.state = state;
        task.message = (!message.is_empty()).then(|| cut(message, super::MAX_TASK_MESSAGE).to_string());
    }

    fn tell_to_stop(&mut self, place: usize, child: Child) {
        let how = self.how_to_stop();
        self.actions.push(Action::Stop { task: self.status.tasks[place].name.clone(), iteration: None, child, how });
    }

    fn ended(&mut self, place: usize, started: Timestamp, end: &AttemptEnd) {
        let Some(task) = self.task_at(place).cloned() else {
            return self.terminate(place, TaskResultState::Canceled, TerminationCode::UserCanceled, &end.message);
        };
        let status = &mut self.status.tasks[place];
        status.values.clone_from(&end.values);
        if status.state == TaskState::Terminating {
            let (result, code) = self.stopped(end);
            return self.terminate(place, result, code, &end.message);
        }
        let past = Past { started, retries: status.retries, interruptions: status.interruptions };
        match after_attempt(&self.retry(&self.spec.effective(&task)), &past, end, self.scene.now) {
            Sequel::Final(result, code) => self.terminate(place, result, code, &end.message),
            Sequel::Again { at, counted } => {
                let status = &mut self.status.tasks[place];
                status.state = TaskState::WaitingForRetry;
                status.next_retry_time = Some(Time(at));
                status.message = Some(cut(&end.message, super::MAX_TASK_MESSAGE).to_string());
                if counted {
                    (status.retries, status.interruptions) = (status.retries + 1, 0);
                } else {
                    status.interruptions += 1;
                }
                self.wait_for_retry(place);
            }
        }
    }

    /// The result of an attempt that was told to stop.
    pub(super) fn stopped(&self, end: &AttemptEnd) -> (TaskResultState, TerminationCode) {
        let timed_out = self.status.termination_code == Some(TerminationCode::RunTimeout);
        match end.class {
            EndClass::Success => (TaskResultState::Success, TerminationCode::Success),
            _ if timed_out => (TaskResultState::TimedOut, TerminationCode::RunTimeout),
            EndClass::Lasting => (TaskResultState::Failed, end.code),
            _ => (TaskResultState::Canceled, TerminationCode::UserCanceled),
        }
    }

    /// What follows a failure. A continuous run may be told to try until all is well.
    pub(super) fn retry(&self, effective: &EffectiveTask) -> crate::job::EffectiveRetry {
        if self.trigger.retries_until_success(self.spec) { crate::job::EffectiveRetry::UNTIL_SUCCESS } else { effective.retry }
    }

    fn wait_for_retry(&mut self, place: usize) {
        let at = self.status.tasks[place].next_retry_time.as_ref().map_or(self.scene.now, |time| time.0);
        if at > self.scene.now {
            return self.wake_at(at);
        }
        self.try_again(place);
    }

    fn try_again(&mut self, place: usize) {
        let cleans_up = self.task_at(place).is_some_and(|task| task.run_if.cleans_up());
        let stops = self.stopping == Stopping::Immediate || self.stopping == Stopping::Graceful && !cleans_up;
        if stops && self.status.tasks[place].state == TaskState::Queued {
            return self.terminate(place, TaskResultState::Canceled, TerminationCode::UserCanceled, "stopped before it started");
        }
        match self.task_at(place).cloned() {
            Some(task) => self.start(place, &task),
            None => {
                self.terminate(place, TaskResultState::Canceled, TerminationCode::UserCanceled, "the job does not have this task any more");
            }
        }
    }

    /// Makes the next attempt of a task, or finds it as it was made before.
    pub(super) fn start(&mut self, place: usize, task: &Task) {
        let execution = self.status.tasks[place].execution_count + 1;
        let found = self.scene.attempts.find(&task.name, None, execution).cloned();
        let started = match found {
            Some(found) => Ok(Some(found.child)),
            None => self.make(task, None, execution, &self.spec.effective(task)),
        };
        match started {
            Ok(Some(child)) => {
                let now = self.now();
                let status = &mut self.status.tasks[place];
                status.state = TaskState::Pending;
                status.execution_count = execution;
                status.child = Some(child);
                status.next_retry_time = None;
                status.message = None;
                status.values.clear();
                status.start_time.get_or_insert(now);
            }
            Ok(None) => {
                let status = &mut self.status.tasks[place];
                status.state = TaskState::Queued;
                status.child = None;
                status.message = Some("held back: the operator has as many pods as it may (--max-active-pods)".to_string());
            }
            Err(refusal) => self.terminate(place, TaskResultState::Failed, refusal.code, &refusal.message),
        }
    }

    /// Asks for an attempt; `None` if there is no place for its pod.
    pub(super) fn make(
        &mut self,
        task: &Task,
        iteration: Option<(usize, &serde_json::Value)>,
        execution: i32,
        effective: &EffectiveTask,
    ) -> Result<Option<Child>, Refusal> {
        let has_pod = matches!(effective.kind, TaskKind::Sql | TaskKind::Container);
        if has_pod && self.places == 0 {
            return Ok(None);
        }
        let resolved = self.resolved(&task.name, iteration, effective)?;
        if let Some(run_job) = &resolved.work.run_job {
            self.check_depth(run_job)?;
        }
        if has_pod {
            self.places -= 1;
        }
        let number = iteration.map(|(number, _)| number);
        let slice = self.slice(iteration.map(|(_, element)| element));
        let name = match &slice {
            // A slice that is run again after a repair has a run of its own.
            Some(slice) if execution == 1 => names::slice_run(self.scene.run.name, self.scene.run.uid, slice.start),
            _ => self.attempt_name(&task.name, number, execution),
        };
        let child = Child { name: name.clone(), ..child_of(effective.kind) };
        self.actions.push(Action::Start(Box::new(Attempt {
            task: task.name.clone(),
            iteration: number,
            execution,
            name,
            effective: resolved,
            parameters: if slice.is_some() { Parameters::new() } else { self.parameters.clone() },
            slice,
        })));
        Ok(Some(child))
    }

    pub(super) fn attempt_name(&self, task: &str, iteration: Option<usize>, execution: i32) -> String {
        let attempt = names::Attempt {
            run: self.scene.run.name,
            run_uid: self.scene.run.uid,
            task,
            iteration: iteration.and_then(|number| u32::try_from(number).ok()),
            execution_count: u32::try_from(execution).unwrap_or_default(),
        };
        attempt.name()
    }

    /// Jobs that call each other in a circle, or too deep, would never end.
    fn check_depth(&self, run_job: &RunJobTask) -> Result<(), Refusal> {
        let chain = self.trigger.chain(self.scene.job.name);
        let shown = || format!("{} → {}", chain.join(" → "), run_job.name);
        let is_backfill = self.scene.request.backfill.is_some();
        if !is_backfill && chain.iter().any(|job| *job == run_job.name) {
            let message = format!("jobs call each other in a circle: {}", shown());
            return Err(Refusal { code: TerminationCode::RunJobRecursion, message });
        }
        if chain.len() >= MAX_DEPTH {
            let message = format!("jobs call each other more than {MAX_DEPTH} deep: {}", shown());
            return Err(Refusal { code: TerminationCode::RunJobRecursion, message });
        }
        Ok(())
    }
}

/// What an attempt of a kind runs as.
fn child_of(kind: TaskKind) -> Child {
    let (api_version, kind) = match kind {
        TaskKind::Pipeline => (crate::API_VERSION, "PipelineUpdate"),
        TaskKind::RunJob => (crate::API_VERSION, "JobRun"),
        _ => ("batch/v1", "Job"),
    };
    Child { api_version: api_version.to_string(), kind: kind.to_string(), ..Child::default() }
}

/// The end of an attempt that was stopped because it took too long.
fn late(end: &AttemptEnd) -> AttemptEnd {
    let message = "took longer than timeoutSeconds and was stopped".to_string();
    AttemptEnd { class: EndClass::Timeout, code: TerminationCode::TaskTimeout, message, ..end.clone() }
}

/// An attempt that is gone without a word.
pub(super) fn removed(now: Timestamp) -> AttemptEnd {
    AttemptEnd {
        class: EndClass::Interrupted,
        code: TerminationCode::ClusterError,
        message: "the attempt was removed from outside".to_string(),
        at: now,
        values: Vec::new(),
    }
}

/// The newest attempt of an iteration, and how many before it were retries and how many lost their place in a row.
pub(super) fn newest(all: &[Seen], first: i32) -> Option<(&Seen, i32, i32)> {
    let all: Vec<&Seen> = all.iter().filter(|seen| seen.execution >= first).collect();
    let (newest, before) = all.split_last()?;
    let lost = |seen: &&&Seen| matches!(&seen.progress, Progress::Ended(end) if end.class == EndClass::Interrupted);
    let interruptions = before.iter().rev().take_while(lost).count();
    let retries = before.iter().filter(|seen| !lost(seen)).count();
    Some((newest, i32::try_from(retries).unwrap_or(i32::MAX), i32::try_from(interruptions).unwrap_or(i32::MAX)))
}
