//! What `floe job run --wait` ends with.

use floe_crds::{
    job::{Job, JobSpec},
    job_run::{Child, JobRun, JobRunStatus, TaskStatus},
    pipeline_update::PipelineUpdate,
    run_report::RunReport,
    state::{RunResultState, RunState, TerminationCode},
};

use super::Cluster;
use crate::{
    failure::{Failure, FailureClass},
    job::root_failure,
};

/// Exit codes that tell whose fault a failure is.
const TELLING: [i32; 4] = [10, 11, 12, 20];

/// The task that decides the exit code of a run that did not succeed.
fn decisive<'a>(status: &'a JobRunStatus, spec: Option<&JobSpec>) -> Option<&'a TaskStatus> {
    let name = root_failure(&status.tasks, spec?)?;
    status.tasks.iter().find(|task| task.name == name)
}

/// The exit code that a run of this status has, as far as the status tells it.
pub fn told(status: &JobRunStatus, spec: Option<&JobSpec>) -> u8 {
    match (status.state, status.result_state) {
        // A later run may start.
        (Some(RunState::Skipped), _) => FailureClass::Transient.exit_code(),
        (_, Some(result)) if result.is_success() => 0,
        (_, Some(RunResultState::Canceled)) => FailureClass::User.exit_code(),
        _ => {
            let code = decisive(status, spec).and_then(|task| task.termination_code).or(status.termination_code);
            class(code).exit_code()
        }
    }
}

fn class(code: Option<TerminationCode>) -> FailureClass {
    match code {
        Some(TerminationCode::StorageAccessError | TerminationCode::UnauthorizedError) => FailureClass::Storage,
        Some(TerminationCode::TransientError | TerminationCode::ClusterError) => FailureClass::Transient,
        _ => FailureClass::User,
    }
}

impl Cluster {
    /// The exit code of a run that has ended. What its task said itself is more exact than the status.
    pub async fn exit_code(&self, run: &JobRun) -> Result<u8, Failure> {
        let Some(status) = &run.status else { return Ok(FailureClass::Internal.exit_code()) };
        let failed = matches!(status.result_state, Some(RunResultState::Failed | RunResultState::TimedOut));
        if !failed {
            return Ok(told(status, None));
        }
        let job = self.find::<Job>(&run.spec.job_ref.name).await?;
        let spec = job.as_ref().map(|job| &job.spec);
        let said = match decisive(status, spec).and_then(|task| task.child.as_ref()) {
            // The reports need one right more: without it the status has to do.
            Some(child) => self.said(child).await.unwrap_or_default(),
            None => None,
        };
        let said = said.filter(|code| TELLING.contains(code)).and_then(|code| u8::try_from(code).ok());
        Ok(said.unwrap_or_else(|| told(status, spec)))
    }

    /// The exit code of an attempt as its pod has told it.
    async fn said(&self, child: &Child) -> Result<Option<i32>, Failure> {
        if child.kind == "PipelineUpdate" {
            let update = self.find::<PipelineUpdate>(&child.name).await?;
            let attempts = update.and_then(|update| update.status).map(|status| status.attempts).unwrap_or_default();
            return Ok(attempts.iter().rev().find_map(|attempt| attempt.exit_code));
        }
        let report = self.find::<RunReport>(&child.name).await?;
        Ok(report.and_then(|report| report.spec.result).map(|result| result.exit_code))
    }
}
