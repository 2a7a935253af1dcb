//! The physical operator of keyed de-duplication: rows sorted by key and source order meet the remembered keys, sorted too, in one pass.

use std::sync::{
    Arc, Mutex as StdMutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, RecordBatch, UInt32Array},
        compute::{filter_record_batch, take_record_batch},
        datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType, UInt32Type},
        row::{RowConverter, SortField},
    },
    datasource::provider_as_source,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::LogicalPlanBuilder,
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, stream, stream::BoxStream};
use tokio::sync::Mutex;

use super::{
    StagedKeys, StateRun,
    keys::{EXPIRES, KeyWriter, Keys, is_expired, within_engine},
};
use crate::{
    execute::{
        cdc::sorted::{Prepare, sorted},
        operator::RowOperator,
    },
    keyed::{KeyFilterBuilder, KeyedCounters, TableRows},
    state::Segment,
};

/// Columns in front of those of the input while it is sorted.
const SORT_COLUMNS: usize = 2;

/// Rows that are on their way through the operator. Whoever asks takes the next ones.
type Passing = Arc<Mutex<Option<BoxStream<'static, Result<RecordBatch>>>>>;

/// Gives out the first row of each key that is not remembered.
pub struct Deduplicating {
    operator: Arc<Operator>,
    passing: Passing,
}

/// One operator in one attempt of a micro-batch.
#[derive(Debug)]
struct Operator {
    /// Its place among the operators of the flow.
    number: usize,
    /// The keys of its input.
    keys: Keys,
    /// The source order of its input.
    order: Vec<Arc<dyn PhysicalExpr>>,
    /// `None`: the plan is only shown.
    run: Option<Arc<StateRun>>,
}

impl Deduplicating {
    /// Operator `number` of a flow, by `keys`; of rows of one key the first in `order` counts. Without `run` it is only shown.
    pub fn new(number: usize, keys: Keys, order: Vec<Arc<dyn PhysicalExpr>>, run: Option<Arc<StateRun>>) -> Self {
        Self { operator: Arc::new(Operator { number, keys, order, run }), passing: Passing::default() }
    }

    /// Takes the rows of `input` that nobody asked for, so that all keys of the micro-batch are known.
    pub async fn finish(&self, input: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<()> {
        if self.operator.run.is_none() {
            return Ok(());
        }
        let mut passing = self.passing.lock().await;
        if passing.is_none() {
            *passing = Some(self.start(input, context)?);
        }
        let Some(rows) = passing.as_mut() else { return Ok(()) };
        while let Some(batch) = rows.next().await {
            batch?;
        }
        Ok(())
    }

    fn start(&self, input: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let Some(run) = self.operator.run.clone() else {
            return Err(DataFusionError::Internal("an operator with state is executed without its state".to_string()));
        };
        let previous = run.beginning.previous.as_ref().and_then(|state| state.operators.get(self.operator.number));
        let is_needed = |segment: &&Segment| !is_expired(segment.expires_us, run.beginning.watermark_us);
        let known: Vec<Segment> = previous.iter().flat_map(|known| &known.segments).filter(is_needed).cloned().collect();
        let filter = || KeyFilterBuilder::new(&self.operator.keys.fields()).map_err(within_engine);
        let seen = if known.is_empty() { None } else { Some(filter()?) };
        let arriving = Arc::new(Arriving {
            operator: Arc::clone(&self.operator),
            order: self.order_converter(&input.schema())?,
            schema: sorted_schema(&input.schema()),
            seen: StdMutex::new(seen),
            late: AtomicU64::new(0),
            watermark_us: run.beginning.watermark_us,
        });
        let prepare = Arc::clone(&arriving).prepare();
        let rows = sorted(Arc::clone(input), &arriving.schema, prepare, context)?;
        let writer = KeyWriter::new(run.beginning.clone(), Arc::clone(self.operator.keys.columns()));
        let merge = Merge { rows, arriving, run, known: Known::Files(known), writer: Some(writer), last: None, output: input.schema() };
        Ok(stream::try_unfold(merge, |mut merge| async move { Ok(merge.next().await?.map(|batch| (batch, merge))) }).boxed())
    }

    fn order_converter(&self, schema: &Schema) -> Result<RowConverter> {
        let field = |expr: &Arc<dyn PhysicalExpr>| Ok(SortField::new(expr.data_type(schema)?));
        Ok(RowConverter::new(self.operator.order.iter().map(field).collect::<Result<_>>()?)?)
    }
}

impl RowOperator for Deduplicating {
    const NAME: &'static str = "DeduplicateExec";
    const KEEPS_ORDER: bool = false;

