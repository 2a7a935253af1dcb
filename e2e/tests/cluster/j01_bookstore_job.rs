//! The Job of the example with real pods: both branches, a letter to a real mail server, and the same as without a cluster.

use std::collections::BTreeMap;

use anyhow::Context;
use floe_crds::{
    job_run::JobRun,
    run_report::RunReport,
    state::{RunResultState, TaskResultState},
};
use floe_e2e::{
    cluster::{VALUES, kubectl, query, restoring, upgrade},
    mailbox::Mailbox,
    runs::RunSeen,
    tenant::documents,
};
use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};
use serde_json::{Value, json};

use crate::bookstore::{Bookstore, CLAIM};

const JOB: &str = "bookstore-pro-v2";
/// What the same Job came to without a cluster; a test of the runner keeps it current.
const LOCAL: &str = include_str!("../../../runner/tests/golden/jobs/bookstore-pro-v2.json");

/// Applies the example with its volume, which is filled.
async fn apply(shop: &Bookstore) -> anyhow::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/bookstore-nightly");
    for object in documents(&kubectl(&shop.tenant, &["kustomize", folder], None).await?)? {
        shop.tenant.apply_one(&object).await?;
    }
    let is_filled = |job: &batch::Job| job.status.as_ref().and_then(|status| status.succeeded) == Some(1);
    shop.tenant.wait::<batch::Job>("bookstore-fill", "its end", is_filled).await.map(drop)
}

/// Creates a run as a person does, and waits for its end.
async fn run(shop: &Bookstore, name: &str) -> anyhow::Result<JobRun> {
    let run = json!({"apiVersion": "floe.dev/v1alpha1", "kind": "JobRun", "metadata": {"name": name}, "spec": {"jobRef": {"name": JOB}}});
    kubectl(&shop.tenant, &["create", "--filename", "-"], Some(&run.to_string())).await?;
    shop.tenant.wait::<JobRun>(name, "its end", RunSeen::is_over).await
}

/// What the local run keeps of itself, told of this one.
async fn as_local(shop: &Bookstore, run: &JobRun) -> anyhow::Result<Value> {
    let tasks = run.seen().tasks;
    let mut values = BTreeMap::new();
    for task in tasks.iter().filter(|task| !task.values.is_empty()) {
        let child = task.child.as_ref().with_context(|| format!("task {} has values and no child", task.name))?;
        let report: RunReport = shop.tenant.get(&child.name).await?;
        values.insert(&task.name, report.spec.task.context("the report of a task")?.values());
    }
    let expected: Value = serde_json::from_str(LOCAL)?;
    let counts =
        expected["rows"].as_object().into_iter().flatten().map(|(table, _)| format!("SELECT '{table}' AS t, count(*) AS n FROM {table}"));
    let counts = query(&shop.tenant, CLAIM, &counts.collect::<Vec<_>>().join(" UNION ALL ")).await?;
    let rows: BTreeMap<&str, &Value> = counts.iter().map(|row| (row["t"].as_str().unwrap_or_default(), &row["n"])).collect();
    let word = |result: Option<TaskResultState>| result.map_or("-", TaskResultState::as_str);
    let results: Vec<String> =
        tasks.iter().map(|task| format!("{} {} {}", task.name, word(task.result_state), task.execution_count)).collect();
    Ok(json!({"results": results, "result": run.result().map_or("-", RunResultState::as_str), "values": values, "rows": rows}))
}

#[tokio::test]
async fn j01_j02_j03_bookstore_with_files_without_files_and_as_local() -> anyhow::Result<()> {
    let shop = Bookstore::alone("j01").await?;
    restoring(async move {
        let mailbox = Mailbox::beside(&shop.tenant).await?;
        let (host, port) = (mailbox.address.ip(), mailbox.address.port());
        upgrade(&format!("{VALUES}smtp: {{host: \"{host}\", port: {port}, tls: None, from: \"Floe <floe@example.org>\"}}\n")).await?;
        apply(&shop).await?;
        with_files(&shop).await?;
        assert_eq!(mailbox.letters().len(), 0, "nobody wants a letter about this");
        without_files(&shop).await?;
        let letter = mailbox.come(1).await?.remove(0);
        assert_eq!(letter.to, ["data-team@example.org"]);
        let subject = format!("Subject: [Floe] {}/{JOB} SUCCESS, task log_no_data\r\n", shop.tenant.name);
        assert!(letter.text.contains(&subject), "{}", letter.text);
        Ok(())
    })
    .await
}

/// Two staged files: they land, the pipeline reads them, and every table is looked at.
async fn with_files(shop: &Bookstore) -> anyhow::Result<()> {
    let ran = run(shop, "with-files").await?;
    assert_eq!(ran.result(), Some(RunResultState::Success), "{}", serde_yaml::to_string(&ran.status)?);
    let found = as_local(shop, &ran).await?;
    let expected: Value = serde_json::from_str(LOCAL)?;
    assert_eq!(found, expected, "{:#?}", ran.status);
    let tables = expected["values"]["list_tables"]["tables"].as_array().map_or(0, Vec::len);
    let iterations = ran.task("tables_iterator").for_each.context("a loop")?;
    assert_eq!((usize::try_from(iterations.total)?, usize::try_from(iterations.succeeded)?), (tables, tables));

    // What a person sees.
    let runs = kubectl(&shop.tenant, &["get", "jobruns.floe.dev"], None).await?;
    let line: Vec<&str> = runs.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(line.first(), Some(&"with-files"), "{runs}");
    assert!(line.contains(&"SUCCESS") && line.contains(&JOB), "{runs}");
    let jobs = kubectl(&shop.tenant, &["get", "jobs.floe.dev", JOB], None).await?;
    assert!(jobs.lines().nth(1).is_some_and(|line| line.contains("True")), "{jobs}");
    // Each ran under the account of the Job, and none is left that works.
    let pods = shop.tenant.list::<Pod>().await?;
    let of_job = |pod: &&Pod| pod.metadata.labels.iter().flatten().any(|(key, value)| key == "floe.dev/job" && value == JOB);
    let accounts: Vec<_> = pods.iter().filter(of_job).map(|pod| pod.spec.clone().and_then(|spec| spec.service_account_name)).collect();
    assert!(accounts.len() >= tables + 2, "{accounts:?}");
    assert!(accounts.iter().all(|account| account.as_deref() == Some("floe-job-bookstore-pro-v2")), "{accounts:?}");
    Ok(())
}

/// Nothing is staged any more: the other branch says so.
async fn without_files(shop: &Bookstore) -> anyhow::Result<()> {
    let ran = run(shop, "without-files").await?;
    let expected = "land_new_data SUCCESS, has_new_file SUCCESS, run_pipeline EXCLUDED, log_no_data SUCCESS, list_tables EXCLUDED, tables_iterator EXCLUDED";
    assert_eq!((ran.tasks().as_str(), ran.result()), (expected, Some(RunResultState::Success)), "{}", serde_yaml::to_string(&ran.status)?);
    let child = ran.task("log_no_data").child.context("a pod")?;
    let said = kubectl(&shop.tenant, &["logs", &format!("jobs.batch/{}", child.name), "--container", "task"], None).await?;
    assert!(said.contains(": no new data"), "{said}");
    Ok(())
}
