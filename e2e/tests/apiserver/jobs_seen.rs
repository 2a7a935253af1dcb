//! What a person and Prometheus see of Jobs: kubectl's columns, metrics, and nothing written while nothing changes.

use std::time::Duration;

use floe_crds::{job::Job, job_run::JobRun, state::RunResultState};
use floe_e2e::{
    faults::{Call, Proxy},
    operator::Settings,
    runs::{RunSeen, job, task},
    scene::Scene,
    tenant::Tenant,
    virtual_pods::{Script, VirtualPods},
};
use serde_json::{Value, json};

use crate::o04_kubectl_output::golden;

fn at_once() -> Value {
    json!([task("compare", &[], &json!({"condition": {"left": "a", "op": "EqualTo", "right": "a"}}))])
}

#[tokio::test]
async fn kubectl_shows_jobs_and_runs() -> anyhow::Result<()> {
    let scene = Scene::open("j-kubectl").await?;
    let nightly = json!({"triggers": [{"name": "nightly", "schedule": {"quartzCron": "0 0 2 1 1 ?"}}]});
    scene.job("nightly", json!([task("a", &[], &json!({})), task("b", &["a"], &json!({}))]), nightly).await?;
    scene.job("plain", at_once(), json!({"suspend": true})).await?;
    scene.job("wrong", json!([task("a", &["b"], &json!({})), task("b", &["a"], &json!({}))]), json!({})).await?;
    scene.pods.attempt("failed-b-1", Script::new().exits(10));
    scene.run("failed", "nightly", json!({})).await?;
    scene.run_ends("failed", RunResultState::Failed).await?;
    scene.run("good", "plain", json!({})).await?;
    scene.run_ends("good", RunResultState::Success).await?;
    scene.pods.attempt("held-a-1", Script::new().starts().holds());
    scene.run("held", "nightly", json!({})).await?;
    scene.pods.wait_started("held-a-1").await?;
    scene.run_is("held", "run", |run| run.task("a").state == floe_crds::state::TaskState::Running).await?;
    scene.run("next", "nightly", json!({})).await?;
    scene.run_is("next", "wait", |run| run.state() == Some(floe_crds::state::RunState::Queued)).await?;
    let settled = |job: &Job| job.status.as_ref().is_some_and(|status| (status.active, status.queued) == (1, 1));
    scene.job_is("nightly", "know its runs", settled).await?;
    let ended = |job: &Job| job.status.as_ref().is_some_and(|status| status.last_ended_run.is_some());
    scene.job_is("plain", "know its run", ended).await?;
    let mut seen = String::new();
    for arguments in [
        &["get", "fjob"][..],
        &["get", "jobs.floe.dev", "--output", "wide"],
        &["get", "frun"],
        &["get", "frun", "--output", "wide"],
        &["get", "jobruns.floe.dev", "--field-selector", "spec.jobRef.name=plain"],
        &["get", "jobruns.floe.dev", "--field-selector", "status.state=QUEUED"],
    ] {
        let answer = floe_e2e::cluster::kubectl(&scene.tenant, arguments, None).await?;
        seen += &["$ kubectl ", &arguments.join(" "), "\n", &golden(&answer), "\n\n"].concat();
    }
    assert_eq!(seen, include_str!("jobs_kubectl_output.txt"), "{seen}");
    Ok(())
}

#[tokio::test]
async fn metrics_of_jobs_have_the_values_of_what_happened() -> anyhow::Result<()> {
    let scene = Scene::open("j-metrics").await?;
    let names = [("namespace", scene.tenant.name.as_str()), ("job", "work")];
    // A status is read before what it counts for: the metric follows at once.
    let is = async |family: &str, more: &[(&str, &str)], wanted: Option<f64>| {
        let labels = [&names[..], more].concat();
        scene.operator.metric_becomes(family, &labels, wanted).await
    };
    let schedule = json!({"triggers": [{"name": "nightly", "schedule": {"cron": "0 0 1 1 *"}}], "maxConcurrentRuns": 1});
    scene.job("work", json!([task("a", &[], &json!({"retry": {"maxRetries": 1}}))]), schedule.clone()).await?;
    scene.pods.attempt("bad-a-1", Script::new().exits(1));
    scene.pods.attempt("bad-a-2", Script::new().exits(1));
    scene.run("bad", "work", json!({})).await?;
    scene.run_ends("bad", RunResultState::Failed).await?;
    scene.job_is("work", "count the failure", |job| job.status.as_ref().is_some_and(|status| status.consecutive_failures == 1)).await?;
    is("floe_job_consecutive_failures", &[], Some(1.0)).await?;
    is("floe_job_last_success_timestamp_seconds", &[], None).await?;
    scene.repair("bad", json!({"id": 1, "allFailed": true}), RunResultState::Success).await?;
    scene.pods.every(Script::new().starts().holds().completes());
    scene.run("good", "work", json!({})).await?;
    scene.pods.wait_started("good-a-1").await?;
    scene.run("waits", "work", json!({})).await?;
    let busy = |job: &Job| job.status.as_ref().is_some_and(|status| (status.active, status.queued) == (1, 1));
    scene.job_is("work", "know its runs", busy).await?;
    is("floe_job_active_runs", &[], Some(1.0)).await?;
    is("floe_job_queued_runs", &[], Some(1.0)).await?;
    for run in ["good", "waits"] {
        scene.pods.wait_started(&format!("{run}-a-1")).await?;
        scene.pods.release(&format!("{run}-a-1"));
        scene.run_ends(run, RunResultState::Success).await?;
    }
    let mut off = schedule;
    off["maxConcurrentRuns"] = json!(0);
    scene.job("work", json!([task("a", &[], &json!({}))]), off).await?;
    scene.run("skipped", "work", json!({})).await?;
    scene.run_is("skipped", "be skipped", RunSeen::is_over).await?;
    let rests = |job: &Job| {
        job.status.as_ref().is_some_and(|status| {
            (status.active, status.queued) == (0, 0) && status.last_ended_run.as_ref().is_some_and(|run| run.name == "waits")
        })
    };
    let job = scene.job_is("work", "come to rest", rests).await?;
    let status = job.status.unwrap();

    // A run counts when it ends for the first time; what repairs come to is counted apart.
    let runs = "floe_job_runs_total";
    for (result, count) in [("success", Some(2.0)), ("failed", Some(1.0)), ("skipped", Some(1.0)), ("canceled", None)] {
        is(runs, &[("result", result), ("trigger", "one_time")], count).await?;
    }
    is("floe_job_run_duration_seconds_count", &[("result", "success")], Some(2.0)).await?;
    is("floe_job_run_duration_seconds_count", &[("result", "failed")], Some(1.0)).await?;
    // A run that was skipped has no duration.
    is("floe_job_run_duration_seconds_count", &[], Some(3.0)).await?;
    is("floe_job_run_queue_seconds_count", &[], Some(3.0)).await?;
    is("floe_job_task_attempts_total", &[("kind", "container"), ("result", "failed")], Some(2.0)).await?;
    is("floe_job_task_attempts_total", &[("kind", "container"), ("result", "success")], Some(3.0)).await?;
    is("floe_job_repairs_total", &[("result", "success")], Some(1.0)).await?;
    is("floe_job_info", &[], Some(1.0)).await?;
    is("floe_job_active_runs", &[], Some(0.0)).await?;
    is("floe_job_queued_runs", &[], Some(0.0)).await?;
    is("floe_job_consecutive_failures", &[], Some(0.0)).await?;
    let seconds = |at: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| at.map(|at| at.0.as_second() as f64);
    is("floe_job_last_success_timestamp_seconds", &[], seconds(status.last_successful_time)).await?;
    is("floe_job_next_run_timestamp_seconds", &[], seconds(status.next_run_time)).await?;

    // Of a Job that is gone nothing is told.
    scene.tenant.delete::<Job>("work").await?;
    scene.tenant.wait_gone::<Job>("work").await?;
    is("floe_job_info", &[], None).await?;
    is(runs, &[], None).await?;
    Ok(())
}

