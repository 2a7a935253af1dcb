//! The Delta table of the event log: one append commit per flush, with a note of what the flush reports.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{event::EventDetails, record::Record, schema};
use crate::{
    commit::{
        table::{KnownTable, TableSpec, TargetTable},
        transaction::{self, CommitRequest},
        writer::{TableWriter, WriterOptions},
    },
    failure::Failure,
    storage::{Storage, layout},
};

/// Receives batches of records; one call is one commit.
#[async_trait]
pub trait LogTable: Send + Sync {
    /// Appends `records` in one commit.
    async fn append(&self, records: &[Record]) -> Result<(), Failure>;

    /// What is known of the table after the last append: spares the next runner reading its log.
    async fn known(&self) -> Option<KnownTable> {
        None
    }
}

/// What one flush says about the runners whose events it holds, by instance (`<update>/<attempt>`), in its `commitInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FlushNote {
    /// Almost always one; two when a runner closes the update of a dead one.
    pub instances: BTreeMap<String, InstanceNote>,
}

/// One runner in a flush.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceNote {
    /// Number of its last event.
    pub last_seq_no: i64,
    /// The update reached a terminal state.
    pub ended: bool,
    /// Per flow the newest version of its target whose numbers are reported.
    pub reported: BTreeMap<String, i64>,
}

impl FlushNote {
    /// The note of a flush that holds `records`.
    pub fn of(records: &[Record]) -> Self {
        let mut note = Self::default();
        for record in records {
            let instance = note.instances.entry(record.identity.instance()).or_default();
            instance.last_seq_no = instance.last_seq_no.max(record.seq_no);
            if let EventDetails::UpdateProgress(progress) = &record.typed {
                instance.ended |= progress.state.is_terminal();
            }
            if let (Some(version), Some(flow)) = (record.reports, &record.subject.flow_name) {
                let reported = instance.reported.entry(flow.clone()).or_insert(version);
                *reported = version.max(*reported);
            }
        }
        note
    }

    /// The note in a `commitInfo` of the event log.
    pub fn from_commit_info(info: &Map<String, Value>) -> Option<Self> {
        serde_json::from_value(info.get("floe")?.clone()).ok()
    }

    fn to_info(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(note)) => note,
            _ => Map::new(),
        }
    }
}

/// The table `<root>/_floe/event_log`.
pub(super) struct DeltaLog {
    storage: Storage,
    pipeline_id: String,
    state: tokio::sync::Mutex<Open>,
}

struct Open {
    known: Option<KnownTable>,
    table: Option<TargetTable>,
}

impl DeltaLog {
    /// The event log of `storage`. Nothing is read or created before the first flush.
    pub fn new(storage: &Storage, pipeline_id: &str, known: Option<KnownTable>) -> Self {
        let state = tokio::sync::Mutex::new(Open { known, table: None });
        Self { storage: storage.clone(), pipeline_id: pipeline_id.to_string(), state }
    }

    fn spec(&self) -> TableSpec {
        TableSpec {
            dataset: "event_log".to_string(),
            location: self.storage.at(layout::EVENT_LOG),
            schema: schema::schema(),
            partition_by: Vec::new(),
            properties: BTreeMap::from([("delta.appendOnly".to_string(), "false".to_string())]),
            comment: Some("Everything that this pipeline did".to_string()),
            pipeline_id: self.pipeline_id.clone(),
        }
    }
}

#[async_trait]
impl LogTable for DeltaLog {
    async fn append(&self, records: &[Record]) -> Result<(), Failure> {
        let mut state = self.state.lock().await;
        let table = match state.table.take() {
            Some(table) => table,
            None => TargetTable::open_or_create(&self.spec(), state.known.clone()).await?,
        };
        let table = state.table.insert(table);
        let rows = schema::rows(records)
            .map_err(|error| Failure::internal(format!("events do not fit the schema of the event log: {error}")).caused_by(error))?;
        let mut writer = TableWriter::new(table, WriterOptions::default())?;
        writer.write(&rows).await?;
        let files = writer.finish().await?;
        let request = CommitRequest {
            operation: "STREAMING UPDATE",
            info: FlushNote::of(records).to_info(),
            step: Some("event_log"),
            ..CommitRequest::default()
        };
        transaction::append(table, files, request).await?;
        state.known = Some(table.known());
        Ok(())
    }

    async fn known(&self) -> Option<KnownTable> {
        self.state.lock().await.known.clone()
    }
}
