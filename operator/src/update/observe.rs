//! What the controller looks at: the update, its pipeline, the other updates of it, and what its attempts left. IO.

use std::sync::Arc;

use floe_crds::{
    pipeline::Pipeline,
    pipeline_update::{Attempt, Cancel, PipelineUpdate, PipelineUpdateStatus},
    run_report::{RunReport, RunReportSpec},
    state::UpdateState,
};
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1 as batch,
    core::v1::{ConfigMap, Event, Pod},
};
use kube::{Api, ResourceExt, api::ListParams, core::PartialObjectMeta};

use crate::{
    attempt::{
        end::{Remains, job_end, newest_pod},
        job_name, request_name, waiting,
    },
    clock,
    context::Context,
    error::Error,
    key::Key,
    labels,
    owner::{self, is_of_earlier_life},
    reports, shard,
};

/// Everything that the decision needs.
#[derive(Clone, Debug)]
pub struct Observed {
    pub update: Arc<PipelineUpdate>,
    /// The status as it was read.
    pub status: PipelineUpdateStatus,
    pub pipeline: Option<Arc<Pipeline>>,
    /// The Pipeline that it belonged to is gone, even if another one has its name.
    pub is_pipeline_gone: bool,
    /// All updates of the pipeline, this one among them.
    pub updates: Vec<Arc<PipelineUpdate>>,
    /// The attempt that has not ended.
    pub attempt: Option<Observation>,
    /// What all attempts left.
    pub leftovers: Leftovers,
    pub now: Timestamp,
}

/// One attempt as it is now.
#[derive(Clone, Debug)]
pub struct Observation {
    pub number: i32,
    /// Name of the batch/v1 Job.
    pub name: String,
    pub job: Option<Arc<batch::Job>>,
    pub pods: Vec<Arc<Pod>>,
    /// Written by one of these pods.
    pub report: Option<Arc<RunReport>>,
    /// What the API server said to the batch/v1 Job that wants to make its pod.
    pub refusal: Option<String>,
    /// The entry in the status; absent if the attempt was made and not yet written down.
    pub known: Option<Attempt>,
}

/// Objects of all attempts.
#[derive(Clone, Debug, Default)]
pub struct Leftovers {
    pub jobs: Vec<Arc<batch::Job>>,
    pub pods: Vec<Arc<Pod>>,
    pub reports: Vec<Arc<RunReport>>,
    pub requests: Vec<Arc<PartialObjectMeta<ConfigMap>>>,
    /// Name of the report that must stay: Tables of datasets from SQL are made again from it.
    pub kept_report: Option<String>,
}

impl Observed {
    /// True if nothing more happens to the update but its removal.
    pub fn is_over(&self) -> bool {
        self.status.state.is_some_and(UpdateState::is_terminal) || self.update.metadata.deletion_timestamp.is_some()
    }

    /// True if the operator must not touch anything but status.
    pub fn is_paused(&self) -> bool {
        let paused =
            |annotations: &std::collections::BTreeMap<String, String>| annotations.get(labels::PAUSED).is_some_and(|value| value == "true");
        paused(self.update.annotations()) || self.pipeline.as_ref().is_some_and(|pipeline| paused(pipeline.annotations()))
    }

    /// True if someone asked for the end, or its Pipeline goes: a runner that nobody looks after must not go on writing.
    pub fn is_canceled(&self) -> bool {
        self.update.spec.cancel != Cancel::None || self.is_pipeline_deleted()
    }

    /// True if the Pipeline goes or is gone.
    pub fn is_pipeline_deleted(&self) -> bool {
        self.is_pipeline_gone || self.pipeline.as_ref().is_some_and(|pipeline| pipeline.metadata.deletion_timestamp.is_some())
    }

    /// How its runner shall be stopped.
    pub fn stop(&self) -> Cancel {
        match self.update.spec.cancel {
            Cancel::None if self.is_pipeline_deleted() => Cancel::Graceful,
            cancel => cancel,
        }
    }
}

impl Observation {
    /// Takes those of `pods` that belong to it, and `report` if one of these wrote it.
    pub fn complete(&mut self, update: &PipelineUpdate, pods: Vec<Arc<Pod>>, report: Option<Arc<RunReport>>) {
        self.pods = pods.into_iter().filter(|pod| belongs(pod, self)).collect();
        let written_down = self.known.as_ref().and_then(|known| known.pod.as_ref());
        self.report = report.filter(|report| reports::is_genuine(report, update, written_down, &self.pods));
    }

