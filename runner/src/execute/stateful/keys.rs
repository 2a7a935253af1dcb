//! The keys of one operator: how they are compared, until when they are remembered, and the files they stand in.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array},
        compute::{cast, filter_record_batch},
        datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimestampMicrosecondType},
        row::{RowConverter, SortField},
    },
    error::{DataFusionError, Result},
    physical_expr::PhysicalExpr,
};
use floe_graph::analysis::state::Remember;

use super::{Beginning, instant};
use crate::{
    commit::{StagedFiles, TableWriter},
    failure::Failure,
    keyed::normalized,
    state::Segment,
};

/// The column behind the keys: when the watermark has passed it, the key is not needed any more. NULL: it is needed for ever.
pub const EXPIRES: &str = "expires";

/// The columns of files of keys: the keys by their position, and [`EXPIRES`].
pub fn columns(keys: &[DataType]) -> SchemaRef {
    let keys = keys.iter().enumerate().map(|(at, data_type)| Field::new(format!("key_{}", at + 1), data_type.clone(), true));
    Arc::new(Schema::new(keys.chain([Field::new(EXPIRES, instant(), true)]).collect::<Vec<_>>()))
}

/// Keys of rows.
#[derive(Debug)]
pub struct Keys {
    /// Over the rows of the operator's input.
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    /// Of the keys and behind them [`EXPIRES`].
    columns: SchemaRef,
    converter: RowConverter,
    event_time: Option<Arc<dyn PhysicalExpr>>,
    remember: Remember,
}

impl Keys {
    /// `exprs` give values that `types` hold.
    pub fn new(
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        types: &[DataType],
        event_time: Option<Arc<dyn PhysicalExpr>>,
        remember: Remember,
    ) -> Result<Self> {
        let converter = RowConverter::new(types.iter().map(|data_type| SortField::new(data_type.clone())).collect())?;
        Ok(Self { exprs, columns: columns(types), converter, event_time, remember })
    }

    /// The columns of files of keys.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// The key columns.
    pub fn fields(&self) -> Vec<FieldRef> {
        self.columns.fields().iter().take(self.exprs.len()).cloned().collect()
    }

    /// The keys of rows of the input.
    pub fn of(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let key = |(expr, field): (&Arc<dyn PhysicalExpr>, &FieldRef)| {
            Ok(cast(&expr.evaluate(rows)?.into_array(rows.num_rows())?, field.data_type())?)
        };
        self.exprs.iter().zip(self.columns.fields()).map(key).collect()
    }

    /// The event times of rows of the input, if a watermark is declared.
    pub fn event_times(&self, rows: &RecordBatch) -> Result<Option<TimestampMicrosecondArray>> {
        let Some(column) = &self.event_time else { return Ok(None) };
        let times = cast(&column.evaluate(rows)?.into_array(rows.num_rows())?, &instant())?;
        Ok(Some(times.as_primitive::<TimestampMicrosecondType>().clone()))
    }

    /// The rows of a file of keys.
    pub fn remembered(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let expires = match (self.remember, self.event_times(rows)?) {
            (Remember::ForEver, _) | (_, None) => TimestampMicrosecondArray::from(vec![None; rows.num_rows()]),
            (Remember::UntilEventTime, Some(times)) => times,
            (Remember::For { delay_us }, Some(times)) => times.unary(|time| time.saturating_add(delay_us)),
        };
        let mut columns = self.of(rows)?;
        columns.push(Arc::new(expires.with_timezone("UTC")));
        Ok(RecordBatch::try_new(Arc::clone(&self.columns), columns)?)
    }

    /// Keys as bytes that are equal when the keys are, in an order, with `rest` behind each; and the length of each key.
    pub fn encoded(&self, keys: &[ArrayRef], rest: impl Fn(usize, &mut Vec<u8>)) -> Result<(BinaryArray, UInt32Array)> {
        let keys: Vec<ArrayRef> = keys.iter().map(normalized).collect();
        let rows = self.converter.convert_columns(&keys)?;
        let mut bytes = BinaryBuilder::with_capacity(rows.num_rows(), rows.size());
        let mut lengths = Vec::with_capacity(rows.num_rows());
        let mut one = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            one.clear();
            one.extend_from_slice(row.as_ref());
            lengths.push(row.as_ref().len() as u32);
            rest(at, &mut one);
            bytes.append_value(&one);
        }
        Ok((bytes.finish(), UInt32Array::from(lengths)))
    }
}

/// True if the watermark has passed the time.
pub fn is_expired(expires: Option<i64>, watermark_us: Option<i64>) -> bool {
    matches!((expires, watermark_us), (Some(expires), Some(watermark)) if expires < watermark)
}

/// Writes keys: those that are needed for ever into other files, so that the rest go as whole files.
pub struct KeyWriter {
    beginning: Beginning,
    columns: SchemaRef,
    /// By whether its keys expire.
    open: HashMap<bool, (TableWriter, Option<i64>)>,
}

impl KeyWriter {
    /// Nothing is written before the first key.
    pub fn new(beginning: Beginning, columns: SchemaRef) -> Self {
        Self { beginning, columns, open: HashMap::new() }
    }

    /// Writes rows of files of keys.
    pub async fn write(&mut self, rows: &RecordBatch) -> Result<(), Failure> {
        let Some(expires) = rows.columns().last() else { return Ok(()) };
        let expires = expires.as_primitive::<TimestampMicrosecondType>();
        let internal = |error| Failure::internal(format!("keys cannot be sorted out: {error}"));
        for timed in [true, false] {
            let is_of: BooleanArray = (0..expires.len()).map(|row| Some(expires.is_valid(row) == timed)).collect();
            if is_of.true_count() == 0 {
                continue;
            }
            let part = filter_record_batch(rows, &is_of).map_err(internal)?;
            let (writer, greatest) = self.open.entry(timed).or_insert_with(|| {
                let options = self.beginning.writers.clone();
                (TableWriter::of_files(&self.beginning.directory, options, &self.columns), None)
            });
            *greatest = (*greatest).max(expires.iter().flatten().max().filter(|_| timed));
            writer.write(&part).await?;
        }
        Ok(())
    }

    /// The files.
    pub async fn finish(self) -> Result<Vec<Segment>, Failure> {
        let mut segments = Vec::new();
        for (writer, greatest) in self.open.into_values() {
            let StagedFiles { adds, .. } = writer.finish().await?;
            segments.extend(adds.into_iter().map(|file| Segment { rows: rows_of(file.stats.as_deref()), file, expires_us: greatest }));
        }
        Ok(segments)
    }

    /// Deletes everything that was written.
    pub async fn abort(self) {
        for (writer, _) in self.open.into_values() {
            if let Err(failure) = writer.abort().await {
                tracing::warn!("a file of keys was left behind: {failure}");
            }
        }
    }
}

fn rows_of(stats: Option<&str>) -> u64 {
    let stats: Option<serde_json::Value> = stats.and_then(|stats| serde_json::from_str(stats).ok());
    stats.and_then(|stats| stats.get("numRecords").and_then(serde_json::Value::as_u64)).unwrap_or_default()
}

/// An error of ours within the engine.
pub fn within_engine(failure: Failure) -> DataFusionError {
    DataFusionError::External(Box::new(failure))
}
