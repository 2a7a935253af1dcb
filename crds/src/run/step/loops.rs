//! Loops: as many iterations at once as are allowed, in the order of the list, each as a task of its own.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Machine,
    attempts::{Refusal, newest},
    tasks::outcome,
};
use crate::{
    job::{EffectiveTask, ForEach, Task, TaskKind},
    job_run::{ForEachStatus, TopError},
    run::{
        attempt::{Past, Sequel, after_attempt},
        bitmap::Bitmap,
        decide::Stopping,
        inputs::{self, Inputs},
        scene::{Action, Progress},
    },
    state::{TaskResultState, TaskState, TerminationCode},
    text::cut,
};

/// So many different errors are shown.
const TOP_ERRORS: usize = 3;
/// Longest message of an error of iterations, in bytes.
const MAX_ERROR: usize = 500;

/// The iterations of a loop within one step.
struct Turn<'t> {
    task: &'t Task,
    for_each: &'t ForEach,
    nested: EffectiveTask,
    inputs: Inputs,
    succeeded: Bitmap,
    failed: Bitmap,
    status: ForEachStatus,
    /// The loop starts nothing any more.
    is_ending: bool,
    canceled: bool,
}

/// What one iteration does.
enum Iteration {
    Done,
    Failed,
    /// It was stopped. Nothing is written down of it: its attempt says so at each look.
    Canceled,
    Active,
    Open,
}

