//! Repairs: what is done again, with which spec and parameters, and which repairs are refused.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::world::World;
use crate::{
    job_run::{QueueReason, RepairState},
    pipeline_update::Cancel,
    run::{attempt::EndClass, queue::Admission},
    state::{RunResultState, RunState, TaskState, TerminationCode},
};

fn args(world: &World) -> Vec<String> {
    world.made.iter().flat_map(|attempt| attempt.effective.work.container.iter().flat_map(|task| task.args.clone())).collect()
}

fn records(world: &World) -> Vec<(i32, RepairState, String)> {
    let one = |repair: &crate::job_run::RepairRecord| (repair.id, repair.state, repair.message.clone().unwrap_or_default());
    world.status.repairs.iter().map(one).collect()
}

/// a → b → c, where b has failed.
fn failed() -> World {
    let b = json!({"container": {"image": "old", "args": ["{{tasks.a.values.n}} {{job.parameters.p}} {{job.repair_count}}"]}});
    let mut world = World::of(&[("a", &[], json!({})), ("b", &["a"], b), ("c", &["b"], json!({}))]);
    world.job.parameters = serde_json::from_value(json!([{"name": "p", "default": "first"}])).unwrap();
    world.settle();
    world.says("a", json!({"n": 1}));
    world.succeed("a");
    world.finish("b", EndClass::Lasting);
    assert_eq!(world.results(), "a SUCCESS, b FAILED, c UPSTREAM_FAILED");
    world
}

#[test]
fn j28_cancel_reaches_children() {
    let mut world = World::of(&[("p", &[], json!({"pipeline": {"name": "p"}})), ("j", &[], json!({"runJob": {"name": "other"}}))]);
    world.settle();
    world.request.cancel = Cancel::Graceful;
    world.settle();
    let stops: Vec<_> = world.stops.iter().map(|(task, _, how)| (task.as_str(), how.as_str())).collect();
    assert_eq!(stops, [("j", "Graceful"), ("p", "Graceful")]);
    world.finish("p", EndClass::Canceled);
    world.finish("j", EndClass::Canceled);
    assert_eq!((world.results().as_str(), world.result()), ("p CANCELED, j CANCELED", Some(RunResultState::Canceled)));
    assert!(world.made[1].effective.work.run_job.as_ref().unwrap().parameters.is_empty());
}

#[test]
fn j29_repair_failed_only() {
    let mut world = failed();
    world.pass(100);
    world.repair(json!({"id": 1, "allFailed": true, "parameters": {"p": "second"}}));
    assert_eq!((world.results().as_str(), world.status.state), ("a SUCCESS, b RUNNING, c BLOCKED", Some(RunState::Running)));
    assert_eq!(args(&world), ["1 first 0", "1 second 1"]);
    assert_eq!((world.made[2].name.as_str(), world.status.parameters["p"].as_str()), ("nightly-1-b-2", "second"));
    world.succeed("b");
    world.succeed("c");
    assert_eq!((world.result(), world.status.repair_count, world.made.len()), (Some(RunResultState::Success), 1, 4));
    let state = |name: &str| (world.task(name).execution_count, world.task(name).repair_id);
    assert_eq!((state("a"), state("b"), state("c")), ((1, 0), (2, 1), (1, 1)));
    let said = (String::new(), String::new());
    assert_eq!(records(&world), [(0, RepairState::Failed, said.0), (1, RepairState::Succeeded, said.1)]);
    assert_eq!(world.status.repairs[1].tasks, ["b", "c"]);
    assert_eq!(
        (world.status.start_time.as_ref().unwrap().0.to_string().as_str(), world.status.message.as_ref()),
        (super::world::START, None)
    );
}

