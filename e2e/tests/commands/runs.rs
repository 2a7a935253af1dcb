//! Runs that a person starts, waits for and looks at.

use floe_crds::{
    job_run::JobRun,
    state::{FailureClass, RunResultState},
};
use floe_e2e::{
    runs::{RunSeen, task},
    scene::Scene,
    virtual_pods::Script,
};
use kube::ResourceExt;
use serde_json::json;

use super::typed::Person;

#[tokio::test]
async fn a_run_is_started_awaited_listed_and_described() -> anyhow::Result<()> {
    let scene = Scene::open("c-run").await?;
    let args = json!({"container": {"image": "i", "args": ["{{job.parameters.day}}"]}});
    let gate = json!({"condition": {"left": "{{tasks.fetch.values.files}}", "op": "GreaterThan", "right": "5"}});
    let many = json!({"dependsOn": [{"task": "gate", "outcome": "true"}]});
    let tasks = json!([task("fetch", &[], &args), task("gate", &["fetch"], &gate), task("many", &[], &many)]);
    scene.job("nightly", tasks, json!({"parameters": [{"name": "day", "default": "today"}]})).await?;
    scene.pods.every(Script::new().leaves("files", json!(2)).completes());
    let person = Person::of(&scene.tenant);

    let run = person.job("run nightly --param day=monday --wait").await?.with(0);
    run.says(&["✓ fetch", "✓ gate", "false", "many", "excluded", "nightly succeeded ("]);
    let name = scene.tenant.list::<JobRun>().await?.pop().unwrap().name_any();
    assert!(name.starts_with("nightly-") && run.out.ends_with(&format!("; run {name}")), "{run:#?}");

    person.job("list").await?.with(0).says(&["nightly", "success"]);
    let listed = person.job("list nightly").await?.with(0);
    listed.says(&[&name, "OneTime", "3/3"]);
    let listed = person.job("list nightly -o json").await?.with(0).json();
    assert_eq!((listed["kind"].as_str(), listed["items"][0]["metadata"]["name"].as_str()), (Some("List"), Some(name.as_str())));
    assert!(listed["items"][0]["metadata"].get("managedFields").is_none());

    let described = person.job(&format!("describe {name}")).await?.with(0);
    let (batch_job, pod) = (format!("jobs.batch/{name}-fetch-1"), format!("fetch: {name}-fetch-1-1"));
    described.says(&["state:      success", "parameters: day=monday", "fetch.files = 2", &batch_job, &pod, "container", "condition"]);
    let described = person.job(&format!("describe {name} --output json")).await?.with(0).json();
    assert_eq!((&described["values"]["fetch"]["files"], &described["run"]["spec"]["parameters"]["day"]), (&json!(2), &json!("monday")));
    person.job(&format!("describe {name} -o yaml")).await?.with(0).says(&["values:\n  fetch:\n    files: 2"]);
    Ok(())
}

#[tokio::test]
async fn the_exit_code_is_that_of_the_task_that_made_the_run_fail() -> anyhow::Result<()> {
    let scene = Scene::open("c-codes").await?;
    let query = json!({"sql": {"statements": "SELECT 1"}, "retry": {"maxRetries": 0}});
    scene.job("one", json!([task("t", &[], &query), task("after", &["t"], &json!({}))]), json!({})).await?;
    let handled = json!([task("t", &[], &query), task("after", &["t"], &json!({"runIf": "AllDone"}))]);
    scene.job("handled", handled, json!({})).await?;
    let person = Person::of(&scene.tenant);
    for (class, code) in
        [(FailureClass::User, 10), (FailureClass::Expectation, 11), (FailureClass::Storage, 12), (FailureClass::Transient, 20)]
    {
        scene.pods.every(Script::new().fails(class, "SOME_ERROR", "said no"));
        let run = person.job("run one --wait").await?.with(code);
        run.says(&["✗ t", "said no", "upstream failed", "one failed (", "repair it with: floe job repair one-"]);
    }
    scene.pods.every(Script::new().completes());
    let run = person.job("run handled --only after --wait").await?.with(0);
    run.says(&["not selected", "✓ after"]);
    scene.job("closed", json!([task("t", &[], &json!({}))]), json!({"maxConcurrentRuns": 0})).await?;
    person.job("run closed --wait").await?.with(20).says(&["closed was skipped: the job starts no runs: maxConcurrentRuns is 0"]);
    Ok(())
}

#[tokio::test]
async fn a_backfill_is_planned_run_and_not_run_twice() -> anyhow::Result<()> {
    let scene = Scene::open("c-backfill").await?;
    let args = json!({"container": {"image": "i", "args": ["{{job.parameters.day}}"]}});
    let parameters = json!({"parameters": [{"name": "day"}], "maxConcurrentRuns": 10});
    scene.job("daily", json!([task("load", &[], &args)]), parameters).await?;
    let person = Person::of(&scene.tenant);
    let slices = "backfill daily --from 2026-01-01 --to 2026-01-04 --every P1D --max-concurrent 2 --param day={{backfill.iso_date}}";
    let planned = person.job(&format!("{slices} --dry-run")).await?.with(0);
    let days =
        ["2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z to 2026-01-04T00:00:00Z", "dry run: 3 slices would run"];
    planned.says(&days);
    assert!(scene.tenant.list::<JobRun>().await?.is_empty());

    person.job(&format!("{slices} --wait")).await?.with(0).says(&["✓ slices", "3 iterations", "daily succeeded"]);
    let runs = scene.tenant.list::<JobRun>().await?;
    let mut given: Vec<_> = runs.iter().filter(|run| run.spec.backfill.is_none()).map(|run| run.spec.parameters["day"].clone()).collect();
    given.sort();
    assert_eq!(given, ["2026-01-01", "2026-01-02", "2026-01-03"]);
    assert!(runs.iter().all(|run| run.result() == Some(RunResultState::Success)), "{runs:#?}");
    person.job(&format!("{slices} --dry-run")).await?.with(0).says(&["dry run: 0 slices would run, 3 slices left out"]);
    Ok(())
}
