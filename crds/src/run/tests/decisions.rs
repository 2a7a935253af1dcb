//! Which results of dependencies let a task run.

use crate::{
    job::{JobSpec, RunIf},
    run::{
        decide::{Decision, Question, Stopping, decide, edge},
        graph::Graph,
    },
    state::{TaskResultState as R, TerminationCode},
};

const RULES: [RunIf; 6] =
    [RunIf::AllSuccess, RunIf::AtLeastOneSuccess, RunIf::NoneFailed, RunIf::AllDone, RunIf::AtLeastOneFailed, RunIf::AllFailed];

fn with(run_if: RunIf, results: &[R]) -> Decision {
    let edges: Vec<Option<R>> = results.iter().copied().map(Some).collect();
    decide(&Question { off: None, stopping: Stopping::No, run_if, edges: &edges })
}

/// The result of what is skipped; `None` for what runs.
fn skipped(run_if: RunIf, results: &[R]) -> Option<R> {
    match with(run_if, results) {
        Decision::Run => None,
        Decision::Skip(result, _) => Some(result),
        Decision::Wait => panic!("all dependencies have ended"),
    }
}

#[test]
fn j06_excluded_is_neutral() {
    let joined = [R::Success, R::Excluded];
    let decisions = RULES.map(|rule| skipped(rule, &joined));
    assert_eq!(decisions, [None, None, None, None, Some(R::Excluded), Some(R::Excluded)]);
    let not_taken = edge(R::Success, Some("true"), Some("false"));
    assert_eq!(not_taken, R::Excluded);
    assert_eq!(edge(R::Failed, None, Some("true")), R::Failed, "a condition that could not be evaluated is a failure on both branches");
    assert_eq!(edge(R::Success, Some("true"), None), R::Success);
}

#[test]
fn j07_all_excluded_beats_run_if() {
    for rule in RULES {
        assert_eq!(skipped(rule, &[R::Excluded, R::Excluded]), Some(R::Excluded), "{rule:?}");
    }
}

#[test]
fn j08_failure_reaches_handler_through_chain() {
    assert_eq!(skipped(RunIf::AllSuccess, &[R::Failed]), Some(R::UpstreamFailed));
    assert_eq!(skipped(RunIf::AtLeastOneFailed, &[R::UpstreamFailed]), None);
    assert_eq!(skipped(RunIf::AtLeastOneFailed, &[R::UpstreamCanceled]), None, "what was stopped counts as failed for handlers");
}

#[test]
fn j09_disabled_parent() {
    let alone = RULES.map(|rule| skipped(rule, &[R::Disabled]));
    let disabled = Some(R::Disabled);
    assert_eq!(alone, [disabled, disabled, disabled, None, disabled, disabled]);
    let beside_success = RULES.map(|rule| skipped(rule, &[R::Disabled, R::Success]));
    assert_eq!(beside_success, [disabled, None, None, None, Some(R::Excluded), Some(R::Excluded)]);
    let beside_failure = RULES.map(|rule| skipped(rule, &[R::Disabled, R::Failed]));
    let failed = Some(R::UpstreamFailed);
    assert_eq!(beside_failure, [failed, failed, failed, None, None, Some(R::Excluded)]);
}

#[test]
fn what_was_stopped_skips_what_follows_unless_something_failed() {
    assert_eq!(skipped(RunIf::AllSuccess, &[R::Canceled, R::Success]), Some(R::UpstreamCanceled));
    assert_eq!(skipped(RunIf::NoneFailed, &[R::Canceled, R::TimedOut]), Some(R::UpstreamFailed));
    assert_eq!(skipped(RunIf::AllFailed, &[R::Canceled, R::Failed]), None);
}

#[test]
fn a_run_that_is_stopped_lets_only_clean_ups_begin() {
    let stopped = |stopping, run_if| decide(&Question { off: None, stopping, run_if, edges: &[Some(R::Canceled)] });
    let canceled = Decision::Skip(R::Canceled, TerminationCode::UserCanceled);
    assert_eq!(stopped(Stopping::Graceful, RunIf::AllSuccess), canceled);
    for rule in [RunIf::AllDone, RunIf::AtLeastOneFailed, RunIf::AllFailed] {
        assert_eq!(stopped(Stopping::Graceful, rule), Decision::Run);
        assert_eq!(stopped(Stopping::Immediate, rule), canceled);
    }
    let off = Question { off: Some(TerminationCode::NotSelected), stopping: Stopping::Immediate, run_if: RunIf::AllDone, edges: &[None] };
    assert_eq!(decide(&off), Decision::Skip(R::Disabled, TerminationCode::NotSelected));
}

#[test]
fn nothing_is_decided_early() {
    for rule in RULES {
        let edges = [Some(R::Failed), None];
        assert_eq!(decide(&Question { off: None, stopping: Stopping::No, run_if: rule, edges: &edges }), Decision::Wait, "{rule:?}");
        assert_eq!(with(rule, &[]), Decision::Run, "{rule:?} without dependencies");
    }
}

fn spec(edges: &[(&str, &[&str])]) -> JobSpec {
    let task = |(name, before): &(&str, &[&str])| {
        let depends: Vec<_> = before.iter().map(|task| serde_json::json!({"task": task})).collect();
        serde_json::json!({"name": name, "dependsOn": depends, "container": {"image": "i"}})
    };
    let tasks: Vec<_> = edges.iter().map(task).collect();
    serde_json::from_value(serde_json::json!({ "tasks": tasks })).unwrap()
}

#[test]
fn cycles_are_told_shortest_first() {
    let spec = spec(&[
        ("a", &["d"]),
        ("b", &["a"]),
        ("c", &["b"]),
        ("d", &["c", "b"]),
        ("x", &["y"]),
        ("y", &["x"]),
        ("free", &["a"]),
        ("s", &["s"]),
    ]);
    assert_eq!(Graph::of(&spec).cycles(), ["a → b → d → a", "x → y → x", "s → s"]);
    assert_eq!(Graph::of(&spec).order(), [""; 0]);
}

#[test]
fn order_ancestors_and_descendants() {
    let spec = spec(&[("d", &["b", "c"]), ("a", &[]), ("b", &["a"]), ("c", &["a"]), ("e", &[])]);
    let graph = Graph::of(&spec);
    assert_eq!(graph.order(), ["a", "e", "b", "c", "d"]);
    assert_eq!(graph.ancestors("d").into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    let below = graph.descendants(&["b".to_string()].into());
    assert_eq!(below.into_iter().collect::<Vec<_>>(), ["d"]);
    assert_eq!(graph.children("a").map(|task| task.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(graph.cycles(), [""; 0]);
}
