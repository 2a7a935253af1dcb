//! A Table and its world as data: what the controller says of it, and what it writes.

use std::{sync::Arc, time::Duration};

use floe_crds::{
    condition::{self, ConditionType, Reason, Status},
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    run_report::{RunReport, RunReportSpec},
    table::{Table, TableStatus},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{
    decide::{self, Decision, Release},
    observe::Observed,
    plan, status,
    validate::{self, Verdict},
};
use crate::{controller::Next, dataset, events::EventReason, reports::Told, updates};

const T0: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(T0 + second).unwrap()
}

fn pipeline(ready: Option<(bool, Reason)>) -> Pipeline {
    let mut pipeline = Pipeline::new("p", serde_json::from_value(json!({"storage": {"uri": "s3://lake/p"}})).unwrap());
    pipeline.metadata.uid = Some("pipeline".to_string());
    if let Some((is_ready, reason)) = ready {
        let conditions = &mut pipeline.status.get_or_insert_default().conditions;
        let mut set = |kind, status: bool, reason| {
            condition::set(conditions, kind, &condition::Said::new(status, reason, "the reason why"), Some(1), at(0));
        };
        set(ConditionType::Ready, is_ready, reason);
        set(ConditionType::Reconciling, false, reason);
        set(ConditionType::Stalled, !is_ready, reason);
    }
    pipeline
}

fn table(spec: &Value) -> Table {
    let mut whole = json!({"pipeline": "p", "type": "MaterializedView", "query": "SELECT 1"});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let mut table = Table::new("a", serde_json::from_value(whole).unwrap());
    table.metadata.uid = Some("table a".to_string());
    table.metadata.generation = Some(1);
    table
}

fn from_sql(mut table: Table) -> Table {
    let owner = OwnerReference {
        api_version: floe_crds::API_VERSION.to_string(),
        kind: "Pipeline".into(),
        name: "p".into(),
        uid: "pipeline".into(),
        controller: Some(true),
        ..OwnerReference::default()
    };
    table.metadata.owner_references = Some(vec![owner]);
    table
}

fn update(name: &str, started: i64, state: &str, spec: &Value) -> PipelineUpdate {
    let mut whole = json!({"pipeline": "p"});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let mut update = PipelineUpdate::new(name, serde_json::from_value(whole).unwrap());
    update.metadata.uid = Some(name.to_string());
    update.metadata.creation_timestamp = Some(Time(at(started)));
    update.status = Some(serde_json::from_value(json!({"state": state, "startTime": at(started).to_string()})).unwrap());
    update
}

/// A world with one Table, whose pipeline has a valid graph.
fn world(table: Table) -> Observed {
    let table = Arc::new(table);
    Observed {
        pipeline: Some(Arc::new(pipeline(Some((true, Reason::GraphValid))))),
        tables: vec![table.clone()],
        updates: Vec::new(),
        told: Vec::new(),
        is_cleaned_up: false,
        now: at(0),
        table,
    }
}

impl Observed {
    fn edit(&mut self, change: impl FnOnce(&mut Table)) {
        let mut table = (*self.table).clone();
        change(&mut table);
        self.table = Arc::new(table);
        self.tables[0] = self.table.clone();
    }

    /// A runner of the update (made unless it is there) reports; the newest state of the update counts.
    fn report(&mut self, update: PipelineUpdate, attempt: i32, report: &Value) {
        let update = Arc::new(update);
        self.updates.retain(|other| other.name_any() != update.name_any());
        self.updates.push(update.clone());
        let mut whole = json!({"protocol": 1});
        whole.as_object_mut().unwrap().extend(report.as_object().unwrap().clone());
        let spec: RunReportSpec = serde_json::from_value(whole).unwrap();
        let report = Arc::new(RunReport::new(&format!("{}-a{attempt}", update.name_any()), spec));
        self.told.retain(|told| told.report.name_any() != report.name_any());
        self.told.push(Told { report, update: update.clone(), attempt });
        for told in self.told.iter_mut().filter(|told| told.update.name_any() == update.name_any()) {
            told.update = update.clone();
        }
        self.told.sort_by_key(|told| (updates::by_start(&told.update), told.attempt));
    }

