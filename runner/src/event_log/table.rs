//! The Delta table of the event log: one append commit per flush, with a note of what the flush reports.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{event::EventDetails, record::Record, schema};
use crate::{
    commit::{
        KnownTable, StagedFiles,
        action::Action,
        table::{self, TableSpec, TargetTable},
        transaction::{self, CommitRequest},
        writer::{TableWriter, WriterOptions},
    },
    execute::progress::CountedIn,
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
    /// Per flow the newest version of the journal whose numbers are reported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reported_journals: BTreeMap<String, i64>,
}

impl InstanceNote {
    /// Adds what another flush says of the same runner.
    pub fn add(&mut self, other: Self) {
        self.last_seq_no = self.last_seq_no.max(other.last_seq_no);
        self.ended |= other.ended;
        other.reported.into_iter().for_each(|(flow, version)| self.report(flow, CountedIn::Target(version)));
        other.reported_journals.into_iter().for_each(|(flow, version)| self.report(flow, CountedIn::Journal(version)));
    }

    /// The numbers of this commit and of those before it are reported.
    fn report(&mut self, flow: String, commit: CountedIn) {
        let (reported, version) = match commit {
            CountedIn::Target(version) => (&mut self.reported, version),
            CountedIn::Journal(version) => (&mut self.reported_journals, version),
        };
        let newest = reported.entry(flow).or_insert(version);
        *newest = version.max(*newest);
    }

    /// True if the numbers of this commit are reported.
    pub fn reports(&self, flow: &str, commit: CountedIn) -> bool {
        let (reported, version) = match commit {
            CountedIn::Target(version) => (&self.reported, version),
            CountedIn::Journal(version) => (&self.reported_journals, version),
        };
        reported.get(flow).is_some_and(|newest| *newest >= version)
    }
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
            if let (Some(commit), Some(flow)) = (record.reports, &record.subject.flow_name) {
                instance.report(flow.clone(), commit);
            }
        }
        note
    }

    /// True if a flush with this note wrote `record`: events are written in their order.
    fn holds(&self, record: &Record) -> bool {
        self.instances.get(&record.identity.instance()).is_some_and(|instance| instance.last_seq_no >= record.seq_no)
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
    /// The version before an append whose outcome is not known: its answer was lost.
    unsure_after: Option<i64>,
}

impl DeltaLog {
    /// The event log of `storage`. Nothing is read or created before the first flush.
    pub fn new(storage: &Storage, pipeline_id: &str, known: Option<KnownTable>) -> Self {
        let state = tokio::sync::Mutex::new(Open { known, table: None, unsure_after: None });
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
            pipeline_id: Some(self.pipeline_id.clone()),
            rules: Arc::default(),
            verified: None,
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
        let version = table.version();
        let mut records = Cow::Borrowed(records);
        if let Some(version) = state.unsure_after {
            let written = written_after(&table, version).await?;
            records = records.iter().filter(|record| !written.holds(record)).cloned().collect();
        }
        let table = state.table.insert(table);
        if !records.is_empty() {
            let files = staged(table, &records).await?;
            let request = CommitRequest {
                operation: "STREAMING UPDATE",
                info: FlushNote::of(&records).to_info(),
                step: Some("event_log"),
                ..CommitRequest::default()
            };
            let appended = transaction::append(table, files, request).await;
            let known = table.known();
            if let Err(failure) = appended {
                state.unsure_after.get_or_insert(version);
                return Err(failure);
            }
            state.known = Some(known);
        }
        state.unsure_after = None;
        Ok(())
    }

    async fn known(&self) -> Option<KnownTable> {
        self.state.lock().await.known.clone()
    }
}

async fn staged(table: &TargetTable, records: &[Record]) -> Result<StagedFiles, Failure> {
    let rows = schema::rows(records)
        .map_err(|error| Failure::internal(format!("events do not fit the schema of the event log: {error}")).caused_by(error))?;
    let mut writer = TableWriter::new(table, WriterOptions::default())?;
    writer.write(&rows).await?;
    writer.finish().await
}

/// What the flushes after `version` say, all together.
async fn written_after(table: &TargetTable, version: i64) -> Result<FlushNote, Failure> {
    let location = table.location();
    let newest = table::newest_version(location, Some(version)).await?.unwrap_or(version);
    let mut all = FlushNote::default();
    for commit in table::commits(location, version, newest).await?.unwrap_or_default() {
        let note = commit.actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => FlushNote::from_commit_info(info),
            _ => None,
        });
        for (instance, note) in note.unwrap_or_default().instances {
            let known = all.instances.entry(instance).or_default();
            known.last_seq_no = known.last_seq_no.max(note.last_seq_no);
        }
    }
    Ok(all)
}
