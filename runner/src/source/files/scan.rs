//! The scan of a fixed list of files: one partition per core, files read one after the other on a blocking thread, batches handed over
//! through a short channel, so that memory stays bounded and decoding runs beside the rest of the plan.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{RecordBatch, UInt32Array},
        compute::take_record_batch,
        datatypes::SchemaRef,
    },
    catalog::{Session, TableProvider},
    error::{DataFusionError, Result as EngineResult},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableType},
    physical_plan::{
        ExecutionPlan,
        empty::EmptyExec,
        stream::RecordBatchReceiverStreamBuilder,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use floe_graph::source_options::{FileFormat, FileReadOptions, TextEncoding};
use tokio::{runtime::Handle, sync::mpsc::Sender};

use super::{
    columns::{Columns, content_schema, path_columns},
    location::{FileRoot, shown},
    look::{surprise, unreadable},
    open::{ReadError, SourceFile},
    path_surprises::PathSurprises,
    reader::{BATCH_ROWS, ContentReader, FileCounts, ReadColumns},
};
use crate::{
    failure::Failure,
    source::{
        counters::{ReadCounters, ScanCounters},
        order,
    },
    state::FileEntry,
};

/// Batches that wait for the consumer, per partition.
const WAITING_BATCHES: usize = 2;

/// An engine that asks for fewer rows in a batch is short of memory; else the batches of the readers are passed on as they are.
const SMALL_ROWS: usize = BATCH_ROWS / 4;

/// What every scan of one relation knows.
#[derive(Debug)]
pub(super) struct FileRead {
    pub root: FileRoot,
    pub options: FileReadOptions,
}

/// A fixed list of files as a table.
pub(super) struct FileTable {
    read: Arc<FileRead>,
    files: Vec<FileEntry>,
    schema: SchemaRef,
    counters: Arc<ReadCounters>,
}

impl fmt::Debug for FileTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileTable({}, {} files)", self.read.root.id(), self.files.len())
    }
}

impl FileTable {
    pub(super) fn new(read: FileRead, files: Vec<FileEntry>, schema: SchemaRef, counters: Arc<ReadCounters>) -> Self {
        Self { read: Arc::new(read), files, schema, counters }
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let mut projection = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&projection)?);
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let (hidden, relation) = order::split(&self.schema);
        let (order_at, _) = order::split(&schema);
        if let Some(hidden) = hidden {
            projection.retain(|column| *column != hidden);
            projection.iter_mut().filter(|column| **column > hidden).for_each(|column| *column -= 1);
        }
        let task = Arc::new(ScanTask {
            read: Arc::clone(&self.read),
            relation,
            projection,
            schema: Arc::clone(&schema),
            order_at,
            small_rows: Some(state.config().batch_size()).filter(|rows| *rows < SMALL_ROWS),
            counters: self.counters.start(),
        });
        let partition = |files| Arc::new(Partition { task: Arc::clone(&task), files }) as Arc<dyn PartitionStream>;
        let partitions = balanced(&self.files, state.config().target_partitions()).into_iter().map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?))
    }
}

/// Files in at most `count` groups of about equal size, each in the order of the list, with their places in it.
fn balanced(files: &[FileEntry], count: usize) -> Vec<Vec<(usize, FileEntry)>> {
    let count = count.clamp(1, files.len().max(1));
    let mut largest_first: Vec<usize> = (0..files.len()).collect();
    largest_first.sort_by_key(|index| std::cmp::Reverse(files[*index].size));
    let mut groups: Vec<(u64, Vec<usize>)> = vec![(0, Vec::new()); count];
    for index in largest_first {
        if let Some(group) = groups.iter_mut().min_by_key(|(size, members)| (*size, members.len())) {
            // A file costs something even if it is empty.
            group.0 += files[index].size + 1024;
            group.1.push(index);
        }
    }
    let in_order = |(_, mut members): (u64, Vec<usize>)| {
        members.sort_unstable();
        members.into_iter().map(|index| (index, files[index].clone())).collect()
    };
    groups.into_iter().map(in_order).collect()
}

