//! The schedule: order, bounds, retries, failures and stops over chosen and random graphs.

use proptest::prelude::*;

use super::*;

const RETRY: RetryPolicy = RetryPolicy { max_retries: Some(2), min_backoff_ms: 5_000, max_backoff_ms: 8_000 };

fn flow(name: &str, upstream: &[&str], part: Part) -> ScheduledFlow {
    ScheduledFlow {
        name: name.to_string(),
        upstream: upstream.iter().map(ToString::to_string).collect(),
        part,
        max_retries: None,
        lane: None,
    }
}

fn started(actions: &[Action]) -> Vec<&str> {
    actions.iter().filter_map(|action| if let Action::Start { flow, .. } = action { Some(flow.as_str()) } else { None }).collect()
}

const TERMINAL: Outcome = Outcome::Failed { transient: false, jitter: 0.0 };
const TRANSIENT: Outcome = Outcome::Failed { transient: true, jitter: 0.0 };

#[test]
fn p76_a_failed_flow_skips_only_its_descendants() {
    let flows = vec![
        flow("bronze", &[], Part::Streamed),
        flow("books", &["bronze"], Part::Streamed),
        flow("orders", &["bronze"], Part::Streamed),
        flow("sales", &["orders", "books"], Part::Streamed),
        flow("stats", &["sales"], Part::Planned),
    ];
    let mut schedule = Schedule::new(flows, 8, RETRY);
    assert_eq!(started(&schedule.start()), ["bronze"]);
    assert_eq!(started(&schedule.ended("bronze", Outcome::Completed)), ["books", "orders"]);
    let actions = schedule.ended("orders", TERMINAL);
    let roots = vec!["orders".to_string()];
    assert_eq!(
        actions,
        [
            Action::Failed { flow: "orders".to_string() },
            Action::Skipped { flow: "sales".to_string(), roots: roots.clone() },
            Action::Skipped { flow: "stats".to_string(), roots },
        ]
    );
    let actions = schedule.ended("books", Outcome::Completed);
    assert_eq!(actions.last(), Some(&Action::Finish { state: UpdateState::Failed }));
    assert_eq!(schedule.state("books"), Some(FlowState::Completed));
}

#[test]
fn p60_held_flows_wait_and_all_others_go_on() {
    let flows = vec![
        flow("finder", &[], Part::Streamed),
        flow("sibling", &[], Part::Streamed),
        flow("reader", &["sibling"], Part::Planned),
        flow("other", &[], Part::Streamed),
        flow("after", &["other"], Part::Streamed),
    ];
    let held = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let schedule = || {
        let mut schedule = Schedule::new(flows.clone(), 2, RETRY);
        assert_eq!(started(&schedule.start()), ["finder", "sibling"]);
        assert_eq!(started(&schedule.hold(&held(&["finder", "sibling", "reader"]))), [""; 0]);
        schedule
    };
    let mut going = schedule();
    assert_eq!(started(&going.ended("sibling", TRANSIENT)), ["other"]);
    assert_eq!(started(&going.retry_due("sibling")), [""; 0], "it is held");
    assert_eq!(started(&going.ended("other", Outcome::Completed)), ["after"]);
    assert_eq!(started(&going.ended("after", Outcome::Completed)), [""; 0]);
    assert_eq!(started(&going.hold(&BTreeSet::new())), ["sibling"]);
    assert_eq!(started(&going.hold(&held(&["reader"]))), [""; 0], "a flow that runs goes on");
    assert_eq!(started(&going.ended("sibling", Outcome::Completed)), [""; 0]);
    going.ended("finder", Outcome::Completed);
    assert_eq!(started(&going.hold(&BTreeSet::new())), ["reader"]);
    assert_eq!(going.ended("reader", Outcome::Completed).last(), Some(&Action::Finish { state: UpdateState::Completed }));
    // What waits ends with the others when the update is stopped.
    let mut stopping = schedule();
    stopping.stop();
    stopping.ended("sibling", Outcome::Stopped);
    let actions = stopping.ended("finder", Outcome::Stopped);
    assert_eq!(actions.last(), Some(&Action::Finish { state: UpdateState::Canceled }));
    assert!(stopping.hold(&BTreeSet::new()).is_empty());
}

