//! How an execution of a run begins: it is taken up, waits for its place, and starts; and how a repair is taken up.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    advance,
    attempts::Refusal,
    end::{conclude, counts_of},
    resolve::{self, Trigger},
};
use crate::{
    job::{ForEach, JobSpec, NestedTask, RunJobTask, Task, Work},
    job_run::{JobRunStatus, Repair, RepairRecord, RepairState, RepairType, TaskStatus},
    pipeline_update::Cancel,
    run::{
        check::check_job,
        parameters::Parameters,
        queue::Admission,
        repair,
        scene::{Action, Scene, Snapshot, Step},
    },
    state::{RunResultState, RunState, TaskResultState, TaskState, TerminationCode},
    text::cut,
};

/// Longest value of a parameter in the status, in bytes.
const MAX_SHOWN: usize = 1024;
/// So many executions are kept in the status.
const MAX_REPAIRS: usize = 50;
/// The one task of a run that stands for slices of time.
pub const SLICES: &str = "slices";

/// Takes a run up: all that can be wrong with it as a whole is found before anything starts.
pub(super) fn begin(scene: &Scene<'_>) -> Step {
    let Some(snapshot) = scene.snapshot else { return without_snapshot(scene) };
    let spec = match spec_in_force(scene, snapshot) {
        Ok(spec) => spec,
        Err(problem) => return invalid(scene, &problem),
    };
    if let Some(problem) = refused(scene, snapshot) {
        return invalid(scene, &Refusal { code: TerminationCode::InvalidRunConfiguration, message: problem });
    }
    if let Some(unknown) = scene.request.only.iter().find(|name| snapshot.spec.task(name).is_none()) {
        let message = format!("only: the job has no task {unknown}");
        return invalid(scene, &Refusal { code: TerminationCode::InvalidRunConfiguration, message });
    }
    let parameters = match resolve::parameters(scene, snapshot, &Trigger::of(scene)) {
        Ok(parameters) => parameters,
        Err(problem) => return invalid(scene, &problem),
    };
    let original = RepairRecord {
        id: 0,
        repair_type: RepairType::Original,
        state: RepairState::Running,
        tasks: Vec::new(),
        start_time: None,
        end_time: None,
        message: None,
    };
    let mut status = JobRunStatus {
        job_generation: Some(snapshot.generation),
        state: Some(RunState::Queued),
        parameters: all_shown(parameters),
        tasks: spec.tasks.iter().map(fresh).collect(),
        repairs: vec![original],
        ..scene.status.clone()
    };
    status.task_counts = Some(counts_of(&status));
    let mut step = leave_queue(&Scene { status: &status, ..*scene });
    step.actions.insert(0, Action::Keep(0));
    step
}

/// What is wrong with the definition: a task that cannot run is found before those in front of it have run.
fn refused(scene: &Scene<'_>, snapshot: &Snapshot) -> Option<String> {
    let findings = check_job(&snapshot.spec, scene.now);
    let errors: Vec<String> = findings.into_iter().filter(|finding| finding.error).map(|finding| finding.message).collect();
    (!errors.is_empty()).then(|| format!("the job {} is not accepted: {}", scene.job.name, errors.join("; ")))
}

fn all_shown(parameters: Parameters) -> Parameters {
    let shown = |value: String| if value.len() <= MAX_SHOWN { value } else { format!("{}…", cut(&value, MAX_SHOWN)) };
    parameters.into_iter().map(|(name, value)| (name, shown(value))).collect()
}

fn fresh(task: &Task) -> TaskStatus {
    TaskStatus {
        name: task.name.clone(),
        kind: task.kind(),
        state: TaskState::Blocked,
        result_state: None,
        outcome: None,
        termination_code: None,
        message: None,
        execution_count: 0,
        retries: 0,
        interruptions: 0,
        repair_id: 0,
        start_time: None,
        end_time: None,
        next_retry_time: None,
        child: None,
        values: Vec::new(),
        for_each: None,
    }
}

/// The run waits until it is admitted. A repair waits with the results that were there before.
pub(super) fn leave_queue(scene: &Scene<'_>) -> Step {
    let mut status = scene.status.clone();
    // It was admitted, and attempts were made before that could be written down.
    if status.tasks.iter().any(|task| scene.attempts.has_begun(task)) {
        return start(scene, status);
    }
    if scene.is_deleted || scene.request.cancel != Cancel::None {
        return canceled(scene, status);
    }
    match scene.admission {
        Admission::Start => start(scene, status),
        Admission::Wait { reason, until } => {
            status.queue_reason = Some(*reason);
            status.queued_until = Some(Time(*until));
            Step { status, actions: Vec::new(), wake: Some(*until) }
        }
        Admission::Skip { code, message } if status.snapshot_id() == 0 => {
            status.state = Some(RunState::Skipped);
            status.termination_code = Some(*code);
            status.message = Some(message.clone());
            (status.queue_reason, status.queued_until) = (None, None);
            status.tasks.clear();
            status.repairs.clear();
            status.task_counts = Some(counts_of(&status));
            status.end_time = Some(Time(scene.now));
            Step { status, actions: Vec::new(), wake: None }
        }
        Admission::Skip { message, .. } => reject(scene, status, message),
    }
}

