//! The order of rows along a Z-curve: rows that are near each other in several columns at once come near each other.
//!
//! Per column a sample of the values is cut into ranges of about equal size; the numbers of a row's ranges, bit by bit in turn, are its place on
//! the curve. That asks of a type only that its values can be compared.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, RecordBatch, UInt32Array, UInt64Array},
        compute::{SortColumn, lexsort_to_indices, take},
        datatypes::{DataType, Field, Schema, SchemaRef},
        row::{OwnedRow, Row, RowConverter, SortField},
    },
    error::{DataFusionError, Result as EngineResult},
    execution::{SendableRecordBatchStream, SessionState, TaskContext},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::StreamExt;
use sha2::{Digest, Sha256};

use crate::{engine_failure::engine_error, failure::Failure};

/// The column with the place of a row on the curve.
pub const NUMBER: &str = "$z";
/// Bits of the number of a range, at most.
const MOST_BITS: u32 = 10;
/// Values of a column that its ranges are made of, at most.
const SAMPLE_ROWS: usize = 1 << 16;

/// Stands in the names of files whose rows are ordered by `columns`.
pub fn mark(columns: &[String]) -> String {
    let names = serde_json::json!(columns.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>()).to_string();
    let hash = Sha256::digest(names.as_bytes());
    hash.iter().take(4).fold("z".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// True if the name of the file at `path` says that its rows are ordered like `mark`.
pub fn is_marked(path: &str, mark: &str) -> bool {
    path.rsplit('/').next().unwrap_or(path).split('.').any(|part| part == mark)
}

/// The rows as the table has them.
pub fn without_number(rows: &RecordBatch) -> Result<RecordBatch, Failure> {
    let columns: Vec<usize> = (0..rows.num_columns().saturating_sub(1)).collect();
    rows.project(&columns).map_err(|error| Failure::internal(format!("rows in order: {error}")))
}

/// The ranges of every column that decides the order.
#[derive(Debug)]
pub struct Ranges(Vec<ColumnRanges>);

/// One column with the first values of its ranges but the first one.
struct ColumnRanges {
    name: String,
    converter: RowConverter,
    starts: Vec<OwnedRow>,
}

impl fmt::Debug for ColumnRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} ranges", self.name, self.starts.len() + 1)
    }
}

impl Ranges {
    /// The ranges of all columns of `rows`.
    pub async fn of(rows: &Arc<dyn ExecutionPlan>, state: &SessionState) -> Result<Self, Failure> {
        let sample = sample(rows, state).await.map_err(engine_error)?;
        let columns = rows.schema().fields().len() as u32;
        let bits = (u64::BITS / columns.max(1)).clamp(1, MOST_BITS);
        let named = rows.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        let ranges = named.into_iter().zip(sample).map(|(name, values)| ColumnRanges::of(name, &values, bits));
        Ok(Self(ranges.collect::<EngineResult<Vec<_>>>().map_err(engine_error)?))
    }

    /// `rows` with their places on the curve behind their columns.
    pub fn numbered(self, rows: &Arc<dyn ExecutionPlan>) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let number = Arc::new(Field::new(NUMBER, DataType::UInt64, false));
        let schema = Arc::new(Schema::new(rows.schema().fields().iter().cloned().chain([number]).collect::<Vec<_>>()));
        let ranges = Arc::new(self);
        let partition = |index| {
            let numbered = Numbered { rows: Arc::clone(rows), index, ranges: Arc::clone(&ranges), schema: Arc::clone(&schema) };
            Arc::new(numbered) as Arc<dyn PartitionStream>
        };
        let partitions = (0..rows.output_partitioning().partition_count()).map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(&schema), partitions, None, [], false, None)?))
    }

    fn places(&self, rows: &RecordBatch) -> EngineResult<UInt64Array> {
        let mut places = vec![0_u64; rows.num_rows()];
        let bits = (u64::BITS / (self.0.len() as u32).max(1)).clamp(1, MOST_BITS);
        let ranges = self.0.iter().map(|column| column.ranges(rows, bits)).collect::<EngineResult<Vec<_>>>()?;
        for (row, place) in places.iter_mut().enumerate() {
            *place = interleaved(&ranges.iter().map(|column| column[row]), bits);
        }
        Ok(places.into())
    }
}

/// The bits of `numbers` in turn, the highest first.
fn interleaved(numbers: &(impl Iterator<Item = u64> + Clone), bits: u32) -> u64 {
    let mut place = 0;
    for bit in (0..bits).rev() {
        for number in numbers.clone() {
            place = (place << 1) | ((number >> bit) & 1);
        }
    }
    place
}

impl ColumnRanges {
    fn of(name: String, values: &ArrayRef, bits: u32) -> EngineResult<Self> {
        let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
        let order = lexsort_to_indices(&[SortColumn { values: Arc::clone(values), options: None }], None)?;
        let count = 1_usize << bits;
        let at = (1..count).map(|range| (range * values.len() / count) as u32).filter(|at| (*at as usize) < values.len());
        let chosen = take(values, &take(&order, &UInt32Array::from_iter_values(at), None)?, None)?;
        let rows = converter.convert_columns(&[chosen])?;
        let mut starts: Vec<OwnedRow> = rows.iter().map(|row| row.owned()).collect();
        starts.dedup();
        Ok(Self { name, converter, starts })
    }

