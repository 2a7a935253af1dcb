//! Why nothing starts, or what does: each check of the decision by what Reconciling says.

use super::*;

fn annotate(observed: &mut Observed, name: &str, value: &str) {
    Arc::make_mut(&mut observed.pipeline).annotations_mut().insert(name.to_string(), value.to_string());
}

/// The reason after one more look.
fn next(observed: &mut Observed) -> String {
    step(observed);
    why(observed)
}

/// At rest, and nothing follows by itself.
fn quiet(spec: serde_json::Value) -> Observed {
    let mut spec = spec;
    spec["maintenance"] = json!({"suspend": true});
    settled(&spec)
}

#[test]
fn of_a_pipeline_at_rest() {
    let mut observed = quiet(json!({}));
    assert_eq!(why(&observed), "False Idle: nothing is due: the next change or request starts an update");
    edit(&mut observed, "1");
    assert_eq!(next(&mut observed), "True Progressing: an update starts: the definition is new");
    assert_eq!(next(&mut observed), "True Progressing: update shop-u2 has not ended");
    becomes(&mut observed, "shop-u2", UpdateState::Running);
    assert_eq!(next(&mut observed), "True Progressing: update shop-u2 is under way");
    reports(&mut observed, "shop-u2", valid_graph());
    assert_eq!(next(&mut observed), "False Running: update shop-u2 is under way", "a sync does not wait for a load");
    becomes(&mut observed, "shop-u2", UpdateState::Failed);
    let failed = "False UpdateFailed: update shop-u2 failed and is not repeated: the next change or request starts one";
    assert_eq!(next(&mut observed), failed);
    becomes(&mut observed, "shop-u2", UpdateState::Canceled);
    let canceled = "False UpdateCanceled: update shop-u2 was canceled and is not repeated: the next change or request starts one";
    assert_eq!(next(&mut observed), canceled);
    annotate(&mut observed, labels::UPDATE_REQUESTED_AT, "now");
    let asked = "False Progressing: an update starts: the annotation floe.dev/update-requested-at asks for it";
    assert_eq!(next(&mut observed), asked);
}

#[test]
fn of_what_people_hold_back() {
    let mut observed = at_rest(&json!({"suspend": true}));
    assert_eq!(next(&mut observed), "False Suspended: spec.suspend is set: no update starts by itself");
    annotate(&mut observed, labels::PAUSED, "true");
    assert!(
        next(&mut observed).ends_with("the annotation floe.dev/paused is set: nothing but the status is written"),
        "{}",
        why(&observed)
    );
    let mut observed = at_rest(&json!({"updatePolicy": {"onChange": "None"}}));
    let none = "False Idle: updatePolicy.onChange is None: this definition counts from the next update on";
    assert_eq!(next(&mut observed), none);
    let mut observed = at_rest(&json!({"updatePolicy": {"schedule": {"cron": "61 * * * *"}}}));
    assert_eq!(next(&mut observed), "False InvalidSchedule: no update starts before the definition is accepted");
    let mut observed = at_rest(&json!({"source": {"configMaps": [{"name": "sql"}]}}));
    let missing = "True ConfigMapNotFound: no update starts yet: ConfigMap sql is not in namespace data; create it, or take it out of spec.source and \
                   spec.parameters";
    assert_eq!(next(&mut observed), missing);
    let mut observed = quiet(json!({"deletionPolicy": "Delete"}));
    deleted(&mut observed);
    assert_eq!(next(&mut observed), "True Deleting: the Pipeline is being deleted; a clean-up removes its data");
    let open = PipelineUpdate::new("by-hand", observed.updates[0].spec.clone());
    observed.updates.push(Arc::new(open));
    assert_eq!(next(&mut observed), "True Deleting: the Pipeline is being deleted; its updates end first");
}

