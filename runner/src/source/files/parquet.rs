//! Parquet files: row groups of the needed columns, by the footer.

use datafusion::parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{
    open::{ReadError, SourceFile},
    reader::{BATCH_ROWS, Emit, FileCounts, ReadColumns},
    scan::FileRead,
    typed::Fitting,
};

/// Reads Parquet files into the needed columns.
pub(super) struct ParquetReader {
    fitting: Fitting,
}

impl ParquetReader {
    pub(super) fn new(columns: &ReadColumns, read: &FileRead) -> Self {
        Self { fitting: Fitting::new(columns, read) }
    }

    pub(super) fn read(&mut self, file: &SourceFile<'_>, emit: &mut Emit<'_>) -> Result<FileCounts, ReadError> {
        // A producer may leave files without a byte behind; they have no rows in every format.
        if file.entry.size == 0 {
            return Ok(FileCounts::default());
        }
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.chunks()?).map_err(|error| file.parquet_error(error))?;
        self.fitting.check(builder.schema(), &file.entry.path)?;
        let fields = builder.schema().fields().iter().enumerate();
        let roots: Vec<usize> = fields.filter(|(_, field)| self.fitting.wants(field.name())).map(|(index, _)| index).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|error| file.parquet_error(error))?;
        let mut counts = FileCounts::default();
        for batch in batches {
            let batch = batch.map_err(|error| file.arrow_error(error))?;
            counts.rows += batch.num_rows() as u64;
            emit(self.fitting.fitted(&batch, &file.entry.path)?)?;
        }
        Ok(counts)
    }
}
