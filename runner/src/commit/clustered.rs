//! Rows in the order of the columns by which a table is clustered, so that each file that is written holds a range of them.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::Schema,
    physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr, expressions::Column},
    physical_plan::{ExecutionPlan, sorts::sort::SortExec},
};

use crate::commit::table::TargetTable;

/// `rows` for `table`, each partition sorted. The sort spills.
pub fn clustered(rows: Arc<dyn ExecutionPlan>, table: &TargetTable) -> Arc<dyn ExecutionPlan> {
    let schema = rows.schema();
    let by = table.cluster_columns();
    let order = by.iter().filter_map(|name| value(name, &schema, table)).map(PhysicalSortExpr::new_default);
    match LexOrdering::new(order) {
        Some(order) => Arc::new(SortExec::new(order, rows).with_preserve_partitioning(true)),
        None => rows,
    }
}

/// What gives the column `name` of `table` for rows with the columns of `schema`; a column that they lack is NULL in all of them.
fn value(name: &str, schema: &Schema, table: &TargetTable) -> Option<Arc<dyn PhysicalExpr>> {
    let at = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
    match at {
        Some(at) => Some(Arc::new(Column::new(schema.field(at).name(), at))),
        None => table.rules().value_of(name, schema),
    }
}
