//! The controller of Pipelines: decides when an update must start and why not, keeps what belongs to a Pipeline, says how it is.

mod apply;
mod begun;
mod cleanup;
mod conditions;
mod continuous;
mod decide;
mod history;
mod observe;
mod plan;
pub mod resources;
mod schedule;
mod status;
#[cfg(test)]
mod tests;
mod validate;

use std::time::Duration;

use crate::{
    context::Context,
    controller::Next,
    error::{Error, ErrorClass},
    key::Key,
};

/// So often a clean-up is tried again that another writer holds back.
const AGAIN: Duration = Duration::from_secs(5);

/// One look at a Pipeline: what is there, what must happen, what came of it.
pub async fn reconcile(ctx: Context, key: Key) -> Result<Next, Error> {
    // IO: everything that the decision needs.
    let Some(observed) = observe::observe(&ctx, &key).await? else {
        ctx.memory.forget(&key);
        return Ok(Next::Gone);
    };
    // Pure.
    let verdict = validate::validate(&observed);
    let decision = decide::decide(&observed, &verdict);
    let plan = plan::plan(&observed, &verdict, &decision);
    // IO: carry it out. What only a person can mend is told in the status before it is tried again.
    let (applied, failure) = match Box::pin(apply::apply(&ctx, &observed, plan)).await {
        Ok(applied) => (applied, None),
        Err(error) if matches!(error.class(), ErrorClass::Forbidden | ErrorClass::User) || error.is_quota() => {
            (apply::Applied::default(), Some(error))
        }
        Err(error) => return Err(error),
    };
    if applied.changed {
        return Ok(Next::Settled);
    }
    // Pure, then IO if it differs.
    let status = status::status(&observed, &verdict, &decision, &applied, failure.as_ref());
    apply::write_status(&ctx, &observed, &decision, status).await?;
    match failure {
        Some(error) => Err(error),
        None if applied.has_more => Ok(Next::After(Duration::ZERO)),
        None if applied.writer.is_some() => Ok(decision.next(observed.now).or_after(AGAIN)),
        None => Ok(decision.next(observed.now)),
    }
}
