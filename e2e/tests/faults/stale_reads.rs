//! Reads that show what was true some writes ago never lead to a second writer, and the story ends the same.

use std::time::Duration;

use floe_e2e::faults::{Fault, Proxy, Verb};

use crate::{
    plot::PIPELINE,
    story::{Story, tell_all},
};

/// What the operator reads and decides from.
const READ: &[&str] = &["pods", "jobs", "pipelineupdates", "pipelines", "runreports", "tables", "configmaps"];

#[tokio::test]
async fn stale_reads() -> anyhow::Result<()> {
    let told = async |writes: usize| {
        let stale = |proxy: &Proxy| READ.iter().for_each(|resource| proxy.inject(Fault::reads(resource).times(8).is_stale_by(writes)));
        Story::open(&PIPELINE, &format!("stale-{writes}"), stale).await?.tell().await
    };
    tell_all([1, 3, 8].into_iter().map(told)).await
}

/// Lists of each kind that are stale: one for each process, and some of the last looks before a start. A server that stayed behind for ever would
/// keep every start back: whether the runner before has ended is believed to fresh lists only.
const LISTS: usize = 6;

/// A new process begins with what was true eight writes ago and catches up by its watches.
#[tokio::test]
async fn a_new_process_with_old_lists() -> anyhow::Result<()> {
    let stale = |proxy: &Proxy| {
        for number in 1..10 {
            proxy.inject(Fault::writes().after(number * 6).kills());
        }
        for resource in READ {
            proxy.inject(Fault::on(Verb::List, resource).times(LISTS).is_stale_by(8));
        }
    };
    let story = Story::open(&PIPELINE, "stale-start", stale).await?;
    story.tell().await?;
    assert!(story.proxy.kills().len() > 1);
    Ok(())
}

/// Processes that die while the first update runs and the second one begins; the last of them lives to see what comes to rest.
const DEATHS: usize = 12;

/// What new processes are shown of updates is older than the Pipeline, which says that they were made; the news of them come late.
#[tokio::test]
async fn a_new_process_that_is_not_shown_the_newest_update() -> anyhow::Result<()> {
    let told = async |first: usize| {
        let stale = |proxy: &Proxy| {
            for number in 0..DEATHS {
                proxy.inject(Fault::writes().after(first + number * 3).kills());
            }
            proxy.inject(Fault::on(Verb::List, "pipelineupdates").one_in(2).while_in_motion().is_stale_by(6));
            proxy.inject(Fault::events("pipelineupdates").waits(Duration::from_millis(700)));
        };
        Story::open(&PIPELINE, &format!("stale-updates-{first}"), stale).await?.tell().await
    };
    tell_all((0..3).map(told)).await
}
