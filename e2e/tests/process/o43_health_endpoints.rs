//! Whoever asks the process is told whether it sees the cluster and whether its controllers move.

use floe_e2e::{
    faults::{Fault, Proxy, Verb},
    operator::Settings,
    tenant::Tenant,
};

use super::{LEADER, page, wait_page};

#[tokio::test]
async fn it_waits_for_an_api_server_that_is_away() -> anyhow::Result<()> {
    let tenant = Tenant::new("o43-away").await?;
    let proxy = Proxy::start(&tenant).await?;
    proxy.set_away(true);
    let mut operator = proxy.spawn(&Settings::of(&tenant).await?)?;
    let nothing = ["ConfigMap", "Deployment", "Job", "JobRun", "Pipeline", "PipelineUpdate", "Pod", "RunReport", "Table", "jobs.floe.dev"];
    let nothing = nothing.map(|kind| format!("{kind}: the first list is not complete")).join("\n");
    wait_page(&operator, "/readyz", (503, &nothing)).await?;
    assert_eq!(page(&operator, "/healthz").await?, (200, "ok\n".to_string()));
    proxy.set_away(false);
    operator.wait_ready().await?;
    proxy.set_away(true);
    assert_eq!(page(&operator, "/readyz").await?, (200, "ok\n".to_string()), "what it knows is still of use");
    assert_eq!(operator.terminate().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn it_is_ready_when_every_list_is_complete() -> anyhow::Result<()> {
    let tenant = Tenant::new("o43").await?;
    let proxy = Proxy::start(&tenant).await?;
    proxy.inject(Fault::on(Verb::List, "tables").answers(500));
    let mut operator = proxy.spawn(&Settings::of(&tenant).await?)?;
    wait_page(&operator, "/readyz", (503, "Table: the first list is not complete")).await?;
    assert_eq!(page(&operator, "/healthz").await?, (200, "ok\n".to_string()), "who waits need not be started again");
    assert_eq!(operator.metric(LEADER, &[]).await?, Some(0.0), "it does not work on half a view");
    proxy.heal();
    operator.wait_ready().await?;
    wait_page(&operator, "/readyz", (200, "ok\n")).await?;
    assert_eq!(page(&operator, "/healthz").await?, (200, "ok\n".to_string()));
    assert_eq!(operator.terminate().await?.code(), Some(0));
    Ok(())
}
