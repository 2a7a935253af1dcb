//! The controller of JobRuns: a run waits for its place, its tasks become pods, updates and other runs, and it ends. What comes next is decided by
//! `floe_crds::run::step`, as on a laptop; here facts are gathered and decisions carried out.

mod apply;
mod attempts;
mod counts;
mod health;
mod news;
mod notices;
mod observe;
mod pods;
mod remains;
mod start;
mod status;

use std::time::Duration;

use crate::{context::Context, controller::Next, error::Error, key::Key};

/// When a run is looked at again that was changed by its own reconcile. The change wakes it at once; this is for one that came to nothing.
const AGAIN: Duration = Duration::from_secs(1);

/// Brings one run a step further.
pub async fn reconcile(ctx: Context, key: Key) -> Result<Next, Error> {
    let Some(mut seen) = observe::observe(&ctx, &key).await? else {
        ctx.deliveries.forget(&key);
        return Ok(Next::Gone);
    };
    if seen.is_paused() {
        return Ok(Next::Settled);
    }
    if remains::hold(&ctx, &seen).await? {
        return Ok(Next::After(AGAIN));
    }
    notices::fold(&ctx, &key, &mut seen);
    let applied = apply::apply(&ctx, &mut seen).await?;
    let mut status = status::status(&seen, applied.status);
    let warn_again = health::judge(&ctx, &seen, &mut status);
    notices::note(&ctx, &seen, &mut status);
    if status != seen.status {
        let _: floe_crds::job_run::JobRun = ctx.write_status(seen.run.as_ref(), &status).await?;
    }
    news::tell(&ctx, &seen, &status);
    let try_again = notices::start(&ctx, &seen, &status);
    remains::clear(&ctx, &seen, &status).await?;
    Ok(next(&seen, [applied.wake, warn_again, try_again].into_iter().flatten().min()))
}

fn next(seen: &observe::Observed, wake: Option<jiff::Timestamp>) -> Next {
    match wake {
        Some(at) => Next::After(Duration::try_from(at.duration_since(seen.now)).unwrap_or_default()),
        None => Next::Settled,
    }
}
