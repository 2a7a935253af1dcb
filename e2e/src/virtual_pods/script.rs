//! What happens in the pods of one attempt, as a sentence: `Script::new().starts().runs().holds().completes()`.

use std::collections::BTreeMap;

use floe_crds::{run_report::RunResult, state::FailureClass};
use serde_json::Value;

/// The life of the pods of one batch/v1 Job. A pod that takes an evicted one's place begins anew.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub(super) steps: Vec<Step>,
    pub(super) on_stop: OnStop,
    pub(super) values: BTreeMap<String, Value>,
}

/// One thing that happens to a pod.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// No node takes it; nothing more happens.
    Unschedulable(String),
    /// Its container cannot start, for so many seconds already.
    Waits { reason: String, message: String, for_seconds: i64 },
    /// Its container starts, or has started so many seconds ago.
    Starts { seconds_ago: i64 },
    /// The runner reports.
    Reports(Reported),
    /// Nothing happens until the test releases the attempt.
    Holds,
    /// The node is emptied; the next pod does not meet this again.
    Evicted,
    /// Its container ends.
    Ends(End),
}

/// What the runner has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reported {
    /// The graph is planned.
    Graph,
    /// Flows run.
    Running,
    /// A sign of life, after a moment of work.
    Heartbeat,
    /// A sign of life of long ago.
    OldHeartbeat,
}

/// How a container ends.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub exit_code: i32,
    /// What the kubelet says of it, where it is more than `Error`.
    pub reason: Option<&'static str>,
    pub told: Told,
}

/// How the runner tells of its end.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// Not at all.
    Nothing,
    /// In its termination message only: it does not reach the API server.
    Message(RunResult),
    /// In report and termination message.
    Report(RunResult),
}

/// What a runner does when it is asked to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OnStop {
    /// Reports and exits with 143.
    #[default]
    Obeys,
    /// The same when the test releases the attempt.
    Holds,
    /// Goes on until it is killed.
    Ignores,
}

impl Script {
    /// A pod that has not done anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// The pod of a task leaves this value.
    #[must_use]
    pub fn leaves(mut self, key: &str, value: Value) -> Self {
        self.values.insert(key.to_string(), value);
        self
    }

    /// No node takes the pod.
    #[must_use]
    pub fn unschedulable(self, text: &str) -> Self {
        self.step(Step::Unschedulable(text.to_string()))
    }

    /// The container cannot start, as the kubelet has said for `for_seconds`.
    #[must_use]
    pub fn waits(self, reason: &str, message: &str, for_seconds: i64) -> Self {
        self.step(Step::Waits { reason: reason.to_string(), message: message.to_string(), for_seconds })
    }

    /// The container runs.
    #[must_use]
    pub fn starts(self) -> Self {
        self.step(Step::Starts { seconds_ago: 0 })
    }

    /// The runner reports that its graph is planned and flows run.
    #[must_use]
    pub fn runs(self) -> Self {
        let reports = self.steps.iter().any(|step| matches!(step, Step::Reports(Reported::Graph)));
        if reports { self } else { self.started().step(Step::Reports(Reported::Graph)).step(Step::Reports(Reported::Running)) }
    }

    /// The runner works for a while, with so many signs of life.
    #[must_use]
    pub fn works(self, heartbeats: usize) -> Self {
        (0..heartbeats).fold(self.runs(), |script, _| script.step(Step::Reports(Reported::Heartbeat)))
    }

    /// The runner last reported minutes ago and still runs.
    #[must_use]
    pub fn falls_silent(self) -> Self {
        self.step(Step::Starts { seconds_ago: 200 }).step(Step::Reports(Reported::OldHeartbeat))
    }

    /// Nothing happens until [`super::VirtualPods::release`].
    #[must_use]
    pub fn holds(self) -> Self {
        self.step(Step::Holds)
    }

    /// The pod loses its node, once.
    #[must_use]
    pub fn evicted(self) -> Self {
        self.started().step(Step::Evicted)
    }

    /// Everything is done: graph, flows and tables are reported, exit code 0. A graph with errors ends as a runner ends it.
    #[must_use]
    pub fn completes(self) -> Self {
        self.runs().step(Step::Ends(End { exit_code: 0, reason: None, told: Told::Report(RunResult::default()) }))
    }

    /// The flow of the first dataset fails, and the runner says so.
    #[must_use]
    pub fn fails(self, class: FailureClass, error_class: &str, message: &str) -> Self {
        let result = failure(class, error_class, message);
        self.runs().step(Step::Ends(End { exit_code: result.exit_code, reason: None, told: Told::Report(result) }))
    }

    /// The same, by a runner that does not reach the API server: its termination message is all there is.
    #[must_use]
    pub fn fails_without_report(self, class: FailureClass, error_class: &str, message: &str) -> Self {
        let result = failure(class, error_class, message);
        self.started().step(Step::Ends(End { exit_code: result.exit_code, reason: None, told: Told::Message(result) }))
    }

    /// The container ends and says nothing.
    #[must_use]
    pub fn exits(self, exit_code: i32) -> Self {
        self.started().step(Step::Ends(End { exit_code, reason: None, told: Told::Nothing }))
    }

    /// The kernel kills the container for its memory while flows run.
    #[must_use]
    pub fn runs_out_of_memory(self) -> Self {
        self.runs().step(Step::Ends(End { exit_code: 137, reason: Some("OOMKilled"), told: Told::Nothing }))
    }

    /// Asked to stop, the runner goes on until it is released.
    #[must_use]
    pub fn stops_slowly(mut self) -> Self {
        self.on_stop = OnStop::Holds;
        self
    }

    /// Asked to stop, the runner goes on until it is killed.
    #[must_use]
    pub fn ignores_sigterm(mut self) -> Self {
        self.on_stop = OnStop::Ignores;
        self
    }

    fn started(self) -> Self {
        let has_started = self.steps.iter().any(|step| matches!(step, Step::Starts { .. }));
        if has_started { self } else { self.starts() }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

fn failure(class: FailureClass, error_class: &str, message: &str) -> RunResult {
    RunResult {
        exit_code: i32::from(class.exit_code()),
        class: Some(class),
        error_class: Some(error_class.to_string()),
        message: Some(message.to_string()),
        ..RunResult::default()
    }
}
