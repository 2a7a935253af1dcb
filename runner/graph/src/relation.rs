//! The leaves of a resolved plan: relations that the runner replaces by something that can be read.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion_common::arrow::datatypes::SchemaRef;
use datafusion_expr::TableSource;

use crate::{name::DatasetName, origin::Origin};

/// The option of a stream that says `CHANGES FROM VERSION n`: a name that nobody writes.
pub const CHANGES_FROM_VERSION: &str = "changes from version";

/// The columns that a change feed has behind those of its table: kind of change, version and time of the commit.
pub const CHANGE_COLUMNS: [&str; 3] = ["_change_type", "_commit_version", "_commit_timestamp"];

/// What a leaf of a plan reads, and whether it is read as a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Relation {
    /// What is read.
    pub kind: RelationKind,
    /// Read incrementally (`STREAM`), or as a whole at the newest version.
    pub streaming: bool,
    /// Options of the read, keys in lower case without the prefix `cloudfiles.`; values as text.
    pub options: BTreeMap<String, String>,
    /// Where the query names it.
    pub origin: Option<Origin>,
    /// Where the query gives the options.
    pub given: OptionPlaces,
}

/// The options of a relation as the query spells them, with their places, by their keys. They say nothing about what is read: any two are equal.
#[derive(Clone, Debug, Default)]
pub struct OptionPlaces(BTreeMap<String, (String, Origin)>);

impl OptionPlaces {
    /// The option `key` is spelled `name`, at `origin`.
    pub fn insert(&mut self, key: String, name: String, origin: Origin) {
        self.0.insert(key, (name, origin));
    }

    /// Takes in all of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How the query spells the option.
    pub fn name(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|(name, _)| name.as_str())
    }

    /// Where it stands.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.0.get(key).map(|(_, origin)| origin)
    }
}

impl PartialEq for OptionPlaces {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for OptionPlaces {}

impl Hash for OptionPlaces {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The kinds of leaf.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant says what its fields are")]
pub enum RelationKind {
    /// A stored dataset of this pipeline (streaming table, materialized view or a quarantine table).
    Dataset { name: DatasetName },
    /// A Delta table by location: an external table (with its name) or `` delta.`uri` ``.
    Delta { name: Option<DatasetName>, location: String, version: Option<i64> },
    /// `read_files(path, …)` or `` json.`path` ``; `format` in lower case.
    Files { path: String, format: String },
    /// The event log (only in `floe sql`).
    EventLog,
}

impl RelationKind {
    /// True if both are the same kind at the same place; spellings like `./data/` and `data` are one place.
    fn same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Files { path, format }, Self::Files { path: other, format: other_format }) => {
                format == other_format && place_segments(path) == place_segments(other)
            }
            (Self::Delta { location, version, .. }, Self::Delta { location: other, version: other_version, .. }) => {
                version == other_version && place_segments(location) == place_segments(other)
            }
            _ => self == other,
        }
    }
}

/// The segments of a path or URI, without `.`, `..` and empty ones; the first says whether it is absolute.
pub(crate) fn place_segments(path: &str) -> Vec<&str> {
    let (scheme, path) = path.split_once("://").unwrap_or(("", path.strip_prefix("file:").unwrap_or(path)));
    let scheme = if scheme == "file" { "" } else { scheme };
    let mut segments = vec![if scheme.is_empty() && path.starts_with('/') { "/" } else { scheme }];
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." if segments.len() > 1 && segments.last() != Some(&"..") => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    segments
}

impl Relation {
    /// True if both read the same thing in the same way, wherever the query names it.
    pub fn reads_like(&self, other: &Self) -> bool {
        self.kind.same_place(&other.kind) && self.streaming == other.streaming && self.options == other.options
    }

    /// The canonical name of the source: what a checkpoint knows it by, and what messages say.
    pub fn source_id(&self) -> String {
        match &self.kind {
            RelationKind::Dataset { name } | RelationKind::Delta { name: Some(name), .. } => name.key(),
            RelationKind::Delta { name: None, location, .. } => location.clone(),
            RelationKind::Files { path, .. } => path.clone(),
            RelationKind::EventLog => "event_log".to_string(),
        }
    }
}

/// The table source that stands for a relation in a logical plan. The runner downcasts to it and puts a provider in its place.
///
/// For files the schema ends with the hidden column `_metadata` only where the query uses it.
#[derive(Clone, Debug)]
pub struct RelationSource {
    /// The relation that the leaf stands for.
    pub relation: Arc<Relation>,
    /// Columns that the query sees.
    pub schema: SchemaRef,
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
