//! One story with a whole life in it: a Pipeline is applied, its update meets a passing error and completes in a second attempt; its definition changes,
//! which starts a second update; the first one leaves the history; the Pipeline is deleted with its data. Told once undisturbed, and then with
//! every fault.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use floe_crds::{
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    state::{FailureClass, UpdateState},
};
use floe_e2e::{
    faults::{Call, Proxy},
    objects::{inline, pipeline},
    operator::{Operator, Settings},
    oracle::{differences, dump},
    seen::state,
    tenant::Tenant,
    virtual_pods::{Script, VirtualPods},
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::task::AbortOnDropHandle;

/// The definition that takes the place of the first one: one dataset stays, one goes, one comes.
const CHANGED_SQL: &str = "CREATE STREAMING TABLE orders AS SELECT * FROM STREAM read_files('/data/orders');\n\
                           CREATE MATERIALIZED VIEW weekly AS SELECT week, count(*) AS n FROM orders GROUP BY week;\n";
/// Faults bring back-offs, and those grow with each.
const PATIENCE: Duration = Duration::from_mins(5);
/// Many stories are told at once: each looks rarely.
const POLL: Duration = Duration::from_millis(300);
/// At rest nothing is written for so long.
const QUIET: Duration = Duration::from_secs(2);
/// Signs of life of each runner: reports that can get lost.
const HEARTBEATS: usize = 3;
/// Stories that one test tells at once. They wait more than they work.
pub const AT_ONCE: usize = 16;

/// What is left when all updates have ended, and when the Pipeline is gone; and what was written.
pub struct Ends {
    pub writes: Vec<Call>,
    updated: BTreeMap<String, String>,
    deleted: BTreeMap<String, String>,
}

static UNDISTURBED: OnceCell<Ends> = OnceCell::const_new();

/// One telling of the story, with its proxy to disturb it.
pub struct Story {
    pub tenant: Tenant,
    pub proxy: Arc<Proxy>,
    pods: VirtualPods,
    settings: Settings,
    operator: Arc<Mutex<Option<Operator>>>,
    deaths: Arc<AtomicUsize>,
    _restarts: AbortOnDropHandle<()>,
}

impl Story {
    /// Everything is there and nothing has happened yet. Whenever the operator's process ends, it is started again, as a cluster does.
    pub async fn open(name: &str, prepare: impl FnOnce(&Proxy)) -> anyhow::Result<Self> {
        let mut tenant = Tenant::new(name).await?;
        (tenant.patience, tenant.poll) = (PATIENCE, POLL);
        let proxy = Arc::new(Proxy::start(&tenant).await?);
        prepare(&proxy);
        let pods = VirtualPods::start(&tenant);
        pods.every(Script::new().works(HEARTBEATS).completes());
        pods.attempt("shop-u1-a1", Script::new().works(HEARTBEATS).fails(FailureClass::Transient, "STORAGE_UNAVAILABLE", "503 Slow Down"));
        let settings = Settings::of(&tenant).await?;
        let operator = Arc::new(Mutex::new(Some(proxy.spawn(&settings)?)));
        let deaths = Arc::<AtomicUsize>::default();
        let restarts = tokio::spawn(restart(operator.clone(), proxy.clone(), settings.clone(), deaths.clone()));
        Ok(Self { tenant, proxy, pods, settings, operator, deaths, _restarts: AbortOnDropHandle::new(restarts) })
    }

    /// Tells it up to the end of all updates.
    async fn update(&self) -> anyhow::Result<()> {
        let spec = |sql: &str| {
            let history = json!({"successfulLimit": 1, "failedLimit": 1});
            pipeline("shop", json!({"deletionPolicy": "Delete", "updateHistory": history, "libraries": [inline(sql)]}))
        };
        self.tenant.apply_one(&spec(floe_e2e::objects::SQL)).await?;
        self.completes("shop-u1").await?;
        self.tenant.apply_one(&spec(CHANGED_SQL)).await?;
        self.completes("shop-u2").await?;
        self.tenant.wait_gone::<PipelineUpdate>("shop-u1").await
    }

    async fn completes(&self, update: &str) -> anyhow::Result<()> {
        let completed = |update: &PipelineUpdate| state(update) == Some(UpdateState::Completed);
        self.tenant.wait::<PipelineUpdate>(update, "COMPLETED", completed).await.map(drop)
    }

    /// Tells the rest.
    async fn delete(&self) -> anyhow::Result<()> {
        self.tenant.delete::<Pipeline>("shop").await?;
        self.tenant.wait_gone::<Pipeline>("shop").await
    }

    /// Waits until the namespace is as `wanted`.
    async fn comes_to(&self, wanted: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let found = self.dump().await?;
            if found == *wanted {
                return Ok(());
            }
            ensure!(
                start.elapsed() < PATIENCE,
                "{} ends in another way than undisturbed:\n{}\nits writes were\n{}",
                self.tenant.name,
                differences(wanted, &found),
                self.writes_after(0).join("\n")
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Tells it all; it must end as it does undisturbed, with nothing left to write, with no two writers at any time, and without a death of the
    /// operator that no fault brought about.
    pub async fn tell(&self) -> anyhow::Result<()> {
        let ends = undisturbed().await?;
        self.update().await.with_context(|| self.tenant.name.clone())?;
        self.comes_to(&ends.updated).await?;
        self.rests().await?;
        self.delete().await.with_context(|| self.tenant.name.clone())?;
        self.comes_to(&ends.deleted).await?;
        self.rests().await?;
        let (deaths, kills) = (self.deaths.load(Ordering::Relaxed), self.proxy.kills().len());
        ensure!(deaths <= kills, "{}: the operator ended {deaths} times and was killed {kills} times", self.tenant.name);
        self.pods.verdict()
    }

    /// At rest nothing is written: not by the process that came here, and not by a new one that looks at everything anew.
    async fn rests(&self) -> anyhow::Result<()> {
        let before = self.proxy.writes().len();
        tokio::time::sleep(QUIET).await;
        self.knows_what_is_there().await?;
        self.wrote_nothing_after(before, "at rest")?;
        let mut operator = self.operator.lock().await;
        if let Some(old) = operator.take() {
            old.kill().await?;
        }
        *operator = Some(self.proxy.spawn(&self.settings)?);
        drop(operator);
        self.knows_what_is_there().await?;
        tokio::time::sleep(QUIET).await;
        self.wrote_nothing_after(before, "when a new process looked at what had come to rest")
    }

    /// The operator remembers all that is there and nothing that is gone.
    async fn knows_what_is_there(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        let (mut known, mut there) = (String::new(), Vec::new());
        while start.elapsed() < PATIENCE {
            there = self.dump().await?.into_keys().collect();
            // There is no answer while it starts.
            known = self.known().await.unwrap_or_default();
            let count = |kind: &str| there.iter().filter(|name| name.split_once('/').is_some_and(|(found, _)| found == kind)).count();
            let is_known =
                |kind: &&str| known.lines().any(|line| *line == format!("floe_operator_cached_objects{{kind=\"{kind}\"}} {}", count(kind)));
            if ["Pipeline", "Table", "PipelineUpdate", "RunReport", "Job"].iter().all(is_known) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        let known: Vec<&str> = known.lines().filter(|line| line.starts_with("floe_operator_cached_objects")).collect();
        anyhow::bail!("{}: the operator knows {known:?}, and there are {there:?}", self.tenant.name)
    }

    async fn known(&self) -> anyhow::Result<String> {
        let operator = self.operator.lock().await;
        operator.as_ref().context("no operator runs")?.get("/metrics").await
    }

    fn wrote_nothing_after(&self, before: usize, when: &str) -> anyhow::Result<()> {
        let written = self.writes_after(before);
        ensure!(written.is_empty(), "{}: {when} the operator wrote\n{}", self.tenant.name, written.join("\n"));
        Ok(())
    }

    fn writes_after(&self, before: usize) -> Vec<String> {
        self.proxy.writes().iter().skip(before).map(ToString::to_string).collect()
    }

    /// All objects; the clean-up under a name without the uid of the Pipeline that it belongs to.
    async fn dump(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let found = dump(&self.tenant).await?;
        let id = found.keys().find_map(|name| name.strip_prefix("Job/shop-cleanup-")).map(str::to_string);
        let Some(id) = id else { return Ok(found) };
        Ok(found.into_iter().map(|(name, object)| (name.replace(&id, "<id>"), object.replace(&id, "<id>"))).collect())
    }

    /// The namespace once nothing has changed for some seconds.
    async fn settled(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut before = self.dump().await?;
        let mut since = Instant::now();
        while since.elapsed() < Duration::from_secs(4) {
            tokio::time::sleep(POLL).await;
            let now = self.dump().await?;
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
        Ok(before)
    }
}

/// Tells stories, a few at once.
pub async fn tell_all<F: Future<Output = anyhow::Result<()>>>(stories: impl IntoIterator<Item = F>) -> anyhow::Result<()> {
    stream::iter(stories).map(Ok).try_for_each_concurrent(AT_ONCE, |story| Box::pin(story)).await
}

/// Starts the operator again whenever it has ended.
async fn restart(operator: Arc<Mutex<Option<Operator>>>, proxy: Arc<Proxy>, settings: Settings, deaths: Arc<AtomicUsize>) {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut operator = operator.lock().await;
        if operator.as_mut().is_some_and(|operator| !matches!(operator.ended(), Ok(None))) {
            deaths.fetch_add(1, Ordering::Relaxed);
            *operator = proxy.spawn(&settings).ok();
        }
    }
}

/// How the story ends if nothing disturbs it.
pub async fn undisturbed() -> anyhow::Result<&'static Ends> {
    UNDISTURBED
        .get_or_try_init(async || {
            let story = Story::open("undisturbed", |_| ()).await?;
            story.update().await?;
            let updated = story.settled().await?;
            story.rests().await?;
            story.delete().await?;
            let deleted = story.settled().await?;
            story.rests().await?;
            story.pods.verdict()?;
            Ok(Ends { writes: story.proxy.writes(), updated, deleted })
        })
        .await
}

/// The end of the undisturbed story is what a person expects.
#[tokio::test]
async fn undisturbed_end() -> anyhow::Result<()> {
    let ends = undisturbed().await?;
    let names: Vec<&str> = ends.updated.keys().map(String::as_str).collect();
    let expected = [
        "ConfigMap/shop-u2-a1-request",
        "Job/shop-u2-a1",
        "Pipeline/shop",
        "PipelineUpdate/shop-u2",
        "RoleBinding/floe-shop",
        "RunReport/shop-u2-a1",
        "ServiceAccount/floe-shop",
        "Table/shop-daily",
        "Table/shop-orders",
        "Table/shop-weekly",
    ];
    assert_eq!(names, expected);
    let gone: Vec<&str> = ends.deleted.keys().map(String::as_str).collect();
    assert_eq!(gone, ["ConfigMap/shop-cleanup-<id>-request", "Job/shop-cleanup-<id>"]);
    Ok(())
}
