//! RUNNING: carries out what the schedule decides. The schedule is pure; here its actions become tasks, timers and events.

mod widening;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use floe_crds::{
    pipeline::Mode,
    state::{FailureClass, FlowState, UpdateState},
};
use floe_graph::{
    graph::{ResolvedFlow, ResolvedKind},
    name::DatasetName,
    plan::UpdatePlan,
    schedule::{Action, Outcome, Part, RetryPolicy, Schedule, ScheduledFlow},
};
use rand::Rng;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;
use widening::UnderWay;

use super::{
    Resolved,
    altering::Altering,
    continuous::{Rhythm, is_continuous},
    tables::Tables,
    widen::{EndedWidening, Widening},
};
use crate::{
    commit::{TargetTable, transaction::METADATA_CHANGED},
    event_log::{event::Subject, flows::FlowEvents, message::Retry},
    execute::{
        Execution, FlowRun, Round, StopSignal,
        progress::{FlowFailure, FlowNotice, FlowResult, Observer, RefreshType},
    },
    failure::Failure,
    settings::RunSettings,
    storage::layout,
};

/// How often the stop signal is looked at.
const STOP_POLL: Duration = Duration::from_millis(50);

/// How all flows of an update ended.
pub struct Ended {
    pub state: UpdateState,
    pub flows: BTreeMap<String, EndedFlow>,
    /// Tables of the update, with the newest versions that were seen.
    pub tables: Tables,
}

/// How one flow ended.
#[derive(Default)]
pub struct EndedFlow {
    pub state: Option<FlowState>,
    /// Sum over all attempts of the flow.
    pub result: FlowResult,
    pub failure: Option<FlowFailure>,
    pub duration: Duration,
}

impl Ended {
    /// True if any table has a new version.
    pub fn wrote(&self) -> bool {
        self.flows.values().any(|flow| flow.result.batches > 0)
    }
}

/// Runs the selected flows of `plan` to their ends.
pub async fn run(
    execution: Execution,
    (resolved, plan): (&Resolved, &UpdatePlan),
    events: &Arc<FlowEvents>,
    settings: &RunSettings,
    altering: Altering,
) -> Ended {
    let (tell, told) = unbounded_channel();
    let watch = Watch { events: Arc::clone(events), advanced: tell };
    let execution = Execution { observer: Arc::new(watch), ..execution };
    let schedule = Schedule::new(
        scheduled(resolved, plan, settings.development || resolved.project.spec.development),
        max_concurrent(resolved, settings),
        retry_policy(resolved, settings),
    );
    let rhythm = is_continuous(settings, &resolved.project).then(|| Rhythm::of(resolved));
    let runs = resolved.graph.flows.iter().map(|flow| (flow.name.clone(), Arc::new(flow.clone()))).collect();
    let widening = Widening::new(resolved, plan, altering);
    let driver = Driver {
        schedule,
        tables: execution.tables.as_ref().clone(),
        execution: Arc::new(execution),
        events: Arc::clone(events),
        runs,
        widening,
        under_way: None,
        widenings: JoinSet::new(),
        waiting: Vec::new(),
        altered: BTreeMap::new(),
        starts: 0,
        tasks: JoinSet::new(),
        timers: JoinSet::new(),
        rhythm,
        flows: BTreeMap::new(),
        stop: settings.stop.clone(),
        stop_within: settings.stop_within,
        stopping_since: None,
        finished: None,
    };
    driver.run(told).await
}

/// `pipelines.maxFlowRetryAttempts`; a negative number is unlimited. What is no number was refused before.
fn retry_setting(settings: &BTreeMap<String, String>) -> Option<i64> {
    let (_, value) = settings.iter().find(|(key, _)| key.eq_ignore_ascii_case("pipelines.maxFlowRetryAttempts"))?;
    value.trim().parse().ok()
}

fn scheduled(resolved: &Resolved, plan: &UpdatePlan, development: bool) -> Vec<ScheduledFlow> {
    let part = |flow: &ResolvedFlow| {
        let is = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(&flow.name));
        let is_reset = plan.resets.iter().any(|reset| reset.flows.iter().any(|name| name.eq_ignore_ascii_case(&flow.name)));
        match flow.kind {
            _ if !is(&plan.selected) => Part::Excluded,
            _ if flow.kind.is_once() && is(&resolved.stored.completed_once) && !is_reset => Part::Idle,
            ResolvedKind::Complete => Part::Planned,
            _ if flow.kind.is_once() => Part::Planned,
            _ => Part::Streamed,
        }
    };
    let own_retries =
        |flow: &ResolvedFlow| retry_setting(&flow.settings).map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)).filter(|_| !development);
    let flow = |flow: &ResolvedFlow| ScheduledFlow {
        name: flow.name.clone(),
        upstream: flow.upstream.clone(),
        part: part(flow),
        max_retries: own_retries(flow),
        lane: flow.kind.auto_cdc().map(|_| flow.target.key()),
    };
    resolved.graph.flows.iter().map(flow).collect()
}

