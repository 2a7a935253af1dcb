//! `_floe/graph.json`: the id of the pipeline and, per dataset, what was last set up. Spares a no-op update every replay of a log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{commit::table::KnownTable, failure::Failure, storage::Storage};

/// What this storage holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Catalog {
    pub version: u32,
    pub pipeline_id: String,
    /// By lower-case full name, quarantine tables included; inactive datasets stay.
    #[serde(default)]
    pub datasets: BTreeMap<String, CatalogEntry>,
    /// What is known of the event log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_log: Option<KnownTable>,
}

/// One stored dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogEntry {
    pub kind: StoredKind,
    #[serde(default)]
    pub private: bool,
    /// Flows that write it, by name.
    #[serde(default)]
    pub flows: Vec<String>,
    pub table: KnownTable,
}

/// What a table was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StoredKind {
    StreamingTable,
    MaterializedView,
    Quarantine,
}

impl Catalog {
    /// What is written on this storage, or `None` before the first update. One small read.
    pub async fn read(_storage: &Storage) -> Result<Option<Self>, Failure> {
        Err(Failure::internal("the catalog is not there yet"))
    }

    /// What is written on this storage; the first update writes `pipeline_id`, and of two that do so at once both get the same.
    pub async fn read_or_create(_storage: &Storage, _pipeline_id: impl FnOnce() -> String + Send) -> Result<Self, Failure> {
        Err(Failure::internal("the catalog is not there yet"))
    }

    /// Replaces what is written.
    pub async fn write(&self, _storage: &Storage) -> Result<(), Failure> {
        Err(Failure::internal("the catalog is not there yet"))
    }
}
