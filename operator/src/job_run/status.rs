//! The status of a run: what the steps say, with conditions. Pure.

use super::observe::Observed;
use crate::labels;
use floe_crds::{
    condition::{self, ConditionType, Reason, Said, Status},
    job_run::JobRunStatus,
    state::{RunResultState, RunState, TerminationCode},
};

/// The new status.
pub fn status(seen: &Observed, mut status: JobRunStatus) -> JobRunStatus {
    status.observed_generation = seen.run.metadata.generation;
    status.last_handled_reconcile_at = labels::reconcile_request(seen.run.as_ref()).map(str::to_string);
    let snapshot = seen.next.as_ref().filter(|_| status.snapshot_id() > seen.status.snapshot_id()).or(seen.snapshot.as_ref());
    if let Some(snapshot) = snapshot
        && (status.job_snapshot_hash.is_none() || status.snapshot_id() != seen.status.snapshot_id())
    {
        let text = serde_json::to_vec(snapshot.as_ref()).unwrap_or_default();
        status.job_snapshot_hash = Some(labels::hash(&text)[..16].to_string());
    }
    let message = status.message.clone().unwrap_or_default();
    let told = Told { status: &status, message };
    let all = [
        (ConditionType::Accepted, told.accepted()),
        (ConditionType::Queued, told.queued()),
        (ConditionType::Succeeded, told.succeeded()),
        (ConditionType::Reconciling, told.reconciling(seen.is_paused())),
        (ConditionType::Stalled, told.stalled()),
    ];
    for (kind, said) in all {
        condition::set(&mut status.conditions, kind, &said, seen.run.metadata.generation, seen.now);
    }
    status
}

/// What the conditions are told of.
struct Told<'a> {
    status: &'a JobRunStatus,
    message: String,
}

impl Told<'_> {
    /// Ends that say that the run itself is wrong.
    fn is_invalid(&self) -> bool {
        let wrong = [TerminationCode::InvalidParameter, TerminationCode::InvalidRunConfiguration, TerminationCode::ResourceNotFound];
        self.status.tasks.iter().all(|task| task.execution_count == 0)
            && self.status.result_state == Some(RunResultState::Failed)
            && self.status.termination_code.is_some_and(|code| wrong.contains(&code))
    }

    fn accepted(&self) -> Said {
        if self.is_invalid() {
            return Said::new(false, Reason::InvalidSpec, self.message.clone());
        }
        Said::new(true, Reason::Accepted, "")
    }

    fn queued(&self) -> Said {
        match self.status.queue_reason {
            Some(reason) => Said::new(true, Reason::Queued, reason.explanation()),
            None => Said::new(false, Reason::Idle, ""),
        }
    }

    fn succeeded(&self) -> Said {
        let said = |status: Status, reason| Said::new(status, reason, self.message.clone());
        match (self.status.state, self.status.result_state) {
            (Some(RunState::Terminated), Some(RunResultState::Success)) => said(Status::True, Reason::Succeeded),
            (Some(RunState::Terminated), Some(RunResultState::SuccessWithFailures)) => said(Status::True, Reason::SucceededWithFailures),
            (Some(RunState::Terminated), Some(RunResultState::TimedOut)) => said(Status::False, Reason::TimedOut),
            (Some(RunState::Terminated), Some(RunResultState::Canceled)) => said(Status::False, Reason::Canceled),
            (Some(RunState::Terminated), _) if self.is_invalid() => said(Status::False, Reason::InvalidSpec),
            (Some(RunState::Terminated), _) => said(Status::False, Reason::Failed),
            (Some(RunState::Skipped), _) => said(Status::False, Reason::Skipped),
            (Some(RunState::Running), _) => said(Status::Unknown, Reason::Running),
            (Some(RunState::Terminating), _) => said(Status::Unknown, Reason::Terminating),
            (Some(RunState::Pending), _) => said(Status::Unknown, Reason::Pending),
            (None | Some(RunState::Queued), _) => said(Status::Unknown, Reason::Queued),
        }
    }

    fn is_over(&self) -> bool {
        self.status.state.is_some_and(RunState::is_terminal)
    }

    fn reconciling(&self, is_paused: bool) -> Said {
        if self.is_over() || is_paused {
            return Said::new(false, Reason::Idle, "");
        }
        let done = self.status.task_counts.as_ref().map(|counts| counts.done.clone()).unwrap_or_default();
        Said::new(true, Reason::Progressing, if done.is_empty() { String::new() } else { format!("{done} tasks have ended") })
    }

    fn stalled(&self) -> Said {
        let is_bad = self.is_over() && !self.status.result_state.is_some_and(RunResultState::is_success);
        if is_bad { Said::new(true, self.succeeded().reason, self.message.clone()) } else { Said::new(false, Reason::Idle, "") }
    }
}

/// True if the run may be removed: nothing of it has to be told to stop any more.
pub fn may_go(seen: &Observed, status: &JobRunStatus) -> bool {
    let open = |at: &floe_crds::pipeline_update::PipelineUpdate| at.spec.cancel == floe_crds::pipeline_update::Cancel::None;
    let updates = seen.children.updates.iter().any(|(update, _)| !crate::updates::is_terminal(update) && open(update));
    let is_open =
        |run: &floe_crds::job_run::JobRun| run.status.as_ref().and_then(|status| status.state).is_none_or(|state| !state.is_terminal());
    let runs = seen.children.runs.iter().any(|run| is_open(run) && run.spec.cancel == floe_crds::pipeline_update::Cancel::None);
    let waited = seen.run.metadata.deletion_timestamp.as_ref().is_some_and(|at| seen.now.duration_since(at.0).as_secs() >= 60);
    status.state.is_some_and(RunState::is_terminal) || !(updates || runs) || waited
}
