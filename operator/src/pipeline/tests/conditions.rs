//! What conditions say.

use super::*;

#[test]
fn o01_every_condition_is_set_at_the_first_look() {
    let mut observed = at_rest(&json!({}));
    step(&mut observed);
    for kind in ConditionType::PIPELINE {
        let condition = condition::find(&status_of(&observed).conditions, *kind).unwrap();
        assert_eq!(condition.observed_generation, Some(3), "{kind}");
    }
    assert_eq!(said(&observed, ConditionType::Ready), ("Unknown".into(), "Validating".into()));
    assert_eq!(said(&observed, ConditionType::Reconciling).0, "True");
    assert_eq!((names(&observed), status_of(&observed).update_counter), (vec!["shop-u1".to_string()], Some(1)));
}

#[test]
fn o12_findings_are_told_with_their_place() {
    let mut observed = at_rest(&json!({}));
    step(&mut observed);
    let finding = |n: u32| Finding {
        error: true,
        class: "TABLE_OR_VIEW_NOT_FOUND".to_string(),
        message: "table orders is not known".to_string(),
        origin: Some(format!("transformations/{n}.sql:3:8")),
        help: Some("did you mean order?".to_string()),
    };
    reports(&mut observed, "shop-u1", GraphReport { valid: false, findings: (1..=5).map(finding).collect(), ..GraphReport::default() });
    becomes(&mut observed, "shop-u1", UpdateState::Failed);
    step(&mut observed);
    let conditions = &status_of(&observed).conditions;
    let ready = condition::find(conditions, ConditionType::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "GraphInvalid"));
    assert!(
        ready.message.starts_with("transformations/1.sql:3:8: [TABLE_OR_VIEW_NOT_FOUND] table orders is not known (did you mean order?)")
    );
    assert!(ready.message.ends_with("and 2 more"));
    assert_eq!(said(&observed, ConditionType::Stalled), ("True".into(), "GraphInvalid".into()));
    assert!(step(&mut observed).1.start.is_none(), "a user error is not tried again");
}

#[test]
fn ready_is_told_also_when_no_report_came() {
    let message = |observed: &Observed| condition::find(&status_of(observed).conditions, ConditionType::Ready).unwrap().message.clone();
    for (end, reason, words) in [
        (UpdateState::Completed, "GraphValid", "update shop-u1 ended well; its runner did not report the graph"),
        (UpdateState::Canceled, "NotValidated", "update shop-u1 was canceled before the definition was checked; the next update checks it"),
    ] {
        let mut observed = at_rest(&json!({"maintenance": {"suspend": true}}));
        step(&mut observed);
        becomes(&mut observed, "shop-u1", end);
        for _ in 0..2 {
            assert!(step(&mut observed).1.start.is_none());
            assert_eq!(said(&observed, ConditionType::Ready), ("True".into(), reason.into()));
            assert_eq!((said(&observed, ConditionType::Reconciling).0.as_str(), message(&observed).as_str()), ("False", words));
        }
        observed.updates.clear();
        step(&mut observed);
        assert_eq!(said(&observed, ConditionType::Ready), ("True".into(), reason.into()), "also when the update is gone");
        assert_eq!(said(&observed, ConditionType::Reconciling).0, "False");
    }
    let mut observed = at_rest(&json!({"suspend": true}));
    step(&mut observed);
    assert_eq!(message(&observed), "spec.suspend is set: the definition was not checked");
}

