//! Whose objects these are: several operators may share a cluster, each with the Pipelines that its label selector names.

use floe_crds::pipeline::Pipeline;

use crate::{context::Context, error::Error, key::Key};

/// True if the Pipeline is there, but without the labels of those that this operator looks after: what belongs to it is left alone.
pub async fn is_of_another_operator(ctx: &Context, pipeline: &Key) -> Result<bool, Error> {
    if ctx.settings.label_selector.is_none() || ctx.caches.pipelines.get(pipeline).is_some() {
        return Ok(false);
    }
    if ctx.memory.is_foreign(pipeline) {
        return Ok(true);
    }
    let is_there = ctx.fetch::<Pipeline>(pipeline).await?.is_some();
    if is_there {
        ctx.memory.saw_foreign(pipeline);
    }
    Ok(is_there)
}
