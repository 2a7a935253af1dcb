//! Decisions, plans and status of Pipelines that never saw an API server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use floe_crds::{
    condition::{self, ConditionType},
    pipeline::{Pipeline, PipelineStatus},
    pipeline_update::{Cancel, PipelineUpdate, PipelineUpdateStatus, UpdateType},
    run_report::{Finding, GraphReport, RunReport, RunReportSpec},
    state::{Cause, UpdateState},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::json;

use super::{
    apply::Applied,
    cleanup::Leftover,
    conditions::transitions,
    decide::{Action, Decision, Held, decide},
    observe::{Access, Observed, Rival},
    plan::{Plan, plan},
    resources::tables::TableChange,
    status::status,
    validate::{Verdict, validate},
};
use crate::{key::Key, labels, settings::Settings};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// A Pipeline with `spec` over a minimal one.
fn pipeline(spec: &serde_json::Value) -> Pipeline {
    let mut object = json!({
        "apiVersion": "floe.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": {
            "name": "shop", "namespace": "data", "uid": "p1", "generation": 3, "resourceVersion": "7",
            "creationTimestamp": ago(80_000).to_string(),
        },
        "spec": {"storage": {"uri": "s3://lake/shop"}},
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn settings() -> Arc<Settings> {
    use clap::Parser;
    let args = crate::args::Args::parse_from(["floe-operator", "--runner-image=floe:1", "--pod-name=test"]);
    Arc::new(Settings::resolve(&args).unwrap())
}

fn observed(pipeline: Pipeline) -> Observed {
    Observed {
        key: Key::new("data", "shop"),
        pipeline: Arc::new(pipeline),
        tables: Vec::new(),
        taken_names: BTreeSet::new(),
        updates: Vec::new(),
        rivals: Vec::new(),
        config_maps: BTreeMap::new(),
        report: None,
        access: Access::Known,
        cleanup: None,
        has_cleanup_request: false,
        attempts: Vec::new(),
        quiet_since: ago(3600),
        settings: settings(),
        cluster_id: "c".to_string(),
        now: now(),
    }
}

fn at_rest(spec: &serde_json::Value) -> Observed {
    observed(pipeline(spec))
}

/// Looks, and takes over what the look says and makes, as the API server would.
fn step(observed: &mut Observed) -> (Decision, Plan) {
    let verdict = validate(observed);
    let decision = decide(observed, &verdict);
    let plan = plan(observed, &verdict, &decision);
    let mut applied = Applied::default();
    for start in &plan.starts {
        let mut update = start.update.clone();
        update.metadata.name = Some(format!("shop-u{}", start.number));
        update.metadata.uid = Some(format!("uid-{}", start.number));
        update.metadata.creation_timestamp = Some(Time(observed.now));
        applied.counter = applied.counter.max(Some(start.number));
        applied.started.push(update.clone());
        observed.updates.push(Arc::new(update));
    }
    for (stopped, cancel) in &plan.stops {
        change(observed, &stopped.name_any(), |update| update.spec.cancel = *cancel);
    }
    let removed: Vec<String> = plan.removes.iter().map(|update| update.name_any()).collect();
    observed.updates.retain(|update| !removed.contains(&update.name_any()));
    let status = status(observed, &verdict, &decision, &applied, None);
    Arc::make_mut(&mut observed.pipeline).status = Some(status);
    (decision, plan)
}

fn change(observed: &mut Observed, name: &str, how: impl FnOnce(&mut PipelineUpdate)) {
    let update = observed.updates.iter_mut().find(|update| update.name_any() == name).unwrap();
    how(Arc::make_mut(update));
}

fn becomes(observed: &mut Observed, name: &str, state: UpdateState) {
    let now = observed.now;
    change(observed, name, |update| {
        let status = update.status.get_or_insert_with(PipelineUpdateStatus::default);
        status.state = Some(state);
        if state.is_terminal() {
            status.end_time = Some(Time(now));
        }
    });
}

/// The runner of the update `name` has looked at the graph.
fn reports(observed: &mut Observed, name: &str, graph: GraphReport) {
    let update = observed.updates.iter().find(|update| update.name_any() == name).unwrap().clone();
    let report = RunReport::new(&format!("{name}-a1"), RunReportSpec { graph: Some(graph), ..RunReportSpec::default() });
    observed.report = Some((Arc::new(report), update));
}

fn valid_graph() -> GraphReport {
    let mut graph = GraphReport { valid: true, ..GraphReport::default() };
    (graph.counts.datasets, graph.counts.flows) = (9, 9);
    graph
}

fn names(observed: &Observed) -> Vec<String> {
    observed.updates.iter().map(|update| update.name_any()).collect()
}

fn said(observed: &Observed, kind: ConditionType) -> (String, String) {
    let conditions = &observed.pipeline.status.as_ref().unwrap().conditions;
    let condition = condition::find(conditions, kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

fn settled(spec: &serde_json::Value) -> Observed {
    let mut observed = at_rest(spec);
    step(&mut observed);
    reports(&mut observed, "shop-u1", valid_graph());
    becomes(&mut observed, "shop-u1", UpdateState::Completed);
    step(&mut observed);
    observed
}

fn status_of(observed: &Observed) -> &PipelineStatus {
    observed.pipeline.status.as_ref().unwrap()
}

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
fn o03_a_settled_pipeline_is_left_alone() {
    let mut observed = settled(&json!({}));
    let before = observed.pipeline.status.clone();
    let (decision, plan) = step(&mut observed);
    assert!(decision.actions.is_empty() && plan.starts.is_empty() && plan.beside.is_none() && plan.finalizers.is_none());
    assert_eq!(observed.pipeline.status, before);
    assert_eq!(said(&observed, ConditionType::Ready), ("True".into(), "GraphValid".into()));
    assert_eq!(said(&observed, ConditionType::UpdateSucceeded), ("True".into(), "UpdateCompleted".into()));
    assert_eq!(status_of(&observed).last_successful_update.as_ref().unwrap().name, "shop-u1");
}

#[test]
fn o11_a_changed_definition_starts_one_update_and_replaces_one_that_waits() {
    let mut observed = settled(&json!({}));
    let edit = |observed: &mut Observed, value: &str| {
        Arc::make_mut(&mut observed.pipeline).spec.configuration.insert("k".to_string(), value.to_string());
    };
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
    assert!(plan.starts.is_empty());
    assert_eq!(decision.wake, Some(now() + SignedDuration::from_secs(3)));
    observed.quiet_since = ago(5);
    assert_eq!(step(&mut observed).1.starts.len(), 1);
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
    assert_eq!(step(&mut observed).1.starts.len(), 0, "a user error is not tried again");
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
    assert!(step(&mut observed).1.starts.is_empty());
    assert_eq!(said(&observed, ConditionType::Ready), ("True".into(), "NotValidated".into()));
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
            assert!(step(&mut observed).1.starts.is_empty());
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
fn o31_suspended_pipelines_answer_requests_only_and_paused_ones_nothing() {
    let mut observed = at_rest(&json!({"suspend": true, "updatePolicy": {"schedule": {"cron": "* * * * *"}}}));
    let (decision, plan) = step(&mut observed);
    assert!(plan.starts.is_empty() && decision.held == Some(Held::Suspended));
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
    assert!(step(&mut observed).1.starts.is_empty());
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
    assert!(step(&mut observed).1.starts.is_empty());
}

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
    assert_eq!(decision.scheduled.unwrap().to_string(), "2026-11-21T13:00:00Z");
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
        assert_eq!(step(&mut observed).0.wake, Some(end));
        assert_eq!(said(&observed, ConditionType::Stalled).0, "False");
        assert_eq!(said(&observed, ConditionType::Reconciling), ("True".into(), "ConfigMapNotFound".into()));
    }
    for at in [end, end + SignedDuration::from_mins(1)] {
        observed.now = at;
        assert_eq!(step(&mut observed).0.wake, None);
        assert_eq!(said(&observed, ConditionType::Stalled), ("True".into(), "ConfigMapNotFound".into()));
        assert_eq!(said(&observed, ConditionType::Reconciling).0, "False");
    }
}

#[test]
fn suspending_and_missed_instants_are_told() {
    let mut observed = settled(&json!({"updatePolicy": {"schedule": {"cron": "0 * * * *"}}, "maintenance": {"suspend": true}}));
    let news = |observed: &mut Observed| {
        let before = status_of(observed).clone();
        let (decision, _) = step(observed);
        let told = transitions(Some(&before), status_of(observed), decision.missed);
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
fn what_has_no_effect_is_told() {
    let mut observed = at_rest(&json!({"notifications": [{"name": "ops", "events": ["UpdateFailure"], "webhook": {"receiver": "chat"}}]}));
    step(&mut observed);
    assert_eq!(said(&observed, ConditionType::Accepted), ("True".into(), "AcceptedWithWarnings".into()));
}

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
    assert!(step(&mut observed).1.starts.is_empty());
    assert_eq!(names(&observed), ["shop-u1", "h3"]);
}

#[test]
fn o39_a_continuous_pipeline_has_one_live_update() {
    let mut observed = at_rest(&json!({"mode": "Continuous"}));
    step(&mut observed);
    assert_eq!(names(&observed), ["shop-u1"]);
    becomes(&mut observed, "shop-u1", UpdateState::Running);
    reports(&mut observed, "shop-u1", valid_graph());
    assert!(step(&mut observed).1.starts.is_empty());
    // A new definition is checked first, then the old update is stopped, then a new one starts.
    Arc::make_mut(&mut observed.pipeline).spec.configuration.insert("k".to_string(), "1".to_string());
    step(&mut observed);
    assert!(observed.updates[1].spec.selection.validate_only);
    assert_eq!(observed.updates[0].spec.cancel, Cancel::None);
    reports(&mut observed, "shop-u2", valid_graph());
    becomes(&mut observed, "shop-u2", UpdateState::Completed);
    step(&mut observed);
    step(&mut observed);
    assert_eq!(observed.updates[0].spec.cancel, Cancel::Graceful);
    becomes(&mut observed, "shop-u1", UpdateState::Canceled);
    step(&mut observed);
    let third = observed.updates.last().unwrap().clone();
    assert_eq!((third.name_any().as_str(), third.spec.cause), ("shop-u3", Cause::SchemaChange));
    // After a failure it comes again, later and later.
    becomes(&mut observed, "shop-u3", UpdateState::Failed);
    let (decision, plan) = step(&mut observed);
    assert!(plan.starts.is_empty() && decision.wake.is_some());
    observed.now = decision.wake.unwrap();
    step(&mut observed);
    assert_eq!(names(&observed).last().unwrap(), "shop-u4");
    // A person who stops it, stops it.
    becomes(&mut observed, "shop-u4", UpdateState::Canceled);
    assert!(step(&mut observed).1.starts.is_empty());
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
fn o39_a_continuous_pipeline_lives_whatever_a_change_does() {
    for policy in ["None", "Validate"] {
        let mut observed = at_rest(&json!({"mode": "Continuous", "updatePolicy": {"onChange": policy}}));
        step(&mut observed);
        assert_eq!(names(&observed), ["shop-u1"], "{policy}");
        assert!(!observed.updates[0].spec.selection.validate_only);
        becomes(&mut observed, "shop-u1", UpdateState::Running);
        assert!(step(&mut observed).1.starts.is_empty());
        // It stays with its definition, but comes back after a failure.
        Arc::make_mut(&mut observed.pipeline).spec.configuration.insert("k".to_string(), "1".to_string());
        step(&mut observed);
        assert_eq!(observed.updates[0].spec.cancel, Cancel::None);
        becomes(&mut observed, "shop-u1", UpdateState::Failed);
        observed.now = step(&mut observed).0.wake.unwrap();
        step(&mut observed);
        assert!(!observed.updates.last().unwrap().spec.selection.validate_only, "{policy}");
        let last = observed.updates.last().unwrap().name_any();
        becomes(&mut observed, &last, UpdateState::Canceled);
        step(&mut observed);
        observed.updates.clear();
        let starts = step(&mut observed).1.starts;
        assert!(starts.iter().all(|start| start.update.spec.selection.validate_only), "a person who stopped it stopped it");
    }
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
fn o54_maintenance_comes_after_the_first_success_and_behind_the_queue() {
    let mut observed = settled(&json!({"maintenance": {"everySeconds": 3600}}));
    step(&mut observed);
    let made = observed.updates.last().unwrap().clone();
    assert_eq!((made.spec.update_type, made.spec.cause), (UpdateType::Maintenance, Cause::InfrastructureMaintenance));
    becomes(&mut observed, "shop-u2", UpdateState::Completed);
    let (decision, plan) = step(&mut observed);
    assert!(plan.starts.is_empty());
    assert_eq!(decision.wake, Some(now() + SignedDuration::from_hours(1)));
    assert_eq!(status_of(&observed).last_update.as_ref().unwrap().name, "shop-u1", "maintenance is no update of the data");
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
fn decisions_do_not_depend_on_how_often_one_looks() {
    let mut observed = at_rest(&json!({}));
    for _ in 0..5 {
        step(&mut observed);
    }
    let starts = observed.updates.iter().filter(|update| update.spec.update_type == UpdateType::Update).count();
    assert_eq!(starts, 1);
    let actions = decide(&observed, &validate(&observed)).actions;
    assert!(!actions.iter().any(|action| matches!(action, Action::Start(_))));
}

#[test]
fn o34_data_go_after_the_runner_and_before_the_object() {
    let mut observed = settled(&json!({"deletionPolicy": "Delete", "maintenance": {"suspend": true}}));
    let (_, plan) = step(&mut observed);
    assert_eq!(plan.finalizers.as_deref(), Some(&["floe.dev/pipeline-cleanup".to_string()][..]));
    let pipeline = Arc::make_mut(&mut observed.pipeline);
    pipeline.metadata.finalizers = plan.finalizers;
    pipeline.metadata.deletion_timestamp = Some(Time(now()));
    observed.updates.push(Arc::new(PipelineUpdate::new("by-hand", observed.updates[0].spec.clone())));
    let (_, plan) = step(&mut observed);
    assert!(plan.cleanup.is_none() && plan.starts.is_empty(), "the update ends first, because its Pipeline goes");
    becomes(&mut observed, "by-hand", UpdateState::Canceled);
    let cleanup = step(&mut observed).1.cleanup.unwrap();
    assert_eq!(cleanup.account.unwrap().name_any(), "floe-shop", "nobody may have made it yet");
    let pod = cleanup.job.spec.clone().unwrap().template.spec.unwrap();
    assert_eq!(pod.containers[0].args.clone().unwrap()[..2], ["cleanup", "--request"]);
    assert_eq!(cleanup.request.metadata.name.unwrap(), format!("{}-request", cleanup.job.metadata.name.clone().unwrap()));
    let mut job = cleanup.job;
    observed.cleanup = Some(Arc::new(job.clone()));
    assert!(step(&mut observed).1.cleanup.is_some(), "a Job without its request would wait for ever");
    observed.has_cleanup_request = true;
    assert!(step(&mut observed).1.release.is_none(), "it runs");
    let done = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    job.status = Some(serde_json::from_value(done).unwrap());
    observed.cleanup = Some(Arc::new(job));
    assert_eq!(step(&mut observed).1.release, Some(Leftover::Nothing));
}

#[test]
fn o35_a_delete_always_ends() {
    let mut observed = settled(&json!({"deletionPolicy": "Delete", "maintenance": {"suspend": true}}));
    let pipeline = Arc::make_mut(&mut observed.pipeline);
    pipeline.metadata.finalizers = Some(vec!["floe.dev/pipeline-cleanup".to_string()]);
    pipeline.metadata.deletion_timestamp = Some(Time(now()));
    assert!(step(&mut observed).1.release.is_none());
    observed.now = now() + SignedDuration::from_mins(10);
    assert!(matches!(step(&mut observed).1.release, Some(Leftover::Data(why)) if why.contains("600 s")));
    observed.now = now();
    Arc::make_mut(&mut observed.pipeline).annotations_mut().insert(labels::SKIP_CLEANUP.to_string(), "true".to_string());
    assert!(matches!(step(&mut observed).1.release, Some(Leftover::Data(_))));
}

/// The finalizer is there, and someone wants the Pipeline to go.
fn deleted(observed: &mut Observed) {
    let pipeline = Arc::make_mut(&mut observed.pipeline);
    pipeline.metadata.finalizers = Some(vec!["floe.dev/pipeline-cleanup".to_string()]);
    pipeline.metadata.deletion_timestamp = Some(Time(now()));
}

#[test]
fn nothing_is_removed_where_an_older_pipeline_has_the_storage() {
    let older = Rival { key: Key::new("data", "older"), uri: "s3://lake/shop".to_string(), volumes: None, created: Some(ago(90_000)) };
    // Of two errors the other one is told.
    for spec in
        [json!({"deletionPolicy": "Delete"}), json!({"deletionPolicy": "Delete", "updatePolicy": {"schedule": {"cron": "61 * * * *"}}})]
    {
        let mut observed = at_rest(&spec);
        observed.rivals = vec![older.clone()];
        assert_eq!(step(&mut observed).1.finalizers, None, "none is set");
        Arc::make_mut(&mut observed.pipeline).metadata.finalizers = Some(vec!["floe.dev/pipeline-cleanup".to_string()]);
        assert_eq!(step(&mut observed).1.finalizers, Some(Vec::new()), "one that is there goes");
        observed.updates.push(Arc::new(PipelineUpdate::new("by-hand", floe_crds::pipeline_update::PipelineUpdateSpec::default())));
        deleted(&mut observed);
        let (_, plan) = step(&mut observed);
        assert!(plan.cleanup.is_none(), "no pod comes near the data of the other");
        assert_eq!(plan.release, Some(Leftover::Nothing));
    }
}

#[test]
fn a_pipeline_that_never_ran_goes_at_once() {
    let mut observed = at_rest(&json!({"deletionPolicy": "Delete", "suspend": true}));
    step(&mut observed);
    deleted(&mut observed);
    assert_eq!(step(&mut observed).1.release, Some(Leftover::Nothing));
}

#[test]
fn numbers_that_people_choose_do_not_count() {
    let mut observed = settled(&json!({}));
    let by_hand = PipelineUpdate::new("shop-u9223372036854775807", observed.updates[0].spec.clone());
    observed.updates.push(Arc::new(by_hand));
    becomes(&mut observed, "shop-u9223372036854775807", UpdateState::Completed);
    Arc::make_mut(&mut observed.pipeline).spec.configuration.insert("k".to_string(), "1".to_string());
    assert_eq!(step(&mut observed).1.starts[0].number, 2);
    Arc::make_mut(&mut observed.updates[0]).metadata.name = Some("shop-u9223372036854775807".to_string());
    Arc::make_mut(&mut observed.pipeline).spec.configuration.insert("k".to_string(), "2".to_string());
    assert_eq!(step(&mut observed).1.starts[0].number, i64::MAX, "and nothing breaks");
}

#[test]
fn a_name_of_someone_else_is_told_and_left_alone() {
    let mut observed = at_rest(&json!({"mode": "Continuous", "runner": {"podDisruptionBudget": false}}));
    let taken = crate::error::Error::NameTaken { kind: "ServiceAccount", key: Key::new("data", "floe-shop") };
    let (verdict, decision) = (validate(&observed), Decision::default());
    let status = status(&observed, &verdict, &decision, &Applied::default(), Some(&taken));
    let stalled = condition::find(&status.conditions, ConditionType::Stalled).unwrap();
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "NameTaken"));
    assert_eq!(stalled.message, "ServiceAccount data/floe-shop exists and belongs to someone else; delete or rename it");
    let budget = |uid: &str| {
        let owner = json!({"apiVersion": "floe.dev/v1alpha1", "kind": "Pipeline", "name": "shop", "uid": uid, "controller": true});
        let budget = json!({"metadata": {"name": "shop-runner", "namespace": "data", "ownerReferences": [owner]}});
        Access::Read(Box::new(super::observe::Found {
            budget: serde_json::from_value(budget).unwrap(),
            ..super::observe::Found::default()
        }))
    };
    step(&mut observed);
    observed.access = budget("of someone else");
    assert!(step(&mut observed).1.unwanted_budget.is_none());
    observed.access = budget("p1");
    assert!(step(&mut observed).1.unwanted_budget.is_some());
}