#[test]
fn of_time() {
    let mut observed = at_rest(&json!({"source": {"configMaps": [{"name": "sql"}]}}));
    let hashes = crate::memory::ConfigMapHashes { resource_version: "1".into(), keys: [("a.sql".into(), "h".into())].into() };
    observed.config_maps = [("sql".to_string(), Some(Arc::new(hashes)))].into();
    observed.quiet_since = ago(2);
    let unquiet = "True Progressing: ConfigMaps or Tables changed shortly ago: an update starts after 5 s of quiet \
                   (updatePolicy.debounceSeconds), at 2026-11-21T12:00:03Z";
    assert_eq!(next(&mut observed), unquiet);
    let mut observed = quiet(json!({"updatePolicy": {"schedule": {"cron": "0 * * * *"}}}));
    assert_eq!(why(&observed), "False Idle: the schedule starts the next update at 2026-11-21T13:00:00Z");
    observed.now = "2026-11-21T13:00:00Z".parse().unwrap();
    assert_eq!(next(&mut observed), "False Progressing: an update starts: an instant of the schedule has come");
    becomes(&mut observed, "shop-u2", UpdateState::Failed);
    let failed =
        "False UpdateFailed: update shop-u2 failed and is not repeated: the next change, request or instant of the schedule starts one";
    assert_eq!(next(&mut observed), failed);
    let mut observed = settled(&json!({"maintenance": {"everySeconds": 86_400}}));
    step(&mut observed);
    assert_eq!(why(&observed), "False Idle: nothing is due before the maintenance at 2026-11-21T13:46:40Z");
    observed.now = "2026-11-21T14:00:00Z".parse().unwrap();
    assert_eq!(next(&mut observed), "False Progressing: an update of type Maintenance starts: it is due");
}

#[test]
fn of_a_validation_that_goes_before() {
    let mut observed = quiet(json!({}));
    becomes(&mut observed, "shop-u1", UpdateState::Running);
    edit(&mut observed, "1");
    step(&mut observed);
    assert_eq!(next(&mut observed), "True Progressing: a validation starts: update shop-u2 waits for the end of shop-u1");
    assert!(observed.updates[2].spec.selection.validate_only);
}

#[test]
fn of_a_continuous_pipeline() {
    let mut observed = at_rest(&json!({"mode": "Continuous"}));
    step(&mut observed);
    assert_eq!(next(&mut observed), "True Progressing: update shop-u1 waits for its turn");
    becomes(&mut observed, "shop-u1", UpdateState::Running);
    reports(&mut observed, "shop-u1", valid_graph());
    assert_eq!(next(&mut observed), "False Running: update shop-u1 is under way");
    edit(&mut observed, "1");
    let validation = "True Progressing: a validation starts: the definition changed while update shop-u1 is under way";
    assert_eq!(next(&mut observed), validation);
    assert_eq!(next(&mut observed), "True Progressing: update shop-u2 checks the changed definition, shop-u1 goes on meanwhile");
    reports(&mut observed, "shop-u2", GraphReport::default());
    becomes(&mut observed, "shop-u2", UpdateState::Failed);
    let wrong = "False GraphInvalid: update shop-u1 goes on with the definition before: shop-u2 did not find the changed one right";
    assert_eq!(next(&mut observed), wrong);
    reports(&mut observed, "shop-u2", valid_graph());
    step(&mut observed);
    assert_eq!(next(&mut observed), "False Progressing: update shop-u1 is stopped, so that one for the changed definition can follow");
    assert_eq!(next(&mut observed), "False Terminating: update shop-u1 is being stopped; one for the changed definition follows");
    becomes(&mut observed, "shop-u1", UpdateState::Canceled);
    assert_eq!(next(&mut observed), "False Progressing: an update starts: the definition is new");
    becomes(&mut observed, "shop-u3", UpdateState::Failed);
    assert_eq!(next(&mut observed), "False Retrying: update shop-u3 failed: the next one starts at 2026-11-21T12:00:05Z");
    becomes(&mut observed, "shop-u3", UpdateState::Canceled);
    assert_eq!(next(&mut observed), "False UpdateCanceled: update shop-u3 was canceled: the next change or request starts one");
}

#[test]
fn of_a_change_that_is_taken_back_while_its_update_is_awaited() {
    let mut observed = at_rest(&json!({"mode": "Continuous"}));
    step(&mut observed);
    becomes(&mut observed, "shop-u1", UpdateState::Running);
    edit(&mut observed, "1");
    step(&mut observed);
    reports(&mut observed, "shop-u2", valid_graph());
    becomes(&mut observed, "shop-u2", UpdateState::Completed);
    step(&mut observed);
    step(&mut observed);
    assert_eq!(observed.updates[0].spec.cancel, Cancel::Graceful);
    Arc::make_mut(&mut observed.pipeline).spec.configuration.clear();
    becomes(&mut observed, "shop-u1", UpdateState::Canceled);
    let (_, plan) = step(&mut observed);
    assert!(plan.start.is_some(), "nobody stopped the Pipeline: {}", why(&observed));
}
