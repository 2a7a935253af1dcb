//! The loop of a run: look, do what comes next, write it down, wait for something to happen.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use floe_crds::{
    job_run::{Child, DeliveryState, JobRunStatus},
    pipeline_update::Cancel,
    run::{
        inputs::Limits,
        notify::RunRef,
        queue::Admission,
        reference::WorkspaceFacts,
        scene::{Action, Attempt, Attempts, Identity, Progress, Scene, Seen, Snapshot, Step},
        step::step,
        values,
    },
    state::RunState,
};
use floe_notify::Message;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use tokio::sync::{mpsc, watch};

use super::{
    execute::{Assignment, RunFacts, carry_out},
    notify,
    outcome::Outcome,
    record::{AttemptRecord, Record},
    site::Site,
    store::Store,
};
use crate::failure::Failure;

/// No look follows the one before sooner than this, whatever is due.
const BREATH: Duration = Duration::from_millis(20);

/// One run in hand.
pub struct Drive {
    site: Arc<Site>,
    store: Store,
    record: Record,
    /// Whether the run shall stop.
    stop: watch::Receiver<Cancel>,
    /// What lines about tasks begin with.
    prefix: String,
    /// The Job as it is now.
    now: Snapshot,
    running: BTreeMap<String, Running>,
    /// Notifications on their way.
    telling: usize,
    sender: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
}

/// An attempt in hand.
struct Running {
    progress: Progress,
    stop: watch::Sender<Cancel>,
}

/// What attempts say. All name themselves.
pub enum Event {
    Progress(String, Progress),
    Container(String, String),
    Ended(String, Box<Outcome>),
    /// Not of an attempt: what became of a notification.
    Told {
        key: String,
        attempts: i32,
        problem: Option<String>,
    },
}

impl Drive {
    pub fn new(site: Arc<Site>, store: Store, record: Record, stop: watch::Receiver<Cancel>, prefix: String) -> Result<Self, Failure> {
        let spec = site.job(&record.spec.job_ref.name)?.as_ref().clone();
        let (sender, events) = mpsc::unbounded_channel();
        let now = Snapshot { generation: 1, spec, parameters: BTreeMap::new(), slices: Vec::new() };
        Ok(Self { site, store, record, stop, prefix, now, running: BTreeMap::new(), telling: 0, sender, events })
    }

    /// Carries the run to its end.
    pub async fn finish(mut self) -> Result<Record, Failure> {
        loop {
            self.record.spec.cancel = self.record.spec.cancel.max(*self.stop.borrow_and_update());
            let wake = self.settle()?;
            if self.is_over() {
                return Ok(self.record);
            }
            self.wait(wake).await;
        }
    }

    fn is_over(&self) -> bool {
        let status = &self.record.status;
        let is_repaired = self.record.spec.repair.as_ref().is_none_or(|repair| repair.id <= status.repair_count);
        status.state.is_some_and(RunState::is_terminal) && is_repaired && self.running.is_empty() && self.telling == 0
    }

    /// Steps until nothing changes; when to look again.
    fn settle(&mut self) -> Result<Option<Timestamp>, Failure> {
        loop {
            let mut step = self.look();
            let mut has_begun = false;
            let mut starts = Vec::new();
            for action in std::mem::take(&mut step.actions) {
                match action {
                    Action::Keep(id) => {
                        let snapshot = self.next();
                        self.record.snapshots.entry(id).or_insert(snapshot);
                        has_begun = true;
                    }
                    Action::Start(attempt) => starts.push(*attempt),
                    Action::Stop { child, how, .. } => self.tell(&child.name, how),
                }
            }
            has_begun |= !starts.is_empty();
            let starts: Vec<(Attempt, Child)> = starts.into_iter().map(|attempt| self.note(attempt)).collect();
            self.fill_in(&mut step);
            if !has_begun && step.status == self.record.status {
                return Ok(step.wake);
            }
            let messages = self.news(&mut step.status);
            let before = std::mem::replace(&mut self.record.status, step.status);
            self.record.tidy();
            // What is begun is written down before: who goes on after a crash knows of it.
            self.store.write(&self.record)?;
            self.site.display.changes(&self.prefix, &before, &self.record.status);
            for (attempt, child) in starts {
                self.begin(attempt, child);
            }
            for message in messages {
                self.telling += 1;
                tokio::spawn(notify::send(Arc::clone(&self.site), message, self.sender.clone()));
            }
        }
    }

