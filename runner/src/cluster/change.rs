//! What a command writes, as a value made from what was read; or why it writes nothing. Pure.

use std::collections::BTreeMap;

use floe_crds::{
    job::{Job, JobSpec},
    job_run::{Backfill, JobRun, JobRunSpec, JobRunStatus, Repair},
    pipeline::NameRef,
    pipeline_update::Cancel,
    run::{
        parameters::overridden,
        repair::{Before, chosen},
    },
    state::RunState,
    text::nearest,
};
use kube::{ResourceExt, api::ObjectMeta};
use serde_json::{Value, json};

use crate::failure::Failure;

/// What a new run is asked to do.
#[derive(Clone, Debug, Default)]
pub struct NewRun {
    /// Values of parameters.
    pub parameters: BTreeMap<String, String>,
    /// Only these tasks; empty = all.
    pub only: Vec<String>,
    /// It stands for slices of time.
    pub backfill: Option<Backfill>,
}

/// The run that `wanted` asks for; its name is made by the API server.
pub fn new_run(job: &Job, wanted: NewRun) -> Result<JobRun, Failure> {
    check_parameters(job, &wanted.parameters)?;
    check_tasks(job, &wanted.only)?;
    if let Some(backfill) = &wanted.backfill {
        backfill.slices().map_err(|error| Failure::user(error.code().as_str(), error.to_string()))?;
    }
    let name = job.name_any();
    let NewRun { parameters, only, backfill } = wanted;
    let spec = JobRunSpec { job_ref: NameRef { name: name.clone() }, parameters, only, backfill, ..JobRunSpec::default() };
    let metadata = ObjectMeta { generate_name: Some(format!("{name}-")), ..ObjectMeta::default() };
    Ok(JobRun { metadata, spec, status: None })
}

fn check_parameters(job: &Job, given: &BTreeMap<String, String>) -> Result<(), Failure> {
    let defaults = job.spec.parameters.iter().map(|one| (one.name.clone(), one.default.clone())).collect();
    overridden(&defaults, &[given]).map(drop).map_err(|error| {
        let names: Vec<&str> = job.spec.parameters.iter().map(|one| one.name.as_str()).collect();
        let help = if names.is_empty() { "it has none".to_string() } else { format!("it has: {}", names.join(", ")) };
        Failure::user(error.termination_code().as_str(), format!("job {}: {error}", job.name_any())).help(help)
    })
}

fn check_tasks(job: &Job, names: &[String]) -> Result<(), Failure> {
    names.iter().find(|name| job.spec.task(name).is_none()).map_or(Ok(()), |unknown| Err(no_task(&job.name_any(), &job.spec, unknown)))
}

fn no_task(job: &str, spec: &JobSpec, unknown: &str) -> Failure {
    let names: Vec<&str> = spec.tasks.iter().map(|task| task.name.as_str()).collect();
    let near = nearest(unknown, names.iter().copied()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    Failure::user("TASK_NOT_FOUND", format!("job {job} has no task {unknown}{near}")).help(format!("it has: {}", names.join(", ")))
}

/// A repair that can be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRepair {
    /// Its id.
    pub id: i32,
    /// The tasks that it begins anew; empty where that is not known yet.
    pub tasks: Vec<String>,
    /// What is sent. It holds the version that was read: if the run is another by then, it is refused.
    pub patch: Value,
}

