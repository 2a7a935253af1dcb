//! Tables in S3, whose server is away when the first runner comes: the update waits for it and ends well.

use floe_crds::{
    pipeline_update::{AttemptClass, PipelineUpdate},
    state::UpdateState,
};
use floe_e2e::object_store::Place;
use serde_json::json;

use crate::bookstore::{Bookstore, state};

const BUCKET: &str = "lake";
/// The server is away for longer than one attempt has patience, so more than one may meet it so.
const RETRIES: i32 = 20;

#[tokio::test]
async fn o28_storage_that_is_away_is_awaited() -> anyhow::Result<()> {
    let shop = Bookstore::empty("o28").await?;
    let place = Place::beside(&shop.tenant).await?;
    let keys = json!({"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"});
    shop.tenant.apply_one(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lake"}, "stringData": keys})).await?;
    let options = json!({"endpoint": place.endpoint(), "region": "us-east-1", "allow_http": "true"});
    let spec = json!({
        "storage": {"uri": format!("s3://{BUCKET}/bookstore"), "options": options, "secretRef": {"name": "lake"}},
        "retryPolicy": {"minBackoffSeconds": 2, "maxBackoffSeconds": 5, "maxUpdateRetries": RETRIES},
        "runner": {"podTemplate": null},
    });
    shop.apply(spec).await?;
    let first = |update: &PipelineUpdate| update.status.as_ref().and_then(|status| status.attempts.first()?.class);
    let update = shop.tenant.wait("bookstore-u1", "the end of the first attempt", |update| first(update).is_some()).await?;
    assert_eq!(first(&update), Some(AttemptClass::Transient), "{:#?}", update.status);
    let status = update.status.unwrap();
    let message = status.attempts[0].message.clone().unwrap_or_default();
    assert!(message.contains(&format!("s3://{BUCKET}")), "{message}");
    assert_eq!(status.state, Some(UpdateState::WaitingForResources), "it goes on by itself");

    let store = place.start(BUCKET).await?;
    let update = shop.ended(1).await?;
    assert_eq!(state(&update), Some(UpdateState::Completed), "{:#?}", update.status);
    let classes: Vec<_> = update.status.unwrap().attempts.into_iter().map(|attempt| attempt.class).collect();
    let (last, before) = classes.split_last().unwrap();
    assert_eq!(*last, Some(AttemptClass::Success));
    assert!(before.iter().all(|class| *class == Some(AttemptClass::Transient)), "{classes:?}");
    let rows: i64 = shop.shown().await?.iter().filter_map(|(_, rows, _)| *rows).sum();
    assert_eq!(rows, 6686);
    let written = store.list(BUCKET, "bookstore/").await?;
    assert!(written.contains("_delta_log/"), "{written}");
    Ok(())
}
