//! Column mapping: data files, and the log about them, call columns by physical names that stay when a column is renamed. What is read by these
//! names gets those of the table here, at any depth.

use std::{
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray},
        datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
    },
    catalog::{Session, TableProvider},
    common::{
        Column as ColumnName,
        tree_node::{Transformed, TreeNode},
    },
    error::{DataFusionError, Result as EngineResult},
    logical_expr::{ColumnarValue, Expr, TableProviderFilterPushDown, TableType},
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_plan::{ExecutionPlan, projection::ProjectionExec},
};
use floe_graph::relation::CHANGE_COLUMNS;

use crate::{
    commit::{KnownTable, action::MetaData},
    failure::Failure,
};

/// Key of the physical name in the metadata of a field.
const PHYSICAL_NAME: &str = "delta.columnMapping.physicalName";

/// Key of the way in which columns are found in files.
const MODE: &str = "delta.columnMapping.mode";

/// True if the columns of data files have other names than those of the table.
pub(super) fn is_mapped(metadata: &MetaData) -> bool {
    metadata.configuration.get(MODE).is_some_and(|mode| !mode.eq_ignore_ascii_case("none"))
}

/// The columns of a table with column mapping, whose metadata say what files call them.
pub(super) fn mapping(table: &KnownTable) -> Result<Option<SchemaRef>, Failure> {
    let Some(mode) = table.metadata.configuration.get(MODE).filter(|_| is_mapped(&table.metadata)) else { return Ok(None) };
    let columns = table.schema()?.as_ref().clone();
    Ok(Some(Arc::new(columns.with_metadata([(MODE.to_owned(), mode.to_lowercase())].into()))))
}

/// True if files may call the columns of a mapping otherwise than the log does, and only the ids of their fields tell.
pub(super) fn is_by_id(mapping: &Schema) -> bool {
    mapping.metadata().get(MODE).is_some_and(|mode| mode == "id")
}

/// What the log calls a column in its files.
pub(super) fn physical_name(column: &Field) -> String {
    let name = column.metadata().get(PHYSICAL_NAME).unwrap_or_else(|| column.name());
    // A name that looks like JSON stands in quotes among the metadata of an Arrow field.
    serde_json::from_str::<String>(name).unwrap_or_else(|_| name.clone())
}

/// `wanted` as files call it; the columns of a change feed keep their names. A column that `table`, called `name`, has no more is a failure: files
/// hold it under a name that nobody tells.
pub(super) fn physical(name: &str, wanted: &SchemaRef, table: &SchemaRef) -> Result<SchemaRef, Failure> {
    let is_known = |field: &FieldRef| {
        let has = table.fields().iter().any(|known| known.name().eq_ignore_ascii_case(field.name()));
        has || CHANGE_COLUMNS.contains(&field.name().as_str())
    };
    if let Some(gone) = wanted.fields().iter().find(|field| !is_known(field)) {
        let text = format!("column {} of {name} was renamed or dropped since the query was planned", gone.name());
        return Err(Failure::user("DELTA_SCHEMA_CHANGED", text).help("run again; correct the query if it names a column that is gone"));
    }
    Ok(Arc::new(Schema::new(physical_fields(wanted.fields(), table.fields()))))
}

fn physical_fields(wanted: &Fields, table: &Fields) -> Vec<FieldRef> {
    let field = |field: &FieldRef| {
        let Some(known) = table.iter().find(|known| known.name().eq_ignore_ascii_case(field.name())) else { return Arc::clone(field) };
        Arc::new(field.as_ref().clone().with_name(physical_name(known)).with_data_type(physical_type(field.data_type(), known.data_type())))
    };
    wanted.iter().map(field).collect()
}

fn physical_type(wanted: &DataType, table: &DataType) -> DataType {
    let inner = |wanted: &FieldRef, table: &FieldRef| {
        Arc::new(wanted.as_ref().clone().with_data_type(physical_type(wanted.data_type(), table.data_type())))
    };
    match (wanted, table) {
        (DataType::Struct(wanted), DataType::Struct(table)) => DataType::Struct(physical_fields(wanted, table).into()),
        (DataType::List(wanted), DataType::List(table)) => DataType::List(inner(wanted, table)),
        (DataType::Map(wanted, sorted), DataType::Map(table, _)) => DataType::Map(pairs(wanted, table), *sorted),
        _ => wanted.clone(),
    }
}

/// Key and value keep their names; what is inside of them does not.
fn pairs(wanted: &FieldRef, table: &FieldRef) -> FieldRef {
    let (DataType::Struct(pair), DataType::Struct(known)) = (wanted.data_type(), table.data_type()) else { return Arc::clone(wanted) };
    let inner = pair
        .iter()
        .zip(known.iter())
        .map(|(wanted, table)| Arc::new(wanted.as_ref().clone().with_data_type(physical_type(wanted.data_type(), table.data_type()))));
    Arc::new(wanted.as_ref().clone().with_data_type(DataType::Struct(inner.collect::<Vec<FieldRef>>().into())))
}

