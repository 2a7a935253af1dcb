//! The numbers of a micro-batch or refresh as they stand in the `commitInfo` of its commit, so that they survive a kill: the next
//! runner reads them there and writes the event that is missing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::event::{Event, Subject};
use crate::execute::progress::{CountedIn, FlowProgress};

/// What a target commit says about itself, under `floe` in its `commitInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitNote {
    /// The update that committed.
    pub update_id: String,
    /// The flow and the UUID of its incremental life.
    pub flow: String,
    /// See `flow`.
    #[serde(default)]
    pub flow_id: String,
    /// Full name of the target.
    pub dataset: String,
    /// The numbers; a micro-batch has a batch id, a refresh of a materialized view has none.
    pub progress: FlowProgress,
}

impl CommitNote {
    /// The value for `CommitRequest::info`.
    pub fn to_info(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(note)) => note,
            _ => Map::new(),
        }
    }

    /// The note in a `commitInfo`, if it has one that we can read.
    pub fn from_commit_info(info: &Map<String, Value>) -> Option<Self> {
        serde_json::from_value(info.get("floe")?.clone()).ok()
    }

    /// The event that reports this commit.
    pub fn event(self, commit: CountedIn) -> Event {
        let subject = Subject::flow(self.flow, self.flow_id, self.dataset);
        Event::committed(subject, self.progress.which_is_in(commit))
    }
}