#[test]
fn what_is_missing_may_come_for_ten_minutes() {
    let mut observed = at_rest(&json!({"source": {"configMaps": [{"name": "sql"}]}}));
    // Ready has been False since yesterday for another reason.
    let found = |kind: &str, reason: &str, status: &str| json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": ago(86_400).to_string()});
    let old = json!({"conditions": [
        found("Ready", "GraphInvalid", "False"), found("Reconciling", "GraphInvalid", "False"), found("Stalled", "GraphInvalid", "True"),
    ]});
    Arc::make_mut(&mut observed.pipeline).status = Some(serde_json::from_value(old).unwrap());
    let end = now() + SignedDuration::from_mins(10);
    for at in [now(), ago(-300)] {
        observed.now = at;
        assert_eq!(step(&mut observed).0.again, Some(end));
        assert_eq!(said(&observed, ConditionType::Stalled).0, "False");
        assert_eq!(said(&observed, ConditionType::Reconciling), ("True".into(), "ConfigMapNotFound".into()));
    }
    for at in [end, end + SignedDuration::from_mins(1)] {
        observed.now = at;
        assert_eq!(step(&mut observed).0.again, None);
        assert_eq!(said(&observed, ConditionType::Stalled), ("True".into(), "ConfigMapNotFound".into()));
        assert_eq!(said(&observed, ConditionType::Reconciling).0, "False");
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let mut observed = at_rest(&json!({"notifications": [{"name": "ops", "events": ["UpdateFailure"], "webhook": {"receiver": "chat"}}]}));
    step(&mut observed);
    assert_eq!(said(&observed, ConditionType::Accepted), ("True".into(), "AcceptedWithWarnings".into()));
}

#[test]
fn o09_tables_of_many_datasets_are_made_in_several_looks() {
    let mut observed = at_rest(&json!({}));
    step(&mut observed);
    let dataset = |n: usize| {
        let spec = json!({"pipeline": "shop", "type": "MaterializedView", "query": "SELECT 1"});
        json!({"fullName": format!("main.default.t{n}"), "type": "MaterializedView", "declaredIn": "a.sql:1:1", "spec": spec})
    };
    let mut datasets: Vec<_> = (0..450).map(dataset).collect();
    // No object can be made for these; they stand in nobody's way.
    datasets.extend((0..300).map(|n| {
        let spec = json!({"pipeline": "shop", "type": "MaterializedView"});
        json!({"fullName": format!("main.default.a{n}"), "type": "MaterializedView", "declaredIn": "a.sql:1:1", "spec": spec})
    }));
    reports(&mut observed, "shop-u1", GraphReport { datasets: serde_json::from_value(json!(datasets)).unwrap(), ..valid_graph() });
    let mut looks = Vec::new();
    loop {
        let (_, plan) = step(&mut observed);
        let made = plan.tables.into_iter().filter_map(|change| match change {
            TableChange::Create(table) => Some(Arc::from(table)),
            _ => None,
        });
        let before = observed.tables.len();
        observed.tables.extend(made);
        looks.push(observed.tables.len() - before);
        if !plan.has_more_tables {
            break;
        }
    }
    assert_eq!(looks, [200, 200, 50]);
}

#[test]
fn refusals_say_what_to_do() {
    let refusal = |spec: serde_json::Value| match validate(&at_rest(&spec)) {
        Verdict::Refused(refusal) | Verdict::Waiting(refusal) => format!("{}: {}", refusal.reason, refusal.message),
        Verdict::Valid(_) => "valid".to_string(),
    };
    assert_eq!(refusal(json!({})), "valid");
    let schedule = refusal(json!({"updatePolicy": {"schedule": {"cron": "61 * * * *"}}}));
    assert!(schedule.starts_with("InvalidSchedule: spec.updatePolicy.schedule: cron '61 * * * *' cannot be read"), "{schedule}");
    let missing = refusal(json!({"source": {"configMaps": [{"name": "sql"}]}}));
    assert!(missing.starts_with("ConfigMapNotFound: ConfigMap sql is not in namespace data; create it"), "{missing}");
    let long = refusal(json!({"parameters": [{"name": "a", "value": "x".repeat(9999)}, {"name": "b", "value": "y"}]}));
    assert!(long.starts_with("InvalidSpec: spec.parameters have 10002 characters together"), "{long}");
    let template = refusal(json!({"runner": {"podTemplate": {"spec": {"hostNetwork": true}}}}));
    assert!(template.starts_with("InvalidPodTemplate: spec.runner.podTemplate"), "{template}");
}

#[test]
fn a_name_of_someone_else_is_told_and_left_alone() {
    let mut observed = at_rest(&json!({"mode": "Continuous", "runner": {"podDisruptionBudget": false}}));
    let taken = crate::error::Error::NameTaken { kind: "ServiceAccount", key: Key::new("data", "floe-shop") };
    let verdict = validate(&observed);
    let decision = decide(&observed, &verdict);
    let status = status(&observed, &verdict, &decision, &Applied::default(), Some(&taken));
    let stalled = condition::find(&status.conditions, ConditionType::Stalled).unwrap();
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "NameTaken"));
    assert_eq!(stalled.message, "ServiceAccount data/floe-shop exists and belongs to someone else; delete or rename it");
    let budget = |uid: &str| {
        let owner = json!({"apiVersion": "floe.dev/v1alpha1", "kind": "Pipeline", "name": "shop", "uid": uid, "controller": true});
        let budget = json!({"metadata": {"name": "shop-runner", "namespace": "data", "ownerReferences": [owner]}});
        Access::Read(Box::new(crate::pipeline::observe::Found {
            budget: serde_json::from_value(budget).unwrap(),
            ..crate::pipeline::observe::Found::default()
        }))
    };
    step(&mut observed);
    observed.access = budget("of someone else");
    assert!(step(&mut observed).1.unwanted_budget.is_none());
    observed.access = budget("p1");
    assert!(step(&mut observed).1.unwanted_budget.is_some());
}