    /// Whom to tell of what has changed.
    fn news(&self, after: &mut JobRunStatus) -> Vec<Message> {
        let Record { name, uid, spec, status, snapshots, .. } = &self.record;
        let run = RunRef { namespace: notify::NAMESPACE, job: &spec.job_ref.name, name, uid, trigger: &spec.trigger };
        let job = snapshots.get(&after.snapshot_id()).map_or(&self.now.spec, |snapshot| &snapshot.spec);
        notify::news(&self.site, job, &run, status, after)
    }

    fn look(&self) -> Step {
        let record = &self.record;
        let (job, current) = (record.spec.job_ref.name.as_str(), self.next());
        let mut attempts = Attempts::default();
        for attempt in &record.attempts {
            let progress = match (&attempt.end, self.running.get(&attempt.child.name)) {
                (Some(end), _) => Progress::Ended(end.end()),
                (None, Some(running)) => running.progress.clone(),
                (None, None) => Progress::Pending(String::new()),
            };
            let seen = Seen { execution: attempt.execution, child: attempt.child.clone(), started: attempt.started.0, progress };
            attempts.add(&attempt.task, attempt.iteration, seen);
        }
        step(&Scene {
            job: Identity { name: job, uid: &self.site.job_id(job) },
            run: Identity { name: &record.name, uid: &record.uid },
            request: &record.spec,
            status: &record.status,
            snapshot: Some(record.snapshots.get(&record.status.snapshot_id()).unwrap_or(&current)),
            next: Some(&current),
            admission: &Admission::Start,
            attempts: &attempts,
            outputs: &record.outputs,
            limits: Limits::default(),
            // Attempts wait for their places themselves: updates take some too.
            places: usize::MAX,
            workspace: WorkspaceFacts { id: "local", url: "" },
            is_deleted: false,
            now: Timestamp::now(),
        })
    }

    /// The Job as a repair takes it: with what earlier repairs have set, and this one.
    fn next(&self) -> Snapshot {
        let before = self.record.snapshots.get(&self.record.status.snapshot_id());
        let mut parameters = before.map(|snapshot| snapshot.parameters.clone()).unwrap_or_default();
        parameters.extend(self.record.spec.repair.iter().flat_map(|repair| repair.parameters.clone()));
        Snapshot { parameters, ..self.now.clone() }
    }

    /// Makes a note of an attempt that is to begin.
    fn note(&mut self, attempt: Attempt) -> (Attempt, Child) {
        let kind = match attempt.effective.kind {
            floe_crds::job::TaskKind::Pipeline => "PipelineUpdate",
            floe_crds::job::TaskKind::RunJob => "JobRun",
            _ => "Process",
        };
        let uid = uuid::Uuid::now_v7().to_string();
        let child = Child { api_version: floe_crds::API_VERSION.to_string(), kind: kind.to_string(), name: attempt.name.clone(), uid };
        self.record.attempts.push(AttemptRecord {
            task: attempt.task.clone(),
            iteration: attempt.iteration,
            execution: attempt.execution,
            child: child.clone(),
            started: Time(Timestamp::now()),
            container: None,
            end: None,
        });
        let (stop, _) = watch::channel(Cancel::None);
        self.running.insert(attempt.name.clone(), Running { progress: Progress::Pending(String::new()), stop });
        (attempt, child)
    }

    fn begin(&self, attempt: Attempt, child: Child) {
        let Some(running) = self.running.get(&attempt.name) else { return };
        let iteration = attempt.iteration.map(|number| format!("[{number}]")).unwrap_or_default();
        let job = self.record.spec.job_ref.name.clone();
        let assignment = Assignment {
            site: Arc::clone(&self.site),
            run: RunFacts {
                job_id: self.site.job_id(&job),
                job,
                name: self.record.name.clone(),
                uid: self.record.uid.clone(),
                trigger: self.record.spec.trigger.clone(),
            },
            label: format!("{}{}{iteration}", self.prefix, attempt.task),
            folder: self.store.work().join(&attempt.name),
            attempt,
            child,
            stop: running.stop.subscribe(),
            events: self.sender.clone(),
        };
        tokio::spawn(carry_out(assignment));
    }

