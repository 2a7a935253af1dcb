//! The start of an attempt: its pod, its update, or its run. IO.

use std::{sync::Arc, time::Duration};

use floe_crds::{
    job::{Job, SqlTask, TaskKind},
    job_run::{Child, JobRun, JobRunSpec, RunTrigger, TriggerType},
    pipeline::{Mode, NameRef, Pipeline},
    pipeline_update::{PipelineUpdate, PipelineUpdateSpec},
    request::RequestError,
    run::{parameters::child_parameters, scene::Attempt, step::detail},
    state::{Cause, TerminationCode},
};
use k8s_openapi::{
    api::{
        batch::v1 as batch,
        core::v1::{ConfigMap, PodTemplateSpec, VolumeProjection},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{Resource, ResourceExt};

use super::{
    attempts::child_of,
    observe::Observed,
    pods::{self, Sql, TaskParts},
};
use crate::{
    attempt::{ConfigMapKeys, Refused, project_files, waiting},
    clock,
    context::Context,
    error::{Error, ErrorClass},
    key::Key,
    labels, owner,
};

/// What became of the start of an attempt.
#[derive(Debug)]
pub enum Start {
    /// It was made, or found as it was made before.
    Made(Child),
    /// The rate of starts holds it back.
    Held(Duration),
    /// It cannot be made.
    Failed(TerminationCode, String),
}

/// Makes the attempt.
pub async fn start(ctx: &Context, seen: &Observed, attempt: &Attempt) -> Result<Start, Error> {
    match attempt.effective.kind {
        TaskKind::Pipeline => start_update(ctx, seen, attempt).await,
        TaskKind::RunJob => start_run(ctx, seen, attempt).await,
        TaskKind::Sql | TaskKind::Container => start_pod(ctx, seen, attempt).await,
        TaskKind::Condition | TaskKind::ForEach => Ok(Start::Failed(TerminationCode::InternalError, "a task without attempts".to_string())),
    }
}

fn namespace(seen: &Observed) -> String {
    seen.run.namespace().unwrap_or_default()
}

/// An update of the task's Pipeline. What the Pipeline does not declare is not handed over.
async fn start_update(ctx: &Context, seen: &Observed, attempt: &Attempt) -> Result<Start, Error> {
    let Some(task) = &attempt.effective.work.pipeline else { return Ok(nothing()) };
    let Some(pipeline) = pipeline(ctx, seen, &task.name).await? else { return Ok(no_pipeline(&task.name)) };
    if pipeline.spec.mode == Mode::Continuous {
        let message = format!("pipeline {} is continuous: it has no updates that end", task.name);
        return Ok(Start::Failed(TerminationCode::InvalidRunConfiguration, message));
    }
    let mut selection = task.selection.clone();
    selection.parameters.retain(|name, _| pipeline.spec.parameters.iter().any(|declared| declared.name == *name));
    let spec = PipelineUpdateSpec { pipeline: task.name.clone(), cause: Cause::JobTask, selection, ..PipelineUpdateSpec::default() };
    let mut update = PipelineUpdate::new(&attempt.name, spec);
    update.metadata = pods::metadata(&seen.run, attempt);
    // Its controller is the Pipeline, which takes it over; the run owns it beside.
    update.metadata.owner_references = Some(vec![owner::of_many(seen.run.as_ref())]);
    create(ctx, &update).await
}

/// A run of the task's Job, or of a slice of time.
async fn start_run(ctx: &Context, seen: &Observed, attempt: &Attempt) -> Result<Start, Error> {
    let Some(task) = &attempt.effective.work.run_job else { return Ok(nothing()) };
    let key = Key::new(namespace(seen), &task.name);
    let job = match ctx.caches.floe_jobs.get(&key) {
        Some(job) => Some(job),
        None => ctx.fetch::<Job>(&key).await?.map(Arc::new),
    };
    let Some(job) = job else {
        let message = format!("there is no job {} in this namespace", task.name);
        return Ok(Start::Failed(TerminationCode::ResourceNotFound, message));
    };
    let declared = job.spec.parameters.iter().map(|parameter| parameter.name.clone()).collect();
    let mut run = JobRun::new(&attempt.name, JobRunSpec::default());
    run.metadata = pods::metadata(&seen.run, attempt);
    let parents = parents(seen);
    let mut trigger = RunTrigger { trigger_type: TriggerType::RunJobTask, ..RunTrigger::default() };
    trigger.detail.insert(detail::PARENTS.to_string(), parents);
    if let Some(slice) = &attempt.slice {
        trigger = RunTrigger { trigger_type: TriggerType::Backfill, time: Some(Time(slice.start)), ..RunTrigger::default() };
        trigger.detail.insert(detail::SLICE_END.to_string(), slice.end.to_string());
        run.metadata.labels.get_or_insert_default().insert(labels::SLICE.to_string(), slice.label());
    }
    run.spec = JobRunSpec {
        job_ref: NameRef { name: task.name.clone() },
        parameters: child_parameters(&attempt.parameters, &task.parameters, &declared),
        only: if attempt.slice.is_some() { seen.run.spec.only.clone() } else { Vec::new() },
        trigger,
        ..JobRunSpec::default()
    };
    create(ctx, &run).await
}

/// Jobs whose tasks led here, this one last.
fn parents(seen: &Observed) -> String {
    let trigger = &seen.run.spec.trigger;
    let before = trigger.detail.get(detail::PARENTS).filter(|_| trigger.trigger_type == TriggerType::RunJobTask);
    let own = seen.run.spec.job_ref.name.as_str();
    before.map_or_else(|| own.to_string(), |before| format!("{before},{own}"))
}

async fn start_pod(ctx: &Context, seen: &Observed, attempt: &Attempt) -> Result<Start, Error> {
    let namespace = namespace(seen);
    let asked = clock::instant();
    let place = match ctx.starts.admit(&namespace, &attempt.name, asked, || crate::update::active_pods(ctx, &namespace)) {
        Ok(place) => place,
        Err(held) => return Ok(Start::Held(held.retry_after)),
    };
    let started = make_pod(ctx, seen, attempt).await;
    drop(place);
    if matches!(started, Ok(Start::Made(_))) {
        ctx.metrics.start_latency("task", asked.elapsed());
    }
    started
}

async fn make_pod(ctx: &Context, seen: &Observed, attempt: &Attempt) -> Result<Start, Error> {
    let made = match &attempt.effective.work {
        work if work.sql.is_some() => of_queries(ctx, seen, attempt, work.sql.as_ref()).await?,
        work => work.container.as_ref().map_or_else(
            || Err(nothing()),
            |task| {
                Ok((
                    pods::container_template(&ctx.settings, (&seen.run, &seen.job_uid), attempt, task)
                        .map_err(|refused| unfit(&refused))?,
                    None,
                    Vec::new(),
                ))
            },
        ),
    };
    let (template, sql, project) = match made {
        Ok(made) => made,
        Err(failed) => return Ok(failed),
    };
    let grace = template.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    let parts = TaskParts { run: &seen.run, job_uid: &seen.job_uid, attempt, sql: sql.as_ref(), grace_period_seconds: grace };
    let text = match pods::request(&parts).to_text() {
        Ok(text) => text,
        Err(error @ RequestError::TooLarge(_)) => return Ok(Start::Failed(TerminationCode::InvalidRunConfiguration, error.to_string())),
        Err(error) => return Ok(Start::Failed(TerminationCode::InternalError, error.to_string())),
    };
    if let Start::Failed(code, message) = create(ctx, &pods::request_config_map(&seen.run, attempt, text)).await? {
        return Ok(Start::Failed(code, message));
    }
    create::<batch::Job>(ctx, &pods::batch_job(&seen.run, attempt, &template, &project)).await
}

type Made = Result<(PodTemplateSpec, Option<Sql>, Vec<VolumeProjection>), Start>;

/// The pod of queries, with what their names mean.
async fn of_queries(ctx: &Context, seen: &Observed, attempt: &Attempt, task: Option<&SqlTask>) -> Result<Made, Error> {
    let Some(task) = task else { return Ok(Err(nothing())) };
    let found = match &task.pipeline {
        None => None,
        Some(name) => match pipeline(ctx, seen, name).await? {
            Some(found) => Some(found),
            None => return Ok(Err(no_pipeline(name))),
        },
    };
    let template = match pods::sql_template(&ctx.settings, &seen.run, attempt, found.as_deref()) {
        Ok(template) => template,
        Err(refused) => return Ok(Err(unfit(&refused))),
    };
    let (name, text) = match text_of(ctx, seen, attempt, task).await? {
        Ok(text) => text,
        Err(failed) => return Ok(Err(failed)),
    };
    let namespace = namespace(seen);
    let tables = found.as_ref().map(|pipeline| ctx.caches.tables.by(&Key::of(pipeline.as_ref()))).unwrap_or_default();
    let project = match &found {
        Some(pipeline) => match project(ctx, pipeline).await? {
            Ok(project) => project,
            Err(failed) => return Ok(Err(failed)),
        },
        None => Vec::new(),
    };
    let of_others = |table: &Arc<floe_crds::table::Table>| found.as_ref().is_none_or(|pipeline| table.spec.pipeline != pipeline.name_any());
    let visible = ctx.caches.tables.named(&namespace, "").into_iter().filter(of_others).collect();
    let sql = Sql { name, text, pipeline: found.map(|pipeline| (pipeline, tables)), visible };
    Ok(Ok((template, Some(sql), project)))
}

/// Name and text of the statements; a file of the project is read by the pod.
async fn text_of(
    ctx: &Context,
    seen: &Observed,
    attempt: &Attempt,
    task: &SqlTask,
) -> Result<Result<(String, Option<String>), Start>, Error> {
    if let Some(text) = &task.statements {
        return Ok(Ok((format!("task {}", attempt.task), Some(text.clone()))));
    }
    if let Some(file) = &task.file {
        return Ok(Ok((file.clone(), None)));
    }
    let Some(wanted) = &task.config_map_ref else { return Ok(Err(nothing())) };
    let found: Option<ConfigMap> = ctx.fetch(&Key::new(namespace(seen), &wanted.name)).await?;
    let text = found.as_ref().and_then(|found| found.data.as_ref()?.get(&wanted.key));
    Ok(text.map(|text| (format!("configmaps/{}/{}", wanted.name, wanted.key), Some(text.clone()))).ok_or_else(|| {
        let what = if found.is_some() {
            format!("the ConfigMap {} has no key {}", wanted.name, wanted.key)
        } else {
            format!("there is no ConfigMap {}", wanted.name)
        };
        Start::Failed(TerminationCode::ResourceNotFound, format!("field sql.configMapRef: {what}"))
    }))
}

/// The files of the pipeline's project that stand in ConfigMaps.
async fn project(ctx: &Context, pipeline: &Pipeline) -> Result<Result<Vec<VolumeProjection>, Start>, Error> {
    let Some(source) = &pipeline.spec.source else { return Ok(Ok(Vec::new())) };
    let mut keys = ConfigMapKeys::new();
    for named in &source.config_maps {
        let key = Key::new(pipeline.namespace().unwrap_or_default(), &named.name);
        if let Some(found) = ctx.fetch::<ConfigMap>(&key).await? {
            let texts = found.data.into_iter().flatten().map(|(key, _)| key);
            keys.insert(named.name.clone(), texts.chain(found.binary_data.into_iter().flatten().map(|(key, _)| key)).collect());
        }
    }
    Ok(project_files(source, &keys).map_err(|refused| unfit(&refused)))
}

async fn pipeline(ctx: &Context, seen: &Observed, name: &str) -> Result<Option<Arc<Pipeline>>, Error> {
    let key = Key::new(namespace(seen), name);
    match ctx.caches.pipelines.get(&key) {
        Some(pipeline) => Ok(Some(pipeline)),
        None => Ok(ctx.fetch::<Pipeline>(&key).await?.map(Arc::new)),
    }
}

fn no_pipeline(name: &str) -> Start {
    Start::Failed(TerminationCode::ResourceNotFound, format!("there is no pipeline {name} in this namespace"))
}

fn nothing() -> Start {
    Start::Failed(TerminationCode::InternalError, "a task that does nothing".to_string())
}

fn unfit(refused: &Refused) -> Start {
    Start::Failed(TerminationCode::InvalidRunConfiguration, refused.to_string())
}

/// Makes `object`. What the API server will not take whatever is tried fails the attempt; what may pass is an error.
async fn create<K>(ctx: &Context, object: &K) -> Result<Start, Error>
where
    K: crate::writes::Writable + Resource<DynamicType = ()>,
{
    let error = match ctx.create(object).await {
        Ok(made) => return Ok(Start::Made(child_of(&made.into_inner()))),
        Err(error) => error,
    };
    let Some(status) = error.status() else {
        return if error.class() == ErrorClass::User {
            Ok(Start::Failed(TerminationCode::ClusterError, error.to_string()))
        } else {
            Err(error)
        };
    };
    match status.code {
        400 | 422 => Ok(Start::Failed(TerminationCode::InvalidRunConfiguration, format!("the API server refuses it: {}", status.message))),
        // A quota may have room again; whoever lacks a right must be told.
        403 if waiting::refusal_reason(&status.message) == floe_crds::condition::Reason::QuotaExceeded => Err(error),
        403 if !error.is_terminating() => Ok(Start::Failed(TerminationCode::UnauthorizedError, error.to_string())),
        _ => Err(error),
    }
}
