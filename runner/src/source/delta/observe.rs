//! What planning needs to know of an external table before it is read.

use datafusion::arrow::datatypes::SchemaRef;

use super::DeltaSource;
use crate::{commit::TargetTable, failure::Failure};

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

pub(super) async fn observe(source: &DeltaSource, version: Option<i64>) -> Result<Option<ObservedTable>, Failure> {
    let Some(table) = TargetTable::open(&source.location, None).await? else { return Ok(None) };
    let newest = table.version();
    if let Some(wanted) = version.filter(|wanted| *wanted < 0 || *wanted > newest) {
        return Err(Failure::user("DELTA_VERSION_NOT_FOUND", format!("{} has no version {wanted}; the newest is {newest}", source.name))
            .help("name a version between the oldest kept one and the newest"));
    }
    Ok(Some(ObservedTable {
        table_id: table.id().to_owned(),
        version: version.unwrap_or(newest),
        schema: table.schema().clone(),
        partition_by: table.partition_columns().to_vec(),
    }))
}
