//! Files of keys stay few: those of about one size are merged when there are many, and keys that the watermark has passed are left out.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, BinaryBuilder, BooleanArray, RecordBatch},
        compute::filter_record_batch,
        datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType},
        row::{RowConverter, SortField},
    },
    datasource::provider_as_source,
    error::Result as EngineResult,
    execution::SessionState,
    logical_expr::LogicalPlanBuilder,
    physical_plan::stream::RecordBatchStreamAdapter,
};
use futures::StreamExt;

use super::{
    Beginning,
    keys::{KeyWriter, is_expired},
};
use crate::{
    commit::{action::Add, data_file::DataFile},
    engine_failure::engine_error,
    execute::cdc::sorted::{Prepare, sorted},
    failure::Failure,
    keyed::{KeyFilter, KeyedCounters, TableRows, crowded},
    state::Segment,
};

/// Merges files of keys.
pub struct Compaction {
    /// Where the files stand and how they are written.
    pub beginning: Beginning,
    /// Sorts what is read.
    pub session: SessionState,
    /// Sorts it again if the memory was not enough.
    pub spilling: SessionState,
}

impl Compaction {
    /// The same keys in fewer files, if there are many. Keys that expire and keys that do not never share a file.
    pub async fn merged(&self, segments: Vec<Segment>, watermark_us: Option<i64>) -> Result<Vec<Segment>, Failure> {
        let (timed, lasting): (Vec<Segment>, Vec<Segment>) = segments.into_iter().partition(|segment| segment.expires_us.is_some());
        let mut all = Vec::new();
        for class in [timed, lasting] {
            let (merged, mut rest) = crowded(class, |segment| &segment.file);
            if !merged.is_empty() {
                rest.extend(self.merge(&merged, watermark_us).await?);
            }
            all.extend(rest);
        }
        Ok(all)
    }

    async fn merge(&self, segments: &[Segment], watermark_us: Option<i64>) -> Result<Vec<Segment>, Failure> {
        match self.merge_in(&self.session, segments, watermark_us).await {
            Err(failure) if failure.error == "OUT_OF_MEMORY" => self.merge_in(&self.spilling, segments, watermark_us).await,
            outcome => outcome,
        }
    }

    async fn merge_in(&self, session: &SessionState, segments: &[Segment], watermark_us: Option<i64>) -> Result<Vec<Segment>, Failure> {
        let files: Vec<Add> = segments.iter().map(|segment| segment.file.clone()).collect();
        let directory = &self.beginning.directory;
        let Some(first) = files.first() else { return Ok(Vec::new()) };
        let opened = DataFile::open(directory, first, &Arc::default(), &|_| false).await.map_err(engine_error)?;
        // Behind the columns stands the number of the row.
        let fields = opened.schema().fields();
        let columns: SchemaRef = Arc::new(Schema::new(fields.iter().take(fields.len() - 1).cloned().collect::<Vec<_>>()));
        let provider =
            TableRows::of_files(directory, files).provider(&columns, &Arc::new(KeyFilter::all()), &Arc::new(KeyedCounters::default()));
        let scan = LogicalPlanBuilder::scan("keys", provider_as_source(provider), None).and_then(LogicalPlanBuilder::build);
        let plan = session.create_physical_plan(&scan.map_err(engine_error)?).await.map_err(engine_error)?;
        let sort = Field::new("__floe_sort", DataType::Binary, false);
        let schema: SchemaRef =
            Arc::new(Schema::new([Arc::new(sort)].into_iter().chain(columns.fields().iter().cloned()).collect::<Vec<_>>()));
        let prepare = prepared(&columns, &schema, watermark_us).map_err(engine_error)?;
        let mut rows = sorted(plan, &schema, prepare, &session.task_ctx()).map_err(engine_error)?;
        let mut writer = KeyWriter::new(self.beginning.clone(), Arc::clone(&columns));
        while let Some(batch) = rows.next().await {
            let written = match batch.map_err(engine_error).and_then(|batch| without_sort(&batch)) {
                Ok(batch) => writer.write(&batch).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = written {
                writer.abort().await;
                return Err(failure);
            }
        }
        writer.finish().await
    }
}

fn without_sort(batch: &RecordBatch) -> Result<RecordBatch, Failure> {
    let columns: Vec<usize> = (1..batch.num_columns()).collect();
    batch.project(&columns).map_err(|error| engine_error(error.into()))
}

/// Keys that are still needed, with what they are sorted by.
fn prepared(columns: &SchemaRef, schema: &SchemaRef, watermark_us: Option<i64>) -> EngineResult<Prepare> {
    let keys = columns.fields().len() - 1;
    let types = columns.fields().iter().take(keys).map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = Arc::new(RowConverter::new(types)?);
    let schema = Arc::clone(schema);
    Ok(Arc::new(move |rows| {
        let (converter, of_schema) = (Arc::clone(&converter), Arc::clone(&schema));
        let prepared = rows.map(move |batch| {
            // What stands behind the columns is the place of a row.
            let columns: Vec<usize> = (0..=keys).collect();
            let batch = batch?.project(&columns)?;
            let expires = batch.column(keys).as_primitive::<TimestampMicrosecondType>();
            let is_kept: BooleanArray = expires.iter().map(|expires| Some(!is_expired(expires, watermark_us))).collect();
            let batch = filter_record_batch(&batch, &is_kept)?;
            let encoded = converter.convert_columns(&batch.columns()[..keys])?;
            let mut sort = BinaryBuilder::with_capacity(encoded.num_rows(), encoded.size());
            encoded.iter().for_each(|key| sort.append_value(key.as_ref()));
            let sort: ArrayRef = Arc::new(sort.finish());
            Ok(RecordBatch::try_new(Arc::clone(&of_schema), [sort].into_iter().chain(batch.columns().iter().cloned()).collect())?)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), prepared))
    }))
}
