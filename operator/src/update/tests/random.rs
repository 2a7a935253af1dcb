//! Updates under random events: whatever happens, and wherever the operator is killed, the same things stay true.

use floe_crds::{pipeline_update::Cancel, run_report::RunReportSpec, state::UpdateState};
use proptest::prelude::*;
use serde_json::json;

use super::World;

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Act {
    Reconcile,
    Die,
    Run,
    Report(i64),
    End(i32),
    Evict,
    RemovePod,
    RemoveJob,
    Cancel(bool),
    Pause(bool),
    Ask,
    Pass(i64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Reconcile),
        2 => Just(Act::Die),
        5 => Just(Act::Run),
        3 => (0..100_i64).prop_map(Act::Report),
        4 => prop::sample::select(vec![0, 10, 11, 12, 20, 20, 20, 137, 139, 143]).prop_map(Act::End),
        2 => Just(Act::Evict),
        1 => Just(Act::RemovePod),
        1 => Just(Act::RemoveJob),
        1 => any::<bool>().prop_map(Act::Cancel),
        1 => any::<bool>().prop_map(Act::Pause),
        1 => Just(Act::Ask),
        3 => prop::sample::select(vec![1, 7, 40, 700, 4000]).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 1..60)
}

fn act(world: &mut World, act: Act, asked: &mut usize) {
    let live = world.live().pop();
    match (act, live) {
        (Act::Reconcile, _) => world.settle(),
        (Act::Die, _) => {
            for name in world.updates.keys().cloned().collect::<Vec<_>>() {
                world.reconcile(&name, true);
            }
        }
        (Act::Run, None) => {
            let job = world.jobs.iter().find(|(_, job)| job.status.is_none()).map(|(name, _)| name.clone());
            job.map(|job| world.run(&job));
        }
        (Act::Report(rows), Some(pod)) => {
            let mut report = RunReportSpec { state: Some(UpdateState::Running), ..RunReportSpec::default() };
            report.totals.rows_written = rows;
            world.report(&pod, report);
        }
        (Act::End(code), Some(pod)) => world.end(&pod, code),
        (Act::Evict, Some(pod)) => {
            let status = json!({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]});
            world.pods.get_mut(&pod).unwrap().status = Some(serde_json::from_value(status).unwrap());
        }
        (Act::RemovePod, Some(pod)) => {
            world.end(&pod, 143);
            world.pods.remove(&pod);
        }
        (Act::RemoveJob, Some(pod)) => {
            world.jobs.remove(pod.rsplit_once("-p").unwrap().0);
        }
        (Act::Cancel(now), _) => {
            let name = world.updates.keys().next_back().cloned().unwrap();
            let update = &mut world.updates.get_mut(&name).unwrap().spec;
            update.cancel = update.cancel.max(if now { Cancel::Immediate } else { Cancel::Graceful });
        }
        (Act::Pause(paused), _) => {
            let annotations = paused.then(|| [("floe.dev/paused".to_string(), "true".to_string())].into());
            world.pipeline.as_mut().unwrap().metadata.annotations = annotations;
        }
        (Act::Ask, _) if *asked < 4 => {
            *asked += 1;
            world.ask(&format!("u{asked}"), json!({"refresh": [format!("t{asked}")]}));
        }
        (Act::Pass(seconds), _) => world.pass(seconds),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn attempts_only_rise_ends_are_final_and_there_is_one_writer(events in acts()) {
        let mut world = World::new(json!({"retryPolicy": {"maxUpdateRetries": 3, "minBackoffSeconds": 5}}));
        let mut asked = 1;
        world.ask("u1", json!({}));
        for event in events {
            let before: Vec<_> = world.updates.keys().map(|name| (name.clone(), world.status(name))).collect();
            act(&mut world, event, &mut asked);
            prop_assert!(world.live().len() <= 1, "two writers: {:?}", world.live());
            for (name, before) in before {
                let after = world.status(&name);
                prop_assert!(after.attempt >= before.attempt, "{name}: {:?} after {:?}", after.attempt, before.attempt);
                if before.state.is_some_and(UpdateState::is_terminal) {
                    prop_assert_eq!(&after, &before, "an end is final");
                }
                let rows = |totals: &Option<floe_crds::pipeline_update::Totals>| totals.as_ref().map_or(0, |totals| totals.rows_written);
                prop_assert!(rows(&after.totals) >= rows(&after.ended_totals));
            }
        }
        // Left alone, with runners that complete, everything ends.
        world.pipeline.as_mut().unwrap().metadata.annotations = None;
        for _ in 0..40 {
            world.settle();
            for pod in world.live() {
                world.complete(&pod, 1);
                // Garbage collection takes the pods of a batch/v1 Job that is gone.
                if !world.jobs.contains_key(pod.rsplit_once("-p").unwrap().0) {
                    world.pods.remove(&pod);
                }
            }
            world.settle();
            act(&mut world, Act::Run, &mut asked);
            world.pass(600);
        }
        for name in world.updates.keys() {
            prop_assert!(world.status(name).state.is_some_and(UpdateState::is_terminal), "{name} is {}", world.state(name));
        }
        // After an hour nothing is left, and nothing is done any more.
        world.pass(3600);
        world.settle();
        prop_assert!(world.jobs.is_empty() && world.requests.is_empty(), "{:?} {:?}", world.jobs.keys(), world.requests);
        for name in world.updates.keys().cloned().collect::<Vec<_>>() {
            prop_assert!(!world.reconcile(&name, false), "{name} is settled");
        }
    }
}
