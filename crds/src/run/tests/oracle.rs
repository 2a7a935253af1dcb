//! Random graphs against an evaluation that is written down a second time, from the table of rules.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::World;
use crate::{
    pipeline_update::Cancel,
    run::attempt::EndClass,
    state::{
        RunResultState,
        TaskResultState::{self, Canceled, Disabled, Excluded, Failed, Success, TimedOut, UpstreamCanceled, UpstreamFailed},
        TaskState,
    },
};

const RUN_IF: [&str; 6] = ["AllSuccess", "AtLeastOneSuccess", "NoneFailed", "AllDone", "AtLeastOneFailed", "AllFailed"];

#[derive(Clone, Debug)]
struct Node {
    /// Bits of the nodes before it that it waits for.
    before: u8,
    /// Two bits for each of those: which outcome the edge asks for.
    outcomes: u16,
    run_if: usize,
    disabled: bool,
    is_condition: bool,
    /// How it ends if it runs.
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    Never,
    Graceful,
    Immediate,
    Timeout,
}

#[derive(Clone, Debug)]
struct Plan {
    nodes: Vec<Node>,
    /// The place of each node in the spec.
    order: Vec<usize>,
    picks: Vec<usize>,
    stop: Stop,
    stop_after: usize,
    /// Bits of the nodes that the run is for; 0 = all.
    only: u8,
}

fn node() -> impl Strategy<Value = Node> {
    (any::<u8>(), any::<u16>(), 0_usize..6, prop::bool::weighted(0.1), prop::bool::weighted(0.3), 0_usize..4)
        .prop_map(|(before, outcomes, run_if, disabled, is_condition, end)| Node { before, outcomes, run_if, disabled, is_condition, end })
}

fn plan() -> impl Strategy<Value = Plan> {
    let stop = prop_oneof![3 => Just(Stop::Never), 1 => Just(Stop::Graceful), 1 => Just(Stop::Immediate), 1 => Just(Stop::Timeout)];
    let only = prop_oneof![3 => Just(0_u8), 1 => any::<u8>()];
    (prop::collection::vec(node(), 1..9), prop::collection::vec(0_usize..8, 8), stop, 0_usize..6, only).prop_flat_map(
        |(nodes, picks, stop, stop_after, only)| {
            let order: Vec<usize> = (0..nodes.len()).collect();
            let only = only & ((1_u16 << nodes.len()) - 1) as u8;
            Just(order).prop_shuffle().prop_map(move |order| Plan {
                nodes: nodes.clone(),
                order,
                picks: picks.clone(),
                stop,
                stop_after,
                only,
            })
        },
    )
}

fn name(at: usize) -> String {
    format!("t{at}")
}

impl Plan {
    fn before(&self, at: usize) -> Vec<usize> {
        (0..at).filter(|other| self.nodes[at].before & (1 << other) != 0).collect()
    }

    /// The outcome that the edge from `other` to `at` asks for.
    fn wanted(&self, at: usize, other: usize) -> Option<bool> {
        let bits = (self.nodes[at].outcomes >> (2 * other)) & 3;
        (self.nodes[other].is_condition && bits > 1).then_some(bits == 2)
    }

    fn selected(&self, at: usize) -> bool {
        self.only == 0 || self.only & (1 << at) != 0
    }

    fn task(&self, at: usize) -> Value {
        let node = &self.nodes[at];
        let edge = |other: usize| match self.wanted(at, other) {
            Some(outcome) => json!({"task": name(other), "outcome": outcome.to_string()}),
            None => json!({"task": name(other)}),
        };
        let edges: Vec<Value> = self.before(at).into_iter().map(edge).collect();
        let mut task = json!({"name": name(at), "dependsOn": edges, "runIf": RUN_IF[node.run_if], "disabled": node.disabled});
        if node.is_condition {
            let (left, op) = [("1", "EqualTo"), ("0", "EqualTo"), ("x", "LessThan"), ("x", "GreaterThan")][node.end];
            task["condition"] = json!({"left": left, "op": op, "right": "1"});
        } else {
            task["container"] = json!({"image": "i"});
        }
        task
    }

    fn world(&self) -> World {
        let tasks: Vec<Value> = self.order.iter().map(|at| self.task(*at)).collect();
        let timeout = if self.stop == Stop::Timeout { 1000 } else { 0 };
        let mut world = World::new(&json!({"timeoutSeconds": timeout, "tasks": tasks}));
        world.request.only = (0..self.nodes.len()).filter(|at| self.only != 0 && self.selected(*at)).map(name).collect();
        world
    }

    /// The result of a node that runs undisturbed.
    fn end(&self, at: usize) -> TaskResultState {
        match (self.nodes[at].is_condition, self.nodes[at].end) {
            (true, 0 | 1) => Success,
            (true, _) => Failed,
            (false, end) => [Success, Failed, TimedOut, Canceled][end],
        }
    }

    fn class(&self, at: usize) -> EndClass {
        [EndClass::Success, EndClass::Lasting, EndClass::Timeout, EndClass::Canceled][self.nodes[at].end]
    }

    /// The result of a node that is told to stop.
    fn stopped_end(&self, at: usize) -> TaskResultState {
        match self.class(at) {
            EndClass::Success => Success,
            _ if self.stop == Stop::Timeout => TimedOut,
            EndClass::Lasting => Failed,
            _ => Canceled,
        }
    }

    /// All results. `known` are those of the moment of the stop.
    fn expected(&self, known: &BTreeMap<usize, TaskResultState>, stop: Stop) -> Vec<TaskResultState> {
        let mut results: Vec<TaskResultState> = Vec::new();
        for at in 0..self.nodes.len() {
            let result = known.get(&at).copied().unwrap_or_else(|| self.evaluate(at, &results, stop));
            results.push(result);
        }
        results
    }

