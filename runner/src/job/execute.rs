//! One attempt from its place in the queue to its end.

use std::{path::PathBuf, sync::Arc, time::Duration};

use floe_crds::{
    job::TaskKind,
    job_run::{Child, JobRunSpec, RunTrigger, TriggerType},
    pipeline::NameRef,
    pipeline_update::Cancel,
    run::{
        attempt::EndClass,
        parameters::child_parameters,
        scene::{Attempt, Progress},
        step::detail,
    },
    state::{RunResultState, TerminationCode},
};
use tokio::{
    sync::{OwnedMutexGuard, OwnedSemaphorePermit, mpsc, watch},
    time::Instant,
};

use super::{
    drive::{Drive, Event},
    outcome::{Outcome, exit_code},
    process, query,
    record::Record,
    site::Site,
    store::Store,
    update,
};
use crate::failure::Failure;

/// An attempt with everything that it needs.
pub struct Assignment {
    pub site: Arc<Site>,
    pub run: RunFacts,
    /// What lines about it begin with.
    pub label: String,
    /// Where it leaves logs and values.
    pub folder: PathBuf,
    pub attempt: Attempt,
    pub child: Child,
    pub stop: watch::Receiver<Cancel>,
    pub events: mpsc::UnboundedSender<Event>,
}

/// The run that an attempt belongs to.
pub struct RunFacts {
    pub job: String,
    pub job_id: String,
    pub name: String,
    pub uid: String,
    pub trigger: RunTrigger,
}

/// What an attempt holds while it runs: its Pipeline, and its place.
type Held = (Option<OwnedMutexGuard<()>>, Option<OwnedSemaphorePermit>);

/// Carries an attempt out and tells how it ended.
pub async fn carry_out(mut assignment: Assignment) {
    let outcome = match Box::pin(assignment.place()).await {
        None => Outcome::canceled(),
        Some(_held) => {
            assignment.tell(Progress::Running);
            match assignment.attempt.effective.kind {
                TaskKind::Pipeline => Box::pin(update::update(&mut assignment)).await,
                TaskKind::Sql => Box::pin(query::query(&mut assignment)).await,
                TaskKind::Container => Box::pin(process::run(&mut assignment)).await,
                TaskKind::RunJob => Box::pin(run_job(&mut assignment)).await,
                TaskKind::Condition | TaskKind::ForEach => {
                    Outcome::refused(TerminationCode::InternalError, "this task has no attempts; please report this as a bug of Floe")
                }
            }
        }
    };
    let _ = assignment.events.send(Event::Ended(assignment.attempt.name.clone(), Box::new(outcome)));
}

impl Assignment {
    pub fn tell(&self, progress: Progress) {
        let _ = self.events.send(Event::Progress(self.attempt.name.clone(), progress));
    }

    /// The place that the attempt runs in; `None` if it was stopped before it had one. A run of another Job needs none: its tasks do.
    async fn place(&mut self) -> Option<Held> {
        let site = Arc::clone(&self.site);
        let work = &self.attempt.effective.work;
        let update = work.pipeline.as_ref().and_then(|task| site.updates.get(&task.name).map(|update| (task.name.clone(), update)));
        let needs_place = self.attempt.effective.kind != TaskKind::RunJob;
        let mut held: Held = (None, None);
        if let Some((name, update)) = update {
            let waits = format!("another update of pipeline {name} is before it");
            held.0 = Some(match Arc::clone(update).try_lock_owned() {
                Ok(guard) => guard,
                Err(_) => self.unless_stopped(waits, Arc::clone(update).lock_owned()).await?,
            });
        }
        if needs_place {
            let waits = format!("waits for a place: at most {} tasks run at once (--max-parallel-tasks)", site.most);
            held.1 = match Arc::clone(&site.places).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => self.unless_stopped(waits, Arc::clone(&site.places).acquire_owned()).await?.ok(),
            };
        }
        Some(held)
    }

    async fn unless_stopped<T>(&mut self, waits: String, awaited: impl Future<Output = T>) -> Option<T> {
        self.tell(Progress::Queued(waits));
        tokio::select! {
            held = awaited => Some(held),
            _ = self.stop.wait_for(|told| *told != Cancel::None) => None,
        }
    }

    /// When the attempt has taken too long.
    pub fn deadline(&self) -> Option<Instant> {
        let seconds = u64::try_from(self.attempt.effective.timeout_seconds).unwrap_or_default();
        (seconds > 0).then(|| Instant::now() + Duration::from_secs(seconds))
    }

    /// Waits until the attempt is told to stop, or more urgently than before; never ends if nobody can tell.
    pub async fn told(&mut self) -> Cancel {
        match self.stop.changed().await {
            Ok(()) => *self.stop.borrow_and_update(),
            Err(_) => std::future::pending().await,
        }
    }

    /// The end of an attempt that has taken too long.
    pub fn timeout(&self) -> Outcome {
        Outcome::timeout(self.attempt.effective.timeout_seconds)
    }
}

