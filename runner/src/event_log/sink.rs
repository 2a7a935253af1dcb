//! The Delta table of the event log as the log sees it: somewhere rows can be appended.

use async_trait::async_trait;

use super::record::Record;
use crate::failure::Failure;

/// Receives batches of records; one call is one commit.
#[async_trait]
pub trait LogTable: Send + Sync {
    /// Appends `records` in one commit.
    async fn append(&self, records: &[Record]) -> Result<(), Failure>;
}
