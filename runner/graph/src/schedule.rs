//! The scheduler of one update: which flow starts when, what is retried, what is skipped. It changes its own state and returns actions;
//! the caller carries them out and tells what became of them.
//!
//! A flow of a continuous update is started again and again, one round at a time: the caller says that it has caught up, and when its pause
//! is over.

use std::collections::{BTreeMap, BTreeSet};

use floe_crds::state::{FlowState, UpdateState};

#[cfg(test)]
mod tests;

/// Retries of one flow: only for failures that another attempt may not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// `None` = unlimited.
    pub max_retries: Option<u32>,
    /// Wait before the first retry, in milliseconds; doubles with each.
    pub min_backoff_ms: u64,
    /// Longest wait before a retry, in milliseconds.
    pub max_backoff_ms: u64,
}

impl RetryPolicy {
    /// The wait before retry `retry` (0, 1, …): doubled each time, bounded, changed by `jitter`.
    fn backoff_ms(&self, retry: u32, jitter: f64) -> u64 {
        let factor = 1_u64.checked_shl(retry).unwrap_or(u64::MAX);
        let wait = self.min_backoff_ms.saturating_mul(factor).min(self.max_backoff_ms);
        (wait as f64 * (1.0 + jitter.clamp(-0.2, 0.2))) as u64
    }
}

/// One flow of the graph as the scheduler sees it.
#[derive(Clone, Debug)]
pub struct ScheduledFlow {
    /// Name of the flow.
    pub name: String,
    /// Flows that write one of its inputs.
    pub upstream: Vec<String>,
    /// What it does in this update.
    pub part: Part,
    /// The flow's own limit of retries; `None`: that of the schedule.
    pub max_retries: Option<u32>,
    /// Flows of one lane never run at the same time, and each has its first turn after those before it in the list.
    pub lane: Option<String>,
}

/// What a flow does in this update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Finds out first what there is to do (materialized view, ONCE).
    Planned,
    /// Starts at once (streaming).
    Streamed,
    /// A ONCE flow that has run in this generation.
    Idle,
    /// Not selected.
    Excluded,
}

/// How a started flow ended.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the text of the variant says what its fields are")]
pub enum Outcome {
    /// Everything there was to do is committed, and nothing more comes.
    Completed,
    /// Everything there was to do is committed, and the flow will look for more. `worked`: there was something.
    CaughtUp { worked: bool },
    /// It stopped on request, between two micro-batches.
    Stopped,
    /// `transient`: another attempt may not meet it. `jitter` in −0.2..=0.2 changes the wait before that.
    Failed { transient: bool, jitter: f64 },
}

/// What the caller must do next, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant says what its fields are")]
pub enum Action {
    /// Tell that the flow is in this state.
    Report { flow: String, state: FlowState },
    /// Start the flow; `attempt` counts from 1.
    Start { flow: String, attempt: u32 },
    /// Tell that the flow has FAILED and will be tried again; call [`Schedule::retry_due`] after the wait.
    RetryLater { flow: String, attempt: u32, attempts: Option<u32>, after_ms: u64 },
    /// Tell that the flow has FAILED finally.
    Failed { flow: String },
    /// Tell that the flow is SKIPPED because these flows failed.
    Skipped { flow: String, roots: Vec<String> },
    /// Tell that the IDLE flow keeps what it has, because these flows, which feed it, failed finally.
    Held { flow: String, roots: Vec<String> },
    /// Call [`Schedule::look_due`] with these values after the pause of the flow.
    LookAgain { flow: String, round: u64 },
    /// Ask all running flows to stop after their micro-batch.
    StopRunning,
    /// All flows have ended.
    Finish { state: UpdateState },
}

/// True if a flow in state `from` (`None`: not yet seen) may come to `to`.
fn is_allowed(from: Option<FlowState>, to: FlowState) -> bool {
    from.map_or_else(|| FlowState::INITIAL.contains(&to), |from| from.may_become(to))
}