async fn settle(proxy: &Proxy) -> Vec<Call> {
    loop {
        let before = proxy.writes().len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        if proxy.writes().len() == before {
            return proxy.writes();
        }
    }
}

fn written_since(proxy: &Proxy, settled: &[Call]) -> Vec<String> {
    proxy.writes()[settled.len()..].iter().map(ToString::to_string).collect()
}

/// As o03, with Jobs: definitions at rest with triggers of every kind, and runs that have ended.
#[tokio::test]
async fn o03_idle_jobs_write_nothing() -> anyhow::Result<()> {
    const JOBS: usize = 20;
    let tenant = Tenant::new("o03-jobs").await?;
    let _pods = VirtualPods::start(&tenant);
    let proxy = Proxy::start(&tenant).await?;
    let settings = Settings::of(&tenant).await?;
    let operator = proxy.operator(&settings).await?;
    let triggers = |number: usize| {
        let mut triggers = vec![json!({"name": "clock", "schedule": {"cron": "0 0 1 1 *"}})];
        triggers.push(match number % 4 {
            0 => json!({"name": "files", "fileArrival": {"uri": "s3://lake/landing"}}),
            1 => json!({"name": "tables", "tableUpdate": {"tables": [{"name": "nowhere"}]}}),
            2 => json!({"name": "after", "jobCompletion": {"jobs": [{"name": format!("work{}", number - 1)}], "ifStatus": "Failed"}}),
            _ => json!({"name": "period", "periodic": {"everySeconds": 86_400}}),
        });
        json!({"triggers": triggers})
    };
    let tasks = json!([task("a", &[], &json!({})), task("b", &["a"], &json!({"sql": {"statements": "SELECT 1"}}))]);
    for number in 0..JOBS {
        let name = format!("work{number}");
        tenant.apply_one(&job(&name, &tasks, &triggers(number))).await?;
        let run = json!({"apiVersion": floe_crds::API_VERSION, "kind": "JobRun", "metadata": {"name": format!("{name}-r")}, "spec": {"jobRef": {"name": name}}});
        tenant.create(&run).await?;
    }
    tenant.wait_list::<JobRun>("the end of all", |all| all.len() == JOBS && all.iter().all(RunSeen::is_over)).await?;
    assert!(tenant.list::<JobRun>().await?.iter().all(|run| run.result() == Some(RunResultState::Success)));
    for number in (0..JOBS).step_by(4) {
        let works = json!({"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]});
        tenant.patch_status::<k8s_openapi::api::apps::v1::Deployment>(&format!("work{number}-watch"), &works).await?;
    }

    let settled = settle(&proxy).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(written_since(&proxy, &settled), Vec::<String>::new(), "at rest");
    proxy.expire_watches();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(written_since(&proxy, &settled), Vec::<String>::new(), "after all watches began anew");
    let events = tenant.list::<k8s_openapi::api::events::v1::Event>().await?.len();
    operator.terminate().await?;
    let operator = proxy.operator(&settings).await?;
    for controller in ["job", "job_run"] {
        while operator.metric("floe_operator_reconcile_total", &[("controller", controller)]).await?.unwrap_or_default() < JOBS as f64 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(written_since(&proxy, &settled), Vec::<String>::new(), "a new process has looked at everything");
    assert_eq!(tenant.list::<k8s_openapi::api::events::v1::Event>().await?.len(), events, "nothing is told a second time");
    Ok(())
}
