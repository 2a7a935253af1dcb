//! Carries out what the scheduler says: starts flows as tasks, waits before retries, tells the event log, until every flow has ended.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use floe_crds::state::{FailureClass, FlowState, UpdateState};
use floe_graph::{
    definition::FlowKind,
    graph::{ResolvedFlow, ResolvedGraph},
    plan::UpdatePlan,
    schedule::{Action, Outcome, Part, RetryPolicy, Schedule, ScheduledFlow},
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::{Update, setup::Tables, summary, time_zone};
use crate::{
    event_log::{event::Subject, flows::FlowEvents, message::Retry},
    execute::{
        Execution, FlowRun, StopSignal,
        expectation::DataQuality,
        progress::{FlowFailure, FlowNotice, FlowResult, Observer, RefreshType},
    },
    failure::Failure,
    observe::CONCURRENT_LOOKS,
    project::Project,
    session::{Session, SessionLimits},
    state::{Checkpoint, view},
    storage::Storage,
};

/// How often a request to stop is looked for.
const STOP_POLL: Duration = Duration::from_millis(100);
/// Waits before retries differ by up to this part, so that flows do not come back at the same moment.
const JITTER: f64 = 0.2;

/// What running flows need.
pub(super) struct Context<'a> {
    pub update: &'a Update,
    pub project: &'a Project,
    pub graph: &'a Arc<ResolvedGraph>,
    pub plan: &'a UpdatePlan,
    /// ONCE flows that had run in their generation before this update.
    pub completed_once: &'a [String],
    pub development: bool,
}

/// What became of the flows.
pub(super) struct Ended {
    pub state: UpdateState,
    pub stopped: bool,
    pub states: BTreeMap<String, FlowState>,
    pub flows: BTreeMap<String, FlowEnd>,
    /// Root failures in the order in which they happened.
    pub failures: Vec<Failure>,
}

/// The end of one flow that was started.
#[derive(Default)]
pub(super) struct FlowEnd {
    pub result: Option<FlowResult>,
    pub quality: DataQuality,
    pub duration_ms: u64,
}

/// Runs the flows of the plan.
pub(super) async fn run(context: Context<'_>, tables: &Tables) -> Result<Ended, Failure> {
    let update = context.update;
    let events = Arc::new(FlowEvents::new(update.log.clone()));
    let runs = flow_runs(&context, tables, &events).await?;
    let schedule = Arc::new(Mutex::new(schedule(&context)));
    let (sender, messages) = mpsc::unbounded_channel();
    let stop = StopSignal::default();
    let execution = execution(&context, tables, Watcher { schedule: Arc::clone(&schedule), events: Arc::clone(&events) }, stop.clone())?;
    let driver =
        Driver { schedule, events, execution: Arc::new(execution), runs, sender, stop, flows: BTreeMap::new(), failures: Vec::new() };
    Box::pin(driver.run(messages, &context)).await
}

fn execution(context: &Context<'_>, tables: &Tables, watcher: Watcher, stop: StopSignal) -> Result<Execution, Failure> {
    let Context { update, project, graph, .. } = context;
    let settings = &update.settings.settings;
    let limits = SessionLimits { memory_bytes: settings.memory_bytes, spill_directory: None, parallelism: settings.parallelism.max(1) };
    let sample = project.input.configuration.iter().find(|(key, _)| key.eq_ignore_ascii_case("pipelines.expectations.sampleRecords"));
    Ok(Execution {
        session: Session::new(&limits)?,
        storage: update.storage.clone(),
        graph: Arc::clone(graph),
        pipeline_id: update.catalog.pipeline_id.clone(),
        update_id: update.report.update_id.clone(),
        observer: Arc::new(watcher),
        stop,
        tables: Arc::new(tables.all.clone()),
        project: project.root.clone(),
        time_zone: time_zone(&project.input),
        sample_records: sample.is_none_or(|(_, value)| !value.eq_ignore_ascii_case("false")),
    })
}

