//! The numbers of a micro-batch or refresh as they stand in the `commitInfo` of its target commit, so that they survive a kill: the next
//! runner reads them there and writes the event that is missing.
#![expect(missing_docs, reason = "the fields say what they are")]

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::event::{Event, FlowProgress, Subject};
use floe_crds::state::FlowState;

/// Key of the note in `commitInfo`.
pub const KEY: &str = "floe";

/// What a target commit says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitNote {
    pub update_id: String,
    pub attempt: u32,
    /// Flow, dataset (full name) and batch of the commit.
    pub subject: Subject,
    /// Delta transaction of the commit.
    pub app_id: String,
    pub version: i64,
    /// What the event of this commit says: `RUNNING` with numbers for a micro-batch, `COMPLETED` for a refresh.
    pub progress: FlowProgress,
}

impl CommitNote {
    /// The entry for `CommitRequest::info`.
    pub fn to_info(&self) -> Map<String, Value> {
        let note = serde_json::to_value(self).unwrap_or_default();
        Map::from_iter([(KEY.to_string(), note)])
    }

    /// The note in a `commitInfo`, if it has one that we can read.
    pub fn from_info(info: &Map<String, Value>) -> Option<Self> {
        serde_json::from_value(info.get(KEY)?.clone()).ok()
    }

    /// The event that reports this commit.
    pub fn event(&self) -> Event {
        let progress = self.progress.clone();
        let metrics = progress.metrics.unwrap_or_default();
        let event = match progress.status {
            FlowState::Completed => Event::refresh_completed(self.subject.clone(), metrics, progress.data_quality),
            _ => Event::batch_committed(self.subject.clone(), metrics, progress.data_quality),
        };
        event.reporting(&self.app_id, self.version)
    }
}