    /// Per row the number of its range, of which the highest is about `1 << bits`.
    fn ranges(&self, rows: &RecordBatch, bits: u32) -> EngineResult<Vec<u64>> {
        let column = rows.column_by_name(&self.name).ok_or_else(|| DataFusionError::Internal(format!("no column {}", self.name)))?;
        let values = self.converter.convert_columns(&[Arc::clone(column)])?;
        let count = self.starts.len() as u64 + 1;
        let range = |value: Row<'_>| self.starts.partition_point(|start| start.row() <= value) as u64;
        // Few ranges are spread over all bits, or other columns would come first.
        Ok(values.iter().map(|value| range(value) * (1 << bits) / count).collect())
    }
}

/// Up to so many rows, each with the same chance; the same ones for the same rows.
async fn sample(rows: &Arc<dyn ExecutionPlan>, state: &SessionState) -> EngineResult<Vec<ArrayRef>> {
    let mut kept: Option<RecordBatch> = None;
    let mut every = 1_usize;
    for partition in 0..rows.output_partitioning().partition_count() {
        let mut batches = rows.execute(partition, state.task_ctx())?;
        let mut seen = 0_usize;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let first = (every - seen % every) % every;
            seen += batch.num_rows();
            let chosen = picked(&batch, first, every)?;
            let mut all = match kept.take() {
                Some(kept) => datafusion::arrow::compute::concat_batches(&batch.schema(), [&kept, &chosen])?,
                None => chosen,
            };
            while all.num_rows() > SAMPLE_ROWS {
                all = picked(&all, 0, 2)?;
                every *= 2;
            }
            kept = Some(all);
        }
    }
    let schema = rows.schema();
    let none = |field: &Arc<Field>| datafusion::arrow::array::new_empty_array(field.data_type());
    Ok(kept.map_or_else(|| schema.fields().iter().map(none).collect(), |kept| kept.columns().to_vec()))
}

/// Every `every`-th row from `first` on.
fn picked(batch: &RecordBatch, first: usize, every: usize) -> EngineResult<RecordBatch> {
    let at = UInt32Array::from_iter_values((first..batch.num_rows()).step_by(every).map(|row| row as u32));
    Ok(datafusion::arrow::compute::take_record_batch(batch, &at)?)
}

#[derive(Debug)]
struct Numbered {
    rows: Arc<dyn ExecutionPlan>,
    index: usize,
    ranges: Arc<Ranges>,
    schema: SchemaRef,
}

impl PartitionStream for Numbered {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let rows = match self.rows.execute(self.index, context) {
            Ok(rows) => rows,
            Err(error) => {
                let failed = futures::stream::once(async move { Err(error) });
                return Box::pin(RecordBatchStreamAdapter::new(schema, failed));
            }
        };
        let ranges = Arc::clone(&self.ranges);
        let target = Arc::clone(&self.schema);
        let numbered = rows.map(move |batch| {
            let batch = batch?;
            let places: ArrayRef = Arc::new(ranges.places(&batch)?);
            let columns = batch.columns().iter().cloned().chain([places]).collect();
            Ok(RecordBatch::try_new(Arc::clone(&target), columns)?)
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, numbered))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringArray};

    use super::*;

    fn ranges_of(column: &ArrayRef, bits: u32) -> Vec<u64> {
        let schema = Arc::new(Schema::new(vec![Field::new("c", column.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::clone(column)]).unwrap();
        ColumnRanges::of("c".to_string(), column, bits).unwrap().ranges(&batch, bits).unwrap()
    }

    #[test]
    fn bits_come_in_turn() {
        assert_eq!(interleaved(&[0b11, 0b00].into_iter(), 2), 0b1010);
        assert_eq!(interleaved(&[0b01, 0b10].into_iter(), 2), 0b0110);
    }

    #[test]
    fn ranges_hold_about_as_many_values_whatever_these_are() {
        let skewed: ArrayRef = Arc::new((0..4096_i64).map(|n| Some(n * n)).collect::<Int64Array>());
        let found = ranges_of(&skewed, 4);
        assert_eq!((found.first(), found.last()), (Some(&0), Some(&15)));
        for range in 0..16 {
            let members = found.iter().filter(|found| **found == range).count();
            assert!((200..=300).contains(&members), "{range}: {members}");
        }
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("a"), Some("b")]));
        let found = ranges_of(&words, 2);
        assert!(found[1] < found[2] && found[2] < found[0] && found[0] == found[3], "{found:?}");
    }

    #[test]
    fn a_mark_is_that_of_its_columns() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let own = mark(&names(&["Id", "day"]));
        assert_eq!(own, mark(&names(&["id", "day"])));
        assert_ne!(own, mark(&names(&["day", "id"])));
        assert!(is_marked(&format!("day=2024-01-01/part-00000-x.{own}.snappy.parquet"), &own));
        assert!(!is_marked("part-00000-x.snappy.parquet", &own));
    }
}
