//! Carries out a plan. Each step may be the last one before a crash; the next look goes on from what is there.

use floe_crds::{
    pipeline::{Pipeline, PipelineStatus},
    pipeline_update::{Cancel, PipelineUpdate},
    table::Table,
};
use k8s_openapi::api::batch::v1 as batch;
use kube::ResourceExt;
use serde_json::json;

use super::{
    cleanup::{FINALIZER, Leftover},
    decide::Decision,
    observe::Observed,
    plan::{NewUpdate, Plan, newest_number},
    resources::{self, cleanup::Cleanup, tables::TableChange},
};
use crate::{
    attempt,
    context::Context,
    error::Error,
    events::{EventReason, News, Severity},
    hub, labels, owner, updates, writers,
    writes::Created,
};

/// A name is looked for among so many numbers.
const MOST_NAMES: i64 = 20;

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The update that was made, or found as it should be made.
    pub started: Option<PipelineUpdate>,
    /// The object itself was changed: what was observed is outdated, and there is no status to write.
    pub changed: bool,
    /// The newest number in a name of an update.
    pub counter: Option<i64>,
    /// The next look goes on at once.
    pub has_more: bool,
    /// What still writes the storage root, so that the clean-up waits.
    pub writer: Option<String>,
}

/// Makes the plan true.
pub async fn apply(ctx: &Context, observed: &Observed, mut plan: Plan) -> Result<Applied, Error> {
    let mut applied = Applied { counter: Some(newest_number(observed)).filter(|number| *number > 0), ..Applied::default() };
    if let Some(finalizers) = plan.finalizers {
        ctx.merge::<Pipeline>(&observed.pipeline, json!({"metadata": {"finalizers": finalizers}})).await?;
        // The Pipeline has another version now, and its change has woken us again.
        applied.changed = true;
        return Ok(applied);
    }
    if let Some(beside) = &plan.beside {
        if let Some(account) = &beside.account {
            ctx.apply(account).await?;
        }
        ctx.apply(&beside.binding).await?;
        if let Some(budget) = &beside.budget {
            ctx.apply(budget).await?;
        }
    }
    if let Some(budget) = &plan.unwanted_budget {
        ctx.delete(budget).await?;
    }
    if plan.beside.is_some() || matches!(observed.access, super::observe::Access::Read(_)) {
        ctx.memory.saw_access(&observed.key, resources::beside(&observed.pipeline).hash());
    }
    for update in &plan.stops {
        let patch = json!({"metadata": {"annotations": {labels::SUPERSEDED: "true"}}, "spec": {"cancel": Cancel::Graceful}});
        ctx.merge::<PipelineUpdate>(update, patch).await?;
    }
    if let Some(start) = plan.start.take() {
        let (update, number) = create(ctx, start).await?;
        applied.counter = applied.counter.max(Some(number));
        applied.started = Some(update);
    }
    for change in &plan.tables {
        apply_table(ctx, change).await?;
    }
    applied.has_more = plan.has_more_tables;
    for update in &plan.removes {
        ctx.delete::<PipelineUpdate>(update).await?;
    }
    if let Some(outdated) = &plan.outdated_cleanup {
        ctx.delete::<batch::Job>(outdated).await?;
    }
    if let Some(cleanup) = &plan.cleanup {
        match clean_up(ctx, observed, cleanup).await {
            Ok(writer) => applied.writer = writer,
            Err(error) if error.is_terminating() => plan.release = Some(Leftover::Data("the namespace is being deleted".to_string())),
            Err(error) => return Err(error),
        }
    }
    if let Some(leftover) = &plan.release {
        release(ctx, observed, leftover).await?;
        applied.changed = true;
    }
    Ok(applied)
}

async fn apply_table(ctx: &Context, change: &TableChange) -> Result<(), Error> {
    match change {
        TableChange::Create(table) => ctx.create(table.as_ref()).await.map(drop),
        TableChange::Patch { table, patch } => ctx.merge::<Table>(table, patch.clone()).await.map(drop),
        TableChange::Delete(table) => ctx.delete::<Table>(table).await,
        TableChange::Refused { dataset, why } => {
            tracing::warn!(dataset, why, "no Table object can be made for a dataset");
            Ok(())
        }
    }
}

/// Makes the update under the first free number. One that an earlier life made for the same decision is the one that was wanted.
async fn create(ctx: &Context, start: NewUpdate) -> Result<(PipelineUpdate, i64), Error> {
    let made_for = |update: &PipelineUpdate| update.annotations().get(labels::SCHEDULED_AT).cloned();
    let mut update = start.update;
    let mut last = None;
    for number in start.number..start.number.saturating_add(MOST_NAMES) {
        update.metadata.name = Some(updates::name(&update.spec.pipeline, number));
        match ctx.create(&update).await {
            Ok(Created::New(made)) => return Ok((made, number)),
            Ok(Created::Found(found)) => {
                let mut spec = found.spec.clone();
                spec.cancel = update.spec.cancel;
                if spec == update.spec && made_for(&found) == made_for(&update) {
                    return Ok((found, number));
                }
            }
            Err(error @ (Error::NameTaken { .. } | Error::Orphaned { .. } | Error::Leaving { .. })) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::NameTaken { kind: "PipelineUpdate", key: crate::key::Key::of(&update) }))
}

/// Makes the Job of the clean-up, then the request that it waits for; or names what else writes the storage root.
async fn clean_up(ctx: &Context, observed: &Observed, cleanup: &Cleanup) -> Result<Option<String>, Error> {
    let root = ctx.starts.root(&attempt::storage_label(&observed.pipeline));
    let _alone = root.lock().await;
    if let Some(writer) = writers::other(ctx, &observed.pipeline, &cleanup.job.name_any()).await? {
        return Ok(Some(writer));
    }
    if let Some(account) = &cleanup.account {
        ctx.apply(account).await?;
    }
    let job = ctx.create(&cleanup.job).await.map(Created::into_inner)?;
    let mut request = cleanup.request.clone();
    request.metadata.owner_references = Some(vec![owner::reference_unblocked(&job)]);
    ctx.create(&request).await?;
    Ok(None)
}

async fn release(ctx: &Context, observed: &Observed, leftover: &Leftover) -> Result<(), Error> {
    let pipeline = &observed.pipeline;
    if let Leftover::Data(why) = leftover {
        let root = pipeline.spec.storage.as_ref().map(|storage| storage.uri.as_str()).unwrap_or_default();
        let note = format!("data may be left under {root}: {why}; remove them by hand");
        tracing::warn!(reason = EventReason::CleanupFailed.as_str(), "{note}");
        ctx.recorder.publish(hub::reference(pipeline.as_ref()), News::new(Severity::Warning, EventReason::CleanupFailed, note), None);
    }
    let finalizers: Vec<&String> = pipeline.finalizers().iter().filter(|name| *name != FINALIZER).collect();
    ctx.merge::<Pipeline>(pipeline, json!({"metadata": {"finalizers": finalizers}})).await.map(drop)
}

/// Writes the status if it differs from what the Pipeline shows, and tells people what changed.
pub async fn write_status(ctx: &Context, observed: &Observed, decision: &Decision, status: PipelineStatus) -> Result<(), Error> {
    let before = observed.pipeline.status.as_ref();
    if before == Some(&status) {
        return Ok(());
    }
    ctx.write_status::<Pipeline>(&observed.pipeline, &status).await?;
    for news in super::conditions::transitions(before, &status, decision.schedule.missed) {
        ctx.recorder.publish(hub::reference(observed.pipeline.as_ref()), news, None);
    }
    Ok(())
}