#[test]
fn the_limit_of_a_flow_wins_over_that_of_the_schedule() {
    let once = ScheduledFlow { max_retries: Some(0), ..flow("f", &[], Part::Streamed) };
    let mut schedule = Schedule::new(vec![once], 1, RETRY);
    schedule.start();
    let actions = schedule.ended("f", TRANSIENT);
    assert!(actions.contains(&Action::Failed { flow: "f".to_string() }), "{actions:?}");
}

#[test]
fn flows_of_one_lane_run_one_after_another_in_their_order() {
    let lane = |name: &str, upstream: &[&str]| ScheduledFlow { lane: Some("t".to_string()), ..flow(name, upstream, Part::Streamed) };
    let flows = || {
        vec![
            flow("src", &[], Part::Streamed),
            lane("a", &["src"]),
            lane("b", &[]),
            lane("c", &[]),
            flow("t", &["a", "b", "c"], Part::Planned),
        ]
    };
    let mut schedule = Schedule::new(flows(), 8, RETRY);
    assert_eq!(started(&schedule.start()), ["src"]);
    assert_eq!(started(&schedule.ended("src", Outcome::Completed)), ["a"]);
    // While it waits for its retry, its turn is not over.
    assert_eq!(started(&schedule.ended("a", TRANSIENT)), [] as [&str; 0]);
    assert_eq!(started(&schedule.retry_due("a")), ["a"]);
    assert_eq!(started(&schedule.ended("a", Outcome::Completed)), ["b"]);
    // One that has failed is out of the way of the others, not of who reads the target.
    let actions = schedule.ended("b", TERMINAL);
    assert_eq!(started(&actions), ["c"]);
    assert!(actions.contains(&Action::Skipped { flow: "t".to_string(), roots: vec!["b".to_string()] }));
    let actions = schedule.ended("c", Outcome::Completed);
    assert_eq!(actions.last(), Some(&Action::Finish { state: UpdateState::Failed }));

    let mut stopped = Schedule::new(flows(), 8, RETRY);
    stopped.start();
    stopped.ended("src", Outcome::Completed);
    stopped.stop();
    let actions = stopped.ended("a", Outcome::Stopped);
    assert_eq!((started(&actions), actions.last()), (vec![], Some(&Action::Finish { state: UpdateState::Canceled })));
}

#[test]
fn rounds_of_one_lane_do_not_meet() {
    let lane = |name: &str| ScheduledFlow { lane: Some("t".to_string()), ..flow(name, &[], Part::Streamed) };
    let mut schedule = Schedule::new(vec![lane("a"), lane("b")], 8, RETRY);
    assert_eq!(started(&schedule.start()), ["a"]);
    assert_eq!(started(&schedule.ended("a", Outcome::CaughtUp { worked: true })), ["b"]);
    assert_eq!(started(&schedule.look_due("a", 1)), [] as [&str; 0]);
    assert_eq!(started(&schedule.ended("b", Outcome::CaughtUp { worked: true })), ["a"]);
    assert_eq!(started(&schedule.look_due("b", 1)), [] as [&str; 0]);
    assert_eq!(started(&schedule.ended("a", TRANSIENT)), ["b"]);
    assert_eq!(started(&schedule.retry_due("a")), [] as [&str; 0]);
    assert_eq!(started(&schedule.ended("b", Outcome::CaughtUp { worked: false })), ["a"]);
}

