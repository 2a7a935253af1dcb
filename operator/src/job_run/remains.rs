//! What stays of a run and what goes: its owner, its finalizer, and reports of iterations that have been counted. IO.

use floe_crds::{
    job_run::{JobRun, JobRunStatus},
    run::bitmap::Bitmap,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde_json::json;

use super::{attempts::attempt_of, observe::Observed, status::may_go};
use crate::{context::Context, error::Error, owner};

/// Keeps a run until what it has made of its own kind has been told to stop.
const FINALIZER: &str = "floe.dev/run-cleanup";
/// Reports of failed iterations that stay.
const FAILED_REPORTS: usize = 20;

/// A run made by hand goes with its Job, and one that makes updates or runs stays until these know of its end. True if that was written now: the run
/// has another version then than the one that was seen.
pub async fn hold(ctx: &Context, seen: &Observed) -> Result<bool, Error> {
    let mut metadata = json!({});
    if let Some(owner) = adopter(seen) {
        metadata["ownerReferences"] = json!(owner::with(seen.run.as_ref(), owner));
    }
    if is_to_be_held(seen) {
        metadata["finalizers"] = json!(seen.run.finalizers().iter().map(String::as_str).chain([FINALIZER]).collect::<Vec<_>>());
    }
    if metadata == json!({}) {
        return Ok(false);
    }
    ctx.merge::<JobRun>(&seen.run, json!({"metadata": metadata})).await?;
    Ok(true)
}

/// The owner of a run that has none.
fn adopter(seen: &Observed) -> Option<OwnerReference> {
    let job = seen.job.as_ref().filter(|job| job.metadata.deletion_timestamp.is_none() && !seen.is_deleted())?;
    owner::controller(seen.run.as_ref()).is_none().then(|| owner::reference(job.as_ref()))
}

fn is_to_be_held(seen: &Observed) -> bool {
    let has = seen.run.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    let makes = seen.snapshot.as_ref().is_some_and(|snapshot| {
        let makes = |work: &floe_crds::job::Work| work.pipeline.is_some() || work.run_job.is_some();
        let nested = |task: &floe_crds::job::Task| task.for_each.as_ref().is_some_and(|all| makes(&all.task.work));
        seen.run.spec.backfill.is_some() || snapshot.spec.tasks.iter().any(|task| makes(&task.work) || nested(task))
    });
    makes && !has && !seen.is_deleted() && !seen.is_over()
}

/// Lets a deleted run go, and takes away the reports of iterations that have been counted.
pub async fn clear(ctx: &Context, seen: &Observed, status: &JobRunStatus) -> Result<(), Error> {
    if seen.is_deleted() {
        return let_go(ctx, seen, status).await;
    }
    for task in &status.tasks {
        let Some(all) = &task.for_each else { continue };
        let total = usize::try_from(all.total).unwrap_or_default();
        let succeeded = Bitmap::parse(&all.succeeded_bitmap, total).unwrap_or_else(|_| Bitmap::new(total));
        let failed = Bitmap::parse(&all.failed_bitmap, total).unwrap_or_else(|_| Bitmap::new(total));
        let mut kept = 0;
        let mine = seen.children.jobs.iter().rev().filter_map(|job| Some((attempt_of(job.as_ref())?, job.name_any())));
        for ((_, iteration, _), name) in mine.filter(|((of, ..), _)| *of == task.name) {
            let (Some(number), Some(report)) = (iteration, seen.children.reports.get(&name)) else { continue };
            let counted = succeeded.get(number) || failed.get(number);
            kept += usize::from(failed.get(number));
            if counted && (succeeded.get(number) || kept > FAILED_REPORTS) {
                ctx.delete(report.as_ref()).await?;
            }
        }
    }
    Ok(())
}

async fn let_go(ctx: &Context, seen: &Observed, status: &JobRunStatus) -> Result<(), Error> {
    if !seen.run.finalizers().iter().any(|finalizer| finalizer == FINALIZER) || !may_go(seen, status) {
        return Ok(());
    }
    let left: Vec<&String> = seen.run.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).collect();
    let fresh = ctx.caches.job_runs.get(&crate::key::Key::of(seen.run.as_ref())).unwrap_or_else(|| seen.run.clone());
    ctx.merge::<JobRun>(&fresh, json!({"metadata": {"finalizers": left}})).await.map(drop)
}
