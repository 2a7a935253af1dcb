//! Whole runs, scenario by scenario.

use serde_json::json;

use super::world::World;
use crate::{
    job_run::{QueueReason, RepairState},
    pipeline_update::Cancel,
    run::{attempt::EndClass, queue::Admission},
    state::{RunResultState, RunState, TaskState, TerminationCode},
};

fn condition(left: &str, op: &str, right: &str) -> serde_json::Value {
    json!({"condition": {"left": left, "op": op, "right": right}})
}

fn bookstore() -> World {
    let tables = json!({"forEach": {"inputs": "{{tasks.list_tables.values.tables}}", "concurrency": 4, "task": {"name": "analyze_table",
        "sql": {"statements": "SELECT 1", "parameters": {"table": "{{input.table_name}}"}}}}});
    let mut world = World::of(&[
        ("land_new_data", &[], json!({})),
        ("has_new_file", &["land_new_data"], condition("{{tasks.land_new_data.values.number_new_files}}", "GreaterThan", "0")),
        ("run_pipeline", &[], json!({"pipeline": {"name": "bookstore"}, "dependsOn": [{"task": "has_new_file", "outcome": "true"}]})),
        ("log_no_data", &[], json!({"dependsOn": [{"task": "has_new_file", "outcome": "false"}]})),
        ("list_tables", &["run_pipeline"], json!({"sql": {"statements": "SHOW TABLES", "pipeline": "bookstore"}})),
        ("tables_iterator", &["list_tables"], tables),
    ]);
    world.settle();
    world
}

#[test]
fn j01_bookstore_with_files() {
    let mut world = bookstore();
    assert_eq!(
        world.results(),
        "land_new_data RUNNING, has_new_file BLOCKED, run_pipeline BLOCKED, log_no_data BLOCKED, list_tables BLOCKED, tables_iterator BLOCKED"
    );
    world.says("land_new_data", json!({"number_new_files": 2}));
    world.succeed("land_new_data");
    assert_eq!((world.task("has_new_file").outcome.as_deref(), world.active()), (Some("true"), vec!["run_pipeline"]));
    world.succeed("run_pipeline");
    world.says("list_tables", json!({"tables": [{"table_name": "books"}, {"table_name": "authors"}]}));
    world.succeed("list_tables");
    assert_eq!(world.active(), ["tables_iterator", "tables_iterator"]);
    let tables: Vec<&str> =
        world.made.iter().filter_map(|attempt| attempt.effective.work.sql.as_ref()?.parameters.get("table").map(String::as_str)).collect();
    assert_eq!(tables, ["books", "authors"]);
    world.finish_one("tables_iterator", Some(0), EndClass::Success, "");
    world.finish_one("tables_iterator", Some(1), EndClass::Success, "");
    world.settle();
    assert_eq!(
        world.results(),
        "land_new_data SUCCESS, has_new_file SUCCESS, run_pipeline SUCCESS, log_no_data EXCLUDED, list_tables SUCCESS, tables_iterator SUCCESS"
    );
    assert_eq!(world.result(), Some(RunResultState::Success));
    assert_eq!(world.status.task_counts.as_ref().map(|counts| (counts.done.as_str(), counts.excluded)), Some(("6/6", 1)));
}

#[test]
fn j02_bookstore_without_files() {
    let mut world = bookstore();
    world.says("land_new_data", json!({"number_new_files": 0}));
    world.succeed("land_new_data");
    assert_eq!(world.active(), ["log_no_data"]);
    world.succeed("log_no_data");
    assert_eq!(
        world.results(),
        "land_new_data SUCCESS, has_new_file SUCCESS, run_pipeline EXCLUDED, log_no_data SUCCESS, list_tables EXCLUDED, tables_iterator EXCLUDED"
    );
    assert_eq!(world.result(), Some(RunResultState::Success));
}

#[test]
fn j05_result_depends_on_leaves() {
    let graph: [(&str, &[&str], serde_json::Value); 2] =
        [("work", &[], json!({})), ("handler", &["work"], json!({"runIf": "AtLeastOneFailed"}))];
    let mut handled = World::of(&graph);
    handled.settle();
    handled.finish("work", EndClass::Lasting);
    handled.succeed("handler");
    assert_eq!(handled.result(), Some(RunResultState::SuccessWithFailures));
    assert_eq!(handled.status.message.as_deref(), Some("work: said so"));
    let mut failed = World::of(&graph);
    failed.settle();
    failed.finish("work", EndClass::Lasting);
    failed.finish("handler", EndClass::Lasting);
    assert_eq!((failed.result(), failed.status.termination_code), (Some(RunResultState::Failed), Some(TerminationCode::RunExecutionError)));
}

