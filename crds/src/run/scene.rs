//! What a step of a run looks at, and what it says.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{attempt::AttemptEnd, inputs, parameters::Parameters, queue::Admission, reference::WorkspaceFacts};
use crate::{
    job::{EffectiveTask, JobSpec},
    job_run::{Child, JobRunSpec, JobRunStatus, RepairRecord, RepairState, TaskStatus},
    pipeline_update::Cancel,
    trigger::backfill::Slice,
};

/// The Job as it was when the run, or its newest repair, was taken up.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The generation of the Job.
    pub generation: i64,
    /// Its spec.
    pub spec: JobSpec,
    /// What repairs have set in the place of the run's parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// The slices of time of a backfill that need a run. A repair keeps those of the first execution: they are told apart by their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
}

/// Name and uid of an object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// Everything that decides what comes next in a run.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The Job.
    pub job: Identity<'a>,
    /// The run.
    pub run: Identity<'a>,
    /// What the run is asked to do.
    pub request: &'a JobRunSpec,
    /// What is written down.
    pub status: &'a JobRunStatus,
    /// The Job as the run takes it; `None` if there is no such Job.
    pub snapshot: Option<&'a Snapshot>,
    /// The Job as a repair that was asked for would take it.
    pub next: Option<&'a Snapshot>,
    /// Whether a run that waits may start.
    pub admission: &'a Admission,
    /// What there is of attempts.
    pub attempts: &'a Attempts,
    /// What tasks that have ended have said.
    pub outputs: &'a BTreeMap<String, TaskOutput>,
    /// How much a loop may be given.
    pub limits: inputs::Limits,
    /// So many pods may be started now.
    pub places: usize,
    /// The installation.
    pub workspace: WorkspaceFacts<'a>,
    /// The run goes: it is stopped at once.
    pub is_deleted: bool,
    /// The time.
    pub now: Timestamp,
}

/// Attempts of tasks, and of iterations of loops, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    by_task: BTreeMap<(String, Option<usize>), Vec<Seen>>,
}

/// One attempt as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number over all repairs.
    pub execution: i32,
    /// What it runs as.
    pub child: Child,
    /// When it was made.
    pub started: Timestamp,
    /// How far it is.
    pub progress: Progress,
}

/// How far an attempt is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something of its own kind is before it, e.g. another update of the pipeline.
    Queued(String),
    /// It does not run yet; the text says why, if anything is known.
    Pending(String),
    /// It runs.
    Running,
    /// It has ended.
    Ended(AttemptEnd),
}

impl Attempts {
    /// Adds an attempt of `task`, or of its iteration.
    pub fn add(&mut self, task: &str, iteration: Option<usize>, seen: Seen) {
        let all = self.by_task.entry((task.to_string(), iteration)).or_default();
        let place = all.partition_point(|other| other.execution <= seen.execution);
        all.insert(place, seen);
    }

    /// The attempts of `task`, or of its iteration.
    pub fn of(&self, task: &str, iteration: Option<usize>) -> &[Seen] {
        self.by_task.get(&(task.to_string(), iteration)).map(Vec::as_slice).unwrap_or_default()
    }

    /// True if there is an attempt of a task, or of one of its iterations, that its status does not know.
    pub fn has_begun(&self, status: &TaskStatus) -> bool {
        let known = |iteration: Option<usize>| match (iteration, &status.for_each) {
            (None, _) => status.execution_count,
            (Some(_), Some(for_each)) => for_each.last_execution,
            (Some(_), None) => 0,
        };
        let of_task = self.by_task.iter().filter(|((task, _), _)| *task == status.name);
        of_task
            .flat_map(|((_, iteration), all)| all.iter().map(move |seen| (*iteration, seen.execution)))
            .any(|(at, number)| number > known(at))
    }

    /// The attempt of this number.
    pub fn find(&self, task: &str, iteration: Option<usize>, execution: i32) -> Option<&Seen> {
        self.of(task, iteration).iter().find(|seen| seen.execution == execution)
    }
}

/// What a task that has ended has said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskOutput {
    /// Values by key.
    pub values: Arc<BTreeMap<String, Value>>,
    /// The last result of a sql task.
    pub rows: Option<Arc<Rows>>,
}

/// A result of SQL, as much of it as was kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Objects, one per row.
    pub rows: Vec<Value>,
    /// How many rows there were.
    pub row_count: i64,
    /// Not all were kept.
    pub truncated: bool,
}

/// What comes next.
#[derive(Clone, Debug)]
pub struct Step {
    /// The status, without conditions and notifications, which are not decided here. What an attempt that is to start runs as has no uid yet.
    pub status: JobRunStatus,
    /// What is to be done, in this order, before the status is written.
    pub actions: Vec<Action>,
    /// When to look again even if nothing happens.
    pub wake: Option<Timestamp>,
}

/// One thing that is to be done. Each may be asked for again until it shows.
#[derive(Clone, Debug)]
pub enum Action {
    /// The snapshot of this repair is stored.
    Keep(i32),
    /// An attempt is made.
    Start(Box<Attempt>),
    /// An attempt is stopped.
    Stop {
        /// Whose attempt.
        task: String,
        /// Of which iteration.
        iteration: Option<usize>,
        /// What it runs as.
        child: Child,
        /// How.
        how: Cancel,
    },
}

/// An attempt that is to be made, all its texts resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Name of the task.
    pub task: String,
    /// Number of the iteration, from 0.
    pub iteration: Option<usize>,
    /// Number of the attempt over all repairs, from 1.
    pub execution: i32,
    /// Name of what it runs as.
    pub name: String,
    /// What is done, and how. A pipeline or sql task has the parameters of the run among its own already. A runJob task has only its own: whoever
    /// makes the run of the other Job knows what that declares, and hands over
    /// `child_parameters(&attempt.parameters, &run_job.parameters, declared)`.
    pub effective: EffectiveTask,
    /// Parameters of the run; none for a slice, whose own run has its defaults.
    pub parameters: Parameters,
    /// The slice of time that a run of a backfill is for. Its run is for the same tasks (`only`) as this one.
    pub slice: Option<Slice>,
}

impl JobRunStatus {
    /// The execution that goes on, or was the last one.
    pub(super) fn execution_mut(&mut self) -> Option<&mut RepairRecord> {
        let id = self.snapshot_id();
        self.repairs.iter_mut().find(|repair| repair.id == id && repair.state != RepairState::Rejected)
    }

    /// The id of the snapshot in force: that of the newest repair that was not rejected.
    pub fn snapshot_id(&self) -> i32 {
        let taken = self.repairs.iter().filter(|repair| repair.state != RepairState::Rejected);
        taken.map(|repair| repair.id).max().unwrap_or_default()
    }
}
