//! How far a run of a Job is, and its place among the others. Pure.

use floe_crds::{
    job_run::{JobRun, RepairState, TriggerType},
    run::detail,
    state::{RunResultState, RunState},
    trigger::completion::EndedRun,
};
use jiff::Timestamp;
use kube::ResourceExt;

/// The order in which runs were asked for.
pub fn by_creation(run: &JobRun) -> (Option<Timestamp>, String) {
    (run.creation_timestamp().map(|at| at.0), run.name_any())
}

/// The order in which runs ended. Of two ends within one second the later one was written later.
pub fn by_end(run: &JobRun) -> (Option<Timestamp>, u64, String) {
    let version = run.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default();
    (ended(run), version, run.name_any())
}

/// The state of the run; `None` before the first look at it.
pub fn state(run: &JobRun) -> Option<RunState> {
    run.status.as_ref()?.state
}

/// How the run ended; `None` before, and if it never started.
pub fn result(run: &JobRun) -> Option<RunResultState> {
    run.status.as_ref()?.result_state.filter(|_| is_terminal(run))
}

/// True if nothing more happens to the run, unless someone repairs it.
pub fn is_terminal(run: &JobRun) -> bool {
    state(run).is_some_and(RunState::is_terminal)
}

/// True if someone wants it repaired, and nobody has looked yet.
pub fn waits_for_repair(run: &JobRun) -> bool {
    let known = run.status.iter().flat_map(|status| &status.repairs).map(|record| record.id).max().unwrap_or_default();
    run.spec.repair.as_ref().is_some_and(|repair| repair.id > known)
}

/// When the run started.
pub fn started(run: &JobRun) -> Option<Timestamp> {
    run.status.as_ref()?.start_time.as_ref().map(|at| at.0)
}

/// When the run ended; one that never started when it was made, if nothing else is known.
pub fn ended(run: &JobRun) -> Option<Timestamp> {
    let told = run.status.as_ref().and_then(|status| status.end_time.as_ref()).map(|at| at.0);
    told.or_else(|| run.creation_timestamp().map(|at| at.0)).filter(|_| is_terminal(run))
}

/// The end of the run as triggers of other Jobs look at it.
pub fn end(run: &JobRun) -> Option<EndedRun> {
    let by_jobs = matches!(run.spec.trigger.trigger_type, TriggerType::JobCompletion | TriggerType::RunJobTask);
    let parents = run.spec.trigger.detail.get(detail::PARENTS).filter(|parents| by_jobs && !parents.is_empty());
    Some(EndedRun {
        job: run.spec.job_ref.name.clone(),
        run: run.name_any(),
        ended_at: ended(run)?,
        result: result(run),
        before_repair: before_repair(run),
        parents: parents.map(|parents| parents.split(',').map(str::to_string).collect()).unwrap_or_default(),
    })
}

/// How the run had ended before its newest repair that was carried out.
fn before_repair(run: &JobRun) -> Option<RunResultState> {
    let mut ends = run.status.as_ref()?.repairs.iter().rev().filter_map(|record| match record.state {
        RepairState::Succeeded => Some(RunResultState::Success),
        RepairState::Failed => Some(RunResultState::Failed),
        RepairState::Running | RepairState::Rejected => None,
    });
    ends.next()?;
    ends.next()
}
