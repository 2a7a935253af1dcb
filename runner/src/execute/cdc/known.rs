//! What is known of the keys of a micro-batch: their versions in the journal and their rows in the target, sorted like the events.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt8Array},
        buffer::BooleanBuffer,
        compute::{filter_record_batch, is_null},
        datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
    },
    datasource::provider_as_source,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, SessionState, TaskContext},
    logical_expr::LogicalPlanBuilder,
    physical_plan::stream::RecordBatchStreamAdapter,
};
use futures::StreamExt;

use super::{
    definition::{Definition, NUMBER, OP, TRANSACTION},
    fold::{Kept, Op},
    merge::with_sort_columns,
    sort_key::SortKeys,
    sorted::{Prepare, sorted, sorted_schema},
};
use crate::{
    engine_failure::engine_error,
    failure::Failure,
    keyed::{KeyFilter, KeyedCounters, PLACE, TableRows},
};

/// Reads by key for one micro-batch.
pub struct Known<'a> {
    pub definition: &'a Definition,
    pub state: &'a SessionState,
    pub context: &'a Arc<TaskContext>,
    pub sort_keys: &'a Arc<SortKeys>,
    pub filter: Arc<KeyFilter>,
    pub counters: Arc<KeyedCounters>,
}

impl Known<'_> {
    /// Versions of the journal, without those of `transaction`: a batch that is executed again sees what it saw at first.
    pub async fn versions(&self, journal: &TableRows, transaction: &str) -> Result<SendableRecordBatchStream, Failure> {
        let versions = self.definition.versions();
        let internal = [(OP, DataType::Utf8), (NUMBER, DataType::Int64), (TRANSACTION, DataType::Utf8)];
        let internal = internal.map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)));
        let columns = Arc::new(Schema::new(versions.fields().iter().cloned().chain(internal).collect::<Vec<_>>()));
        let schema = sorted_schema(&versions);
        let (keys, sort_keys, transaction) = (self.key_positions(), Arc::clone(self.sort_keys), transaction.to_string());
        let of_schema = Arc::clone(&schema);
        let map = move |batch: RecordBatch| version_rows(&batch, &keys, &sort_keys, &transaction, &of_schema);
        self.read(journal, &columns, &schema, Arc::new(map)).await
    }

    /// Rows of the target with their places.
    pub async fn rows(&self, target: &TableRows) -> Result<SendableRecordBatchStream, Failure> {
        self.rows_of(target, false).await
    }

    /// The same without rows of the past.
    pub async fn newest_rows(&self, target: &TableRows) -> Result<SendableRecordBatchStream, Failure> {
        self.rows_of(target, self.definition.shape.kept == Kept::History).await
    }

    async fn rows_of(&self, target: &TableRows, only_open: bool) -> Result<SendableRecordBatchStream, Failure> {
        let columns = self.definition.rows();
        let place = Arc::new(Field::new(PLACE, DataType::UInt64, true));
        let rows = Schema::new(columns.fields().iter().cloned().chain([place]).collect::<Vec<_>>());
        let schema = sorted_schema(&rows);
        let (shape, sort_keys, of_schema) = (self.definition.shape.clone(), Arc::clone(self.sort_keys), Arc::clone(&schema));
        let map = move |mut batch: RecordBatch| {
            if only_open {
                batch = filter_record_batch(&batch, &is_null(batch.column(shape.columns + 1))?)?;
            }
            let keys: Vec<ArrayRef> = shape.keys.iter().map(|key| Arc::clone(batch.column(*key))).collect();
            let sort = match shape.kept {
                Kept::History => sort_keys.of_history(&keys, batch.column(shape.columns), batch.column(shape.columns + 1))?,
                Kept::Latest | Kept::Patched => sort_keys.of_rows(&keys)?,
            };
            with_sort_columns(&of_schema, sort, UInt8Array::from(vec![0; batch.num_rows()]), batch.columns())
        };
        self.read(target, &columns, &schema, Arc::new(map)).await
    }

    /// Positions of the keys in the columns of versions.
    fn key_positions(&self) -> Vec<usize> {
        let shape = &self.definition.shape;
        if shape.kept == Kept::Latest { (0..shape.keys.len()).collect() } else { shape.keys.clone() }
    }

    async fn read(
        &self,
        table: &TableRows,
        columns: &SchemaRef,
        schema: &SchemaRef,
        map: Map,
    ) -> Result<SendableRecordBatchStream, Failure> {
        let provider = table.provider(columns, &self.filter, &self.counters);
        let scan = LogicalPlanBuilder::scan("known", provider_as_source(provider), None).and_then(LogicalPlanBuilder::build);
        let plan = self.state.create_physical_plan(&scan.map_err(engine_error)?).await.map_err(engine_error)?;
        sorted(plan, schema, mapped(schema, map), self.context).map_err(engine_error)
    }
}

/// A step that needs nothing but one batch.
type Map = Arc<dyn Fn(RecordBatch) -> Result<RecordBatch> + Send + Sync>;

fn mapped(schema: &SchemaRef, map: Map) -> Prepare {
    let schema = Arc::clone(schema);
    Arc::new(move |rows| {
        let map = Arc::clone(&map);
        let mapped = rows.map(move |batch| map(batch?));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), mapped))
    })
}

fn version_rows(batch: &RecordBatch, keys: &[usize], sort_keys: &SortKeys, own: &str, schema: &SchemaRef) -> Result<RecordBatch> {
    let versions = schema.fields().len() - super::merge::SORT_COLUMNS;
    let transactions = batch.column(versions + 2).as_string::<i32>();
    let is_earlier = |row: usize| transactions.is_null(row) || transactions.value(row) != own;
    let earlier = BooleanArray::new(BooleanBuffer::collect_bool(batch.num_rows(), is_earlier), None);
    let filtered;
    let batch = if earlier.true_count() == batch.num_rows() {
        batch
    } else {
        filtered = filter_record_batch(batch, &earlier)?;
        &filtered
    };
    let ops = batch.column(versions).as_string::<i32>();
    let code = |text: Option<&str>| {
        let op = text.and_then(Op::from_text);
        op.map(|op| op as u8).ok_or_else(|| DataFusionError::Execution(format!("the journal holds the unknown operation {text:?}")))
    };
    let ops = UInt8Array::from(ops.iter().map(code).collect::<Result<Vec<u8>>>()?);
    let numbers = batch.column(versions + 1).as_primitive::<Int64Type>().values();
    let key_columns: Vec<ArrayRef> = keys.iter().map(|key| Arc::clone(batch.column(*key))).collect();
    let sort = sort_keys.of_versions(&key_columns, batch.column(versions - 1), numbers)?;
    with_sort_columns(schema, sort, ops, &batch.columns()[..versions])
}
