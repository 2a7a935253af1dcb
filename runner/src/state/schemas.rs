//! `schemas/<n>.json`: the columns that a flow has found in the files of its sources, and from which micro-batch on it reads them so.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use floe_graph::analysis::ddl;
use serde::{Deserialize, Serialize};

use super::{SourceId, format};
use crate::failure::Failure;

/// Directory below the generation's.
pub(super) const DIRECTORY: &str = "schemas";

/// The columns of all sources of a flow that nobody declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FoundSchemas {
    /// Format of the document.
    pub version: u32,
    /// Counts the schemas of a generation, from 0.
    pub number: u64,
    /// The first micro-batch that is read with it.
    pub batch: i64,
    /// The fingerprint of the flow as it was planned with it: for whoever looks, nothing is decided from it.
    pub fingerprint: String,
    /// Per source its columns in DDL, without hints and without the column of rescued data.
    pub sources: BTreeMap<SourceId, String>,
}

impl FoundSchemas {
    /// The schema after this one, or the first one.
    pub fn new(before: Option<&Self>, batch: i64, fingerprint: &str, sources: BTreeMap<SourceId, SchemaRef>) -> Self {
        Self {
            version: format::VERSION,
            number: before.map_or(0, |before| before.number + 1),
            batch,
            fingerprint: fingerprint.to_owned(),
            sources: sources.into_iter().map(|(id, schema)| (id, ddl::schema_text(&schema))).collect(),
        }
    }

    /// The columns of a source, if they are known.
    pub fn of(&self, source: &SourceId) -> Result<Option<Schema>, Failure> {
        let Some(text) = self.sources.get(source) else { return Ok(None) };
        let damaged = |error| {
            Failure::user("STATE_FILE_CORRUPT", format!("the stored schema of {source} cannot be read: {error}"))
                .help("restore the checkpoint from a backup, or fill the table again with --full-refresh")
        };
        ddl::parse_schema(text).map(Some).map_err(damaged)
    }
}