    /// What tells how the attempt ends.
    pub fn remains(&self, canceled: bool) -> Remains<'_> {
        let newest = newest_pod(&self.pods).and_then(|pod| pod.uid());
        let told = |report: &&RunReportSpec| newest.as_ref().is_none_or(|uid| *uid == report.pod_uid);
        Remains {
            job: self.job.as_deref(),
            pods: &self.pods,
            report: self.report.as_ref().map(|report| &report.spec).filter(told),
            seen_code: self.known.as_ref().and_then(|known| known.exit_code),
            canceled,
        }
    }
}

/// The update `key` and what belongs to it; `None` if it is gone.
pub async fn observe(ctx: &Context, key: &Key) -> Result<Option<Observed>, Error> {
    let Some(mut update) = ctx.caches.updates.get(key) else { return Ok(None) };
    let pipeline_key = Key::new(&key.namespace, &update.spec.pipeline);
    if shard::is_of_another_operator(ctx, &pipeline_key).await? {
        return Ok(None);
    }
    let handled = update.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_ref());
    if labels::is_reconcile_requested(update.as_ref(), handled) {
        let Some(fresh) = read_anew(ctx, key, &pipeline_key).await? else { return Ok(None) };
        update = Arc::new(fresh);
    }
    let status = update.status.clone().unwrap_or_default();
    let jobs: Vec<_> = ctx.caches.jobs.by(key).into_iter().filter(|job| owner::is_owned_by(job.as_ref(), update.as_ref())).collect();
    let mut attempt = current(&status, &update, &jobs);
    if let Some(attempt) = &mut attempt {
        look_closer(ctx, key, &update, attempt).await?;
    }
    let pipeline = ctx.caches.pipelines.get(&pipeline_key).filter(|pipeline| !is_of_earlier_life(update.as_ref(), pipeline));
    let is_alone = pipeline.is_none() && belonged(&update, &status);
    let mut updates = ctx.caches.updates.by(&pipeline_key);
    updates.retain(|other| pipeline.as_ref().is_none_or(|pipeline| !is_of_earlier_life(other.as_ref(), pipeline)));
    Ok(Some(Observed {
        is_pipeline_gone: is_alone && is_gone(ctx, &update, &pipeline_key).await?,
        leftovers: leftovers(ctx, key, &update, &status, jobs, &updates),
        pipeline,
        updates,
        attempt,
        status,
        update,
        now: clock::now(),
    }))
}

/// The update as the API server has it. So are, from here on, its Pipeline, its batch/v1 Jobs with their pods, and the report of its newest attempt.
async fn read_anew(ctx: &Context, key: &Key, pipeline: &Key) -> Result<Option<PipelineUpdate>, Error> {
    ctx.refresh::<Pipeline>(pipeline).await?;
    let selector = format!("{}={}", labels::UPDATE, labels::value(&key.name));
    ctx.refresh_all(&key.namespace, &selector, ctx.caches.jobs.by(key)).await?;
    ctx.refresh_all(&key.namespace, &selector, ctx.caches.pods.by(key)).await?;
    let update = ctx.refresh::<PipelineUpdate>(key).await?;
    let newest = update.as_ref().and_then(|update| update.status.as_ref()?.attempts.last()?.job.clone());
    if let Some(job) = newest {
        ctx.refresh::<RunReport>(&Key::new(&key.namespace, job)).await?;
    }
    Ok(update)
}

/// True if the update had a Pipeline: it belongs to one, or has begun. One that has not may wait for its Pipeline.
pub fn belonged(update: &PipelineUpdate, status: &PipelineUpdateStatus) -> bool {
    let is_over = status.state.is_some_and(UpdateState::is_terminal);
    !is_over && (owner::pipeline(update).is_some() || status.attempt.is_some())
}

/// That a Pipeline is gone is believed only to the API server itself.
async fn is_gone(ctx: &Context, update: &PipelineUpdate, pipeline: &Key) -> Result<bool, Error> {
    Ok(ctx.fetch::<Pipeline>(pipeline).await?.is_none_or(|found| is_of_earlier_life(update, &found)))
}

