//! How attempts end, in the words of a run; and the exit code of a run.

use std::collections::BTreeMap;

use floe_crds::{
    job::JobSpec,
    job_run::TaskStatus,
    run::{
        attempt::EndClass,
        scene::{Rows, Snapshot},
    },
    state::{RunResultState, TaskResultState, TerminationCode},
    text::cut,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::Value;

use super::record::{AttemptEndRecord, Record};
use crate::failure::{Failure, FailureClass};

/// Longest message of an attempt, in bytes.
const MAX_MESSAGE: usize = 1000;
/// The exit code of whatever is the user's to correct.
const USER: u8 = 10;

/// What an attempt came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub class: EndClass,
    pub code: TerminationCode,
    pub message: String,
    pub exit_code: u8,
    pub values: BTreeMap<String, Value>,
    pub rows: Option<Rows>,
}

impl Outcome {
    pub fn success() -> Self {
        Self::new(EndClass::Success, TerminationCode::Success, "", 0)
    }

    pub fn canceled() -> Self {
        Self::new(EndClass::Canceled, TerminationCode::UserCanceled, "canceled on request", USER)
    }

    pub fn timeout(seconds: i32) -> Self {
        let message = format!("took longer than timeoutSeconds ({seconds}) and was stopped");
        Self::new(EndClass::Timeout, TerminationCode::TaskTimeout, message, USER)
    }

    /// What will be the same again.
    pub fn refused(code: TerminationCode, message: impl Into<String>) -> Self {
        Self::new(EndClass::Lasting, code, message, USER)
    }

    pub fn new(class: EndClass, code: TerminationCode, message: impl Into<String>, exit_code: u8) -> Self {
        Self { class, code, message: message.into(), exit_code, values: BTreeMap::new(), rows: None }
    }

    /// A failure of this process.
    pub fn failed(failure: &Failure) -> Self {
        let place = failure.origin.as_ref().map(|origin| format!("{}:{}:{}: ", origin.file, origin.line, origin.column));
        let help = failure.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        let message = format!("{}{failure}{help}", place.unwrap_or_default());
        let (class, code) = match failure.class {
            FailureClass::User if failure.error == TerminationCode::ValueTooLarge.as_str() => {
                (EndClass::Lasting, TerminationCode::ValueTooLarge)
            }
            FailureClass::User | FailureClass::Expectation => (EndClass::Lasting, TerminationCode::RunExecutionError),
            FailureClass::Internal => (EndClass::Lasting, TerminationCode::InternalError),
            FailureClass::Storage => (EndClass::Lasting, TerminationCode::StorageAccessError),
            FailureClass::Transient => (EndClass::Transient, TerminationCode::TransientError),
            FailureClass::Terminated => (EndClass::Canceled, TerminationCode::UserCanceled),
        };
        Self::new(class, code, message, failure.class.exit_code())
    }

    /// The end of a program: what a container with this exit code would mean.
    pub fn exited(exit: i32, was_stopped: bool, message: String) -> Self {
        const TERMINATED: i32 = 143;
        const KILLED: i32 = 137;
        let (class, code) = match exit {
            0 => return Self::success(),
            TERMINATED | KILLED if was_stopped => return Self::canceled(),
            10 | 11 => (EndClass::Lasting, TerminationCode::RunExecutionError),
            12 => (EndClass::Lasting, TerminationCode::StorageAccessError),
            20 => (EndClass::Transient, TerminationCode::TransientError),
            TERMINATED => (EndClass::Interrupted, TerminationCode::ClusterError),
            _ => (EndClass::Failure, TerminationCode::RunExecutionError),
        };
        let exit_code = if matches!(exit, 10..=12 | 20) { exit as u8 } else { USER };
        Self::new(class, code, message, exit_code)
    }

    /// The end as it is kept.
    pub fn record(&self) -> AttemptEndRecord {
        AttemptEndRecord {
            class: self.class,
            code: self.code,
            message: cut(&self.message, MAX_MESSAGE).to_string(),
            at: Time(Timestamp::now()),
            values: self.values.keys().cloned().collect(),
            exit_code: self.exit_code,
        }
    }
}

/// What the process ends with after this run: 0, or the exit code of the task that made the first failing leaf fail.
pub fn exit_code(record: &Record) -> u8 {
    if record.status.result_state.is_some_and(RunResultState::is_success) {
        return 0;
    }
    let spec = record.snapshots.get(&record.status.snapshot_id()).map(|Snapshot { spec, .. }| spec);
    spec.and_then(|spec| root_failure(&record.status.tasks, spec)).map_or(USER, |task| exit_code_of(record, &task))
}

/// The task that made the first failing leaf fail.
pub fn root_failure(tasks: &[TaskStatus], spec: &JobSpec) -> Option<String> {
    let status = |name: &str| tasks.iter().find(|task| task.name == name);
    let result = |name: &str| status(name)?.result_state;
    let failed = |name: &str| result(name).is_some_and(TaskResultState::is_failed);
    // What was not selected depends on nothing.
    let takes_part = |name: &str| status(name).and_then(|task| task.termination_code) != Some(TerminationCode::NotSelected);
    let followers = spec.tasks.iter().filter(|task| takes_part(&task.name));
    let is_leaf = |name: &str| !followers.clone().any(|task| task.depends_on.iter().any(|edge| edge.task == name));
    let mut at = spec.tasks.iter().find(|task| failed(&task.name) && is_leaf(&task.name))?;
    while result(&at.name) == Some(TaskResultState::UpstreamFailed) {
        let before = at.depends_on.iter().find(|edge| failed(&edge.task));
        let Some(before) = before.and_then(|edge| spec.task(&edge.task)) else { break };
        at = before;
    }
    Some(at.name.clone())
}

fn exit_code_of(record: &Record, task: &str) -> u8 {
    let ends = record.attempts.iter().filter(|attempt| attempt.task == task).filter_map(|attempt| attempt.end.as_ref());
    ends.rev().map(|end| end.exit_code).find(|code| *code != 0).unwrap_or(USER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_end_as_containers_do() {
        let class = |exit, stopped| {
            let outcome = Outcome::exited(exit, stopped, "m".to_string());
            (outcome.class, outcome.exit_code)
        };
        assert_eq!(class(0, false), (EndClass::Success, 0));
        assert_eq!(class(0, true), (EndClass::Success, 0));
        assert_eq!([10, 11, 12].map(|exit| class(exit, false)), [10, 11, 12].map(|exit| (EndClass::Lasting, exit)));
        assert_eq!(class(20, false), (EndClass::Transient, 20));
        assert_eq!([1, 2, 127, 139].map(|exit| class(exit, false)), [(EndClass::Failure, 10); 4]);
        assert_eq!(class(143, false).0, EndClass::Interrupted);
        assert_eq!([143, 137].map(|exit| class(exit, true).0), [EndClass::Canceled; 2]);
    }
}
