//! Tables whose columns are found by the ids of Parquet fields: files may call them otherwise than the log does.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
    common::tree_node::{Transformed, TreeNode},
    error::{DataFusionError, Result as EngineResult},
    parquet::arrow::PARQUET_FIELD_ID_META_KEY,
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_expr_adapter::{DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory},
};

use super::renamed::{is_by_id, physical_name};
use crate::failure::Failure;

/// Key of the id in the metadata of a field of the table.
const COLUMN_ID: &str = "delta.columnMapping.id";

/// The columns of a table, by their ids.
#[derive(Debug)]
pub(super) struct FieldIds {
    /// What messages call the table.
    name: String,
    columns: SchemaRef,
}

impl FieldIds {
    /// Those of the table `name`, if `mapping` says that its columns are found by ids.
    pub(super) fn of(name: &str, mapping: &SchemaRef) -> Option<Arc<Self>> {
        is_by_id(mapping).then(|| Arc::new(Self { name: name.to_owned(), columns: Arc::clone(mapping) }))
    }

    /// The fields of a file, called as the log calls those with the same ids. One that the table does not have (any more) must not be taken for
    /// another one of its name.
    fn named(&self, file: &Fields) -> EngineResult<Vec<FieldRef>> {
        let known = self.columns.fields();
        let named = |field: &FieldRef| {
            let Some(id) = id_of(field, PARQUET_FIELD_ID_META_KEY) else { return Ok(Arc::clone(field)) };
            let Some(column) = with_id(known, id) else {
                let is_taken = known.iter().any(|column| physical_name(column) == *field.name());
                let name = if is_taken { format!("$dropped {id}") } else { field.name().clone() };
                return Ok(renamed(field, name));
            };
            self.same_names(field.data_type(), column.data_type(), column.name())?;
            Ok(renamed(field, physical_name(column)))
        };
        file.iter().map(named).collect()
    }

    /// Fails if a field within the column `path` is called otherwise in the file: whole columns are found by ids, what is in them by names.
    fn same_names(&self, file: &DataType, table: &DataType, path: &str) -> EngineResult<()> {
        match (file, table) {
            (DataType::Struct(file), DataType::Struct(table)) => file.iter().try_for_each(|field| {
                let Some(id) = id_of(field, PARQUET_FIELD_ID_META_KEY) else { return Ok(()) };
                let of_name = table.iter().find(|known| physical_name(known) == *field.name());
                let Some(known) = with_id(table, id).or(of_name) else { return Ok(()) };
                let path = format!("{path}.{}", known.name());
                if of_name == Some(known) && id_of(known, COLUMN_ID) == Some(id) {
                    return self.same_names(field.data_type(), known.data_type(), &path);
                }
                let text = format!(
                    "{} has files in which `{}` is not the field {path} of today: fields within columns are found by their names, not by their ids, in this release",
                    self.name,
                    field.name()
                );
                let failure = Failure::user("FEATURE_NOT_SUPPORTED", text)
                    .help("write the table again (INSERT OVERWRITE) with the program that made it");
                Err(DataFusionError::External(Box::new(failure)))
            }),
            (DataType::List(file), DataType::List(table)) => self.same_names(file.data_type(), table.data_type(), path),
            (DataType::Map(file, _), DataType::Map(table, _)) => match (file.data_type(), table.data_type()) {
                (DataType::Struct(file), DataType::Struct(table)) => {
                    file.iter().zip(table.iter()).try_for_each(|(file, table)| self.same_names(file.data_type(), table.data_type(), path))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl PhysicalExprAdapterFactory for FieldIds {
    fn create(&self, logical: SchemaRef, file: SchemaRef) -> EngineResult<Arc<dyn PhysicalExprAdapter>> {
        let named = Arc::new(Schema::new(self.named(file.fields())?));
        Ok(Arc::new(ByIds { inner: DefaultPhysicalExprAdapterFactory.create(logical, named)?, file }))
    }
}

/// Expressions over the columns of the log, rewritten for those of one file.
#[derive(Debug)]
struct ByIds {
    inner: Arc<dyn PhysicalExprAdapter>,
    file: SchemaRef,
}

impl PhysicalExprAdapter for ByIds {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> EngineResult<Arc<dyn PhysicalExpr>> {
        let own = |part: Arc<dyn PhysicalExpr>| {
            let place = part.downcast_ref::<Column>().map(Column::index);
            Ok(match place.and_then(|at| Some((self.file.fields().get(at)?.name(), at))) {
                Some((name, at)) => Transformed::yes(Arc::new(Column::new(name, at)) as Arc<dyn PhysicalExpr>),
                None => Transformed::no(part),
            })
        };
        Ok(self.inner.rewrite(expr)?.transform(own)?.data)
    }
}

fn id_of(field: &Field, key: &str) -> Option<i64> {
    field.metadata().get(key)?.trim_matches('"').parse().ok()
}

fn with_id(fields: &Fields, id: i64) -> Option<&FieldRef> {
    fields.iter().find(|field| id_of(field, COLUMN_ID) == Some(id))
}

fn renamed(field: &FieldRef, name: String) -> FieldRef {
    Arc::new(field.as_ref().clone().with_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `person STRUCT<last>` with this id and physical name of `last`.
    fn person(id: &str, physical: &str, key: &str) -> Fields {
        let metadata = [(key.to_string(), id.to_string()), ("delta.columnMapping.physicalName".to_string(), physical.to_string())];
        let last = Field::new(if key == COLUMN_ID { "last" } else { physical }, DataType::Utf8, true).with_metadata(metadata.into());
        let person = Field::new("person", DataType::Struct(vec![last].into()), true);
        vec![person.with_metadata([(key.to_string(), "1".to_string())].into())].into()
    }

    #[test]
    fn fields_within_columns_are_those_of_the_log_or_refused() {
        let table = Schema::new(person("5", "last", COLUMN_ID));
        let ids = FieldIds { name: "t".to_string(), columns: Arc::new(table) };
        let reads =
            |id: &str, name: &str| ids.named(&person(id, name, PARQUET_FIELD_ID_META_KEY)).map(drop).map_err(|error| error.to_string());
        assert_eq!(reads("5", "last"), Ok(()));
        assert_eq!(reads("4", "first"), Ok(()), "a field that was dropped");
        assert!(
            reads("4", "last").unwrap_err().contains("`last` is not the field person.last of today"),
            "dropped, and another took its name"
        );
        assert!(reads("5", "x").unwrap_err().contains("`x` is not the field person.last"), "called otherwise");
    }
}