    fn details(&self) -> String {
        format!("{:?}", self.operator.keys.fields().iter().map(|field| field.data_type()).collect::<Vec<_>>())
    }

    fn properties(&self, input: &dyn ExecutionPlan) -> Arc<PlanProperties> {
        Arc::new(PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        ))
    }

    fn execute(&self, input: &Arc<dyn ExecutionPlan>, _partition: usize, context: &Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let twice = || DataFusionError::Internal("an operator with state was executed twice".to_string());
        let mut passing = self.passing.try_lock().map_err(|_| twice())?;
        if passing.is_some() {
            return Err(twice());
        }
        *passing = Some(self.start(input, context)?);
        let rows = stream::unfold(Arc::clone(&self.passing), |passing| async move {
            let next = match passing.lock().await.as_mut() {
                Some(rows) => rows.next().await,
                None => None,
            };
            next.map(|batch| (batch, passing))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(input.schema(), rows)))
    }
}

fn sorted_schema(input: &Schema) -> SchemaRef {
    let internal = [Field::new("__floe_sort", DataType::Binary, false), Field::new("__floe_key_bytes", DataType::UInt32, false)];
    Arc::new(Schema::new(internal.into_iter().map(Arc::new).chain(input.fields().iter().cloned()).collect::<Vec<_>>()))
}

/// What happens to rows before they are sorted. Shared by all partitions.
struct Arriving {
    operator: Arc<Operator>,
    order: RowConverter,
    schema: SchemaRef,
    /// `None`: nothing is remembered, so that nobody asks which keys occurred.
    seen: StdMutex<Option<KeyFilterBuilder>>,
    late: AtomicU64,
    watermark_us: Option<i64>,
}

impl Arriving {
    fn prepare(self: Arc<Self>) -> Prepare {
        Arc::new(move |rows| {
            let arriving = Arc::clone(&self);
            let schema = Arc::clone(&self.schema);
            let prepared = rows.map(move |batch| arriving.of(batch?));
            Box::pin(RecordBatchStreamAdapter::new(schema, prepared))
        })
    }

    /// Leaves late rows out, notes the keys of the others and says how they are sorted.
    fn of(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let rows = self.in_time(rows)?;
        let keys = self.operator.keys.of(&rows)?;
        if let Some(seen) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let schema = Arc::new(Schema::new(self.operator.keys.fields()));
            seen.add(&RecordBatch::try_new(schema, keys.clone())?).map_err(within_engine)?;
        }
        let order = self.operator.order.iter().map(|expr| expr.evaluate(&rows)?.into_array(rows.num_rows()));
        let order = self.order.convert_columns(&order.collect::<Result<Vec<ArrayRef>>>()?)?;
        let (sort, lengths) = self.operator.keys.encoded(&keys, |row, bytes| bytes.extend_from_slice(order.row(row).as_ref()))?;
        let internal: [ArrayRef; SORT_COLUMNS] = [Arc::new(sort), Arc::new(lengths)];
        let columns = internal.into_iter().chain(rows.columns().iter().cloned()).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn in_time(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let (Some(watermark), Some(times)) = (self.watermark_us, self.operator.keys.event_times(&rows)?) else { return Ok(rows) };
        let in_time = |row: usize| times.is_null(row) || times.value(row) >= watermark;
        let in_time: BooleanArray = (0..rows.num_rows()).map(|row| Some(in_time(row))).collect();
        let late = rows.num_rows() - in_time.true_count();
        if late == 0 {
            return Ok(rows);
        }
        self.late.fetch_add(late as u64, Ordering::Relaxed);
        Ok(filter_record_batch(&rows, &in_time)?)
    }
}

/// One pass over rows and remembered keys.
struct Merge {
    rows: SendableRecordBatchStream,
    arriving: Arc<Arriving>,
    run: Arc<StateRun>,
    known: Known,
    writer: Option<KeyWriter>,
    /// The key of the row before.
    last: Option<Vec<u8>>,
    output: SchemaRef,
}

/// The remembered keys that may be among those of the micro-batch.
enum Known {
    /// Not looked up yet: that waits until all keys of the micro-batch are known.
    Files(Vec<Segment>),
    Keys(KnownKeys),
    None,
}

/// Sorted keys, each looked at once.
struct KnownKeys {
    keys: SendableRecordBatchStream,
    batch: Option<BinaryArray>,
    at: usize,
}