#[test]
fn p77_transient_failures_wait_longer_each_time_and_are_bounded() {
    let mut schedule = Schedule::new(vec![flow("f", &[], Part::Streamed)], 1, RETRY);
    schedule.start();
    let retry = |attempt, after_ms| Action::RetryLater { flow: "f".to_string(), attempt, attempts: Some(3), after_ms };
    assert_eq!(schedule.ended("f", TRANSIENT), [retry(2, 5_000)]);
    assert_eq!(started(&schedule.retry_due("f")), ["f"]);
    assert_eq!(schedule.ended("f", TRANSIENT), [retry(3, 8_000)]);
    schedule.retry_due("f");
    let actions = schedule.ended("f", TRANSIENT);
    assert_eq!(actions, [Action::Failed { flow: "f".to_string() }, Action::Finish { state: UpdateState::Failed }]);
}

#[test]
fn p78_a_deterministic_failure_is_not_tried_again() {
    let mut schedule = Schedule::new(vec![flow("f", &[], Part::Planned)], 1, RETRY);
    schedule.start();
    assert_eq!(schedule.ended("f", TERMINAL)[0], Action::Failed { flow: "f".to_string() });
    assert_eq!(schedule.retry_due("f"), []);
}

#[test]
fn p71_excluded_flows_do_not_hold_up_the_others() {
    let flows = vec![flow("a", &[], Part::Excluded), flow("b", &["a"], Part::Streamed), flow("c", &["b"], Part::Excluded)];
    let mut schedule = Schedule::new(flows, 1, RETRY);
    assert_eq!(started(&schedule.start()), ["b"]);
    assert_eq!(schedule.ended("b", Outcome::Completed).last(), Some(&Action::Finish { state: UpdateState::Completed }));
    assert_eq!(schedule.state("c"), Some(FlowState::Excluded));
}

#[test]
fn a_view_without_work_never_starts() {
    let mut schedule = Schedule::new(vec![flow("v", &[], Part::Planned)], 1, RETRY);
    schedule.start();
    let actions = schedule.ended("v", Outcome::Completed);
    assert_eq!(actions[0], Action::Report { flow: "v".to_string(), state: FlowState::Completed });
}

#[test]
fn stop_ends_what_waits_and_cancels_the_update() {
    let flows = vec![flow("a", &[], Part::Streamed), flow("b", &["a"], Part::Streamed)];
    let mut schedule = Schedule::new(flows, 1, RETRY);
    schedule.start();
    let stopped = Action::Report { flow: "b".to_string(), state: FlowState::Stopped };
    assert_eq!(schedule.stop(), [stopped, Action::StopRunning]);
    assert_eq!(schedule.ended("a", Outcome::Stopped).last(), Some(&Action::Finish { state: UpdateState::Canceled }));
}

#[test]
fn an_update_without_flows_is_complete_at_once() {
    let mut schedule = Schedule::new(Vec::new(), 1, RETRY);
    assert_eq!(schedule.start(), [Action::Finish { state: UpdateState::Completed }]);
}

const WORKED: Outcome = Outcome::CaughtUp { worked: true };
const NOTHING_NEW: Outcome = Outcome::CaughtUp { worked: false };

fn look_again(flow: &str, round: u64) -> Action {
    Action::LookAgain { flow: flow.to_string(), round }
}

fn state(flow: &str, state: FlowState) -> Action {
    Action::Report { flow: flow.to_string(), state }
}

/// `a` feeds `b`; both have had their first round.
fn two_idle_flows() -> Schedule {
    let mut schedule = Schedule::new(vec![flow("a", &[], Part::Streamed), flow("b", &["a"], Part::Planned)], 8, RETRY);
    schedule.start();
    assert_eq!(started(&schedule.ended("a", WORKED)), ["b"]);
    let first = [state("b", FlowState::Starting), state("b", FlowState::Running), state("b", FlowState::Idle), look_again("b", 1)];
    assert_eq!(schedule.ended("b", NOTHING_NEW), first);
    schedule
}

#[test]
fn p81_a_round_without_work_is_no_news() {
    let mut schedule = two_idle_flows();
    assert_eq!(started(&schedule.look_due("a", 1)), ["a"]);
    assert_eq!(schedule.ended("a", NOTHING_NEW), [look_again("a", 2)]);
    // The pause after an earlier round says nothing.
    assert_eq!(schedule.look_due("a", 1), []);
}

