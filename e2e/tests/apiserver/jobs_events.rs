//! Triggers on events on a real API server: files and tables that a watcher sees, tables that pipelines write, ends of other runs.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType,
    job::Job,
    job_run::{JobRun, TriggerType},
    state::{RunResultState, UpdateState},
};
use floe_e2e::{
    objects,
    runs::{RunSeen, names, task, trigger},
    scene::Scene,
    seen::Conditions,
    virtual_pods::Script,
};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Pod, ServiceAccount},
        rbac::v1::RoleBinding,
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;
use serde_json::{Value, json};

fn says(text: &str) -> Value {
    json!([task("say", &[], &json!({"container": {"image": "i", "args": [text]}}))])
}

/// What the pod of the only task of a run was started with.
async fn said(scene: &Scene, run: &str) -> anyhow::Result<String> {
    scene.run_ends(run, RunResultState::Success).await?;
    let pod = scene.tenant.get::<Pod>(&format!("{run}-say-1-1")).await?;
    Ok(pod.spec.unwrap().containers[0].args.clone().unwrap_or_default().join(" "))
}

/// The only run of a Job beside those that are known, by what it is named after.
async fn next_run(scene: &Scene, job: &str, count: usize, known: &[String]) -> anyhow::Result<JobRun> {
    let mut runs = scene.tenant.has_runs(job, count).await?;
    runs.retain(|run| !known.contains(&run.name_any()));
    assert_eq!(runs.len(), 1, "{:?}", names(&runs));
    Ok(runs.remove(0))
}

async fn stays_at(scene: &Scene, job: &str, count: usize) -> anyhow::Result<()> {
    let of_job = |runs: &[JobRun]| runs.iter().filter(|run| run.spec.job_ref.name == job).count();
    scene.tenant.never::<JobRun>(Duration::from_secs(2), "a run too many", |runs| of_job(runs) > count).await
}

#[tokio::test]
async fn j41_file_arrival() -> anyhow::Result<()> {
    let scene = Scene::open("j41").await?;
    let tenant = &scene.tenant;
    let triggers = json!([
        {"name": "landing", "fileArrival": {"uri": "s3://lake/landing"}},
        {"name": "slow", "fileArrival": {"uri": "s3://lake/slow", "waitAfterLastChangeSeconds": 60}},
    ]);
    scene.job("files", says("{{job.trigger.type}} {{job.trigger.file_arrival.location}}"), json!({"triggers": triggers})).await?;
    let watcher = tenant.wait::<Deployment>("files-watch", "be there", |_| true).await?;
    let pod = watcher.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.service_account_name.as_deref(), Some("floe-job-files"));
    tenant.get::<ServiceAccount>("floe-job-files").await?;
    tenant.get::<RoleBinding>("floe-job-files").await?;
    let request = pod.volumes.unwrap().into_iter().find_map(|volume| volume.config_map).unwrap().name;
    assert!(tenant.get::<ConfigMap>(&request).await?.data.unwrap()["request.json"].contains("s3://lake/landing"));
    scene.job_says("files", ConditionType::Ready, "False", "Progressing").await?;
    let works = json!({"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1, "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]});
    tenant.patch_status::<Deployment>("files-watch", &works).await?;
    scene.job_says("files", ConditionType::Ready, "True", "Accepted").await?;

    let since = Timestamp::now();
    let quiet = json!({"since": since.to_string(), "arrivals": 0});
    tenant.watcher_reports("files", json!({"landing": quiet, "slow": quiet})).await?;
    let seen = |job: &Job| trigger(job, "landing").cursor.get("arrivals").map(String::as_str) == Some("0");
    scene.job_is("files", "know that nothing has come", seen).await?;
    stays_at(&scene, "files", 0).await?;

    let one = json!({"since": since.to_string(), "arrivals": 1, "lastArrivalTime": Timestamp::now().to_string()});
    tenant.watcher_reports("files", json!({"landing": one, "slow": quiet})).await?;
    let first = next_run(&scene, "files", 1, &[]).await?;
    assert_eq!((first.spec.trigger.trigger_type, first.spec.trigger.name.as_str()), (TriggerType::FileArrival, "landing"));
    assert_eq!(said(&scene, &first.name_any()).await?, "file_arrival s3://lake/landing");

    // A burst, and a quiet time that is nearly over.
    let last = Timestamp::now() - SignedDuration::from_secs(54);
    let burst = json!({"since": since.to_string(), "arrivals": 20, "lastArrivalTime": last.to_string()});
    tenant.watcher_reports("files", json!({"landing": one, "slow": burst})).await?;
    let waits = |job: &Job| trigger(job, "slow").pending_since.is_some();
    let job = scene.job_is("files", "wait for the quiet time", waits).await?;
    let due = trigger(&job, "slow").next_fire_time.unwrap().0;
    assert_eq!(due.as_second(), last.as_second() + 60);
    let second = next_run(&scene, "files", 2, &[first.name_any()]).await?;
    assert!(second.creation_timestamp().unwrap().0.as_second() >= due.as_second());
    assert_eq!(said(&scene, &second.name_any()).await?, "file_arrival s3://lake/slow");

    // A watcher that lost its count, and a look that fails.
    let again = json!({"since": since.to_string(), "arrivals": 0});
    let refused = json!({"since": since.to_string(), "arrivals": 1, "error": "403 Forbidden", "errorTime": since.to_string()});
    tenant.watcher_reports("files", json!({"landing": refused, "slow": again})).await?;
    let failed = |job: &Job| trigger(job, "landing").message.as_deref() == Some("403 Forbidden");
    scene.job_is("files", "tell why it cannot look", failed).await?;
    assert_eq!(tenant.tells("Job", "files", "TriggerError: ").await?, "TriggerError: trigger landing: 403 Forbidden");
    let errors = scene.operator.metric("floe_job_trigger_errors_total", &[("job", "files"), ("trigger", "landing")]).await?;
    assert_eq!(errors, Some(1.0));
    stays_at(&scene, "files", 2).await?;

    // Without the trigger there is no watcher.
    scene.job("files", says("nothing"), json!({})).await?;
    tenant.wait_gone::<Deployment>("files-watch").await?;
    tenant.wait_gone::<ConfigMap>(&request).await
}

