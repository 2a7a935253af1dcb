//! A plain scan over data files of a table: no replay of the log, filters pushed down, whole files skipped by partition, rows that deletion
//! vectors mark left out before they are decoded.

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    catalog::{Session, TableProvider},
    common::{DFSchema, scalar::ScalarValue},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            FileGroup, FileScanConfigBuilder, ParquetSource,
            parquet::{DefaultParquetFileReaderFactory, ParquetFileReaderFactory, ParquetRowSelection},
        },
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    error::{DataFusionError, Result as EngineResult},
    execution::object_store::ObjectStoreUrl,
    logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType},
    parquet::arrow::{
        RowNumber,
        arrow_reader::{RowSelection, RowSelector},
        async_reader::AsyncFileReader,
    },
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr, CastExpr, Column},
    },
    physical_expr_adapter::PhysicalExprAdapterFactory,
    physical_plan::{ExecutionPlan, empty::EmptyExec, metrics::ExecutionPlanMetricsSet, projection::ProjectionExec},
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use roaring::RoaringTreemap;

use super::{changes::DataFile, field_ids::FieldIds};
use crate::{
    commit::{deletion_vector, partition},
    failure::Failure,
    source::{ReadCounters, order},
    storage::{Location, decoded_path},
};

/// Footers read at once, where the log does not tell how many rows a file has.
const FOOTERS_AT_ONCE: usize = 8;

/// The internal column with what the numbers of the rows of a file begin with.
const FIRST_OF_FILE: &str = "$first";
/// The internal column with the number of the row within its file.
const ROW_OF_FILE: &str = "$row";

/// Data files as a table.
pub(super) struct DataFiles {
    location: Location,
    files: Vec<DataFile>,
    /// Per file its number in the order of the source.
    numbers: Vec<usize>,
    schema: SchemaRef,
    /// Columns of `schema` that the log gives, not the files.
    partition_columns: Vec<Arc<Field>>,
    counters: Arc<ReadCounters>,
    /// How columns are found in files, if not by their names.
    ids: Option<Arc<FieldIds>>,
}

impl fmt::Debug for DataFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataFiles({}, {} files)", self.location, self.files.len())
    }
}

impl DataFiles {
    pub(super) fn new(location: &Location, files: Vec<DataFile>, schema: &SchemaRef, counters: Arc<ReadCounters>) -> Result<Self, Failure> {
        Self::numbered(location, files.into_iter().enumerate().collect(), schema, counters)
    }

    /// Files of a source that has others between them.
    pub(super) fn numbered(
        location: &Location,
        files: Vec<(usize, DataFile)>,
        schema: &SchemaRef,
        counters: Arc<ReadCounters>,
    ) -> Result<Self, Failure> {
        let (numbers, files): (Vec<usize>, Vec<DataFile>) = files.into_iter().unzip();
        if let Some(elsewhere) = files.iter().find(|file| file.path.contains("://")) {
            let text =
                format!("{location} has a data file elsewhere, {}: shallow clones are not supported in this release", elsewhere.path);
            return Err(Failure::user("FEATURE_NOT_SUPPORTED", text).help("make a full copy of the table and read that"));
        }
        // What the stored columns are is the table's business; here every column may be missing in an old file. The schema of the table
        // must say so too: plans whose logical and physical columns differ in it are refused.
        let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
        let schema = Arc::new(Schema::new(schema.fields().iter().map(nullable).collect::<Vec<_>>()));
        let names: BTreeSet<&String> = files.iter().flat_map(|file| file.partition_values.keys()).collect();
        let partition_columns = schema.fields().iter().filter(|field| names.contains(field.name())).cloned().collect();
        Ok(Self { location: location.clone(), files, numbers, schema, partition_columns, counters, ids: None })
    }

    /// The same, with columns that are found by the ids of their fields.
    pub(super) fn by_ids(self, ids: Option<Arc<FieldIds>>) -> Self {
        Self { ids, ..self }
    }

    fn is_partition(&self, name: &str) -> bool {
        self.partition_columns.iter().any(|field| field.name() == name)
    }

    /// Columns of the files, of the log, and the two that give the source order.
    fn table_schema(&self) -> TableSchema {
        let of_file = |field: &&Arc<Field>| !self.is_partition(field.name()) && !order::is_order(field.name());
        let file_schema = Schema::new(self.schema.fields().iter().filter(of_file).cloned().collect::<Vec<_>>());
        let first: Arc<Field> = Arc::new(Field::new(FIRST_OF_FILE, DataType::UInt64, false));
        let row: Arc<Field> = Arc::new(Field::new(ROW_OF_FILE, DataType::Int64, false).with_extension_type(RowNumber));
        TableSchema::builder(Arc::new(file_schema))
            .with_table_partition_cols(self.partition_columns.iter().cloned().chain([first]).collect::<Vec<_>>())
            .with_virtual_columns(vec![row])
            .build()
    }

