//! The controller of Tables: folds what runners report into their status, keeps their data until a removed dataset is really gone.

mod apply;
mod conditions;
mod decide;
mod fold;
mod news;
mod observe;
mod plan;
mod status;
#[cfg(test)]
mod tests;
mod validate;

use crate::{context::Context, controller::Next, error::Error, key::Key};

/// One look at a Table: what is there, what its object needs, what it should say.
pub async fn reconcile(ctx: Context, key: Key) -> Result<Next, Error> {
    // IO: everything that the decision needs.
    let Some(observed) = observe::observe(&ctx, &key).await? else { return Ok(Next::Gone) };
    // Pure.
    let verdict = validate::validate(&observed);
    let decision = decide::decide(&observed, &verdict);
    let plan = plan::plan(&observed, &decision);
    // IO: the finalizer, or the end of the object.
    let Some(table) = apply::apply(&ctx, &observed, plan).await? else { return Ok(Next::Gone) };
    // Pure, then IO if it differs.
    let said = status::status(&observed, &verdict, &decision);
    let next = said.next;
    apply::write_status(&ctx, &table, said).await?;
    Ok(next)
}
