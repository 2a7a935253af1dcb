//! The events of a snapshot: what its rows change in the target. Everything behind them is the same as for a stream of events.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, UInt32Array},
        compute::{concat_batches, take_record_batch},
        datatypes::SchemaRef,
    },
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        EmptyRecordBatchStream, ExecutionPlan,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::stream;

use super::{
    events::Events,
    fold::{Chunk, Shape, differences},
    merge::Inputs,
};

/// The events that make the target equal to a snapshot, as a plan of one partition that runs once.
///
/// `snapshot` are its rows as upserts, `newest` the newest rows of the target; both in the order of their keys.
pub fn changes(
    events: &Arc<Events>,
    shape: &Shape,
    snapshot: SendableRecordBatchStream,
    newest: SendableRecordBatchStream,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = Arc::clone(events.schema());
    let none = Box::pin(EmptyRecordBatchStream::new(Arc::clone(&schema)));
    let compared = Compared { inputs: Inputs::new(snapshot, none, newest), events: Arc::clone(events), shape: shape.clone() };
    let rows = stream::try_unfold(compared, |mut compared| async move { Ok(compared.next().await?.map(|batch| (batch, compared))) });
    let once = Once { schema: Arc::clone(&schema), rows: Mutex::new(Some(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))) };
    Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(&once.schema), vec![Arc::new(once)], None, [], false, None)?))
}

struct Compared {
    inputs: Inputs,
    events: Arc<Events>,
    shape: Shape,
}

impl Compared {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(chunk) = self.inputs.next().await? {
            let batch = self.events_of(&chunk)?;
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
            tokio::task::yield_now().await;
        }
        Ok(None)
    }

    fn events_of(&self, chunk: &Chunk) -> Result<RecordBatch> {
        let found = differences(&self.shape, &chunk.events, &chunk.present)?;
        let upserts = take_record_batch(&chunk.events.sorted_batch(self.events.schema())?, &UInt32Array::from(found.changed))?;
        let gone = take_record_batch(chunk.present.rows(), &UInt32Array::from(found.missing))?;
        let keys: Vec<ArrayRef> = self.shape.keys.iter().map(|key| Arc::clone(gone.column(*key))).collect();
        let deletes = self.events.deletes(&keys, gone.num_rows())?;
        concat_batches(self.events.schema(), [&upserts, &deletes]).map_err(DataFusionError::from)
    }
}

/// Rows that are read once.
struct Once {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangesOfSnapshot")
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        rows.unwrap_or_else(|| {
            let again = DataFusionError::Internal("a snapshot was compared twice".to_string());
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter([Err(again)])))
        })
    }
}
