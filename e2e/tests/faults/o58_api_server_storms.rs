//! An API server in trouble delays what the operator does and changes nothing of it; the process does not end for it.

use std::time::Duration;

use floe_e2e::faults::{Fault, Proxy, Verb};

use crate::{
    plot::PIPELINE,
    story::{Story, tell_all},
};

/// Tells the story with this fault from the operator's first write on.
async fn told_with((name, fault): (&str, Fault)) -> anyhow::Result<()> {
    let story = Story::open(&PIPELINE, name, |_| ()).await?;
    let proxy = story.proxy.clone();
    let begin = tokio::spawn(async move {
        while proxy.writes().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        proxy.inject(fault);
    });
    story.tell().await?;
    Ok(begin.await?)
}

/// Some of all requests are refused. After twelve of them it is over: a back-off grows with each.
fn refused(code: u16) -> Fault {
    Fault::all().one_in(4).times(12).answers(code)
}

#[tokio::test]
async fn refusals() -> anyhow::Result<()> {
    let faults = [
        ("o58-409", Fault::writes().one_in(2).times(12).answers(409)),
        ("o58-410", refused(410)),
        ("o58-429", Fault::all().one_in(4).times(12).throttles(1)),
        ("o58-500", refused(500)),
        ("o58-503", refused(503)),
    ];
    tell_all(faults.into_iter().map(told_with)).await
}

/// The worst kind: it was done, and nobody says so.
#[tokio::test]
async fn answers_that_are_lost() -> anyhow::Result<()> {
    let faults = [
        ("o58-504", Fault::writes().one_in(2).times(12).is_done_but_answers(504)),
        ("o58-reset", Fault::writes().one_in(2).times(12).is_done_but_resets()),
        ("o58-unsent", Fault::all().one_in(4).times(12).resets()),
    ];
    tell_all(faults.into_iter().map(told_with)).await
}

/// No call waits for longer than ten seconds. What hangs is done when nobody waits for it any more.
#[tokio::test]
async fn time_outs() -> anyhow::Result<()> {
    let long = Duration::from_secs(12);
    let faults = [
        ("o58-hang-write", Fault::writes().one_in(8).times(3).waits(long)),
        ("o58-hang-answer", Fault::writes().one_in(8).times(3).is_done_but_answered_after(long)),
        ("o58-hang-read", Fault::on(Verb::List, "jobs").times(2).waits(long)),
    ];
    tell_all(faults.into_iter().map(told_with)).await
}

/// All at once for a while, and the API server away in the middle of it.
#[tokio::test]
async fn o58_api_server_storms() -> anyhow::Result<()> {
    let weather = |proxy: &Proxy| {
        proxy.inject(Fault::all().one_in(3).answers(500));
        proxy.inject(Fault::all().one_in(4).throttles(1));
        proxy.inject(Fault::writes().one_in(5).is_done_but_resets());
        proxy.inject(Fault::all().one_in(7).resets());
    };
    let story = Story::open(&PIPELINE, "o58-storm", weather).await?;
    let proxy = story.proxy.clone();
    let calm = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(8)).await;
        proxy.set_away(true);
        tokio::time::sleep(Duration::from_secs(4)).await;
        proxy.set_away(false);
        tokio::time::sleep(Duration::from_secs(8)).await;
        proxy.heal();
    });
    story.tell().await?;
    Ok(calm.await?)
}
