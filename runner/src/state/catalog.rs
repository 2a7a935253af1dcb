//! `_floe/graph.json`: the id of the pipeline and, per dataset, what was last set up. Spares a no-op update every replay of a log.

use std::collections::BTreeMap;

use floe_graph::name::DatasetName;
use serde::{Deserialize, Serialize};

use crate::{
    commit::{KnownTable, TableSize},
    failpoint,
    failure::Failure,
    state::format,
    storage::{PutOutcome, Storage, layout},
};

/// What this storage holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Catalog {
    /// Format of the document.
    pub version: u32,
    /// Written by the first update, never changed.
    pub pipeline_id: String,
    /// By lower-case full name, quarantine tables included; inactive datasets stay.
    #[serde(default)]
    pub datasets: BTreeMap<String, CatalogEntry>,
    /// The Pipeline of a cluster that wrote here last. A clean-up of another one removes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<ClusterPipeline>,
    /// What is known of the event log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_log: Option<KnownTable>,
}

/// A Pipeline of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterPipeline {
    /// Its namespace.
    pub namespace: String,
    /// Its name. One that is made again under it goes on with the data.
    pub name: String,
}

/// One stored dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogEntry {
    /// What the table was made for.
    pub kind: StoredKind,
    /// True below `_floe/private`.
    #[serde(default)]
    pub private: bool,
    /// Flows that write it, by name, and those that did and left the definition.
    #[serde(default)]
    pub flows: Vec<String>,
    /// Those of the flows whose checkpoints have state or had it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stateful: Vec<String>,
    /// Key of the dataset that a quarantine table or a journal belongs to.
    #[serde(default, alias = "quarantineOf", skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// The table as it was last seen.
    pub table: KnownTable,
    /// What it held when it was last measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<TableSize>,
    /// When its files were last compacted, µs since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimized_us: Option<i64>,
    /// Its data are being deleted: whoever finds this goes on with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removing: bool,
}

/// What a table was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StoredKind {
    /// Rows are appended by flows.
    StreamingTable,
    /// Computed as a whole.
    MaterializedView,
    /// Rows that violated expectations of another dataset.
    Quarantine,
    /// What Auto CDC knows of every key of another dataset.
    Journal,
}

impl CatalogEntry {
    /// The directory of the table, which is called `name`.
    pub fn path(&self, name: &DatasetName) -> String {
        match self.kind {
            StoredKind::Journal => layout::journal_path(name),
            StoredKind::StreamingTable | StoredKind::MaterializedView | StoredKind::Quarantine => layout::table_path(name, self.private),
        }
    }
}

impl Catalog {
    /// An empty catalog of the pipeline with this id.
    pub fn new(pipeline_id: impl Into<String>) -> Self {
        Self { version: format::VERSION, pipeline_id: pipeline_id.into(), datasets: BTreeMap::new(), used_by: None, event_log: None }
    }

    /// What is written on this storage, or `None` before the first update. One small read.
    pub async fn read(storage: &Storage) -> Result<Option<Self>, Failure> {
        let root = storage.root();
        match root.get(layout::GRAPH_FILE).await? {
            Some(bytes) => format::from_json(&bytes, &format!("{root}/{}", layout::GRAPH_FILE)).map(Some),
            None => Ok(None),
        }
    }

    /// What is written on this storage; the first update writes `pipeline_id`, and of two that do so at once both get the same.
    pub async fn read_or_create(storage: &Storage, pipeline_id: impl FnOnce() -> String + Send) -> Result<Self, Failure> {
        if let Some(catalog) = Self::read(storage).await? {
            return Ok(catalog);
        }
        let catalog = Self::new(pipeline_id());
        failpoint::reach("graph::before")?;
        if storage.root().put_if_absent(layout::GRAPH_FILE, format::to_json(&catalog)?).await? == PutOutcome::Created {
            return Ok(catalog);
        }
        Self::read(storage)
            .await?
            .ok_or_else(|| Failure::transient("CONCURRENT_UPDATE", format!("{} was deleted meanwhile", layout::GRAPH_FILE)))
    }

    /// Writes down that `pipeline` writes here now, if that is new.
    pub async fn claim(&mut self, storage: &Storage, pipeline: ClusterPipeline) -> Result<(), Failure> {
        if self.used_by.as_ref() == Some(&pipeline) {
            return Ok(());
        }
        self.used_by = Some(pipeline);
        self.write(storage).await
    }

    /// Replaces what is written.
    pub async fn write(&self, storage: &Storage) -> Result<(), Failure> {
        failpoint::reach("graph::before")?;
        storage.root().put(layout::GRAPH_FILE, format::to_compact_json(self)?).await?;
        failpoint::reach("graph::after")
    }
}
