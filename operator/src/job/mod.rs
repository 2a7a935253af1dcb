//! The controller of Jobs: its triggers make runs, its history goes.

use crate::{context::Context, controller::Next, error::Error, key::Key};

/// Brings one Job a step further.
pub async fn reconcile(ctx: Context, key: Key) -> Result<Next, Error> {
    Ok(if ctx.caches.floe_jobs.get(&key).is_some() { Next::Settled } else { Next::Gone })
}
