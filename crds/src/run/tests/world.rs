//! A world in which runs are carried out without a cluster: attempts end as they are told, and time is a number.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    job::{JobSpec, TaskKind},
    job_run::{Child, JobRunSpec, JobRunStatus, TaskStatus},
    pipeline_update::Cancel,
    run::{
        attempt::{AttemptEnd, EndClass},
        inputs::Limits,
        queue::Admission,
        reference::WorkspaceFacts,
        scene::{Action, Attempt, Attempts, Identity, Progress, Scene, Seen, Snapshot, Step, TaskOutput},
        step::step,
    },
    state::{RunResultState, RunState, TaskResultState, TaskState, TerminationCode},
    trigger::backfill::Slice,
};

/// When the first step is.
pub const START: &str = "2026-01-31T02:00:00Z";

/// One run with everything around it.
pub struct World {
    pub job: JobSpec,
    pub generation: i64,
    pub request: JobRunSpec,
    pub status: JobRunStatus,
    pub snapshots: BTreeMap<i32, Snapshot>,
    pub admission: Admission,
    pub running: Vec<Running>,
    /// Every attempt that was ever made, in order.
    pub made: Vec<Attempt>,
    pub stops: BTreeSet<(String, Option<usize>, String)>,
    pub outputs: BTreeMap<String, TaskOutput>,
    pub places: usize,
    pub now: Timestamp,
    pub wake: Option<Timestamp>,
    pub is_deleted: bool,
    /// What a backfill is for.
    pub slices: Vec<Slice>,
}

/// An attempt in the world.
pub struct Running {
    pub attempt: Attempt,
    pub seen: Seen,
}

impl World {
    pub fn new(job: &Value) -> Self {
        let job: JobSpec = serde_json::from_value(job.clone()).unwrap();
        Self {
            job,
            generation: 1,
            request: serde_json::from_value(json!({"jobRef": {"name": "nightly"}})).unwrap(),
            status: JobRunStatus::default(),
            snapshots: BTreeMap::new(),
            admission: Admission::Start,
            running: Vec::new(),
            made: Vec::new(),
            stops: BTreeSet::new(),
            outputs: BTreeMap::new(),
            places: 1000,
            now: START.parse().unwrap(),
            wake: None,
            is_deleted: false,
            slices: Vec::new(),
        }
    }

    /// A Job of container tasks: name, what it waits for, more fields.
    pub fn of(tasks: &[(&str, &[&str], Value)]) -> Self {
        let task = |(name, before, more): &(&str, &[&str], Value)| {
            let depends: Vec<Value> = before.iter().map(|task| json!({"task": task})).collect();
            let mut task = json!({"name": name, "dependsOn": depends});
            for (key, value) in more.as_object().into_iter().flatten() {
                task[key] = value.clone();
            }
            let has_kind = ["pipeline", "sql", "container", "condition", "forEach", "runJob"].iter().any(|kind| task.get(kind).is_some());
            if !has_kind {
                task["container"] = json!({"image": "i"});
            }
            task
        };
        Self::new(&json!({"tasks": tasks.iter().map(task).collect::<Vec<_>>()}))
    }

    fn attempts(&self) -> Attempts {
        let mut attempts = Attempts::default();
        for running in &self.running {
            attempts.add(&running.attempt.task, running.attempt.iteration, running.seen.clone());
        }
        attempts
    }

    /// What comes next, without doing it.
    pub fn look(&self) -> Step {
        let snapshot = self.snapshots.get(&self.status.snapshot_id()).cloned().unwrap_or_else(|| self.snapshot(&BTreeMap::new()));
        let repair = self.request.repair.as_ref();
        let mut parameters = snapshot.parameters.clone();
        parameters.extend(repair.map(|repair| repair.parameters.clone()).unwrap_or_default());
        let next = self.snapshot(&parameters);
        step(&Scene {
            job: Identity { name: "nightly", uid: "job-uid" },
            run: Identity { name: "nightly-1", uid: "run-uid" },
            request: &self.request,
            status: &self.status,
            snapshot: Some(&snapshot),
            next: Some(&next),
            admission: &self.admission,
            attempts: &self.attempts(),
            outputs: &self.outputs,
            limits: Limits::default(),
            places: self.places,
            workspace: WorkspaceFacts { id: "cluster", url: "https://console" },
            is_deleted: self.is_deleted,
            now: self.now,
        })
    }

    fn snapshot(&self, parameters: &BTreeMap<String, String>) -> Snapshot {
        Snapshot { generation: self.generation, spec: self.job.clone(), parameters: parameters.clone(), slices: self.slices.clone() }
    }

    /// One step, carried out; true if it changed anything. Whoever dies after the actions and before the status is written sees the same again.
    pub fn step(&mut self) -> bool {
        let mut step = self.look();
        let mut changed = step.status != self.status;
        for action in std::mem::take(&mut step.actions) {
            changed |= self.carry_out(action);
        }
        for task in &mut step.status.tasks {
            self.fill_in(task.child.as_mut());
        }
        let again = self.look();
        let starts = again.actions.iter().filter(|action| matches!(action, Action::Start(_))).count();
        assert_eq!((starts, &again.status), (0, &step.status), "what was made is found again");
        self.status = step.status;
        self.wake = step.wake;
        assert_sound(&self.status);
        changed
    }

    fn fill_in(&self, child: Option<&mut Child>) {
        let Some(child) = child else { return };
        if let Some(running) = self.running.iter().find(|running| running.seen.child.name == child.name) {
            child.clone_from(&running.seen.child);
        }
    }

