//! The controller of PipelineUpdates: an update waits for its turn, runs as attempts one after another, and ends.

mod apply;
mod decide;
mod news;
mod observe;
mod plan;
mod queued;
mod start;
mod status;
#[cfg(test)]
mod tests;

pub use start::active_pods;

use crate::{context::Context, controller::Next, error::Error, key::Key};

/// Brings one update a step further.
pub async fn reconcile(ctx: Context, key: Key) -> Result<Next, Error> {
    let Some(seen) = observe::observe(&ctx, &key).await? else {
        ctx.starts.forget(&key.namespace, &key.name);
        return Ok(Next::Gone);
    };
    let template = decide::validate(&ctx.settings, &seen);
    let decision = decide::decide(&seen, &template);
    let effects = plan::plan(&seen, &decision);
    let applied = apply::apply(&ctx, &seen, &decision, effects).await?;
    let status = status::status(&seen, &decision, &applied);
    apply::write_status(&ctx, &seen, &status).await?;
    news::tell(&ctx, &seen, &status, &decision);
    match applied.error {
        Some(error) => Err(error),
        None => Ok(plan::next(&seen, &decision, &applied)),
    }
}
