//! The last refresh of a materialized view, beside its table: lets a no-op update see without opening the table that nothing changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    failpoint,
    failure::Failure,
    state::{
        SourceId,
        format::{self, StaticVersion},
    },
    storage::{Location, Storage, layout},
};

const POSITION: &str = "view.json";

/// A cache: the transaction ids in the view's own commit are the truth. It counts only while `own_version` is the newest version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ViewPosition {
    /// Format of the document.
    pub version: u32,
    /// The version of the view's table that the refresh wrote.
    pub own_version: i64,
    /// Per table key the input version that the refresh read.
    pub inputs: BTreeMap<String, StaticVersion>,
    /// Per source id of a file input the hash of the listing that the refresh read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<SourceId, String>,
    /// Hash of plan, parameters and time zone.
    pub fingerprint: String,
    /// `flow_id` of the event log: changes with every complete recompute.
    pub flow_id: uuid::Uuid,
    /// A full refresh was asked for after `own_version`: up to there nothing of the table's log counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forgotten: bool,
}

/// The last refresh of `flow`, if it is known and not [forgotten](forget). One small read.
pub async fn last(storage: &Storage, flow: &str) -> Result<Option<ViewPosition>, Failure> {
    Ok(read(storage, flow).await?.filter(|position| !position.forgotten))
}

/// What is remembered of `flow`. One small read.
pub async fn read(storage: &Storage, flow: &str) -> Result<Option<ViewPosition>, Failure> {
    let directory = directory(storage, flow);
    match directory.get(POSITION).await? {
        // A cache that cannot be read is no reason to stop: the view is computed again.
        Some(bytes) => Ok(format::from_json(&bytes, &format!("{directory}/{POSITION}")).ok()),
        None => Ok(None),
    }
}

/// Replaces the last refresh of `flow`, after its commit.
pub async fn write(storage: &Storage, flow: &str, position: &ViewPosition) -> Result<(), Failure> {
    failpoint::reach("mv::position")?;
    directory(storage, flow).put(POSITION, format::to_json(position)?).await
}

/// Forgets every refresh of `flow` up to version `own_version` of its table: the next one recomputes (a full refresh of a view).
/// To delete the position would not do, because the table's own log also tells what it was computed from.
pub async fn forget(storage: &Storage, flow: &str, own_version: i64) -> Result<(), Failure> {
    let forgotten = ViewPosition {
        version: format::VERSION,
        own_version,
        inputs: BTreeMap::new(),
        files: BTreeMap::new(),
        fingerprint: String::new(),
        flow_id: uuid::Uuid::nil(),
        forgotten: true,
    };
    write(storage, flow, &forgotten).await
}

/// A view has no generations: it is computed as a whole.
fn directory(storage: &Storage, flow: &str) -> Location {
    storage.at(&layout::checkpoint_path(flow)).join("g0")
}
