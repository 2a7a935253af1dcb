//! Texts of an attempt: what references mean at this moment.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Machine, attempts::Refusal};
use crate::{
    job::{EffectiveTask, JobSpec, TaskKind, TaskRetryMode},
    job_run::{Child, TriggerType},
    run::{
        parameters::{ParameterError, Parameters, overridden, resolve_parameters, task_parameters},
        reference::{
            Completion, Facts, JobFacts, Output, RunFacts, SliceFacts, SqlRows, TableVersion, TaskFacts, ThisTask, TriggerFacts,
            resolve_text,
        },
        scene::{Scene, Snapshot, TaskOutput},
        texts::texts_mut,
    },
    state::{RunResultState, TaskState},
    trigger::backfill::Slice,
};

/// Keys of `trigger.detail`.
pub mod detail {
    /// The watched folder.
    pub const LOCATION: &str = "location";
    /// Full name of a table → its newest version and commit time, as JSON.
    pub const TABLES: &str = "updatedTables";
    /// Name of the run that has ended.
    pub const UPSTREAM_RUN: &str = "upstreamRun";
    /// Its uid.
    pub const UPSTREAM_RUN_ID: &str = "upstreamRunId";
    /// Name of its Job.
    pub const UPSTREAM_JOB: &str = "upstreamJob";
    /// Its result.
    pub const UPSTREAM_RESULT: &str = "upstreamResult";
    /// Jobs that led here, the first one first, with commas between them.
    pub const PARENTS: &str = "parents";
    /// End of the slice of a backfill.
    pub const SLICE_END: &str = "sliceEnd";
}

/// What started the run, read once.
pub(super) struct Trigger {
    kind: TriggerType,
    tables: Option<BTreeMap<String, TableVersion>>,
    parents: Vec<String>,
    slice: Option<SliceFacts>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    version: i64,
    commit_time: Option<Timestamp>,
}

impl Trigger {
    pub fn of(scene: &Scene<'_>) -> Self {
        let trigger = &scene.request.trigger;
        let get = |key: &str| trigger.detail.get(key).map(String::as_str);
        let tables: Option<BTreeMap<String, Updated>> = get(detail::TABLES).and_then(|text| serde_json::from_str(text).ok());
        let version = |updated: Updated| TableVersion { version: updated.version, commit_time: updated.commit_time };
        let from = trigger.time.as_ref().map(|time| time.0).filter(|_| trigger.trigger_type == TriggerType::Backfill);
        let to = get(detail::SLICE_END).and_then(|text| text.parse().ok());
        Self {
            kind: trigger.trigger_type,
            tables: tables.map(|tables| tables.into_iter().map(|(name, updated)| (name, version(updated))).collect()),
            parents: get(detail::PARENTS).map(|all| all.split(',').map(str::to_string).collect()).unwrap_or_default(),
            slice: from.zip(to).map(|(from, to)| SliceFacts { from, to }),
        }
    }

    /// Jobs whose tasks led to this run, this one last.
    pub fn chain<'a>(&'a self, job: &'a str) -> Vec<&'a str> {
        let called = self.kind == TriggerType::RunJobTask;
        self.parents.iter().filter(|_| called).map(String::as_str).chain([job]).collect()
    }

    /// True if failures never end the run.
    pub fn retries_until_success(&self, spec: &JobSpec) -> bool {
        let continuous = spec.triggers.iter().find_map(|trigger| trigger.continuous.as_ref());
        self.kind == TriggerType::Continuous && continuous.is_some_and(|all| all.task_retry_mode == TaskRetryMode::OnFailure)
    }

    fn facts<'a>(&'a self, scene: &'a Scene<'_>) -> TriggerFacts<'a> {
        let trigger = &scene.request.trigger;
        let get = |key: &str| trigger.detail.get(key).map(String::as_str);
        let result = get(detail::UPSTREAM_RESULT).and_then(RunResultState::parse);
        let completion = |result_state| Completion {
            job_name: get(detail::UPSTREAM_JOB).unwrap_or_default(),
            run_id: get(detail::UPSTREAM_RUN_ID).unwrap_or_default(),
            run_name: get(detail::UPSTREAM_RUN).unwrap_or_default(),
            result_state,
        };
        TriggerFacts {
            kind: self.kind,
            time: trigger.time.as_ref().map(|time| time.0),
            location: get(detail::LOCATION),
            tables: self.tables.as_ref(),
            completion: result.filter(|_| self.kind == TriggerType::JobCompletion).map(completion),
        }
    }
}

/// What references mean where no task is.
fn facts<'a>(
    scene: &'a Scene<'_>,
    trigger: &'a Trigger,
    parameters: &'a Parameters,
    tasks: &'a BTreeMap<String, TaskFacts<'a>>,
    start: Option<Timestamp>,
) -> Facts<'a> {
    Facts {
        job: JobFacts { id: scene.job.uid, name: scene.job.name },
        run: RunFacts {
            id: scene.run.uid,
            name: scene.run.name,
            repair_count: scene.status.snapshot_id(),
            start_time: start.or(scene.status.start_time.as_ref().map(|time| time.0)),
        },
        trigger: trigger.facts(scene),
        backfill: trigger.slice,
        parameters,
        task: None,
        tasks,
        input: None,
        workspace: scene.workspace,
    }
}