/// A table with physical names under those of `schema`, column by column.
pub(super) struct Renamed {
    inner: Arc<dyn TableProvider>,
    schema: SchemaRef,
}

impl Renamed {
    pub(super) fn new(inner: Arc<dyn TableProvider>, schema: &SchemaRef) -> Self {
        // What the inner table says about NULL holds.
        let fields = schema.fields().iter().zip(inner.schema().fields().iter().cloned().collect::<Vec<_>>());
        let fields = fields.map(|(field, inner)| Arc::new(field.as_ref().clone().with_nullable(inner.is_nullable())));
        Self { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), inner }
    }

    /// `filter` over the inner table, if it reads whole columns only.
    fn inner_filter(&self, filter: &Expr, names: &HashMap<&str, String>) -> Option<Expr> {
        let is_nested = |name: &str| self.schema.field_with_name(name).is_ok_and(|field| field.data_type().is_nested());
        if filter.column_refs().iter().any(|column| is_nested(&column.name)) {
            return None;
        }
        let renamed = filter.clone().transform(|part| match &part {
            Expr::Column(column) => match names.get(column.name.as_str()) {
                Some(name) => Ok(Transformed::yes(Expr::Column(ColumnName::new_unqualified(name)))),
                None => Ok(Transformed::no(part)),
            },
            _ => Ok(Transformed::no(part)),
        });
        renamed.ok().map(|renamed| renamed.data)
    }
}

impl fmt::Debug for Renamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Renamed({:?})", self.inner)
    }
}

#[async_trait]
impl TableProvider for Renamed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

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
        let inner_schema = self.inner.schema();
        let names: HashMap<&str, String> = self
            .schema
            .fields()
            .iter()
            .zip(inner_schema.fields())
            .map(|(field, inner)| (field.name().as_str(), inner.name().clone()))
            .collect();
        let filters: Vec<Expr> = filters.iter().filter_map(|filter| self.inner_filter(filter, &names)).collect();
        let scan = self.inner.scan(state, projection, &filters, limit).await?;
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let found = scan.schema();
        let column = |(at, index): (usize, &usize)| {
            let field = self.schema.field(*index);
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(found.field(at).name(), at));
            let relabelled: Arc<dyn PhysicalExpr> = if found.field(at).data_type() == field.data_type() {
                column
            } else {
                Arc::new(Relabelled { column, data_type: field.data_type().clone() })
            };
            (relabelled, field.name().clone())
        };
        let columns: Vec<_> = wanted.iter().enumerate().map(column).collect();
        Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
    }
}

/// The same values with other names inside.
#[derive(Debug, Eq)]
struct Relabelled {
    column: Arc<dyn PhysicalExpr>,
    data_type: DataType,
}

impl PartialEq for Relabelled {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.data_type == other.data_type
    }
}

impl Hash for Relabelled {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.data_type.hash(state);
    }
}

impl fmt::Display for Relabelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "renamed({})", self.column)
    }
}

impl PhysicalExpr for Relabelled {
    fn data_type(&self, _: &Schema) -> EngineResult<DataType> {
        Ok(self.data_type.clone())
    }

    fn nullable(&self, input: &Schema) -> EngineResult<bool> {
        self.column.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> EngineResult<FieldRef> {
        let field = self.column.return_field(input)?;
        Ok(Arc::new(field.as_ref().clone().with_data_type(self.data_type.clone())))
    }

    fn evaluate(&self, batch: &RecordBatch) -> EngineResult<ColumnarValue> {
        let values = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(relabelled(&values, &self.data_type)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> EngineResult<Arc<dyn PhysicalExpr>> {
        let column = children.pop().ok_or_else(|| DataFusionError::Internal("a renamed column without its column".to_string()))?;
        Ok(Arc::new(Self { column, data_type: self.data_type.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt_sql(f)
    }
}

fn relabelled(values: &ArrayRef, wanted: &DataType) -> EngineResult<ArrayRef> {
    Ok(match wanted {
        DataType::Struct(fields) if values.as_struct_opt().is_some() => {
            let values = values.as_struct();
            let columns = values.columns().iter().zip(fields).map(|(column, field)| relabelled(column, field.data_type()));
            let columns = columns.collect::<EngineResult<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, values.nulls().cloned(), values.len())?)
        }
        DataType::List(element) if values.as_list_opt::<i32>().is_some() => {
            let values = values.as_list::<i32>();
            let elements = relabelled(values.values(), element.data_type())?;
            Arc::new(ListArray::try_new(Arc::clone(element), values.offsets().clone(), elements, values.nulls().cloned())?)
        }
        DataType::Map(entries, sorted) if values.as_map_opt().is_some() => {
            let values = values.as_map();
            let pairs: ArrayRef = Arc::new(values.entries().clone());
            let pairs = relabelled(&pairs, entries.data_type())?.as_struct().clone();
            Arc::new(MapArray::try_new(Arc::clone(entries), values.offsets().clone(), pairs, values.nulls().cloned(), *sorted)?)
        }
        _ => Arc::clone(values),
    })
}
