//! A plot told to its end while something disturbs it, and once undisturbed: both must come to the same.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use floe_e2e::{
    faults::{Call, Proxy},
    operator::{Operator, Settings},
    oracle::{differences, dump},
    tenant::Tenant,
    virtual_pods::VirtualPods,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio_util::task::AbortOnDropHandle;

use crate::plot::{JOB, PIPELINE, Plot};

/// Faults bring back-offs, and those grow with each.
const PATIENCE: Duration = Duration::from_mins(5);
/// Many stories are told at once: each looks rarely.
const POLL: Duration = Duration::from_millis(300);
/// At rest nothing is written for so long.
const QUIET: Duration = Duration::from_secs(2);
/// Stories that are told at once, by all tests together. They wait more than they work.
pub const AT_ONCE: usize = 16;
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// How a story ended that nothing disturbed.
pub struct Ends {
    /// What the operator wrote.
    pub writes: Vec<Call>,
    /// What is left after each chapter.
    left: [BTreeMap<String, String>; 2],
    /// The pods that started, by name.
    started: Vec<String>,
}

/// One telling, with its proxy to disturb it.
pub struct Story {
    pub tenant: Tenant,
    pub proxy: Arc<Proxy>,
    plot: &'static Plot,
    pods: VirtualPods,
    settings: Settings,
    operator: Arc<Mutex<Option<Operator>>>,
    deaths: Arc<AtomicUsize>,
    _restarts: AbortOnDropHandle<()>,
    _place: SemaphorePermit<'static>,
}

impl Story {
    /// Everything is there and nothing has happened yet. Whenever the operator's process ends, it is started again, as a cluster does.
    pub async fn open(plot: &'static Plot, name: &str, prepare: impl FnOnce(&Proxy)) -> anyhow::Result<Self> {
        // What all others are compared with is told first, while nothing else takes the machine.
        for plot in [&PIPELINE, &JOB] {
            plot.undisturbed().await?;
        }
        Self::begin(plot, name, prepare).await
    }

    async fn begin(plot: &'static Plot, name: &str, prepare: impl FnOnce(&Proxy)) -> anyhow::Result<Self> {
        let place = PLACES.acquire().await?;
        let mut tenant = Tenant::new(name).await?;
        (tenant.patience, tenant.poll) = (PATIENCE, POLL);
        let proxy = Arc::new(Proxy::start(&tenant).await?);
        prepare(&proxy);
        let pods = VirtualPods::start(&tenant);
        (plot.pods)(&pods);
        let settings = Settings::of(&tenant).await?;
        let operator = Arc::new(Mutex::new(Some(proxy.spawn(&settings)?)));
        let deaths = Arc::<AtomicUsize>::default();
        let restarts = tokio::spawn(restart(operator.clone(), proxy.clone(), settings.clone(), deaths.clone()));
        Ok(Self { tenant, proxy, plot, pods, settings, operator, deaths, _restarts: AbortOnDropHandle::new(restarts), _place: place })
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

    /// Tells it all; it must end as it does undisturbed, with nothing left to write, with no pod too many and no two writers at any time, and
    /// without a death of the operator that no fault brought about.
    pub async fn tell(&self) -> anyhow::Result<()> {
        let ends = self.plot.undisturbed().await?;
        for (chapter, left) in self.plot.chapters.iter().zip(&ends.left) {
            self.proxy.set_at_rest(false);
            chapter(&self.tenant).await.with_context(|| self.tenant.name.clone())?;
            self.proxy.set_at_rest(true);
            self.comes_to(left).await?;
            self.rests().await?;
        }
        let (deaths, kills) = (self.deaths.load(Ordering::Relaxed), self.proxy.kills().len());
        ensure!(deaths <= kills, "{}: the operator ended {deaths} times and was killed {kills} times", self.tenant.name);
        let started = self.started();
        ensure!(started == ends.started, "{}: the pods {started:?} started, and undisturbed {:?}", self.tenant.name, ends.started);
        self.pods.verdict()
    }

    /// The pods that started, by name; without clean-ups, whose names are uids.
    fn started(&self) -> Vec<String> {
        let mut started = self.pods.started();
        started.retain(|pod| !pod.contains("-cleanup-"));
        started.sort();
        started
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
            if ["Pipeline", "Table", "PipelineUpdate", "RunReport", "Job", "jobs.floe.dev", "JobRun"].iter().all(is_known) {
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

impl Plot {
    /// How it ends if nothing disturbs it.
    pub async fn undisturbed(&'static self) -> anyhow::Result<&'static Ends> {
        self.ends
            .get_or_try_init(async || {
                let story = Story::begin(self, self.name, |_| ()).await?;
                let mut left = [BTreeMap::new(), BTreeMap::new()];
                for (chapter, left) in self.chapters.iter().zip(&mut left) {
                    chapter(&story.tenant).await?;
                    *left = story.settled().await?;
                    story.rests().await?;
                }
                story.pods.verdict()?;
                Ok(Ends { writes: story.proxy.writes(), left, started: story.started() })
            })
            .await
    }
}

impl Ends {
    /// Names of what is left after a chapter.
    pub fn names(&self, chapter: usize) -> Vec<&str> {
        self.left[chapter].keys().map(String::as_str).collect()
    }
}