#[test]
fn p81_who_reads_what_was_written_looks_at_once_but_not_within_its_pause() {
    let mut schedule = two_idle_flows();
    schedule.look_due("a", 1);
    assert_eq!(schedule.advanced("a", FlowState::Running), [state("a", FlowState::Running)]);
    let expected = [state("a", FlowState::Idle), look_again("a", 2), Action::Start { flow: "b".to_string(), attempt: 1 }];
    assert_eq!(schedule.ended("a", WORKED), expected);
    assert_eq!(schedule.ended("b", WORKED), [state("b", FlowState::Running), state("b", FlowState::Idle), look_again("b", 2)]);
    schedule.look_due("a", 2);
    assert_eq!(started(&schedule.ended("a", WORKED)), [""; 0]);
    assert_eq!(started(&schedule.look_due("b", 2)), ["b"]);
}

#[test]
fn p81_a_flow_comes_after_the_round_that_feeds_it() {
    let mut schedule = two_idle_flows();
    assert_eq!(started(&schedule.look_due("a", 1)), ["a"]);
    assert_eq!(started(&schedule.look_due("b", 1)), [""; 0]);
    assert_eq!(started(&schedule.ended("a", NOTHING_NEW)), ["b"]);
}

#[test]
fn p82_a_failed_flow_holds_only_what_it_feeds() {
    let flows = vec![
        flow("a", &[], Part::Streamed),
        flow("b", &["a"], Part::Planned),
        flow("c", &[], Part::Streamed),
        flow("d", &["b"], Part::Planned),
    ];
    let mut schedule = Schedule::new(flows, 8, RETRY);
    schedule.start();
    for flow in ["a", "c", "b"] {
        schedule.ended(flow, WORKED);
    }
    // `d` is in its first round when what feeds it fails.
    schedule.look_due("a", 1);
    let roots = vec!["a".to_string()];
    let expected = [Action::Failed { flow: "a".to_string() }, Action::Held { flow: "b".to_string(), roots: roots.clone() }];
    assert_eq!(schedule.ended("a", TERMINAL), expected);
    assert_eq!(schedule.ended("d", WORKED).last(), Some(&Action::Held { flow: "d".to_string(), roots }));
    assert_eq!(schedule.look_due("b", 1), []);
    assert_eq!(started(&schedule.look_due("c", 1)), ["c"]);
    assert_eq!(schedule.ended("c", NOTHING_NEW), [look_again("c", 2)]);
    // Nothing is left that could do anything.
    schedule.look_due("c", 2);
    assert_eq!(schedule.ended("c", TERMINAL).last(), Some(&Action::Finish { state: UpdateState::Failed }));
}

#[test]
fn p82_retries_are_counted_since_the_last_success() {
    let mut schedule = Schedule::new(vec![flow("f", &[], Part::Streamed)], 1, RETRY);
    schedule.start();
    for round in 1..5 {
        let Some(Action::RetryLater { attempt, after_ms, .. }) = schedule.ended("f", TRANSIENT).pop() else { panic!("no retry") };
        assert_eq!((attempt, after_ms), (2, 5_000));
        assert_eq!(started(&schedule.retry_due("f")), ["f"]);
        assert!(schedule.ended("f", NOTHING_NEW).contains(&look_again("f", 2 * round)));
        schedule.look_due("f", 2 * round);
    }
}

#[test]
fn p81_stop_ends_idle_flows() {
    let mut schedule = two_idle_flows();
    schedule.look_due("a", 1);
    assert_eq!(schedule.stop(), [state("b", FlowState::Stopped), Action::StopRunning]);
    assert_eq!(schedule.look_due("b", 1), []);
    let end = [state("a", FlowState::Stopped), Action::Finish { state: UpdateState::Canceled }];
    assert_eq!(schedule.ended("a", NOTHING_NEW), end);
}

/// One random step of the world around the scheduler.
#[derive(Clone, Debug)]
struct Step {
    pick: usize,
    outcome: u8,
}