    fn partitioned_file(&self, index: usize) -> PartitionedFile {
        let file = &self.files[index];
        let value = |field: &Arc<Field>| partition::scalar(file.partition_values.get(field.name()).and_then(Option::as_deref), field);
        let first = ScalarValue::UInt64(Some(order::first_of_file(self.numbers[index])));
        PartitionedFile::new_from_meta(ObjectMeta {
            location: self.location.child(&decoded_path(&file.path)),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: file.size,
            e_tag: None,
            version: None,
        })
        .with_partition_values(self.partition_columns.iter().map(value).chain([first]).collect())
    }

    /// All files, each with the rows of it that are in the table.
    async fn partitioned_files(&self) -> EngineResult<Vec<PartitionedFile>> {
        let vectors: Vec<_> = self.files.iter().map(|file| file.vector.as_ref()).collect();
        let counted: Vec<_> = self.files.iter().map(|file| file.only.as_ref()).collect();
        let failed = |failure| DataFusionError::External(Box::new(failure));
        let gone = deletion_vector::read(&self.location, &vectors).await.map_err(failed)?;
        let counted = deletion_vector::read(&self.location, &counted).await.map_err(failed)?;
        let mut files = Vec::with_capacity(self.files.len());
        for (index, (file, (gone, counted))) in self.files.iter().zip(gone.into_iter().zip(counted)).enumerate() {
            let found = self.partitioned_file(index);
            if gone.is_none() && counted.is_none() {
                files.push(found);
                continue;
            }
            let rows = match file.rows {
                Some(rows) => rows,
                None => rows_in_footer(self.footer(index)?).await?,
            };
            let mut left_out = gone.map(|gone| gone.as_ref().clone()).unwrap_or_default();
            if let Some(counted) = counted {
                let mut others = RoaringTreemap::new();
                others.insert_range(0..rows);
                left_out |= others - counted.as_ref();
            }
            files.push(found.with_extension(ParquetRowSelection::new(others(&left_out, rows))));
        }
        Ok(files)
    }

    fn footer(&self, index: usize) -> EngineResult<Box<dyn AsyncFileReader + Send>> {
        let factory = DefaultParquetFileReaderFactory::new(Arc::clone(self.location.store()));
        factory.create_reader(0, self.partitioned_file(index), None, &ExecutionPlanMetricsSet::new())
    }

    /// Leaves out the files whose partition values no filter lets through. A filter that cannot be judged leaves all.
    fn pruned(&self, files: Vec<PartitionedFile>, state: &dyn Session, filters: &[Expr]) -> EngineResult<Vec<PartitionedFile>> {
        let on_partitions =
            |filter: &&Expr| !filter.is_volatile() && filter.column_refs().iter().all(|column| self.is_partition(&column.name));
        let filters: Vec<&Expr> = filters.iter().filter(on_partitions).collect();
        if filters.is_empty() || self.partition_columns.is_empty() {
            return Ok(files);
        }
        let schema = Arc::new(Schema::new(self.partition_columns.clone()));
        let column = |index: usize| ScalarValue::iter_to_array(files.iter().map(|file| file.partition_values[index].clone()));
        let columns = (0..self.partition_columns.len()).map(column).collect::<EngineResult<Vec<_>>>()?;
        let values = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        let names = DFSchema::try_from(schema)?;
        let mut kept = vec![true; files.len()];
        for filter in filters {
            let Ok(predicate) = state.create_physical_expr(filter.clone(), &names) else { continue };
            let Ok(verdict) = predicate.evaluate(&values).and_then(|verdict| verdict.into_array(values.num_rows())) else { continue };
            let Some(verdict) = verdict.as_boolean_opt() else { continue };
            kept.iter_mut().zip(verdict).for_each(|(kept, verdict)| *kept &= verdict.unwrap_or(false));
        }
        Ok(files.into_iter().zip(kept).filter_map(|(file, kept)| kept.then_some(file)).collect())
    }

