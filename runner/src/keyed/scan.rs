//! The scan of a table by key: files are opened and row groups read by as many tasks as the plan has partitions, each taking what comes next.

use std::{
    collections::VecDeque,
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array},
        buffer::BooleanBuffer,
        compute::filter_record_batch,
        datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef},
        error::ArrowError,
    },
    catalog::{Session, TableProvider},
    error::{DataFusionError, Result as EngineResult},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableType},
    parquet::arrow::{
        ProjectionMask,
        arrow_reader::{ArrowPredicate, RowFilter, RowSelection},
    },
    physical_plan::{
        ExecutionPlan,
        empty::EmptyExec,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::{StreamExt, stream, stream::BoxStream};
use roaring::RoaringTreemap;
use tokio::sync::Notify;

use super::{
    PLACE,
    filter::KeyFilter,
    place,
    rows::{KeyedCounters, TableRows},
    stats,
};
use crate::commit::data_file::{DataFile, FileColumns};

/// A table as the rows with some keys.
pub(super) struct KeyedTable {
    rows: TableRows,
    /// The columns that were asked for, then the place.
    schema: SchemaRef,
    filter: Arc<KeyFilter>,
    counters: Arc<KeyedCounters>,
}

impl fmt::Debug for KeyedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedTable({:?}, {:?} keys)", self.rows, self.filter.keys())
    }
}

impl KeyedTable {
    pub(super) fn new(rows: TableRows, columns: &SchemaRef, filter: Arc<KeyFilter>, counters: Arc<KeyedCounters>) -> Self {
        // What stored columns are is the table's business; here every column may be missing in an old file.
        let mut fields: Vec<Field> = columns.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        fields.push(Field::new(PLACE, DataType::UInt64, false));
        Self { rows, schema: Arc::new(Schema::new(fields)), filter, counters }
    }
}

#[async_trait]
impl TableProvider for KeyedTable {
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
        let all = || (0..self.schema.fields().len()).collect();
        let output = Arc::new(self.schema.project(&projection.cloned().unwrap_or_else(all))?);
        let candidates = self.rows.candidates(&self.filter).map_err(|failure| DataFusionError::External(Box::new(failure)))?;
        self.counters.files.fetch_add(self.rows.file_count() as u64, Ordering::Relaxed);
        if candidates.is_empty() {
            return Ok(Arc::new(EmptyExec::new(output)));
        }
        let columns = output.fields().iter().filter(|field| field.name() != PLACE).cloned().collect();
        let scan = Arc::new(Scan {
            rows: self.rows.clone(),
            filter: Arc::clone(&self.filter),
            counters: Arc::clone(&self.counters),
            output: Arc::clone(&output),
            columns,
            batch_rows: state.config().batch_size(),
            queue: Queue::of(candidates),
        });
        let partition = |_| Arc::new(Partition { scan: Arc::clone(&scan), started: AtomicBool::new(false) }) as Arc<dyn PartitionStream>;
        let partitions = (0..state.config().target_partitions().max(1)).map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(output, partitions, None, [], false, limit)?))
    }
}

/// One execution of a scan.
struct Scan {
    rows: TableRows,
    filter: Arc<KeyFilter>,
    counters: Arc<KeyedCounters>,
    output: SchemaRef,
    /// The output without the place.
    columns: Vec<FieldRef>,
    batch_rows: usize,
    queue: Queue,
}

/// A part of the output: whatever rows its task comes to.
struct Partition {
    scan: Arc<Scan>,
    started: AtomicBool,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partition({:?})", self.scan.rows)
    }
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.scan.output
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let output = Arc::clone(&self.scan.output);
        if self.started.swap(true, Ordering::Relaxed) {
            // The queue is empty by now: no rows would be a wrong answer.
            let error = DataFusionError::Internal("a scan by key was executed twice".to_owned());
            return Box::pin(RecordBatchStreamAdapter::new(output, stream::once(async { Err(error) })));
        }
        Box::pin(RecordBatchStreamAdapter::new(output, rows(Arc::clone(&self.scan))))
    }
}

type Batches = BoxStream<'static, EngineResult<RecordBatch>>;

/// The rows that one task reads.
fn rows(scan: Arc<Scan>) -> impl stream::Stream<Item = EngineResult<RecordBatch>> + Send {
    let first: Option<Batches> = None;
    stream::try_unfold((scan, first), |(scan, mut current)| async move {
        loop {
            if let Some(batches) = &mut current
                && let Some(batch) = batches.next().await
            {
                let batch = batch?;
                scan.counters.rows_found.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                return Ok(Some((batch, (scan, current))));
            }
            let Some(group) = scan.next().await? else { return Ok(None) };
            current = Some(scan.read(&group)?);
        }
    })
}

impl Scan {
    /// The next row group, opening files until there is one.
    async fn next(&self) -> EngineResult<Option<RowGroup>> {
        loop {
            let mut changed = pin!(self.queue.changed.notified());
            changed.as_mut().enable();
            match self.queue.take() {
                Step::Read(group) => return Ok(Some(group)),
                Step::Wait => changed.await,
                Step::Done => return Ok(None),
                Step::Open(file) => {
                    let mut opening = Opening { queue: &self.queue, file: Some(file) };
                    let groups = self.open(file).await;
                    opening.file = None;
                    self.queue.state().groups.extend(groups?);
                }
            }
        }
    }