    fn look(&self) -> (Verdict, Decision, status::Said) {
        let verdict = validate::validate(self);
        let decision = decide::decide(self, &verdict);
        let said = status::status(self, &verdict, &decision);
        (verdict, decision, said)
    }

    /// Looks and takes over what would be written. Gives the words of the Events.
    fn step(&mut self, second: i64) -> Vec<&'static str> {
        self.now = at(second);
        let said = self.look().2;
        if let Some(status) = said.status {
            self.edit(|table| table.status = Some(status));
        }
        said.news.iter().map(|news| news.reason.as_str()).collect()
    }

    fn status(&self) -> &TableStatus {
        self.table.status.as_ref().unwrap()
    }

    /// `True Reason` of a condition.
    fn said(&self, kind: ConditionType) -> String {
        let found = condition::find(&self.status().conditions, kind).unwrap();
        format!("{} {}", found.status, found.reason)
    }

    fn standing(&self) -> [String; 3] {
        [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled].map(|kind| self.said(kind))
    }
}

fn graph(names: &[&str]) -> Value {
    let datasets: Vec<Value> = names
        .iter()
        .map(|name| json!({"fullName": name, "type": "MaterializedView", "declaredIn": "shop.sql:3:1", "spec": {"pipeline": "p", "type": "MaterializedView"}}))
        .collect();
    json!({"valid": true, "datasets": datasets})
}

fn table_report(version: i64, refresh: &Value) -> Value {
    json!({"fullName": "main.default.a", "location": "s3://lake/p/a", "version": version, "rows": 10 * version, "refresh": refresh})
}

#[test]
fn the_first_look_sets_every_condition_and_the_second_writes_nothing() {
    let mut world = world(table(&json!({})));
    world.pipeline = Some(Arc::new(pipeline(None)));
    world.step(0);
    let kinds: Vec<&str> = world.status().conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(kinds, ConditionType::TABLE.iter().map(|kind| kind.as_str()).collect::<Vec<_>>());
    assert!(world.status().conditions.iter().all(|condition| condition.observed_generation == Some(1)));
    assert_eq!(world.standing(), ["Unknown Validating", "True Progressing", "False Progressing"]);
    assert_eq!(world.status().full_name.as_deref(), Some("main.default.a"));
    for second in [1, 5, 700] {
        world.now = at(second);
        assert_eq!(world.look().2.status, None, "after {second} s");
    }
    world.pipeline = Some(Arc::new(pipeline(Some((true, Reason::GraphValid)))));
    world.step(701);
    assert_eq!(world.standing(), ["True GraphValid", "False GraphValid", "False GraphValid"]);
}

#[test]
fn a_changed_table_waits_until_its_pipeline_has_noticed() {
    let mut world = world(table(&json!({})));
    world.step(0);
    assert_eq!(world.standing(), ["Unknown Validating", "True Progressing", "False Progressing"]);
    world.now = at(1);
    assert_eq!(world.look().2.next, Next::After(Duration::from_secs(1)), "the pipeline may not know it yet");
    world.step(2);
    assert_eq!(world.standing()[0], "True GraphValid");
    world.edit(|table| table.metadata.generation = Some(2));
    world.step(100);
    assert_eq!(world.standing(), ["True GraphValid", "True Progressing", "False Progressing"], "ready as before, and not settled");
    world.pipeline = Some(Arc::new(pipeline(Some((false, Reason::GraphInvalid)))));
    world.step(103);
    assert_eq!(world.standing(), ["False GraphInvalid", "False GraphInvalid", "True GraphInvalid"]);
}

#[test]
fn a_missing_pipeline_is_awaited_for_ten_minutes() {
    let mut world = world(table(&json!({})));
    world.pipeline = None;
    world.step(0);
    assert_eq!(world.standing(), ["False PipelineNotFound", "True PipelineNotFound", "False PipelineNotFound"]);
    world.now = at(60);
    assert_eq!(world.look().2.next, Next::After(Duration::from_mins(9)));
    world.step(600);
    assert_eq!(world.standing(), ["False PipelineNotFound", "False PipelineNotFound", "True PipelineNotFound"]);
    world.step(601);
    assert_eq!(world.standing()[2], "True PipelineNotFound", "it stays so");
}