/// `maxConcurrentFlows`, or twice the processors, from 2 to 16.
fn max_concurrent(resolved: &Resolved, settings: &RunSettings) -> usize {
    match usize::try_from(resolved.project.spec.max_concurrent_flows) {
        Ok(given) if given > 0 => given,
        _ => (settings.settings.parallelism * 2).clamp(2, 16),
    }
}

fn retry_policy(resolved: &Resolved, settings: &RunSettings) -> RetryPolicy {
    let spec = &resolved.project.spec;
    let policy = &spec.retry_policy;
    let development = settings.development || spec.development;
    // A continuous update does not begin anew because one of its flows met a transient failure: that flow has the retries of both.
    let is_unlimited = is_continuous(settings, &resolved.project) && policy.update_retries(Mode::Continuous).is_none();
    let given = || if is_unlimited { None } else { policy.flow_retries() };
    let max_retries = retry_setting(&resolved.project.input.configuration).map_or_else(given, |limit| u32::try_from(limit).ok());
    let seconds = |n: i32| u64::try_from(n).unwrap_or_default() * 1000;
    RetryPolicy {
        max_retries: if development { Some(0) } else { max_retries },
        min_backoff_ms: seconds(policy.min_backoff_seconds),
        max_backoff_ms: seconds(policy.max_backoff_seconds),
    }
}

/// Forwards notices to the event log, and tells the driver when a materialized view begins to compute or an idle flow has found something.
struct Watch {
    events: Arc<FlowEvents>,
    advanced: UnboundedSender<String>,
}

impl Observer for Watch {
    fn notice(&self, flow: &str, notice: FlowNotice) {
        let works = match &notice {
            FlowNotice::Planned(plan) => plan.chosen != RefreshType::NoOp,
            FlowNotice::Working | FlowNotice::Warning { .. } | FlowNotice::Cleaned { .. } => true,
            _ => false,
        };
        self.events.notice(flow, notice);
        if works {
            // The driver is gone only when the update has ended.
            let _ = self.advanced.send(flow.to_string());
        }
    }
}

struct Driver {
    schedule: Schedule,
    execution: Arc<Execution>,
    events: Arc<FlowEvents>,
    runs: BTreeMap<String, Arc<ResolvedFlow>>,
    widening: Widening,
    /// Tables are being altered.
    under_way: Option<UnderWay>,
    widenings: JoinSet<EndedWidening>,
    /// Attempts that ended meanwhile, whose meaning is known when it is over.
    waiting: Vec<Attempted>,
    /// Per table that got columns or wider types while flows ran: how many attempts had started by then.
    altered: BTreeMap<DatasetName, u64>,
    /// Attempts that were started.
    starts: u64,
    tables: Tables,
    tasks: JoinSet<Attempted>,
    timers: JoinSet<Due>,
    /// Set in a continuous update.
    rhythm: Option<Rhythm>,
    flows: BTreeMap<String, EndedFlow>,
    stop: StopSignal,
    /// How long flows that run may go on after the stop signal.
    stop_within: Option<Duration>,
    stopping_since: Option<Instant>,
    finished: Option<UpdateState>,
}

/// A wait that is over.
enum Due {
    Retry(String),
    Look { flow: String, round: u64 },
}

/// One attempt of a flow, ended.
struct Attempted {
    flow: String,
    /// How many attempts had started before.
    number: u64,
    duration: Duration,
    outcome: Result<FlowResult, FlowFailure>,
    /// Tables that the flow opened again, because another program had changed their metadata.
    reopened: Tables,
}

impl Attempted {
    fn is_behind(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|result| result.wider.is_some())
    }
}