/// Every flow with its tables and the id of its incremental life.
async fn flow_runs(context: &Context<'_>, tables: &Tables, events: &FlowEvents) -> Result<BTreeMap<String, FlowRun>, Failure> {
    let storage = &context.update.storage;
    let selected = |flow: &&ResolvedFlow| context.plan.selected.contains(&flow.name);
    let look = |flow: &ResolvedFlow| {
        let flow = Arc::new(flow.clone());
        async move {
            let id = flow_id(storage, &flow).await?;
            Ok::<_, Failure>((flow, id))
        }
    };
    let looks: Vec<_> = context.graph.flows.iter().filter(selected).map(look).collect();
    let found: Vec<(Arc<ResolvedFlow>, String)> = stream::iter(looks).buffered(CONCURRENT_LOOKS).try_collect().await?;
    let mut runs = BTreeMap::new();
    for (flow, flow_id) in found {
        let missing = || Failure::internal(format!("the table of flow {} was not set up", flow.name));
        let target = Arc::clone(tables.all.get(&flow.target).ok_or_else(missing)?);
        let quarantine = context.graph.datasets.get(&flow.target).and_then(|dataset| dataset.quarantine.as_ref());
        let quarantine = quarantine.and_then(|name| tables.all.get(name)).map(Arc::clone);
        events.know(Subject { table_id: Some(target.id().to_string()), ..Subject::flow(&flow.name, &flow_id, flow.target.to_string()) });
        runs.insert(flow.name.clone(), FlowRun { flow, flow_id, target, quarantine });
    }
    for flow in context.graph.flows.iter().filter(|flow| !runs.contains_key(&flow.name)) {
        let subject = Subject { flow_name: Some(flow.name.clone()), ..Subject::dataset(flow.target.to_string()) };
        events.know(subject);
    }
    Ok(runs)
}

/// `flow_id` of the event log; that of a stream becomes durable before its first batch.
async fn flow_id(storage: &Storage, flow: &ResolvedFlow) -> Result<String, Failure> {
    if flow.kind == FlowKind::Complete {
        let position = view::read(storage, &flow.name).await?;
        return Ok(position.map_or_else(uuid::Uuid::new_v4, |position| position.flow_id).to_string());
    }
    let mut checkpoint = Checkpoint::open(storage, &flow.name).await?;
    checkpoint.begin().await?;
    Ok(checkpoint.flow_id().to_string())
}

fn schedule(context: &Context<'_>) -> Schedule {
    let is_reset = |flow: &ResolvedFlow| context.plan.resets.iter().any(|reset| reset.flows.contains(&flow.name));
    let part = |flow: &ResolvedFlow| {
        if !context.plan.selected.contains(&flow.name) {
            Part::Excluded
        } else if context.completed_once.contains(&flow.name) && !is_reset(flow) {
            Part::Idle
        } else if flow.kind == FlowKind::Append {
            Part::Streamed
        } else {
            Part::Planned
        }
    };
    let flows = context.graph.flows.iter().map(|flow| ScheduledFlow {
        name: flow.name.clone(),
        upstream: flow.upstream.clone(),
        part: part(flow),
        max_retries: own_retries(flow).filter(|_| !context.development),
    });
    Schedule::new(flows.collect(), max_concurrent(context), retry_policy(context))
}

/// `SET pipelines.maxFlowRetryAttempts` of a flow; −1 = unlimited.
fn own_retries(flow: &ResolvedFlow) -> Option<u32> {
    let own = flow.settings.iter().find(|(key, _)| key.eq_ignore_ascii_case("pipelines.maxFlowRetryAttempts"));
    own.and_then(|(_, value)| value.trim().parse::<i64>().ok()).map(|retries| u32::try_from(retries).unwrap_or(u32::MAX))
}

