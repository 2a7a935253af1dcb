//! Runs of Jobs on a real API server; pods are played.

use floe_crds::{
    job_run::{JobRun, RepairState},
    pipeline_update::PipelineUpdate,
    run_report::RunReport,
    state::{FailureClass, RunResultState, RunState, TaskResultState, TaskState, TerminationCode, UpdateState},
};
use floe_e2e::{
    runs::{RunSeen, task},
    scene::Scene,
    seen::state,
    virtual_pods::Script,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

fn fails() -> Script {
    Script::new().fails(FailureClass::User, "SOME_ERROR", "said no")
}

fn condition(left: &str, op: &str, right: &str) -> Value {
    json!({"condition": {"left": left, "op": op, "right": right}})
}

fn bookstore() -> Value {
    json!([
        task("land_new_data", &[], &json!({})),
        task("has_new_file", &["land_new_data"], &condition("{{tasks.land_new_data.values.number_new_files}}", "GreaterThan", "0")),
        task("run_pipeline", &[], &json!({"pipeline": {"name": "shop"}, "dependsOn": [{"task": "has_new_file", "outcome": "true"}]})),
        task("log_no_data", &[], &json!({"dependsOn": [{"task": "has_new_file", "outcome": "false"}]})),
        task("list_tables", &["run_pipeline"], &json!({"sql": {"pipeline": "shop", "statements": "SELECT 1"}})),
        task(
            "tables_iterator",
            &["list_tables"],
            &json!({"forEach": {"inputs": "{{tasks.list_tables.values.tables}}", "concurrency": 4,
            "task": {"name": "analyze", "sql": {"pipeline": "shop", "statements": "SELECT 1", "parameters": {"table": "{{input.table_name}}"}}}}})
        ),
    ])
}

#[tokio::test]
async fn j01_bookstore_with_files() -> anyhow::Result<()> {
    let scene = Scene::open("j01").await?;
    scene.pipeline("shop", json!({"updatePolicy": {"onChange": "None"}})).await?;
    scene.job("shop", bookstore(), json!({})).await?;
    scene.pods.attempt("r-land_new_data-1", Script::new());
    let landed = Script::new().leaves("number_new_files", json!(2)).completes();
    let tables = json!([{"table_name": "books"}, {"table_name": "authors"}]);
    scene.pods.every(landed.leaves("tables", tables));
    scene.run("r", "shop", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::Success).await?;
    assert_eq!(
        run.tasks(),
        "land_new_data SUCCESS, has_new_file SUCCESS, run_pipeline SUCCESS, log_no_data EXCLUDED, list_tables SUCCESS, tables_iterator SUCCESS"
    );
    let loops = run.task("tables_iterator").for_each.unwrap();
    assert_eq!((loops.total, loops.succeeded, loops.active), (2, 2, 0));
    let updates = scene.tenant.list::<PipelineUpdate>().await?;
    let update = updates.iter().find(|update| update.name_any() == run.task("run_pipeline").child.unwrap().name).unwrap();
    assert_eq!((update.spec.cause.as_str(), state(update)), ("JOB_TASK", Some(UpdateState::Completed)));
    let asked: Vec<_> = scene.pods.started().into_iter().filter_map(|pod| scene.pods.task(pod.rsplit_once('-')?.0)).collect();
    let mut tables: Vec<_> =
        asked.iter().filter_map(|task| task.parameters.iter().find(|one| one.name == "table")?.value.clone()).collect();
    tables.sort();
    assert_eq!(tables, ["authors", "books"]);
    let is_counted = |report: &RunReport| report.name_any().contains("iterator-i");
    scene.tenant.wait_list::<RunReport>("reports of counted iterations are gone", |all| !all.iter().any(is_counted)).await?;
    Ok(())
}

#[tokio::test]
async fn j02_bookstore_without_files() -> anyhow::Result<()> {
    let scene = Scene::open("j02").await?;
    scene.job("shop", bookstore(), json!({})).await?;
    scene.pods.every(Script::new().leaves("number_new_files", json!(0)).completes());
    scene.run("r", "shop", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::Success).await?;
    assert_eq!(
        run.tasks(),
        "land_new_data SUCCESS, has_new_file SUCCESS, run_pipeline EXCLUDED, log_no_data SUCCESS, list_tables EXCLUDED, tables_iterator EXCLUDED"
    );
    Ok(())
}

#[tokio::test]
async fn j11_for_each_concurrency() -> anyhow::Result<()> {
    let scene = Scene::open("j11").await?;
    let each = json!({"forEach": {"inputs": "[0,1,2,3,4,5,6,7,8,9]", "concurrency": 3, "task": {"name": "one", "container": {"image": "i", "args": ["{{input}}"]}}}});
    scene.job("loop", json!([task("each", &[], &each)]), json!({})).await?;
    scene.pods.every(Script::new().starts().holds().completes());
    scene.run("r", "loop", json!({})).await?;
    for number in 0..10 {
        let attempt = format!("r-each-i{number}-1");
        scene.pods.wait_started(&attempt).await?;
        let pods = scene.tenant.list::<Pod>().await?;
        let ended = |pod: &Pod| matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"));
        let active: Vec<String> = pods.iter().filter(|pod| !ended(pod)).map(ResourceExt::name_any).collect();
        assert!(active.len() <= 3, "{active:?}");
        scene.pods.release(&attempt);
    }
    let run = scene.run_ends("r", RunResultState::Success).await?;
    let all = run.task("each").for_each.unwrap();
    assert_eq!((all.total, all.succeeded, all.failed), (10, 10, 0));
    Ok(())
}

#[tokio::test]
async fn j12_for_each_partial_failure() -> anyhow::Result<()> {
    let scene = Scene::open("j12").await?;
    let each =
        json!({"forEach": {"inputs": "[0,1,2,3,4,5,6,7,8,9]", "concurrency": 5, "task": {"name": "one", "container": {"image": "i"}}}});
    scene.job("loop", json!([task("each", &[], &each)]), json!({})).await?;
    scene.pods.attempt("r-each-i6-1", fails());
    scene.run("r", "loop", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::Failed).await?;
    let all = run.task("each").for_each.unwrap();
    assert_eq!((all.succeeded, all.failed, all.top_errors.len()), (9, 1, 1));
    assert!(run.task("each").message.unwrap().starts_with("1 of 10 iterations failed: "), "{run:#?}");
    let before = scene.pods.started().len();
    let run = scene.repair("r", json!({"id": 1, "allFailed": true}), RunResultState::Success).await?;
    let all = run.task("each").for_each.unwrap();
    assert_eq!((all.succeeded, all.failed, scene.pods.started().len() - before), (10, 0, 1));
    assert_eq!(scene.pods.started().last().unwrap(), "r-each-i6-2-1");
    Ok(())
}

#[tokio::test]
async fn j14_values_roundtrip() -> anyhow::Result<()> {
    let scene = Scene::open("j14").await?;
    let args = json!({"container": {"image": "i", "args": [
        "{{tasks.a.values.number}}", "{{tasks.a.values.text}}", "{{tasks.a.values.object}}", "{{tasks.a.values.object.k}}", "{{tasks.a.result_state}}"]}});
    scene.job("values", json!([task("a", &[], &json!({})), task("b", &["a"], &args)]), json!({})).await?;
    let left = Script::new().leaves("number", json!(2)).leaves("text", json!("no JSON")).leaves("object", json!({"k": [1]}));
    scene.pods.attempt("r-a-1", left.completes());
    scene.run("r", "values", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::Success).await?;
    assert_eq!(run.task("a").values, ["number", "object", "text"]);
    let pod = scene.tenant.api::<Pod>().get("r-b-1-1").await?;
    let args = pod.spec.unwrap().containers[0].args.clone().unwrap();
    assert_eq!(args, ["2", "no JSON", r#"{"k":[1]}"#, "[1]", "success"]);
    Ok(())
}

#[tokio::test]
async fn j15_value_of_failed_task() -> anyhow::Result<()> {
    let scene = Scene::open("j15").await?;
    let handler = json!({"runIf": "AllDone", "container": {"image": "i", "args": ["{{tasks.a.values.why}}"]}});
    scene.job("values", json!([task("a", &[], &json!({})), task("b", &["a"], &handler)]), json!({})).await?;
    scene.pods.attempt("r-a-1", Script::new().leaves("why", json!("empty file")).exits(10));
    scene.run("r", "values", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::SuccessWithFailures).await?;
    assert_eq!(run.tasks(), "a FAILED, b SUCCESS");
    let pod = scene.tenant.api::<Pod>().get("r-b-1-1").await?;
    assert_eq!(pod.spec.unwrap().containers[0].args.clone().unwrap(), ["empty file"]);
    Ok(())
}

#[tokio::test]
async fn j18_reference_missing_at_run() -> anyhow::Result<()> {
    let scene = Scene::open("j18").await?;
    let args = json!({"container": {"image": "i", "args": ["{{tasks.a.values.never}}"]}});
    scene.job("values", json!([task("a", &[], &json!({})), task("b", &["a"], &args)]), json!({})).await?;
    scene.run("r", "values", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::Failed).await?;
    let b = run.task("b");
    assert_eq!((b.termination_code, b.execution_count), (Some(TerminationCode::InvalidReference), 0));
    assert_eq!(scene.pods.started(), ["r-a-1-1"]);
    Ok(())
}

#[tokio::test]
async fn j22_j23_failures_are_retried_by_their_class() -> anyhow::Result<()> {
    let scene = Scene::open("j22").await?;
    let retry = json!({"retry": {"maxRetries": 2}});
    let sql = json!({"sql": {"statements": "SELECT 1"}, "retry": {"maxRetries": 2}});
    scene.job("one", json!([task("t", &[], &retry)]), json!({})).await?;
    scene.job("query", json!([task("t", &[], &sql)]), json!({})).await?;
    for (run, job, code, attempts) in
        [("any", "one", 1, 3), ("user", "one", 10, 1), ("lasting", "query", 12, 1), ("passing", "query", 20, 3), ("died", "query", 139, 2)]
    {
        for attempt in 1..=3 {
            scene.pods.attempt(&format!("{run}-t-{attempt}"), Script::new().exits(code));
        }
        scene.run(run, job, json!({})).await?;
        let ended = scene.run_ends(run, RunResultState::Failed).await?;
        assert_eq!((ended.task("t").execution_count, ended.task("t").retries), (attempts, attempts - 1), "{run}");
    }
    let said = scene.tenant.api::<JobRun>().get("any").await?.task("t").message.unwrap();
    assert!(said.starts_with("exit code 1: "), "{said}");
    Ok(())
}

#[tokio::test]
async fn j24_eviction_not_counted() -> anyhow::Result<()> {
    let scene = Scene::open("j24").await?;
    scene.job("one", json!([task("t", &[], &json!({}))]), json!({})).await?;
    scene.pods.attempt("r-t-1", Script::new().starts().evicted().evicted().completes());
    scene.run("r", "one", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::Success).await?;
    assert_eq!((run.task("t").execution_count, run.task("t").retries), (1, 0));
    assert_eq!(scene.pods.started(), ["r-t-1-1", "r-t-1-2", "r-t-1-3"]);
    Ok(())
}

#[tokio::test]
async fn j25_attempt_timeout() -> anyhow::Result<()> {
    let scene = Scene::open("j25").await?;
    let slow = |retry: Value| task("t", &[], &json!({"timeoutSeconds": 2, "retry": retry}));
    scene.job("once", json!([slow(json!({}))]), json!({})).await?;
    scene.job("twice", json!([slow(json!({"maxRetries": 1, "onTimeout": true}))]), json!({})).await?;
    scene.pods.every(Script::new().starts().holds());
    for (job, attempts) in [("once", 1), ("twice", 2)] {
        scene.run(job, job, json!({})).await?;
        let run = scene.run_ends(job, RunResultState::Failed).await?;
        let task = run.task("t");
        assert_eq!((task.result_state, task.termination_code), (Some(TaskResultState::TimedOut), Some(TerminationCode::TaskTimeout)));
        assert_eq!(task.execution_count, attempts);
    }
    Ok(())
}

#[tokio::test]
async fn j27_cancel_graceful_runs_cleanup() -> anyhow::Result<()> {
    let scene = Scene::open("j27").await?;
    let tasks = json!([task("a", &[], &json!({})), task("b", &["a"], &json!({})), task("clean", &["b"], &json!({"runIf": "AllDone"}))]);
    scene.job("work", tasks, json!({})).await?;
    for (how, clean) in [("Graceful", "SUCCESS"), ("Immediate", "CANCELED")] {
        let run = how.to_lowercase();
        scene.pods.attempt(&format!("{run}-a-1"), Script::new().starts().holds());
        scene.run(&run, "work", json!({})).await?;
        scene.pods.wait_started(&format!("{run}-a-1")).await?;
        scene.tenant.patch::<JobRun>(&run, &json!({"spec": {"cancel": how}})).await?;
        let ended = scene.run_ends(&run, RunResultState::Canceled).await?;
        assert_eq!(ended.tasks(), format!("a CANCELED, b CANCELED, clean {clean}"));
    }
    Ok(())
}

#[tokio::test]
async fn j28_cancel_reaches_children() -> anyhow::Result<()> {
    let scene = Scene::open("j28").await?;
    scene.pipeline("shop", json!({"updatePolicy": {"onChange": "None"}})).await?;
    scene.job("inner", json!([task("deep", &[], &json!({}))]), json!({})).await?;
    let tasks =
        json!([task("update", &[], &json!({"pipeline": {"name": "shop"}})), task("call", &[], &json!({"runJob": {"name": "inner"}}))]);
    scene.job("outer", tasks, json!({})).await?;
    scene.pods.every(Script::new().runs().holds());
    scene.run("r", "outer", json!({})).await?;
    scene.pods.wait_started("r-update-1-a1").await?;
    scene.pods.wait_started("r-call-1-deep-1").await?;
    scene.tenant.patch::<JobRun>("r", &json!({"spec": {"cancel": "Graceful"}})).await?;
    let run = scene.run_ends("r", RunResultState::Canceled).await?;
    assert_eq!(run.tasks(), "update CANCELED, call CANCELED");
    let update = scene.tenant.api::<PipelineUpdate>().get("r-update-1").await?;
    assert_eq!(state(&update), Some(UpdateState::Canceled));
    scene.run_ends("r-call-1", RunResultState::Canceled).await?;
    Ok(())
}

#[tokio::test]
async fn j29_j30_j33_repairs() -> anyhow::Result<()> {
    let scene = Scene::open("j29").await?;
    let args =
        |image: &str| json!({"container": {"image": image, "args": ["{{tasks.a.values.n}} {{job.parameters.p}} {{job.repair_count}}"]}});
    let tasks = |image: &str| json!([task("a", &[], &json!({})), task("b", &["a"], &args(image)), task("c", &["b"], &json!({}))]);
    let parameters = json!({"parameters": [{"name": "p", "default": "first"}]});
    scene.job("work", tasks("wrong"), parameters.clone()).await?;
    scene.pods.attempt("r-a-1", Script::new().leaves("n", json!(7)).completes());
    scene.pods.attempt("r-b-1", fails());
    scene.pods.attempt("r-b-2", fails());
    scene.run("r", "work", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::Failed).await?;
    assert_eq!(run.tasks(), "a SUCCESS, b FAILED, c UPSTREAM_FAILED");
    scene.job("work", tasks("mended"), parameters).await?;
    scene.repair("r", json!({"id": 1, "allFailed": true, "parameters": {"p": "second"}}), RunResultState::Failed).await?;
    let run = scene.repair("r", json!({"id": 2, "tasks": ["b"]}), RunResultState::Success).await?;
    assert_eq!(run.seen().repair_count, 2);
    assert_eq!(scene.pods.started(), ["r-a-1-1", "r-b-1-1", "r-b-2-1", "r-b-3-1", "r-c-1-1"]);
    let pod = scene.tenant.api::<Pod>().get("r-b-3-1").await?;
    let container = &pod.spec.unwrap().containers[0];
    assert_eq!((container.image.as_deref(), container.args.clone().unwrap()), (Some("mended"), vec!["7 second 2".to_string()]));
    let states: Vec<_> = run.seen().repairs.iter().map(|repair| (repair.id, repair.state)).collect();
    assert_eq!(states, [(0, RepairState::Failed), (1, RepairState::Failed), (2, RepairState::Succeeded)]);

    // A task that is gone cannot be repaired, and says so.
    let run = scene.repair("r", json!({"id": 3, "tasks": ["gone"]}), RunResultState::Success).await?;
    let last = run.seen().repairs.pop().unwrap();
    assert_eq!((last.state, last.message.as_deref()), (RepairState::Rejected, Some("task gone does not exist")));
    Ok(())
}

#[tokio::test]
async fn j32_repair_lock() -> anyhow::Result<()> {
    let scene = Scene::open("j32").await?;
    scene.job("work", json!([task("a", &[], &json!({}))]), json!({})).await?;
    scene.run("r", "work", json!({})).await?;
    scene.run_ends("r", RunResultState::Success).await?;
    let ask = async |id: i32, dependents: bool| {
        let patch = json!({"spec": {"repair": {"id": id, "tasks": ["a"], "dependents": dependents}}});
        scene.tenant.patch::<JobRun>("r", &patch).await.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(ask(1, false).await, Ok(()));
    let second = ask(1, true).await.unwrap_err();
    assert!(second.contains("repair.id must be the previous id plus 1"), "{second}");
    let third = ask(3, false).await.unwrap_err();
    assert!(third.contains("repair.id must be the previous id plus 1"), "{third}");
    Ok(())
}

#[tokio::test]
async fn j34_max_concurrent_and_queue() -> anyhow::Result<()> {
    let scene = Scene::open("j34").await?;
    scene.job("work", json!([task("a", &[], &json!({}))]), json!({"maxConcurrentRuns": 2})).await?;
    scene.pods.every(Script::new().starts().holds().completes());
    for number in 1..=5 {
        scene.run(&format!("r{number}"), "work", json!({})).await?;
    }
    scene.pods.wait_started("r1-a-1").await?;
    scene.pods.wait_started("r2-a-1").await?;
    for number in 3..=5 {
        scene.run_is(&format!("r{number}"), "QUEUED", |run| run.state() == Some(RunState::Queued)).await?;
        assert!(!scene.pods.started().iter().any(|pod| pod.starts_with(&format!("r{number}-"))));
        scene.pods.release(&format!("r{}-a-1", number - 2));
        scene.pods.wait_started(&format!("r{number}-a-1")).await?;
    }
    scene.pods.release("r4-a-1");
    scene.pods.release("r5-a-1");
    scene.run_ends("r5", RunResultState::Success).await?;
    Ok(())
}

#[tokio::test]
async fn j35_queue_limits() -> anyhow::Result<()> {
    let scene = Scene::open("j35").await?;
    let tasks = json!([task("a", &[], &json!({}))]);
    scene.pods.every(Script::new().starts().holds().completes());
    for (job, settings) in [
        ("off", json!({"queue": {"enabled": false}})),
        ("full", json!({"queue": {"maxLength": 0}})),
        ("none", json!({"maxConcurrentRuns": 0})),
    ] {
        scene.job(job, tasks.clone(), settings).await?;
    }
    scene.run("off-1", "off", json!({})).await?;
    scene.run("full-1", "full", json!({})).await?;
    scene.pods.wait_started("off-1-a-1").await?;
    scene.pods.wait_started("full-1-a-1").await?;
    for (run, job, code) in [
        ("off-2", "off", TerminationCode::MaxConcurrentRunsExceeded),
        ("full-2", "full", TerminationCode::MaxJobQueueSizeExceeded),
        ("none-1", "none", TerminationCode::MaxConcurrentRunsExceeded),
    ] {
        scene.run(run, job, json!({})).await?;
        let run = scene.run_is(run, "SKIPPED", |run| run.state() == Some(RunState::Skipped)).await?;
        assert_eq!(run.seen().termination_code, Some(code));
        assert!(run.seen().message.is_some_and(|message| !message.is_empty()));
    }
    Ok(())
}

#[tokio::test]
async fn j46_run_job_depth() -> anyhow::Result<()> {
    let scene = Scene::open("j46").await?;
    for (job, next) in [("one", "two"), ("two", "three"), ("three", "four"), ("four", "five")] {
        scene.job(job, json!([task("call", &[], &json!({"runJob": {"name": next}}))]), json!({})).await?;
    }
    scene.job("self", json!([task("call", &[], &json!({"runJob": {"name": "self"}}))]), json!({})).await?;
    scene.run("r", "one", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::Failed).await?;
    assert!(run.seen().message.unwrap().contains("one → two → three → four"));
    scene.run("s", "self", json!({})).await?;
    let run = scene.run_ends("s", RunResultState::Failed).await?;
    assert_eq!(run.task("call").termination_code, Some(TerminationCode::RunJobRecursion));
    Ok(())
}

#[tokio::test]
async fn j53_status_is_bounded() -> anyhow::Result<()> {
    let scene = Scene::open("j53").await?;
    let each = json!({"forEach": {"inputs": serde_json::to_string(&(0..1000).collect::<Vec<_>>())?, "concurrency": 100,
        "task": {"name": "one", "condition": {"left": format!("{{{{input}}}}{}", "x".repeat(5000)), "op": "GreaterThan", "right": "1"}}}});
    let mut tasks = vec![task("each", &[], &each)];
    tasks.extend((1..100).map(|number| task(&format!("t{number}"), &["each"], &condition("a", "EqualTo", "b"))));
    scene.job("large", Value::Array(tasks), json!({})).await?;
    scene.run("r", "large", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::Failed).await?;
    let all = run.task("each").for_each.unwrap();
    assert_eq!((all.total, all.failed), (1000, 1000));
    assert!(serde_json::to_vec(&run)?.len() <= 256 * 1024);
    Ok(())
}

#[tokio::test]
async fn what_is_missing_fails_its_task_with_the_name() -> anyhow::Result<()> {
    let scene = Scene::open("j-missing").await?;
    let tasks = json!([
        task("update", &[], &json!({"pipeline": {"name": "nowhere"}})),
        task("query", &[], &json!({"sql": {"pipeline": "nowhere", "statements": "SELECT 1"}})),
        task("call", &[], &json!({"runJob": {"name": "nobody"}})),
        task("text", &[], &json!({"sql": {"configMapRef": {"name": "texts", "key": "a.sql"}}})),
    ]);
    scene.job("work", tasks, json!({})).await?;
    scene.run("r", "work", json!({})).await?;
    let run = scene.run_ends("r", RunResultState::Failed).await?;
    let told: Vec<String> =
        run.seen().tasks.iter().map(|task| format!("{}: {}", task.termination_code.unwrap(), task.message.clone().unwrap())).collect();
    assert_eq!(
        told,
        [
            "RESOURCE_NOT_FOUND: there is no pipeline nowhere in this namespace",
            "RESOURCE_NOT_FOUND: there is no pipeline nowhere in this namespace",
            "RESOURCE_NOT_FOUND: there is no job nobody in this namespace",
            "RESOURCE_NOT_FOUND: field sql.configMapRef: there is no ConfigMap texts",
        ]
    );
    assert!(scene.pods.started().is_empty());
    scene.run("lost", "nobody", json!({})).await?;
    let run = scene.run_ends("lost", RunResultState::Failed).await?;
    assert_eq!(run.seen().message.as_deref(), Some("the job nobody does not exist in this namespace"));
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_deleted_takes_what_it_made_along() -> anyhow::Result<()> {
    let scene = Scene::open("j-deleted").await?;
    scene.pipeline("shop", json!({"updatePolicy": {"onChange": "None"}})).await?;
    scene.job("work", json!([task("update", &[], &json!({"pipeline": {"name": "shop"}}))]), json!({})).await?;
    scene.pods.every(Script::new().runs().holds());
    scene.run("r", "work", json!({})).await?;
    scene.pods.wait_started("r-update-1-a1").await?;
    let run = scene.tenant.api::<JobRun>().get("r").await?;
    assert!(run.finalizers().iter().any(|finalizer| finalizer == "floe.dev/run-cleanup"));
    scene.run_is("r", "have its update running", |run| run.task("update").state == TaskState::Running).await?;
    scene.tenant.delete::<JobRun>("r").await?;
    let update = scene
        .tenant
        .wait::<PipelineUpdate>("r-update-1", "be told to stop", |update| update.spec.cancel != floe_crds::pipeline_update::Cancel::None)
        .await?;
    assert_eq!(update.spec.pipeline, "shop");
    scene.tenant.wait_list::<JobRun>("no run", <[JobRun]>::is_empty).await?;
    Ok(())
}
