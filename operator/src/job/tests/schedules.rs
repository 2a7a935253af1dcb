//! Triggers by the clock, requests, continuous runs, history.

use super::*;

fn hourly(catch_up: &str) -> Observed {
    let mut observed = job(&json!({"triggers": [{"name": "clock", "schedule": {"cron": "0 * * * *", "catchUp": catch_up}}]}));
    step(&mut observed);
    observed
}

#[test]
fn j38_catch_up() {
    let after_three = |catch_up: &str| {
        let mut observed = hourly(catch_up);
        later(&mut observed, 3 * 3600 + 600);
        let told = step(&mut observed).told;
        (names(&observed), told.iter().filter(|told| told.starts_with("MissedSchedules")).count())
    };
    assert_eq!(after_three("None"), (vec![], 1));
    assert_eq!(after_three("Latest"), (vec!["nightly-20261121150000".to_string()], 1));
    let all = ["nightly-20261121130000", "nightly-20261121140000", "nightly-20261121150000"].map(str::to_string).to_vec();
    assert_eq!(after_three("All"), (all, 0));
    let mut observed = hourly("All");
    later(&mut observed, 3600);
    step(&mut observed);
    let run = observed.runs[0].clone();
    assert_eq!(run.spec.trigger.time.as_ref().unwrap().0.to_string(), "2026-11-21T13:00:00Z");
    assert_eq!((run.spec.trigger.name.as_str(), run.spec.trigger.trigger_type.as_str()), ("clock", "Periodic"));
    assert_eq!((run.labels()[labels::JOB].as_str(), run.owner_references()[0].uid.as_str()), ("nightly", "j1"));
    assert_eq!(status_of(&observed).next_run_time.as_ref().unwrap().0.to_string(), "2026-11-21T14:00:00Z");
}

#[test]
fn j39_a_death_before_the_status_fires_nothing_twice() {
    let mut observed = hourly("All");
    later(&mut observed, 2 * 3600);
    for _ in 0..5 {
        look(&mut observed);
    }
    assert_eq!(names(&observed), ["nightly-20261121130000", "nightly-20261121140000"]);
    step(&mut observed);
    assert_eq!(names(&observed).len(), 2);
    assert!(step(&mut observed).plan.runs.is_empty());
}

#[test]
fn j40_suspend_drops_fires() {
    let mut observed = hourly("All");
    spec_of(&mut observed).spec.suspend = true;
    assert!(step(&mut observed).told.contains(&"Suspended: spec.suspend is set: no trigger fires".to_string()));
    assert_eq!(status_of(&observed).next_run_time, None);
    later(&mut observed, 2 * 3600);
    step(&mut observed);
    spec_of(&mut observed).annotations_mut().insert(labels::UPDATE_REQUESTED_AT.to_string(), "now".to_string());
    step(&mut observed);
    assert_eq!(observed.runs.len(), 1, "a person may start runs");
    assert_eq!(status_of(&observed).last_handled_update_request.as_deref(), Some("now"));
    step(&mut observed);
    spec_of(&mut observed).spec.suspend = false;
    step(&mut observed);
    assert_eq!(observed.runs.len(), 1, "two instants have passed without a run");
    later(&mut observed, 3600);
    step(&mut observed);
    assert_eq!(names(&observed)[1], "nightly-20261121150000");
}

#[test]
fn an_instant_of_an_earlier_schedule_is_forgotten() {
    let mut observed = hourly("All");
    spec_of(&mut observed).spec.triggers[0].schedule.as_mut().unwrap().cron = Some("30 * * * *".to_string());
    later(&mut observed, 2 * 3600);
    step(&mut observed);
    assert!(observed.runs.is_empty());
    assert_eq!(trigger_of(&observed).next_fire_time.as_ref().unwrap().0.to_string(), "2026-11-21T14:30:00Z");
}