/// The schedule of one update.
#[derive(Debug)]
pub struct Schedule {
    flows: Vec<Node>,
    index: BTreeMap<String, usize>,
    ready: BTreeSet<usize>,
    /// Flows that do not start for now.
    held: BTreeSet<usize>,
    max_concurrent: usize,
    running: usize,
    ended: usize,
    retry: RetryPolicy,
    stopping: bool,
    finished: bool,
}

#[derive(Debug)]
struct Node {
    name: String,
    part: Part,
    state: Option<FlowState>,
    upstream: BTreeSet<usize>,
    downstream: Vec<usize>,
    /// Upstream flows whose end, or the end of whose round, comes first.
    waiting_for: BTreeSet<usize>,
    /// The other flows of its lane.
    lane: Vec<usize>,
    /// A round of it has ended well.
    had_turn: bool,
    /// Starts since it last ended well.
    attempts: u32,
    /// Starts at all.
    round: u64,
    max_retries: Option<u32>,
    pause: Pause,
    /// Flows that failed while this one, which they feed, was in a round.
    held_by: Vec<String>,
    /// Started and not yet ended.
    active: bool,
    /// In a terminal state.
    ended: bool,
}

/// How an idle flow waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// The interval since its last work is not over.
    Resting,
    /// It looks for more as soon as there may be some.
    Rested,
    /// It looks next.
    Due,
}

impl Schedule {
    /// A schedule of `flows`, which come in topological order; at most `max_concurrent` (at least 1) run at once.
    pub fn new(flows: Vec<ScheduledFlow>, max_concurrent: usize, retry: RetryPolicy) -> Self {
        let index: BTreeMap<String, usize> = flows.iter().enumerate().map(|(at, flow)| (flow.name.to_lowercase(), at)).collect();
        let mut downstream = vec![Vec::new(); flows.len()];
        let mut upstream = Vec::with_capacity(flows.len());
        for (at, flow) in flows.iter().enumerate() {
            let mut up: BTreeSet<usize> = flow.upstream.iter().filter_map(|name| index.get(&name.to_lowercase()).copied()).collect();
            // Two flows may write into each other's inputs only through a cycle, which resolution refuses; a flow never waits for itself.
            up.remove(&at);
            for up in &up {
                downstream[*up].push(at);
            }
            upstream.push(up);
        }
        let lanes: Vec<Option<String>> = flows.iter().map(|flow| flow.lane.clone()).collect();
        let node = |((flow, downstream), upstream): ((ScheduledFlow, Vec<usize>), BTreeSet<usize>)| Node {
            name: flow.name,
            lane: Vec::new(),
            had_turn: false,
            part: flow.part,
            state: None,
            waiting_for: upstream.clone(),
            upstream,
            downstream,
            attempts: 0,
            round: 0,
            max_retries: flow.max_retries.or(retry.max_retries),
            pause: Pause::Resting,
            held_by: Vec::new(),
            active: false,
            ended: false,
        };
        let mut flows: Vec<Node> = flows.into_iter().zip(downstream).zip(upstream).map(node).collect();
        for (at, node) in flows.iter_mut().enumerate().filter(|(at, _)| lanes[*at].is_some()) {
            node.lane = (0..lanes.len()).filter(|other| *other != at && lanes[*other] == lanes[at]).collect();
        }
        Self {
            flows,
            index,
            ready: BTreeSet::new(),
            held: BTreeSet::new(),
            max_concurrent: max_concurrent.max(1),
            running: 0,
            ended: 0,
            retry,
            stopping: false,
            finished: false,
        }
    }

    /// The state of a flow, if it is known and was reported.
    pub fn state(&self, flow: &str) -> Option<FlowState> {
        self.at(flow).and_then(|at| self.flows[at].state)
    }

    /// Flows that were started and have not ended.
    pub fn active(&self) -> Vec<String> {
        self.flows.iter().filter(|node| node.active).map(|node| node.name.clone()).collect()
    }

    /// Flows that have not ended.
    pub fn unfinished(&self) -> usize {
        self.flows.len() - self.ended
    }

