//! Carries out a plan. Each step may be the last one before a crash; the next look goes on from what is there.

use std::collections::BTreeMap;

use floe_crds::{
    job::{Job, JobStatus},
    job_run::JobRun,
    pipeline_update::Cancel,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::json;

use super::{
    observe::{self, Access, Observed},
    plan::Plan,
    resources,
};
use crate::{context::Context, error::Error, labels, writes::Created};

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Names of runs that were made now; others were there from an earlier life.
    pub made: Vec<String>,
    /// Runs that cannot be made because something else has their name, and why.
    pub refused: BTreeMap<String, String>,
}

/// Makes the plan true.
pub async fn apply(ctx: &Context, observed: &Observed, plan: Plan) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    if let Some(beside) = &plan.beside {
        if let Some(account) = &beside.account {
            ctx.apply(account).await?;
        }
        if let Some(binding) = &beside.binding {
            ctx.apply(binding).await?;
        }
    }
    if plan.beside.is_some() || matches!(observed.access, Access::Read(_)) {
        ctx.memory.saw_access(&observe::beside(&observed.key), resources::beside(&observed.job).hash());
    }
    for run in &plan.runs {
        match ctx.create(run).await {
            Ok(Created::New(made)) => applied.made.push(made.name_any()),
            // The run of an earlier life, or of another trigger for the same instant.
            Ok(Created::Found(_)) => {}
            // Waiting would stop the trigger for ever.
            Err(error @ Error::NameTaken { .. }) => {
                applied.refused.insert(run.name_any(), error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    for run in &plan.stops {
        let patch = json!({"metadata": {"annotations": {labels::SUPERSEDED: "true"}}, "spec": {"cancel": Cancel::Graceful}});
        ctx.merge::<JobRun>(run, patch).await?;
    }
    if let Some(watcher) = &plan.watcher {
        ctx.create(&watcher.request).await?;
        ctx.apply(&watcher.deployment).await?;
    }
    if let Some(watcher) = &plan.unwanted_watcher {
        ctx.delete(watcher.as_ref()).await?;
    }
    for request in &plan.unwanted_requests {
        let request = ConfigMap { metadata: request.metadata.clone(), ..ConfigMap::default() };
        ctx.delete(&request).await?;
    }
    for run in &plan.removes {
        ctx.delete::<JobRun>(run).await?;
    }
    Ok(applied)
}

/// Writes the status if it differs from what the Job shows. True if it was written.
pub async fn write_status(ctx: &Context, observed: &Observed, status: &JobStatus) -> Result<bool, Error> {
    if observed.job.status.as_ref() == Some(status) {
        return Ok(false);
    }
    ctx.write_status::<Job>(&observed.job, status).await?;
    Ok(true)
}
