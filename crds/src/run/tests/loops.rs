//! Loops: order, limits, failures, retries, time, cancel, and how large a status becomes.

use serde_json::{Value, json};

use super::world::World;
use crate::{
    job_run::JobRunStatus,
    pipeline_update::Cancel,
    run::attempt::EndClass,
    state::{RunResultState, TaskResultState, TaskState, TerminationCode},
};

fn numbers(count: usize) -> String {
    serde_json::to_string(&(0..count).collect::<Vec<_>>()).unwrap()
}

/// A run of one loop.
fn looped(inputs: &str, concurrency: usize, loop_fields: &Value, nested: &Value) -> World {
    let mut task = json!({"name": "each", "container": {"image": "i"}});
    let mut outer = json!({"name": "loop"});
    for (target, more) in [(&mut task, nested), (&mut outer, loop_fields)] {
        for (key, value) in more.as_object().into_iter().flatten() {
            target[key] = value.clone();
        }
    }
    if nested.get("condition").is_some() || nested.get("sql").is_some() {
        task.as_object_mut().unwrap().remove("container");
    }
    outer["forEach"] = json!({"inputs": inputs, "concurrency": concurrency, "task": task});
    let mut world = World::new(&json!({"parameters": [{"name": "list", "default": "[1,2]"}], "tasks": [outer]}));
    world.settle();
    world
}

fn open(world: &World) -> Vec<usize> {
    world.running.iter().filter(|running| running.is_open()).filter_map(|running| running.attempt.iteration).collect()
}

fn made(world: &World) -> Vec<usize> {
    world.made.iter().filter_map(|attempt| attempt.iteration).collect()
}

fn end(world: &mut World, iteration: usize, class: EndClass) {
    world.finish_one("loop", Some(iteration), class, "said so");
    world.settle();
}

/// Total, succeeded and failed.
fn counts(world: &World) -> (i32, i32, i32) {
    let all = world.task("loop").for_each.as_ref().unwrap();
    (all.total, all.succeeded, all.failed)
}

#[test]
fn j11_for_each_concurrency() {
    let mut world = looped(&numbers(10), 3, &json!({}), &json!({}));
    while world.result().is_none() {
        let active = open(&world);
        assert!((1..=3).contains(&active.len()), "{active:?}");
        // The newest ends first.
        end(&mut world, *active.last().unwrap(), EndClass::Success);
    }
    assert_eq!(made(&world), (0..10).collect::<Vec<_>>());
    assert_eq!((counts(&world), world.result()), ((10, 10, 0), Some(RunResultState::Success)));
}

#[test]
fn j12_for_each_partial_failure() {
    let mut world = looped(&numbers(10), 10, &json!({}), &json!({}));
    for iteration in 0..10 {
        end(&mut world, iteration, if iteration == 6 { EndClass::Lasting } else { EndClass::Success });
    }
    let task = world.task("loop");
    assert_eq!((counts(&world), task.result_state), ((10, 9, 1), Some(TaskResultState::Failed)));
    assert_eq!(task.message.as_deref(), Some("1 of 10 iterations failed: said so"));
    let errors = &task.for_each.as_ref().unwrap().top_errors;
    assert_eq!(errors.iter().map(|error| (error.code.as_str(), error.count)).collect::<Vec<_>>(), [("RUN_EXECUTION_ERROR", 1)]);
    world.repair(json!({"id": 1, "allFailed": true}));
    assert_eq!((open(&world), world.made.len()), (vec![6], 11));
    assert_eq!(world.made[10].name, "nightly-1-loop-i6-2");
    end(&mut world, 6, EndClass::Lasting);
    assert_eq!((counts(&world), world.result()), ((10, 9, 1), Some(RunResultState::Failed)));
    world.repair(json!({"id": 2, "allFailed": true}));
    end(&mut world, 6, EndClass::Success);
    assert_eq!((counts(&world), world.result(), world.made.len()), ((10, 10, 0), Some(RunResultState::Success), 12));
    assert!(world.task("loop").for_each.as_ref().unwrap().top_errors.is_empty());
}

