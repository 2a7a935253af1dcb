//! Carries out the plan and writes the status.

use std::sync::Arc;

use floe_crds::{pipeline_update::PipelineUpdate, table::Table};
use serde_json::json;

use super::{observe::Observed, plan::Plan, status::Said};
use crate::{context::Context, error::Error, events::News, hub, key::Key};

/// Carries out `plan`. Gives the object as it is now; `None` if it is as good as gone.
pub async fn apply(ctx: &Context, observed: &Observed, plan: Plan) -> Result<Option<Arc<Table>>, Error> {
    let mut table = observed.table.clone();
    if let Some(finalizers) = plan.finalizers {
        table = Arc::new(ctx.merge(table.as_ref(), json!({"metadata": {"finalizers": finalizers}})).await?);
    }
    if plan.delete {
        ctx.delete(table.as_ref()).await?;
    }
    if let Some(news) = plan.news {
        publish(ctx, &table, news);
    }
    Ok((!plan.ends).then_some(table))
}

/// Writes the status if there is something new in it, then tells of what changed.
pub async fn write_status(ctx: &Context, table: &Table, said: Said) -> Result<(), Error> {
    let Some(status) = said.status else { return Ok(()) };
    ctx.write_status(table, &status).await?;
    if status.quality_truncated == Some(true) {
        ctx.metrics.status_truncated("Table");
    }
    for news in said.news {
        publish(ctx, table, news);
    }
    Ok(())
}

fn publish(ctx: &Context, table: &Table, news: News) {
    let key = Key::of(table);
    let update = news.update.as_ref().and_then(|update| ctx.caches.updates.get(&Key::new(key.namespace.clone(), update)));
    let related = update.map(|update| hub::reference::<PipelineUpdate>(&update));
    tracing::info!(reason = news.reason.as_str(), "{}", news.note);
    ctx.recorder.publish(hub::reference(table), news, related);
}