#[tokio::test]
async fn j42_table_update() -> anyhow::Result<()> {
    let scene = Scene::open("j42").await?;
    let tenant = &scene.tenant;
    scene.pipeline("shop", json!({"updatePolicy": {"onChange": "None"}})).await?;
    scene.update("first", "shop", json!({})).await?;
    scene.ends("first", UpdateState::Completed).await?;
    for name in ["theirs", "others"] {
        let external = json!({"type": "External", "query": null, "location": format!("s3://lake/{name}")});
        tenant.apply_one(&objects::table(name, "shop", external)).await?;
    }
    let updated = "{{job.trigger.type}} {{job.trigger.table_update.updated_tables}}";
    let on = |condition: &str, tables: &[&str], more: Value| {
        let tables: Vec<Value> = tables.iter().map(|name| json!({"name": name})).collect();
        let mut update = json!({"tables": tables, "condition": condition});
        for (key, value) in more.as_object().into_iter().flatten() {
            update[key] = value.clone();
        }
        json!({"triggers": [{"name": "tables", "tableUpdate": update}]})
    };
    scene.job("any", says(updated), on("AnyUpdated", &["shop-orders", "shop-daily"], json!({}))).await?;
    scene.job("all", says(updated), on("AllUpdated", &["theirs", "others"], json!({}))).await?;
    let timers = json!({"minTimeBetweenTriggersSeconds": 120, "waitAfterLastChangeSeconds": 60});
    scene.job("slow", says(updated), on("AnyUpdated", &["theirs"], timers)).await?;
    let knows = |count: usize| move |job: &Job| trigger(job, "tables").cursor.len() == count;
    scene.job_is("any", "know the versions", knows(2)).await?;
    stays_at(&scene, "any", 0).await?;

    scene.update("second", "shop", json!({})).await?;
    scene.ends("second", UpdateState::Completed).await?;
    let runs = tenant.wait_list::<JobRun>("a run for new versions", |runs| !runs.is_empty()).await?;
    let run = runs.iter().find(|run| run.spec.job_ref.name == "any").unwrap();
    assert_eq!(run.spec.trigger.trigger_type, TriggerType::Table);
    let text = said(&scene, &run.name_any()).await?;
    assert!(text.starts_with("table [\"main.default."), "{text}");
    // Both tables may be seen at once or one after the other, but each version once.
    let settled = |job: &Job| trigger(job, "tables").cursor.values().all(|version| version == "1");
    scene.job_is("any", "have acted on both versions", settled).await?;
    let count = tenant.runs_of("any").await?.len();
    assert!((1..=2).contains(&count));
    stays_at(&scene, "any", count).await?;

    let reports = async |theirs: i64, others: i64| {
        let watch = json!({"tables": {"since": Timestamp::now().to_string(), "tables": {"theirs": theirs, "others": others}}});
        tenant.watcher_reports("all", watch).await?;
        let watch = json!({"tables": {"since": Timestamp::now().to_string(), "tables": {"theirs": theirs}}});
        tenant.watcher_reports("slow", watch).await
    };
    reports(7, 3).await?;
    scene.job_is("all", "know the versions", knows(2)).await?;
    scene.job_is("slow", "know the version", knows(1)).await?;
    reports(8, 3).await?;
    let waits = |job: &Job| trigger(job, "tables").pending_since.is_some();
    let job = scene.job_is("slow", "wait for the quiet time", waits).await?;
    let slow = trigger(&job, "tables");
    assert_eq!(slow.next_fire_time.unwrap().0.as_second() - slow.pending_since.unwrap().0.as_second(), 60);
    stays_at(&scene, "all", 0).await?;
    reports(9, 4).await?;
    let run = next_run(&scene, "all", 1, &[]).await?;
    let tables: Value = serde_json::from_str(said(&scene, &run.name_any()).await?.strip_prefix("table ").unwrap())?;
    assert_eq!(tables.as_array().map(Vec::len), Some(2), "{tables}");
    stays_at(&scene, "slow", 0).await
}

