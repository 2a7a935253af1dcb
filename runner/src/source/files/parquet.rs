//! Parquet files: columns by name without regard to letter case, cast to the declared types, NULL where a file lacks one.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringBuilder, new_null_array},
        compute::{CastOptions, cast, kernels::cmp::distinct, nullif},
        datatypes::{DataType, SchemaRef},
    },
    common::{format::DEFAULT_FORMAT_OPTIONS, nested_struct::cast_column},
    parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
};

use super::{
    infer::storable,
    open::{ReadError, SourceFile},
    reader::{BATCH_ROWS, Emit, FileCounts, ReadColumns},
    scan::FileRead,
    surprise::{Surprising, new_fields},
};
use crate::{
    failure::Failure,
    functions::json::{rescued_json, value_text},
};

/// Reads Parquet files into the needed columns.
pub(super) struct ParquetReader {
    needed: SchemaRef,
    /// All that have to be read: any of them may hold something to rescue.
    decoded: SchemaRef,
    known: Vec<String>,
    surprising: Surprising,
}

/// Values of one column that do not fit it: the name, the values, and where they are.
struct Misfits {
    path: [String; 1],
    values: ArrayRef,
    rows: Option<BooleanArray>,
}

impl Misfits {
    fn new(name: &str, values: &ArrayRef, rows: Option<BooleanArray>) -> Self {
        Self { path: [name.to_owned()], values: cast_or_null(values, &storable(values.data_type())), rows }
    }
}

impl ParquetReader {
    pub(super) fn new(columns: &ReadColumns, read: &FileRead) -> Self {
        let surprising = Surprising::new(columns, &read.options.schema);
        let decoded = surprising.decoded(columns);
        Self { needed: Arc::clone(&columns.needed), decoded, known: columns.known.clone(), surprising }
    }

    pub(super) fn read(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>) -> Result<FileCounts, ReadError> {
        // A producer may leave files without a byte behind; they have no rows in every format.
        if file.entry.size == 0 {
            return Ok(FileCounts::default());
        }
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.chunks()?).map_err(|error| file.parquet_error(error))?;
        let is_new = |name: &&String| !self.known.iter().any(|known| known.eq_ignore_ascii_case(name));
        let new: BTreeSet<String> = builder.schema().fields().iter().map(|field| field.name()).filter(is_new).cloned().collect();
        if self.surprising.stops && !new.is_empty() {
            return Err(new_fields(&file.entry.path, &new).into());
        }
        let may_rescue = self.surprising.rescued_column.is_some();
        let wanted = |name: &String| {
            let is_column = |field: &Arc<datafusion::arrow::datatypes::Field>| field.name().eq_ignore_ascii_case(name);
            self.decoded.fields().iter().any(is_column) || (may_rescue && new.contains(name))
        };
        let roots: Vec<usize> =
            builder.schema().fields().iter().enumerate().filter(|(_, field)| wanted(field.name())).map(|(index, _)| index).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|error| file.parquet_error(error))?;
        let mut counts = FileCounts::default();
        for batch in batches {
            let batch = batch.map_err(|error| file.arrow_error(error))?;
            counts.rows += batch.num_rows() as u64;
            emit(self.adapted(&batch, &new, &file.entry.path)?)?;
        }
        Ok(counts)
    }

    fn adapted(&self, batch: &RecordBatch, new: &BTreeSet<String>, path: &str) -> Result<RecordBatch, Failure> {
        let found = batch.schema();
        let column = |name: &str| {
            let exact = found.fields().iter().position(|field| field.name() == name);
            exact.or_else(|| found.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name)))
        };
        let may_rescue = self.surprising.rescued_column.is_some();
        let mut misfits: Vec<Misfits> = Vec::new();
        let mut columns = Vec::with_capacity(self.decoded.fields().len());
        for field in self.decoded.fields() {
            columns.push(match column(field.name()) {
                None => new_null_array(field.data_type(), batch.num_rows()),
                Some(index) if !may_rescue => cast_or_null(batch.column(index), field.data_type()),
                Some(index) => {
                    let (fitting, rows) = fitting(batch.column(index), field.data_type());
                    if let Some(rows) = rows {
                        misfits.push(Misfits::new(field.name(), batch.column(index), Some(rows)));
                    }
                    fitting
                }
            });
        }
        if may_rescue {
            let new = new.iter().filter_map(|name| Some((name, column(name)?)));
            misfits.extend(new.map(|(name, index)| Misfits::new(name, batch.column(index), None)));
            let rescued = rescued(&misfits, batch.num_rows(), path)?;
            for (field, column) in self.decoded.fields().iter().zip(&mut columns) {
                if self.surprising.is_rescued(field.name()) {
                    *column = Arc::clone(&rescued);
                }
            }
        }
        let needed = self.needed.fields().iter().filter_map(|field| columns.get(self.decoded.index_of(field.name()).ok()?)).cloned();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.needed), needed.collect(), &options).map_err(|error| {
            Failure::user("FILE_SCHEMA_NOT_COMPATIBLE", format!("the files do not fit the schema of the relation: {error}"))
        })
    }
}

/// The values as `data_type`; NULL for values, or for a whole column, of another kind.
fn cast_or_null(array: &ArrayRef, data_type: &DataType) -> ArrayRef {
    if array.data_type() == data_type {
        return Arc::clone(array);
    }
    let options = CastOptions { safe: true, format_options: DEFAULT_FORMAT_OPTIONS };
    cast_column(array, data_type, &options).unwrap_or_else(|_| new_null_array(data_type, array.len()))
}

/// The values as `data_type`, NULL where that would change them, and where that is.
fn fitting(array: &ArrayRef, data_type: &DataType) -> (ArrayRef, Option<BooleanArray>) {
    let values = cast_or_null(array, data_type);
    if array.data_type() == data_type || storable(array.data_type()) == *data_type || data_type.is_nested() {
        let lost = values.null_count() > array.null_count();
        let rows = lost.then(|| (0..array.len()).map(|row| Some(values.is_null(row) && array.is_valid(row))).collect());
        return (values, rows);
    }
    // What does not come back as it was would be another value.
    let changed = cast(&values, array.data_type()).and_then(|back| distinct(&back, array));
    let Ok(changed) = changed else { return (values, None) };
    if changed.true_count() == 0 {
        return (values, None);
    }
    let kept = nullif(&values, &changed).unwrap_or_else(|_| new_null_array(data_type, array.len()));
    (kept, Some(changed))
}

/// The rescued data column.
fn rescued(misfits: &[Misfits], rows: usize, path: &str) -> Result<ArrayRef, Failure> {
    let mut column = StringBuilder::new();
    let mut texts: Vec<(&[String], Vec<u8>)> = Vec::new();
    for row in 0..rows {
        texts.clear();
        for misfit in misfits {
            let is_one = misfit.rows.as_ref().is_none_or(|rows| rows.value(row)) && misfit.values.is_valid(row);
            if is_one {
                let text = value_text(&misfit.values, row)
                    .map_err(|error| Failure::internal(format!("a value cannot be written as JSON: {error}")))?;
                texts.push((misfit.path.as_slice(), text.into_bytes()));
            }
        }
        if texts.is_empty() {
            column.append_null();
            continue;
        }
        let values: Vec<(&[String], &[u8])> = texts.iter().map(|(path, text)| (*path, text.as_slice())).collect();
        column.append_value(String::from_utf8_lossy(&rescued_json(&values, path)));
    }
    Ok(Arc::new(column.finish()))
}