impl Driver {
    async fn run(mut self, mut told: UnboundedReceiver<String>) -> Ended {
        for (name, flow) in &self.runs {
            let subject = Subject::flow(name.clone(), String::new(), flow.target.to_string());
            self.events.know(Subject { flow_id: None, ..subject });
        }
        let actions = self.first_actions();
        self.carry_out(actions);
        let mut poll = tokio::time::interval(STOP_POLL);
        while self.finished.is_none() {
            self.events.turned();
            let actions = tokio::select! {
                // A flow says that it works before it ends.
                biased;
                Some(flow) = told.recv() => self.schedule.advanced(&flow, FlowState::Running),
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(ended) => self.attempted(ended),
                    Err(_) => Vec::new(),
                },
                Some(ended) = self.widenings.join_next() => self.widened(ended),
                Some(Ok(due)) = self.timers.join_next() => match due {
                    Due::Retry(flow) => self.schedule.retry_due(&flow),
                    Due::Look { flow, round } => self.schedule.look_due(&flow, round),
                },
                _ = poll.tick() => self.look_for_stop(),
            };
            self.carry_out(actions);
        }
        let state = self.finished.unwrap_or(UpdateState::Failed);
        Ended { state, flows: self.flows, tables: self.tables }
    }

    /// The first flows start, unless the update was stopped while its tables were set up: these may not be what flows expect.
    fn first_actions(&mut self) -> Vec<Action> {
        let mut actions = self.schedule.start();
        if self.stop.is_requested() {
            actions.retain(|action| !matches!(action, Action::Start { .. }));
            actions.extend(self.schedule.stop());
            for flow in self.schedule.active() {
                actions.extend(self.schedule.ended(&flow, Outcome::Stopped));
            }
        }
        actions
    }

    /// After the stop signal nothing new begins; what still runs when its time is over is given up, as if the process had died.
    fn look_for_stop(&mut self) -> Vec<Action> {
        if !self.stop.is_requested() {
            return Vec::new();
        }
        let since = *self.stopping_since.get_or_insert_with(Instant::now);
        let mut actions = self.schedule.stop();
        if self.stop_within.is_some_and(|within| since.elapsed() >= within) {
            self.tasks.abort_all();
            self.widenings.abort_all();
            for flow in self.schedule.active() {
                actions.extend(self.schedule.ended(&flow, Outcome::Stopped));
            }
        }
        actions
    }

    /// Tables as flows have opened them again. A widening may have altered one after that: its handle is the newer one.
    fn take_reopened(&mut self, reopened: Tables) {
        for (name, table) in reopened {
            let is_newer = |known: &Arc<TargetTable>| known.id() == table.id() && known.version() > table.version();
            if !self.tables.get(&name).is_some_and(is_newer) {
                self.tables.insert(name, table);
            }
        }
    }

    fn attempt_ended(&mut self, ended: Attempted) -> Vec<Action> {
        let Attempted { flow: name, number, duration, outcome, reopened } = ended;
        self.take_reopened(reopened);
        if let Err(failed) = &outcome
            && self.has_outrun(&name, number, failed)
        {
            if self.stop.is_requested() {
                let outcome = Ok(FlowResult { stopped: true, ..failed.done.as_ref().clone() });
                return self.attempt_ended(Attempted { flow: name, number, duration, outcome, reopened: Tables::new() });
            }
            let flow = self.flows.entry(name.clone()).or_default();
            flow.result = flow.result.followed_by(&failed.done);
            flow.duration += duration;
            self.start(&name);
            return Vec::new();
        }
        let flow = self.flows.entry(name.clone()).or_default();
        flow.duration += duration;
        let outcome = match outcome {
            Ok(result) => {
                let stays = self.rhythm.as_ref().is_some_and(|rhythm| rhythm.keeps_alive(&name));
                let outcome = match stays {
                    _ if result.stopped => Outcome::Stopped,
                    true => Outcome::CaughtUp { worked: result.batches > 0 },
                    false => Outcome::Completed,
                };
                flow.result = flow.result.followed_by(&result);
                flow.failure = None;
                outcome
            }
            Err(failed) => {
                let transient = failed.failure.class == FailureClass::Transient;
                flow.result = flow.result.followed_by(&failed.done);
                flow.failure = Some(failed);
                Outcome::Failed { transient, jitter: rand::rng().random_range(-0.2..=0.2) }
            }
        };
        self.schedule.ended(&name, outcome)
    }

    /// True if the attempt met a table that this update has altered since the attempt started: it starts again with the table as it is now.
    fn has_outrun(&self, name: &str, number: u64, failed: &FlowFailure) -> bool {
        let Some(flow) = self.runs.get(name).filter(|_| failed.failure.error == METADATA_CHANGED) else { return false };
        self.tables_of(flow).keys().any(|table| self.altered.get(table).is_some_and(|started| number < *started))
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start { flow, .. } => self.start(&flow),
                Action::Report { flow, state } => self.report(&flow, state),
                Action::RetryLater { flow, attempt, attempts, after_ms } => {
                    let retry = Retry { delay_seconds: after_ms.div_ceil(1000), attempt, attempts };
                    self.report_failure(&flow, Some(retry));
                    self.wait(Duration::from_millis(after_ms), Due::Retry(flow));
                }
                Action::LookAgain { flow, round } => {
                    let pause = self.rhythm.as_ref().map(|rhythm| rhythm.pause(&flow)).unwrap_or_default();
                    self.wait(pause, Due::Look { flow, round });
                }
                Action::Failed { flow } => self.report_failure(&flow, None),
                Action::Skipped { flow, roots } => {
                    self.flows.entry(flow.clone()).or_default().state = Some(FlowState::Skipped);
                    self.events.skipped(&flow, &roots);
                }
                Action::Held { flow, roots } => self.events.held(&flow, &roots),
                Action::StopRunning => self.stop.request(),
                Action::Finish { state } => self.finished = Some(state),
            }
        }
    }

    fn wait(&mut self, pause: Duration, due: Due) {
        self.timers.spawn(async move {
            tokio::time::sleep(pause).await;
            due
        });
    }

    fn report(&mut self, name: &str, state: FlowState) {
        let flow = self.flows.entry(name.to_string()).or_default();
        flow.state = Some(state);
        // A flow that was stopped before it started has no result.
        let has_result = flow.failure.is_none() && (state == FlowState::Completed || (state == FlowState::Stopped && flow.result.stopped));
        match state {
            FlowState::Idle => self.events.idle(name),
            _ if has_result => self.events.ended(name, &flow.result),
            _ => self.events.state(name, state),
        }
    }

    fn report_failure(&mut self, name: &str, retry: Option<Retry>) {
        let flow = self.flows.entry(name.to_string()).or_default();
        flow.state = Some(FlowState::Failed);
        if let Some(failed) = &flow.failure {
            self.events.failed(name, failed, retry);
        }
    }

    fn start(&mut self, name: &str) {
        let Some(flow) = self.runs.get(name) else { return };
        let execution = Arc::clone(&self.execution);
        let is_view = flow.kind == ResolvedKind::Complete;
        let failed = self.flows.get(name).and_then(|flow| flow.failure.as_ref());
        let has_changed = failed.is_some_and(|failed| failed.failure.error == METADATA_CHANGED);
        let (started_flow, flow, tables) = (name.to_string(), Arc::clone(flow), self.tables_of(flow));
        let round = match &mut self.rhythm {
            None => Round::Only,
            Some(rhythm) => {
                rhythm.begins(name);
                if self.schedule.state(name) == Some(FlowState::Idle) { Round::Later } else { Round::First }
            }
        };
        // The first round may have replaced the columns.
        let number = self.starts;
        self.starts += 1;
        let is_stale = has_changed || (round == Round::Later && tables.values().any(|table| table.is_replaced()));
        self.tasks.spawn(async move {
            let started = Instant::now();
            // The flow runs in a task of its own, so that a panic in it is a failed flow and not the end of the update.
            let task = tokio::spawn(async move { Box::pin(run_one(&execution, (flow, round), tables, is_stale)).await });
            let ended = AbortOnDropHandle::new(task).await;
            let panicked = |panicked| (Err(Failure::internal("the flow panicked").caused_by(panicked).into()), Tables::new());
            let (outcome, reopened) = ended.unwrap_or_else(panicked);
            Attempted { flow: started_flow, number, duration: started.elapsed(), outcome, reopened }
        });
        if !is_view && round != Round::Later {
            let actions = self.schedule.advanced(name, FlowState::Running);
            self.carry_out(actions);
        }
    }

    /// Target, quarantine table and journal of a flow, as far as it has them.
    fn tables_of(&self, flow: &ResolvedFlow) -> Tables {
        let quarantine = self.execution.graph.datasets.get(&flow.target).and_then(|dataset| dataset.quarantine.clone());
        let names = [Some(flow.target.clone()), quarantine, Some(layout::journal_name(&flow.target))].into_iter().flatten();
        names.filter_map(|name| Some((name.clone(), Arc::clone(self.tables.get(&name)?)))).collect()
    }
}

