//! Fits the rows of a query to the columns of a table: by name, missing columns NULL, types cast, NOT NULL kept.

use datafusion::arrow::{array::RecordBatch, datatypes::SchemaRef};

use crate::failure::Failure;

/// `batch` with the columns, order and types of `schema`. Column names are compared without regard to letter case.
pub fn fit(_batch: &RecordBatch, _schema: &SchemaRef) -> Result<RecordBatch, Failure> {
    Err(Failure::internal("fitting is not there yet"))
}
