//! The queue of a pipeline: order, places, joining, its length.

use floe_crds::pipeline_update::Cancel;
use serde_json::json;

use super::World;

/// Lets the update that runs complete, whichever it is.
fn complete_one(world: &mut World) -> String {
    let job = world.made.last().unwrap().clone();
    let pod = world.run(&job);
    world.settle();
    world.complete(&pod, 7);
    world.settle();
    job
}

#[test]
fn first_in_first_out_with_maintenance_last() {
    let mut world = World::new(json!({}));
    for (name, spec) in [
        ("shop-u9", json!({"refresh": ["a"]})),
        ("shop-m", json!({"type": "Maintenance"})),
        ("shop-u10", json!({"refresh": ["b"]})),
        ("shop-u11", json!({"refresh": ["c"]})),
    ] {
        world.ask(name, spec);
    }
    world.settle();
    assert_eq!(
        ["shop-u9", "shop-u10", "shop-u11", "shop-m"].map(|name| world.state(name)),
        ["WAITING_FOR_RESOURCES", "QUEUED 1", "QUEUED 2", "QUEUED 3"]
    );
    assert_eq!(world.status("shop-u11").message.as_deref(), Some("waits for the end of shop-u9 (place 2)"));
    let order: Vec<_> = (0..4).map(|_| complete_one(&mut world)).collect();
    assert_eq!(order, ["shop-u9-a1", "shop-u10-a1", "shop-u11-a1", "shop-m-a1"]);
    assert_eq!(world.state("shop-m"), "COMPLETED");
    assert!(world.told.iter().any(|note| note.starts_with("MaintenanceCompleted update shop-m")), "{:?}", world.told);
}

#[test]
fn names_break_ties_of_one_second_as_numbers_would() {
    let mut world = World::new(json!({}));
    world.ask("shop-u10", json!({"refresh": ["b"]}));
    world.ask("shop-u9", json!({"refresh": ["a"]}));
    let same = world.updates["shop-u10"].metadata.creation_timestamp.clone();
    world.updates.get_mut("shop-u9").unwrap().metadata.creation_timestamp = same;
    world.settle();
    assert_eq!(world.made, ["shop-u9-a1"]);
}

#[test]
fn equal_requests_join_the_one_that_waits_and_end_with_it() {
    let mut world = World::new(json!({}));
    world.ask("u1", json!({}));
    world.settle();
    world.ask("u2", json!({"requestId": "x", "cause": "USER_ACTION"}));
    world.ask("u3", json!({"requestId": "y"}));
    world.ask("u4", json!({"refresh": ["a"]}));
    world.settle();
    assert_eq!(["u1", "u2", "u3", "u4"].map(|name| world.state(name)), ["WAITING_FOR_RESOURCES", "QUEUED 1", "QUEUED", "QUEUED 2"]);
    assert_eq!(world.status("u3").coalesced_into.as_deref(), Some("u2"), "nothing joins u1: its plan is made");
    assert_eq!(world.conditions("u3"), "True/Unknown/True/False Coalesced");
    complete_one(&mut world);
    complete_one(&mut world);
    world.pass(9);
    world.settle();
    assert_eq!(["u2", "u3"].map(|name| world.conditions(name)), ["True/True/False/False UpdateCompleted"; 2].map(str::to_string));
    assert_eq!((world.status("u3").attempt, world.made.len()), (None, 3));
    assert_eq!(world.status("u3").end_time, world.status("u2").end_time);
}

#[test]
fn what_was_joined_and_deleted_is_done_all_the_same() {
    let mut world = World::new(json!({}));
    for name in ["u1", "u2", "u3"] {
        world.ask(name, json!({"refresh": [if name == "u1" { "a" } else { "b" }]}));
    }
    world.settle();
    world.updates.remove("u2");
    world.settle();
    assert_eq!((world.state("u3").as_str(), world.status("u3").coalesced_into), ("QUEUED 1", None));
}

#[test]
fn the_hundred_and_first_is_refused() {
    let mut world = World::new(json!({}));
    for n in 0..102 {
        world.ask(&format!("u{n:03}"), json!({"refresh": [format!("t{n}")]}));
    }
    world.settle();
    assert_eq!(["u000", "u100", "u101"].map(|name| world.state(name)), ["WAITING_FOR_RESOURCES", "QUEUED 100", "FAILED"]);
    assert!(world.status("u101").message.unwrap().starts_with("[QUEUE_FULL] 100 updates"));
    assert_eq!(world.conditions("u101"), "True/False/False/True UpdateFailed");
}

#[test]
fn a_check_runs_beside_a_writer() {
    let mut world = World::new(json!({}));
    world.ask("u1", json!({}));
    world.ask("u2", json!({"validateOnly": true}));
    world.settle();
    assert_eq!(world.made, ["u1-a1", "u2-a1"]);
}

#[test]
fn a_canceled_update_leaves_the_line() {
    let mut world = World::new(json!({}));
    world.ask("u1", json!({}));
    world.ask("u2", json!({"refresh": ["a"], "definitionHash": "1"}));
    world.ask("u3", json!({"refresh": ["a"], "definitionHash": "2"}));
    world.ask("u4", json!({"refresh": ["b"]}));
    world.settle();
    world.cancel("u2", Cancel::Graceful);
    world.cancel("u4", Cancel::Graceful);
    world.settle();
    assert_eq!(["u2", "u3", "u4"].map(|name| world.state(name)), ["CANCELED", "QUEUED 1", "CANCELED"]);
    assert_eq!(world.conditions("u2"), "True/False/False/True Superseded");
    assert_eq!(world.conditions("u4"), "True/False/False/True UpdateCanceled");
}