    /// Counts the rows of all files, also of those that a filter skips: what the range holds does not depend on the query.
    async fn count(&self) -> EngineResult<()> {
        let counters = self.counters.start();
        let mut footers = Vec::new();
        for (index, _) in self.files.iter().enumerate().filter(|(_, file)| file.rows.is_none()) {
            footers.push(rows_in_footer(self.footer(index)?));
        }
        let found: Vec<u64> = stream::iter(footers).buffered(FOOTERS_AT_ONCE).try_collect().await?;
        let known = self.files.iter().filter_map(|file| file.rows);
        let unknown = self.files.iter().filter(|file| file.rows.is_none());
        let left = self.files.iter().filter(|file| file.rows.is_some()).zip(known).chain(unknown.zip(found));
        counters.add_rows(left.map(|(file, rows)| file.left(rows)).sum(), 0);
        self.files.iter().for_each(|file| counters.add_file(file.size));
        Ok(())
    }
}

/// All rows of a file of `rows` rows that are not `gone`.
fn others(gone: &RoaringTreemap, rows: u64) -> RowSelection {
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut next = 0;
    for row in gone {
        if row > next {
            selectors.push(RowSelector::select((row - next) as usize));
        }
        match selectors.last_mut() {
            Some(last) if last.skip => last.row_count += 1,
            _ => selectors.push(RowSelector::skip(1)),
        }
        next = row + 1;
    }
    if rows > next {
        selectors.push(RowSelector::select((rows - next) as usize));
    }
    selectors.into()
}

/// Other writers may leave out the statistics.
async fn rows_in_footer(mut reader: Box<dyn AsyncFileReader + Send>) -> EngineResult<u64> {
    Ok(reader.get_metadata(None).await?.file_metadata().num_rows().max(0) as u64)
}

#[async_trait]
impl TableProvider for DataFiles {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// The scan skips what it can; the filter above it stays.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let projection = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        self.count().await?;
        let files = self.pruned(self.partitioned_files().await?, state, filters)?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&projection)?))));
        }
        let table_schema = self.table_schema();
        let wanted: Vec<&str> = projection.iter().map(|index| self.schema.field(*index).name().as_str()).collect();
        let is_ordered = wanted.iter().any(|name| order::is_order(name));
        let read = wanted.iter().copied().filter(|name| !order::is_order(name));
        let read = read.chain([FIRST_OF_FILE, ROW_OF_FILE].into_iter().filter(|_| is_ordered));
        let indices = read.map(|name| table_schema.table_schema().index_of(name)).collect::<Result<Vec<_>, _>>()?;
        // The source brings its own store, so nothing has to be registered in the session.
        let reader = DefaultParquetFileReaderFactory::new(Arc::clone(self.location.store()));
        let source = ParquetSource::new(table_schema)
            .with_table_parquet_options(state.table_options().parquet.clone())
            .with_parquet_file_reader_factory(Arc::new(reader));
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(balanced(files, state.config().target_partitions()))
            .with_projection_indices(Some(indices))?
            .with_limit(limit)
            .with_expr_adapter(self.ids.clone().map(|ids| ids as Arc<dyn PhysicalExprAdapterFactory>))
            .build();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        if is_ordered { ordered(scan, &wanted) } else { Ok(scan) }
    }
}

/// The columns `wanted` of `scan`, which gives all but the source order, and behind them what that is made of.
fn ordered(scan: Arc<dyn ExecutionPlan>, wanted: &[&str]) -> EngineResult<Arc<dyn ExecutionPlan>> {
    let schema = scan.schema();
    let column = |name: &str| Column::new_with_schema(name, &schema).map(|column| Arc::new(column) as Arc<dyn PhysicalExpr>);
    let number = || -> EngineResult<Arc<dyn PhysicalExpr>> {
        let row: Arc<dyn PhysicalExpr> = Arc::new(CastExpr::new(column(ROW_OF_FILE)?, DataType::UInt64, None));
        Ok(Arc::new(BinaryExpr::new(column(FIRST_OF_FILE)?, Operator::Plus, row)))
    };
    let output = |name: &&str| -> EngineResult<(Arc<dyn PhysicalExpr>, String)> {
        let expr = if order::is_order(name) { number()? } else { column(name)? };
        Ok((expr, (*name).to_string()))
    };
    let columns = wanted.iter().map(output).collect::<EngineResult<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
}

/// Files in at most `count` groups of about equal size.
fn balanced(mut files: Vec<PartitionedFile>, count: usize) -> Vec<FileGroup> {
    let count = count.clamp(1, files.len().max(1));
    files.sort_by_key(|file| std::cmp::Reverse(file.object_meta.size));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = (0..count).map(|_| (0, Vec::new())).collect();
    for file in files {
        if let Some((size, members)) = groups.iter_mut().min_by_key(|(size, members)| (*size, members.len())) {
            *size += file.object_meta.size;
            members.push(file);
        }
    }
    groups.into_iter().map(|(_, members)| FileGroup::new(members)).collect()
}
