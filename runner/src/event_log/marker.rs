//! `_floe/active.json`: whether the last update ended, so that after a clean end nobody has to read the event log.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::record::Identity;
use crate::{commit::KnownTable, failure::Failure, storage::Storage};

const FILE: &str = "_floe/active.json";

/// The newest update of a storage.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Marker {
    pub update_id: String,
    pub attempt: u32,
    pub started_at: DateTime<Utc>,
    pub pipeline_name: String,
    pub host: String,
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its events are all in the table.
    pub ended: bool,
    /// Its process was told to stop and has written all its events. Another process goes on with the update, or it was canceled.
    #[serde(default)]
    pub stopped: bool,
    /// The number of its last event, once it has ended or stopped.
    #[serde(default)]
    pub last_seq_no: i64,
    /// The event log before the update if it runs, after it if it has ended.
    #[serde(default)]
    pub event_log: Option<KnownTable>,
}

impl Marker {
    /// The marker of a running update.
    pub fn of(identity: &Identity) -> Self {
        Self {
            update_id: identity.update_id.clone(),
            attempt: identity.attempt,
            started_at: Utc::now(),
            pipeline_name: identity.pipeline_name.clone(),
            host: identity.host.clone(),
            namespace: identity.namespace.clone(),
            ended: false,
            stopped: false,
            last_seq_no: 0,
            event_log: None,
        }
    }

    /// True if `identity` goes on with the same attempt of the same update, in another process.
    pub fn is_of(&self, identity: &Identity) -> bool {
        self.update_id == identity.update_id && self.attempt == identity.attempt
    }

    /// Who recorded the events of that update.
    pub fn identity(&self, pipeline_id: &str) -> Identity {
        Identity {
            update_id: self.update_id.clone(),
            attempt: self.attempt,
            pipeline_id: pipeline_id.to_string(),
            pipeline_name: self.pipeline_name.clone(),
            host: self.host.clone(),
            namespace: self.namespace.clone(),
            ..Identity::default()
        }
    }

    /// The marker of `storage`; one that cannot be read counts as none, because it only spares work.
    pub async fn read(storage: &Storage) -> Result<Option<Self>, Failure> {
        Ok(storage.root().get(FILE).await?.and_then(|content| serde_json::from_slice(&content).ok()))
    }

    /// Replaces the marker of `storage`.
    pub async fn write(&self, storage: &Storage) -> Result<(), Failure> {
        let content = serde_json::to_vec(self).map_err(|error| Failure::internal(format!("cannot write {FILE}: {error}")))?;
        storage.root().put(FILE, content).await
    }
}
