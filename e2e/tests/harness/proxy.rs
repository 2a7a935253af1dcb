//! Faults meet the requests that they name, and everything else passes unchanged.

use std::time::Duration;

use floe_crds::pipeline::Pipeline;
use floe_e2e::{
    faults::{Fault, Proxy, Verb},
    objects::pipeline,
    tenant::Tenant,
};
use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ListParams, PostParams, WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

/// A client that comes through the proxy and tries nothing again.
async fn client(proxy: &Proxy) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(proxy.kubeconfig())?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

async fn pipelines(tenant: &Tenant, proxy: &Proxy) -> anyhow::Result<Api<Pipeline>> {
    Ok(Api::namespaced(client(proxy).await?, &tenant.name))
}

fn shop(name: &str) -> Pipeline {
    serde_json::from_value(pipeline(name, json!({}))).unwrap()
}

fn code(error: &kube::Error) -> u16 {
    let kube::Error::Api(status) = error else { panic!("{error}") };
    status.code
}

#[tokio::test]
async fn requests_pass_and_writes_are_counted() -> anyhow::Result<()> {
    let tenant = Tenant::new("proxy-passes").await?;
    let proxy = Proxy::start(&tenant).await?;
    let api = pipelines(&tenant, &proxy).await?;
    api.create(&PostParams::default(), &shop("a")).await?;
    assert_eq!(api.list(&ListParams::default()).await?.items.len(), 1);
    assert_eq!(api.get_opt("b").await?, None);
    api.delete("a", &kube::api::DeleteParams::default()).await?;
    let writes: Vec<String> = proxy.writes().iter().map(ToString::to_string).collect();
    assert_eq!(writes, ["Create pipelines a", "Delete pipelines a"]);
    Ok(())
}

#[tokio::test]
async fn answers_of_an_api_server_in_trouble() -> anyhow::Result<()> {
    let tenant = Tenant::new("proxy-answers").await?;
    let proxy = Proxy::start(&tenant).await?;
    let api = pipelines(&tenant, &proxy).await?;
    proxy.inject(Fault::on(Verb::Create, "pipelines").once().answers(500));
    assert_eq!(code(&api.create(&PostParams::default(), &shop("a")).await.unwrap_err()), 500);
    assert_eq!(tenant.list::<Pipeline>().await?.len(), 0, "a refused request is not done");

    proxy.inject(Fault::on(Verb::Create, "pipelines").once().is_done_but_answers(504));
    assert_eq!(code(&api.create(&PostParams::default(), &shop("a")).await.unwrap_err()), 504);
    assert_eq!(tenant.list::<Pipeline>().await?.len(), 1);

    proxy.inject(Fault::on(Verb::Create, "pipelines").once().is_done_but_resets());
    let error = api.create(&PostParams::default(), &shop("b")).await.unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "{error}");
    assert_eq!(tenant.list::<Pipeline>().await?.len(), 2);

    proxy.inject(Fault::reads("pipelines").once().throttles(1));
    assert_eq!(code(&api.get("a").await.unwrap_err()), 429);
    proxy.inject(Fault::reads("pipelines").once().waits(Duration::from_mins(1)));
    assert!(tokio::time::timeout(Duration::from_millis(300), api.get("a")).await.is_err());
    assert_eq!(api.get("a").await?.name_any(), "a");

    proxy.set_away(true);
    assert!(api.get("a").await.is_err());
    proxy.set_away(false);
    assert_eq!(api.get("a").await?.name_any(), "a");
    Ok(())
}

#[tokio::test]
async fn reads_of_the_past() -> anyhow::Result<()> {
    let tenant = Tenant::new("proxy-stale").await?;
    let proxy = Proxy::start(&tenant).await?;
    let api = pipelines(&tenant, &proxy).await?;
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &shop(name)).await?;
    }
    proxy.inject(Fault::reads("pipelines").is_stale_by(1));
    let names: Vec<String> = api.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(api.get("b").await?.name_any(), "b");
    assert_eq!(api.get_opt("c").await?, None);
    proxy.heal();
    assert_eq!(api.get("c").await?.name_any(), "c");
    Ok(())
}

#[tokio::test]
async fn watch_events_are_lost_or_late_and_versions_expire() -> anyhow::Result<()> {
    let tenant = Tenant::new("proxy-watch").await?;
    let proxy = Proxy::start(&tenant).await?;
    let api = pipelines(&tenant, &proxy).await?;
    let start = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap();
    let mut events = api.watch(&WatchParams::default(), &start).await?.boxed();
    proxy.inject(Fault::events("pipelines").after(1).once().is_lost());
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &shop(name)).await?;
    }
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Some(WatchEvent::Added(object)) = events.try_next().await? {
            seen.push(object.name_any());
        }
    }
    assert_eq!(seen, ["a", "c"]);
    assert_eq!(proxy.lost_events(), 1);
    proxy.expire_watches();
    let Some(WatchEvent::Error(status)) = events.try_next().await? else { panic!("the watch goes on") };
    assert_eq!(status.code, 410);
    assert!(events.try_next().await?.is_none());
    Ok(())
}