#[test]
fn j08_j09_failures_and_disabled_tasks_reach_what_follows() {
    let mut world = World::of(&[
        ("a", &[], json!({})),
        ("b", &["a"], json!({})),
        ("c", &["b"], json!({"runIf": "AtLeastOneFailed"})),
        ("off", &[], json!({"disabled": true})),
        ("after_off", &["off"], json!({})),
        ("always", &["off"], json!({"runIf": "AllDone"})),
    ]);
    world.settle();
    world.succeed("always");
    world.finish("a", EndClass::Lasting);
    assert_eq!(world.results(), "a FAILED, b UPSTREAM_FAILED, c RUNNING, off DISABLED, after_off DISABLED, always SUCCESS");
    world.succeed("c");
    assert_eq!(world.result(), Some(RunResultState::SuccessWithFailures));
}

#[test]
fn j10_conditions_that_cannot_be_compared_fail_their_task() {
    let mut world = World::of(&[("c", &[], condition("abc", "GreaterThan", "1")), ("next", &["c"], json!({}))]);
    world.settle();
    assert_eq!(world.results(), "c FAILED, next UPSTREAM_FAILED");
    assert_eq!(world.task("c").termination_code, Some(TerminationCode::InvalidConditionOperand));
}

#[test]
fn j15_value_of_failed_task() {
    let mut world = World::of(&[
        ("a", &[], json!({})),
        ("b", &["a"], json!({"runIf": "AllDone", "container": {"image": "i", "args": ["{{tasks.a.values.n}} {{tasks.a.error_code}}"]}})),
    ]);
    world.settle();
    world.says("a", json!({"n": 7}));
    world.finish("a", EndClass::Lasting);
    let args = &world.made[1].effective.work.container.as_ref().unwrap().args;
    assert_eq!(args, &["7 RUN_EXECUTION_ERROR"]);
}

#[test]
fn j18_reference_missing_at_run() {
    let mut world =
        World::of(&[("a", &[], json!({})), ("b", &["a"], json!({"container": {"image": "i", "args": ["{{tasks.a.values.n}}"]}}))]);
    world.settle();
    world.succeed("a");
    assert_eq!(world.results(), "a SUCCESS, b FAILED");
    let b = world.task("b");
    assert_eq!((b.termination_code, b.execution_count, world.made.len()), (Some(TerminationCode::InvalidReference), 0, 1));
    assert!(b.message.as_ref().unwrap().starts_with("field container.args[0]: {{tasks.a.values.n}}"), "{b:?}");
}

#[test]
fn j19_job_parameter_wins() {
    let mut world = World::new(
        &json!({"parameters": [{"name": "day", "default": "monday"}, {"name": "copy", "default": "{{job.parameters.day}}"}],
        "tasks": [{"name": "a", "sql": {"statements": "SELECT :day", "parameters": {"day": "of the task", "own": "{{job.parameters.copy}}"}}}]}),
    );
    world.request.parameters = [("day".to_string(), "friday".to_string())].into();
    world.settle();
    let parameters = &world.made[0].effective.work.sql.as_ref().unwrap().parameters;
    let all: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(all, [("copy", "friday"), ("day", "friday"), ("own", "friday")]);
    assert_eq!(world.status.parameters["copy"], "friday");
}

#[test]
fn runs_that_cannot_be_carried_out_start_nothing() {
    let refused = |request: serde_json::Value| {
        let mut world = World::of(&[("a", &[], json!({}))]);
        world.request = serde_json::from_value(request).unwrap();
        world.settle();
        assert!(world.made.is_empty());
        (world.result(), world.status.termination_code, world.status.message.unwrap())
    };
    let (result, code, message) = refused(json!({"jobRef": {"name": "j"}, "parameters": {"dya": "1"}}));
    assert_eq!((result, code), (Some(RunResultState::Failed), Some(TerminationCode::InvalidParameter)));
    assert_eq!(message, "the job has no parameter dya");
    let (_, code, message) = refused(json!({"jobRef": {"name": "j"}, "only": ["a", "z"]}));
    assert_eq!((code, message.as_str()), (Some(TerminationCode::InvalidRunConfiguration), "only: the job has no task z"));
}

