//! Reads the three sorted inputs of a micro-batch in step: chunk by chunk, each key whole in one of them.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, RecordBatch, UInt8Array},
        compute::concat_batches,
        datatypes::{SchemaRef, UInt8Type, UInt32Type},
    },
    error::{DataFusionError, Result},
    execution::SendableRecordBatchStream,
};
use futures::StreamExt;

use super::{
    fold::{Chunk, SortedRows},
    sort_key::SortKeyColumns,
};

/// Columns of a sorted input before its rows: sort key, length of the key, length of the sequence, operation.
pub const SORT_COLUMNS: usize = 4;

/// The columns of an input that is to be sorted: `sort` and `op` in front of `rows`.
pub fn with_sort_columns(schema: &SchemaRef, sort: SortKeyColumns, op: UInt8Array, rows: &[ArrayRef]) -> Result<RecordBatch> {
    let SortKeyColumns { sort, key_bytes, sequence_bytes } = sort;
    let mut columns: Vec<ArrayRef> = vec![Arc::new(sort), Arc::new(key_bytes), Arc::new(sequence_bytes), Arc::new(op)];
    columns.extend_from_slice(rows);
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// The three inputs.
pub struct Inputs {
    events: Input,
    stored: Input,
    present: Input,
}

/// One sorted input: what was read and not handed on yet.
struct Input {
    rows: SendableRecordBatchStream,
    held: RecordBatch,
    is_done: bool,
}

impl Inputs {
    /// Streams in the order of their sort keys, as [`with_sort_columns`] makes them.
    pub fn new(events: SendableRecordBatchStream, stored: SendableRecordBatchStream, present: SendableRecordBatchStream) -> Self {
        Self { events: Input::new(events), stored: Input::new(stored), present: Input::new(present) }
    }

    /// The next whole keys; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Chunk>> {
        loop {
            for input in self.all() {
                input.fill().await?;
            }
            if self.all().into_iter().all(|input| input.is_at_end()) {
                return Ok(None);
            }
            // Keys below the least of the last keys are whole: later rows have that key or a greater one.
            let boundary = self.all().into_iter().filter(|input| !input.is_done).filter_map(|input| input.last_key()).min();
            let ends = self.all().map(|input| input.below(boundary.as_deref()));
            if ends.iter().any(|end| *end > 0) {
                let [events, stored, present] = ends;
                let chunk =
                    Chunk { events: self.events.take(events)?, stored: self.stored.take(stored)?, present: self.present.take(present)? };
                return Ok(Some(chunk));
            }
            for input in self.all() {
                if !input.is_done && input.last_key() == boundary {
                    input.read().await?;
                }
            }
        }
    }

    fn all(&mut self) -> [&mut Input; 3] {
        [&mut self.events, &mut self.stored, &mut self.present]
    }
}

impl Input {
    fn new(rows: SendableRecordBatchStream) -> Self {
        let held = RecordBatch::new_empty(rows.schema());
        Self { rows, held, is_done: false }
    }

    fn is_at_end(&self) -> bool {
        self.is_done && self.held.num_rows() == 0
    }

    async fn fill(&mut self) -> Result<()> {
        while self.held.num_rows() == 0 && !self.is_done {
            self.read().await?;
        }
        Ok(())
    }

    /// Adds the next batch to what is held.
    async fn read(&mut self) -> Result<()> {
        match self.rows.next().await {
            None => self.is_done = true,
            Some(batch) if self.held.num_rows() == 0 => self.held = batch?,
            Some(batch) => self.held = concat_batches(&self.held.schema(), [&self.held, &batch?])?,
        }
        Ok(())
    }

    fn key(&self, row: usize) -> &[u8] {
        let length = self.held.column(1).as_primitive::<UInt32Type>().value(row) as usize;
        &self.held.column(0).as_binary::<i32>().value(row)[..length]
    }

    fn last_key(&self) -> Option<Vec<u8>> {
        let last = self.held.num_rows().checked_sub(1)?;
        Some(self.key(last).to_vec())
    }

    /// Rows with a key below `boundary`; without one all of them.
    fn below(&self, boundary: Option<&[u8]>) -> usize {
        let Some(boundary) = boundary else { return self.held.num_rows() };
        let (mut low, mut high) = (0, self.held.num_rows());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.key(middle) < boundary { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn take(&mut self, rows: usize) -> Result<SortedRows> {
        let taken = self.held.slice(0, rows);
        self.held = self.held.slice(rows, self.held.num_rows() - rows);
        sorted_rows(&taken)
    }
}

fn sorted_rows(batch: &RecordBatch) -> Result<SortedRows> {
    let columns: Vec<usize> = (SORT_COLUMNS..batch.num_columns()).collect();
    let sort = batch.column(0).as_binary_opt::<i32>();
    let sort = sort.ok_or_else(|| DataFusionError::Internal("a sorted input has no sort key".to_string()))?;
    Ok(SortedRows::new(
        sort.clone(),
        batch.column(1).as_primitive::<UInt32Type>().clone(),
        batch.column(2).as_primitive::<UInt32Type>().clone(),
        batch.column(3).as_primitive::<UInt8Type>().clone(),
        batch.project(&columns)?,
    ))
}

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::{
            array::Int64Array,
            datatypes::{DataType, Field, Int64Type, Schema},
        },
        physical_plan::stream::RecordBatchStreamAdapter,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::execute::cdc::{sort_key::SortKeys, sorted::sorted_schema};

    fn input(keys: &[i64], batch_rows: usize) -> SendableRecordBatchStream {
        let encoder = SortKeys::new(&[DataType::Int64], &DataType::Int64).unwrap();
        let schema = sorted_schema(&Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        let batch = |keys: &[i64]| {
            let column = Arc::new(Int64Array::from(keys.to_vec())) as ArrayRef;
            let sort = encoder.of_rows(std::slice::from_ref(&column)).unwrap();
            with_sort_columns(&schema, sort, UInt8Array::from(vec![0; keys.len()]), &[column])
        };
        let batches: Vec<_> = keys.chunks(batch_rows).map(batch).collect();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), futures::stream::iter(batches)))
    }

    fn keys(rows: &SortedRows) -> Vec<i64> {
        rows.rows().column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    proptest! {
        #[test]
        fn every_key_is_whole_in_one_chunk(
            mut inputs in prop::collection::vec(prop::collection::vec(0_i64..12, 0..40), 3),
            batch_rows in 1_usize..7,
        ) {
            for keys in &mut inputs {
                keys.sort_unstable();
            }
            let stream = |at: usize| input(&inputs[at], batch_rows);
            let mut merged = Inputs::new(stream(0), stream(1), stream(2));
            let mut found: [Vec<i64>; 3] = Default::default();
            let mut seen: Vec<i64> = Vec::new();
            while let Some(chunk) = futures::executor::block_on(merged.next()).unwrap() {
                let parts = [keys(&chunk.events), keys(&chunk.stored), keys(&chunk.present)];
                let mut of_chunk = parts.concat();
                of_chunk.sort_unstable();
                of_chunk.dedup();
                prop_assert!(!of_chunk.is_empty());
                prop_assert!(of_chunk.iter().all(|key| !seen.contains(key)), "{of_chunk:?} after {seen:?}");
                seen.extend(of_chunk);
                found.iter_mut().zip(parts).for_each(|(all, part)| all.extend(part));
            }
            prop_assert_eq!(found.to_vec(), inputs);
        }
    }
}
