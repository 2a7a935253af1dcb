//! The operator may be killed after any of its writes: the story ends the same.

use anyhow::ensure;
use floe_e2e::faults::Fault;

use crate::{kills::after_every_write, plot::PIPELINE, story::Story};

#[tokio::test]
async fn o45_crash_at_every_call() -> anyhow::Result<()> {
    after_every_write(&PIPELINE, "o45", 30).await
}

/// No process lives for longer than three writes.
#[tokio::test]
async fn killed_again_and_again() -> anyhow::Result<()> {
    let after = |writes: usize| Fault::writes().after(writes).kills();
    let story = Story::open(&PIPELINE, "o45-again", |proxy| (2..500).step_by(3).for_each(|writes| proxy.inject(after(writes)))).await?;
    story.tell().await?;
    ensure!(story.proxy.kills().len() > 10, "the operator was killed {} times only", story.proxy.kills().len());
    Ok(())
}