/// A run that waits and is canceled has ended. One that was to be repaired is as it was before.
fn canceled(scene: &Scene<'_>, mut status: JobRunStatus) -> Step {
    if status.snapshot_id() > 0 {
        return reject(scene, status, "canceled before it started");
    }
    for task in &mut status.tasks {
        task.state = TaskState::Terminated;
        task.result_state = Some(TaskResultState::Canceled);
        task.termination_code = Some(TerminationCode::UserCanceled);
        task.end_time = Some(Time(scene.now));
    }
    conclude(&mut status, scene.now, RunResultState::Canceled, TerminationCode::UserCanceled, "canceled on request");
    status.task_counts = Some(counts_of(&status));
    Step { status, actions: Vec::new(), wake: None }
}

/// A repair that was taken up does not take place: the run is as it was.
fn reject(scene: &Scene<'_>, mut status: JobRunStatus, message: &str) -> Step {
    if let Some(repair) = status.execution_mut() {
        repair.state = RepairState::Rejected;
        repair.message = Some(cut(message, 1000).to_string());
        repair.end_time = Some(Time(scene.now));
    }
    (status.queue_reason, status.queued_until) = (None, None);
    status.state = Some(RunState::Terminated);
    Step { status, actions: Vec::new(), wake: None }
}

fn start(scene: &Scene<'_>, mut status: JobRunStatus) -> Step {
    let now = Time(scene.now);
    (status.queue_reason, status.queued_until) = (None, None);
    (status.result_state, status.termination_code, status.message) = (None, None, None);
    (status.end_time, status.run_duration_seconds) = (None, None);
    status.state = Some(RunState::Pending);
    status.start_time.get_or_insert(now.clone());
    if let Some(execution) = status.execution_mut() {
        execution.start_time = Some(now);
    }
    if status.snapshot_id() > 0
        && let Some(snapshot) = scene.snapshot
    {
        let spec = spec_in_force(scene, snapshot).unwrap_or_else(|_| snapshot.spec.clone());
        status.job_generation = Some(snapshot.generation);
        repair::reset(&mut status, &spec, fresh);
        if let Ok(parameters) = resolve::parameters(&Scene { status: &status, ..*scene }, snapshot, &Trigger::of(scene)) {
            status.parameters = all_shown(parameters);
        }
    }
    advance(&Scene { status: &status, ..*scene })
}

/// Takes up a repair that was asked for, or refuses it.
pub(super) fn take_up_repair(scene: &Scene<'_>) -> Step {
    let mut status = scene.status.clone();
    let unchanged = |status| Step { status, actions: Vec::new(), wake: None };
    let Some(wanted) = scene.request.repair.as_ref().filter(|repair| repair.id > status.repair_count) else { return unchanged(status) };
    let mut record = RepairRecord {
        id: wanted.id,
        repair_type: RepairType::Repair,
        state: RepairState::Running,
        tasks: Vec::new(),
        start_time: None,
        end_time: None,
        message: None,
    };
    let chosen = match scene.next {
        _ if status.state == Some(RunState::Skipped) => Err("the run was skipped: it has nothing to repair; start a new one".to_string()),
        _ if scene.request.cancel != Cancel::None => Err("the run is canceled: set cancel to None together with the repair".to_string()),
        None => Err("the job does not exist any more".to_string()),
        Some(next) => refused(scene, next)
            .map_or_else(|| spec_in_force(scene, next).map_err(|problem| problem.message), Err)
            .and_then(|spec| check_parameters(scene, next).and_then(|()| chosen(scene, &spec, wanted))),
    };
    let mut actions = Vec::new();
    status.repair_count = wanted.id;
    match chosen {
        Ok(tasks) => {
            record.tasks = tasks;
            status.state = Some(RunState::Queued);
            actions.push(Action::Keep(wanted.id));
        }
        Err(problem) => {
            record.state = RepairState::Rejected;
            record.message = Some(cut(&problem, 1000).to_string());
            record.end_time = Some(Time(scene.now));
        }
    }
    remember(&mut status, record);
    // The next look sees the new snapshot.
    Step { wake: (!actions.is_empty()).then_some(scene.now), status, actions }
}