#[test]
fn j44_continuous_runs_follow_one_another() {
    let mut observed = job(&json!({"triggers": [{"name": "always", "continuous": {}}]}));
    let mut waits = Vec::new();
    step(&mut observed);
    for _ in 0..4 {
        let name = names(&observed).pop().unwrap();
        ends(&mut observed, &name, RunResultState::Failed, 1);
        step(&mut observed);
        let due = trigger_of(&observed).next_fire_time.as_ref().unwrap().0;
        waits.push(due.duration_since(observed.now).as_secs());
        assert!(step(&mut observed).plan.runs.is_empty(), "not before its time");
        observed.now = due;
        look(&mut observed);
        step(&mut observed);
        step(&mut observed);
    }
    let around = |wait: i64, seconds: i64| wait >= seconds * 8 / 10 - 1 && wait <= seconds * 12 / 10;
    assert!(waits.iter().zip([10, 20, 40, 80]).all(|(wait, seconds)| around(*wait, seconds)), "{waits:?}");
    // The first run and one after each failure; old ones have left.
    assert!(observed.runs.iter().any(|run| !crate::runs::is_terminal(run)));
    let name = names(&observed).pop().unwrap();
    ends(&mut observed, &name, RunResultState::Success, 1);
    step(&mut observed);
    assert_eq!(trigger_of(&observed).next_fire_time.as_ref().unwrap().0, observed.now + SignedDuration::from_secs(5));
    assert_eq!(status_of(&observed).consecutive_failures, 0);
}

#[test]
fn j44_a_changed_spec_replaces_the_continuous_run() {
    let mut observed = job(&json!({"triggers": [{"name": "always", "continuous": {}}]}));
    step(&mut observed);
    let first = names(&observed).pop().unwrap();
    becomes(&mut observed, &first, RunState::Running);
    assert!(step(&mut observed).plan.stops.is_empty());
    spec_of(&mut observed).spec.description = "other words".to_string();
    assert!(step(&mut observed).plan.stops.is_empty(), "nothing that a run does is different");
    spec_of(&mut observed).spec.tasks[0].timeout_seconds = Some(7);
    assert_eq!(step(&mut observed).plan.stops.len(), 1);
    assert!(step(&mut observed).plan.stops.is_empty(), "once");
    ends(&mut observed, &first, RunResultState::Canceled, 1);
    step(&mut observed);
    assert_eq!(observed.runs.len(), 2, "at once");
    assert_eq!(status_of(&observed).consecutive_failures, 0);
}

#[test]
fn j51_history_limits() {
    let mut observed = job(&json!({}));
    for n in 0..20 {
        let name = format!("run-{n:02}");
        let mut run = JobRun::new(&name, serde_json::from_value(json!({"jobRef": {"name": "nightly"}})).unwrap());
        run.metadata.creation_timestamp = Some(Time(observed.now));
        observed.runs.push(Arc::new(run));
        let result = if n % 2 == 0 { RunResultState::Success } else { RunResultState::Failed };
        later(&mut observed, 60);
        ends(&mut observed, &name, result, 1);
    }
    step(&mut observed);
    assert_eq!(names(&observed), ["run-14", "run-15", "run-16", "run-17", "run-18", "run-19"]);
    later(&mut observed, 604_800);
    step(&mut observed);
    assert_eq!(names(&observed), ["run-19"], "the newest stays whatever its age");
}

#[test]
fn failures_in_a_row_are_counted_once() {
    let mut observed = hourly("Latest");
    for n in 1..=5 {
        later(&mut observed, 3600);
        step(&mut observed);
        let name = names(&observed).pop().unwrap();
        ends(&mut observed, &name, RunResultState::Failed, 1);
        step(&mut observed);
        step(&mut observed);
        assert_eq!(status_of(&observed).consecutive_failures, n);
    }
    assert!(said(&observed, ConditionType::LastRunSucceeded).starts_with("False Failed: run nightly-20261121170000 failed"));
    assert!(said(&observed, ConditionType::Ready).starts_with("True"), "a failed run says nothing of the definition");
    later(&mut observed, 3600);
    step(&mut observed);
    let name = names(&observed).pop().unwrap();
    becomes(&mut observed, &name, RunState::Skipped);
    step(&mut observed);
    assert_eq!(status_of(&observed).consecutive_failures, 5, "a run that never started tells nothing");
}