#[test]
fn partial_runs_leave_the_rest_alone() {
    let mut world = World::of(&[("a", &[], json!({})), ("b", &["a"], json!({})), ("c", &["b"], json!({}))]);
    world.request.only = vec!["b".to_string()];
    world.settle();
    assert_eq!(world.results(), "a DISABLED, b RUNNING, c DISABLED");
    assert_eq!(world.task("a").termination_code, Some(TerminationCode::NotSelected));
    world.finish("b", EndClass::Lasting);
    assert_eq!(world.result(), Some(RunResultState::Failed), "nothing that was selected comes after it");
}

#[test]
fn j21_retries_wait_from_start_to_start() {
    let mut world = World::of(&[("a", &[], json!({"retry": {"maxRetries": 2, "minIntervalSeconds": 60}}))]);
    world.settle();
    world.pass(40);
    world.finish("a", EndClass::Failure);
    let a = world.task("a");
    assert_eq!((a.state, a.retries, a.message.as_deref()), (TaskState::WaitingForRetry, 1, Some("said so")));
    world.pass(19);
    assert!(world.active().is_empty());
    world.pass(1);
    assert_eq!((world.clock(), world.active().len(), world.task("a").execution_count), (60, 1, 2));
    assert_eq!(world.made[1].name, "nightly-1-a-2");
    world.succeed("a");
    assert_eq!(
        (world.result(), world.task("a").start_time.as_ref().unwrap().0.to_string().as_str()),
        (Some(RunResultState::Success), super::world::START)
    );
}

#[test]
fn j25_tasks_without_pods_are_stopped_when_they_take_too_long() {
    let retry = json!({"pipeline": {"name": "p"}, "timeoutSeconds": 60, "retry": {"maxRetries": 1, "onTimeout": true}});
    let mut world = World::of(&[("a", &[], retry)]);
    world.settle();
    world.pass(59);
    assert!(world.stops.is_empty());
    world.pass(1);
    assert!(world.stops.contains(&("a".to_string(), None, "Graceful".to_string())));
    world.finish("a", EndClass::Canceled);
    assert_eq!((world.task("a").execution_count, world.task("a").retries), (2, 1));
    world.pass(60);
    world.finish("a", EndClass::Canceled);
    let a = world.task("a");
    assert_eq!((world.results().as_str(), a.termination_code), ("a TIMEDOUT", Some(TerminationCode::TaskTimeout)));
    assert_eq!(world.result(), Some(RunResultState::Failed));
}

#[test]
fn j24_eviction_not_counted() {
    let mut world = World::of(&[("a", &[], json!({}))]);
    world.settle();
    world.finish("a", EndClass::Interrupted);
    world.finish("a", EndClass::Interrupted);
    world.succeed("a");
    let a = world.task("a");
    assert_eq!((world.result(), a.retries, a.execution_count), (Some(RunResultState::Success), 0, 3));
}

#[test]
fn an_attempt_that_vanishes_is_made_again() {
    let mut world = World::of(&[("a", &[], json!({}))]);
    world.settle();
    world.running.clear();
    world.settle();
    let a = world.task("a");
    assert_eq!((a.execution_count, a.interruptions, world.made.len()), (2, 1, 2));
}

#[test]
fn j26_run_timeout() {
    let mut world = World::new(&json!({"timeoutSeconds": 100, "tasks": [
        {"name": "a", "container": {"image": "i"}},
        {"name": "b", "dependsOn": [{"task": "a"}], "container": {"image": "i"}},
        {"name": "clean", "runIf": "AllDone", "dependsOn": [{"task": "b"}], "container": {"image": "i"}}]}));
    world.settle();
    world.pass(99);
    assert!(world.stops.is_empty());
    world.pass(1);
    assert_eq!(world.status.state, Some(RunState::Terminating));
    assert_eq!(world.stops.iter().map(|(task, ..)| task.as_str()).collect::<Vec<_>>(), ["a"]);
    world.finish("a", EndClass::Canceled);
    assert_eq!(world.results(), "a TIMEDOUT, b CANCELED, clean CANCELED");
    assert_eq!(["a", "b", "clean"].map(|task| world.task(task).termination_code), [Some(TerminationCode::RunTimeout); 3]);
    assert_eq!((world.result(), world.status.termination_code), (Some(RunResultState::TimedOut), Some(TerminationCode::RunTimeout)));
}

