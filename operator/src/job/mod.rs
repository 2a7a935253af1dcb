//! The controller of Jobs: makes the runs that triggers owe, keeps what pods and triggers need, says how the Job is, lets old runs go.

mod apply;
mod conditions;
mod decide;
mod history;
mod news;
mod observe;
mod plan;
mod resources;
mod status;
#[cfg(test)]
mod tests;
mod triggers;
mod validate;
mod watcher;

use crate::{
    context::Context,
    controller::Next,
    error::{Error, ErrorClass},
    key::Key,
};

/// One look at a Job: what is there, what must happen, what came of it.
pub async fn reconcile(ctx: Context, key: Key) -> Result<Next, Error> {
    // IO: everything that the decision needs.
    let Some(observed) = observe::observe(&ctx, &key).await? else {
        ctx.memory.forget(&observe::beside(&key));
        return Ok(Next::Gone);
    };
    // Pure.
    let verdict = validate::validate(&observed);
    let decision = decide::decide(&observed, &verdict);
    let plan = plan::plan(&observed, &verdict, &decision);
    // IO: carry it out. What only a person can mend is told in the status before it is tried again.
    let (applied, failure) = match Box::pin(apply::apply(&ctx, &observed, plan)).await {
        Ok(applied) => (applied, None),
        Err(error) if matches!(error.class(), ErrorClass::Forbidden | ErrorClass::User) => (apply::Applied::default(), Some(error)),
        Err(error) => return Err(error),
    };
    news::count(&ctx, &observed, &decision, &applied);
    // Pure, then IO if it differs.
    let status = status::status(&observed, &verdict, &decision, &applied, failure.as_ref());
    if apply::write_status(&ctx, &observed, &status).await? {
        news::tell(&ctx, &observed, &status, &decision, &applied);
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(decision.next(observed.now)),
    }
}
