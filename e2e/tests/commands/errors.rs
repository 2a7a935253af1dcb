//! What a person is told when something is not as it should be.

use std::path::Path;

use floe_crds::state::RunResultState;
use floe_e2e::{runs::task, scene::Scene, tenant::Tenant, virtual_pods::Script};
use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};
use kube::api::DeleteParams;
use serde_json::json;

use super::typed::{Person, typed};

/// The kubeconfig of an account with these cluster roles, in its namespace.
async fn somebody(tenant: &Tenant, name: &str, roles: &[&str]) -> anyhow::Result<Person> {
    tenant.apply_one(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})).await?;
    for role in roles {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": format!("{name}-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": tenant.name}],
        });
        tenant.apply_one(&binding).await?;
    }
    let kubeconfig = tenant.logs()?.join(format!("{}.{name}.kubeconfig", tenant.name));
    tenant.server.write_kubeconfig(&kubeconfig, Some(&tenant.server.token(&tenant.name, name).await?), None)?;
    Ok(Person::with(tenant, &kubeconfig))
}

#[tokio::test]
async fn names_that_do_not_exist_are_answered_with_the_nearest() -> anyhow::Result<()> {
    let scene = Scene::open("c-names").await?;
    let person = Person::of(&scene.tenant);
    person.job("list").await?.with(0).says(&["has no jobs"]);
    scene.job("nightly", json!([task("load", &[], &json!({}))]), json!({"parameters": [{"name": "day"}]})).await?;
    person.job("list nightly").await?.with(0).says(&["job nightly has no runs yet: floe job run nightly"]);
    person.job("run nightli").await?.with(10).says(&["JOB_NOT_FOUND", "no job nightli; did you mean nightly?"]);
    person.job("run nightly --only laod").await?.with(10).says(&["TASK_NOT_FOUND", "did you mean load?"]);
    person.job("run nightly --param dat=1").await?.with(10).says(&["INVALID_PARAMETER", "did you mean day?"]);
    scene.run("nightly-1", "nightly", json!({})).await?;
    scene.run_ends("nightly-1", RunResultState::Success).await?;
    person.job("describe nightly-2").await?.with(10).says(&["RUN_NOT_FOUND", "did you mean nightly-1?"]);
    person.job("cancel nightly").await?.with(10).says(&["nightly is a job; its newest run is nightly-1"]);
    let answer = person.job("describe nightly-2 -o json").await?.with(10).json();
    assert_eq!(answer["error"]["class"], "RUN_NOT_FOUND");
    person.job("backfill nightly --from 2026-01-02 --to 2026-01-01 --every P1D").await?.with(10).says(&["INVALID_RUN_CONFIGURATION"]);
    Ok(())
}

#[tokio::test]
async fn a_missing_right_is_named_with_its_role() -> anyhow::Result<()> {
    let scene = Scene::open("c-rights").await?;
    scene.job("nightly", json!([task("load", &[], &json!({}))]), json!({})).await?;
    let stranger = somebody(&scene.tenant, "stranger", &[]).await?;
    stranger.job("list").await?.with(12).says(&["PERMISSION_DENIED", "you may not list jobs.floe.dev", "--clusterrole=floe-view"]);
    let viewer = somebody(&scene.tenant, "viewer", &["floe-view"]).await?;
    viewer.job("list").await?.with(0);
    viewer.job("run nightly").await?.with(12).says(&["you may not create jobruns.floe.dev", "--clusterrole=floe-run"]);
    viewer.job("suspend nightly").await?.with(12).says(&["you may not patch jobs.floe.dev nightly", "--clusterrole=floe-edit"]);
    // Who may run may also wait, cancel and repair.
    let runner = somebody(&scene.tenant, "runner", &["floe-view", "floe-run"]).await?;
    let run = runner.job("run nightly --wait -q").await?.with(0).out;
    let run = run.rsplit(' ').next().unwrap();
    runner.job(&format!("repair {run} --tasks load --wait")).await?.with(0);
    let described = runner.job(&format!("describe {run}")).await?.with(0);
    described.says(&["pods are not shown: you may not list pods", "load"]);
    Ok(())
}