/// Waits until `deadline`; for ever without one.
pub async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Runs work on a thread of its own, which blocks nobody else however long it computes.
pub async fn on_thread<T, F>(name: &str, work: impl FnOnce() -> F + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    const STACK: usize = 8 << 20;
    let (tell, told) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::Builder::new().name(name.to_string()).stack_size(STACK);
    let started = thread.spawn(move || {
        let _ = tell.send(runtime.block_on(Box::pin(work())));
    });
    started.map_err(|error| Failure::internal("the process could not start a thread").caused_by(error))?;
    told.await.map_err(|_| Failure::internal(format!("the thread of task {name} broke off")))
}

/// A run of another Job of the project.
async fn run_job(assignment: &mut Assignment) -> Outcome {
    let site = Arc::clone(&assignment.site);
    let Some(task) = assignment.attempt.effective.work.run_job.clone() else { return Outcome::success() };
    let Some(spec) = site.jobs.get(&task.name) else {
        let message = format!("{} has no job {}; {}", site.settings.project.display(), task.name, site.known("job"));
        return Outcome::refused(TerminationCode::ResourceNotFound, message);
    };
    let declared = spec.parameters.iter().map(|parameter| parameter.name.clone()).collect();
    // Those of this run were laid over those of the task already.
    let of_job = &assignment.attempt.parameters;
    let own = task.parameters.iter().filter(|(name, _)| !of_job.contains_key(*name));
    let own = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    let spec = JobRunSpec {
        job_ref: NameRef { name: task.name.clone() },
        parameters: child_parameters(of_job, &own, &declared),
        trigger: called_by(&assignment.run),
        ..JobRunSpec::default()
    };
    let record = Record::new(Some(&assignment.child), spec);
    let (tell, told) = watch::channel(Cancel::None);
    let prefix = format!("{} / ", assignment.label);
    let drive =
        Store::create(&site.root, &task.name, &record.uid).and_then(|store| Drive::new(Arc::clone(&site), store, record, told, prefix));
    let mut run = match drive {
        Ok(drive) => boxed(drive),
        Err(failure) => return Outcome::failed(&failure),
    };
    let (deadline, mut timed_out) = (assignment.deadline(), false);
    let ended = loop {
        tokio::select! {
            ended = &mut run => break ended,
            how = assignment.told() => { tell.send_replace(how); }
            () = until(deadline), if !timed_out => {
                timed_out = true;
                tell.send_replace(Cancel::Graceful);
            }
        }
    };
    match ended {
        Ok(_) if timed_out => assignment.timeout(),
        Ok(record) => of_run(&record),
        Err(failure) => Outcome::failed(&failure),
    }
}

/// A run within a run: its type would hold itself.
fn boxed(drive: Drive) -> std::pin::Pin<Box<dyn Future<Output = Result<Record, Failure>> + Send>> {
    Box::pin(drive.finish())
}

/// The trigger of a run that a task of `run` makes.
fn called_by(run: &RunFacts) -> RunTrigger {
    let is_called = run.trigger.trigger_type == TriggerType::RunJobTask;
    let before = run.trigger.detail.get(detail::PARENTS).filter(|_| is_called).map(|parents| format!("{parents},")).unwrap_or_default();
    let parents = format!("{before}{}", run.job);
    RunTrigger { trigger_type: TriggerType::RunJobTask, detail: [(detail::PARENTS.to_string(), parents)].into(), ..RunTrigger::default() }
}

fn of_run(record: &Record) -> Outcome {
    let status = &record.status;
    let code = status.termination_code.unwrap_or(TerminationCode::RunExecutionError);
    let message = format!("run {}: {}", record.name, status.message.as_deref().unwrap_or("failed"));
    match status.result_state {
        Some(result) if result.is_success() => Outcome::success(),
        Some(RunResultState::Canceled) => Outcome::canceled(),
        _ if code == TerminationCode::TransientError => Outcome::new(EndClass::Transient, code, message, exit_code(record)),
        _ => Outcome::new(EndClass::Failure, code, message, exit_code(record)),
    }
}
