//! Writes rows as Parquet files beside a table. They belong to it only when a commit names them.

use std::{collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;
use chrono::Utc;
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array},
        compute::take_record_batch,
        datatypes::{DataType, Float32Type, Float64Type, Schema, SchemaRef},
        row::{OwnedRow, RowConverter, SortField},
    },
    parquet::{
        arrow::{
            arrow_writer::ArrowWriterOptions,
            async_writer::{AsyncArrowWriter, AsyncFileWriter},
        },
        basic::{Compression, ZstdLevel},
        errors::ParquetError,
        file::properties::WriterProperties,
    },
};
use futures::future::BoxFuture;
use object_store::buffered::BufWriter;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use crate::{
    commit::{
        action::Add,
        memory::{HeldMemory, WriterMemory},
        partition,
        row_rules::RowRules,
        stats,
        table::TargetTable,
    },
    failure::Failure,
    storage::{Location, store_failure},
};

/// Files that one writer keeps open at once; a row for another partition closes the one that was written longest ago.
const MAX_OPEN_FILES: usize = 64;
/// Rows of one row group, at most.
const MAX_ROW_GROUP_ROWS: usize = 1024 * 1024;
/// Bytes handed to an object store at once; a smaller file is one put. Stores take no smaller parts.
const UPLOAD_PART_BYTES: usize = 8 << 20;
/// The same for a local directory, where a part costs nothing but its memory.
const LOCAL_PART_BYTES: usize = 256 << 10;
/// Parts of one file on their way at once.
const PARTS_IN_FLIGHT: usize = 2;
/// Length of the text bounds in statistics.
const TEXT_BOUND_BYTES: usize = 32;
/// Table property that chooses the compression: `snappy` (default), `zstd`, `uncompressed`.
const COMPRESSION: &str = "delta.parquet.compression.codec";

/// How data files are written.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// A file is closed when it has grown to about this size.
    pub target_file_bytes: u64,
    /// A file is closed when it has so many rows.
    pub target_file_rows: u64,
    /// Rows of a page: what is decoded to come to one row.
    pub page_rows: usize,
    /// A column whose different values need more than this is written without a dictionary. Whoever reads one row reads the dictionary too.
    pub dictionary_bytes: usize,
    /// Memory of one writer, all open files together.
    pub memory_bytes: u64,
    /// What this writer shares with all others.
    pub shared: WriterMemory,
    /// Stands in the names of files whose rows are in an order that maintenance made.
    pub order_mark: Option<String>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            target_file_bytes: 256 << 20,
            target_file_rows: u64::MAX,
            page_rows: 20_000,
            dictionary_bytes: 1 << 20,
            memory_bytes: 64 << 20,
            shared: WriterMemory::default(),
            order_mark: None,
        }
    }
}

impl WriterOptions {
    /// How files of `table` are written.
    pub fn of(table: &TargetTable, shared: WriterMemory) -> Self {
        if table.key_columns().is_empty() { Self { shared, ..Self::default() } } else { Self::keyed(shared) }
    }

    /// Files in which single rows are looked up by key: rows that come sorted by key stand in many files, each with its own range of keys,
    /// and in small pages.
    pub fn keyed(shared: WriterMemory) -> Self {
        Self {
            target_file_bytes: 64 << 20,
            target_file_rows: 1 << 20,
            page_rows: 1024,
            dictionary_bytes: 64 << 10,
            shared,
            ..Self::default()
        }
    }
}

/// Files that a writer has finished.
#[derive(Clone, Debug)]
pub struct StagedFiles {
    /// The table.
    pub location: Location,
    /// The files, as a commit names them.
    pub adds: Vec<Add>,
    /// Further files of the same commit: change data, deletion vectors. Relative to the table.
    pub others: Vec<String>,
    /// Rows of all data files.
    pub rows: u64,
    /// Bytes of all data files.
    pub bytes: u64,
}

