//! What can be read, as rows: `information_schema.tables`, `SHOW` and `DESCRIBE`.

use std::{collections::BTreeSet, sync::Arc};

use datafusion_common::{
    DFSchema, Result, ScalarValue,
    arrow::datatypes::{DataType, Field, Schema},
};
use datafusion_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use floe_crds::request::CatalogType;

use crate::{
    analysis::{ReferenceKind, RelationReference, ddl::type_text},
    definition::{DatasetKind, ShowTables},
    graph::ResolvedGraph,
    name::{DatasetName, Namespace},
};

/// One table or view that others may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTable {
    /// Its full name.
    pub name: DatasetName,
    /// What it is.
    pub table_type: CatalogType,
    /// The pipeline that it belongs to.
    pub pipeline: String,
}

/// The tables and views of `graph`, those left out that nobody else sees: temporary views and private tables.
pub fn known_tables(graph: &ResolvedGraph, pipeline: &str) -> Vec<KnownTable> {
    let public = graph.datasets.values().filter(|dataset| !dataset.definition.private);
    let known = public.filter_map(|dataset| {
        let table_type = match dataset.definition.kind {
            DatasetKind::StreamingTable => CatalogType::StreamingTable,
            DatasetKind::MaterializedView => CatalogType::MaterializedView,
            DatasetKind::View => CatalogType::View,
            DatasetKind::External => CatalogType::External,
            DatasetKind::TemporaryView | DatasetKind::Sink => return None,
        };
        Some(KnownTable { name: dataset.definition.name.clone(), table_type, pipeline: pipeline.to_string() })
    });
    known.collect()
}

/// True for `information_schema.tables` and `system.information_schema.tables`.
pub fn is_tables(reference: &RelationReference) -> bool {
    let ReferenceKind::Name(parts) = &reference.kind else { return false };
    let is = |part: &String, name: &str| part.eq_ignore_ascii_case(name);
    match parts.as_slice() {
        [schema, table] => is(schema, "information_schema") && is(table, "tables"),
        [catalog, schema, table] => is(catalog, "system") && is(schema, "information_schema") && is(table, "tables"),
        _ => false,
    }
}

/// The rows of `information_schema.tables`.
pub fn tables(known: &[KnownTable]) -> Result<LogicalPlan> {
    let row = |table: &KnownTable| {
        let DatasetName { catalog, schema, name } = &table.name;
        vec![text(catalog), text(schema), text(name), text(table.table_type.as_str()), text(&table.pipeline)]
    };
    rows(&["table_catalog", "table_schema", "table_name", "table_type", "pipeline"], known.iter().map(row).collect())
}

/// The rows of `SHOW TABLES` and `SHOW VIEWS`.
pub fn show_tables(known: &[KnownTable], show: &ShowTables, namespace: &Namespace) -> Result<LogicalPlan> {
    let (catalog, schema) = match show.schema.as_slice() {
        [] => (&namespace.catalog, &namespace.schema),
        [schema] => (&namespace.catalog, schema),
        [catalog, schema, ..] => (catalog, schema),
    };
    let is_wanted = |table: &&KnownTable| {
        table.name.catalog.eq_ignore_ascii_case(catalog)
            && table.name.schema.eq_ignore_ascii_case(schema)
            && (!show.views || table.table_type == CatalogType::View)
            && matches(show.pattern.as_deref(), &table.name.name)
    };
    let row = |table: &KnownTable| vec![text(&table.name.schema), text(&table.name.name), lit(false)];
    let names = if show.views { ["namespace", "viewName", "isTemporary"] } else { ["database", "tableName", "isTemporary"] };
    rows(&names, known.iter().filter(is_wanted).map(row).collect())
}

/// The rows of `SHOW SCHEMAS`.
pub fn show_schemas(known: &[KnownTable], pattern: Option<&str>) -> Result<LogicalPlan> {
    let schemas: BTreeSet<&str> = known.iter().map(|table| table.name.schema.as_str()).filter(|name| matches(pattern, name)).collect();
    rows(&["databaseName"], schemas.into_iter().map(|schema| vec![text(schema)]).collect())
}

/// The rows of `DESCRIBE`.
pub fn describe(schema: &Schema) -> Result<LogicalPlan> {
    let row = |field: &Arc<Field>| {
        let comment = field.metadata().get("comment").cloned();
        vec![text(field.name()), text(&type_text(field.data_type())), Expr::Literal(ScalarValue::Utf8(comment), None)]
    };
    rows(&["col_name", "data_type", "comment"], schema.fields().iter().map(row).collect())
}

/// The rows of `SHOW COLUMNS`.
pub fn show_columns(schema: &Schema) -> Result<LogicalPlan> {
    rows(&["col_name"], schema.fields().iter().map(|field| vec![text(field.name())]).collect())
}

/// The row of `SET`.
pub fn setting(key: &str, value: &str) -> Result<LogicalPlan> {
    rows(&["key", "value"], vec![vec![text(key), text(value)]])
}

fn text(value: &str) -> Expr {
    lit(value.to_string())
}

/// A plan of these rows; all columns are text, but `isTemporary`.
fn rows(names: &[&str], rows: Vec<Vec<Expr>>) -> Result<LogicalPlan> {
    if rows.is_empty() {
        let data_type = |name: &str| if name == "isTemporary" { DataType::Boolean } else { DataType::Utf8 };
        let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, data_type(name), true)).collect();
        let schema = Arc::new(DFSchema::try_from(Schema::new(fields))?);
        return Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema }));
    }
    let columns = names.iter().enumerate().map(|(at, name)| col(format!("column{}", at + 1)).alias(*name));
    LogicalPlanBuilder::values(rows)?.project(columns)?.build()
}

/// Spark's patterns of names: `*` for any characters, `|` between alternatives, letter case ignored.
fn matches(pattern: Option<&str>, name: &str) -> bool {
    let Some(pattern) = pattern else { return true };
    let name = name.to_lowercase();
    pattern.to_lowercase().split('|').any(|alternative| matches_one(alternative.trim(), &name))
}

fn matches_one(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_names_are_those_of_spark() {
        let found = |pattern: &str| -> Vec<&str> {
            ["orders", "orders_silver", "books"].into_iter().filter(|name| matches(Some(pattern), name)).collect()
        };
        assert_eq!(found("*"), ["orders", "orders_silver", "books"]);
        assert_eq!(found("ORDERS"), ["orders"]);
        assert_eq!(found("o*s"), ["orders"]);
        assert_eq!(found("*er*|books"), ["orders", "orders_silver", "books"]);
        assert_eq!(found("order"), [""; 0]);
        assert!(matches(None, "x"));
    }
}
