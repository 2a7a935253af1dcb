//! The JSON documents of a checkpoint. Unknown keys are an error: a newer Floe wrote them, and guessing would lose rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use floe_graph::analysis::state::StatefulOperator;

use super::SourceId;
use crate::{commit::action::Add, failure::Failure};

/// The version of all documents of this file. Format 1 knew sources by absolute URIs and was never released.
pub const VERSION: u32 = 2;

/// `metadata.json`: what one generation of a flow's checkpoint belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenerationMetadata {
    /// Format of the document.
    pub version: u32,
    /// Name of the flow.
    pub flow: String,
    /// Counts resets, from 0.
    pub generation: u64,
    /// `flow_id` of the event log: one per generation.
    pub flow_id: uuid::Uuid,
    /// When the generation began, µs since 1970 UTC.
    pub started_us: i64,
    /// Delta table id of the target. Batches of this generation are in that table and in no other; unknown after a reset until the
    /// first batch of a later generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Ids of the sources when the generation began, for people.
    #[serde(default)]
    pub sources: Vec<SourceId>,
}

/// `offsets/<b>.json`: everything that decides the rows of micro-batch `b`, written before the first row is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchOffsets {
    /// Format of the document.
    pub version: u32,
    /// Number of the batch, from 0 in each generation.
    pub batch: i64,
    /// What `current_timestamp()` gives in this batch, µs since 1970 UTC.
    pub timestamp_us: i64,
    /// Per source id (kind and canonical name) what the batch reads of it.
    pub sources: BTreeMap<SourceId, SourceRange>,
    /// The fingerprint of the flow that planned the batch: a part of it that is committed was computed by this query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Where the quarantine table of the batch stands below the root, if the flow had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// Number of the versions that the batch adds to the journal of its Auto CDC target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_number: Option<i64>,
    /// The watermark of the batch, µs since 1970 UTC: rows with earlier event times are late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_us: Option<i64>,
    /// Per table key the version of a static input.
    #[serde(default)]
    pub statics: BTreeMap<String, StaticVersion>,
    /// Per source id the files of a static input, so that a batch that is executed again joins with the same rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub static_files: BTreeMap<SourceId, Vec<FileEntry>>,
}

impl BatchOffsets {
    /// Batch `batch` at `timestamp_us` over `sources`, without static inputs.
    pub fn new(batch: i64, timestamp_us: i64, sources: BTreeMap<SourceId, SourceRange>) -> Self {
        Self {
            version: VERSION,
            batch,
            timestamp_us,
            sources,
            fingerprint: None,
            quarantine: None,
            journal_number: None,
            watermark_us: None,
            statics: BTreeMap::new(),
            static_files: BTreeMap::new(),
        }
    }
}

/// What one micro-batch reads of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum SourceRange {
    /// These files, as a whole, in this order.
    Files {
        /// In file order.
        files: Vec<FileEntry>,
        /// Taken without being read: what was there when a stream with `includeExistingFiles => false` started.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        seen: Vec<FileEntry>,
    },
    /// The rows added by the versions after `from` up to and with `to`; without `from` the snapshot of `to`.
    Delta {
        /// Delta table id.
        table_id: String,
        /// Exclusive.
        from: Option<i64>,
        /// Inclusive.
        to: i64,
    },
    /// A part of the rows of one version of a table: files `from` up to, without, `to` of the snapshot, ordered by time and path.
    Snapshot {
        /// Delta table id.
        table_id: String,
        /// The version.
        version: i64,
        /// Inclusive.
        from: u64,
        /// Exclusive.
        to: u64,
        /// True if nothing of the snapshot is left behind it.
        last: bool,
    },
    /// A batch input of a ONCE flow; what it reads is in the static versions.
    Once,
    /// A snapshot in a directory: all rows at one time.
    DatedFiles {
        /// The file or sub-directory that is the snapshot.
        name: String,
        /// The time (µs since 1970 UTC) or the number in its name.
        value: i64,
        /// In file order.
        files: Vec<FileEntry>,
    },
    /// A version of a table as a snapshot.
    DatedVersion {
        /// Delta table id.
        table_id: String,
        /// The version.
        version: i64,
        /// When it was committed, µs since 1970 UTC.
        value: i64,
    },
}

impl SourceRange {
    /// Files that are known from this batch on, and whether it reads them.
    pub fn taken_files(&self) -> impl Iterator<Item = (&FileEntry, bool)> {
        let (files, seen): (&[FileEntry], &[FileEntry]) = match self {
            Self::Files { files, seen } => (files, seen),
            Self::DatedFiles { files, .. } => (files, &[]),
            Self::Delta { .. } | Self::Snapshot { .. } | Self::Once | Self::DatedVersion { .. } => (&[], &[]),
        };
        files.iter().map(|file| (file, true)).chain(seen.iter().map(|file| (file, false)))
    }

    /// The time or the number of a snapshot.
    pub fn snapshot_value(&self) -> Option<i64> {
        match self {
            Self::DatedFiles { value, .. } | Self::DatedVersion { value, .. } => Some(*value),
            Self::Files { .. } | Self::Delta { .. } | Self::Snapshot { .. } | Self::Once => None,
        }
    }
}

/// One file of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileEntry {
    /// URI of the file; relative to the project (`data/a.json`) for a file below it. Compared byte by byte.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Modification time, µs since 1970 UTC.
    pub modified_us: i64,
    /// What the store calls the content, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// The version of a static input that a batch joins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StaticVersion {
    /// Delta table id.
    pub table_id: String,
    /// The version that is read.
    pub version: i64,
}

