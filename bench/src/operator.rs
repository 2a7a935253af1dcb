//! The operator under load: an API server (a real one with its etcd, or the stand-in), the operator's process, pods that are played. Everything is measured by watches, from outside.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::ensure;
use floe_crds::{pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState};
use floe_e2e::{objects::pipeline, operator::Operator, tenant::Tenant, virtual_pods::VirtualPods};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};
use kube::ResourceExt;
use serde_json::json;

use crate::{
    load::{First, latencies, print, resident, rounded, seconds},
    requests::Counted,
    server::{Server, World},
};

/// What is asked for.
pub struct Options {
    /// Pipelines that are there.
    pub pipelines: usize,
    /// Of these, how many change and so start an update.
    pub starts: usize,
    /// Changes per minute.
    pub rate: u32,
    /// Seconds without a change in which writes are counted.
    pub rest: u64,
    /// What it runs against.
    pub world: World,
}

/// Requests that are sent at once to make and remove objects; they are not what is measured.
const AT_ONCE: usize = 16;
/// After the end of an update Tables and Events follow for so long.
const SETTLED: Duration = Duration::from_secs(3);

/// Runs the load and prints its figures.
#[tokio::main]
pub async fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.starts <= options.pipelines, "there cannot be more starts than pipelines");
    let server = Server::start(options.world.stand_in).await?;
    let tenant = server.tenant("bench").await?;
    let settings = options.world.settings(&tenant).await?;
    let pods = VirtualPods::start(&tenant);
    let operator = settings.start().await?;
    print(&options.world.figure(&server))?;
    let bench = Bench { server, tenant, operator };

    bench.apply_all(options.pipelines).await?;
    bench.rest(options, "operator.at_rest").await?;
    bench.starts(options).await?;
    bench.rest(options, "operator.at_rest_after_updates").await?;
    pods.verdict()?;

    let Bench { tenant, operator, server: _server } = bench;
    operator.kill().await?;
    let begin = Instant::now();
    let operator = settings.start().await?;
    let took = begin.elapsed();
    let objects = tenant.list::<Pipeline>().await?.len() + tenant.list::<PipelineUpdate>().await?.len() + tenant.list::<Pod>().await?.len();
    print(&json!({"bench": "operator.restart", "objects": objects, "seconds": seconds(took), "rss_mb": resident(&operator)?}))
}

struct Bench {
    server: Server,
    tenant: Tenant,
    operator: Operator,
}

impl Bench {
    /// Makes all pipelines, suspended, and waits until each has been looked at.
    async fn apply_all(&self, count: usize) -> anyhow::Result<()> {
        let begin = Instant::now();
        let seen = First::watch(&self.tenant, |pipeline: &Pipeline| {
            let status = pipeline.status.as_ref()?;
            status.observed_generation.is_some().then(|| pipeline.name_any())
        });
        let tenant = &self.tenant;
        stream::iter(0..count)
            .map(Ok::<_, anyhow::Error>)
            .try_for_each_concurrent(AT_ONCE, async |number| {
                tenant.apply_one(&pipeline(&name(number), json!({"suspend": true}))).await.map(drop)
            })
            .await?;
        seen.wait(count).await?;
        let figure = json!({"bench": "operator.first_look", "objects": count, "seconds": seconds(begin.elapsed()), "rss_mb": resident(&self.operator)?});
        print(&figure)
    }

    /// Counts what the operator writes while nothing happens.
    async fn rest(&self, options: &Options, bench: &str) -> anyhow::Result<()> {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = self.counted().await?;
        tokio::time::sleep(Duration::from_secs(options.rest)).await;
        let after = self.counted().await?;
        let cores = (after.processor["operator"] - before.processor["operator"]) / options.rest as f64;
        let writes = after.writes() - before.writes();
        print(
            &json!({"bench": bench, "objects": options.pipelines, "seconds": options.rest, "writes": writes, "cores": rounded(cores, 1000.0), "rss_mb": resident(&self.operator)?}),
        )
    }

    async fn counted(&self) -> anyhow::Result<Counted> {
        Counted::now(&self.server, &self.tenant, &self.operator).await
    }

    /// Changes pipelines at the given rate: how long until the batch/v1 Job is there, and from the end of its pod until the update says so.
    async fn starts(&self, options: &Options) -> anyhow::Result<()> {
        let jobs = First::watch(&self.tenant, |job: &batch::Job| job.labels().get("floe.dev/pipeline").cloned());
        let pods = First::watch(&self.tenant, |pod: &Pod| {
            let phase = pod.status.as_ref()?.phase.as_deref()?;
            matches!(phase, "Succeeded" | "Failed").then(|| pod.labels().get("floe.dev/pipeline").cloned())?
        });
        let ends = First::watch(&self.tenant, |update: &PipelineUpdate| {
            let state = update.status.as_ref()?.state?;
            (state == UpdateState::Completed).then(|| update.spec.pipeline.clone())
        });
        let before = self.counted().await?;
        let interval = Duration::from_secs_f64(60.0 / f64::from(options.rate.max(1)));
        let begin = Instant::now();
        let edits = stream::iter(0..options.starts).map(|number| async move {
            tokio::time::sleep_until((begin + interval * number as u32).into()).await;
            let changed = Instant::now();
            self.tenant.patch::<Pipeline>(&name(number), &json!({"spec": {"suspend": false}})).await?;
            anyhow::Ok((name(number), changed))
        });
        let changed: HashMap<String, Instant> = edits.buffer_unordered(options.starts.max(1)).try_collect().await?;
        let ended = ends.wait(options.starts).await?;
        let took = begin.elapsed();
        let (made, stopped) = (jobs.wait(options.starts).await?, pods.wait(options.starts).await?);
        let per_minute = rounded(options.starts as f64 * 60.0 / took.as_secs_f64(), 1.0);
        print(
            &json!({"bench": "operator.starts", "objects": options.starts, "seconds": seconds(took), "per_minute": per_minute, "rss_mb": resident(&self.operator)?}),
        )?;
        print(&latencies("operator.change_to_job", &changed, &made))?;
        print(&latencies("operator.pod_end_to_status", &stopped, &ended))?;
        // What follows the last end belongs to it.
        tokio::time::sleep(SETTLED).await;
        self.counted().await?.figures(&before, options.starts).iter().try_for_each(print)
    }
}

fn name(number: usize) -> String {
    format!("load-{number}")
}