fn graphs() -> impl Strategy<Value = (Vec<ScheduledFlow>, usize, Vec<Step>, Option<usize>)> {
    let flows = proptest::collection::vec((proptest::collection::vec(any::<prop::sample::Index>(), 0..4), 0_u8..8, 0_u8..6), 0..25);
    let steps = proptest::collection::vec((any::<usize>(), 0_u8..6).prop_map(|(pick, outcome)| Step { pick, outcome }), 400);
    (flows, 1_usize..5, steps, proptest::option::of(0_usize..60)).prop_map(|(flows, bound, steps, stop)| {
        let build = |(at, (upstream, part, lane)): (usize, (Vec<prop::sample::Index>, u8, u8))| ScheduledFlow {
            name: format!("f{at}"),
            upstream: if at == 0 { Vec::new() } else { upstream.iter().map(|up| format!("f{}", up.index(at))).collect() },
            part: match part {
                0 => Part::Excluded,
                1 => Part::Idle,
                2..5 => Part::Planned,
                _ => Part::Streamed,
            },
            max_retries: None,
            lane: (lane < 2).then(|| format!("lane {lane}")),
        };
        (flows.into_iter().enumerate().map(build).collect(), bound, steps, stop)
    })
}

/// What an outside observer sees of a schedule: states, running flows, waiting retries.
#[derive(Default)]
struct Watcher {
    states: BTreeMap<String, FlowState>,
    finally: BTreeSet<String>,
    running: Vec<String>,
    retries: Vec<String>,
    /// Flows that have had a round.
    rounds: BTreeSet<String>,
    /// Pauses of flows that stay alive.
    pauses: Vec<(String, u64)>,
    finished: Vec<UpdateState>,
    bound: usize,
}

impl Watcher {
    fn to(&mut self, flow: &str, state: FlowState) {
        let from = self.states.insert(flow.to_string(), state);
        assert!(is_allowed(from, state), "{flow}: {from:?} → {state:?}");
        assert!(!self.finally.contains(flow), "{flow} goes on after its end");
    }