/// What the partitions of one scan share.
#[derive(Debug)]
pub(super) struct ScanTask {
    pub read: Arc<FileRead>,
    /// Of the relation, before projection and without the source order.
    relation: SchemaRef,
    projection: Vec<usize>,
    schema: SchemaRef,
    /// Where the output has the source order.
    order_at: Option<usize>,
    /// Rows of a batch, if memory is so short that the engine asks for small ones.
    small_rows: Option<usize>,
    counters: Arc<ScanCounters>,
}

/// Which columns the files with certain `name=value` directories have, and the reader of such files.
struct Layout {
    in_path: Vec<String>,
    columns: Columns,
    reader: ContentReader,
}

/// The files of one partition.
#[derive(Debug)]
struct Partition {
    task: Arc<ScanTask>,
    files: Vec<(usize, FileEntry)>,
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.task.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(self.schema()), WAITING_BATCHES);
        let target = builder.tx();
        let (task, files, runtime) = (Arc::clone(&self.task), self.files.clone(), Handle::current());
        builder.spawn_blocking(move || task.run(&files, &runtime, &target).map_err(engine_error));
        builder.build()
    }
}

impl ScanTask {
    fn run(&self, files: &[(usize, FileEntry)], runtime: &Handle, target: &Sender<EngineResult<RecordBatch>>) -> Result<(), Failure> {
        let mut layouts: Vec<Layout> = Vec::new();
        for (index, entry) in files {
            let place = self.read.root.place_of(&entry.path)?;
            let file = SourceFile::new(entry, place, runtime.clone());
            let layout = self.layout_of(entry, &mut layouts)?;
            match self.run_file(layout, (*index, &file), target) {
                Ok(counts) => {
                    self.counters.add_rows(counts.rows, counts.corrupt);
                    self.counters.add_file(entry.size);
                    if let Some(found) = surprise(self.read.options.format, file.looks_like(), &counts) {
                        self.counters.add_look_alike(&entry.path, found);
                    }
                }
                Err(ReadError::Stopped) => return Ok(()),
                Err(ReadError::Missing) if self.read.options.ignore_missing_files => self.counters.add_missing_file(),
                Err(ReadError::Missing) => return Err(vanished(&entry.path)),
                Err(ReadError::Corrupt(reason)) => return Err(unreadable(&file, self.read.options.format, &reason)),
                Err(ReadError::Failed(failure)) => return Err(*failure),
            }
        }
        Ok(())
    }