/// The parameters of the run: those that repairs set, then those of the run, then the defaults of the Job.
pub(super) fn parameters(scene: &Scene<'_>, snapshot: &Snapshot, trigger: &Trigger) -> Result<Parameters, Refusal> {
    let defaults = snapshot.spec.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.default.clone())).collect();
    let overrides = [&snapshot.parameters, &scene.request.parameters];
    let refused = |error: ParameterError| Refusal::new(error.termination_code(), error.to_string());
    if scene.request.backfill.is_some() {
        // Defaults may mean the slice: the run of each slice reads them.
        return overridden(&defaults, &overrides).map_err(refused);
    }
    let (none, no_tasks) = (Parameters::new(), BTreeMap::new());
    // A run that is just being taken up starts now.
    let facts = facts(scene, trigger, &none, &no_tasks, scene.status.start_time.is_none().then_some(scene.now));
    resolve_parameters(&defaults, &overrides, &facts).map_err(refused)
}

impl Machine<'_> {
    /// The task with all references replaced, and the parameters of the run in the place of its own.
    pub(super) fn resolved(
        &self,
        task: &str,
        iteration: Option<(usize, &Value)>,
        effective: &EffectiveTask,
    ) -> Result<EffectiveTask, Refusal> {
        let mut resolved = effective.clone();
        let attempt = self.this_attempt(task, iteration.map(|(number, _)| number));
        let replaced = self.with_facts(task, &attempt, iteration.map(|(_, element)| element), |facts| {
            for (field, text) in texts_mut(&mut resolved.work, &mut resolved.pod) {
                *text =
                    resolve_text(text, facts).map_err(|error| Refusal::new(error.termination_code(), format!("field {field}: {error}")))?;
            }
            Ok(())
        });
        replaced?;
        self.hand_over_parameters(&mut resolved);
        Ok(resolved)
    }

    pub(super) fn resolved_text(&self, task: &str, field: &str, text: &str) -> Result<String, Refusal> {
        let attempt = self.this_attempt(task, None);
        let resolved = self.with_facts(task, &attempt, None, |facts| resolve_text(text, facts));
        resolved.map_err(|error| Refusal::new(error.termination_code(), format!("field {field}: {error}")))
    }

    /// The name of the attempt that would come next: it stands for the attempt in texts, which are made before the attempt is.
    fn this_attempt(&self, task: &str, iteration: Option<usize>) -> (String, i32, i32) {
        let status = self.status_of(task);
        let execution = match (status, iteration) {
            (Some(status), Some(_)) => status.for_each.as_ref().map_or(1, |all| all.first_execution),
            (Some(status), None) => status.execution_count + 1,
            (None, _) => 1,
        };
        (self.attempt_name(task, iteration, execution), execution, status.map_or(0, |status| status.retries))
    }

    fn with_facts<R>(&self, task: &str, attempt: &(String, i32, i32), input: Option<&Value>, with: impl FnOnce(&Facts<'_>) -> R) -> R {
        let tasks = self.upstream(task);
        let (run_id, execution_count, retries) = attempt;
        let mut facts = facts(self.scene, self.trigger, &self.parameters, &tasks, None);
        if let Some(slice) = self.slice(input) {
            facts.trigger = TriggerFacts { kind: TriggerType::Backfill, time: Some(slice.start), ..TriggerFacts::default() };
            facts.backfill = Some(SliceFacts { from: slice.start, to: slice.end });
        }
        let this = ThisTask { name: task, run_id: Some(run_id), execution_count: *execution_count, retries: *retries };
        with(&Facts { task: Some(this), input, ..facts })
    }

    /// What is known of the tasks before `task`.
    fn upstream(&self, task: &str) -> BTreeMap<String, TaskFacts<'_>> {
        let names = self.graph.ancestors(task);
        let ended = self.status.tasks.iter().filter(|status| names.contains(&status.name) && status.state == TaskState::Terminated);
        // What a task said before a repair in which it did not run is not said any more.
        let known = |status: &'_ crate::job_run::TaskStatus| status.child.is_some();
        ended
            .map(|status| {
                let output = self.scene.outputs.get(&status.name);
                let facts = TaskFacts {
                    result_state: status.result_state,
                    termination_code: status.termination_code,
                    run_id: status.child.as_ref().map(|child| child.name.as_str()),
                    execution_count: status.execution_count,
                    values: output.filter(|_| known(status)).map(|output| output.values.as_ref()),
                    output: output_of(status.kind, status.child.as_ref(), output),
                };
                (status.name.clone(), facts)
            })
            .collect()
    }

    /// The slice that an iteration of a backfill is for.
    pub(super) fn slice(&self, input: Option<&Value>) -> Option<Slice> {
        self.scene.request.backfill.as_ref().and(input).and_then(|element| serde_json::from_value(element.clone()).ok())
    }

    /// Parameters of the run are handed to kinds that take any. Another Job takes only those that it has, which whoever makes its run knows.
    fn hand_over_parameters(&self, resolved: &mut EffectiveTask) {
        let own = match resolved.kind {
            TaskKind::Pipeline => resolved.work.pipeline.as_mut().map(|task| &mut task.selection.parameters),
            TaskKind::Sql => resolved.work.sql.as_mut().map(|task| &mut task.parameters),
            TaskKind::RunJob | TaskKind::Container | TaskKind::Condition | TaskKind::ForEach => None,
        };
        if let Some(own) = own {
            *own = task_parameters(&self.parameters, own);
        }
    }
}

fn output_of<'a>(kind: TaskKind, child: Option<&'a Child>, output: Option<&'a TaskOutput>) -> Output<'a> {
    match (kind, child) {
        (TaskKind::Pipeline, Some(child)) => Output::Update { id: &child.uid, name: &child.name },
        (TaskKind::RunJob, Some(child)) => Output::Run { id: &child.uid, name: &child.name },
        (TaskKind::Sql, _) => output
            .and_then(|output| output.rows.as_deref())
            .map_or(Output::None, |rows| Output::Sql(SqlRows { rows: &rows.rows, row_count: rows.row_count, truncated: rows.truncated })),
        _ => Output::None,
    }
}
