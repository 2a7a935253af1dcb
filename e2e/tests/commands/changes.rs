//! What a person changes of runs and Jobs.

use std::time::Duration;

use floe_crds::{
    job::Job,
    job_run::{JobRun, RepairState},
    pipeline_update::Cancel,
    state::{FailureClass, RunResultState},
};
use floe_e2e::{
    faults::{Fault, Proxy, Verb},
    runs::{RunSeen, task},
    scene::Scene,
    virtual_pods::Script,
};
use serde_json::json;

use super::typed::Person;

/// Longer than two processes need to start and to read.
const MEANWHILE: Duration = Duration::from_secs(6);

fn fails() -> Script {
    Script::new().fails(FailureClass::User, "SOME_ERROR", "said no")
}

async fn chain(scene: &Scene) -> anyhow::Result<()> {
    let tasks = json!([task("a", &[], &json!({})), task("b", &["a"], &json!({})), task("clean", &["b"], &json!({"runIf": "AllDone"}))]);
    scene.job("work", tasks, json!({"parameters": [{"name": "p", "default": "first"}]})).await
}

#[tokio::test]
async fn a_run_is_canceled_with_and_without_its_clean_up() -> anyhow::Result<()> {
    let scene = Scene::open("c-cancel").await?;
    chain(&scene).await?;
    let person = Person::of(&scene.tenant);
    for (how, clean) in [("", "SUCCESS"), ("--immediate", "CANCELED")] {
        scene.pods.every(Script::new().completes());
        let run = person.job("run work").await?.with(0).out;
        assert!(run.starts_with("work-") && !run.contains('\n'), "only its name: {run}");
        let ended = scene.run_ends(&run, RunResultState::Success).await?;
        assert_eq!(ended.spec.cancel, Cancel::None);
        person.job(&format!("cancel {run}")).await?.with(0).says(&["has ended already: SUCCESS"]);

        let run = scene_with_running_a(&scene, &person).await?;
        person.job(&format!("cancel {run} {how} --wait")).await?.with(10).says(&["work was canceled ("]);
        let ended = scene.run_ends(&run, RunResultState::Canceled).await?;
        assert_eq!(ended.tasks(), format!("a CANCELED, b CANCELED, clean {clean}"));
    }
    Ok(())
}

/// A run whose first task runs and does not end.
async fn scene_with_running_a(scene: &Scene, person: &Person) -> anyhow::Result<String> {
    scene.pods.every(Script::new().starts().holds());
    let run = person.job("run work").await?.with(0).out;
    scene.pods.wait_started(&format!("{run}-a-1")).await?;
    // The pods after it are not held.
    scene.pods.every(Script::new().completes());
    Ok(run)
}

#[tokio::test]
async fn a_run_is_repaired_again_and_again() -> anyhow::Result<()> {
    let scene = Scene::open("c-repair").await?;
    chain(&scene).await?;
    let person = Person::of(&scene.tenant);
    scene.run("r", "work", json!({})).await?;
    scene.pods.attempt("r-b-1", fails());
    scene.pods.attempt("r-b-2", fails());
    scene.run_ends("r", RunResultState::SuccessWithFailures).await?;

    let first = person.job("repair r --param p=second --wait").await?.with(0);
    first.says(&["repair 1 of run r: b", "✗ b", "warning: a task failed"]);
    let second = person.job("repair r --tasks b --dependents --wait").await?.with(0);
    second.says(&["repair 2 of run r: b, clean", "✓ b", "✓ clean", "work succeeded ("]);
    let run = scene.run_ends("r", RunResultState::Success).await?;
    assert_eq!((run.seen().repair_count, run.seen().parameters["p"].as_str()), (2, "second"), "it stays for later repairs");
    assert!(run.spec.repair.as_ref().unwrap().parameters.is_empty());

    person.job("repair r").await?.with(10).says(&["REPAIR_REJECTED", "nothing has failed"]);
    person.job("repair r --tasks gone").await?.with(10).says(&["TASK_NOT_FOUND", "it has: a, b, clean"]);
    person.job("describe r").await?.with(0).says(&["the first execution", "b, clean", "succeeded"]);

    let run = scene_with_running_a(&scene, &person).await?;
    person.job(&format!("repair {run}")).await?.with(10).says(&["RUN_NOT_ENDED", "it is RUNNING", "floe job cancel"]);
    Ok(())
}

#[tokio::test]
async fn of_two_repairs_at_the_same_time_one_is_told_that_somebody_was_faster() -> anyhow::Result<()> {
    let scene = Scene::open("c-race").await?;
    chain(&scene).await?;
    scene.pods.attempt("r-b-1", fails());
    scene.run("r", "work", json!({})).await?;
    scene.run_ends("r", RunResultState::SuccessWithFailures).await?;
    let proxy = Proxy::start(&scene.tenant).await?;
    // Both have read the run before the first of them writes.
    proxy.inject(Fault::on(Verb::Patch, "jobruns").times(2).waits(MEANWHILE));
    let person = Person::with(&scene.tenant, proxy.kubeconfig());
    let (one, other) = tokio::join!(person.job("repair r --tasks a"), person.job("repair r --tasks b"));
    let (one, other) = (one?, other?);
    let (won, lost) = if one.code == 0 { (one, other) } else { (other, one) };
    won.with(0).says(&["repair 1 of run r: "]);
    lost.with(10).says(&["REPAIR_CONFLICT", "somebody was faster: repair 1 (", "floe job describe r"]);
    let run = scene.run_is("r", "the end of one repair", |run| run.seen().repair_count == 1 && run.is_over()).await?;
    let repairs: Vec<_> = run.seen().repairs.iter().map(|repair| (repair.id, repair.state)).collect();
    assert_eq!(repairs.len(), 2);
    assert_ne!(repairs[1].1, RepairState::Rejected);

    // Only the status moved: the same repair is sent again.
    proxy.inject(Fault::on(Verb::Patch, "jobruns").once().answers(409));
    person.job("repair r --tasks b --wait").await?.with(0).says(&["repair 2 of run r: b"]);
    Ok(())
}

#[tokio::test]
async fn a_job_is_suspended_and_resumed() -> anyhow::Result<()> {
    let scene = Scene::open("c-suspend").await?;
    let every = json!({"triggers": [{"name": "clock", "schedule": {"cron": "0 2 * * *"}}]});
    scene.job("nightly", json!([task("t", &[], &json!({}))]), every).await?;
    let person = Person::of(&scene.tenant);
    let next = |job: &Job| job.status.as_ref().is_some_and(|status| status.next_run_time.is_some());
    scene.tenant.wait::<Job>("nightly", "its next run", next).await?;
    person.job("suspend nightly").await?.with(0).says(&["job nightly is suspended: no trigger fires"]);
    scene.tenant.wait::<Job>("nightly", "no next run", |job| job.spec.suspend && !next(job)).await?;
    person.job("list").await?.with(0).says(&["nightly", "0 2 * * *", "yes"]);
    person.job("suspend nightly").await?.with(0).says(&["is suspended already"]);
    let run = person.job("run nightly --wait").await?.with(0);
    run.says(&["nightly succeeded"]);
    person.job("resume nightly").await?.with(0).says(&["its triggers fire from now on"]);
    scene.tenant.wait::<Job>("nightly", "its next run", |job| !job.spec.suspend && next(job)).await?;
    let runs = scene.tenant.list::<JobRun>().await?;
    assert_eq!(runs.len(), 1, "{runs:#?}");
    Ok(())
}