    /// Begins: every flow is queued or excluded, the first ones start.
    pub fn start(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for at in 0..self.flows.len() {
            let first = if self.flows[at].part == Part::Excluded { FlowState::Excluded } else { FlowState::Queued };
            self.report(at, first, &mut actions);
        }
        for at in 0..self.flows.len() {
            match self.flows[at].part {
                Part::Excluded => self.end_well(at),
                Part::Idle => {
                    self.report(at, FlowState::Idle, &mut actions);
                    self.end_well(at);
                }
                Part::Planned | Part::Streamed => {}
            }
        }
        for at in 0..self.flows.len() {
            if self.is_startable(at) {
                self.ready.insert(at);
            }
        }
        self.go_on(&mut actions);
        actions
    }

    /// A started flow came to `state` (STARTING or RUNNING): states on the way are reported too, a step back is ignored.
    pub fn advanced(&mut self, flow: &str, state: FlowState) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(at) = self.at(flow).filter(|at| self.flows[*at].active) {
            self.advance(at, state, &mut actions);
        }
        actions
    }

    /// A started flow ended. A flow that is not running is ignored, so telling it twice does no harm.
    pub fn ended(&mut self, flow: &str, outcome: Outcome) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(at) = self.at(flow).filter(|at| self.flows[*at].active) else { return actions };
        self.flows[at].active = false;
        self.running -= 1;
        match outcome {
            Outcome::Completed => {
                // A batch flow that found nothing to do is complete without having started; a stream always passes RUNNING.
                if self.flows[at].state != Some(FlowState::Planning) {
                    self.advance(at, FlowState::Running, &mut actions);
                }
                self.report(at, FlowState::Completed, &mut actions);
                self.end_well(at);
                self.release_downstream(at);
            }
            Outcome::CaughtUp { worked } => self.caught_up(at, worked, &mut actions),
            Outcome::Stopped => {
                self.report(at, FlowState::Stopped, &mut actions);
                self.end(at);
                self.stop_downstream(at, &mut actions);
            }
            Outcome::Failed { transient, jitter } => self.failed(at, transient, jitter, &mut actions),
        }
        self.release_lane(at);
        self.go_on(&mut actions);
        actions
    }

    /// The wait before a retry is over.
    pub fn retry_due(&mut self, flow: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(at) = self.at(flow).filter(|at| self.is_waiting_for_retry(*at)) {
            self.report(at, FlowState::Queued, &mut actions);
            if self.is_startable(at) {
                self.ready.insert(at);
            }
            self.go_on(&mut actions);
        }
        actions
    }

    /// From now on these flows do not start, and all others may. Flows that run go on.
    pub fn hold(&mut self, flows: &BTreeSet<String>) -> Vec<Action> {
        let held: BTreeSet<usize> = flows.iter().filter_map(|flow| self.at(flow)).collect();
        self.ready.retain(|at| !held.contains(at));
        for at in std::mem::replace(&mut self.held, held) {
            if !self.stopping && self.is_startable(at) {
                self.ready.insert(at);
            }
        }
        let mut actions = Vec::new();
        self.go_on(&mut actions);
        actions
    }

    /// The pause of a flow after its start number `round` is over.
    pub fn look_due(&mut self, flow: &str, round: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(at) = self.at(flow).filter(|at| self.flows[*at].round == round && !self.stopping) {
            self.look(at);
            self.go_on(&mut actions);
        }
        actions
    }

    /// Nothing new starts; running flows are asked to stop. The second call does nothing.
    pub fn stop(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.stopping || self.finished {
            return actions;
        }
        self.stopping = true;
        self.ready.clear();
        for at in 0..self.flows.len() {
            if self.flows[at].ended || self.flows[at].active {
                continue;
            }
            self.stop_queued(at, &mut actions);
        }
        if self.running > 0 {
            actions.push(Action::StopRunning);
        }
        self.go_on(&mut actions);
        actions
    }

    fn at(&self, flow: &str) -> Option<usize> {
        self.index.get(&flow.to_lowercase()).copied()
    }

    fn is_startable(&self, at: usize) -> bool {
        let node = &self.flows[at];
        let waits = node.state == Some(FlowState::Queued) || (node.state == Some(FlowState::Idle) && node.pause == Pause::Due);
        waits && !node.ended && !node.active && !self.held.contains(&at) && node.waiting_for.is_empty() && self.has_free_lane(at)
    }

    /// True if no flow of the lane runs and all before it had their turn.
    fn has_free_lane(&self, at: usize) -> bool {
        self.flows[at].lane.iter().all(|other| {
            let node = &self.flows[*other];
            !node.active && (*other > at || node.had_turn || node.ended)
        })
    }

    /// Whoever waited for the flow's lane may start.
    fn release_lane(&mut self, at: usize) {
        for other in self.flows[at].lane.clone() {
            if !self.stopping && self.is_startable(other) {
                self.ready.insert(other);
            }
        }
    }

    fn is_waiting_for_retry(&self, at: usize) -> bool {
        let node = &self.flows[at];
        !node.ended && !node.active && node.state == Some(FlowState::Failed)
    }

    /// Changes the state if that is allowed, and reports it.
    fn report(&mut self, at: usize, state: FlowState, actions: &mut Vec<Action>) {
        if is_allowed(self.flows[at].state, state) {
            self.flows[at].state = Some(state);
            actions.push(Action::Report { flow: self.flows[at].name.clone(), state });
        }
    }

    fn advance(&mut self, at: usize, to: FlowState, actions: &mut Vec<Action>) {
        for state in [FlowState::Starting, FlowState::Running] {
            self.report(at, state, actions);
            if state == to {
                return;
            }
        }
    }

    /// Takes the flow out of play; what it means for others is the caller's part.
    fn end(&mut self, at: usize) {
        if !self.flows[at].ended {
            self.flows[at].ended = true;
            self.ended += 1;
            self.ready.remove(&at);
            self.release_lane(at);
        }
    }

    fn end_well(&mut self, at: usize) {
        self.end(at);
        self.out_of_the_way(at);
    }

    /// Nothing waits for the flow any more.
    fn out_of_the_way(&mut self, at: usize) {
        for down in self.flows[at].downstream.clone() {
            self.flows[down].waiting_for.remove(&at);
        }
    }

    /// A round ended well. Whoever reads what it wrote looks at it, unless that one pauses after its own last work.
    fn caught_up(&mut self, at: usize, worked: bool, actions: &mut Vec<Action>) {
        if worked || self.flows[at].state != Some(FlowState::Idle) {
            self.advance(at, FlowState::Running, actions);
        }
        self.report(at, FlowState::Idle, actions);
        self.out_of_the_way(at);
        let node = &mut self.flows[at];
        node.attempts = 0;
        node.had_turn = true;
        node.pause = if worked { Pause::Resting } else { Pause::Rested };
        let (flow, roots, round) = (node.name.clone(), std::mem::take(&mut node.held_by), node.round);
        if self.stopping {
            self.report(at, FlowState::Stopped, actions);
            self.end(at);
        } else if roots.is_empty() {
            actions.push(Action::LookAgain { flow, round });
        } else {
            actions.push(Action::Held { flow, roots });
            self.end(at);
        }
        self.release_downstream(at);
        for down in self.flows[at].downstream.clone() {
            if worked && self.flows[down].pause == Pause::Rested {
                self.look(down);
            }
        }
    }

    /// An idle flow will look for more, after the flows before it that are in a round now.
    fn look(&mut self, at: usize) {
        let node = &self.flows[at];
        if self.stopping || node.ended || node.active || node.pause == Pause::Due || node.state != Some(FlowState::Idle) {
            return;
        }
        let waiting_for = node.upstream.iter().copied().filter(|up| self.flows[*up].active).collect();
        let node = &mut self.flows[at];
        node.pause = Pause::Due;
        node.waiting_for = waiting_for;
        if self.is_startable(at) {
            self.ready.insert(at);
        }
    }

    fn release_downstream(&mut self, at: usize) {
        for down in self.flows[at].downstream.clone() {
            if !self.stopping && self.is_startable(down) {
                self.ready.insert(down);
            }
        }
    }

    fn failed(&mut self, at: usize, transient: bool, jitter: f64, actions: &mut Vec<Action>) {
        self.flows[at].state = Some(FlowState::Failed);
        let retries = self.flows[at].attempts.saturating_sub(1);
        let flow = self.flows[at].name.clone();
        let max_retries = self.flows[at].max_retries;
        let is_held = !self.flows[at].held_by.is_empty();
        if transient && !is_held && !self.stopping && max_retries.is_none_or(|most| retries < most) {
            let after_ms = self.retry.backoff_ms(retries, jitter);
            let attempts = max_retries.map(|most| most.saturating_add(1));
            actions.push(Action::RetryLater { flow, attempt: retries + 2, attempts, after_ms });
            return;
        }
        actions.push(Action::Failed { flow });
        self.end(at);
        self.skip_downstream(at, actions);
    }

    /// All descendants of a failed flow are skipped, each once, nearest first. Those that have done some work keep it.
    fn skip_downstream(&mut self, root: usize, actions: &mut Vec<Action>) {
        let roots = vec![self.flows[root].name.clone()];
        let mut next: BTreeSet<usize> = self.flows[root].downstream.iter().copied().collect();
        while let Some(at) = next.pop_first() {
            if self.flows[at].ended {
                continue;
            }
            self.skip(at, &roots, actions);
            next.extend(self.flows[at].downstream.iter().copied());
        }
    }

    fn skip(&mut self, at: usize, roots: &[String], actions: &mut Vec<Action>) {
        let node = &mut self.flows[at];
        if node.active {
            // Its round ends as it began.
            node.held_by = roots.to_vec();
            return;
        }
        let (flow, roots) = (node.name.clone(), roots.to_vec());
        if node.state == Some(FlowState::Idle) {
            actions.push(Action::Held { flow, roots });
        } else {
            self.report(at, FlowState::Queued, actions);
            self.flows[at].state = Some(FlowState::Skipped);
            actions.push(Action::Skipped { flow, roots });
        }
        self.end(at);
    }

    /// A flow that was stopped by itself cannot feed its descendants.
    fn stop_downstream(&mut self, from: usize, actions: &mut Vec<Action>) {
        let mut next: BTreeSet<usize> = self.flows[from].downstream.iter().copied().collect();
        while let Some(at) = next.pop_first() {
            if self.flows[at].ended || self.flows[at].active {
                continue;
            }
            self.stop_queued(at, actions);
            next.extend(self.flows[at].downstream.iter().copied());
        }
    }

    fn stop_queued(&mut self, at: usize, actions: &mut Vec<Action>) {
        self.report(at, FlowState::Queued, actions);
        self.report(at, FlowState::Stopped, actions);
        self.end(at);
    }

    /// Starts what may start, and finishes when nothing is left.
    fn go_on(&mut self, actions: &mut Vec<Action>) {
        while !self.stopping && self.running < self.max_concurrent {
            let Some(at) = self.ready.pop_first() else { break };
            if !self.has_free_lane(at) {
                // It comes back when the lane is free.
                continue;
            }
            self.running += 1;
            let node = &mut self.flows[at];
            node.attempts += 1;
            node.round += 1;
            node.active = true;
            node.pause = Pause::Resting;
            let (flow, attempt) = (node.name.clone(), node.attempts);
            let state = if node.part == Part::Planned { FlowState::Planning } else { FlowState::Starting };
            self.report(at, state, actions);
            actions.push(Action::Start { flow, attempt });
        }
        if self.ended == self.flows.len() && !self.finished {
            self.finished = true;
            actions.push(Action::Finish { state: self.end_state() });
        }
    }

    fn end_state(&self) -> UpdateState {
        let any = |wanted: &[FlowState]| self.flows.iter().any(|node| node.state.is_some_and(|state| wanted.contains(&state)));
        if any(&[FlowState::Stopped]) {
            UpdateState::Canceled
        } else if any(&[FlowState::Failed, FlowState::Skipped]) {
            UpdateState::Failed
        } else if self.stopping {
            UpdateState::Canceled
        } else {
            UpdateState::Completed
        }
    }
}
