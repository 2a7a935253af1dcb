//! The change of the target: rows that come are written, rows that go are collected by their places.

use datafusion::arrow::{
    array::{AsArray, RecordBatch, UInt32Array},
    compute::take_record_batch,
    datatypes::UInt64Type,
};

use super::{
    definition::Definition,
    fold::{Change, Chunk, Folded},
    write::{self, Writing},
};
use crate::{
    commit::{ChangeDataWriter, ChangeType, RowChange, StagedChangeData, TableWriter, TargetTable, WriterOptions},
    engine_failure::engine_error,
    failure::Failure,
    keyed::TableRows,
};

/// Gathers what one micro-batch does to the target.
pub struct TargetWriter {
    definition: Definition,
    coming: Writing,
    going: Vec<u64>,
    came: u64,
    /// For a table with a change feed.
    changes: Option<ChangeDataWriter>,
}

impl TargetWriter {
    /// Nothing is written before the first row.
    pub fn new(definition: &Definition, target: &TargetTable, writers: &WriterOptions) -> Result<Self, Failure> {
        let changes = target.has("delta.enableChangeDataFeed").then(|| ChangeDataWriter::new(target, writers.clone())).transpose()?;
        let coming = Writing::start(TableWriter::new(target, WriterOptions::of(target, writers.shared.clone()))?);
        Ok(Self { definition: definition.clone(), coming, going: Vec::new(), came: 0, changes })
    }

    /// Takes the effect of one chunk. False if the writer has failed: `finish` tells why.
    pub async fn write(&mut self, chunk: &Chunk, folded: &Folded) -> Result<bool, Failure> {
        if folded.changes.is_empty() {
            return Ok(true);
        }
        let rows = write::rows(&self.definition, folded)?;
        let present = chunk.present.rows();
        let places = present.column(present.num_columns() - 1).as_primitive::<UInt64Type>().values();
        let going = folded.changes.iter().filter_map(|change| match change {
            Change::Update { present, .. } | Change::Delete { present } => Some(places[*present]),
            Change::Insert { .. } => None,
        });
        self.going.extend(going);
        self.came += rows.num_rows() as u64;
        if let Some(changes) = &mut self.changes {
            write_changes(changes, &folded.changes, present, &rows).await?;
        }
        Ok(self.coming.write(rows).await)
    }

    /// The change, if there is one.
    pub async fn finish(self, present: &TableRows, writers: WriterOptions, parallelism: usize) -> Result<Option<RowChange>, Failure> {
        let coming = match self.coming.finish().await {
            Ok(coming) => coming,
            Err(failure) => {
                abort(self.changes).await;
                return Err(failure);
            }
        };
        let change_data = match self.changes {
            Some(changes) => Some(changes.finish().await?).filter(|staged: &StagedChangeData| staged.rows > 0),
            None => None,
        };
        if self.going.is_empty() && self.came == 0 {
            return Ok(None);
        }
        let going = present.going(self.going)?;
        Ok(Some(RowChange { found_in: present.version(), going, coming, change_data, writers, parallelism }))
    }

    /// Deletes what was written.
    pub async fn abort(self) {
        self.coming.abort().await;
        abort(self.changes).await;
    }
}

async fn abort(changes: Option<ChangeDataWriter>) {
    if let Some(changes) = changes
        && let Err(left) = changes.abort().await
    {
        tracing::warn!("staged files were left behind: {left}");
    }
}

/// The changes as readers of the change feed see them.
async fn write_changes(
    writer: &mut ChangeDataWriter,
    changes: &[Change],
    present: &RecordBatch,
    rows: &RecordBatch,
) -> Result<(), Failure> {
    let visible: Vec<usize> = (0..present.num_columns() - 1).collect();
    let present = present.project(&visible).map_err(|error| engine_error(error.into()))?;
    let of = |kind: ChangeType| -> (Vec<u32>, &RecordBatch) {
        let rows_of = |change: &Change| match (kind, change) {
            (ChangeType::Insert, Change::Insert { new }) | (ChangeType::UpdatePostimage, Change::Update { new, .. }) => Some(*new as u32),
            (ChangeType::UpdatePreimage, Change::Update { present, .. }) | (ChangeType::Delete, Change::Delete { present }) => {
                Some(*present as u32)
            }
            _ => None,
        };
        let before = matches!(kind, ChangeType::UpdatePreimage | ChangeType::Delete);
        (changes.iter().filter_map(rows_of).collect(), if before { &present } else { rows })
    };
    for kind in [ChangeType::Insert, ChangeType::UpdatePreimage, ChangeType::UpdatePostimage, ChangeType::Delete] {
        let (chosen, from) = of(kind);
        if !chosen.is_empty() {
            let chosen = take_record_batch(from, &UInt32Array::from(chosen)).map_err(|error| engine_error(error.into()))?;
            writer.write(&chosen, kind).await?;
        }
    }
    Ok(())
}