fn max_concurrent(context: &Context<'_>) -> usize {
    match usize::try_from(context.project.spec.max_concurrent_flows) {
        Ok(0) | Err(_) => (2 * context.update.settings.settings.parallelism).clamp(2, 16),
        Ok(given) => given,
    }
}

fn retry_policy(context: &Context<'_>) -> RetryPolicy {
    let policy = &context.project.spec.retry_policy;
    let configured = context.project.input.configuration.iter().find(|(key, _)| key.eq_ignore_ascii_case("pipelines.maxFlowRetryAttempts"));
    let configured = configured.and_then(|(_, value)| value.trim().parse::<i64>().ok());
    let seconds = |seconds: i32| u64::try_from(seconds).unwrap_or(0) * 1000;
    let max_retries = match configured {
        _ if context.development => Some(0),
        Some(retries) => u32::try_from(retries).ok(),
        None => policy.flow_retries(),
    };
    RetryPolicy { max_retries, min_backoff_ms: seconds(policy.min_backoff_seconds), max_backoff_ms: seconds(policy.max_backoff_seconds) }
}

/// Stands between running flows and the event log: the first sign of life of a flow moves it to RUNNING.
struct Watcher {
    schedule: Arc<Mutex<Schedule>>,
    events: Arc<FlowEvents>,
}

impl Observer for Watcher {
    fn notice(&self, flow: &str, notice: FlowNotice) {
        let planned = if let FlowNotice::Planned(plan) = &notice { Some(plan.chosen) } else { None };
        if planned.is_none() {
            self.running(flow);
        }
        self.events.notice(flow, notice);
        if planned == Some(RefreshType::CompleteRecompute) {
            self.running(flow);
        }
    }
}

impl Watcher {
    fn running(&self, flow: &str) {
        for action in lock(&self.schedule).advanced(flow, FlowState::Running) {
            if let Action::Report { flow, state } = action {
                self.events.state(&flow, state);
            }
        }
    }
}

/// What tasks tell the driver.
enum Message {
    Ended { flow: String, outcome: Box<Result<FlowResult, FlowFailure>>, duration: Duration },
    RetryDue { flow: String },
}

struct Driver {
    schedule: Arc<Mutex<Schedule>>,
    events: Arc<FlowEvents>,
    execution: Arc<Execution>,
    runs: BTreeMap<String, FlowRun>,
    sender: mpsc::UnboundedSender<Message>,
    stop: StopSignal,
    flows: BTreeMap<String, FlowEnd>,
    failures: Vec<Failure>,
}