impl StagedFiles {
    /// No files for the table at `location`.
    pub fn none(location: &Location) -> Self {
        Self { location: location.clone(), adds: Vec::new(), others: Vec::new(), rows: 0, bytes: 0 }
    }

    /// These files and those of another writer of the same table.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.adds.extend(other.adds);
        self.others.extend(other.others);
        self.rows += other.rows;
        self.bytes += other.bytes;
        self
    }

    /// Deletes the files: nothing will commit them.
    pub async fn discard(self) -> Result<(), Failure> {
        for add in &self.adds {
            self.location.delete(&add.path.replace("%25", "%")).await?;
        }
        for path in &self.others {
            self.location.delete(path).await?;
        }
        Ok(())
    }
}

/// Writes the rows of one partition of an execution. Several may write for one table at once.
pub struct TableWriter {
    location: Location,
    options: WriterOptions,
    properties: WriterProperties,
    extension: &'static str,
    /// Below the table; empty for the files of the table itself.
    directory: &'static str,
    schema: SchemaRef,
    /// What every row keeps.
    rules: Arc<RowRules>,
    /// The columns that stand in the files: all but the partition columns.
    file_schema: SchemaRef,
    file_columns: Vec<usize>,
    /// Top-level floating-point columns of the files, by name.
    floating: Vec<(usize, String)>,
    partitions: Option<Partitions>,
    open: HashMap<Option<OwnedRow>, OpenFile>,
    clock: u64,
    /// Stands in the names of all files of this writer.
    run: Uuid,
    /// Files that were begun.
    started: u64,
    held: HeldMemory,
    staged: StagedFiles,
}

/// What all files of one writer have in common: the name of the data file at `path` without its number.
pub fn run_of(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let numbered = name.split_once('-').and_then(|(_, rest)| rest.split_once('-'));
    numbered.filter(|(number, _)| number.len() >= 5 && number.bytes().all(|byte| byte.is_ascii_digit())).map_or(name, |(_, run)| run)
}

impl fmt::Debug for TableWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableWriter({}, {} rows)", self.location, self.staged.rows)
    }
}

/// How the files of a writer are laid out.
struct Shape<'a> {
    partition_columns: &'a [String],
    partitions: Option<Partitions>,
    codec: Option<String>,
    directory: &'static str,
}

/// The partition columns and how to compare their values.
struct Partitions {
    names: Vec<String>,
    columns: Vec<usize>,
    converter: RowConverter,
}

struct OpenFile {
    writer: AsyncArrowWriter<Upload>,
    path: String,
    part_bytes: usize,
    values: Vec<(String, Option<String>)>,
    rows: u64,
    not_a_number: Vec<String>,
    used_at: u64,
}

impl OpenFile {
    /// Memory of rows that are not encoded to the end yet.
    fn encoding(&self) -> u64 {
        self.writer.memory_size() as u64
    }

    /// Memory of encoded bytes that the store may not have taken yet: the part that is filled, and those on their way.
    fn uploading(&self) -> u64 {
        let (encoded, part_bytes) = (self.writer.bytes_written(), self.part_bytes);
        ((encoded / part_bytes).min(PARTS_IN_FLIGHT) * part_bytes + encoded % part_bytes) as u64
    }
}

/// Hands finished row groups to the store without copying them.
struct Upload(BufWriter);

impl AsyncFileWriter for Upload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), ParquetError>> {
        Box::pin(async move { self.0.put(bytes).await.map_err(|error| ParquetError::External(Box::new(error))) })
    }

    fn complete(&mut self) -> BoxFuture<'_, Result<(), ParquetError>> {
        Box::pin(async move { self.0.shutdown().await.map_err(|error| ParquetError::External(Box::new(error))) })
    }
}

impl TableWriter {
    /// A writer for `table`. Nothing is written before the first row.
    pub fn new(table: &TargetTable, options: WriterOptions) -> Result<Self, Failure> {
        Ok(Self { rules: Arc::clone(table.rules()), ..Self::within(table, options, table.schema(), "")? })
    }