    /// The row groups of a file that may hold wanted keys.
    async fn open(&self, file: usize) -> EngineResult<Vec<RowGroup>> {
        let add = self.rows.file(file);
        let fields = self.filter.fields();
        let is_key = |name: &str| fields.iter().any(|field| field.name() == name);
        let opened = DataFile::open(self.rows.location(), add, &self.counters.bytes_read, &is_key).await?;
        self.counters.files_read.fetch_add(1, Ordering::Relaxed);
        let keys = opened.columns(&fields);
        if let Some(key) = keys.constants().filter(|_| !self.filter.is_all())
            && stats::has_one_unwanted_key(&self.filter, &key?)?
        {
            return Ok(Vec::new());
        }
        let groups = stats::groups_with_keys(&self.filter, &opened)?;
        let opened = Arc::new(opened);
        Ok(groups.into_iter().map(|(number, selection)| RowGroup { file, opened: Arc::clone(&opened), number, selection }).collect())
    }

    /// The wanted rows of a row group: keys first, the other columns of the rows that were found.
    fn read(&self, group: &RowGroup) -> EngineResult<Batches> {
        self.counters.groups_read.fetch_add(1, Ordering::Relaxed);
        let columns = group.opened.columns(&self.columns);
        let mut rows = group.opened.rows().with_batch_size(self.batch_rows).with_row_groups(vec![group.number]);
        // Keys of the few rows that are found are decoded a second time: to keep all of a row group for them costs more time and memory.
        rows = rows.with_projection(columns.mask().clone()).with_max_predicate_cache_size(0);
        if let Some(selection) = &group.selection {
            rows = rows.with_row_selection(selection.clone());
        }
        let keys = group.opened.columns(&self.filter.fields());
        if self.filter.keys().is_some() && keys.constants().is_none() {
            let predicate = KeyPredicate { keys, filter: Arc::clone(&self.filter), counters: Arc::clone(&self.counters) };
            rows = rows.with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
        }
        let found = Found { columns, file: group.file, marked: self.rows.marked(group.file).cloned(), output: Arc::clone(&self.output) };
        let batches = rows.build()?.map(move |batch| found.placed(&batch.map_err(DataFusionError::from)?));
        Ok(batches.boxed())
    }
}

/// Compares keys while a row group is read.
struct KeyPredicate {
    keys: FileColumns,
    filter: Arc<KeyFilter>,
    counters: Arc<KeyedCounters>,
}

impl ArrowPredicate for KeyPredicate {
    fn projection(&self) -> &ProjectionMask {
        self.keys.mask()
    }

    fn evaluate(&mut self, batch: RecordBatch) -> Result<BooleanArray, ArrowError> {
        self.counters.rows_compared.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        let keys = self.keys.arrays(&batch).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
        self.filter.matches(&keys).map_err(|error| ArrowError::ExternalError(Box::new(error)))
    }
}

/// Makes rows of a file into rows of the scan.
struct Found {
    columns: FileColumns,
    file: usize,
    marked: Option<Arc<RoaringTreemap>>,
    output: SchemaRef,
}

impl Found {
    fn placed(&self, batch: &RecordBatch) -> EngineResult<RecordBatch> {
        let alive = self.marked.as_ref().map(|marked| {
            let numbers = self.columns.row_numbers(batch).as_primitive::<Int64Type>();
            let alive = |row| !marked.contains(numbers.value(row) as u64);
            BooleanArray::new(BooleanBuffer::collect_bool(batch.num_rows(), alive), None)
        });
        let batch = match alive {
            Some(alive) if alive.true_count() < batch.num_rows() => &filter_record_batch(batch, &alive)?,
            _ => batch,
        };
        let numbers = self.columns.row_numbers(batch).as_primitive::<Int64Type>();
        let places = UInt64Array::from_iter_values(numbers.values().iter().map(|row| place(self.file, *row as u64)));
        let mut columns = self.columns.arrays(batch)?.into_iter();
        let column = |field: &FieldRef| if field.name() == PLACE { None } else { columns.next() };
        let places: ArrayRef = Arc::new(places);
        let columns = self.output.fields().iter().map(column).map(|column| column.unwrap_or_else(|| Arc::clone(&places))).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?)
    }
}

/// A row group to read.
struct RowGroup {
    file: usize,
    opened: Arc<DataFile>,
    number: usize,
    /// `None`: all rows.
    selection: Option<RowSelection>,
}

/// What is left to do. A file becomes row groups when a task opens it.
struct Queue {
    state: Mutex<Left>,
    changed: Notify,
}

#[derive(Default)]
struct Left {
    files: VecDeque<usize>,
    groups: VecDeque<RowGroup>,
    opening: usize,
}

enum Step {
    Read(RowGroup),
    Open(usize),
    /// Another task opens the last file: it may have more than one row group.
    Wait,
    Done,
}

impl Queue {
    fn of(files: Vec<usize>) -> Self {
        Self { state: Mutex::new(Left { files: files.into(), ..Left::default() }), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, Left> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Step {
        let mut left = self.state();
        if let Some(group) = left.groups.pop_front() {
            return Step::Read(group);
        }
        match left.files.pop_front() {
            Some(file) => {
                left.opening += 1;
                Step::Open(file)
            }
            None if left.opening > 0 => Step::Wait,
            None => Step::Done,
        }
    }
}

/// A file that a task opens. If the task ends before it has, the file is left for another one.
struct Opening<'a> {
    queue: &'a Queue,
    file: Option<usize>,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut left = self.queue.state();
        left.files.extend(self.file);
        left.opening -= 1;
        drop(left);
        self.queue.changed.notify_waiters();
    }
}
