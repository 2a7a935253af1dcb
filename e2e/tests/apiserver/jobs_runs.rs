//! Continuous Jobs, backfills, health and history on a real API server.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType,
    job::Job,
    job_run::{JobRun, TriggerType},
    pipeline_update::Cancel,
    state::{RunResultState, RunState, TerminationCode},
};
use floe_e2e::{
    runs::{RunSeen, names, task, trigger},
    scene::Scene,
    seen::Conditions,
    virtual_pods::Script,
};
use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;
use serde_json::{Value, json};

fn one(more: &Value) -> Value {
    json!([task("t", &[], more)])
}

fn at_once(left: &str) -> Value {
    json!([task("compare", &[], &json!({"condition": {"left": left, "op": "GreaterThan", "right": "1"}}))])
}

/// The run of a continuous Job that is there now, once it is not one of those that are known.
async fn newest(scene: &Scene, job: &str, known: &[String]) -> anyhow::Result<String> {
    let fresh = |runs: &[JobRun]| runs.iter().any(|run| !known.contains(&run.name_any()));
    let runs = scene.tenant.wait_list::<JobRun>("the next run", fresh).await?;
    assert_eq!(runs.iter().filter(|run| run.spec.job_ref.name == job && !run.is_over()).count(), 1, "{:?}", names(&runs));
    Ok(names(&runs).into_iter().find(|name| !known.contains(name)).unwrap())
}

#[tokio::test]
async fn j44_continuous() -> anyhow::Result<()> {
    let scene = Scene::open("j44").await?;
    let always = json!({"triggers": [{"name": "always", "continuous": {}}], "runHistory": {"failedLimit": 100}});
    scene.pods.every(Script::new().starts().holds().exits(10));
    scene.job("stream", one(&json!({})), always.clone()).await?;
    let mut known = Vec::new();
    for wait in [10.0, 20.0] {
        let run = newest(&scene, "stream", &known).await?;
        scene.pods.wait_started(&format!("{run}-t-1")).await?;
        scene.pods.release(&format!("{run}-t-1"));
        let ended = scene.run_ends(&run, RunResultState::Failed).await?;
        assert_eq!(ended.spec.trigger.trigger_type, TriggerType::Continuous);
        let job = scene.job_is("stream", "announce the next run", |job| trigger(job, "always").next_fire_time.is_some()).await?;
        let due = trigger(&job, "always").next_fire_time.unwrap().0;
        let pause = due.duration_since(ended.seen().end_time.unwrap().0).as_secs_f64();
        assert!(pause >= wait * 0.8 - 1.0 && pause <= wait * 1.2 + 1.0, "{pause} after {wait}");
        known.push(run);
        let next = newest(&scene, "stream", &known).await?;
        assert!(Timestamp::now() >= due - SignedDuration::from_secs(1));
        assert_eq!(scene.tenant.get::<JobRun>(&next).await?.spec.trigger.name, "always");
    }
    // Another definition: the run gives way, and the next one starts at once.
    let old = newest(&scene, "stream", &known).await?;
    scene.pods.wait_started(&format!("{old}-t-1")).await?;
    scene.job("stream", one(&json!({"timeoutSeconds": 600})), always.clone()).await?;
    let canceled = scene.run_ends(&old, RunResultState::Canceled).await?;
    assert_eq!(canceled.spec.cancel, Cancel::Graceful);
    known.push(old);
    let run = newest(&scene, "stream", &known).await?;
    let next = scene.tenant.get::<JobRun>(&run).await?.creation_timestamp().unwrap().0;
    assert!(next.duration_since(canceled.seen().end_time.unwrap().0) <= SignedDuration::from_secs(3));
    // A success forgets the failures.
    scene.pods.attempt(&format!("{run}-t-1"), Script::new().completes());
    let job = scene.tenant.get::<Job>("stream").await?;
    assert!(job.status.unwrap().consecutive_failures >= 2);
    scene.pods.wait_started(&format!("{run}-t-1")).await?;
    // Suspended, the run that goes on ends and none follows.
    let mut suspended = always;
    suspended["suspend"] = json!(true);
    scene.job("stream", one(&json!({"timeoutSeconds": 600})), suspended).await?;
    scene.pods.release(&format!("{run}-t-1"));
    scene.run_is(&run, "its end", RunSeen::is_over).await?;
    let count = scene.tenant.runs_of("stream").await?.len();
    scene.tenant.never::<JobRun>(Duration::from_secs(2), "a run while suspended", |runs| runs.len() > count).await
}