/// `commits/<b>.json`: batch `b` is in the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchCommit {
    /// Format of the document.
    pub version: u32,
    /// Number of the batch, from 0 in each generation.
    pub batch: i64,
    /// The version of the target that holds the batch; `None` if it had no rows and wrote nothing.
    pub target_version: Option<i64>,
    /// Per source id where the next batch begins.
    pub positions: BTreeMap<SourceId, SourcePosition>,
}

impl BatchCommit {
    /// Batch `batch` is done, in version `target_version` of the target.
    pub fn new(batch: i64, target_version: Option<i64>, positions: BTreeMap<SourceId, SourcePosition>) -> Self {
        Self { version: VERSION, batch, target_version, positions }
    }
}

/// `state/<b>.json`: what a flow remembers after micro-batch `b`. Written before the batch is in the target, and again if the batch is executed
/// again; it counts when `commits/<b>.json` is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchState {
    /// Format of the document.
    pub version: u32,
    /// Number of the batch, from 0 in each generation.
    pub batch: i64,
    /// The watermark with which the batch was executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_us: Option<i64>,
    /// Per watermarked source and column the greatest event time so far, µs since 1970 UTC.
    #[serde(default)]
    pub event_times: BTreeMap<String, i64>,
    /// In the order of their numbers.
    #[serde(default)]
    pub operators: Vec<OperatorState>,
}

/// What one operator remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorState {
    /// What it was made for.
    pub operator: StatefulOperator,
    /// Files of keys, beside this document.
    pub segments: Vec<Segment>,
}

/// Keys in one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Segment {
    /// Its name, size and bounds.
    pub file: Add,
    /// Keys in it.
    pub rows: u64,
    /// When the watermark has passed this, none of its keys is needed any more, µs since 1970 UTC; without it they are needed for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_us: Option<i64>,
}

impl BatchState {
    /// True if the file is part of it.
    pub fn names(&self, file: &str) -> bool {
        self.segments().any(|segment| segment.file.path == file)
    }

    /// The files of all operators.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.operators.iter().flat_map(|operator| &operator.segments)
    }
}

/// Where the next batch of a source begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum SourcePosition {
    /// The ledger of taken files is the position.
    Files,
    /// After `version` of the table with this id.
    Delta {
        /// Delta table id.
        table_id: String,
        /// Everything up to it has been read.
        version: i64,
    },
    /// In the snapshot of `version` of the table with this id.
    Snapshot {
        /// Delta table id.
        table_id: String,
        /// The version of the snapshot.
        version: i64,
        /// So many of its files have been read.
        read: u64,
    },
    /// A ONCE flow that has run.
    Done,
    /// After a snapshot in a directory.
    Dated {
        /// The file or sub-directory that was the snapshot.
        name: String,
        /// The time (µs since 1970 UTC) or the number in its name.
        value: i64,
    },
    /// After a version of a table as a snapshot.
    DatedVersion {
        /// Delta table id.
        table_id: String,
        /// The version.
        version: i64,
        /// When it was committed, µs since 1970 UTC.
        value: i64,
    },
}

impl SourcePosition {
    /// The version of the table that the position is in.
    pub fn table_version(&self) -> Option<i64> {
        match self {
            Self::Delta { version, .. } | Self::Snapshot { version, .. } | Self::DatedVersion { version, .. } => Some(*version),
            Self::Files | Self::Done | Self::Dated { .. } => None,
        }
    }
}

impl SourceRange {
    /// The position of the source after this range.
    pub fn end(&self) -> SourcePosition {
        match self {
            Self::Files { .. } => SourcePosition::Files,
            Self::Delta { table_id, to: version, .. } | Self::Snapshot { table_id, version, last: true, .. } => {
                SourcePosition::Delta { table_id: table_id.clone(), version: *version }
            }
            Self::Snapshot { table_id, version, to, .. } => {
                SourcePosition::Snapshot { table_id: table_id.clone(), version: *version, read: *to }
            }
            Self::Once => SourcePosition::Done,
            Self::DatedFiles { name, value, .. } => SourcePosition::Dated { name: name.clone(), value: *value },
            Self::DatedVersion { table_id, version, value } => {
                SourcePosition::DatedVersion { table_id: table_id.clone(), version: *version, value: *value }
            }
        }
    }
}

/// A document of state as pretty JSON: people read these files when something went wrong.
pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec_pretty(value).map_err(|error| Failure::internal(format!("cannot write state as JSON: {error}")))
}

/// A document that may list ten thousand files.
pub(crate) fn to_compact_json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| Failure::internal(format!("cannot write state as JSON: {error}")))
}

/// Reads the document at `place`.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8], place: &str) -> Result<T, Failure> {
    if let Ok(Versioned { version }) = serde_json::from_slice(bytes)
        && version > VERSION
    {
        return Err(Failure::user(
            "STATE_FORMAT_TOO_NEW",
            format!("{place} has format {version}; this Floe knows formats up to {VERSION}"),
        )
        .help("run the newer Floe that wrote it"));
    }
    if let Ok(Versioned { version }) = serde_json::from_slice(bytes)
        && version < VERSION
    {
        return Err(Failure::user(
            "STATE_FORMAT_TOO_OLD",
            format!("{place} has format {version}, which no release wrote; this Floe reads format {VERSION}"),
        )
        .help("begin with an empty storage folder"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::user("STATE_FILE_CORRUPT", format!("{place} cannot be read: {error}"))
            .help("restore the file from a backup, or reset the checkpoint of the flow")
            .caused_by(error)
    })
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}