#[test]
fn j30_repair_uses_current_spec() {
    let mut world = failed();
    world.job.tasks[1].work.container.as_mut().unwrap().image = "new".to_string();
    world.job.tasks.remove(0);
    world.job.tasks[0].depends_on.clear();
    world.job.tasks[0].work.container.as_mut().unwrap().args.clear();
    world.job.tasks.push(serde_json::from_value(json!({"name": "d", "container": {"image": "i"}})).unwrap());
    world.generation = 2;
    world.repair(json!({"id": 1, "allFailed": true}));
    assert_eq!(world.results(), "a SUCCESS, b RUNNING, c BLOCKED, d RUNNING");
    assert_eq!((world.status.job_generation, world.snapshots.len()), (Some(2), 2));
    let images: Vec<&str> = world.made.iter().map(|attempt| attempt.effective.work.container.as_ref().unwrap().image.as_str()).collect();
    assert_eq!(images, ["i", "old", "new", "i"]);
    world.succeed("b");
    world.succeed("c");
    world.succeed("d");
    assert_eq!(world.result(), Some(RunResultState::Success));
    world.repair(json!({"id": 2, "tasks": ["a"]}));
    assert_eq!(records(&world)[2], (2, RepairState::Rejected, "task a is not in the job any more".to_string()));
    assert_eq!((world.result(), world.status.repair_count, world.status.job_generation), (Some(RunResultState::Success), 2, Some(2)));
    world.repair(json!({"id": 3, "tasks": ["z"]}));
    assert_eq!(records(&world)[3].2, "task z does not exist");
}

/// One task of each result, and what follows it.
fn colourful() -> World {
    let no = json!({"condition": {"left": "1", "op": "EqualTo", "right": "2"}});
    let mut world = World::of(&[
        ("ok", &[], json!({})),
        ("after_ok", &["ok"], json!({})),
        ("bad", &[], json!({})),
        ("after_bad", &["bad"], json!({})),
        ("always", &["bad"], json!({"runIf": "AllDone"})),
        ("check", &[], no),
        ("branch", &[], json!({"dependsOn": [{"task": "check", "outcome": "true"}]})),
        ("after_branch", &["branch"], json!({})),
        ("stopped", &[], json!({})),
        ("after_stopped", &["stopped"], json!({})),
        ("off", &["bad"], json!({"disabled": true})),
        ("after_off", &["off"], json!({})),
    ]);
    world.settle();
    for (task, class) in [
        ("ok", EndClass::Success),
        ("after_ok", EndClass::Success),
        ("bad", EndClass::Lasting),
        ("always", EndClass::Success),
        ("stopped", EndClass::Canceled),
    ] {
        world.finish(task, class);
    }
    let results = "ok SUCCESS, after_ok SUCCESS, bad FAILED, after_bad UPSTREAM_FAILED, always SUCCESS, check SUCCESS, branch EXCLUDED, \
                   after_branch EXCLUDED, stopped CANCELED, after_stopped UPSTREAM_CANCELED, off DISABLED, after_off DISABLED";
    assert_eq!((world.results().as_str(), world.result()), (results, Some(RunResultState::Failed)));
    world
}

#[test]
fn j31_repair_matrix() {
    let chosen = |repair: Value| -> BTreeSet<String> {
        let mut world = colourful();
        world.repair(repair);
        assert!(world.status.repairs.len() == 2 && world.status.repairs[1].state != RepairState::Rejected, "{:#?}", world.status.repairs);
        let chosen: BTreeSet<String> = world.status.repairs[1].tasks.iter().cloned().collect();
        for task in &world.status.tasks {
            assert_eq!(task.repair_id, i32::from(chosen.contains(&task.name)), "{task:#?}");
        }
        chosen
    };
    let set = |names: &str| names.split(' ').map(str::to_string).collect::<BTreeSet<_>>();
    let cases = [
        // task, what is always done again with it, what `dependents` adds
        ("ok", "", "after_ok"),
        ("bad", "after_bad after_off", "always off"),
        ("after_bad", "", ""),
        ("check", "branch after_branch", ""),
        ("branch", "after_branch", ""),
        ("stopped", "after_stopped", ""),
        ("always", "", ""),
    ];
    for (task, always, more) in cases {
        let with = |all: &[&str]| set(all.iter().filter(|names| !names.is_empty()).copied().collect::<Vec<_>>().join(" ").as_str());
        assert_eq!(chosen(json!({"id": 1, "tasks": [task]})), with(&[task, always]), "{task}");
        assert_eq!(chosen(json!({"id": 1, "tasks": [task], "dependents": true})), with(&[task, always, more]), "{task} and dependents");
    }
    let failed = "bad after_bad after_off stopped after_stopped";
    assert_eq!(chosen(json!({"id": 1, "allFailed": true})), set(failed));
    assert_eq!(chosen(json!({"id": 1, "allFailed": true, "dependents": true})), set(&format!("{failed} always off")));
}

