//! Waiting for the end of a run, with a line per change.

use std::pin::pin;

use floe_crds::{
    job_run::{JobRun, JobRunStatus},
    state::{RunResultState, RunState},
};
use futures::StreamExt;
use kube::ResourceExt;

use super::{super::Outcome, document, print};
use crate::{
    args::job::DocumentFormat,
    cluster::Cluster,
    command::signals::Signals,
    failure::Failure,
    output::{
        Paint, Terminal,
        job::{Ended, JobDisplay, closing},
    },
};

/// A run whose end is awaited.
pub(super) struct Awaited<'a> {
    pub cluster: &'a Cluster,
    pub terminal: &'a Terminal,
    pub form: DocumentFormat,
    /// The run as it was when the waiting began.
    pub run: JobRun,
    /// The repair that must have been taken up; 0 = none.
    pub repair: i32,
}

/// Waits for the end and prints it; the exit code is that of the run, or of Ctrl-C.
pub(super) async fn wait(awaited: Awaited<'_>) -> Outcome {
    let signals = Signals::listen()?;
    let name = awaited.run.name_any();
    let ended = tokio::select! {
        ended = until_end(&awaited) => ended?,
        code = signals.first() => {
            awaited.terminal.note(&format!("run {name} goes on in the cluster; stop it with: floe job cancel {name}"));
            return Ok(code);
        }
    };
    let status = ended.status.clone().unwrap_or_default();
    let record = status.repairs.iter().find(|record| record.id == awaited.repair && awaited.repair > 0);
    if let Some(rejected) = record.filter(|record| record.state == floe_crds::job_run::RepairState::Rejected) {
        return Err(Failure::user("REPAIR_REJECTED", rejected.message.clone().unwrap_or_default()).help("the run is as it was"));
    }
    let code = awaited.cluster.exit_code(&ended).await?;
    let again = format!("floe job repair {name}");
    let closing = closing(&Ended { job: &ended.spec.job_ref.name, run: &name, status: &status, again: &again }, awaited.terminal.color_out);
    print(awaited.terminal, awaited.form, &document(&ended), &closing)?;
    if status.result_state == Some(RunResultState::SuccessWithFailures) {
        let warning = Paint::Yellow.on("warning:", awaited.terminal.color_err);
        let message = status.message.unwrap_or_default();
        awaited.terminal.err(&format!("{warning} a task failed, and every branch came to a good end: {message}"));
    }
    Ok(code)
}

async fn until_end(awaited: &Awaited<'_>) -> Result<JobRun, Failure> {
    let (name, display) = (awaited.run.name_any(), JobDisplay::new(awaited.terminal.clone()));
    let mut before = awaited.run.status.clone().unwrap_or_default();
    let mut seen = pin!(awaited.cluster.watch::<JobRun>(&name));
    let mut is_away = false;
    while let Some(event) = seen.next().await {
        let run = match event {
            Ok(Some(run)) => run,
            Ok(None) => return Err(Failure::user("RUN_DELETED", format!("run {name} was deleted"))),
            Err(error) => {
                let was_away = is_away;
                is_away |= awaited.cluster.watch_failure::<JobRun>(error, &name)?;
                if is_away && !was_away {
                    awaited.terminal.note(&format!("the API server at {} does not answer; still waiting", awaited.cluster.server));
                }
                continue;
            }
        };
        is_away = false;
        let status = run.status.clone().unwrap_or_default();
        if let Some(line) = held(&before, &status) {
            awaited.terminal.note(&format!("{} {line}", Paint::Dim.on("·", awaited.terminal.color_err)));
        }
        display.changes("", &before, &status);
        if is_over(&status, awaited.repair) {
            return Ok(run);
        }
        before = status;
    }
    Err(Failure::transient("CLUSTER_UNREACHABLE", format!("the watch of run {name} ended"))
        .help(format!("look at it: floe job describe {name}")))
}

/// What the run waits for as a whole, when that is new.
fn held(before: &JobRunStatus, after: &JobRunStatus) -> Option<String> {
    let reason = after.queue_reason.filter(|reason| before.queue_reason != Some(*reason))?;
    Some(format!("queued: {}", reason.explanation()))
}

/// True if the run, and the repair that is awaited, has ended.
fn is_over(status: &JobRunStatus, repair: i32) -> bool {
    status.state.is_some_and(RunState::is_terminal) && status.repair_count >= repair
}

#[cfg(test)]
mod tests {
    use floe_crds::job_run::QueueReason;

    use super::*;

    #[test]
    fn a_repair_is_over_when_it_was_taken_up_and_has_ended() {
        let status = |state, repair_count| JobRunStatus { state: Some(state), repair_count, ..JobRunStatus::default() };
        assert!(is_over(&status(RunState::Terminated, 0), 0) && is_over(&status(RunState::Skipped, 0), 0));
        assert!(!is_over(&status(RunState::Terminated, 0), 1), "it has ended before the repair");
        assert!(!is_over(&status(RunState::Queued, 1), 1) && is_over(&status(RunState::Terminated, 1), 1));
        assert!(!is_over(&JobRunStatus::default(), 0));
    }

    #[test]
    fn the_queue_is_told_once() {
        let queued = JobRunStatus { queue_reason: Some(QueueReason::MaxConcurrentRuns), ..JobRunStatus::default() };
        assert_eq!(
            held(&JobRunStatus::default(), &queued).as_deref(),
            Some("queued: the Job has as many active runs as its maxConcurrentRuns allows")
        );
        assert_eq!((held(&queued, &queued), held(&queued, &JobRunStatus::default())), (None, None));
    }
}