/// Runs a flow once into `tables`, which are opened again before if they `are_stale`: those that were opened come back.
async fn run_one(
    execution: &Execution,
    (flow, round): (Arc<ResolvedFlow>, Round),
    mut tables: Tables,
    are_stale: bool,
) -> (Result<FlowResult, FlowFailure>, Tables) {
    if are_stale {
        match reopened(&tables).await {
            Ok(opened) => tables = opened,
            Err(failure) => return (Err(failure.into()), Tables::new()),
        }
    }
    let Some(target) = tables.get(&flow.target).map(Arc::clone) else {
        return (Err(Failure::internal(format!("the table {} was not set up", flow.target)).into()), Tables::new());
    };
    let journal_name = layout::journal_name(&flow.target);
    let journal = tables.get(&journal_name).map(Arc::clone);
    let quarantine = tables.iter().find(|(name, _)| **name != flow.target && **name != journal_name).map(|(_, table)| Arc::clone(table));
    let outcome = execution.run_flow(&FlowRun { flow, target, quarantine, journal, round }).await;
    (outcome, if are_stale { tables } else { Tables::new() })
}

async fn reopened(tables: &Tables) -> Result<Tables, Failure> {
    let mut opened = Tables::new();
    for (name, table) in tables {
        opened.insert(name.clone(), Arc::new(table.reopened().await?));
    }
    Ok(opened)
}