/// The attempt that has not ended: the newest of the status, or one that was made by an operator that died before it wrote that down.
pub fn current(status: &PipelineUpdateStatus, update: &PipelineUpdate, jobs: &[Arc<batch::Job>]) -> Option<Observation> {
    let number_of = |job: &batch::Job| job.labels().get(labels::ATTEMPT).and_then(|number| number.parse::<i32>().ok());
    let newest = status.attempts.last();
    let made = jobs.iter().filter_map(|job| number_of(job)).max().filter(|made| *made > status.attempt.unwrap_or_default());
    let number = made.or_else(|| newest.filter(|newest| newest.end_time.is_none()).map(|newest| newest.number))?;
    let name = job_name(update, number);
    Some(Observation {
        number,
        job: jobs.iter().find(|job| job.name_any() == name).cloned(),
        known: newest.filter(|newest| newest.number == number).cloned(),
        name,
        pods: Vec::new(),
        report: None,
        refusal: None,
    })
}

async fn look_closer(ctx: &Context, key: &Key, update: &PipelineUpdate, attempt: &mut Observation) -> Result<(), Error> {
    if attempt.job.is_none() {
        // That it is gone is believed only to the API server itself.
        let fresh: Option<batch::Job> = ctx.fetch(&Key::new(&key.namespace, &attempt.name)).await?;
        attempt.job = fresh.filter(|job| owner::is_owned_by(job, update)).map(Arc::new);
    }
    attempt.complete(update, ctx.caches.pods.by(key), ctx.caches.reports.get(&Key::new(&key.namespace, &attempt.name)));
    if let Some(job) = attempt.job.as_ref().filter(|job| attempt.pods.is_empty() && is_late(job)) {
        attempt.refusal = refusal(ctx, job).await;
    }
    Ok(())
}

fn belongs(pod: &Pod, attempt: &Observation) -> bool {
    pod.owner_references().iter().any(|owner| {
        owner.kind == "Job" && owner.name == attempt.name && attempt.job.as_ref().is_none_or(|job| job.uid().as_ref() == Some(&owner.uid))
    })
}

/// True for a batch/v1 Job that should have its pod by now.
fn is_late(job: &batch::Job) -> bool {
    let started = job.status.as_ref().and_then(|status| status.start_time.clone()).or_else(|| job.creation_timestamp());
    let age = started.and_then(|at| std::time::Duration::try_from(clock::now().duration_since(at.0)).ok());
    let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
    !suspended && job_end(job).is_none() && age.is_some_and(|age| age >= waiting::PATIENCE)
}

/// Why the API server refuses the pod: the Job controller tells it in Events only. Without the right to read them the message is poorer, and
/// nothing else changes.
async fn refusal(ctx: &Context, job: &batch::Job) -> Option<String> {
    let events: Api<Event> = Api::namespaced(ctx.client.clone(), &job.namespace().unwrap_or_default());
    let about = format!("involvedObject.uid={},reason=FailedCreate", job.uid().unwrap_or_default());
    let found = events.list(&ListParams::default().fields(&about)).await;
    let found = found.inspect_err(|error| tracing::debug!(%error, "events of a batch/v1 Job cannot be read")).ok()?;
    let at = |event: &Event| event.last_timestamp.as_ref().map(|at| at.0).max(event.event_time.as_ref().map(|at| at.0));
    found.items.into_iter().max_by_key(at)?.message
}

fn leftovers(
    ctx: &Context,
    key: &Key,
    update: &PipelineUpdate,
    status: &PipelineUpdateStatus,
    jobs: Vec<Arc<batch::Job>>,
    updates: &[Arc<PipelineUpdate>],
) -> Leftovers {
    let reports: Vec<_> = ctx.caches.reports.by(key).into_iter().filter(|report| owner::is_owned_by(report.as_ref(), update)).collect();
    let names = jobs.iter().map(|job| job.name_any()).chain(status.attempts.iter().filter_map(|attempt| attempt.job.clone()));
    let mut requests: Vec<_> = names
        .filter_map(|job| ctx.caches.config_maps.get(&Key::new(&key.namespace, request_name(&job))))
        .filter(|request| owner::is_owned_by(request.as_ref(), update))
        .collect();
    requests.sort_by_key(|request| request.name_any());
    requests.dedup_by_key(|request| request.name_any());
    let kept_report = reports::newest_graph(reports::of_updates(&ctx.caches, updates)).map(|told| told.report.name_any());
    Leftovers { jobs, pods: ctx.caches.pods.by(key), reports, requests, kept_report }
}