#[test]
fn objects_older_than_a_rule_and_names_that_meet_are_refused() {
    let mut world = world(table(&json!({"partitionBy": ["x"], "clusterBy": ["y"]})));
    world.step(0);
    assert_eq!(world.said(ConditionType::Accepted), "False InvalidSpec");
    assert_eq!(world.standing(), ["False InvalidSpec", "False InvalidSpec", "True InvalidSpec"]);
    let message = &condition::find(&world.status().conditions, ConditionType::Ready).unwrap().message;
    assert_eq!(message, "partitionBy and clusterBy exclude each other");

    let mut world = self::world(table(&json!({})));
    let mut other = table(&json!({"name": "A"}));
    other.metadata.uid = Some("another".to_string());
    other.metadata.name = Some("b".to_string());
    world.tables.push(Arc::new(other.clone()));
    assert!(
        matches!(world.look().0, Verdict::Wrong(said) if said.reason == Reason::DuplicateDataset && said.message.contains("Table `b`"))
    );
    world.tables[1] = Arc::new(from_sql(other));
    assert_eq!(world.look().0, Verdict::Right, "an object from SQL declares nothing");
}

#[test]
fn reports_are_folded_once_and_never_backwards() {
    let mut world = world(table(&json!({})));
    world.step(0);
    let done = |rows| json!({"update": "p-u1", "succeeded": true, "endTime": at(20).to_string(), "rowsWritten": rows});
    world.report(update("p-u1", 10, "RUNNING", &json!({})), 1, &json!({"sequence": 4, "tables": [table_report(3, &done(30))]}));
    assert_eq!(world.step(20), ["Created"]);
    assert_eq!((world.status().version, world.status().rows), (Some(3), Some(30)));
    assert_eq!(world.said(ConditionType::RefreshSucceeded), "True UpdateCompleted");
    let folded = world.status().clone();
    world.now = at(40);
    assert_eq!(world.look().2.status, None, "the same report again");
    world.report(update("p-u1", 10, "RUNNING", &json!({})), 1, &json!({"sequence": 3, "tables": [table_report(2, &done(20))]}));
    assert_eq!(world.look().2.status, None, "a lower sequence");
    world.report(update("p-u0", 5, "COMPLETED", &json!({})), 1, &json!({"sequence": 99, "tables": [table_report(9, &done(1))]}));
    assert_eq!(world.look().2.status, None, "an older update");
    world.report(
        update("p-u2", 30, "RUNNING", &json!({"validateOnly": true})),
        1,
        &json!({"sequence": 1, "tables": [table_report(1, &Value::Null)]}),
    );
    assert_eq!(world.look().2.status, None, "one that only validates");
    world.told.clear();
    assert_eq!(world.look().2.status, None, "reports are deleted after a while");
    assert_eq!(*world.status(), folded);
}

#[test]
fn attempts_of_an_update_are_summed() {
    let mut world = world(table(&json!({"expectations": [{"name": "e", "expr": "x"}]})));
    world.step(0);
    let part = |rows: i64, succeeded: Option<bool>, failed: i64| {
        let mut report = table_report(rows, &json!({"update": "p-u1", "succeeded": succeeded, "rowsWritten": rows, "dropped": 1}));
        report["quality"] = json!([{"name": "e", "action": "DROP", "passed": rows, "failed": failed}]);
        json!({"sequence": 1, "tables": [report]})
    };
    world.report(update("p-u1", 10, "RUNNING", &json!({})), 1, &part(5, None, 2));
    world.step(20);
    world.report(update("p-u1", 10, "RUNNING", &json!({})), 2, &part(7, Some(true), 1));
    assert_eq!(world.step(31), ["QualityViolated"]);
    let refresh = world.status().last_refresh.as_ref().unwrap();
    assert_eq!((refresh.rows_written, refresh.dropped, refresh.succeeded), (12, 2, Some(true)));
    let quality = &world.status().quality[0];
    assert_eq!((quality.passed, quality.failed, quality.last_failed_update.as_deref()), (12, 3, Some("p-u1")));
}

