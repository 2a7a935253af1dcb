//! Which updates stay, and the numbers in their names.

use super::*;

#[test]
fn o36_history_keeps_the_newest_and_the_owner_of_the_graph() {
    let mut observed = settled(&json!({"updateHistory": {"successfulLimit": 2, "failedLimit": 1}}));
    for n in 2..40 {
        let mut update = PipelineUpdate::new(&format!("shop-u{n}"), observed.updates[0].spec.clone());
        update.metadata.uid = Some(format!("uid-{n}"));
        update.metadata.creation_timestamp = Some(Time(ago(4000 - n)));
        let state = if n % 2 == 0 { UpdateState::Completed } else { UpdateState::Failed };
        update.status = Some(PipelineUpdateStatus { state: Some(state), end_time: Some(Time(ago(3000 - n))), ..Default::default() });
        observed.updates.push(Arc::new(update));
    }
    change(&mut observed, "shop-u1", |update| update.status.as_mut().unwrap().end_time = Some(Time(ago(3600))));
    let (_, first) = step(&mut observed);
    assert_eq!(first.removes.len(), 20, "a few at a time, the oldest first");
    assert_eq!(first.removes[0].name_any(), "shop-u2");
    step(&mut observed);
    assert_eq!(names(&observed), ["shop-u1", "shop-u36", "shop-u38", "shop-u39"]);
    Arc::make_mut(&mut observed.pipeline).spec.maintenance.suspend = true;
    observed.now = now() + SignedDuration::from_hours(24 * 8);
    step(&mut observed);
    assert_eq!(names(&observed), ["shop-u1", "shop-u39"], "the newest one stays for ever");
}

#[test]
fn o36_updates_of_others_do_not_push_the_answer_to_a_change_out() {
    let mut observed = settled(&json!({"updateHistory": {"successfulLimit": 2}, "maintenance": {"suspend": true}}));
    observed.report = None;
    for n in 1..=3 {
        let spec = floe_crds::pipeline_update::PipelineUpdateSpec { pipeline: "shop".to_string(), ..Default::default() };
        let mut update = PipelineUpdate::new(&format!("h{n}"), spec);
        update.metadata.uid = Some(format!("uid of h{n}"));
        update.metadata.creation_timestamp = Some(Time(now() + SignedDuration::from_secs(n)));
        observed.updates.push(Arc::new(update));
        observed.now = now() + SignedDuration::from_secs(n);
        becomes(&mut observed, &format!("h{n}"), UpdateState::Completed);
        step(&mut observed);
    }
    assert_eq!(names(&observed), ["shop-u1", "h2", "h3"]);
    observed.now = now() + SignedDuration::from_hours(24 * 8);
    step(&mut observed);
    assert!(step(&mut observed).1.start.is_none());
    assert_eq!(names(&observed), ["shop-u1", "h3"]);
}

#[test]
fn numbers_that_people_choose_do_not_count() {
    let mut observed = settled(&json!({}));
    let by_hand = PipelineUpdate::new("shop-u9223372036854775807", observed.updates[0].spec.clone());
    observed.updates.push(Arc::new(by_hand));
    becomes(&mut observed, "shop-u9223372036854775807", UpdateState::Completed);
    edit(&mut observed, "1");
    assert_eq!(step(&mut observed).1.start.unwrap().number, 2);
    Arc::make_mut(&mut observed.updates[0]).metadata.name = Some("shop-u9223372036854775807".to_string());
    edit(&mut observed, "2");
    assert_eq!(step(&mut observed).1.start.unwrap().number, i64::MAX, "and nothing breaks");
}
