//! What planning needs to know of an external table before it is read.

use datafusion::arrow::datatypes::SchemaRef;

use super::DeltaSource;
use crate::{
    commit::{KnownTable, table},
    failure::Failure,
};

/// An external table as it is found.
#[derive(Clone, Debug)]
pub struct ObservedTable {
    /// The Delta table id.
    pub table_id: String,
    /// The newest version.
    pub version: i64,
    /// All columns: text is Utf8, timestamps are in µs.
    pub schema: SchemaRef,
    /// Partition columns.
    pub partition_by: Vec<String>,
}

/// Reader features that do not change how plain data files and log entries are read, or that the library's scan knows.
const READER_FEATURES: [&str; 4] = ["columnMapping", "deletionVectors", "timestampNtz", "v2Checkpoint"];

pub(super) async fn observe(source: &DeltaSource, version: Option<i64>) -> Result<Option<ObservedTable>, Failure> {
    let Some(table) = look(source).await? else { return Ok(None) };
    let newest = table.version;
    if let Some(wanted) = version.filter(|wanted| *wanted < 0 || *wanted > newest) {
        let text = format!("{} has no version {wanted}; the newest is {newest}", source.name);
        return Err(Failure::user("DELTA_VERSION_NOT_FOUND", text).help("name a version between the oldest kept one and the newest"));
    }
    Ok(Some(ObservedTable {
        schema: table.schema()?,
        table_id: table.metadata.id,
        version: version.unwrap_or(newest),
        partition_by: table.metadata.partition_columns,
    }))
}

/// The newest metadata of a table that this release can read.
pub(super) async fn look(source: &DeltaSource) -> Result<Option<KnownTable>, Failure> {
    let Some(table) = table::look(&source.location, None).await? else { return Ok(None) };
    let features = table.protocol.reader_features.iter().flatten();
    let unknown: Vec<&str> = features.map(String::as_str).filter(|feature| !READER_FEATURES.contains(feature)).collect();
    if table.protocol.min_reader_version > 3 || !unknown.is_empty() {
        let what = if unknown.is_empty() {
            format!("reader version {}", table.protocol.min_reader_version)
        } else {
            format!("the reader features {}", unknown.join(", "))
        };
        let text = format!("{} at {} needs {what}, which this release cannot read", source.name, source.location);
        return Err(
            Failure::user("DELTA_UNSUPPORTED_FEATURES_FOR_READ", text).help("drop the feature from the table, or read a copy without it")
        );
    }
    Ok(Some(table))
}