    /// Names in the status what was just made.
    fn fill_in(&self, step: &mut Step) {
        for child in step.status.tasks.iter_mut().filter_map(|task| task.child.as_mut()) {
            if let Some(made) = self.record.attempts.iter().rev().find(|attempt| attempt.child.name == child.name) {
                child.clone_from(&made.child);
            }
        }
    }

    fn tell(&self, attempt: &str, how: Cancel) {
        if let Some(running) = self.running.get(attempt) {
            running.stop.send_if_modified(|told| {
                let rises = how > *told;
                *told = how.max(*told);
                rises
            });
        }
    }

    async fn wait(&mut self, wake: Option<Timestamp>) {
        let pause = wake.map(|wake| {
            let left = wake.duration_since(Timestamp::now());
            Duration::try_from(left).unwrap_or_default().max(BREATH)
        });
        let sleep = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.events.recv() => {
                if let Some(event) = event {
                    self.hear(event);
                }
                while let Ok(event) = self.events.try_recv() {
                    self.hear(event);
                }
            }
            told = self.stop.changed() => {
                if told.is_err() {
                    // Nobody can stop the run any more: it goes on as it is.
                    tokio::time::sleep(BREATH).await;
                }
            }
            () = sleep => {}
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Progress(name, progress) => {
                if let Some(running) = self.running.get_mut(&name) {
                    running.progress = progress;
                }
            }
            Event::Container(name, container) => self.container(&name, container),
            Event::Ended(name, outcome) => self.ended(&name, *outcome),
            Event::Told { key, attempts, problem } => self.told(&key, attempts, problem),
        }
    }

    fn container(&mut self, attempt: &str, container: String) {
        if let Some(attempt) = self.record.attempts.iter_mut().rev().find(|other| other.child.name == attempt) {
            attempt.container = Some(container);
        }
        // A crash right now would leave a container alone that nobody knows of.
        self.save();
    }

    fn save(&self) {
        if let Err(failure) = self.store.write(&self.record) {
            self.site.terminal.err(&failure.to_string());
        }
    }

    fn told(&mut self, key: &str, attempts: i32, problem: Option<String>) {
        self.telling = self.telling.saturating_sub(1);
        if let Some(delivery) = self.record.status.notifications.iter_mut().find(|delivery| delivery.key == key) {
            delivery.attempts = attempts;
            delivery.state = if problem.is_none() { DeliveryState::Delivered } else { DeliveryState::Failed };
            if let Some(problem) = &problem {
                self.site.terminal.err(&format!("notification {} was not delivered: {problem}", delivery.target));
            }
            delivery.message = problem;
        }
        self.save();
    }

    fn ended(&mut self, name: &str, mut outcome: Outcome) {
        self.running.remove(name);
        let Some(at) = self.record.attempts.iter().rposition(|attempt| attempt.child.name == name) else { return };
        let (task, iteration) = (self.record.attempts[at].task.clone(), self.record.attempts[at].iteration);
        if iteration.is_none() {
            self.keep_output(&task, &mut outcome);
        } else {
            self.site.display.iteration(&self.prefix, &task, iteration.unwrap_or_default(), &outcome);
        }
        outcome.message = self.site.terminal.hidden().text(&outcome.message).into_owned();
        let attempt = &mut self.record.attempts[at];
        attempt.container = None;
        attempt.end = Some(outcome.record());
    }

    /// What a task says is kept, unless all tasks together say too much. Values of iterations are for nobody.
    fn keep_output(&mut self, task: &str, outcome: &mut Outcome) {
        let size = |values: &BTreeMap<String, serde_json::Value>| values.values().map(values::size).sum::<usize>();
        let others = self.record.outputs.iter().filter(|(name, _)| *name != task).map(|(_, output)| size(&output.values)).sum();
        if let Err(error) = values::check_run(others, size(&outcome.values)) {
            *outcome = Outcome::refused(error.termination_code(), error.to_string());
        }
        let output = self.record.outputs.entry(task.to_string()).or_default();
        output.values = Arc::new(outcome.values.clone());
        output.rows = outcome.rows.take().map(Arc::new);
    }
}