#[tokio::test]
async fn j45_backfill() -> anyhow::Result<()> {
    let scene = Scene::open("j45").await?;
    let say = json!({"container": {"image": "i", "args": ["{{backfill.iso_date}} {{backfill.end.iso_date}} {{job.parameters.day}} {{job.trigger.time.iso_date}}"]}});
    let more = json!({"parameters": [{"name": "day", "default": "none"}], "maxConcurrentRuns": 10, "runHistory": {"successfulLimit": 100}});
    scene.job("load", one(&say), more).await?;
    scene.pods.every(Script::new().starts().holds().completes());
    let week = |name: &str| json!({"backfill": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-08T00:00:00Z", "every": "P1D", "maxConcurrent": 2}, "parameters": {"day": format!("{name}={{{{backfill.iso_date}}}}")}});
    scene.run("week", "load", week("day")).await?;
    for day in 1..=7 {
        let slice = format!("week-2026010{day}000000");
        scene.pods.wait_started(&format!("{slice}-t-1")).await?;
        let runs = scene.tenant.list::<JobRun>().await?;
        let active = runs.iter().filter(|run| run.spec.backfill.is_none() && !run.is_over()).count();
        assert!(active <= 2, "{active} slices at once");
        let child = runs.iter().find(|run| run.name_any() == slice).unwrap();
        assert_eq!((child.spec.trigger.trigger_type, child.owner_references()[0].kind.as_str()), (TriggerType::Backfill, "JobRun"));
        scene.pods.release(&format!("{slice}-t-1"));
    }
    let run = scene.run_ends("week", RunResultState::Success).await?;
    assert_eq!(run.seen().task_counts.map(|counts| (counts.total, counts.succeeded)), Some((7, 7)));
    let pod = scene.tenant.get::<Pod>("week-20260103000000-t-1-1").await?;
    let args = pod.spec.unwrap().containers[0].args.clone().unwrap();
    assert_eq!(args, ["2026-01-03 2026-01-04 day=2026-01-03 2026-01-03"]);
    let children = scene.tenant.runs_of("load").await?.len();
    assert_eq!(children, 8);

    // Nothing is missing the second time.
    scene.run("again", "load", week("day")).await?;
    scene.run_ends("again", RunResultState::Success).await?;
    assert_eq!(scene.tenant.runs_of("load").await?.len(), children + 1);

    // One slice fails: that slice is repaired.
    scene.pods.every(Script::new().completes());
    scene.pods.attempt("all-20260105000000-t-1", Script::new().exits(10));
    let mut all = week("day");
    all["backfill"]["reprocess"] = json!("All");
    scene.run("all", "load", all).await?;
    scene.run_ends("all", RunResultState::Failed).await?;
    let started = scene.pods.started().len();
    scene.repair("all", json!({"id": 1, "allFailed": true}), RunResultState::Success).await?;
    assert_eq!(scene.pods.started().len(), started + 1);

    for (name, backfill, problem) in [
        ("wrong", json!({"from": "2026-01-01T00:00:00Z", "to": "2026-01-08T00:00:00Z", "every": "a day"}), "a day"),
        ("much", json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z", "every": "PT1H"}), "1000"),
    ] {
        scene.run(name, "load", json!({"backfill": backfill})).await?;
        let run = scene.run_ends(name, RunResultState::Failed).await?;
        assert_eq!(run.seen().termination_code, Some(TerminationCode::InvalidRunConfiguration));
        assert!(run.seen().message.is_some_and(|message| message.contains(problem)), "{:?}", run.seen().message);
    }
    Ok(())
}

#[tokio::test]
async fn j51_history_limits() -> anyhow::Result<()> {
    let scene = Scene::open("j51").await?;
    let keep = |ttl: i32| json!({"runHistory": {"ttlSecondsAfterFinished": ttl}, "parameters": [{"name": "n", "default": "0"}]});
    scene.job("work", at_once("{{job.parameters.n}}"), keep(604_800)).await?;
    for number in 0..20 {
        let (name, result) = (format!("r{number:02}"), if number % 2 == 0 { RunResultState::Success } else { RunResultState::Failed });
        // A text that is no number cannot be compared.
        let n = if number % 2 == 0 { "2" } else { "none" };
        scene.run(&name, "work", json!({"parameters": {"n": n}})).await?;
        let is_over = |run: &JobRun| run.result() == Some(result);
        scene.run_is(&name, "its end", is_over).await?;
    }
    let expected = ["r14", "r15", "r16", "r17", "r18", "r19"];
    scene.tenant.wait_list::<JobRun>("three of each", |runs| names(runs) == expected).await?;
    let knows = |job: &Job| job.status.as_ref().and_then(|status| Some(status.last_ended_run.as_ref()?.name == "r19")).unwrap_or_default();
    let job = scene.job_is("work", "know the last run", knows).await?;
    assert_eq!(job.status.unwrap().consecutive_failures, 1);
    scene.job("work", at_once("2"), keep(1)).await?;
    scene.tenant.wait_list::<JobRun>("the newest only", |runs| names(runs) == ["r19"]).await?;
    scene.tenant.never::<JobRun>(Duration::from_secs(2), "no run at all", <[JobRun]>::is_empty).await
}

#[tokio::test]
async fn j49_health_warning() -> anyhow::Result<()> {
    let scene = Scene::open("j49").await?;
    let rules = json!({"health": [{"metric": "RunDurationSeconds", "value": 2}], "notifications": [{"name": "ops", "events": ["HealthWarning"], "webhook": {"url": "http://127.0.0.1:9/"}}]});
    scene.job("slow", one(&json!({})), rules).await?;
    scene.pods.every(Script::new().starts().holds().completes());
    scene.run("r", "slow", json!({})).await?;
    let warned = |run: &JobRun| run.said(ConditionType::HealthWarning) == ("True", "AboveLimit");
    let run = scene.run_is("r", "be warned of", warned).await?;
    assert_eq!(run.message(ConditionType::HealthWarning), "RunDurationSeconds is 3, above 2");
    assert_eq!(run.state(), Some(RunState::Running), "a warning stops nothing");
    scene.tenant.tells("JobRun", "r", "HealthWarning: RunDurationSeconds is 3, above 2").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let told = scene.tenant.events_of("JobRun", "r").await?;
    assert_eq!(told.iter().filter(|event| event.starts_with("HealthWarning")).count(), 1);
    assert_eq!(scene.tenant.get::<JobRun>("r").await?.seen().notifications.len(), 1);
    scene.pods.release("r-t-1");
    let run = scene.run_ends("r", RunResultState::Success).await?;
    assert_eq!(run.said(ConditionType::HealthWarning).0, "False");
    Ok(())
}

/// What is wrong with a Job is told when it is saved, with the task and the field; nothing starts, and a run that is made by hand is refused.
#[tokio::test]
async fn j17_reference_errors_at_save() -> anyhow::Result<()> {
    let scene = Scene::open("j17").await?;
    let says = |text: &str| json!({"container": {"image": "i", "args": ["a", "b", text]}});
    let a = || task("a", &[], &json!({}));
    let cases = [
        (
            "naem",
            json!([task("x", &[], &says("{{job.naem}}"))]),
            "InvalidReference",
            "task x, field container.args[2]: unknown name {{job.naem}}; did you mean {{job.name}}?",
        ),
        (
            "nobody",
            json!([a(), task("x", &["a"], &says("{{tasks.aa.values.n}}"))]),
            "InvalidReference",
            "task x, field container.args[2]: ",
        ),
        ("beside", json!([a(), task("x", &[], &says("{{tasks.a.values.n}}"))]), "InvalidReference", "task a is not upstream of x"),
        ("input", json!([task("x", &[], &says("{{input}}"))]), "InvalidReference", "task x, field container.args[2]: "),
        (
            "rows",
            json!([a(), task("x", &["a"], &says("{{tasks.a.output.rows}}"))]),
            "InvalidReference",
            "task x, field container.args[2]: ",
        ),
        ("cycle", json!([task("a", &["b"], &json!({})), task("b", &["a"], &json!({}))]), "InvalidGraph", "Cycle: a → b → a"),
        ("often", json!([a()]), "InvalidSchedule", "trigger clock: "),
        ("never", json!([a()]), "InvalidSchedule", "trigger clock: "),
        ("zone", json!([a()]), "InvalidSchedule", "trigger clock: "),
    ];
    for (name, tasks, reason, problem) in cases {
        let more = match name {
            "often" => json!({"triggers": [{"name": "clock", "schedule": {"quartzCron": "0/5 * * * * ?"}}]}),
            "never" => json!({"triggers": [{"name": "clock", "schedule": {"cron": "0 0 30 2 *"}}]}),
            "zone" => json!({"triggers": [{"name": "clock", "schedule": {"cron": "0 0 * * *", "timeZone": "Europe/Atlantis"}}]}),
            _ => json!({}),
        };
        scene.job(name, tasks, more).await?;
        let job = scene.job_says(name, ConditionType::Accepted, "False", reason).await?;
        let message = job.message(ConditionType::Accepted);
        assert!(message.contains(problem), "{name}: {message}");
        assert_eq!((job.said(ConditionType::Ready), job.said(ConditionType::Stalled)), (("False", reason), ("True", reason)), "{name}");
        scene.tenant.tells("Job", name, "Invalid: ").await?;
        scene.run(&format!("{name}-run"), name, json!({})).await?;
        let run = scene.run_ends(&format!("{name}-run"), RunResultState::Failed).await?;
        assert!(run.seen().message.is_some_and(|message| message.contains(problem)), "{name}: {:?}", run.seen().message);
        assert_eq!(run.seen().tasks.iter().map(|task| task.execution_count).sum::<i32>(), 0, "{name}");
    }
    assert!(scene.pods.started().is_empty(), "{:?}", scene.pods.started());

    scene.job("literal", json!([task("x", &[], &says("{{foo.bar}}"))]), json!({})).await?;
    let job = scene.job_says("literal", ConditionType::Accepted, "True", "AcceptedWithWarnings").await?;
    assert!(job.message(ConditionType::Accepted).contains("{{foo.bar}}"), "{}", job.message(ConditionType::Accepted));
    scene.run("literal-run", "literal", json!({})).await?;
    scene.run_ends("literal-run", RunResultState::Success).await?;
    let pod = scene.tenant.get::<Pod>("literal-run-x-1-1").await?;
    assert_eq!(pod.spec.unwrap().containers[0].args.clone().unwrap()[2], "{{foo.bar}}");

    // What may come later: runs start, and fail at that task.
    scene.job("early", one(&json!({"pipeline": {"name": "later"}})), json!({})).await?;
    let job = scene.job_says("early", ConditionType::ResolvedRefs, "False", "PipelineNotFound").await?;
    assert_eq!(job.said(ConditionType::Accepted), ("True", "Accepted"));
    scene.pipeline("later", json!({"updatePolicy": {"onChange": "None"}})).await?;
    scene.job_says("early", ConditionType::ResolvedRefs, "True", "Resolved").await?;
    Ok(())
}

/// What only a run can find fails its task with the field, and no pod of it starts.
#[tokio::test]
async fn j13_bad_values_fail_their_task() -> anyhow::Result<()> {
    let scene = Scene::open("j13").await?;
    let each = |inputs: &str| json!({"forEach": {"inputs": inputs, "task": {"name": "one", "container": {"image": "i"}}}});
    let many = serde_json::to_string(&(0..1001).collect::<Vec<_>>())?;
    let cases = [
        ("object", json!({"a": 1}), TerminationCode::InvalidForEachInputs),
        ("number", json!(7), TerminationCode::InvalidForEachInputs),
        ("text", json!("no JSON"), TerminationCode::InvalidForEachInputs),
        ("many", serde_json::from_str(&many)?, TerminationCode::TooManyIterations),
    ];
    scene.job("loop", json!([task("a", &[], &json!({})), task("each", &["a"], &each("{{tasks.a.values.list}}"))]), json!({})).await?;
    for (name, value, code) in cases {
        scene.pods.attempt(&format!("{name}-a-1"), Script::new().leaves("list", value).completes());
        scene.run(name, "loop", json!({})).await?;
        let run = scene.run_ends(name, RunResultState::Failed).await?;
        assert_eq!((run.tasks().as_str(), run.task("each").termination_code), ("a SUCCESS, each FAILED", Some(code)));
        assert!(run.task("each").message.is_some_and(|message| message.contains("forEach.inputs")), "{:?}", run.task("each").message);
    }
    scene.pods.attempt("none-a-1", Script::new().leaves("list", json!([])).completes());
    scene.run("none", "loop", json!({})).await?;
    let run = scene.run_ends("none", RunResultState::Success).await?;
    assert_eq!(run.task("each").for_each.unwrap().total, 0);
    assert_eq!(scene.pods.started().len(), 5, "{:?}", scene.pods.started());
    // A text that becomes too long.
    let long = json!({"container": {"image": "i", "args": ["{{tasks.a.values.list}}{{tasks.a.values.list}}"]}});
    scene.job("long", json!([task("a", &[], &json!({})), task("x", &["a"], &long)]), json!({})).await?;
    scene.pods.attempt("long-a-1", Script::new().leaves("list", json!("x".repeat(40_000))).completes());
    scene.run("long", "long", json!({})).await?;
    let run = scene.run_ends("long", RunResultState::Failed).await?;
    assert_eq!((run.task("x").termination_code, run.task("x").execution_count), (Some(TerminationCode::ValueTooLarge), 0));
    assert!(run.task("x").message.is_some_and(|message| message.contains("container.args[0]")), "{:?}", run.task("x").message);
    Ok(())
}