impl Merge {
    /// The next rows; the keys are staged when there are no more.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(batch) = self.rows.next().await.transpose()? else {
                return self.end().await.map(|()| None);
            };
            // A sort gives out its first row when it has read all: now every key has been noted.
            self.look_up().await?;
            let first = self.first_rows(&batch).await?;
            if first.is_empty() {
                continue;
            }
            let columns: Vec<usize> = (SORT_COLUMNS..batch.num_columns()).collect();
            let rows = take_record_batch(&batch.project(&columns)?, &UInt32Array::from(first))?;
            let rows = rows.with_schema(Arc::clone(&self.output))?;
            if let Some(writer) = &mut self.writer {
                writer.write(&self.arriving.operator.keys.remembered(&rows)?).await.map_err(within_engine)?;
            }
            return Ok(Some(rows));
        }
    }

    async fn end(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let segments = writer.finish().await.map_err(within_engine)?;
        let late = self.arriving.late.load(Ordering::Relaxed);
        self.run.add_keys(self.arriving.operator.number, StagedKeys { segments, late });
        Ok(())
    }

    /// The numbers of the rows that are the first of a key that is not remembered.
    async fn first_rows(&mut self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let sort = batch.column(0).as_binary::<i32>();
        let lengths = batch.column(1).as_primitive::<UInt32Type>();
        let mut first = Vec::new();
        for row in 0..batch.num_rows() {
            let key = &sort.value(row)[..lengths.value(row) as usize];
            if self.last.as_deref() == Some(key) {
                continue;
            }
            let is_known = match &mut self.known {
                Known::Keys(keys) => keys.holds(key).await?,
                Known::Files(_) | Known::None => false,
            };
            if !is_known {
                first.push(row as u32);
            }
            let last = self.last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(key);
        }
        Ok(first)
    }

    async fn look_up(&mut self) -> Result<()> {
        let Known::Files(segments) = &mut self.known else { return Ok(()) };
        let segments = std::mem::take(segments);
        self.known = Known::None;
        let seen = self.arriving.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(filter) = seen.map(KeyFilterBuilder::finish) else { return Ok(()) };
        let files = segments.into_iter().map(|segment| segment.file).collect();
        let rows = TableRows::of_files(&self.run.beginning.directory, files);
        let columns = Arc::clone(self.arriving.operator.keys.columns());
        let provider = rows.provider(&columns, &Arc::new(filter), &Arc::new(KeyedCounters::default()));
        let scan = LogicalPlanBuilder::scan("keys", provider_as_source(provider), None)?.build()?;
        let session = &self.run.session;
        let plan = session.create_physical_plan(&scan).await?;
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("__floe_sort", DataType::Binary, false)]));
        let prepare = self.known_keys(&schema);
        let keys = sorted(plan, &schema, prepare, &session.task_ctx())?;
        self.known = Known::Keys(KnownKeys { keys, batch: None, at: 0 });
        Ok(())
    }

    /// Makes keys that are still remembered into bytes.
    fn known_keys(&self, schema: &SchemaRef) -> Prepare {
        let (arriving, of_schema) = (Arc::clone(&self.arriving), Arc::clone(schema));
        Arc::new(move |rows| {
            let (arriving, schema) = (Arc::clone(&arriving), Arc::clone(&of_schema));
            let prepared = rows.map(move |batch| {
                let batch = batch?;
                let expires = batch.column_by_name(EXPIRES).map(AsArray::as_primitive::<TimestampMicrosecondType>);
                let expires = expires.ok_or_else(|| DataFusionError::Internal("a file of keys has no times".to_string()))?;
                let is_kept: BooleanArray = expires.iter().map(|expires| Some(!is_expired(expires, arriving.watermark_us))).collect();
                let batch = filter_record_batch(&batch, &is_kept)?;
                let keys = &batch.columns()[..arriving.operator.keys.fields().len()];
                let (keys, _) = arriving.operator.keys.encoded(keys, |_, _| ())?;
                Ok(RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(keys)])?)
            });
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&of_schema), prepared))
        })
    }
}

impl KnownKeys {
    /// True if `key` is among the keys; asked in their order.
    async fn holds(&mut self, key: &[u8]) -> Result<bool> {
        loop {
            let Some(batch) = self.batch.as_ref().filter(|batch| self.at < batch.len()) else {
                let Some(batch) = self.keys.next().await.transpose()? else { return Ok(false) };
                self.batch = Some(batch.column(0).as_binary::<i32>().clone());
                self.at = 0;
                continue;
            };
            match batch.value(self.at).cmp(key) {
                std::cmp::Ordering::Less => self.at += 1,
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Greater => return Ok(false),
            }
        }
    }
}
