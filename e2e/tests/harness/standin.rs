//! The stand-in for an API server is enough for a whole life: the operator's process brings a Pipeline up to date, and everything goes with it.

use floe_crds::{
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    run_report::RunReport,
    state::{RunResultState, UpdateState},
    table::Table,
};
use floe_e2e::{operator::Settings, runs::task, scene::Scene, standin::StandIn, tenant::Tenant};
use k8s_openapi::api::{batch::v1 as batch, core::v1::ConfigMap};
use kube::ResourceExt;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_update_comes_to_its_end_on_the_stand_in() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = StandIn::start(folder.path()).await?;
    let tenant = Tenant::on(server.server(), "stand-in").await?;
    let settings = Settings::of(&tenant).await?;
    let scene = Scene::of(tenant, &settings).await?;
    scene.pipeline("shop", json!({})).await?;
    let update = scene.ends("shop-u1", UpdateState::Completed).await?;
    assert_eq!(scene.pods.lake().tables("s3://lake/shop").len(), 2);
    let has_rows = |tables: &[Table]| {
        tables.len() == 2 && tables.iter().all(|table| table.status.as_ref().is_some_and(|status| status.rows.is_some()))
    };
    let tables = scene.tenant.wait_list::<Table>("two tables with rows", has_rows).await?;
    assert_eq!(tables.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["shop-daily", "shop-orders"]);
    assert_eq!(update.owner_references()[0].name, "shop");

    scene.pods.verdict()?;
    scene.tenant.delete::<Pipeline>("shop").await?;
    scene.tenant.wait_gone::<Pipeline>("shop").await?;
    scene.tenant.wait_list::<PipelineUpdate>("no updates", <[_]>::is_empty).await?;
    scene.tenant.wait_list::<Table>("no Tables", <[_]>::is_empty).await?;
    scene.tenant.wait_list::<batch::Job>("no batch Jobs", <[_]>::is_empty).await?;
    scene.tenant.wait_list::<RunReport>("no reports", <[_]>::is_empty).await?;
    scene.tenant.wait_list::<ConfigMap>("no requests", <[_]>::is_empty).await?;
    let log = scene.operator.log();
    assert!(!log.contains("reconcile failed") && !log.contains("watch starts again"), "{log}");
    scene.pods.verdict()
}

/// Its Job becomes its owner; nobody else writes it, so nothing has to be tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_made_by_hand_does_not_wait_for_its_own_change() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = StandIn::start(folder.path()).await?;
    let tenant = Tenant::on(server.server(), "by-hand").await?;
    let settings = Settings::of(&tenant).await?;
    let scene = Scene::of(tenant, &settings).await?;
    let tasks = json!([task("compare", &[], &json!({"condition": {"left": "a", "op": "EqualTo", "right": "a"}}))]);
    scene.job("nightly", tasks, json!({})).await?;
    for number in 0..3 {
        let name = format!("by-hand-{number}");
        scene.run(&name, "nightly", json!({})).await?;
        let run = scene.run_ends(&name, RunResultState::Success).await?;
        assert_eq!(run.owner_references()[0].name, "nightly");
    }
    let failed = scene.operator.metric("floe_operator_reconcile_errors_total", &[("controller", "job_run")]).await?;
    assert_eq!(failed.unwrap_or_default() as u64, 0);
    Ok(())
}