#[test]
fn j27_cancel_graceful_runs_cleanup() {
    let graph: [(&str, &[&str], serde_json::Value); 3] =
        [("a", &[], json!({})), ("b", &["a"], json!({})), ("clean", &["b"], json!({"runIf": "AllDone"}))];
    let canceled = |how: Cancel| {
        let mut world = World::of(&graph);
        world.settle();
        world.request.cancel = how;
        world.settle();
        assert_eq!(world.task("a").state, TaskState::Terminating);
        world.finish("a", EndClass::Canceled);
        world
    };
    let mut graceful = canceled(Cancel::Graceful);
    assert_eq!(graceful.results(), "a CANCELED, b CANCELED, clean RUNNING");
    graceful.settle();
    assert!(!graceful.stops.iter().any(|(task, ..)| task == "clean"), "clean-ups that begin later are left alone");
    graceful.succeed("clean");
    assert_eq!(graceful.result(), Some(RunResultState::Canceled));
    let immediate = canceled(Cancel::Immediate);
    assert_eq!(
        (immediate.results().as_str(), immediate.result()),
        ("a CANCELED, b CANCELED, clean CANCELED", Some(RunResultState::Canceled))
    );
    let mut raised = canceled(Cancel::Graceful);
    raised.request.cancel = Cancel::Immediate;
    raised.settle();
    assert!(raised.stops.contains(&("clean".to_string(), None, "Immediate".to_string())));
}

/// Whoever makes attempts may die, or be too late, before the status says so. A cancel that comes then stops them all the same.
#[test]
fn a_cancel_reaches_attempts_that_the_status_does_not_know() {
    let each = json!({"forEach": {"inputs": "[1, 2]", "concurrency": 2, "task": {"name": "each", "container": {"image": "i"}}}});
    let graph: [(&str, &[&str], serde_json::Value); 5] = [
        ("a", &[], json!({"retry": {"maxRetries": 1, "minIntervalSeconds": 600}})),
        ("loop", &[], each),
        ("b", &["a", "loop"], json!({})),
        ("late", &["b"], json!({})),
        ("clean", &["late"], json!({"runIf": "AllDone"})),
    ];
    for how in [Cancel::Graceful, Cancel::Immediate] {
        let mut world = World::of(&graph);
        let unknown = |world: &mut World| {
            let before = world.status.clone();
            world.step();
            world.status = before;
        };
        unknown(&mut world);
        world.request.cancel = how;
        world.admission = Admission::Wait { reason: QueueReason::MaxConcurrentRuns, until: "2026-02-02T02:00:00Z".parse().unwrap() };
        world.settle();
        let stopped: Vec<(&str, Option<usize>)> = world.stops.iter().map(|(task, iteration, _)| (task.as_str(), *iteration)).collect();
        assert_eq!(stopped, [("a", None), ("loop", Some(0)), ("loop", Some(1))], "{how:?}");
        for iteration in [0, 1] {
            world.finish_one("loop", Some(iteration), EndClass::Canceled, "stopped");
        }
        world.finish("a", EndClass::Canceled);
        let clean = if how == Cancel::Graceful { "RUNNING" } else { "CANCELED" };
        assert_eq!(world.results(), format!("a CANCELED, loop CANCELED, b CANCELED, late CANCELED, clean {clean}"));

        let mut world = World::of(&graph);
        world.settle();
        world.finish_one("loop", Some(0), EndClass::Success, "");
        world.finish_one("loop", Some(1), EndClass::Success, "");
        world.finish("a", EndClass::Transient);
        world.now = world.wake.unwrap();
        unknown(&mut world);
        world.request.cancel = how;
        world.settle();
        assert!(world.stops.iter().any(|(task, ..)| task == "a"), "the second attempt is stopped: {:?}", world.stops);
        let active: &[&str] = if how == Cancel::Graceful { &["a", "clean"] } else { &["a"] };
        assert_eq!(world.active(), active, "{how:?}");
    }
}