#[test]
fn j33_repair_second_keeps_parameters() {
    let mut world = failed();
    world.repair(json!({"id": 1, "allFailed": true, "parameters": {"p": "second"}}));
    world.finish("b", EndClass::Lasting);
    assert_eq!(world.result(), Some(RunResultState::Failed));
    world.repair(json!({"id": 2, "allFailed": true}));
    assert_eq!(args(&world), ["1 first 0", "1 second 1", "1 second 2"]);
    world.succeed("b");
    world.succeed("c");
    assert_eq!((world.result(), world.task("b").execution_count), (Some(RunResultState::Success), 3));
}

#[test]
fn repairs_that_cannot_be_are_refused_and_change_nothing() {
    let mut world = failed();
    let before = world.results();
    let mut refused = |repair: Value, cancel: Cancel| {
        world.request.cancel = cancel;
        world.request.repair = Some(serde_json::from_value(repair).unwrap());
        world.settle();
        assert_eq!(
            (world.results(), world.result(), world.status.state),
            (before.clone(), Some(RunResultState::Failed), Some(RunState::Terminated))
        );
        let record = world.status.repairs.last().unwrap().clone();
        assert_eq!((record.state, world.status.repair_count), (RepairState::Rejected, record.id));
        record.message.unwrap()
    };
    assert_eq!(
        refused(json!({"id": 1, "allFailed": true}), Cancel::Graceful),
        "the run is canceled: set cancel to None together with the repair"
    );
    assert_eq!(refused(json!({"id": 2, "tasks": ["b"], "parameters": {"unknown": "1"}}), Cancel::None), "the job has no parameter unknown");
    world.repair(json!({"id": 3, "allFailed": true}));
    assert_eq!(args(&world)[1], "1 first 3");
    world.succeed("b");
    world.succeed("c");
    world.repair(json!({"id": 4, "allFailed": true}));
    assert_eq!(records(&world)[4].2, "nothing has failed: name the tasks that shall run again");
    assert_eq!(world.result(), Some(RunResultState::Success));
}

#[test]
fn a_repair_of_a_run_that_goes_on_is_refused() {
    let mut world =
        World::new(&json!({"timeoutSeconds": 100, "tasks": [{"name": "a", "container": {"image": "i", "args": ["{{job.repair_count}}"]},
        "retry": {"maxRetries": 1}}]}));
    world.settle();
    world.repair(json!({"id": 1, "tasks": ["a"]}));
    assert_eq!(records(&world)[1], (1, RepairState::Rejected, "the run has not ended: wait for its end, or cancel it".to_string()));
    world.finish("a", EndClass::Failure);
    assert_eq!((args(&world)[1].as_str(), world.task("a").repair_id), ("0", 0));
    world.pass(100);
    assert_eq!(world.status.state, Some(RunState::Terminating), "the time limit holds");
    world.finish("a", EndClass::Canceled);
    assert_eq!((records(&world)[0].1, records(&world)[1].1), (RepairState::Failed, RepairState::Rejected));
    world.repair(json!({"id": 2, "tasks": ["a"]}));
    world.succeed("a");
    assert_eq!((world.result(), records(&world)[2].1), (Some(RunResultState::Success), RepairState::Succeeded));
}

