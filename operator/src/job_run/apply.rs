//! Carries out what steps say, until nothing more is to be done now. IO.

use std::time::Duration;

use floe_crds::{
    job_run::{Child, JobRun, JobRunStatus},
    pipeline_update::{Cancel, PipelineUpdate},
    run::{
        attempt::{AttemptEnd, EndClass},
        scene::{Action, Attempt, Progress, Seen},
        step::step,
    },
};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1 as batch, core::v1::ConfigMap};
use kube::ResourceExt;
use serde_json::json;

use super::{
    attempts::has_pod,
    observe::{Observed, SNAPSHOT_KEY, snapshot_name},
    start::{Start, start},
};
use crate::{context::Context, error::Error, key::Key, labels, owner};

/// Time that pods get to end when nothing shall wait for them.
const IMMEDIATE_SECONDS: u32 = 5;
/// Steps of one reconcile: attempts that cannot be made end their tasks, and others begin.
const MAX_STEPS: usize = 250;

/// What came of it.
#[derive(Debug)]
pub struct Applied {
    /// The status as the steps say it.
    pub status: JobRunStatus,
    /// When to look again.
    pub wake: Option<Timestamp>,
}

/// Takes steps and carries them out.
pub async fn apply(ctx: &Context, seen: &mut Observed) -> Result<Applied, Error> {
    let (name, uid) = (seen.run.name_any(), seen.run.uid().unwrap_or_default());
    let mut base = seen.base.clone();
    let mut wake = seen.wake;
    let mut again: Option<Duration> = None;
    for _ in 0..MAX_STEPS {
        let mut next = step(&seen.scene(&name, &uid, &base));
        let mut held = false;
        let mut failed = false;
        for action in std::mem::take(&mut next.actions) {
            match action {
                Action::Keep(repair) => keep(ctx, seen, repair).await?,
                Action::Stop { child, how, .. } => stop(ctx, seen, &child, how).await?,
                Action::Start(attempt) => match start(ctx, seen, &attempt).await? {
                    Start::Made(child) => made(seen, &attempt, child, Progress::Pending(String::new())),
                    Start::Held(retry_after) => {
                        again = Some(again.map_or(retry_after, |other| other.min(retry_after)));
                        held = true;
                        break;
                    }
                    Start::Failed(code, message) => {
                        failed = true;
                        let end = AttemptEnd { class: EndClass::Lasting, code, message, at: seen.now, values: Vec::new() };
                        made(seen, &attempt, Child { name: attempt.name.clone(), ..Child::default() }, Progress::Ended(end));
                    }
                },
            }
        }
        if held {
            // What was made is found again; for the rest there is no place now.
            seen.places = 0;
            continue;
        }
        wake = [wake, next.wake].into_iter().flatten().min();
        for task in &mut next.status.tasks {
            if let Some(child) = &mut task.child
                && let Some(found) = seen.attempts.find(&task.name, None, task.execution_count)
            {
                child.clone_from(&found.child);
            }
        }
        base = next.status;
        if !failed {
            break;
        }
    }
    let wake = again.and_then(|again| seen.now.checked_add(again).ok()).into_iter().chain(wake).min();
    Ok(Applied { status: base, wake })
}

fn made(seen: &mut Observed, attempt: &Attempt, child: Child, progress: Progress) {
    let started = seen.now;
    if has_pod(attempt.effective.kind) {
        seen.places = seen.places.saturating_sub(1);
    }
    seen.attempts.add(&attempt.task, attempt.iteration, Seen { execution: attempt.execution, child, started, progress });
}

/// Stores what the run takes of its Job: whatever becomes of the Job, the run goes on as it began.
async fn keep(ctx: &Context, seen: &Observed, repair: i32) -> Result<(), Error> {
    let snapshot = if repair == 0 { &seen.snapshot } else { &seen.next };
    let Some(snapshot) = snapshot else { return Ok(()) };
    let text = serde_json::to_string(snapshot.as_ref()).map_err(|source| Error::Unwritable { what: "a snapshot of a Job", source })?;
    let run = seen.run.as_ref();
    let mut config_map = ConfigMap { immutable: Some(true), ..ConfigMap::default() };
    config_map.data = Some([(SNAPSHOT_KEY.to_string(), text)].into());
    config_map.metadata.name = Some(snapshot_name(run, repair));
    config_map.metadata.namespace = run.namespace();
    config_map.metadata.labels = Some(labels::of_run(&run.spec.job_ref.name, &run.name_any()));
    config_map.metadata.owner_references = Some(vec![owner::reference(run)]);
    ctx.create(&config_map).await.map(drop)
}

/// Tells an attempt to end. One that was told already, or is gone, is left alone.
async fn stop(ctx: &Context, seen: &Observed, child: &Child, how: Cancel) -> Result<(), Error> {
    let key = Key::new(seen.run.namespace().unwrap_or_default(), &child.name);
    match child.kind.as_str() {
        "PipelineUpdate" => match ctx.caches.updates.get(&key) {
            Some(update) if update.spec.cancel < how => {
                ctx.merge::<PipelineUpdate>(&update, json!({"spec": {"cancel": how}})).await.map(drop)
            }
            _ => Ok(()),
        },
        "JobRun" => match ctx.caches.job_runs.get(&key) {
            Some(run) if run.spec.cancel < how => ctx.merge::<JobRun>(&run, json!({"spec": {"cancel": how}})).await.map(drop),
            _ => Ok(()),
        },
        _ => stop_pod(ctx, seen, &key, how).await,
    }
}

async fn stop_pod(ctx: &Context, seen: &Observed, key: &Key, how: Cancel) -> Result<(), Error> {
    let Some(job) = ctx.caches.jobs.get(key) else { return Ok(()) };
    if job.metadata.deletion_timestamp.is_none() {
        ctx.delete_in_foreground::<batch::Job>(&job).await?;
    }
    if how != Cancel::Immediate {
        return Ok(());
    }
    let mine = seen.children.pods.iter().filter(|pod| owner::is_owned_by(pod.as_ref(), job.as_ref()));
    for pod in mine.filter(|pod| pod.metadata.deletion_grace_period_seconds.is_none_or(|left| left > i64::from(IMMEDIATE_SECONDS))) {
        ctx.delete_within(pod.as_ref(), Some(IMMEDIATE_SECONDS)).await?;
    }
    Ok(())
}