#[test]
fn j13_for_each_limits() {
    let ended = |inputs: &str| {
        let world = looped(inputs, 1, &json!({}), &json!({}));
        let task = world.task("loop").clone();
        (task.result_state, task.termination_code, world.made.len())
    };
    let failed = |code| (Some(TaskResultState::Failed), Some(code), 0);
    assert_eq!(ended("[]"), (Some(TaskResultState::Success), Some(TerminationCode::Success), 0));
    assert_eq!(counts(&looped("[]", 1, &json!({}), &json!({}))), (0, 0, 0));
    assert_eq!(ended("{\"a\": 1}"), failed(TerminationCode::InvalidForEachInputs));
    assert_eq!(ended(&numbers(1001)), failed(TerminationCode::TooManyIterations));
    assert_eq!(ended(&format!("[\"{}\"]", "x".repeat(48 * 1024 - 3))), failed(TerminationCode::ValueTooLarge));
    assert_eq!(ended("{{job.trigger.file_arrival.location}}"), failed(TerminationCode::InvalidReference));
}

#[test]
fn iterations_are_tried_again_like_tasks() {
    let mut world = looped("[1,2]", 2, &json!({}), &json!({"retry": {"maxRetries": 1, "minIntervalSeconds": 60}}));
    world.pass(20);
    end(&mut world, 0, EndClass::Failure);
    end(&mut world, 1, EndClass::Interrupted);
    assert_eq!(open(&world), [1], "what lost its place has it again at once");
    world.pass(39);
    assert_eq!(open(&world), [1]);
    world.pass(1);
    assert_eq!(open(&world), [1, 0]);
    end(&mut world, 0, EndClass::Failure);
    end(&mut world, 1, EndClass::Success);
    assert_eq!((counts(&world), world.task("loop").state, world.made.len()), ((2, 1, 1), TaskState::Terminated, 4));
}

#[test]
fn a_loop_that_takes_too_long_is_stopped() {
    let mut world = looped("[1,2,3]", 1, &json!({"timeoutSeconds": 100}), &json!({}));
    world.pass(60);
    end(&mut world, 0, EndClass::Success);
    world.pass(39);
    assert!(world.stops.is_empty());
    world.pass(1);
    assert_eq!(world.stops.iter().cloned().collect::<Vec<_>>(), [("loop".to_string(), Some(1), "Graceful".to_string())]);
    end(&mut world, 1, EndClass::Canceled);
    let task = world.task("loop");
    assert_eq!((task.result_state, task.termination_code), (Some(TaskResultState::TimedOut), Some(TerminationCode::TaskTimeout)));
    assert_eq!(
        (made(&world), task.message.as_deref()),
        (vec![0, 1], Some("the loop took longer than timeoutSeconds; 0 of 3 iterations failed"))
    );
}

#[test]
fn a_cancel_reaches_iterations() {
    let mut world = looped("[1,2,3]", 2, &json!({}), &json!({}));
    world.request.cancel = Cancel::Graceful;
    world.settle();
    assert_eq!((world.stops.len(), world.task("loop").state), (2, TaskState::Terminating));
    end(&mut world, 0, EndClass::Canceled);
    assert_eq!(world.result(), None);
    end(&mut world, 1, EndClass::Success);
    let task = world.task("loop");
    assert_eq!((task.result_state, task.termination_code), (Some(TaskResultState::Canceled), Some(TerminationCode::UserCanceled)));
    assert_eq!((counts(&world), world.result()), ((3, 1, 0), Some(RunResultState::Canceled)));
    world.repair(json!({"id": 1, "allFailed": true}));
    assert_eq!(open(&world), [0, 2]);
}

#[test]
fn a_loop_that_cleans_up_runs_in_a_run_that_is_canceled() {
    let clean = json!({"inputs": "[1,2]", "task": {"name": "each", "container": {"image": "i"}, "retry": {"maxRetries": 1}}});
    let mut world = World::of(&[("work", &[], json!({})), ("loop", &["work"], json!({"runIf": "AllDone", "forEach": clean}))]);
    world.settle();
    world.request.cancel = Cancel::Graceful;
    world.settle();
    world.finish("work", EndClass::Canceled);
    end(&mut world, 0, EndClass::Failure);
    end(&mut world, 0, EndClass::Success);
    end(&mut world, 1, EndClass::Success);
    assert_eq!((world.results().as_str(), world.result()), ("work CANCELED, loop SUCCESS", Some(RunResultState::Canceled)));
    assert!(!world.stops.iter().any(|(task, ..)| task == "loop"));
}