#[test]
fn a_repair_waits_in_the_queue_and_may_be_skipped_or_canceled() {
    let waiting = || {
        let mut world = failed();
        world.job.tasks[1].work.container.as_mut().unwrap().image = "new".to_string();
        world.generation = 2;
        world.admission = Admission::Wait { reason: QueueReason::MaxConcurrentRuns, until: "2026-02-02T02:00:00Z".parse().unwrap() };
        world.repair(json!({"id": 1, "allFailed": true}));
        assert_eq!((world.status.state, world.results().as_str()), (Some(RunState::Queued), "a SUCCESS, b FAILED, c UPSTREAM_FAILED"));
        world
    };
    let mut skipped = waiting();
    skipped.admission = Admission::Skip { code: TerminationCode::QueueTimeout, message: "waited too long".to_string() };
    skipped.settle();
    assert_eq!(records(&skipped)[1], (1, RepairState::Rejected, "waited too long".to_string()));
    assert_eq!((skipped.result(), skipped.status.job_generation), (Some(RunResultState::Failed), Some(1)));
    assert_eq!(skipped.results(), "a SUCCESS, b FAILED, c UPSTREAM_FAILED");
    let mut canceled = waiting();
    canceled.request.cancel = Cancel::Graceful;
    canceled.settle();
    assert_eq!((records(&canceled)[1].1, canceled.result()), (RepairState::Rejected, Some(RunResultState::Failed)));
    let mut started = waiting();
    started.admission = Admission::Start;
    started.settle();
    assert_eq!((started.results().as_str(), started.status.queue_reason), ("a SUCCESS, b RUNNING, c BLOCKED", None));
}

#[test]
fn a_partial_run_is_repaired_within_its_tasks() {
    let mut world = World::of(&[("a", &[], json!({})), ("b", &["a"], json!({})), ("c", &["b"], json!({}))]);
    world.request.only = vec!["b".to_string()];
    world.settle();
    world.finish("b", EndClass::Lasting);
    world.repair(json!({"id": 1, "tasks": ["c"]}));
    assert_eq!(records(&world)[1].2, "the run is not for task c, but only for b");
    world.repair(json!({"id": 2, "allFailed": true, "dependents": true}));
    assert_eq!(world.status.repairs[2].tasks, ["b"]);
    world.succeed("b");
    assert_eq!((world.results().as_str(), world.result()), ("a DISABLED, b SUCCESS, c DISABLED", Some(RunResultState::Success)));
}

#[test]
fn what_a_task_said_before_a_repair_that_leaves_it_out_is_not_said() {
    let read = json!({"runIf": "AllDone", "container": {"image": "i", "args": ["{{tasks.b.values.n}}"]}});
    let check = json!({"condition": {"left": "{{job.repair_count}}", "op": "EqualTo", "right": "0"}});
    let mut world = World::of(&[
        ("check", &[], check),
        ("b", &[], json!({"dependsOn": [{"task": "check", "outcome": "true"}]})),
        ("other", &[], json!({})),
        ("read", &["b", "other"], read),
    ]);
    world.settle();
    world.says("b", json!({"n": 1}));
    world.succeed("b");
    world.succeed("other");
    world.succeed("read");
    world.repair(json!({"id": 1, "tasks": ["check"], "dependents": true}));
    assert_eq!(world.results(), "check SUCCESS, b EXCLUDED, other SUCCESS, read FAILED");
    assert_eq!(world.task("read").termination_code, Some(TerminationCode::InvalidReference));
}

#[test]
fn clean_ups_of_a_canceled_run_have_their_retries_and_wait_for_places() {
    let clean = json!({"runIf": "AllDone", "retry": {"maxRetries": 1}});
    let mut world = World::of(&[("a", &[], json!({})), ("clean", &["a"], clean)]);
    world.settle();
    world.request.cancel = Cancel::Graceful;
    world.settle();
    world.finish_one("a", None, EndClass::Canceled, "said so");
    world.places = 0;
    world.settle();
    assert_eq!(world.task("clean").state, TaskState::Queued);
    world.places = 1;
    world.settle();
    world.finish("clean", EndClass::Failure);
    world.succeed("clean");
    assert_eq!((world.results().as_str(), world.result()), ("a CANCELED, clean SUCCESS", Some(RunResultState::Canceled)));
}