    /// The layout for `file`: its own path decides which columns its content does not have.
    fn layout_of<'a>(&self, file: &FileEntry, layouts: &'a mut Vec<Layout>) -> Result<&'a mut Layout, Failure> {
        let in_path = path_columns(file, &self.read.options.partition_columns, &self.relation);
        let known = layouts.iter().position(|layout| layout.in_path == in_path);
        let index = known.unwrap_or(layouts.len());
        if known.is_none() {
            let columns = Columns::new(&self.relation, &self.projection, &in_path)?;
            let reader = self.reader(&columns, &in_path)?;
            layouts.push(Layout { in_path, columns, reader });
        }
        layouts.get_mut(index).ok_or_else(|| Failure::internal("a file has no layout"))
    }

    fn reader(&self, columns: &Columns, in_path: &[String]) -> Result<ContentReader, Failure> {
        let columns = ReadColumns {
            needed: Arc::clone(columns.content()),
            content: Arc::new(content_schema(&self.relation, in_path)),
            known: self.relation.fields().iter().map(|field| field.name().clone()).collect(),
        };
        ContentReader::new(&self.read, &columns)
    }

    fn run_file(
        &self,
        layout: &mut Layout,
        (index, file): (usize, &SourceFile<'_>),
        target: &Sender<EngineResult<RecordBatch>>,
    ) -> Result<FileCounts, ReadError> {
        // An unreadable file must leave no row behind, and how far it can be read is known only at its end.
        if self.read.options.ignore_corrupt_files && self.needs_check(file) {
            match layout.reader.read(file, &mut |_| Ok(()), &mut |_, _| Ok(())) {
                Err(ReadError::Corrupt(reason)) => {
                    tracing::warn!(file = %file.entry.path, %reason, "unreadable file skipped");
                    self.counters.add_corrupt_file(&file.entry.path);
                    if self.read.options.bad_records_path.is_some() {
                        self.counters.add_bad(&file.entry.path, None, &reason)?;
                    }
                    layout.reader = self.reader(&layout.columns, &layout.in_path)?;
                    return Ok(FileCounts::default());
                }
                checked => checked?,
            };
        }
        let Layout { in_path, columns, reader } = layout;
        let surprises = PathSurprises::of(file.entry, &self.read.options, &self.relation, in_path);
        let constants = columns.constants(file.entry, &surprises)?;
        let mut next = order::first_of_file(index);
        let mut emit = |content: RecordBatch| {
            // A directory with a new name is a new field of the rows below it.
            if content.num_rows() > 0 {
                surprises.check(&file.entry.path, &self.read.options.schema)?;
            }
            let batch = self.numbered(columns.complete(&content, &constants)?, &mut next)?;
            self.counters.pass(batch.num_rows() as u64);
            self.send(batch, target)
        };
        reader.read(file, &mut emit, &mut |record, reason| self.counters.add_bad(&file.entry.path, Some(record), reason))
    }

    fn send(&self, batch: RecordBatch, target: &Sender<EngineResult<RecordBatch>>) -> Result<(), ReadError> {
        let most = self.small_rows.unwrap_or(usize::MAX).max(1);
        if batch.num_rows() <= most {
            return target.blocking_send(Ok(batch)).map_err(|_| ReadError::Stopped);
        }
        for first in (0..batch.num_rows()).step_by(most) {
            let rows = first as u32..(first + most).min(batch.num_rows()) as u32;
            // A slice would keep the memory of all rows, and the engine would count it once for each slice.
            let piece = take_record_batch(&batch, &UInt32Array::from_iter_values(rows)).map_err(DataFusionError::from);
            target.blocking_send(piece).map_err(|_| ReadError::Stopped)?;
        }
        Ok(())
    }

    /// The rows with their numbers, if somebody wants to know the order of the source.
    fn numbered(&self, batch: RecordBatch, next: &mut u64) -> Result<RecordBatch, Failure> {
        let Some(at) = self.order_at else { return Ok(batch) };
        let mut columns = batch.columns().to_vec();
        columns.insert(at, order::numbers(*next, batch.num_rows()));
        *next += batch.num_rows() as u64;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| Failure::internal(format!("rows could not be numbered: {error}")))
    }

    /// True for files whose bytes can turn out to be broken in the middle.
    fn needs_check(&self, file: &SourceFile<'_>) -> bool {
        let compressed = [".gz", ".gzip", ".bz2", ".zst", ".zstd", ".snappy"];
        let path = file.entry.path.to_ascii_lowercase();
        let is_typed = matches!(self.read.options.format, FileFormat::Parquet | FileFormat::Avro | FileFormat::Orc);
        let is_checked = is_typed || self.read.options.encoding != TextEncoding::Utf8;
        is_checked || self.read.options.format == FileFormat::Text || compressed.iter().any(|suffix| path.ends_with(suffix))
    }
}

fn vanished(path: &str) -> Failure {
    Failure::user("FILE_NOT_EXIST", format!("{} was there when it was listed and is gone now", shown(path)))
        .help("restore the file, or set ignoreMissingFiles => true to go on without it")
}

/// A failure on its way through the engine; `read_failure` takes it out again.
pub(in crate::source) fn engine_error(failure: Failure) -> DataFusionError {
    DataFusionError::External(Box::new(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_balanced_by_size_and_keep_the_order() {
        let files: Vec<_> = [10_000, 9_000, 1_000, 1_000, 0]
            .iter()
            .enumerate()
            .map(|(n, size)| FileEntry { path: n.to_string(), size: *size, modified_us: 0, etag: None })
            .collect();
        let names = |count| -> Vec<Vec<String>> {
            balanced(&files, count).into_iter().map(|group| group.into_iter().map(|(_, file)| file.path).collect()).collect()
        };
        assert_eq!(names(2), [vec!["0", "3"], vec!["1", "2", "4"]]);
        assert_eq!(names(9).len(), 5);
    }
}
