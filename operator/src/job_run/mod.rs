//! The controller of JobRuns.

use crate::{context::Context, controller::Next, error::Error, key::Key};

/// Brings one run a step further.
pub async fn reconcile(ctx: Context, key: Key) -> Result<Next, Error> {
    Ok(if ctx.caches.job_runs.get(&key).is_some() { Next::Settled } else { Next::Gone })
}