#[test]
fn numbers_are_written_every_ten_seconds_and_at_the_end() {
    let mut world = world(table(&json!({"type": "StreamingTable"})));
    world.step(0);
    world.step(3);
    let running = |sequence: i64, state| {
        (
            update("p-u1", 10, state, &json!({})),
            json!({"sequence": sequence, "tables": [table_report(sequence, &json!({"update": "p-u1", "rowsWritten": sequence}))]}),
        )
    };
    let mut written = Vec::new();
    for second in 10..45 {
        let (update, report) = running(second, "RUNNING");
        world.report(update, 1, &report);
        world.now = at(second);
        let said = world.look().2;
        if said.status.is_some() {
            written.push(second);
        } else {
            assert_eq!(said.next, Next::After(Duration::from_secs(u64::try_from(written[written.len() - 1] + 10 - second).unwrap())));
        }
        world.step(second);
    }
    assert_eq!(written, [10, 20, 30, 40]);
    let (update, report) = running(45, "FAILED");
    world.report(update, 1, &report);
    world.step(45);
    assert_eq!(world.status().version, Some(45), "the end does not wait");
    assert_eq!(world.said(ConditionType::RefreshSucceeded), "False UpdateFailed");
}

#[test]
fn quality_is_short_worst_first_and_remembers() {
    let names: Vec<String> = (0..60).map(|n| format!("e{n:02}")).collect();
    let expectations: Vec<Value> = names.iter().map(|name| json!({"name": name, "expr": "x"})).collect();
    let mut world = world(table(&json!({"expectations": expectations})));
    world.step(0);
    let quality = |failed: &dyn Fn(usize) -> i64| -> Vec<Value> {
        names
            .iter()
            .enumerate()
            .map(|(n, name)| json!({"name": name, "action": if n == 7 { "FAIL" } else { "WARN" }, "passed": 100, "failed": failed(n)}))
            .collect()
    };
    let mut first = table_report(1, &json!({"update": "p-u1", "succeeded": false}));
    first["quality"] = json!(quality(&|n| i64::from(n == 3) * 5 + i64::from(n == 7 || n == 5)));
    world.report(update("p-u1", 10, "FAILED", &json!({})), 1, &json!({"sequence": 1, "tables": [first], "flows": [
        {"name": "a", "dataset": "main.default.a", "state": "FAILED", "errorClass": "EXPECTATION_VIOLATION", "message": "e07 failed", "origin": "shop.sql:1:1"}]}));
    world.now = at(20);
    let said = world.look().2;
    let note = said.news.iter().find(|news| news.reason == EventReason::QualityViolated).map(|news| news.note.as_str());
    assert_eq!(
        note,
        Some("EXPECTATION_VIOLATION: 7 violations in main.default.a: e03 (WARN) 5 of 105, e07 (FAIL) 1 of 101, e05 (WARN) 1 of 101")
    );
    world.step(20);
    assert_eq!((world.status().quality.len(), world.status().quality_truncated, world.status().failed_records), (50, Some(true), Some(7)));
    assert_eq!(world.said(ConditionType::RefreshSucceeded), "False ExpectationFailed");
    let message = &condition::find(&world.status().conditions, ConditionType::RefreshSucceeded).unwrap().message;
    assert_eq!(message, "update `p-u1`, flow `a`: EXPECTATION_VIOLATION: e07 failed (shop.sql:1:1)");

    let mut second = table_report(2, &json!({"update": "p-u2", "succeeded": true}));
    second["quality"] = json!(quality(&|n| i64::from(n == 5))[4..].to_vec());
    world.report(update("p-u2", 40, "COMPLETED", &json!({})), 1, &json!({"sequence": 1, "tables": [second]}));
    assert_eq!(world.step(50), ["QualityViolated"]);
    let last = |name: &str| {
        world
            .status()
            .quality
            .iter()
            .find(|quality| quality.name == name)
            .map(|quality| (quality.failed, quality.last_failed_update.clone()))
    };
    assert_eq!(last("e05"), Some((1, Some("p-u2".to_string()))));
    assert_eq!(last("e07"), Some((0, Some("p-u1".to_string()))));
    assert_eq!(last("e03"), Some((0, Some("p-u1".to_string()))), "no row came by it");
    assert!(world.step(51).is_empty());
}

