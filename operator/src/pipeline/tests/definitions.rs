//! What a definition, and a change of it, starts; what people ask for; who has a storage root.

use super::*;

#[test]
fn o03_a_settled_pipeline_is_left_alone() {
    let mut observed = settled(&json!({}));
    let before = observed.pipeline.status.clone();
    let (decision, plan) = step(&mut observed);
    assert!(matches!(decision.outcome.act, Act::Wait) && plan.start.is_none() && plan.beside.is_none() && plan.finalizers.is_none());
    assert_eq!(observed.pipeline.status, before);
    assert_eq!(said(&observed, ConditionType::Ready), ("True".into(), "GraphValid".into()));
    assert_eq!(said(&observed, ConditionType::UpdateSucceeded), ("True".into(), "UpdateCompleted".into()));
    assert_eq!(status_of(&observed).last_successful_update.as_ref().unwrap().name, "shop-u1");
}

#[test]
fn o11_a_changed_definition_starts_one_update_and_replaces_one_that_waits() {
    let mut observed = settled(&json!({}));
    edit(&mut observed, "1");
    step(&mut observed);
    becomes(&mut observed, "shop-u2", UpdateState::Running);
    step(&mut observed);
    edit(&mut observed, "2");
    step(&mut observed);
    assert_eq!(names(&observed), ["shop-u1", "shop-u2", "shop-u3"]);
    step(&mut observed);
    let checked = &observed.updates[3];
    assert!(checked.spec.selection.validate_only, "Ready does not wait for the load");
    edit(&mut observed, "3");
    step(&mut observed);
    let cancels: Vec<Cancel> = observed.updates.iter().map(|update| update.spec.cancel).collect();
    assert_eq!(names(&observed).last().unwrap(), "shop-u5");
    assert_eq!(cancels[2], Cancel::Graceful, "the outdated one");
    assert_eq!(cancels[1], Cancel::None, "the running one goes on");
    // Labels and the settings of pods are no part of the definition.
    let pipeline = Arc::make_mut(&mut observed.pipeline);
    pipeline.metadata.labels = Some([("a".to_string(), "b".to_string())].into());
    pipeline.spec.runner.image = Some("other".to_string());
    let count = observed.updates.len();
    step(&mut observed);
    assert!(observed.updates.len() <= count + 1, "at most the validation of the newest definition");
    assert!(observed.updates.iter().skip(count).all(|update| update.spec.selection.validate_only));
}

#[test]
fn o11_sources_must_be_quiet_before_they_count() {
    let spec = json!({"source": {"configMaps": [{"name": "sql"}]}});
    let mut observed = at_rest(&spec);
    let hashes = crate::memory::ConfigMapHashes { resource_version: "1".into(), keys: [("a.sql".into(), "h".into())].into() };
    observed.config_maps = [("sql".to_string(), Some(Arc::new(hashes)))].into();
    observed.quiet_since = ago(2);
    let (decision, plan) = step(&mut observed);
    assert!(plan.start.is_none());
    assert_eq!(decision.again, Some(now() + SignedDuration::from_secs(3)));
    observed.quiet_since = ago(5);
    assert_eq!(step(&mut observed).1.start.iter().count(), 1);
}

#[test]
fn o13_on_change_says_what_starts() {
    let mut observed = at_rest(&json!({"updatePolicy": {"onChange": "Validate"}}));
    step(&mut observed);
    assert!(observed.updates[0].spec.selection.validate_only);
    reports(&mut observed, "shop-u1", valid_graph());
    becomes(&mut observed, "shop-u1", UpdateState::Completed);
    step(&mut observed);
    assert_eq!(said(&observed, ConditionType::Ready), ("True".into(), "GraphValid".into()));
    assert_eq!(said(&observed, ConditionType::UpdateSucceeded).1, "NoUpdateYet");
    let mut observed = at_rest(&json!({"updatePolicy": {"onChange": "None"}}));
    assert!(step(&mut observed).1.start.is_none());
    assert_eq!(said(&observed, ConditionType::Ready), ("True".into(), "NotValidated".into()));
}

