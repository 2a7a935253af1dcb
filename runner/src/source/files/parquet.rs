//! Parquet files: columns by name without regard to letter case, cast to the declared types, NULL where a file lacks one.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
        compute::CastOptions,
        datatypes::{DataType, SchemaRef},
    },
    common::{format::DEFAULT_FORMAT_OPTIONS, nested_struct::cast_column},
    parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
};

use super::{
    open::{ReadError, SourceFile},
    reader::{BATCH_ROWS, Emit, FileCounts},
};
use crate::failure::Failure;

/// Reads Parquet files into the needed columns.
pub(super) struct ParquetReader {
    content: SchemaRef,
}

impl ParquetReader {
    pub(super) fn new(content: &SchemaRef) -> Self {
        Self { content: Arc::clone(content) }
    }

    pub(super) fn read(&self, file: &SourceFile<'_>, emit: &mut Emit<'_>) -> Result<FileCounts, ReadError> {
        // A producer may leave files without a byte behind; they have no rows in every format.
        if file.entry.size == 0 {
            return Ok(FileCounts::default());
        }
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.chunks()?).map_err(|error| file.parquet_error(error))?;
        let wanted = |name: &String| self.content.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
        let roots: Vec<usize> =
            builder.schema().fields().iter().enumerate().filter(|(_, field)| wanted(field.name())).map(|(index, _)| index).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|error| file.parquet_error(error))?;
        let mut counts = FileCounts::default();
        for batch in batches {
            let batch = batch.map_err(|error| file.arrow_error(error))?;
            counts.rows += batch.num_rows() as u64;
            emit(self.adapted(&batch)?)?;
        }
        Ok(counts)
    }

    fn adapted(&self, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
        let found = batch.schema();
        let column = |name: &str| {
            let exact = found.fields().iter().position(|field| field.name() == name);
            exact.or_else(|| found.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name)))
        };
        let columns = self
            .content
            .fields()
            .iter()
            .map(|field| match column(field.name()) {
                Some(index) => cast_or_null(batch.column(index), field.data_type()),
                None => new_null_array(field.data_type(), batch.num_rows()),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.content), columns, &options).map_err(|error| {
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
