//! Where the results of the fold go: versions into files of the journal, rows into files of the target, each encoded by a task of its own.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array},
    compute::take,
    datatypes::SchemaRef,
    util::display::array_value_to_string,
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    definition::Definition,
    fold::{Chunk, Folded, Kept, Op},
};
use crate::{
    commit::{StagedFiles, TableWriter},
    engine_failure::engine_error,
    failure::Failure,
};

/// Batches that wait for a writer.
const WAITING_BATCHES: usize = 2;

/// A writer that encodes beside what feeds it.
pub struct Writing {
    orders: mpsc::Sender<Order>,
    task: AbortOnDropHandle<Result<StagedFiles, Failure>>,
}

enum Order {
    Write(RecordBatch),
    /// Nothing will be committed.
    Abort,
}

impl Writing {
    /// Takes `writer` to a task of its own.
    pub fn start(writer: TableWriter) -> Self {
        let (orders, waiting) = mpsc::channel(WAITING_BATCHES);
        Self { orders, task: AbortOnDropHandle::new(tokio::spawn(carry_out(writer, waiting))) }
    }

    /// Hands over rows. False if the writer has failed: `finish` tells why.
    pub async fn write(&self, batch: RecordBatch) -> bool {
        batch.num_rows() == 0 || self.orders.send(Order::Write(batch)).await.is_ok()
    }

    /// The files.
    pub async fn finish(self) -> Result<StagedFiles, Failure> {
        drop(self.orders);
        self.task.await.unwrap_or_else(|error| Err(Failure::internal("a writer panicked").caused_by(error)))
    }

    /// Deletes what was written.
    pub async fn abort(self) {
        // A writer that does not listen any more has deleted its files.
        let _ = self.orders.send(Order::Abort).await;
        let _ = self.finish().await;
    }
}

/// After a failure nothing is left behind.
async fn carry_out(mut writer: TableWriter, mut orders: mpsc::Receiver<Order>) -> Result<StagedFiles, Failure> {
    while let Some(order) = orders.recv().await {
        let failure = match order {
            Order::Write(batch) => match writer.write(&batch).await {
                Ok(()) => continue,
                Err(failure) => failure,
            },
            Order::Abort => Failure::internal("a writer was told to stop"),
        };
        if let Err(left) = writer.abort().await {
            tracing::warn!("staged files were left behind: {left}");
        }
        return Err(failure);
    }
    writer.finish().await
}

/// What all versions of one micro-batch have in common.
#[derive(Clone, Debug)]
pub struct Mark {
    /// `<flow>/g<n>/<batch>`.
    pub transaction: String,
    /// Greater than that of every earlier micro-batch.
    pub number: i64,
    /// Time of the micro-batch.
    pub at_us: i64,
}

/// The versions of a chunk, as the journal stores them.
pub fn versions(definition: &Definition, chunk: &Chunk, folded: &Folded, mark: &Mark) -> Result<RecordBatch, Failure> {
    let events = chunk.events.rows();
    let chosen = UInt32Array::from_iter_values(folded.versions.iter().map(|row| *row as u32));
    let shape = &definition.shape;
    let stored: Vec<usize> = match shape.kept {
        Kept::Latest => shape.keys.iter().copied().chain([shape.columns]).collect(),
        Kept::Patched | Kept::History => (0..=shape.columns).collect(),
    };
    let taken = |at: usize| take(events.column(at), &chosen, None).map_err(|error| engine_error(error.into()));
    let mut columns = stored.into_iter().map(taken).collect::<Result<Vec<ArrayRef>, Failure>>()?;
    let rows = chosen.len();
    columns.push(Arc::new(StringArray::from_iter_values(folded.versions.iter().map(|row| chunk.events.op(*row).text()))));
    columns.push(Arc::new(Int64Array::from(vec![mark.number; rows])));
    columns.push(Arc::new(StringArray::from(vec![mark.transaction.as_str(); rows])));
    columns.push(Arc::new(TimestampMicrosecondArray::from(vec![mark.at_us; rows]).with_timezone("UTC")));
    batch(&definition.journal(), columns)
}

/// The new rows of a chunk.
pub fn rows(definition: &Definition, folded: &Folded) -> Result<RecordBatch, Failure> {
    batch(&definition.rows(), folded.rows.clone())
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, Failure> {
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| Failure::internal(format!("rows of Auto CDC do not fit: {error}")))
}

/// The failure of two events that differ and have the same key and sequence.
pub fn tie(definition: &Definition, row: &RecordBatch, ops: (Op, Op)) -> Failure {
    let value = |at: usize| array_value_to_string(row.column(at), 0).unwrap_or_default();
    let keys = definition.shape.keys.iter().map(|key| format!("{}: {}", definition.columns.field(*key).name(), value(*key)));
    let word = |op: Op| match op {
        Op::Upsert => "update",
        Op::Delete => "delete",
        Op::Truncate | Op::Removed => "truncate",
    };
    let text = format!(
        "key {{{}}} has two different events with sequence {} ({}, {}), and pipelines.cdc.onTie is fail; nothing of the micro-batch was applied",
        keys.collect::<Vec<_>>().join(", "),
        value(definition.shape.columns),
        word(ops.0),
        word(ops.1),
    );
    Failure::user("AUTOCDC_SEQUENCE_TIE", text)
        .help("choose a sequence that tells the events apart, for example a STRUCT of two columns, or set pipelines.cdc.onTie to resolve")
}
