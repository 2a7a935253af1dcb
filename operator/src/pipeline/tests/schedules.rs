//! Instants of the schedule, and maintenance.

use super::*;

#[test]
fn schedules_start_one_update_per_instant() {
    let mut observed = settled(&json!({"updatePolicy": {"schedule": {"cron": "0 * * * *"}}}));
    assert_eq!(status_of(&observed).next_schedule_time.as_ref().unwrap().0.to_string(), "2026-11-21T13:00:00Z");
    observed.now = "2026-11-21T13:00:00.5Z".parse().unwrap();
    step(&mut observed);
    let made = observed.updates.last().unwrap().clone();
    assert_eq!(made.annotations()[labels::SCHEDULED_AT], "2026-11-21T13:00:00Z");
    let status = status_of(&observed);
    assert_eq!(status.last_schedule_time.as_ref().unwrap().0.to_string(), "2026-11-21T13:00:00Z");
    assert_eq!(status.next_schedule_time.as_ref().unwrap().0.to_string(), "2026-11-21T14:00:00Z");
    // The status was lost after the update was made: the same instant makes no second one.
    let next = Some(Time("2026-11-21T13:00:00Z".parse().unwrap()));
    Arc::make_mut(&mut observed.pipeline).status.as_mut().unwrap().next_schedule_time = next;
    let count = observed.updates.len();
    step(&mut observed);
    assert_eq!(observed.updates.len(), count);
}

#[test]
fn an_instant_outlives_a_config_map_that_blinks() {
    let spec = json!({"source": {"configMaps": [{"name": "sql"}]}, "updatePolicy": {"schedule": {"cron": "0 * * * *"}}});
    let mut observed = at_rest(&spec);
    let hashes = crate::memory::ConfigMapHashes { resource_version: "1".into(), keys: [("a.sql".into(), "h".into())].into() };
    let there = Some(Arc::new(hashes));
    observed.config_maps = [("sql".to_string(), there.clone())].into();
    step(&mut observed);
    becomes(&mut observed, "shop-u1", UpdateState::Completed);
    observed.now = "2026-11-21T12:59:59Z".parse().unwrap();
    observed.config_maps = [("sql".to_string(), None)].into();
    step(&mut observed);
    observed.now = "2026-11-21T13:00:05Z".parse().unwrap();
    observed.config_maps = [("sql".to_string(), there)].into();
    let (decision, _) = step(&mut observed);
    assert_eq!(decision.schedule.instant.unwrap().to_string(), "2026-11-21T13:00:00Z");
}

#[test]
fn suspending_and_missed_instants_are_told() {
    let mut observed = settled(&json!({"updatePolicy": {"schedule": {"cron": "0 * * * *"}}, "maintenance": {"suspend": true}}));
    let news = |observed: &mut Observed| {
        let before = status_of(observed).clone();
        let (decision, _) = step(observed);
        let told = transitions(Some(&before), status_of(observed), decision.schedule.missed);
        told.into_iter().map(|told| format!("{}: {}", told.reason.as_str(), told.note)).collect::<Vec<_>>()
    };
    Arc::make_mut(&mut observed.pipeline).spec.suspend = true;
    assert_eq!(news(&mut observed), ["Suspended: spec.suspend is set: no update starts by itself"]);
    assert_eq!(said(&observed, ConditionType::Paused), ("False".into(), "Suspended".into()));
    assert!(news(&mut observed).is_empty());
    Arc::make_mut(&mut observed.pipeline).spec.suspend = false;
    assert_eq!(news(&mut observed), ["Resumed: spec.suspend is not set any more: updates start by themselves again"]);
    observed.now = "2026-11-21T15:30:00Z".parse().unwrap();
    let missed =
        "MissedSchedules: 2 instants of the schedule passed without an update and are not made up for; see updatePolicy.schedule.catchUp";
    assert_eq!(news(&mut observed), [missed]);
    assert!(news(&mut observed).is_empty());
}

#[test]
fn o54_maintenance_comes_after_the_first_success_and_behind_the_queue() {
    let mut observed = settled(&json!({"maintenance": {"everySeconds": 3600}}));
    step(&mut observed);
    let made = observed.updates.last().unwrap().clone();
    assert_eq!((made.spec.update_type, made.spec.cause), (UpdateType::Maintenance, Cause::InfrastructureMaintenance));
    becomes(&mut observed, "shop-u2", UpdateState::Completed);
    let (decision, plan) = step(&mut observed);
    assert!(plan.start.is_none());
    assert_eq!(decision.again, Some(now() + SignedDuration::from_hours(1)));
    assert_eq!(status_of(&observed).last_update.as_ref().unwrap().name, "shop-u1", "maintenance is no update of the data");
}