#[test]
fn a_table_becomes_stale_by_itself() {
    let mut world = world(table(&json!({"freshnessSeconds": 100})));
    world.step(0);
    world.step(3);
    assert_eq!(world.said(ConditionType::Fresh), "Unknown NoUpdateYet");
    let mut report = table_report(1, &json!({"update": "p-u1", "succeeded": true, "endTime": at(50).to_string()}));
    report["lastCommitTime"] = json!(at(10).to_string());
    world.report(update("p-u1", 5, "COMPLETED", &json!({})), 1, &json!({"sequence": 1, "tables": [report]}));
    world.step(60);
    assert_eq!(world.said(ConditionType::Fresh), "True Fresh");
    assert_eq!(world.look().2.next, Next::After(Duration::from_secs(90)));
    world.step(150);
    assert_eq!(world.said(ConditionType::Fresh), "False Stale");
    world.edit(|table| table.spec.freshness_seconds = 0);
    world.step(151);
    assert_eq!(world.said(ConditionType::Fresh), "Unknown Fresh");
}

#[test]
fn a_dataset_that_leaves_the_sql_becomes_inactive_and_comes_back() {
    let mut world = world(from_sql(table(&json!({}))));
    world.report(update("p-u1", 5, "COMPLETED", &json!({})), 1, &json!({"sequence": 1, "graph": graph(&["main.default.A"])}));
    world.step(10);
    assert_eq!(world.said(ConditionType::Active), "True Declared");
    assert_eq!(world.status().declared_in.as_deref(), Some("shop.sql:3:1"));
    let invalid = json!({"sequence": 1, "graph": {"valid": false}});
    world.report(update("p-u2", 20, "FAILED", &json!({})), 1, &invalid);
    world.step(30);
    assert_eq!(world.said(ConditionType::Active), "True Declared", "a graph with errors says nothing");
    world.report(update("p-u3", 40, "RUNNING", &json!({})), 1, &json!({"sequence": 1, "graph": graph(&[])}));
    assert_eq!(world.step(50), ["Inactive"]);
    assert_eq!(
        (world.said(ConditionType::Active), world.standing()),
        (
            "False RemovedFromSource".to_string(),
            ["True RemovedFromSource", "False RemovedFromSource", "False RemovedFromSource"].map(str::to_string)
        )
    );
    assert_eq!(world.look().1, Decision::Leave);
    world.report(update("p-u4", 60, "RUNNING", &json!({})), 1, &json!({"sequence": 1, "graph": graph(&["main.default.a"])}));
    assert!(world.step(70).is_empty());
    assert_eq!(world.said(ConditionType::Active), "True Declared");
}

#[test]
fn a_view_that_falls_back_is_degraded_unless_its_definition_changed() {
    let mut world = world(table(&json!({})));
    world.step(0);
    let mut refreshed = |name: &str, second: i64, kind: &str, spec: Value| {
        let kind = format!("MAINTENANCE_TYPE_{kind}");
        let refresh = json!({"update": name, "succeeded": true, "maintenanceType": kind});
        world.report(update(name, second, "COMPLETED", &spec), 1, &json!({"sequence": 1, "tables": [table_report(second, &refresh)]}));
        world.step(second + 1);
        world.step(second + 2);
        world.said(ConditionType::IncrementalDegraded)
    };
    assert_eq!(refreshed("p-u1", 10, "COMPLETE_RECOMPUTE", json!({})), "False FullRecompute", "the first one");
    assert_eq!(refreshed("p-u2", 20, "COMPLETE_RECOMPUTE", json!({})), "False FullRecompute", "never incremental");
    assert_eq!(refreshed("p-u3", 30, "GROUP_AGGREGATE", json!({})), "False Incremental");
    assert_eq!(refreshed("p-u4", 40, "NO_OP", json!({})), "False Incremental");
    assert_eq!(refreshed("p-u5", 50, "COMPLETE_RECOMPUTE", json!({"definitionHash": "new"})), "False FullRecompute");
    assert_eq!(refreshed("p-u6", 60, "GROUP_AGGREGATE", json!({})), "False Incremental");
    assert_eq!(refreshed("p-u7", 70, "COMPLETE_RECOMPUTE", json!({})), "True FullRecompute");
    assert_eq!(refreshed("p-u8", 80, "NO_OP", json!({})), "True FullRecompute");
    assert_eq!(refreshed("p-u9", 90, "APPEND_ONLY", json!({})), "False Incremental");
}