    fn carry_out(&mut self, action: Action) -> bool {
        match action {
            Action::Keep(id) => {
                let base = self.snapshots.values().next_back().map(|snapshot| snapshot.parameters.clone()).unwrap_or_default();
                let mut parameters = base;
                parameters.extend(self.request.repair.iter().flat_map(|repair| repair.parameters.clone()));
                let snapshot = self.snapshot(&parameters);
                self.snapshots.entry(id).or_insert(snapshot);
                true
            }
            Action::Start(attempt) => {
                let same = |other: &Running| other.attempt.name == attempt.name;
                assert!(!self.running.iter().any(same), "{} is made twice", attempt.name);
                if has_pod(&attempt) {
                    self.places -= 1;
                }
                let child = Child { name: attempt.name.clone(), uid: format!("uid of {}", attempt.name), ..Child::default() };
                let seen = Seen { execution: attempt.execution, child, started: self.now, progress: Progress::Running };
                self.made.push((*attempt).clone());
                self.running.push(Running { attempt: *attempt, seen });
                true
            }
            Action::Stop { task, iteration, how, .. } => {
                let name = if how == Cancel::Immediate { "Immediate" } else { "Graceful" };
                self.stops.insert((task, iteration, name.to_string()))
            }
        }
    }

    /// Steps until nothing changes.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            if !self.step() {
                return;
            }
        }
        panic!("no end: {:#?}", self.status);
    }

    /// Lets time pass, with a step whenever one is due.
    pub fn pass(&mut self, seconds: i64) {
        let end = self.now.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
        while let Some(wake) = self.wake.filter(|wake| *wake <= end && *wake > self.now) {
            self.now = wake;
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// Seconds since the start.
    pub fn clock(&self) -> i64 {
        self.now.duration_since(START.parse().unwrap()).as_secs()
    }

    /// Ends the newest attempt of `task` that has not ended.
    pub fn finish(&mut self, task: &str, class: EndClass) {
        self.finish_one(task, None, class, "said so");
        self.settle();
    }

    pub fn finish_one(&mut self, task: &str, iteration: Option<usize>, class: EndClass, message: &str) {
        let now = self.now;
        let code = match class {
            EndClass::Success => TerminationCode::Success,
            EndClass::Lasting | EndClass::Failure | EndClass::Unknown => TerminationCode::RunExecutionError,
            EndClass::Transient => TerminationCode::TransientError,
            EndClass::Interrupted => TerminationCode::ClusterError,
            EndClass::Timeout => TerminationCode::TaskTimeout,
            EndClass::Canceled => TerminationCode::UserCanceled,
        };
        let values: Vec<String> = self.outputs.get(task).map(|output| output.values.keys().cloned().collect()).unwrap_or_default();
        let open = |running: &&mut Running| running.attempt.task == task && running.attempt.iteration == iteration && running.is_open();
        let running = self.running.iter_mut().rev().find(open).unwrap_or_else(|| panic!("no attempt of {task} {iteration:?} runs"));
        let message = if class == EndClass::Success { String::new() } else { message.to_string() };
        self.places = self.places.saturating_add(usize::from(has_pod(&running.attempt)));
        running.seen.progress = Progress::Ended(AttemptEnd { class, code, message, at: now, values });
    }

    /// What `task` says: values by key.
    pub fn says(&mut self, task: &str, values: Value) {
        let values: BTreeMap<String, Value> = serde_json::from_value(values).unwrap();
        self.outputs.insert(task.to_string(), TaskOutput { values: Arc::new(values), rows: None });
    }

    pub fn succeed(&mut self, task: &str) {
        self.finish(task, EndClass::Success);
    }

    pub fn task(&self, name: &str) -> &TaskStatus {
        self.status.tasks.iter().find(|task| task.name == name).unwrap_or_else(|| panic!("no task {name}"))
    }

    /// The results of all tasks in the order of the spec; tasks that have not ended by their state.
    pub fn results(&self) -> String {
        let one = |task: &TaskStatus| format!("{} {}", task.name, task.result_state.map_or(task.state.as_str(), TaskResultState::as_str));
        self.status.tasks.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    pub fn result(&self) -> Option<RunResultState> {
        self.status.result_state
    }

    /// Names of tasks whose attempts have not ended.
    pub fn active(&self) -> Vec<&str> {
        self.running.iter().filter(|running| running.is_open()).map(|running| running.attempt.task.as_str()).collect()
    }

    /// Asks for a repair.
    pub fn repair(&mut self, repair: Value) {
        self.request.cancel = Cancel::None;
        self.request.repair = Some(serde_json::from_value(repair).unwrap());
        self.settle();
    }
}

impl Running {
    pub fn is_open(&self) -> bool {
        !matches!(self.seen.progress, Progress::Ended(_))
    }
}

fn has_pod(attempt: &Attempt) -> bool {
    matches!(attempt.effective.kind, TaskKind::Sql | TaskKind::Container)
}

/// What is true of every status.
fn assert_sound(status: &JobRunStatus) {
    for task in &status.tasks {
        assert_eq!(task.state == TaskState::Terminated, task.result_state.is_some(), "{task:#?}");
        assert_eq!(task.end_time.is_some(), task.result_state.is_some(), "{task:#?}");
        assert_eq!(task.next_retry_time.is_some(), task.state == TaskState::WaitingForRetry, "{task:#?}");
        assert!(task.outcome.is_none() || task.result_state == Some(TaskResultState::Success), "{task:#?}");
    }
    let ended = status.state == Some(RunState::Terminated);
    // A repair that waits for its place leaves everything as it was.
    let as_before = status.state == Some(RunState::Queued) && status.snapshot_id() > 0;
    assert_eq!(ended || as_before, status.result_state.is_some(), "{status:#?}");
    if ended || as_before {
        assert!(status.tasks.iter().all(|task| task.state == TaskState::Terminated), "{status:#?}");
    }
}
