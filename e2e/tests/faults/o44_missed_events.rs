//! Watch events that are lost or late change nothing at the end.

use std::time::Duration;

use floe_e2e::faults::{Fault, Proxy};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    plot::PIPELINE,
    story::{Story, tell_all},
};

/// All that the operator watches.
const WATCHED: &[&str] = &["pipelines", "tables", "pipelineupdates", "runreports", "jobs", "pods"];
/// So long events are lost, from the first one on; then all watches must begin anew, as they must after a gap.
const GAP: Duration = Duration::from_secs(2);
/// So often it is asked whether one was lost.
const LOOK: Duration = Duration::from_millis(100);

/// Tells the story while events are lost.
async fn told_with_gaps(name: String, lose: impl FnOnce(&Proxy)) -> anyhow::Result<()> {
    let story = Story::open(&PIPELINE, &name, lose).await?;
    let proxy = story.proxy.clone();
    let _gaps = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut found = 0;
        loop {
            while proxy.lost_events() == found {
                tokio::time::sleep(LOOK).await;
            }
            tokio::time::sleep(GAP).await;
            found = proxy.lost_events();
            proxy.expire_watches();
        }
    }));
    story.tell().await?;
    anyhow::ensure!(story.proxy.lost_events() > 3, "{name}: only {} events were lost", story.proxy.lost_events());
    Ok(())
}

/// Half of the events of all kinds, and all events of one kind.
#[tokio::test]
async fn o44_missed_events() -> anyhow::Result<()> {
    let lose_some = |proxy: &Proxy| {
        for resource in WATCHED {
            proxy.inject(Fault::events(resource).one_in(2).is_lost());
        }
    };
    told_with_gaps("o44-lost".to_string(), lose_some).await?;
    let of_one_kind = |resource: &'static str| {
        told_with_gaps(format!("o44-lost-{resource}"), move |proxy| proxy.inject(Fault::events(resource).is_lost()))
    };
    tell_all(WATCHED.iter().map(|resource| of_one_kind(resource))).await
}

#[tokio::test]
async fn late_events() -> anyhow::Result<()> {
    let late = async |resource: &'static str| {
        let fault = Fault::events(resource).waits(Duration::from_millis(700));
        Story::open(&PIPELINE, &format!("o44-late-{resource}"), |proxy| proxy.inject(fault)).await?.tell().await
    };
    tell_all(WATCHED.iter().map(|resource| late(resource))).await
}

/// The news of a write arrives before its answer: the answer is the older view.
#[tokio::test]
async fn late_answers() -> anyhow::Result<()> {
    let fault = Fault::writes().one_in(2).is_done_but_answered_after(Duration::from_millis(400));
    Story::open(&PIPELINE, "o44-late-answers", |proxy| proxy.inject(fault)).await?.tell().await
}
