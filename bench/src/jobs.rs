//! Runs of Jobs under load: an API server (a real one with its etcd, or the stand-in), the operator's process, pods that are played. Everything is measured by watches, from outside.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use floe_crds::{job_run::JobRun, state::RunState};
use floe_e2e::{operator::Operator, tenant::Tenant, virtual_pods::VirtualPods};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::{
    load::{First, latencies, print, resident, rounded, seconds},
    requests::Counted,
    server::{Server, World},
};

/// What is asked for.
pub struct Options {
    /// Runs of a Job whose tasks follow each other.
    pub runs: usize,
    /// Its tasks.
    pub tasks: usize,
    /// New runs per minute.
    pub rate: u32,
    /// Runs of a Job with one condition, all within a minute.
    pub conditions: usize,
    /// Seconds without a change in which writes are counted.
    pub rest: u64,
    /// What it runs against.
    pub world: World,
}

/// After the end of the last run Events follow for so long.
const SETTLED: Duration = Duration::from_secs(3);
const RUN: &str = "floe.dev/run";
const TASK: &str = "floe.dev/task";

/// Runs the load and prints its figures.
#[tokio::main]
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let server = Server::start(options.world.stand_in).await?;
    let tenant = server.tenant("bench-jobs").await?;
    let pods = VirtualPods::start(&tenant);
    let operator = options.world.settings(&tenant).await?.start().await?;
    print(&options.world.figure(&server))?;
    let bench = Bench { server, tenant, operator };
    bench.chains(options).await?;
    bench.conditions(options).await?;
    bench.rest(options).await?;
    pods.verdict()
}

struct Bench {
    server: Server,
    tenant: Tenant,
    operator: Operator,
}

impl Bench {
    async fn job(&self, name: &str, tasks: &[Value]) -> anyhow::Result<()> {
        let history = json!({"successfulLimit": 100, "failedLimit": 100});
        let spec = json!({"maxConcurrentRuns": 1000, "queue": {"maxLength": 1000}, "runHistory": history, "tasks": tasks});
        let job = json!({"apiVersion": "floe.dev/v1alpha1", "kind": "Job", "metadata": {"name": name}, "spec": spec});
        self.tenant.apply_one(&job).await.map(drop)
    }

    /// Creates runs at the given rate; when each was asked for.
    async fn create(&self, job: &str, count: usize, rate: f64) -> anyhow::Result<HashMap<String, Instant>> {
        let interval = Duration::from_secs_f64(60.0 / rate);
        let begin = Instant::now();
        let asked = stream::iter(0..count).map(|number| async move {
            tokio::time::sleep_until((begin + interval * number as u32).into()).await;
            let name = format!("{job}-{number}");
            let asked = Instant::now();
            let run =
                json!({"apiVersion": "floe.dev/v1alpha1", "kind": "JobRun", "metadata": {"name": name}, "spec": {"jobRef": {"name": job}}});
            self.tenant.create(&run).await?;
            anyhow::Ok((name, asked))
        });
        asked.buffer_unordered(count.max(1)).try_collect().await
    }

    fn ends(&self, job: &'static str) -> First {
        First::watch(&self.tenant, move |run: &JobRun| {
            let is_over = run.spec.job_ref.name == job && run.status.as_ref()?.state? == RunState::Terminated;
            is_over.then(|| run.name_any())
        })
    }

    /// Runs whose tasks follow each other: how many pods start per minute, and how long after the end of one the next is there.
    async fn chains(&self, options: &Options) -> anyhow::Result<()> {
        let task = |number: usize| {
            let before: Vec<Value> = number.checked_sub(1).map(|before| json!({"task": format!("t{before}")})).into_iter().collect();
            json!({"name": format!("t{number}"), "dependsOn": before, "container": {"image": "busybox:1.37"}})
        };
        self.job("chain", &(0..options.tasks).map(task).collect::<Vec<_>>()).await?;
        let ends = self.ends("chain");
        let first = First::watch(&self.tenant, |job: &batch::Job| link(job, 0).filter(|(_, number)| *number == 0).map(|(run, _)| run));
        let next = First::watch(&self.tenant, |job: &batch::Job| link(job, 1).map(named));
        let stopped = First::watch(&self.tenant, |pod: &Pod| {
            let phase = pod.status.as_ref()?.phase.as_deref()?;
            matches!(phase, "Succeeded" | "Failed").then(|| link(pod, 0).map(named))?
        });
        let before = Counted::now(&self.server, &self.tenant, &self.operator).await?;
        let begin = Instant::now();
        let asked = self.create("chain", options.runs, f64::from(options.rate.max(1))).await?;
        ends.wait(options.runs).await?;
        let took = begin.elapsed();
        let pods = options.runs * options.tasks;
        let per_minute = |count: usize| rounded(count as f64 * 60.0 / took.as_secs_f64(), 1.0);
        print(
            &json!({"bench": "jobs.runs", "objects": options.runs, "tasks": options.tasks, "seconds": seconds(took), "runs_per_minute": per_minute(options.runs), "starts_per_minute": per_minute(pods), "rss_mb": resident(&self.operator)?}),
        )?;
        print(&latencies("jobs.run_to_first_task", &asked, &first.wait(options.runs).await?))?;
        let (stopped, next) = (stopped.wait(pods).await?, next.wait(pods - options.runs).await?);
        print(&latencies("jobs.pod_end_to_next_task", &stopped, &next))?;
        // What follows the last end belongs to it.
        tokio::time::sleep(SETTLED).await;
        Counted::now(&self.server, &self.tenant, &self.operator).await?.figures(&before, pods).iter().try_for_each(print)
    }

    /// Runs of one condition: how long until each has ended.
    async fn conditions(&self, options: &Options) -> anyhow::Result<()> {
        self.job("condition", &[json!({"name": "only", "condition": {"left": "1", "op": "EqualTo", "right": "1"}})]).await?;
        let ends = self.ends("condition");
        let begin = Instant::now();
        let asked = self.create("condition", options.conditions, options.conditions.max(1) as f64).await?;
        let ended = ends.wait(options.conditions).await?;
        let took = begin.elapsed();
        let per_minute = rounded(options.conditions as f64 * 60.0 / took.as_secs_f64(), 1.0);
        print(&json!({"bench": "jobs.conditions", "objects": options.conditions, "seconds": seconds(took), "per_minute": per_minute}))?;
        print(&latencies("jobs.condition_run_to_end", &asked, &ended))
    }

    /// Counts what the operator writes while nothing happens.
    async fn rest(&self, options: &Options) -> anyhow::Result<()> {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = Counted::now(&self.server, &self.tenant, &self.operator).await?;
        tokio::time::sleep(Duration::from_secs(options.rest)).await;
        let after = Counted::now(&self.server, &self.tenant, &self.operator).await?;
        let writes = after.writes() - before.writes();
        print(&json!({"bench": "jobs.at_rest", "seconds": options.rest, "writes": writes, "rss_mb": resident(&self.operator)?}))
    }
}

/// The run that an object belongs to, and the number of its task less `less`.
fn link<K: Resource>(object: &K, less: usize) -> Option<(String, usize)> {
    let label = |name| object.meta().labels.as_ref()?.get(name);
    let number: usize = label(TASK)?.strip_prefix('t')?.parse().ok()?;
    Some((label(RUN)?.clone(), number.checked_sub(less)?))
}

fn named((run, number): (String, usize)) -> String {
    format!("{run}/{number}")
}