#[test]
fn other_inputs_in_a_repair_run_all_iterations() {
    let mut world = looped("{{job.parameters.list}}", 5, &json!({}), &json!({}));
    end(&mut world, 0, EndClass::Success);
    end(&mut world, 1, EndClass::Lasting);
    world.repair(json!({"id": 1, "allFailed": true, "parameters": {"list": "[1,2,3]"}}));
    assert_eq!(open(&world), [0, 1, 2]);
    assert_eq!(counts(&world), (3, 0, 0));
    assert_eq!(world.status.parameters["list"], "[1,2,3]");
}

#[test]
fn an_element_without_the_field_fails_alone() {
    let sql = json!({"sql": {"statements": "SELECT 1", "parameters": {"t": "{{input.name}}"}}});
    let mut world = looped(r#"[{"name": "a"}, {"nam": "b"}, {"name": "c"}]"#, 3, &json!({}), &sql);
    assert_eq!((open(&world), counts(&world)), (vec![0, 2], (3, 0, 1)));
    end(&mut world, 0, EndClass::Success);
    end(&mut world, 2, EndClass::Success);
    let task = world.task("loop");
    assert_eq!((task.result_state, task.termination_code), (Some(TaskResultState::Failed), Some(TerminationCode::InvalidReference)));
    assert!(task.message.as_ref().unwrap().contains("{{input.name}}"), "{:?}", task.message);
}

#[test]
fn conditions_in_a_loop_need_no_attempts() {
    let above = |inputs: &str| {
        let world = looped(inputs, 1, &json!({}), &json!({"condition": {"left": "{{input}}", "op": "GreaterThan", "right": "1"}}));
        (world.task("loop").result_state, counts(&world), world.made.len())
    };
    assert_eq!(above("[0,1,2]"), (Some(TaskResultState::Success), (3, 3, 0), 0));
    assert_eq!(above("[0,\"x\",2]"), (Some(TaskResultState::Failed), (3, 2, 1), 0));
}

#[test]
fn iterations_wait_for_places() {
    let mut world = looped("[1,2,3]", 3, &json!({}), &json!({}));
    assert_eq!(open(&world).len(), 3);
    world = looped("[]", 3, &json!({}), &json!({}));
    world.status = JobRunStatus::default();
    world.job.tasks[0].for_each.as_mut().unwrap().inputs = "[1,2,3]".to_string();
    world.snapshots.clear();
    world.places = 1;
    world.settle();
    assert_eq!(open(&world), [0]);
    end(&mut world, 0, EndClass::Success);
    assert_eq!(open(&world), [1]);
}

fn size(world: &World) -> usize {
    serde_json::to_vec(&world.status).unwrap().len()
}

#[test]
fn j53_status_is_bounded() {
    let long = "é".repeat(5000);
    let mut world = looped(&numbers(1000), 100, &json!({}), &json!({}));
    let mut number = 0;
    while world.result().is_none() {
        for iteration in open(&world) {
            number += 1;
            world.finish_one("loop", Some(iteration), EndClass::Lasting, &format!("{number} {long}"));
        }
        world.settle();
    }
    assert_eq!(counts(&world), (1000, 0, 1000));
    assert!(size(&world) < 4096, "{}", size(&world));

    let parameters: Vec<Value> = (0..60).map(|at| json!({"name": format!("p{at}"), "default": "x".repeat(1000)})).collect();
    let each =
        |at: usize| json!({"inputs": "[1,2,3]", "concurrency": 3, "task": {"name": format!("each{at}"), "container": {"image": "i"}}});
    let name = |at: usize| format!("{at:03}{}", "n".repeat(97));
    let tasks: Vec<Value> = (0..100).map(|at| json!({"name": name(at), "forEach": each(at)})).collect();
    let mut world = World::new(&json!({"parameters": parameters, "tasks": tasks}));
    world.settle();
    for round in 0..12 {
        for at in 0..100 {
            for iteration in 0..3 {
                world.finish_one(&name(at), Some(iteration), EndClass::Lasting, &format!("{iteration} {long}"));
            }
        }
        world.settle();
        assert_eq!(world.result(), Some(RunResultState::Failed));
        assert!(size(&world) <= 256 * 1024, "{}", size(&world));
        world.repair(json!({"id": round + 1, "allFailed": true}));
        assert_eq!(world.active().len(), 300, "what the machine goes by is not cut");
    }
}
