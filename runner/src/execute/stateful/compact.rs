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
    keyed::{KeyFilter, KeyedCounters, TableRows},
    state::Segment,
};

/// Files of about one size (the next size is so many times as large) are merged when there are twice as many.
const FILES_OF_ONE_SIZE: usize = 4;
/// Files below this size are all of one size.
const SMALL_BYTES: i64 = 1 << 20;

/// Merges files of keys.
pub struct Compaction {
    /// Where the files stand and how they are written.
    pub beginning: Beginning,
    /// Sorts what is read.
    pub session: SessionState,
}

impl Compaction {
    /// The same keys in fewer files, if there are many. Keys that expire and keys that do not never share a file.
    pub async fn merged(&self, segments: Vec<Segment>, watermark_us: Option<i64>) -> Result<Vec<Segment>, Failure> {
        let (timed, lasting): (Vec<Segment>, Vec<Segment>) = segments.into_iter().partition(|segment| segment.expires_us.is_some());
        let mut all = Vec::new();
        for class in [timed, lasting] {
            let (merged, mut rest) = choose(class);
            if !merged.is_empty() {
                rest.extend(self.merge(&merged, watermark_us).await?);
            }
            all.extend(rest);
        }
        Ok(all)
    }

    async fn merge(&self, segments: &[Segment], watermark_us: Option<i64>) -> Result<Vec<Segment>, Failure> {
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
        let plan = self.session.create_physical_plan(&scan.map_err(engine_error)?).await.map_err(engine_error)?;
        let sort = Field::new("__floe_sort", DataType::Binary, false);
        let schema: SchemaRef =
            Arc::new(Schema::new([Arc::new(sort)].into_iter().chain(columns.fields().iter().cloned()).collect::<Vec<_>>()));
        let prepare = prepared(&columns, &schema, watermark_us).map_err(engine_error)?;
        let mut rows = sorted(plan, &schema, prepare, &self.session.task_ctx()).map_err(engine_error)?;
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

/// The smallest files up to the largest size of which there are many, and the others.
fn choose(mut segments: Vec<Segment>) -> (Vec<Segment>, Vec<Segment>) {
    segments.sort_by_key(|segment| segment.file.size);
    let size = |segment: &Segment| (segment.file.size.max(SMALL_BYTES) / SMALL_BYTES).ilog(FILES_OF_ONE_SIZE as i64);
    let mut same = segments.chunk_by(|a, b| size(a) == size(b)).rev();
    let Some(crowded) = same.find(|same| same.len() >= 2 * FILES_OF_ONE_SIZE).map(|same| size(&same[0])) else {
        return (Vec::new(), segments);
    };
    segments.into_iter().partition(|segment| size(segment) <= crowded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(name: &str, size: i64) -> Segment {
        let file = Add {
            path: name.to_string(),
            partition_values: Default::default(),
            size,
            modification_time: 0,
            data_change: true,
            stats: None,
            tags: None,
            deletion_vector: None,
        };
        Segment { file, rows: 1, expires_us: None }
    }

    #[test]
    fn small_files_are_merged_when_there_are_many_and_large_ones_rest() {
        let small = |count: usize| (0..count).map(|n| segment(&n.to_string(), 1000));
        let (merged, rest) = choose(small(7).chain([segment("large", 400 << 20)]).collect());
        assert_eq!((merged.len(), rest.len()), (0, 8));
        let (merged, rest) = choose(small(8).chain([segment("large", 400 << 20)]).collect());
        assert_eq!((merged.len(), rest.len()), (8, 1));
        assert_eq!(rest[0].file.path, "large");
    }
}