    fn evaluate(&self, at: usize, results: &[TaskResultState], stop: Stop) -> TaskResultState {
        let run_if = RUN_IF[self.nodes[at].run_if];
        if self.nodes[at].disabled || !self.selected(at) {
            return Disabled;
        }
        let cleans_up = ["AllDone", "AtLeastOneFailed", "AllFailed"].contains(&run_if);
        if stop == Stop::Immediate || stop == Stop::Timeout || stop == Stop::Graceful && !cleans_up {
            return Canceled;
        }
        let other_branch =
            |other: usize| results[other] == Success && self.wanted(at, other).is_some_and(|wanted| wanted != (self.nodes[other].end == 0));
        let edges: Vec<usize> = self.before(at).into_iter().filter(|other| self.selected(*other)).collect();
        let seen: Vec<TaskResultState> =
            edges.iter().filter(|other| !other_branch(**other)).map(|other| results[*other]).filter(|result| *result != Excluded).collect();
        if edges.is_empty() {
            return self.end(at);
        }
        if seen.is_empty() {
            return Excluded;
        }
        let count = |of: &[TaskResultState]| seen.iter().filter(|result| of.contains(result)).count();
        let (good, bad, stopped, off) =
            (count(&[Success]), count(&[Failed, TimedOut, UpstreamFailed]), count(&[Canceled, UpstreamCanceled]), count(&[Disabled]));
        let runs = match run_if {
            "AllSuccess" => good == seen.len(),
            "AtLeastOneSuccess" => good > 0,
            "NoneFailed" => bad + stopped == 0 && good > 0,
            "AllDone" => true,
            "AtLeastOneFailed" => bad + stopped > 0,
            _ => bad + stopped == seen.len(),
        };
        match run_if {
            _ if runs => self.end(at),
            "AtLeastOneFailed" | "AllFailed" if off == seen.len() => Disabled,
            "AtLeastOneFailed" | "AllFailed" => Excluded,
            _ if bad > 0 => UpstreamFailed,
            _ if stopped > 0 => UpstreamCanceled,
            _ => Disabled,
        }
    }

    fn run_result(&self, results: &[TaskResultState], stop: Stop) -> RunResultState {
        match stop {
            Stop::Graceful | Stop::Immediate => return RunResultState::Canceled,
            Stop::Timeout => return RunResultState::TimedOut,
            Stop::Never => {}
        }
        let nodes = 0..self.nodes.len();
        let is_leaf = |at: &usize| !(0..self.nodes.len()).any(|other| self.selected(other) && self.before(other).contains(at));
        let failed = |at: &usize| [Failed, TimedOut, UpstreamFailed].contains(&results[*at]);
        let leaves: Vec<usize> = nodes.clone().filter(is_leaf).collect();
        if leaves.iter().any(failed) {
            RunResultState::Failed
        } else if leaves.iter().any(|at| [Canceled, UpstreamCanceled].contains(&results[*at])) {
            RunResultState::Canceled
        } else if nodes.clone().any(|at| failed(&at)) {
            RunResultState::SuccessWithFailures
        } else {
            RunResultState::Success
        }
    }
}

/// Nothing runs before what it waits for has ended, nothing runs twice, and what has ended stays as it is.
fn look_around(plan: &Plan, world: &World, ended: &mut BTreeMap<usize, TaskResultState>) {
    for at in 0..plan.nodes.len() {
        let task = world.task(&name(at));
        assert!(task.execution_count <= 1, "{task:#?}");
        if task.execution_count > 0 {
            for other in plan.before(at).into_iter().filter(|other| plan.selected(*other)) {
                assert_eq!(world.task(&name(other)).state, TaskState::Terminated, "{at} runs before {other} has ended");
            }
        }
        match (ended.get(&at), task.result_state) {
            (Some(before), now) => assert_eq!(Some(*before), now, "the result of {at} changes"),
            (None, Some(now)) => drop(ended.insert(at, now)),
            (None, None) => {}
        }
    }
}

fn carry_out(plan: &Plan) {
    let mut world = plan.world();
    world.settle();
    let mut ended = BTreeMap::new();
    let (mut known, mut stop) = (BTreeMap::new(), Stop::Never);
    for turn in 0..30 {
        look_around(plan, &world, &mut ended);
        if world.result().is_some() {
            break;
        }
        let active: Vec<usize> = (0..plan.nodes.len()).filter(|at| world.active().contains(&name(*at).as_str())).collect();
        if turn == plan.stop_after && plan.stop != Stop::Never {
            stop = plan.stop;
            known = ended.clone();
            known.extend(active.iter().map(|at| (*at, plan.stopped_end(*at))));
            match stop {
                Stop::Graceful => world.request.cancel = Cancel::Graceful,
                Stop::Immediate => world.request.cancel = Cancel::Immediate,
                _ => world.pass(1000),
            }
            world.settle();
            continue;
        }
        let pick = active[plan.picks[turn % plan.picks.len()] % active.len()];
        world.finish(&name(pick), plan.class(pick));
    }
    let expected = plan.expected(&known, stop);
    let results: Vec<TaskResultState> = (0..plan.nodes.len()).filter_map(|at| world.task(&name(at)).result_state).collect();
    assert_eq!(results, expected);
    assert_eq!(world.result(), Some(plan.run_result(&expected, stop)));
    let made: Vec<&str> = world.made.iter().map(|attempt| attempt.task.as_str()).collect();
    assert_eq!(made.len(), made.iter().collect::<std::collections::BTreeSet<_>>().len(), "nothing is made twice");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn j04_decide_oracle(plan in plan()) {
        carry_out(&plan);
    }
}