#[tokio::test]
async fn logs_that_cannot_be_had_are_told_of() -> anyhow::Result<()> {
    let scene = Scene::open("c-logs").await?;
    let gate = json!({"condition": {"left": "1", "op": "EqualTo", "right": "1"}});
    scene.job("nightly", json!([task("load", &[], &json!({})), task("gate", &["load"], &gate)]), json!({})).await?;
    scene.pods.every(Script::new().completes());
    scene.run("r", "nightly", json!({})).await?;
    scene.run_ends("r", RunResultState::Success).await?;
    let person = Person::of(&scene.tenant);
    person.job("logs r gate").await?.with(10).says(&["NO_LOGS", "task gate is a condition"]);
    person.job("logs r lod").await?.with(10).says(&["TASK_NOT_FOUND", "did you mean load?"]);
    person.job("logs r load --attempt 2").await?.with(10).says(&["task load has no pod for attempt 2"]);
    // The node of played pods does not exist, so nobody has their log.
    let unreachable = person.job("logs r load").await?;
    assert_ne!(unreachable.code, 0, "{unreachable:#?}");
    unreachable.says(&["pods/log r-load-1-1"]);
    let zero = DeleteParams::default().grace_period(0);
    scene.tenant.api::<batch::Job>().delete("r-load-1", &DeleteParams::background()).await?;
    scene.tenant.api::<Pod>().delete("r-load-1-1", &zero).await.ok();
    scene.tenant.wait_gone::<Pod>("r-load-1-1").await?;
    person.job("logs r").await?.with(10).says(&["NO_LOGS", "task load has no pod any more: its log is gone with it"]);
    Ok(())
}

#[tokio::test]
async fn without_a_cluster_the_program_says_where_it_looked_for_one() -> anyhow::Result<()> {
    typed(&["job", "list"], None).await?.with(10).says(&["NO_CLUSTER", "--kubeconfig"]);
    typed(&["job", "list", "--kubeconfig", "/nowhere/config"], None).await?.with(10).says(&["NO_CLUSTER", "/nowhere/config"]);
    let tenant = Tenant::new("c-none").await?;
    let kubeconfig = tenant.server.kubeconfig();
    typed(&["job", "list", "--context", "other"], Some(kubeconfig)).await?.with(10).says(&["NO_CLUSTER", "other"]);
    let away = tenant.logs()?.join(format!("{}.away.kubeconfig", tenant.name));
    tenant.server.write_kubeconfig(&away, None, Some("http://127.0.0.1:9"))?;
    typed(&["job", "list"], Some(&away)).await?.with(20).says(&["CLUSTER_UNREACHABLE", "the API server at http://127.0.0.1:9"]);
    typed(&["job", "import", "bundle.yml"], None).await?.with(10).says(&["FEATURE_NOT_SUPPORTED", "floe job import"]);
    Ok(())
}

#[tokio::test]
async fn manifests_are_checked_without_a_cluster() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let write = |text: &str| std::fs::write(folder.path().join("nightly.yaml"), text);
    let lint = async || typed(&["job", "lint", &folder.path().display().to_string()], None::<&Path>).await;
    lint().await?.with(10).says(&["JOB_NOT_FOUND", "no manifest of a Job"]);
    let manifest = "apiVersion: floe.dev/v1alpha1\nkind: Job\nmetadata: {name: nightly}\nspec:\n  tasks:\n  - {name: a, container: {image: i, args: ['{{job.naem}}']}}\n";
    write(manifest)?;
    lint().await?.with(10).says(&["nightly.yaml:6:", "did you mean"]);
    write(&manifest.replace("naem", "name"))?;
    lint().await?.with(0).says(&["nightly is valid: 1 job, 1 task"]);
    Ok(())
}
