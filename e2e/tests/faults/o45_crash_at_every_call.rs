//! The operator may be killed after any of its writes: the story ends the same.

use anyhow::ensure;
use floe_e2e::faults::{Call, Fault};
use futures::{StreamExt, stream};

use crate::story::{AT_ONCE, Story, undisturbed};

/// Tells the story with this fault; gives the write after which the operator was killed, if it came to that.
async fn killed(name: String, fault: Fault) -> anyhow::Result<Option<Call>> {
    let story = Story::open(&name, |proxy| proxy.inject(fault)).await?;
    story.tell().await?;
    Ok(story.proxy.kills().pop())
}

/// Once for each number of writes, until the story has fewer.
#[tokio::test]
async fn o45_crash_at_every_call() -> anyhow::Result<()> {
    let after = |number: usize| Box::pin(killed(format!("o45-{number}"), Fault::writes().after(number - 1).kills()));
    let mut tellings = stream::iter(1..).map(after).buffered(AT_ONCE);
    let mut met = Vec::new();
    while let Some(call) = tellings.next().await.transpose()?.flatten() {
        met.push(call);
    }
    ensure!(met.len() > 30, "the story has more writes than {}", met.len());
    // Controllers work side by side, so the same number is not the same write each time: a kind of write that was never met is named.
    for (number, write) in undisturbed().await?.writes.iter().enumerate() {
        if !met.iter().any(|call| call.is_like(write)) {
            met.extend(killed(format!("o45-like-{number}"), Fault::like(write).kills()).await?);
        }
    }
    Ok(())
}

/// No process lives for longer than three writes.
#[tokio::test]
async fn killed_again_and_again() -> anyhow::Result<()> {
    let after = |writes: usize| Fault::writes().after(writes).kills();
    let story = Story::open("o45-again", |proxy| (2..500).step_by(3).for_each(|writes| proxy.inject(after(writes)))).await?;
    story.tell().await?;
    ensure!(story.proxy.kills().len() > 10, "the operator was killed {} times only", story.proxy.kills().len());
    Ok(())
}
