//! Tasks that have not begun: which of them may, until nothing changes.

use super::{Machine, attempts::Refusal};
use crate::{
    job::{Task, TaskKind},
    run::{
        condition,
        decide::{Decision, Question, decide, edge},
    },
    state::{RunState, TaskResultState, TaskState, TerminationCode},
};

impl Machine<'_> {
    /// Decides about every task until nothing changes: the end of one lets another begin.
    pub(super) fn decide_all(&mut self) {
        loop {
            let before = self.open();
            for place in 0..self.status.tasks.len() {
                if self.status.tasks[place].state == TaskState::Blocked {
                    self.decide_one(place);
                }
            }
            if self.open() == before {
                break;
            }
        }
        let begun = self.status.tasks.iter().any(|task| task.state != TaskState::Blocked);
        if begun && self.status.state == Some(RunState::Pending) {
            self.status.state = Some(RunState::Running);
        }
    }

    /// How many tasks have not ended.
    fn open(&self) -> usize {
        self.status.tasks.iter().filter(|task| task.state != TaskState::Terminated).count()
    }

    fn decide_one(&mut self, place: usize) {
        let Some(task) = self.task_at(place).cloned() else {
            return self.terminate(place, TaskResultState::Disabled, TerminationCode::Disabled, "the job does not have this task any more");
        };
        let edges = self.edges(&task);
        let question = Question { off: self.off(&task), stopping: self.stopping, run_if: task.run_if, edges: &edges };
        match decide(&question) {
            Decision::Wait => {}
            Decision::Run => self.begin(place, &task),
            Decision::Skip(result, code) => self.terminate(place, result, code, ""),
        }
    }

    /// The results of what `task` depends on. Tasks that are not selected are as if they were not there.
    fn edges(&self, task: &Task) -> Vec<Option<TaskResultState>> {
        let edges = task.depends_on.iter().filter(|edge| self.is_selected(&edge.task));
        let result = |wanted: &crate::job::Dependency| {
            let status = self.status_of(&wanted.task)?;
            Some(edge(
                status.result_state.filter(|_| status.state == TaskState::Terminated)?,
                status.outcome.as_deref(),
                wanted.outcome.as_deref(),
            ))
        };
        edges.map(result).collect()
    }

    fn begin(&mut self, place: usize, task: &Task) {
        let now = self.now();
        self.status.tasks[place].repair_id = self.status.snapshot_id();
        match task.kind() {
            TaskKind::Condition => {
                self.status.tasks[place].start_time = Some(now);
                self.compare(place, task);
            }
            TaskKind::ForEach => self.begin_loop(place, task),
            _ => self.start(place, task),
        }
    }

    fn compare(&mut self, place: usize, task: &Task) {
        let effective = self.spec.effective(task);
        self.status.tasks[place].execution_count += 1;
        match self.resolved(&task.name, None, &effective).and_then(|resolved| outcome(&resolved.work)) {
            Ok(outcome) => {
                self.status.tasks[place].outcome = Some(outcome.to_string());
                self.terminate(place, TaskResultState::Success, TerminationCode::Success, "");
            }
            Err(refusal) => self.terminate(place, TaskResultState::Failed, refusal.code, &refusal.message),
        }
    }
}

/// What a comparison comes to.
pub(super) fn outcome(work: &crate::job::Work) -> Result<bool, Refusal> {
    let Some(condition) = &work.condition else {
        return Err(Refusal::internal("a comparison without sides"));
    };
    condition::evaluate(&condition.left, condition.op, &condition.right)
        .map_err(|error| Refusal::new(error.termination_code(), error.to_string()))
}
