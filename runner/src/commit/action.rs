//! The actions of the Delta protocol that Floe reads and writes, as they stand in a commit file, one per line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of a commit. Actions that Floe has no use for are kept as [`Action::Other`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Who committed what; our counters are under `floe`.
    CommitInfo(serde_json::Map<String, serde_json::Value>),
    /// What readers and writers must know.
    Protocol(Protocol),
    /// Columns and properties, as a whole.
    MetaData(MetaData),
    /// How far an application has come.
    Txn(Txn),
    /// A file is in the table.
    Add(Add),
    /// A file is in the table no more.
    Remove(Remove),
    /// A file says which rows this version inserted, updated and deleted.
    Cdc(Cdc),
    /// `domainMetadata` and what a later protocol brings.
    #[serde(skip)]
    Other,
}

/// What a reader and a writer of the table must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    /// 1, or 3 with features.
    pub min_reader_version: i32,
    /// 2 to 4, or 7 with features.
    pub min_writer_version: i32,
    /// With reader version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_features: Option<Vec<String>>,
    /// With writer version 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer_features: Option<Vec<String>>,
}

/// Schema, partitioning and properties of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetaData {
    /// Stays with the table for ever.
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The comment of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of the data files.
    pub format: Format,
    /// JSON text of the columns.
    pub schema_string: String,
    /// In the order of the directories.
    #[serde(default)]
    pub partition_columns: Vec<String>,
    /// Table properties.
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
    /// ms since 1970
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_time: Option<i64>,
}

/// Always Parquet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// `parquet`
    pub provider: String,
    /// Always empty.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// The newest version of an application that the table holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Txn {
    /// Who counts.
    pub app_id: String,
    /// How far it has come.
    pub version: i64,
    /// ms since 1970
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<i64>,
}

/// A data file that belongs to the table from this version on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// Relative to the table, percent-encoded as a URI.
    pub path: String,
    /// Per partition column the value as text.
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Bytes.
    pub size: i64,
    /// ms since 1970
    pub modification_time: i64,
    /// False if the rows were in the table before (compaction).
    pub data_change: bool,
    /// JSON text: numRecords, minValues, maxValues, nullCount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    /// Of other engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
    /// Rows of the file that are not in the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<DeletionVector>,
}

/// Where it stands which rows of a data file are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionVector {
    /// What the next field is.
    pub storage_type: VectorStorage,
    /// An id that names a file, the vector itself, or the URI of a file.
    pub path_or_inline_dv: String,
    /// Place within the file, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i32>,
    /// Bytes of the vector, before it was encoded as text.
    pub size_in_bytes: i32,
    /// Rows that it marks.
    pub cardinality: i64,
}

/// How a log refers to a deletion vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VectorStorage {
    /// The log holds it.
    #[serde(rename = "i")]
    Inline,
    /// A file beside the data files, named by an id.
    #[serde(rename = "u")]
    Relative,
    /// A file anywhere.
    #[serde(rename = "p")]
    Absolute,
}

/// A file that says which rows a version changed. Readers of changes read it instead of the files that came and went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cdc {
    /// Below `_change_data/`, percent-encoded as a URI.
    pub path: String,
    /// Per partition column the value as text.
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Bytes.
    pub size: i64,
    /// Always false: the file is not part of the table.
    pub data_change: bool,
    /// Of other engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
}

/// A data file that belongs to the table no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remove {
    /// As in the action that added it.
    pub path: String,
    /// ms since 1970
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<i64>,
    /// False if the rows were in the table before (compaction).
    pub data_change: bool,
    /// True: partition values and size are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_file_metadata: Option<bool>,
    /// As in the action that added it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_values: Option<BTreeMap<String, Option<String>>>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// As in the action that added it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<DeletionVector>,
}

impl Add {
    /// Rows of the file, marked ones too, if the statistics say.
    pub fn rows(&self) -> Option<u64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stats {
            num_records: Option<u64>,
        }
        serde_json::from_str::<Stats>(self.stats.as_deref()?).ok()?.num_records
    }

    /// Rows of the file that its deletion vector marks.
    pub fn marked_rows(&self) -> u64 {
        self.deletion_vector.as_ref().map_or(0, |vector| vector.cardinality.max(0) as u64)
    }

    /// Rows of the file that are in the table, if the statistics say.
    pub fn live_rows(&self) -> Option<u64> {
        Some(self.rows()?.saturating_sub(self.marked_rows()))
    }

    /// The action that takes this file out of the table at `now_ms`.
    pub fn removed(&self, now_ms: i64) -> Remove {
        Remove {
            path: self.path.clone(),
            deletion_timestamp: Some(now_ms),
            data_change: true,
            extended_file_metadata: Some(true),
            partition_values: Some(self.partition_values.clone()),
            size: Some(self.size),
            deletion_vector: self.deletion_vector.clone(),
        }
    }
}

/// One line of a commit file: of the known keys at most one is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    commit_info: Option<serde_json::Map<String, serde_json::Value>>,
    protocol: Option<Protocol>,
    meta_data: Option<MetaData>,
    txn: Option<Txn>,
    add: Option<Add>,
    remove: Option<Remove>,
    cdc: Option<Cdc>,
}

/// True if a commit adds or removes rows, and does not only move them.
pub fn changes_rows(actions: &[Action]) -> bool {
    actions.iter().any(|action| match action {
        Action::Add(add) => add.data_change,
        Action::Remove(remove) => remove.data_change,
        _ => false,
    })
}

/// The actions of a commit file.
pub fn parse(content: &[u8]) -> Result<Vec<Action>, serde_json::Error> {
    content.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Result<Action, serde_json::Error> {
    let line: Line = serde_json::from_slice(line)?;
    Ok(match line {
        Line { add: Some(add), .. } => Action::Add(add),
        Line { remove: Some(remove), .. } => Action::Remove(remove),
        Line { cdc: Some(cdc), .. } => Action::Cdc(cdc),
        Line { commit_info: Some(info), .. } => Action::CommitInfo(info),
        Line { txn: Some(txn), .. } => Action::Txn(txn),
        Line { meta_data: Some(metadata), .. } => Action::MetaData(metadata),
        Line { protocol: Some(protocol), .. } => Action::Protocol(protocol),
        _ => Action::Other,
    })
}

/// A commit file of `actions`.
pub fn render(actions: &[Action]) -> Result<Vec<u8>, serde_json::Error> {
    let mut content = Vec::with_capacity(actions.len() * 512);
    for action in actions {
        serde_json::to_writer(&mut content, action)?;
        content.push(b'\n');
    }
    Ok(content)
}