    fn watch(&mut self, actions: Vec<Action>, flows: &[ScheduledFlow]) {
        for action in actions {
            assert!(self.finished.is_empty(), "{action:?} after the end");
            match action {
                Action::Report { flow, state } => {
                    self.to(&flow, state);
                    let is_done = state == FlowState::Idle && flows.iter().any(|known| known.name == flow && known.part == Part::Idle);
                    if is_done || matches!(state, FlowState::Completed | FlowState::Stopped | FlowState::Excluded) {
                        self.finally.insert(flow);
                    }
                }
                Action::Start { flow, .. } => {
                    let started = flows.iter().find(|known| known.name == flow).unwrap();
                    let meets = |other: &&ScheduledFlow| other.lane == started.lane && self.running.contains(&other.name);
                    assert_eq!(
                        flows.iter().filter(|other| other.lane.is_some()).find(meets).map(|other| &other.name),
                        None,
                        "beside {flow}"
                    );
                    for up in started.upstream.iter().filter(|_| !self.rounds.contains(&flow)) {
                        assert!(
                            matches!(self.states[up], FlowState::Completed | FlowState::Idle | FlowState::Excluded)
                                || self.rounds.contains(up),
                            "{flow} before {up}"
                        );
                    }
                    assert!(!self.running.contains(&flow), "{flow} runs twice");
                    self.running.push(flow);
                    assert!(self.running.len() <= self.bound);
                }
                Action::RetryLater { flow, .. } => {
                    self.to(&flow, FlowState::Failed);
                    self.retries.push(flow);
                }
                Action::Failed { flow } => {
                    self.to(&flow, FlowState::Failed);
                    self.finally.insert(flow);
                }
                Action::Skipped { flow, roots } => {
                    self.to(&flow, FlowState::Skipped);
                    assert!(roots.iter().all(|root| self.states[root] == FlowState::Failed));
                    self.finally.insert(flow);
                }
                Action::Held { flow, roots } => {
                    assert_eq!(self.states[&flow], FlowState::Idle);
                    assert!(roots.iter().all(|root| self.states[root] == FlowState::Failed));
                    self.finally.insert(flow);
                }
                Action::LookAgain { flow, round } => {
                    assert_eq!(self.states[&flow], FlowState::Idle);
                    self.rounds.insert(flow.clone());
                    self.pauses.push((flow, round));
                }
                Action::StopRunning => assert!(!self.running.is_empty()),
                Action::Finish { state } => self.finished.push(state),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn e06_only_documented_transitions_and_one_end_per_flow((flows, bound, steps, stop) in graphs()) {
        let mut watcher = Watcher { bound, ..Watcher::default() };
        let mut schedule = Schedule::new(flows.clone(), bound, RETRY);
        watcher.watch(schedule.start(), &flows);
        for (at, step) in steps.iter().enumerate() {
            if stop == Some(at) {
                watcher.watch(schedule.stop(), &flows);
            }
            let actions = if !watcher.running.is_empty() && (step.outcome > 0 || watcher.retries.is_empty()) {
                let flow = watcher.running[step.pick % watcher.running.len()].clone();
                if step.outcome == 5 {
                    schedule.advanced(&flow, FlowState::Running)
                } else {
                    watcher.running.retain(|running| *running != flow);
                    let outcome = match step.outcome {
                        1 => TERMINAL,
                        2 => TRANSIENT,
                        3 if stop.is_some_and(|stop| stop <= at) => Outcome::Stopped,
                        _ => Outcome::Completed,
                    };
                    schedule.ended(&flow, outcome)
                }
            } else if !watcher.retries.is_empty() {
                let flow = watcher.retries.remove(step.pick % watcher.retries.len());
                schedule.retry_due(&flow)
            } else {
                break;
            };
            watcher.watch(actions, &flows);
        }
        prop_assert_eq!(watcher.finished.len(), 1);
        prop_assert_eq!(watcher.finally.len(), flows.len());
        prop_assert_eq!(schedule.unfinished(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn e06_flows_that_stay_alive_take_documented_transitions_until_they_are_stopped((flows, bound, steps, _) in graphs()) {
        let mut watcher = Watcher { bound, ..Watcher::default() };
        let mut schedule = Schedule::new(flows.clone(), bound, RETRY);
        watcher.watch(schedule.start(), &flows);
        let mut stopped = false;
        for at in 0.. {
            let step = steps.get(at % steps.len()).unwrap();
            if at >= steps.len() && !stopped {
                watcher.watch(schedule.stop(), &flows);
                stopped = true;
            }
            let waits = !watcher.retries.is_empty() || !watcher.pauses.is_empty();
            let actions = if !watcher.running.is_empty() && (step.outcome > 1 || !waits) {
                let flow = watcher.running[step.pick % watcher.running.len()].clone();
                if step.outcome == 5 && step.pick % 3 == 0 {
                    schedule.advanced(&flow, FlowState::Running)
                } else {
                    watcher.running.retain(|running| *running != flow);
                    schedule.ended(&flow, match step.outcome {
                        2 if step.pick % 7 == 0 => TERMINAL,
                        2 => TRANSIENT,
                        3 if stopped => Outcome::Stopped,
                        3 => NOTHING_NEW,
                        _ => WORKED,
                    })
                }
            } else if !watcher.retries.is_empty() && (step.outcome == 0 || watcher.pauses.is_empty()) {
                let flow = watcher.retries.remove(step.pick % watcher.retries.len());
                schedule.retry_due(&flow)
            } else if !watcher.pauses.is_empty() {
                let (flow, round) = watcher.pauses.remove(step.pick % watcher.pauses.len());
                schedule.look_due(&flow, round)
            } else {
                break;
            };
            watcher.watch(actions, &flows);
        }
        prop_assert_eq!(watcher.finished.len(), 1);
        prop_assert_eq!(watcher.finally.len(), flows.len());
        prop_assert_eq!(schedule.unfinished(), 0);
    }
}
