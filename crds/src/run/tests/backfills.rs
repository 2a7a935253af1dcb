//! Runs that stand for slices of time.

use serde_json::{Value, json};

use super::world::World;
use crate::{
    job_run::JobRunStatus,
    run::attempt::EndClass,
    state::{RunResultState, TerminationCode},
};

fn backfill(more: &Value, parameters: &Value) -> World {
    let mut world = World::new(&json!({
        "parameters": [{"name": "run_date", "default": "{{job.trigger.time.iso_date}}"}, {"name": "mode", "default": "daily"}],
        "tasks": [{"name": "a", "container": {"image": "i"}}, {"name": "b", "container": {"image": "i"}}]
    }));
    let mut wanted = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-01-08T00:00:00Z", "every": "P1D"});
    for (key, value) in more.as_object().into_iter().flatten() {
        wanted[key] = value.clone();
    }
    world.request = serde_json::from_value(json!({"jobRef": {"name": "nightly"}, "backfill": wanted, "parameters": parameters})).unwrap();
    world.slices = world.request.backfill.as_ref().unwrap().slices().unwrap_or_default();
    world.settle();
    world
}

fn end(world: &mut World, slice: usize, class: EndClass) {
    world.finish_one("slices", Some(slice), class, "said so");
    world.settle();
}

fn handed(world: &World) -> Vec<Value> {
    world.made.iter().map(|attempt| json!(attempt.effective.work.run_job.as_ref().unwrap().parameters)).collect()
}

#[test]
fn j45_backfill() {
    let mut world =
        backfill(&json!({"maxConcurrent": 2}), &json!({"run_date": "{{backfill.iso_date}} {{job.trigger.time.day}} {{job.trigger.type}}"}));
    for slice in 0..7 {
        assert!((1..=2).contains(&world.active().len()));
        end(&mut world, slice, EndClass::Success);
    }
    let names: Vec<&str> = world.made.iter().map(|attempt| attempt.name.as_str()).collect();
    let expected: Vec<String> = (1..=7).map(|day| format!("nightly-1-202601{day:02}000000")).collect();
    assert_eq!(names, expected);
    let dates: Vec<Value> = (1..=7).map(|day| json!({"run_date": format!("2026-01-{day:02} {day} backfill")})).collect();
    assert_eq!(handed(&world), dates, "defaults are left to the runs of the slices");
    assert!(world.made.iter().all(|attempt| attempt.parameters.is_empty() && attempt.slice.is_some()));
    let counts = world.status.task_counts.as_ref().unwrap();
    assert_eq!((world.result(), counts.done.as_str(), counts.succeeded), (Some(RunResultState::Success), "7/7", 7));
}

#[test]
fn j45_the_newest_first() {
    let world = backfill(&json!({"order": "Descending", "every": "P3D"}), &json!({}));
    let slice = world.made[0].slice.unwrap();
    assert_eq!((slice.start.to_string().as_str(), slice.end.to_string().as_str()), ("2026-01-07T00:00:00Z", "2026-01-10T00:00:00Z"));
    assert_eq!(handed(&world), [json!({})]);
}

#[test]
fn a_backfill_is_repaired_by_its_failed_slices() {
    let mut world = backfill(&json!({"maxConcurrent": 7}), &json!({"run_date": "{{backfill.iso_date}}"}));
    for slice in 0..7 {
        end(&mut world, slice, if slice == 4 { EndClass::Lasting } else { EndClass::Success });
    }
    assert_eq!((world.result(), world.status.task_counts.as_ref().unwrap().failed), (Some(RunResultState::Failed), 1));
    world.repair(json!({"id": 1, "allFailed": true, "parameters": {"mode": "again {{backfill.day}}"}}));
    assert_eq!((world.made.len(), world.active()), (8, vec!["slices"]));
    assert_eq!((world.made[7].iteration, world.made[7].slice), (Some(4), world.made[4].slice));
    assert_ne!(world.made[7].name, world.made[4].name);
    assert_eq!(handed(&world)[7], json!({"mode": "again 5", "run_date": "2026-01-05"}));
    end(&mut world, 4, EndClass::Success);
    assert_eq!((world.result(), world.status.task_counts.as_ref().unwrap().succeeded), (Some(RunResultState::Success), 7));
}

#[test]
fn a_backfill_of_some_tasks_has_all_its_slices() {
    let mut world = backfill(&json!({}), &json!({}));
    world.status = JobRunStatus::default();
    (world.snapshots, world.running, world.made) = Default::default();
    world.request.only = vec!["b".to_string()];
    world.settle();
    assert_eq!((world.result(), world.made.len()), (None, 1));
    end(&mut world, 0, EndClass::Lasting);
    world.repair(json!({"id": 1, "allFailed": true}));
    assert_eq!(world.result(), None, "the repair is refused while it runs");
}

#[test]
fn backfills_without_slices_are_refused() {
    let refused = |more: Value, parameters: Value| {
        let world = backfill(&more, &parameters);
        assert!(world.made.is_empty());
        (world.status.termination_code.unwrap(), world.status.message.unwrap())
    };
    let (code, message) = refused(json!({"every": "1 day"}), json!({}));
    assert_eq!(code, TerminationCode::InvalidRunConfiguration);
    assert!(message.starts_with("backfill.every '1 day' is no length of time"), "{message}");
    let (code, message) = refused(json!({}), json!({"run_dat": "x"}));
    assert_eq!((code, message.as_str()), (TerminationCode::InvalidParameter, "the job has no parameter run_dat; did you mean run_date?"));
}
