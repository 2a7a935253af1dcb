//! The start of an attempt: the last look at what else writes the storage root, then its request and its batch/v1 Job. IO.

use std::{sync::Arc, time::Duration};

use floe_crds::{
    condition::Reason,
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    request::RequestError,
    state::{FlowState, UpdateState},
};
use k8s_openapi::{
    api::{
        batch::v1 as batch,
        core::v1::{ConfigMap, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;

use super::{
    decide::{Waiting, missing},
    observe::Observed,
    status::with_phase,
};
use crate::{
    attempt::{
        ConfigMapKeys, JobParts, Refused, RequestParts, end::job_end, job, job_name, project_files, request, request_config_map,
        request_name, requested, storage_label, waiting,
    },
    clock,
    context::Context,
    error::{Error, ErrorClass},
    key::Key,
    limits::ActivePods,
    updates, writers,
};

/// So often a start is tried again that something holds back.
const AGAIN: Duration = Duration::from_secs(10);

/// The same, if it is over soon.
const SOON: Duration = Duration::from_secs(1);

/// What became of the start of an attempt.
#[derive(Debug)]
pub enum Start {
    /// Its batch/v1 Job is there.
    Made(Box<batch::Job>),
    /// Something holds it back.
    Held(Waiting),
    /// It cannot be, and will not: why.
    Impossible(String, Reason),
    /// A right is missing, or a name belongs to someone else.
    Denied(Error),
}

impl From<Waiting> for Start {
    fn from(waiting: Waiting) -> Self {
        Self::Held(waiting)
    }
}

/// Starts attempt `number`, unless something holds it back.
pub async fn start(
    ctx: &Context,
    seen: &Observed,
    pipeline: &Arc<Pipeline>,
    number: i32,
    template: &PodTemplateSpec,
) -> Result<Start, Error> {
    let Some(_turn) = ctx.starts.begin() else {
        return Ok(Waiting::new(Reason::Queued, "other updates are being started").again(SOON).into());
    };
    let (namespace, name) = (seen.update.namespace().unwrap_or_default(), seen.update.name_any());
    let place = match ctx.starts.admit(&namespace, &name, clock::instant(), || active_pods(ctx, &namespace)) {
        Ok(place) => place,
        Err(held) => {
            let message = format!("the operator's limit on {} holds it back", held.limit.as_str());
            return Ok(Waiting::new(Reason::Queued, message).again(held.retry_after).into());
        }
    };
    let started = prepare(ctx, seen, pipeline, number, template).await;
    if matches!(started, Ok(Start::Held(_))) {
        place.give_back(clock::instant());
    }
    started
}

/// Starts the attempt in its place.
async fn prepare(
    ctx: &Context,
    seen: &Observed,
    pipeline: &Arc<Pipeline>,
    number: i32,
    template: &PodTemplateSpec,
) -> Result<Start, Error> {
    // Two updates of one storage root never look at the same time.
    let root = ctx.starts.root(&storage_label(pipeline));
    let _alone = root.lock().await;
    if is_outdated(ctx, seen).await? {
        return Ok(Waiting::new(Reason::Pending, "its turn has come").again(SOON).into());
    }
    if updates::writes(&seen.update)
        && let Some(writer) = writers::other(ctx, pipeline, &job_name(&seen.update, number)).await?
    {
        let message = format!("previous runner is stopping: {writer}");
        return Ok(Waiting::new(Reason::Pending, message).in_turn().again(AGAIN).into());
    }
    let files = match project(ctx, seen, pipeline).await? {
        Ok(files) => files,
        Err(held) => return Ok(held.into()),
    };
    make(ctx, seen, pipeline, number, template, &files).await
}

/// Batch/v1 Jobs of the operator that have not ended.
pub fn active_pods(ctx: &Context, namespace: &str) -> ActivePods {
    let jobs = ctx.caches.jobs.all();
    let active = jobs.iter().filter(|job| job_end(job).is_none());
    let (mut total, mut in_namespace) = (0, 0);
    for job in active {
        total += 1;
        in_namespace += usize::from(job.namespace().as_deref() == Some(namespace));
    }
    ActivePods { total, in_namespace }
}

/// True if the update is not any more what was decided about.
async fn is_outdated(ctx: &Context, seen: &Observed) -> Result<bool, Error> {
    let fresh: Option<PipelineUpdate> = ctx.fetch(&Key::of(seen.update.as_ref())).await?;
    let same = fresh.as_ref().is_some_and(|fresh| fresh.resource_version() == seen.update.resource_version());
    if let Some(fresh) = fresh.filter(|_| !same) {
        ctx.note(fresh);
    }
    Ok(!same)
}

type Files = Vec<k8s_openapi::api::core::v1::VolumeProjection>;

/// The project's files that stand in ConfigMaps, or what is missing.
async fn project(ctx: &Context, seen: &Observed, pipeline: &Pipeline) -> Result<Result<Files, Waiting>, Error> {
    let Some(source) = &pipeline.spec.source else { return Ok(Ok(Vec::new())) };
    let mut keys = ConfigMapKeys::new();
    for named in &source.config_maps {
        let key = Key::new(pipeline.namespace().unwrap_or_default(), &named.name);
        match ctx.fetch::<ConfigMap>(&key).await? {
            Some(found) => {
                let all =
                    found.data.into_iter().flatten().map(|(key, _)| key).chain(found.binary_data.into_iter().flatten().map(|(key, _)| key));
                keys.insert(named.name.clone(), all.collect());
            }
            None if named.optional => {}
            None => {
                let message = format!("there is no ConfigMap {} in this namespace; create it, or set optional", named.name);
                return Ok(Err(missing(seen, Waiting::new(Reason::ConfigMapNotFound, message).again(AGAIN))));
            }
        }
    }
    Ok(project_files(source, &keys).map_err(|refused| unfit(&refused)))
}

fn unfit(refused: &Refused) -> Waiting {
    Waiting { is_stuck: true, is_refused: true, ..Waiting::new(refused.reason, refused.to_string()) }
}

/// Flows that earlier attempts have completed: what the last one reported, and what it had been told itself.
async fn completed_flows(ctx: &Context, seen: &Observed, number: i32) -> Result<Vec<String>, Error> {
    if number <= 1 {
        return Ok(Vec::new());
    }
    let namespace = seen.update.namespace().unwrap_or_default();
    let last = job_name(&seen.update, number - 1);
    let told: Option<ConfigMap> = ctx.fetch(&Key::new(&namespace, request_name(&last))).await?;
    let mut flows = told.and_then(|told| requested(&told)).map(|request| request.completed_flows).unwrap_or_default();
    if let Some(report) = ctx.caches.reports.get(&Key::new(&namespace, &last)) {
        flows.extend(report.spec.flows.iter().filter(|flow| flow.state == FlowState::Completed).map(|flow| flow.name.clone()));
    }
    flows.sort();
    flows.dedup();
    Ok(flows)
}

async fn make(
    ctx: &Context,
    seen: &Observed,
    pipeline: &Arc<Pipeline>,
    number: i32,
    template: &PodTemplateSpec,
    files: &Files,
) -> Result<Start, Error> {
    let tables = ctx.caches.tables.by(&Key::of(pipeline.as_ref()));
    let completed = completed_flows(ctx, seen, number).await?;
    let mut times = seen.status.phase_times.clone();
    for state in [UpdateState::Created, UpdateState::WaitingForResources] {
        with_phase(&mut times, state, &Time(seen.now));
    }
    let parts = RequestParts {
        pipeline,
        update: &seen.update,
        number,
        template,
        tables: &tables,
        completed_flows: &completed,
        phase_times: &times,
        cluster_id: &ctx.cluster_id,
    };
    let config_map = match request_config_map(&ctx.settings, &parts, &request(&parts)) {
        Ok(config_map) => config_map,
        Err(error @ RequestError::TooLarge(_)) => return Ok(Start::Impossible(error.to_string(), Reason::UpdateFailed)),
        Err(error) => return Ok(Start::Impossible(format!("[INTERNAL_ERROR] {error}"), Reason::InternalError)),
    };
    let parts = JobParts { settings: &ctx.settings, pipeline, update: &seen.update, number, template, project: files };
    let batch_job = job(&parts);
    if let Err(error) = ctx.create(&config_map).await {
        return refused(seen, error);
    }
    match ctx.create(&batch_job).await {
        Ok(made) => Ok(Start::Made(Box::new(made.into_inner()))),
        Err(error) => refused(seen, error),
    }
}

/// What the API server refuses says either that someone must change the pods, or that a quota must be raised, or that a right is missing or a name
/// taken.
fn refused(seen: &Observed, error: Error) -> Result<Start, Error> {
    if error.class() == ErrorClass::User {
        return Ok(Start::Denied(error));
    }
    let Some(status) = error.status() else { return Err(error) };
    let said = status.message.clone();
    let is_quota = waiting::refusal_reason(&said) == Reason::QuotaExceeded;
    match status.code {
        422 | 400 => Ok(Start::Impossible(format!("[POD_START_FAILED] the API server refuses the pod: {said}"), Reason::PodStartFailed)),
        403 if is_quota => {
            let since = seen.status.phase_times.get(UpdateState::Created.as_str()).map_or(seen.now, |at| at.0);
            let last = seen.status.attempts.last().and_then(|last| last.end_time.as_ref()).map_or(since, |at| at.0.max(since));
            let age = Duration::try_from(seen.now.duration_since(last)).unwrap_or_default();
            let wait = waiting::refused_job(&said, age, seen.now);
            match wait.given_up {
                Some(end) => Ok(Start::Impossible(end.message(), Reason::QuotaExceeded)),
                None => Ok(Waiting::new(wait.reason, wait.message).in_turn().again(AGAIN).into()),
            }
        }
        _ if error.class() == ErrorClass::Forbidden => Ok(Start::Denied(error)),
        _ => Err(error),
    }
}