impl Machine<'_> {
    pub(super) fn begin_loop(&mut self, place: usize, task: &Task) {
        self.open_loop(place, task);
        if self.status.tasks[place].state == TaskState::Running {
            self.go_on(place);
        }
    }

    /// The loop runs from here on; none of its iterations is looked at.
    pub(super) fn open_loop(&mut self, place: usize, task: &Task) {
        let Some(for_each) = &task.for_each else {
            return self.terminate(place, TaskResultState::Failed, TerminationCode::InternalError, "a task that does nothing");
        };
        let now = self.now();
        self.status.tasks[place].start_time = Some(now);
        let inputs = match self.inputs(task, for_each) {
            Ok(inputs) => inputs,
            Err(refusal) => return self.terminate(place, TaskResultState::Failed, refusal.code, &refusal.message),
        };
        let status = &mut self.status.tasks[place];
        let before = status.for_each.take().unwrap_or_default();
        let is_same = before.inputs_hash == inputs.hash;
        status.state = TaskState::Running;
        status.execution_count += 1;
        status.message = None;
        status.for_each = Some(ForEachStatus {
            total: count(inputs.elements.len()),
            inputs_hash: inputs.hash,
            succeeded_bitmap: if is_same { before.succeeded_bitmap } else { String::new() },
            first_execution: before.last_execution + 1,
            last_execution: before.last_execution,
            ..ForEachStatus::default()
        });
    }

    fn inputs(&self, task: &Task, for_each: &ForEach) -> Result<Inputs, Refusal> {
        let text = self.resolved_text(&task.name, "forEach.inputs", &for_each.inputs)?;
        inputs::parse(&text, self.scene.limits).map_err(|error| Refusal::new(error.termination_code(), error.to_string()))
    }

    /// Brings the iterations of the loop at `place` a step further.
    pub(super) fn go_on(&mut self, place: usize) {
        let Some(task) = self.task_at(place).cloned() else {
            return self.terminate(
                place,
                TaskResultState::Canceled,
                TerminationCode::UserCanceled,
                "the job does not have this task any more",
            );
        };
        let (Some(for_each), Some(status)) = (&task.for_each, self.status.tasks[place].for_each.clone()) else { return };
        let inputs = match self.inputs(&task, for_each) {
            Ok(inputs) => inputs,
            Err(refusal) => return self.terminate(place, TaskResultState::Failed, refusal.code, &refusal.message),
        };
        let total = inputs.elements.len();
        let timed_out = self.is_loop_out_of_time(place, &task);
        let mut turn = Turn {
            nested: self.spec.effective_nested(&for_each.task),
            succeeded: Bitmap::parse(&status.succeeded_bitmap, total).unwrap_or_else(|_| Bitmap::new(total)),
            failed: Bitmap::parse(&status.failed_bitmap, total).unwrap_or_else(|_| Bitmap::new(total)),
            // A loop that cleans up begins in a run that is being stopped.
            is_ending: timed_out || self.stopping == Stopping::Immediate || self.status.tasks[place].state == TaskState::Terminating,
            canceled: false,
            task: &task,
            for_each,
            inputs,
            status,
        };
        let open = self.see_iterations(&mut turn);
        let open = self.start_iterations(&mut turn, open);
        self.note(place, turn, !open.is_empty(), timed_out);
    }

    fn is_loop_out_of_time(&mut self, place: usize, task: &Task) -> bool {
        let seconds = i64::from(task.timeout_seconds.unwrap_or_default());
        let started = self.status.tasks[place].start_time.as_ref().map_or(self.scene.now, |time| time.0);
        if seconds == 0 {
            return false;
        }
        let deadline = started.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        if deadline > self.scene.now {
            self.wake_at(deadline);
        }
        deadline <= self.scene.now
    }

    /// Takes note of attempts of iterations; returns those that could start.
    fn see_iterations(&mut self, turn: &mut Turn<'_>) -> Vec<usize> {
        turn.status.active = 0;
        let mut open = Vec::new();
        for number in 0..turn.inputs.elements.len() {
            if turn.succeeded.get(number) || turn.failed.get(number) {
                continue;
            }
            match self.see_iteration(turn, number) {
                Iteration::Active => turn.status.active += 1,
                Iteration::Open => open.push(number),
                Iteration::Done => turn.succeeded.set(number),
                Iteration::Failed => turn.failed.set(number),
                Iteration::Canceled => turn.canceled = true,
            }
        }
        open
    }

    fn see_iteration(&mut self, turn: &mut Turn<'_>, number: usize) -> Iteration {
        let all = self.scene.attempts.of(&turn.task.name, Some(number));
        let Some((seen, retries, interruptions)) = newest(all, turn.status.first_execution) else { return Iteration::Open };
        turn.status.last_execution = turn.status.last_execution.max(seen.execution);
        let Progress::Ended(end) = &seen.progress else {
            if turn.is_ending {
                let how = self.how_to_stop();
                let (task, child) = (turn.task.name.clone(), seen.child.clone());
                self.actions.push(Action::Stop { task, iteration: Some(number), child, how });
            }
            return Iteration::Active;
        };
        let sequel = if turn.is_ending {
            let (result, code) = self.stopped(end);
            Sequel::Final(result, code)
        } else {
            let past = Past { started: seen.started, retries, interruptions };
            after_attempt(&self.retry(&turn.nested), &past, end, self.scene.now)
        };
        match sequel {
            Sequel::Final(TaskResultState::Success, _) => Iteration::Done,
            Sequel::Final(TaskResultState::Canceled, _) => Iteration::Canceled,
            Sequel::Final(_, code) => {
                turn.tally(code, &end.message);
                Iteration::Failed
            }
            Sequel::Again { at, .. } if at > self.scene.now => {
                self.wake_at(at);
                Iteration::Active
            }
            Sequel::Again { .. } => Iteration::Open,
        }
    }

    /// Starts as many of `open` as are allowed; returns what is left.
    fn start_iterations(&mut self, turn: &mut Turn<'_>, open: Vec<usize>) -> Vec<usize> {
        let mut left = Vec::new();
        for number in open {
            if turn.is_ending || turn.status.active >= turn.for_each.concurrency {
                left.push(number);
                continue;
            }
            let all = self.scene.attempts.of(&turn.task.name, Some(number));
            let first = turn.status.first_execution;
            let execution = newest(all, first).map_or(first, |(seen, ..)| seen.execution + 1);
            match self.start_iteration(turn, number, execution) {
                Iteration::Active => turn.status.active += 1,
                Iteration::Open => left.push(number),
                Iteration::Done => turn.succeeded.set(number),
                Iteration::Failed => turn.failed.set(number),
                Iteration::Canceled => turn.canceled = true,
            }
        }
        left
    }

    fn start_iteration(&mut self, turn: &mut Turn<'_>, number: usize, execution: i32) -> Iteration {
        let element: &Value = &turn.inputs.elements[number];
        turn.status.last_execution = turn.status.last_execution.max(execution);
        let made = if turn.nested.kind == TaskKind::Condition {
            let resolved = self.resolved(&turn.task.name, Some((number, element)), &turn.nested);
            match resolved.and_then(|resolved| outcome(&resolved.work)) {
                Ok(_) => return Iteration::Done,
                Err(refusal) => Err(refusal),
            }
        } else {
            self.make(turn.task, Some((number, element)), execution, &turn.nested)
        };
        match made {
            Ok(Some(_)) => Iteration::Active,
            // There is no place for its pod: the next one that ends makes one.
            Ok(None) => Iteration::Open,
            Err(refusal) => {
                turn.tally(refusal.code, &refusal.message);
                Iteration::Failed
            }
        }
    }

    /// Writes the loop down, and its result if nothing is left.
    fn note(&mut self, place: usize, mut turn: Turn<'_>, has_open: bool, timed_out: bool) {
        turn.status.succeeded = count(turn.succeeded.count());
        turn.status.failed = count(turn.failed.count());
        turn.status.succeeded_bitmap = turn.succeeded.to_string();
        turn.status.failed_bitmap = turn.failed.to_string();
        let (active, failed, total) = (turn.status.active, turn.status.failed, turn.status.total);
        let worst = turn.status.top_errors.first().cloned();
        let canceled = turn.canceled || turn.is_ending && has_open;
        self.status.tasks[place].for_each = Some(turn.status);
        if turn.is_ending {
            self.status.tasks[place].state = TaskState::Terminating;
        }
        if active > 0 || !turn.is_ending && has_open {
            return;
        }
        let run_timed_out = self.status.termination_code == Some(TerminationCode::RunTimeout);
        let (result, code) = match worst.as_ref().and_then(|error| TerminationCode::parse(&error.code)) {
            _ if run_timed_out => (TaskResultState::TimedOut, TerminationCode::RunTimeout),
            _ if timed_out => (TaskResultState::TimedOut, TerminationCode::TaskTimeout),
            Some(code) if failed > 0 => (TaskResultState::Failed, code),
            _ if failed > 0 => (TaskResultState::Failed, TerminationCode::RunExecutionError),
            _ if canceled => (TaskResultState::Canceled, TerminationCode::UserCanceled),
            _ => (TaskResultState::Success, TerminationCode::Success),
        };
        let told = worst.map(|error| format!(": {}", error.message)).unwrap_or_default();
        let message = match failed {
            _ if timed_out => format!("the loop took longer than timeoutSeconds; {failed} of {total} iterations failed{told}"),
            0 => String::new(),
            _ => format!("{failed} of {total} iterations failed{told}"),
        };
        self.terminate(place, result, code, &message);
    }
}

impl Turn<'_> {
    /// Counts an error. The first few different ones are shown, the most frequent first; all are counted as failed iterations.
    fn tally(&mut self, code: TerminationCode, message: &str) {
        let message = cut(message, MAX_ERROR).to_string();
        let errors = &mut self.status.top_errors;
        match errors.iter().position(|error| error.code == code.as_str() && error.message == message) {
            Some(known) => errors[known].count += 1,
            None if errors.len() < TOP_ERRORS => errors.push(TopError { message, code: code.to_string(), count: 1 }),
            None => {}
        }
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