    /// A writer for files in `directory` that are partitioned like the table but have the columns of `schema`.
    pub(super) fn within(
        table: &TargetTable,
        options: WriterOptions,
        schema: &SchemaRef,
        directory: &'static str,
    ) -> Result<Self, Failure> {
        let codec = table.properties().get(COMPRESSION).map(|codec| codec.to_ascii_lowercase());
        let shape = Shape { partition_columns: table.partition_columns(), partitions: Partitions::of(table)?, codec, directory };
        Ok(Self::of(table.location(), options, schema, shape))
    }

    /// A writer for files at `location` that belong to no table.
    pub fn of_files(location: &Location, options: WriterOptions, schema: &SchemaRef) -> Self {
        Self::of(location, options, schema, Shape { partition_columns: &[], partitions: None, codec: None, directory: "" })
    }

    fn of(location: &Location, options: WriterOptions, schema: &SchemaRef, shape: Shape<'_>) -> Self {
        let schema = Arc::clone(schema);
        let is_partition = |name: &str| shape.partition_columns.iter().any(|column| column == name);
        let file_columns: Vec<usize> = (0..schema.fields().len()).filter(|index| !is_partition(schema.field(*index).name())).collect();
        let file_schema = Arc::new(Schema::new(file_columns.iter().map(|index| Arc::clone(&schema.fields()[*index])).collect::<Vec<_>>()));
        let floats = file_columns.iter().filter(|index| matches!(schema.field(**index).data_type(), DataType::Float32 | DataType::Float64));
        let floating = floats.map(|index| (*index, schema.field(*index).name().clone())).collect();
        let (compression, extension) = match shape.codec.as_deref() {
            Some("zstd") => (Compression::ZSTD(ZstdLevel::default()), "zstd.parquet"),
            Some("uncompressed" | "none") => (Compression::UNCOMPRESSED, "parquet"),
            _ => (Compression::SNAPPY, "snappy.parquet"),
        };
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_created_by(concat!("Floe ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_statistics_truncate_length(Some(TEXT_BOUND_BYTES))
            .set_data_page_row_count_limit(options.page_rows)
            .set_dictionary_page_size_limit(options.dictionary_bytes)
            .set_max_row_group_row_count(Some(MAX_ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some((options.memory_bytes.min(options.shared.limit_bytes()) / 2).max(1) as usize))
            .build();
        Self {
            location: location.clone(),
            held: options.shared.join(),
            options,
            properties,
            extension,
            directory: shape.directory,
            partitions: shape.partitions,
            schema,
            rules: Arc::default(),
            file_schema,
            file_columns,
            floating,
            open: HashMap::new(),
            clock: 0,
            run: Uuid::now_v7(),
            started: 0,
            staged: StagedFiles::none(location),
        }
    }

    /// Fits `batch` to the table and its rules (see [`RowRules::applied`]) and writes it. After a failure the writer must be aborted.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.rules.applied(batch, &self.schema)?;
        let Some(partitions) = &self.partitions else { return self.write_part(None, Vec::new(), &batch).await };
        for part in partitions.split(&batch)? {
            self.write_part(Some(part.key), part.values, &part.rows).await?;
        }
        Ok(())
    }

    /// Closes all files.
    pub async fn finish(mut self) -> Result<StagedFiles, Failure> {
        let files: Vec<OpenFile> = self.open.drain().map(|(_, file)| file).collect();
        for file in files {
            self.close(file).await?;
        }
        self.staged.adds.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(self.staged)
    }

    /// Deletes everything that was written.
    pub async fn abort(mut self) -> Result<(), Failure> {
        for (_, file) in self.open.drain() {
            // Best effort: an upload that cannot be aborted leaves parts that no table names.
            let _ = file.writer.into_inner().0.abort().await;
        }
        self.staged.discard().await
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.staged.rows + self.open.values().map(|file| file.rows).sum::<u64>()
    }

    async fn write_part(
        &mut self,
        key: Option<OwnedRow>,
        values: Vec<(String, Option<String>)>,
        rows: &RecordBatch,
    ) -> Result<(), Failure> {
        self.clock += 1;
        if !self.open.contains_key(&key) {
            self.make_room().await?;
            let file = self.start(values)?;
            self.open.insert(key.clone(), file);
        }
        let not_a_number: Vec<String> =
            self.floating.iter().filter(|(index, _)| holds_nan(rows.column(*index))).map(|(_, name)| name.clone()).collect();
        let columns = rows.project(&self.file_columns).map_err(|error| Failure::internal(format!("columns of a data file: {error}")))?;
        let Some(file) = self.open.get_mut(&key) else { return Ok(()) };
        file.used_at = self.clock;
        file.rows += columns.num_rows() as u64;
        for name in not_a_number {
            if !file.not_a_number.contains(&name) {
                file.not_a_number.push(name);
            }
        }
        if let Err(error) = file.writer.write(&columns).await {
            return Err(parquet_failure(&self.location, &file.path, error));
        }
        let size = file.writer.bytes_written() + file.writer.in_progress_size();
        let is_full = size as u64 >= self.options.target_file_bytes || file.rows >= self.options.target_file_rows;
        if is_full && let Some(file) = self.open.remove(&key) {
            self.close(file).await?;
        }
        self.bound_memory().await
    }

    fn start(&mut self, values: Vec<(String, Option<String>)>) -> Result<OpenFile, Failure> {
        let directories: Vec<String> = values.iter().map(|(name, value)| partition::directory(name, value.as_deref())).collect();
        let kind = if self.directory.is_empty() { "part" } else { "cdc" };
        let mark = self.options.order_mark.as_ref().map(|mark| format!(".{mark}")).unwrap_or_default();
        let name = format!("{kind}-{:05}-{}{mark}.{}", self.started, self.run, self.extension);
        let top = (!self.directory.is_empty()).then(|| self.directory.to_owned());
        let path = top.into_iter().chain(directories).chain([name]).collect::<Vec<_>>().join("/");
        let part_bytes = if self.location.local_path().is_some() { LOCAL_PART_BYTES } else { UPLOAD_PART_BYTES };
        let upload = BufWriter::with_capacity(Arc::clone(self.location.store()), self.location.child(&path), part_bytes)
            .with_max_concurrency(PARTS_IN_FLIGHT);
        // Readers take the types from Parquet itself; Arrow's copy of the schema would only make files larger.
        let options = ArrowWriterOptions::new().with_properties(self.properties.clone()).with_skip_arrow_metadata(true);
        let writer = AsyncArrowWriter::try_new_with_options(Upload(upload), Arc::clone(&self.file_schema), options)
            .map_err(|error| parquet_failure(&self.location, &path, error))?;
        self.started += 1;
        Ok(OpenFile { writer, path, part_bytes, values, rows: 0, not_a_number: Vec::new(), used_at: self.clock })
    }

    async fn close(&mut self, file: OpenFile) -> Result<(), Failure> {
        let OpenFile { mut writer, path, values, rows, not_a_number, .. } = file;
        let footer = writer.finish().await.map_err(|error| parquet_failure(&self.location, &path, error))?;
        let bytes = writer.bytes_written() as u64;
        self.staged.rows += rows;
        self.staged.bytes += bytes;
        self.staged.adds.push(Add {
            path: partition::uri(&path),
            partition_values: values.into_iter().collect(),
            size: bytes as i64,
            modification_time: Utc::now().timestamp_millis(),
            data_change: true,
            stats: Some(stats::of_file(&footer, &not_a_number)),
            tags: None,
            deletion_vector: None,
        });
        Ok(())
    }

    /// Closes the file that was written longest ago when too many are open.
    async fn make_room(&mut self) -> Result<(), Failure> {
        if self.open.len() < MAX_OPEN_FILES {
            return Ok(());
        }
        let oldest = self.open.iter().min_by_key(|(_, file)| file.used_at).map(|(key, _)| key.clone());
        match oldest.and_then(|key| self.open.remove(&key)) {
            Some(file) => self.close(file).await,
            None => Ok(()),
        }
    }

    /// Ends row groups early when the open files together hold too much, then files.
    async fn bound_memory(&mut self) -> Result<(), Failure> {
        loop {
            let held = self.open.values().map(|file| file.encoding() + file.uploading()).sum();
            self.held.set(held);
            if held <= self.options.memory_bytes.min(self.held.allowed()) {
                return Ok(());
            }
            let largest = self.open.iter_mut().max_by_key(|(_, file)| file.encoding() + file.uploading());
            let Some((key, file)) = largest else { return Ok(()) };
            if file.encoding() > file.uploading() {
                let flushed = file.writer.flush().await;
                flushed.map_err(|error| parquet_failure(&self.location, &file.path, error))?;
                continue;
            }
            let key = key.clone();
            if let Some(file) = self.open.remove(&key) {
                self.close(file).await?;
            }
        }
    }
}

/// The rows of one partition.
struct Part {
    key: OwnedRow,
    values: Vec<(String, Option<String>)>,
    rows: RecordBatch,
}

impl Partitions {
    fn of(table: &TargetTable) -> Result<Option<Self>, Failure> {
        let schema = table.schema();
        let names: Vec<String> = table.partition_columns().to_vec();
        if names.is_empty() {
            return Ok(None);
        }
        let index = |name: &String| {
            schema.index_of(name).map_err(|error| Failure::internal(format!("partition column of {}: {error}", table.location())))
        };
        let columns = names.iter().map(index).collect::<Result<Vec<_>, _>>()?;
        let fields = columns.iter().map(|index| SortField::new(schema.field(*index).data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(|error| Failure::internal(format!("partition columns: {error}")))?;
        Ok(Some(Self { names, columns, converter }))
    }

    fn split(&self, batch: &RecordBatch) -> Result<Vec<Part>, Failure> {
        let internal = |error| Failure::internal(format!("rows cannot be split by partition: {error}"));
        let arrays: Vec<ArrayRef> = self.columns.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        let keys = self.converter.convert_columns(&arrays).map_err(internal)?;
        let mut groups: HashMap<_, Vec<u32>> = HashMap::new();
        for (row, key) in keys.iter().enumerate() {
            groups.entry(key).or_default().push(row as u32);
        }
        let mut parts = Vec::with_capacity(groups.len());
        for (key, rows) in groups {
            let first = rows.first().copied().unwrap_or_default() as usize;
            let mut values = Vec::with_capacity(self.names.len());
            for (name, array) in self.names.iter().zip(&arrays) {
                values.push((name.clone(), partition::value(array, first)?));
            }
            let rows = if rows.len() == batch.num_rows() {
                batch.clone()
            } else {
                take_record_batch(batch, &UInt32Array::from(rows)).map_err(internal)?
            };
            parts.push(Part { key: key.owned(), values, rows });
        }
        Ok(parts)
    }
}

fn holds_nan(array: &ArrayRef) -> bool {
    match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().values().iter().any(|value| value.is_nan()),
        DataType::Float64 => array.as_primitive::<Float64Type>().values().iter().any(|value| value.is_nan()),
        _ => false,
    }
}

fn parquet_failure(location: &Location, path: &str, error: ParquetError) -> Failure {
    let place = format!("{location}/{path}");
    match error {
        ParquetError::External(source) => match source.downcast::<object_store::Error>() {
            Ok(error) => store_failure("write", &place, *error),
            Err(source) => match source.downcast::<std::io::Error>() {
                Ok(error) => crate::storage::io_failure("write", &place, *error),
                Err(source) => Failure::storage("STORAGE_ERROR", format!("cannot write {place}: {source}")).caused_by(source),
            },
        },
        other => Failure::internal(format!("cannot write {place}: {other}")).caused_by(other),
    }
}