/// The repair of `run` that `wanted` asks for; its id is that after the newest one.
pub fn repair(run: &JobRun, job: &Job, wanted: &Repair) -> Result<PlannedRepair, Failure> {
    let status = can_be_repaired(run)?;
    check_parameters(job, &wanted.parameters)?;
    let rejected = |problem| Failure::user("REPAIR_REJECTED", format!("run {} cannot be repaired so: {problem}", run.name_any()));
    let tasks = if run.spec.backfill.is_some() {
        Vec::new()
    } else {
        check_tasks(job, &wanted.tasks)?;
        let before = Before { status, spec: Some(&job.spec), only: &run.spec.only };
        chosen(&before, &job.spec, wanted).map_err(rejected)?
    };
    let before = run.spec.repair.as_ref();
    let id = before.map_or(0, |repair| repair.id) + 1;
    // A merge leaves what it does not name: what the repair before said is taken back.
    let mut parameters = json!({});
    for name in before.iter().flat_map(|repair| repair.parameters.keys()) {
        parameters[name] = Value::Null;
    }
    for (name, value) in &wanted.parameters {
        parameters[name] = json!(value);
    }
    let tasks_said = if wanted.tasks.is_empty() { Value::Null } else { json!(wanted.tasks) };
    let all_failed = wanted.tasks.is_empty();
    let spec = json!({"id": id, "tasks": tasks_said, "allFailed": all_failed, "dependents": wanted.dependents, "parameters": parameters});
    let patch = json!({
        "metadata": {"resourceVersion": run.metadata.resource_version},
        "spec": {"cancel": Cancel::None, "repair": spec},
    });
    Ok(PlannedRepair { id, tasks, patch })
}

fn can_be_repaired(run: &JobRun) -> Result<&JobRunStatus, Failure> {
    let name = run.name_any();
    let not_ended = |text: String| Failure::user("RUN_NOT_ENDED", text);
    let Some(status) = run.status.as_ref() else { return Err(not_ended(format!("run {name} has not begun"))) };
    match status.state {
        Some(RunState::Skipped) => {
            let told = status.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default();
            return Err(Failure::user("REPAIR_REJECTED", format!("run {name} was skipped{told}: it has nothing to repair"))
                .help(format!("start a new one: floe job run {}", run.spec.job_ref.name)));
        }
        Some(RunState::Terminated) => {}
        state => {
            let state = state.map_or("not begun", RunState::as_str);
            return Err(not_ended(format!("run {name} has not ended: it is {state}"))
                .help(format!("wait for its end, or stop it: floe job cancel {name}")));
        }
    }
    match &run.spec.repair {
        Some(asked) if asked.id > status.repair_count => {
            Err(not_ended(format!("repair {} of run {name} was asked for already and has not begun", asked.id))
                .help(format!("look at it: floe job describe {name}")))
        }
        _ => Ok(status),
    }
}

/// The failure of a repair whose place another one took.
pub fn somebody_was_faster(run: &JobRun) -> Failure {
    let name = run.name_any();
    let theirs = run.spec.repair.as_ref().map(|repair| {
        let tasks = if repair.tasks.is_empty() { "all that failed".to_string() } else { repair.tasks.join(", ") };
        format!("repair {} ({tasks})", repair.id)
    });
    let theirs = theirs.unwrap_or_else(|| "another change".to_string());
    Failure::user("REPAIR_CONFLICT", format!("somebody was faster: {theirs} of run {name} was asked for meanwhile; yours was not"))
        .help(format!("look at it: floe job describe {name}; when it has ended, repair again"))
}

/// What becomes of the wish to stop a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// This is sent.
    Patch(Value),
    /// It has ended; how.
    Ended(String),
    /// It stops already.
    Stops,
}

/// How `run` is stopped.
pub fn cancel(run: &JobRun, immediate: bool) -> Stop {
    let status = run.status.as_ref();
    // A repair that has not begun is canceled too.
    let repair_waits = run.spec.repair.as_ref().is_some_and(|asked| status.is_none_or(|status| asked.id > status.repair_count));
    let state = status.and_then(|status| status.state);
    if let Some(state) = state.filter(|state| state.is_terminal() && !repair_waits) {
        let result = status.and_then(|status| status.result_state);
        return Stop::Ended(result.map_or(state.as_str(), |result| result.as_str()).to_string());
    }
    let wanted = if immediate { Cancel::Immediate } else { Cancel::Graceful };
    if run.spec.cancel >= wanted { Stop::Stops } else { Stop::Patch(json!({"spec": {"cancel": wanted}})) }
}

/// What lets the triggers of `job` rest, or fire again; `None` if it is so.
pub fn suspend(job: &Job, suspended: bool) -> Option<Value> {
    (job.spec.suspend != suspended).then(|| json!({"spec": {"suspend": suspended}}))
}
