//! A runner that dies without a word loses nothing and doubles nothing.

use floe_crds::{pipeline_update::AttemptClass, state::UpdateState};

use crate::bookstore::{Bookstore, state};

#[tokio::test]
async fn o18_killed_runner_is_followed_by_one_that_goes_on() -> anyhow::Result<()> {
    // Four tables are committed when it dies; the next attempt finds them done.
    let shop = Bookstore::open_with("o18", "target::after=4").await?;
    let update = shop.ended(1).await?;
    let status = update.status.clone().unwrap();
    assert_eq!(state(&update), Some(UpdateState::Completed), "{status:#?}");
    let attempts: Vec<_> = status.attempts.iter().map(|attempt| (attempt.number, attempt.class)).collect();
    assert_eq!(attempts, [(1, Some(AttemptClass::Unknown)), (2, Some(AttemptClass::Success))]);
    assert_eq!(shop.bronze().await?, (2000, shop.bronze().await?.1));
    let rows: i64 = shop.shown().await?.iter().filter_map(|(_, rows, _)| *rows).sum();
    assert_eq!(rows, 6686);
    Ok(())
}
