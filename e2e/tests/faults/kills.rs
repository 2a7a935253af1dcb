//! The operator is killed after one of its writes.

use anyhow::ensure;
use floe_e2e::faults::{Call, Fault};
use futures::{StreamExt, stream};

use crate::{
    plot::Plot,
    story::{AT_ONCE, Story},
};

/// Tells the story with this fault; gives the write after which the operator was killed, if it came to that.
async fn killed(plot: &'static Plot, name: String, fault: Fault) -> anyhow::Result<Option<Call>> {
    let story = Story::open(plot, &name, |proxy| proxy.inject(fault)).await?;
    story.tell().await?;
    Ok(story.proxy.kills().pop())
}

/// Once for each number of writes, until the story has fewer; it has more than `least`.
pub async fn after_every_write(plot: &'static Plot, name: &str, least: usize) -> anyhow::Result<()> {
    let after = |number: usize| Box::pin(killed(plot, format!("{name}-{number}"), Fault::writes().after(number - 1).kills()));
    let mut tellings = stream::iter(1..).map(after).buffered(AT_ONCE);
    let mut met = Vec::new();
    while let Some(call) = tellings.next().await.transpose()?.flatten() {
        met.push(call);
    }
    ensure!(met.len() > least, "the story has more writes than {}", met.len());
    // Controllers work side by side, so the same number is not the same write each time: a kind of write that was never met is named.
    for (number, write) in plot.undisturbed().await?.writes.iter().enumerate() {
        if !met.iter().any(|call| call.is_like(write)) {
            met.extend(killed(plot, format!("{name}-like-{number}"), Fault::like(write).kills()).await?);
        }
    }
    Ok(())
}
