//! One Parquet file of a table, opened so that its rows can be read in the columns that the table declares, whatever the file holds.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch},
        compute::CastOptions,
        datatypes::{DataType, Field, FieldRef, Schema, TimeUnit},
    },
    common::{format::DEFAULT_FORMAT_OPTIONS, nested_struct::cast_column, scalar::ScalarValue},
    error::Result as EngineResult,
    parquet::{
        arrow::{
            ParquetRecordBatchStreamBuilder, ProjectionMask, RowNumber,
            arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
            async_reader::AsyncFileReader,
        },
        errors::{ParquetError, Result as ParquetResult},
        file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
    },
};
use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use crate::{
    commit::{action::Add, partition},
    storage::{Location, decoded_path},
};

/// Bytes at the end of a file that are read first: they hold the footer and the page index of most files.
const FOOTER_BYTES: usize = 64 << 10;
/// The column of row numbers within the file.
const ROW_NUMBER: &str = "$row";

/// Reads ranges of one file and counts their bytes.
#[derive(Clone, Debug)]
pub struct FileReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    read_bytes: Arc<AtomicU64>,
}

impl AsyncFileReader for FileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.read_bytes.fetch_add(range.end - range.start, Ordering::Relaxed);
        self.store.get_range(&self.path, range).map_err(external).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.read_bytes.fetch_add(ranges.iter().map(|range| range.end - range.start).sum(), Ordering::Relaxed);
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(&'a mut self, options: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options).with_prefetch_hint(Some(FOOTER_BYTES));
            reader.load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// A file whose footer has been read.
#[derive(Clone, Debug)]
pub struct DataFile {
    reader: FileReader,
    metadata: ArrowReaderMetadata,
    partition_values: BTreeMap<String, Option<String>>,
}

impl DataFile {
    /// The file of `add` in the table at `location`. `read_bytes` counts what is read of it; text columns for which `as_views` is true are
    /// decoded as views, which are cheap to compare.
    pub async fn open(
        location: &Location,
        add: &Add,
        read_bytes: &Arc<AtomicU64>,
        as_views: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> EngineResult<Self> {
        let mut reader = FileReader {
            store: Arc::clone(location.store()),
            path: location.child(&decoded_path(&add.path)),
            size: add.size.max(0) as u64,
            read_bytes: Arc::clone(read_bytes),
        };
        let row_number: FieldRef = Arc::new(Field::new(ROW_NUMBER, DataType::Int64, false).with_extension_type(RowNumber));
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_page_index_policy(PageIndexPolicy::Optional);
        let found = ArrowReaderMetadata::load_async(&mut reader, options.clone()).await?;
        let typed = Schema::new(found.schema().fields().iter().map(|field| typed(field, as_views)).collect::<Vec<_>>());
        let options = options.with_schema(Arc::new(typed)).with_virtual_columns(vec![row_number])?;
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options)?;
        Ok(Self { reader, metadata, partition_values: add.partition_values.clone() })
    }

    /// Footer and page index.
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.metadata.metadata()
    }

    /// The columns of the file, with row numbers behind them.
    pub fn schema(&self) -> &Schema {
        self.metadata.schema()
    }

    /// A reader of the file. It gives the columns of its projection in the order of the file, then the row number.
    pub fn rows(&self) -> ParquetRecordBatchStreamBuilder<FileReader> {
        ParquetRecordBatchStreamBuilder::new_with_metadata(self.reader.clone(), self.metadata.clone())
    }

    /// Where the columns of `wanted` come from.
    pub fn columns(&self, wanted: &[FieldRef]) -> FileColumns {
        let found = self.metadata.schema();
        let mut roots: Vec<usize> = Vec::new();
        let mut places = Vec::with_capacity(wanted.len());
        for field in wanted {
            if let Some(text) = self.partition_values.get(field.name()) {
                places.push(Err(partition::scalar(text.as_deref(), field)));
                continue;
            }
            let exact = found.fields().iter().position(|column| column.name() == field.name());
            let place = exact.or_else(|| found.fields().iter().position(|column| column.name().eq_ignore_ascii_case(field.name())));
            roots.extend(place);
            places.push(place.ok_or_else(|| ScalarValue::try_from(field.data_type()).unwrap_or(ScalarValue::Null)));
        }
        roots.sort_unstable();
        roots.dedup();
        let index = |place: usize| roots.partition_point(|root| *root < place);
        let sources = places.into_iter().map(|place| place.map_or_else(Source::Constant, |place| Source::File(index(place)))).collect();
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots.iter().copied());
        FileColumns { wanted: wanted.to_vec(), sources, mask, read: roots.len() }
    }
}

/// What the table declares decides in the end; here a type is chosen that is cheap, and that loses nothing on the way there.
fn typed(field: &FieldRef, as_views: &(dyn Fn(&str) -> bool + Send + Sync)) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8 if as_views(field.name()) => DataType::Utf8View,
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        _ => return Arc::clone(field),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

#[derive(Clone, Debug)]
enum Source {
    /// A column of the batches that the reader gives.
    File(usize),
    /// A partition column, or NULL for a column that the file lacks.
    Constant(ScalarValue),
}

/// How declared columns are made of what a file holds.
#[derive(Clone, Debug)]
pub struct FileColumns {
    wanted: Vec<FieldRef>,
    sources: Vec<Source>,
    mask: ProjectionMask,
    read: usize,
}

impl FileColumns {
    /// What has to be read.
    pub fn mask(&self) -> &ProjectionMask {
        &self.mask
    }

    /// The declared columns of `batch`, which a reader with this mask gave.
    pub fn arrays(&self, batch: &RecordBatch) -> EngineResult<Vec<ArrayRef>> {
        let options = CastOptions { safe: true, format_options: DEFAULT_FORMAT_OPTIONS };
        let array = |(source, field): (&Source, &FieldRef)| match source {
            Source::File(index) if batch.column(*index).data_type() == field.data_type() => Ok(Arc::clone(batch.column(*index))),
            Source::File(index) => cast_column(batch.column(*index), field.data_type(), &options),
            Source::Constant(value) => value.to_array_of_size(batch.num_rows()),
        };
        self.sources.iter().zip(&self.wanted).map(array).collect()
    }

    /// One row of the columns if they are the same for all rows of the file.
    pub fn constants(&self) -> Option<EngineResult<Vec<ArrayRef>>> {
        let value = |source: &Source| match source {
            Source::File(_) => None,
            Source::Constant(value) => Some(value.to_array()),
        };
        self.sources.iter().map(value).collect()
    }

    /// The row numbers of `batch`.
    pub fn row_numbers<'a>(&self, batch: &'a RecordBatch) -> &'a ArrayRef {
        batch.column(self.read)
    }
}