/// A Table with policy Delete that has its finalizer, deleted at second 0 if `is_deleted`.
fn protected(mut table: Table, is_deleted: bool) -> Observed {
    table.spec.deletion_policy = Some(floe_crds::pipeline::DeletionPolicy::Delete);
    table.metadata.finalizers = Some(vec![dataset::CLEANUP.to_string()]);
    table.metadata.deletion_timestamp = is_deleted.then(|| Time(at(0)));
    world(table)
}

#[test]
fn the_finalizer_is_there_while_data_go_with_the_object() {
    let decided = |world: &Observed| world.look().1;
    assert_eq!(decided(&world(table(&json!({})))), Decision::Leave);
    let delete = json!({"deletionPolicy": "Delete"});
    assert_eq!(decided(&world(table(&delete))), Decision::Protect);
    assert_eq!(plan::plan(&world(table(&delete)), &Decision::Protect).finalizers, Some(vec![dataset::CLEANUP.to_string()]));
    assert_eq!(decided(&protected(table(&json!({})), false)), Decision::Leave);
    let mut retained = protected(table(&json!({})), false);
    retained.edit(|table| table.spec.deletion_policy = None);
    assert_eq!(decided(&retained), Decision::Unprotect, "that of the pipeline");
    retained.pipeline = None;
    assert_eq!(decided(&retained), Decision::Leave, "nobody knows the policy");
    let mut paused = world(table(&delete));
    paused.edit(|table| _ = table.annotations_mut().insert("floe.dev/paused".to_string(), "true".to_string()));
    assert_eq!(decided(&paused), Decision::Leave);
    for other in [
        json!({"type": "TemporaryView", "deletionPolicy": "Delete"}),
        json!({"type": "External", "location": "s3://x", "query": null, "deletionPolicy": "Delete"}),
    ] {
        assert_eq!(decided(&world(table(&other))), Decision::Leave, "{other}");
    }
}

#[test]
fn an_object_goes_when_its_data_are_gone_and_at_last_after_ten_minutes() {
    let mut world = protected(table(&json!({})), true);
    world.now = at(60);
    assert_eq!(world.look().1, Decision::Await(Duration::from_mins(9)));
    world.step(61);
    assert_eq!(world.standing(), ["False Deleting", "True Deleting", "False Deleting"]);
    assert_eq!(world.said(ConditionType::Active), "False RemovedFromSource");
    let report = |removed: &[&str], graph: Value| json!({"sequence": 1, "removedTables": removed, "graph": graph});
    world.report(update("p-u1", 10, "RUNNING", &json!({})), 1, &report(&[], graph(&["main.default.a"])));
    assert!(matches!(world.look().1, Decision::Await(_)), "that attempt was asked before");
    world.report(update("p-u2", 70, "RUNNING", &json!({})), 1, &report(&["main.default.A"], graph(&[])));
    assert_eq!(world.look().1, Decision::Release(Release::Removed));
    assert!(plan::plan(&world, &world.look().1).news.is_none());
    world.report(update("p-u3", 80, "RUNNING", &json!({})), 1, &report(&[], graph(&["main.default.a"])));
    assert!(matches!(world.look().1, Decision::Await(_)), "it was made again since");
    world.now = at(600);
    let late = world.look().1;
    assert!(matches!(late, Decision::Release(Release::LeftBehind(_))));
    let plan = plan::plan(&world, &late);
    assert_eq!((plan.finalizers, plan.ends), (Some(Vec::new()), true));
    assert_eq!(plan.news.unwrap().reason, EventReason::CleanupFailed);
}

