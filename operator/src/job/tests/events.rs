//! Triggers on tables, files and ends of other runs, and the watcher.

use floe_crds::{
    run::detail,
    run_report::{RunReport, RunReportSpec},
    table::Table,
    trigger::completion::EndedRun,
};

use super::*;
use crate::job::observe::Upstream;

fn table(name: &str, version: i64, committed: Timestamp) -> (String, Option<Arc<Table>>) {
    let table = json!({
        "apiVersion": "floe.dev/v1alpha1", "kind": "Table", "metadata": {"name": name, "namespace": "data"},
        "spec": {"pipeline": "shop", "type": "StreamingTable"},
        "status": {"fullName": format!("main.default.{name}"), "version": version, "lastCommitTime": committed.to_string()},
    });
    (name.to_string(), Some(Arc::new(serde_json::from_value(table).unwrap())))
}

#[test]
fn j42_table_update_timers() {
    let timers = json!({"tables": [{"name": "orders"}], "minTimeBetweenTriggersSeconds": 120, "waitAfterLastChangeSeconds": 60});
    let mut observed = job(&json!({"triggers": [{"name": "on-orders", "tableUpdate": timers}]}));
    step(&mut observed);
    assert!(trigger_of(&observed).message.as_ref().unwrap().starts_with("Table orders is not in namespace data"));
    observed.tables = [table("orders", 5, now())].into();
    step(&mut observed);
    assert!(observed.runs.is_empty(), "the first look sets the baseline");
    let commit = now() + SignedDuration::from_secs(10);
    observed.tables = [table("orders", 6, commit)].into();
    observed.now = commit;
    let waiting = step(&mut observed);
    assert_eq!((waiting.decision.again, observed.runs.len()), (Some(now() + SignedDuration::from_secs(70)), 0));
    assert_eq!(trigger_of(&observed).pending_since, Some(Time(commit)));
    observed.now = now() + SignedDuration::from_secs(70);
    look(&mut observed);
    step(&mut observed);
    assert_eq!(observed.runs.len(), 1, "once, also if the first look died");
    let detail = &observed.runs[0].spec.trigger.detail[detail::TABLES];
    assert_eq!(detail, r#"{"main.default.orders":{"version":6,"commitTime":"2026-11-21T12:00:10Z"}}"#);
    assert_eq!(trigger_of(&observed).cursor["orders"], "6");
    // The distance to the fire counts, too.
    let commit = now() + SignedDuration::from_secs(80);
    observed.tables = [table("orders", 7, commit)].into();
    observed.now = commit;
    step(&mut observed);
    assert_eq!(trigger_of(&observed).next_fire_time, Some(Time(now() + SignedDuration::from_secs(190))));
    // A Table that is made again begins where it was.
    observed.tables = [("orders".to_string(), None)].into();
    step(&mut observed);
    assert_eq!(trigger_of(&observed).cursor["orders"], "6");
}

fn ended(run: &str, at: Timestamp, result: RunResultState, before: Option<RunResultState>) -> Upstream {
    let end = EndedRun {
        job: "load".to_string(),
        run: run.to_string(),
        ended_at: at,
        result: Some(result),
        before_repair: before,
        parents: vec!["first".to_string()],
    };
    Upstream { end, uid: format!("uid-{run}") }
}

#[test]
fn j43_job_completion() {
    let mut observed = job(&json!({"triggers": [{"name": "after", "jobCompletion": {"jobs": [{"name": "load"}], "ifStatus": "Failed"}}]}));
    observed.jobs = [("load".to_string(), true)].into();
    observed.upstream = vec![ended("load-0", now() - SignedDuration::from_secs(5), RunResultState::Failed, None)];
    step(&mut observed);
    assert!(observed.runs.is_empty(), "only later ends count");
    let at = now() + SignedDuration::from_secs(30);
    observed.upstream.push(ended("load-1", at, RunResultState::Failed, None));
    observed.upstream.push(ended("load-2", at, RunResultState::Failed, None));
    observed.upstream.push(ended("load-3", at, RunResultState::Success, None));
    observed.now = at;
    look(&mut observed);
    // The operator comes back much later.
    later(&mut observed, 3600);
    step(&mut observed);
    assert_eq!(observed.runs.len(), 2, "{:?}", names(&observed));
    let told = &observed.runs[0].spec.trigger.detail;
    let of = |key: &str| told[key].as_str();
    assert_eq!((of(detail::UPSTREAM_JOB), of(detail::UPSTREAM_RUN), of(detail::UPSTREAM_RUN_ID)), ("load", "load-1", "uid-load-1"));
    assert_eq!((of(detail::UPSTREAM_RESULT), of(detail::PARENTS)), ("FAILED", "first,load"));
    assert!(step(&mut observed).plan.runs.is_empty());
    spec_of(&mut observed).spec.triggers[0].job_completion.as_mut().unwrap().if_status = floe_crds::job::CompletionStatus::Success;
    observed.upstream.push(ended("load-1", observed.now, RunResultState::Success, Some(RunResultState::Failed)));
    step(&mut observed);
    assert_eq!(observed.runs.len(), 3, "a repair that changes the result counts");
}

#[test]
fn chains_that_are_too_long_end() {
    let mut observed = job(&json!({"triggers": [{"name": "after", "jobCompletion": {"jobs": [{"name": "load"}]}}]}));
    step(&mut observed);
    let mut end = ended("load-1", now() + SignedDuration::from_secs(1), RunResultState::Success, None);
    end.end.parents = (0..9).map(|n| format!("job-{n}")).collect();
    observed.upstream = vec![end];
    later(&mut observed, 1);
    let told = step(&mut observed).told;
    assert!(observed.runs.is_empty());
    assert_eq!(told, ["TriggerChainTooLong: trigger after does not fire for load-1: ten jobs have led there by their ends"]);
    assert!(step(&mut observed).told.is_empty(), "once");
}

fn report(watch: &Value) -> Arc<RunReport> {
    let spec: RunReportSpec = serde_json::from_value(json!({"protocol": 1, "kind": "Watch", "watch": watch})).unwrap();
    Arc::new(RunReport::new("nightly-watch", spec))
}

#[test]
fn j41_file_arrival() {
    let trigger = json!({"name": "landing", "fileArrival": {"uri": "s3://lake/landing", "waitAfterLastChangeSeconds": 60}});
    let mut observed = job(&json!({"triggers": [trigger]}));
    let first = step(&mut observed);
    let watcher = first.plan.watcher.unwrap();
    let pod = watcher.deployment.spec.clone().unwrap().template.spec.unwrap();
    assert_eq!(pod.service_account_name.as_deref(), Some("floe-job-nightly"));
    assert_eq!(pod.containers[0].args.as_ref().unwrap()[0], "watch");
    let request = pod.volumes.unwrap().into_iter().find_map(|volume| volume.config_map).unwrap();
    assert_eq!(request.name, watcher.request.name_any());
    let asked = floe_crds::request::WatchRequest::read(&watcher.request.data.as_ref().unwrap()["request.json"]).unwrap();
    assert_eq!((asked.triggers[0].files.as_deref(), asked.report.unwrap().name.as_str()), (Some("s3://lake/landing"), "nightly-watch"));
    assert!(said(&observed, ConditionType::Ready).starts_with("False Progressing"));
    let mut running = watcher.deployment;
    running.status =
        serde_json::from_value(json!({"availableReplicas": 1, "conditions": [{"type": "Available", "status": "True"}]})).unwrap();
    observed.watcher = Some(Arc::new(running));
    let request = kube::core::PartialObjectMeta { metadata: watcher.request.metadata, ..kube::core::PartialObjectMeta::default() };
    observed.requests = vec![Arc::new(request)];
    let settled = step(&mut observed).plan;
    assert!(settled.watcher.is_none() && settled.unwanted_requests.is_empty());
    assert!(said(&observed, ConditionType::Ready).starts_with("True"));
    observed.report = Some(report(&json!({"landing": {"since": "2026-11-21T12:00:00Z", "arrivals": 0}})));
    step(&mut observed);
    assert!(observed.runs.is_empty(), "what was there is no arrival");
    let seen = json!({"landing": {"since": "2026-11-21T12:00:00Z", "arrivals": 20, "lastArrivalTime": "2026-11-21T12:00:30Z"}});
    observed.report = Some(report(&seen));
    later(&mut observed, 31);
    assert_eq!(step(&mut observed).decision.again, Some("2026-11-21T12:01:30Z".parse().unwrap()));
    later(&mut observed, 60);
    step(&mut observed);
    assert_eq!(observed.runs.len(), 1);
    assert_eq!(observed.runs[0].spec.trigger.detail[detail::LOCATION], "s3://lake/landing");
    step(&mut observed);
    assert_eq!(observed.runs.len(), 1);
    let refused = json!({"landing": {"since": "2026-11-21T12:00:00Z", "arrivals": 20, "error": "403 Forbidden"}});
    observed.report = Some(report(&refused));
    assert_eq!(step(&mut observed).told, ["TriggerError: trigger landing: 403 Forbidden"]);
    assert!(step(&mut observed).told.is_empty(), "once");
    // Another folder: another request, another pod.
    spec_of(&mut observed).spec.triggers[0].file_arrival.as_mut().unwrap().uri = "s3://lake/other".to_string();
    let plan = step(&mut observed).plan;
    assert_ne!(plan.watcher.unwrap().request.name_any(), observed.requests[0].name_any());
    assert_eq!(plan.unwanted_requests.len(), 1);
    spec_of(&mut observed).spec.triggers.clear();
    let plan = step(&mut observed).plan;
    assert!(plan.watcher.is_none() && plan.unwanted_watcher.is_some());
}