/// The tasks that a repair begins anew. Of a backfill these are the slices, whatever tasks they are for.
fn chosen(scene: &Scene<'_>, spec: &JobSpec, wanted: &Repair) -> Result<Vec<String>, String> {
    let before = scene.snapshot.map(|snapshot| &snapshot.spec);
    let only = if scene.request.backfill.is_some() { &[] } else { scene.request.only.as_slice() };
    repair::chosen(&repair::Before { status: scene.status, spec: before, only }, spec, wanted)
}

/// Keeps the newest records, and those of the first execution and of the one in force.
fn remember(status: &mut JobRunStatus, record: RepairRecord) {
    status.repairs.push(record);
    let in_force = status.snapshot_id();
    if status.repairs.len() > MAX_REPAIRS
        && let Some(oldest) = status.repairs.iter().position(|repair| repair.id != 0 && repair.id != in_force)
    {
        status.repairs.remove(oldest);
    }
}

/// A repair of a run that has not ended is refused; its id is used up.
pub(super) fn refuse_early_repair(scene: &Scene<'_>, status: &mut JobRunStatus) {
    let ended = matches!(scene.status.state, None | Some(RunState::Terminated | RunState::Skipped));
    let Some(wanted) = scene.request.repair.as_ref().filter(|repair| !ended && repair.id > status.repair_count) else { return };
    status.repair_count = wanted.id;
    let message = Some("the run has not ended: wait for its end, or cancel it".to_string());
    let (repair_type, state, end_time) = (RepairType::Repair, RepairState::Rejected, Some(Time(scene.now)));
    remember(status, RepairRecord { id: wanted.id, repair_type, state, tasks: Vec::new(), start_time: None, end_time, message });
}

fn check_parameters(scene: &Scene<'_>, next: &Snapshot) -> Result<(), String> {
    resolve::parameters(scene, next, &Trigger::of(scene)).map(drop).map_err(|problem| problem.message)
}

/// A run of a Job that does not exist.
pub(super) fn without_snapshot(scene: &Scene<'_>) -> Step {
    let message = format!("the job {} does not exist in this namespace", scene.request.job_ref.name);
    invalid(scene, &Refusal { code: TerminationCode::ResourceNotFound, message })
}

/// A run that cannot be carried out: nothing of it starts.
pub(super) fn invalid(scene: &Scene<'_>, problem: &Refusal) -> Step {
    let mut status = scene.status.clone();
    status.start_time.get_or_insert(Time(scene.now));
    for task in status.tasks.iter_mut().filter(|task| task.state != TaskState::Terminated) {
        task.state = TaskState::Terminated;
        task.result_state = Some(TaskResultState::Canceled);
        task.termination_code = Some(problem.code);
        task.end_time = Some(Time(scene.now));
    }
    conclude(&mut status, scene.now, RunResultState::Failed, problem.code, &problem.message);
    status.task_counts = Some(counts_of(&status));
    Step { status, actions: Vec::new(), wake: None }
}

/// What the run carries out: the spec of its Job, or one run of that for each slice of time.
pub(super) fn spec_in_force(scene: &Scene<'_>, snapshot: &Snapshot) -> Result<JobSpec, Refusal> {
    let Some(wanted) = &scene.request.backfill else { return Ok(snapshot.spec.clone()) };
    wanted.slices().map_err(|error| Refusal { code: error.code(), message: error.to_string() })?;
    let inputs = serde_json::to_string(&snapshot.slices).map_err(|error| Refusal::internal(&error.to_string()))?;
    // Values of repairs are in force; the texts mean the slice when its run is made.
    let mut parameters = scene.request.parameters.clone();
    parameters.extend(snapshot.parameters.clone());
    let run_job = RunJobTask { name: scene.job.name.to_string(), parameters };
    let work = Work { run_job: Some(run_job), ..Work::default() };
    let task = NestedTask { name: "slice".to_string(), work, ..NestedTask::default() };
    let slices = ForEach { inputs, concurrency: wanted.max_concurrent, task };
    let task = Task { name: SLICES.to_string(), for_each: Some(slices), ..Task::default() };
    Ok(JobSpec { tasks: vec![task], parameters: snapshot.spec.parameters.clone(), ..empty(&snapshot.spec) })
}

/// What a run for slices takes of its Job: whom to tell. Time limits and retries belong to the slices.
fn empty(spec: &JobSpec) -> JobSpec {
    JobSpec { timeout_seconds: 0, task_defaults: None, ..spec.clone() }
}