#[test]
fn nothing_holds_up_an_object_that_may_go() {
    let released = |world: &Observed| match world.look().1 {
        Decision::Release(release) => release,
        other => panic!("{other:?}"),
    };
    let mut skipped = protected(table(&json!({})), true);
    skipped.edit(|table| _ = table.annotations_mut().insert("floe.dev/skip-cleanup".to_string(), "true".to_string()));
    assert!(matches!(released(&skipped), Release::LeftBehind("floe.dev/skip-cleanup is set")));
    let mut alone = protected(table(&json!({})), true);
    alone.pipeline = None;
    assert!(matches!(released(&alone), Release::LeftBehind("the pipeline is not there")));
    let mut with_owner = protected(from_sql(table(&json!({}))), true);
    assert_eq!(released(&with_owner), Release::Kept, "SQL declares it: it is made again");
    with_owner.pipeline = None;
    assert_eq!(released(&with_owner), Release::Removed, "the clean-up of the Pipeline came first");
    let mut with_pipeline = protected(table(&json!({})), true);
    let mut dying = pipeline(None);
    dying.metadata.deletion_timestamp = Some(Time(at(0)));
    with_pipeline.pipeline = Some(Arc::new(dying));
    assert!(matches!(with_pipeline.look().1, Decision::Await(_)), "the clean-up must know its policy first");
    with_pipeline.is_cleaned_up = true;
    assert_eq!(released(&with_pipeline), Release::Removed);
    let mut retained = protected(table(&json!({})), true);
    retained.edit(|table| table.spec.deletion_policy = Some(floe_crds::pipeline::DeletionPolicy::Retain));
    assert_eq!(released(&retained), Release::Kept);
    let mut handed_over = protected(table(&json!({})), true);
    let mut other = table(&json!({"name": "a"}));
    other.metadata.uid = Some("another".to_string());
    handed_over.tables.push(Arc::new(from_sql(other)));
    assert_eq!(released(&handed_over), Release::Kept);
}

#[test]
fn an_object_from_sql_goes_after_its_data() {
    let mut world = protected(from_sql(table(&json!({}))), false);
    world.report(update("p-u1", 5, "RUNNING", &json!({})), 1, &json!({"sequence": 1, "graph": graph(&["main.default.a"])}));
    world.step(10);
    world.report(update("p-u2", 20, "COMPLETED", &json!({})), 1, &json!({"sequence": 1, "graph": graph(&[])}));
    world.step(30);
    assert_eq!(world.look().1, Decision::Leave, "its data are still there");
    assert_eq!(dataset::removed(&world.pipeline.as_ref().unwrap().spec, &world.tables)[0].full_name, "main.default.a");
    world.report(
        update("p-u3", 40, "COMPLETED", &json!({})),
        1,
        &json!({"sequence": 1, "graph": graph(&[]), "removedTables": ["main.default.a"]}),
    );
    assert_eq!(world.look().1, Decision::Delete);
    world.edit(|table| table.metadata.deletion_timestamp = Some(Time(at(50))));
    assert_eq!(world.look().1, Decision::Release(Release::Removed));
}

#[test]
fn an_external_table_is_ready_when_it_could_be_read() {
    let mut world = world(table(&json!({"type": "External", "query": null, "location": "s3://other/a"})));
    world.step(0);
    world.step(3);
    assert_eq!(world.standing()[0], "True GraphValid");
    assert_eq!((world.status().location.as_deref(), world.status().declared_in.as_deref()), (Some("s3://other/a"), Some("manifest")));
    world.pipeline = Some(Arc::new(pipeline(Some((false, Reason::GraphInvalid)))));
    world.step(4);
    assert_eq!(world.standing()[0], "False GraphInvalid");
    world.report(
        update("p-u1", 5, "FAILED", &json!({})),
        1,
        &json!({"sequence": 1, "graph": {"valid": false}, "tables": [table_report(4, &Value::Null)]}),
    );
    world.step(6);
    assert_eq!((world.standing()[0].as_str(), world.status().version), ("True GraphValid", Some(4)));
}

#[test]
fn unknown_conditions_are_unknown() {
    let mut world = world(table(&json!({})));
    world.step(0);
    assert_eq!(condition::find(&world.status().conditions, ConditionType::Fresh).unwrap().status, Status::Unknown.as_str());
    world.edit(|table| _ = table.annotations_mut().insert("floe.dev/reconcile-requested-at".to_string(), "now".to_string()));
    world.step(5);
    assert_eq!(world.status().last_handled_reconcile_at.as_deref(), Some("now"));
}