#[test]
fn o31_suspended_pipelines_answer_requests_only_and_paused_ones_nothing() {
    let mut observed = at_rest(&json!({"suspend": true, "updatePolicy": {"schedule": {"cron": "* * * * *"}}}));
    let (decision, plan) = step(&mut observed);
    assert!(plan.start.is_none() && matches!(decision.outcome.act, Act::Suspend));
    assert_eq!(status_of(&observed).next_schedule_time, None);
    let annotate = |observed: &mut Observed, name: &str, value: &str| {
        Arc::make_mut(&mut observed.pipeline).annotations_mut().insert(name.to_string(), value.to_string());
    };
    annotate(&mut observed, labels::UPDATE_REQUESTED_AT, "one");
    step(&mut observed);
    assert_eq!((observed.updates[0].spec.request_id.as_str(), observed.updates[0].spec.cause), ("one", Cause::UserAction));
    assert_eq!(status_of(&observed).last_handled_update_request.as_deref(), Some("one"));
    annotate(&mut observed, labels::PAUSED, "true");
    annotate(&mut observed, labels::UPDATE_REQUESTED_AT, "two");
    assert!(step(&mut observed).1.start.is_none());
    assert_eq!(said(&observed, ConditionType::Paused).0, "True");
    assert_eq!(status_of(&observed).last_handled_update_request.as_deref(), Some("one"), "it waits for the end of the pause");
}

#[test]
fn o32_the_same_request_acts_once_even_if_its_update_is_gone() {
    let mut observed = settled(&json!({}));
    let annotations = Arc::make_mut(&mut observed.pipeline).annotations_mut();
    annotations.insert(labels::UPDATE_REQUESTED_AT.to_string(), "monday".to_string());
    step(&mut observed);
    becomes(&mut observed, "shop-u2", UpdateState::Completed);
    step(&mut observed);
    observed.updates.remove(1);
    assert!(step(&mut observed).1.start.is_none());
}

#[test]
fn o52_the_older_pipeline_has_the_storage() {
    let mut observed = at_rest(&json!({}));
    let rival = |uri: &str, created| Rival { key: Key::new("other", "x"), uri: uri.to_string(), volumes: None, created: Some(created) };
    for (uri, created, refused) in [
        ("s3://lake/shop/", ago(90_000), true),
        ("s3://lake", ago(90_000), true),
        ("s3://lake/shop/inner", ago(90_000), true),
        ("s3://lake/shopping", ago(90_000), false),
        ("s3://lake/shop", ago(10), false),
    ] {
        observed.rivals = vec![rival(uri, created)];
        let reason = match validate(&observed) {
            Verdict::Refused(refusal) => refusal.reason.to_string(),
            _ => String::new(),
        };
        assert_eq!(reason == "StorageConflict", refused, "{uri}");
    }
    // The same path in pods of another namespace, or on another claim, is another place.
    let claim = |name: &str| json!({"spec": {"volumes": [{"name": "lake", "persistentVolumeClaim": {"claimName": name}}]}});
    let mut observed = at_rest(&json!({"storage": {"uri": "file:///lake/shop"}, "runner": {"podTemplate": claim("a")}}));
    for (namespace, name, refused) in [("data", "a", true), ("data", "b", false), ("other", "a", false)] {
        let volumes = claim(name).pointer("/spec/volumes").cloned();
        let key = Key::new(namespace, "x");
        observed.rivals = vec![Rival { key, uri: "file:///lake/shop".to_string(), volumes, created: Some(ago(90_000)) }];
        assert_eq!(matches!(validate(&observed), Verdict::Refused(_)), refused, "{namespace} {name}");
    }
}

#[test]
fn decisions_do_not_depend_on_how_often_one_looks() {
    let mut observed = at_rest(&json!({}));
    for _ in 0..5 {
        step(&mut observed);
    }
    let starts = observed.updates.iter().filter(|update| update.spec.update_type == UpdateType::Update).count();
    assert_eq!(starts, 1);
    assert!(!matches!(decide(&observed, &validate(&observed)).outcome.act, Act::Start(_)));
}
