//! Whether a task may run: one function for first executions, retries, repairs and slices.

use crate::{
    job::RunIf,
    state::{TaskResultState, TerminationCode},
};

/// How far a run is being stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stopping {
    /// Not at all.
    #[default]
    No,
    /// What runs is stopped; tasks that clean up still run.
    Graceful,
    /// Nothing starts any more: cancelled at once, or out of time.
    Immediate,
}

/// What decides about one task that has not begun.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// It is switched off, or not among those that the run is for.
    pub off: Option<TerminationCode>,
    /// How far the run is being stopped.
    pub stopping: Stopping,
    /// Which ends let it run.
    pub run_if: RunIf,
    /// The result of each dependency, as the edge sees it; `None` = it has not ended.
    pub edges: &'a [Option<TaskResultState>],
}

/// What becomes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Something before it has not ended.
    Wait,
    /// It runs.
    Run,
    /// It ends without having run.
    Skip(TaskResultState, TerminationCode),
}

/// What a result means for what comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Success,
    Failed,
    Canceled,
    Disabled,
    Excluded,
}

const fn class(result: TaskResultState) -> Class {
    match result {
        TaskResultState::Success => Class::Success,
        TaskResultState::Failed | TaskResultState::TimedOut | TaskResultState::UpstreamFailed => Class::Failed,
        TaskResultState::Canceled | TaskResultState::UpstreamCanceled => Class::Canceled,
        TaskResultState::Disabled => Class::Disabled,
        TaskResultState::Excluded => Class::Excluded,
    }
}

impl TaskResultState {
    /// True for what counts as a failure of the task or of something before it.
    pub const fn is_failed(self) -> bool {
        matches!(class(self), Class::Failed)
    }

    /// True for what was stopped, or not begun because something before it was.
    pub const fn is_canceled(self) -> bool {
        matches!(class(self), Class::Canceled)
    }
}

impl RunIf {
    /// True for tasks that clean up after others: they run in a run that is being stopped gracefully.
    pub const fn cleans_up(self) -> bool {
        matches!(self, Self::AllDone | Self::AtLeastOneFailed | Self::AllFailed)
    }
}

/// The result of a dependency as an edge sees it: one that asks for the other outcome of a condition sees a branch that was not taken.
pub fn edge(result: TaskResultState, outcome: Option<&str>, wanted: Option<&str>) -> TaskResultState {
    match wanted {
        Some(wanted) if result == TaskResultState::Success && outcome != Some(wanted) => TaskResultState::Excluded,
        _ => result,
    }
}

/// What becomes of a task that has not begun.
pub fn decide(question: &Question<'_>) -> Decision {
    if let Some(code) = question.off {
        return Decision::Skip(TaskResultState::Disabled, code);
    }
    let stopped = match question.stopping {
        Stopping::No => false,
        Stopping::Graceful => !question.run_if.cleans_up(),
        Stopping::Immediate => true,
    };
    if stopped {
        return Decision::Skip(TaskResultState::Canceled, TerminationCode::UserCanceled);
    }
    let Some(results) = question.edges.iter().copied().collect::<Option<Vec<_>>>() else { return Decision::Wait };
    if results.is_empty() {
        return Decision::Run;
    }
    let classes: Vec<Class> = results.into_iter().map(class).filter(|class| *class != Class::Excluded).collect();
    if classes.is_empty() {
        return Decision::Skip(TaskResultState::Excluded, TerminationCode::Excluded);
    }
    by_rule(question.run_if, &classes)
}

fn by_rule(run_if: RunIf, classes: &[Class]) -> Decision {
    let any = |wanted: Class| classes.contains(&wanted);
    let bad = |class: &Class| matches!(class, Class::Failed | Class::Canceled);
    let runs = match run_if {
        RunIf::AllSuccess => classes.iter().all(|class| *class == Class::Success),
        RunIf::AtLeastOneSuccess => any(Class::Success),
        RunIf::NoneFailed => !classes.iter().any(bad) && any(Class::Success),
        RunIf::AllDone => true,
        RunIf::AtLeastOneFailed => classes.iter().any(bad),
        RunIf::AllFailed => classes.iter().all(bad),
    };
    if runs {
        return Decision::Run;
    }
    let (result, code) = match run_if {
        RunIf::AtLeastOneFailed | RunIf::AllFailed if classes.iter().all(|class| *class == Class::Disabled) => {
            (TaskResultState::Disabled, TerminationCode::Disabled)
        }
        RunIf::AtLeastOneFailed | RunIf::AllFailed => (TaskResultState::Excluded, TerminationCode::Excluded),
        _ if any(Class::Failed) => (TaskResultState::UpstreamFailed, TerminationCode::UpstreamFailed),
        _ if any(Class::Canceled) => (TaskResultState::UpstreamCanceled, TerminationCode::UpstreamCanceled),
        _ => (TaskResultState::Disabled, TerminationCode::Disabled),
    };
    Decision::Skip(result, code)
}
