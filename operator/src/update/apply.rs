//! Carries out what was planned. IO.

use floe_crds::{
    condition::Reason,
    pipeline_update::{PipelineUpdate, PipelineUpdateStatus},
};
use k8s_openapi::{api::batch::v1 as batch, apimachinery::pkg::apis::meta::v1::OwnerReference};
use serde_json::json;

use super::{
    decide::{Decision, Ending, Waiting},
    observe::Observed,
    plan::{Effect, IMMEDIATE_SECONDS},
    start::{Start, start},
};
use crate::{
    clock,
    context::Context,
    error::{Error, ErrorClass},
    key::Key,
    owner,
};

/// What came of it.
#[derive(Debug, Default)]
pub struct Applied {
    /// The batch/v1 Job that was made.
    pub started: Option<Box<batch::Job>>,
    /// What holds the start back.
    pub held: Option<Waiting>,
    /// The update cannot start and ends.
    pub ending: Option<Ending>,
    /// What is told once the status says it.
    pub error: Option<Error>,
}

/// Changes and deletes what the effects say, and starts what is to be started.
pub async fn apply(ctx: &Context, seen: &Observed, decision: &Decision, effects: Vec<Effect>) -> Result<Applied, Error> {
    for effect in effects {
        match effect {
            Effect::Adopt(owner) => adopt(ctx, &seen.update, *owner).await?,
            Effect::Job(job) => ctx.delete(job.as_ref()).await?,
            Effect::Pod(pod) => ctx.delete_within(pod.as_ref(), Some(IMMEDIATE_SECONDS)).await?,
            Effect::Request(request) => ctx.delete(request.as_ref()).await?,
            Effect::Report(report) => ctx.delete(report.as_ref()).await?,
        }
    }
    let (Decision::Start(number, template), Some(pipeline)) = (decision, &seen.pipeline) else { return Ok(Applied::default()) };
    let asked = clock::instant();
    Ok(match start(ctx, seen, pipeline, *number, template).await? {
        Start::Made(job) => {
            ctx.metrics.start_latency("update", asked.elapsed());
            Applied { started: Some(job), ..Applied::default() }
        }
        Start::Held(held) => Applied { held: Some(held), ..Applied::default() },
        Start::Impossible(message, reason) => {
            let ending = Ending { state: floe_crds::state::UpdateState::Failed, reason, message, at: None };
            Applied { ending: Some(ending), ..Applied::default() }
        }
        Start::Denied(error) => {
            let reason = if error.class() == ErrorClass::User { Reason::NameTaken } else { Reason::PermissionDenied };
            let held = Waiting { is_stuck: true, ..Waiting::new(reason, error.to_string()) };
            Applied { held: Some(held), error: Some(error), ..Applied::default() }
        }
    })
}

/// The update has another version now, and its change has woken us again.
async fn adopt(ctx: &Context, update: &PipelineUpdate, owner: OwnerReference) -> Result<(), Error> {
    ctx.merge(update, json!({"metadata": {"ownerReferences": owner::with(update, owner)}})).await.map(drop)
}

/// Writes the status if it differs from what is stored.
pub async fn write_status(ctx: &Context, seen: &Observed, status: &PipelineUpdateStatus) -> Result<(), Error> {
    // Later writes have other reasons: how old the heartbeat is by then says nothing.
    let report = seen.attempt.as_ref().and_then(|attempt| attempt.report.as_ref());
    let heard = report.filter(|report| ctx.memory.is_new_report(&Key::of(report.as_ref()), report.spec.sequence));
    if *status == seen.status {
        return Ok(());
    }
    let _: PipelineUpdate = ctx.write_status(seen.update.as_ref(), status).await?;
    let unsound = status.flows.as_ref().map_or(0, |flows| flows.failed + flows.skipped);
    if !status.failed_flows.is_empty() && usize::try_from(unsound).is_ok_and(|unsound| unsound > status.failed_flows.len()) {
        ctx.metrics.status_truncated("PipelineUpdate");
    }
    let heard = heard.and_then(|report| report.spec.heartbeat_time.as_ref());
    if let Some(lag) = heard.and_then(|heard| std::time::Duration::try_from(clock::now().duration_since(heard.0)).ok()) {
        ctx.metrics.report_lag(lag);
    }
    Ok(())
}