fn lock(schedule: &Mutex<Schedule>) -> MutexGuard<'_, Schedule> {
    schedule.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver {
    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>, context: &Context<'_>) -> Result<Ended, Failure> {
        let mut stopped = false;
        let mut poll = tokio::time::interval(STOP_POLL);
        let first = lock(&self.schedule).start();
        let mut finished = self.carry_out(first, None);
        while finished.is_none() {
            finished = tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.message(message),
                    None => return Err(Failure::internal("all flows are gone before they ended")),
                },
                _ = poll.tick(), if !stopped => {
                    stopped = context.update.settings.stop.is_requested();
                    let actions = if stopped { lock(&self.schedule).stop() } else { Vec::new() };
                    self.carry_out(actions, None)
                }
            };
        }
        let schedule = lock(&self.schedule);
        let states = context.graph.flows.iter().filter_map(|flow| Some((flow.name.clone(), schedule.state(&flow.name)?))).collect();
        drop(schedule);
        let state = finished.unwrap_or(UpdateState::Failed);
        Ok(Ended { state, stopped, states, flows: self.flows, failures: self.failures })
    }

    fn message(&mut self, message: Message) -> Option<UpdateState> {
        match message {
            Message::RetryDue { flow } => {
                let actions = lock(&self.schedule).retry_due(&flow);
                self.carry_out(actions, None)
            }
            Message::Ended { flow, outcome, duration } => {
                let scheduled = outcome_of(&outcome);
                let end = self.flows.entry(flow.clone()).or_default();
                end.duration_ms += summary::millis(duration);
                match outcome.as_ref() {
                    Ok(result) => {
                        end.quality.add(&result.total.data_quality);
                        end.result = Some(result.clone());
                    }
                    Err(failed) => end.quality.add(&failed.data_quality),
                }
                let actions = lock(&self.schedule).ended(&flow, scheduled);
                self.carry_out(actions, Some((flow, *outcome)))
            }
        }
    }

    /// Does what the scheduler says. `ended` is the flow whose end it speaks of: its event carries its numbers.
    fn carry_out(&mut self, actions: Vec<Action>, ended: Option<(String, Result<FlowResult, FlowFailure>)>) -> Option<UpdateState> {
        let mut ended = ended;
        let mut actions = VecDeque::from(actions);
        let mut finished = None;
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Report { flow, state } => match &ended {
                    Some((name, Ok(result))) if *name == flow && state.is_terminal() => self.events.ended(&flow, &as_ended(result, state)),
                    _ => self.events.state(&flow, state),
                },
                Action::Start { flow, .. } => self.start(flow),
                Action::RetryLater { flow, attempt, attempts, after_ms } => {
                    if let Some((_, Err(failed))) = &ended {
                        let attempts = attempts.unwrap_or(u32::MAX);
                        let retry = Retry { delay_seconds: after_ms.div_ceil(1000), attempt, attempts };
                        self.events.failed(&flow, failed, Some(retry));
                    }
                    self.retry_later(flow, after_ms);
                }
                Action::Failed { flow } => {
                    if let Some((_, Err(failed))) = ended.take() {
                        self.events.failed(&flow, &failed, None);
                        self.failures.push(failed.failure);
                    }
                }
                Action::Skipped { flow, roots } => self.events.skipped(&flow, &roots),
                Action::StopRunning => self.stop.request(),
                Action::Finish { state } => finished = Some(state),
            }
        }
        finished
    }

    fn start(&self, flow: String) {
        let sender = self.sender.clone();
        let execution = Arc::clone(&self.execution);
        let run = self.runs.get(&flow).cloned();
        tokio::spawn(async move {
            let started = Instant::now();
            let outcome = match run {
                Some(run) => {
                    // A thread of its own: between two waits a flow encodes and merges, which must not hold up timers and other flows.
                    // If it panics, the flow fails and the update goes on.
                    let runtime = tokio::runtime::Handle::current();
                    let task = tokio::task::spawn_blocking(move || runtime.block_on(execution.run_flow(&run)));
                    task.await.unwrap_or_else(|error| Err(Failure::internal(format!("the flow died: {error}")).in_flow(&flow).into()))
                }
                None => Err(Failure::internal("a flow without tables was started").in_flow(&flow).into()),
            };
            // Without a receiver the update is gone, and nobody waits for the outcome.
            let _ = sender.send(Message::Ended { flow, outcome: Box::new(outcome), duration: started.elapsed() });
        });
    }

    fn retry_later(&self, flow: String, after_ms: u64) {
        let sender = self.sender.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            let _ = sender.send(Message::RetryDue { flow });
        });
    }
}

fn outcome_of(outcome: &Result<FlowResult, FlowFailure>) -> Outcome {
    match outcome {
        Ok(FlowResult { stopped: true, .. }) => Outcome::Stopped,
        Ok(_) => Outcome::Completed,
        Err(failed) if failed.failure.class == FailureClass::Terminated => Outcome::Stopped,
        Err(failed) => {
            Outcome::Failed { transient: failed.failure.class == FailureClass::Transient, jitter: rand::random_range(-JITTER..=JITTER) }
        }
    }
}

/// The result as the scheduler sees it: a ONCE flow that turned out to have run is complete.
fn as_ended(result: &FlowResult, state: FlowState) -> FlowResult {
    FlowResult { idle: false, stopped: state == FlowState::Stopped, ..result.clone() }
}