#[tokio::test]
async fn j43_job_completion() -> anyhow::Result<()> {
    let scene = Scene::open("j43").await?;
    scene.job("load", json!([task("t", &[], &json!({}))]), json!({})).await?;
    let upstream =
        "{{job.trigger.job_completion.job_name}} {{job.trigger.job_completion.run_name}} {{job.trigger.job_completion.result_state}}";
    let after = |status: &str| json!({"triggers": [{"name": "after", "jobCompletion": {"jobs": [{"name": "load"}], "ifStatus": status}}]});
    let followers = [("on-failed", "Failed"), ("on-success", "Success"), ("on-done", "Done")];
    for (name, status) in followers {
        scene.job(name, says(upstream), after(status)).await?;
        scene.job_is(name, "know where it begins", |job| trigger(job, "after").cursor.len() == 1).await?;
    }
    // Ends have seconds: the first is later than what the triggers know.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    scene.pods.attempt("r-t-1", Script::new().exits(10));
    scene.run("r", "load", json!({})).await?;
    scene.run_ends("r", RunResultState::Failed).await?;
    let failed = next_run(&scene, "on-failed", 1, &[]).await?;
    assert_eq!(said(&scene, &failed.name_any()).await?, "load r failed");
    assert_eq!(failed.spec.trigger.detail["parents"], "load");
    let done = next_run(&scene, "on-done", 1, &[]).await?;
    stays_at(&scene, "on-success", 0).await?;

    scene.repair("r", json!({"id": 1, "allFailed": true}), RunResultState::Success).await?;
    let success = next_run(&scene, "on-success", 1, &[]).await?;
    assert_eq!(said(&scene, &success.name_any()).await?, "load r success");
    next_run(&scene, "on-done", 2, &[done.name_any()]).await?;
    // A repair that changes nothing is no news.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    scene.repair("r", json!({"id": 2, "tasks": ["t"]}), RunResultState::Success).await?;
    stays_at(&scene, "on-success", 1).await?;
    assert_eq!(scene.tenant.runs_of("on-failed").await?.len(), 1);
    assert_eq!(scene.tenant.get::<JobRun>("r").await?.seen().repair_count, 2);

    // Jobs that start one another are refused, each of them.
    let ring = |before: &str| json!({"triggers": [{"name": "after", "jobCompletion": {"jobs": [{"name": before}]}}]});
    scene.job("a", says("a"), ring("b")).await?;
    scene.job("b", says("b"), ring("a")).await?;
    for name in ["a", "b"] {
        let job = scene.job_says(name, ConditionType::Accepted, "False", "InvalidTriggerCycle").await?;
        assert!(job.message(ConditionType::Accepted).contains("a → b → a"), "{}", job.message(ConditionType::Accepted));
    }
    Ok(())
}