#[test]
fn a_cancel_ends_what_waits() {
    let mut queued = World::of(&[("a", &[], json!({}))]);
    queued.admission = Admission::Wait { reason: QueueReason::MaxConcurrentRuns, until: "2026-02-02T02:00:00Z".parse().unwrap() };
    queued.settle();
    assert_eq!((queued.status.state, queued.status.queue_reason), (Some(RunState::Queued), Some(QueueReason::MaxConcurrentRuns)));
    queued.request.cancel = Cancel::Graceful;
    queued.settle();
    assert_eq!((queued.result(), queued.results().as_str()), (Some(RunResultState::Canceled), "a CANCELED"));
    let mut waiting = World::of(&[("a", &[], json!({"retry": {"maxRetries": 1, "minIntervalSeconds": 600}}))]);
    waiting.settle();
    waiting.finish("a", EndClass::Transient);
    waiting.request.cancel = Cancel::Graceful;
    waiting.settle();
    assert_eq!((waiting.result(), waiting.results().as_str()), (Some(RunResultState::Canceled), "a CANCELED"));
}

#[test]
fn runs_that_are_not_admitted_are_skipped_with_the_reason() {
    let mut world = World::of(&[("a", &[], json!({}))]);
    world.admission = Admission::Skip { code: TerminationCode::QueueTimeout, message: "waited too long".to_string() };
    world.settle();
    assert_eq!((world.status.state, world.status.termination_code), (Some(RunState::Skipped), Some(TerminationCode::QueueTimeout)));
    assert!(world.made.is_empty() && world.status.tasks.is_empty());
    world.repair(json!({"id": 1, "allFailed": true}));
    assert_eq!(world.status.repairs[0].state, RepairState::Rejected);
    assert_eq!((world.status.state, world.status.repair_count), (Some(RunState::Skipped), 1));
}

#[test]
fn tasks_wait_for_places_and_start_when_there_are_some() {
    let mut world = World::of(&[("a", &[], json!({})), ("b", &[], json!({})), ("p", &[], json!({"pipeline": {"name": "p"}}))]);
    world.places = 1;
    world.settle();
    assert_eq!(world.results(), "a RUNNING, b QUEUED, p RUNNING");
    assert!(world.task("b").message.as_ref().unwrap().contains("--max-active-pods"));
    world.succeed("a");
    assert_eq!(world.results(), "a SUCCESS, b RUNNING, p RUNNING");
}

#[test]
fn j46_run_job_depth() {
    let called = |parents: &str, job: &str| {
        let mut world = World::of(&[("call", &[], json!({"runJob": {"name": job}}))]);
        world.request = serde_json::from_value(
            json!({"jobRef": {"name": "nightly"}, "trigger": {"type": "RunJobTask", "detail": {"parents": parents}}}),
        )
        .unwrap();
        world.settle();
        (world.made.len(), world.task("call").termination_code, world.task("call").message.clone().unwrap_or_default())
    };
    assert_eq!(called("one", "three").0, 1);
    let (made, code, message) = called("one,two", "four");
    assert_eq!((made, code), (0, Some(TerminationCode::RunJobRecursion)));
    assert_eq!(message, "jobs call each other more than 3 deep: one → two → nightly → four");
    assert_eq!(called("one", "nightly").1, Some(TerminationCode::RunJobRecursion));
    assert_eq!(called("one", "one").2, "jobs call each other in a circle: one → nightly → one");
}

#[test]
fn a_continuous_run_may_try_until_all_is_well() {
    let mut world = World::new(
        &json!({"triggers": [{"name": "t", "continuous": {"taskRetryMode": "OnFailure"}}], "tasks": [{"name": "a", "container": {"image": "i"}}]}),
    );
    world.request = serde_json::from_value(json!({"jobRef": {"name": "nightly"}, "trigger": {"type": "Continuous", "name": "t"}})).unwrap();
    world.settle();
    let mut waits = Vec::new();
    for _ in 0..8 {
        world.finish("a", EndClass::Lasting);
        let next = world.task("a").next_retry_time.as_ref().unwrap().0;
        waits.push(next.duration_since(world.now).as_secs());
        world.pass(600);
        world.now = world.running.last().unwrap().seen.started;
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600]);
    world.succeed("a");
    assert_eq!(world.result(), Some(RunResultState::Success));
}
