//! What every row of a table keeps: values that the table computes itself, and checks. Bound to functions, and applied to batches.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions},
        compute::kernels::cmp::not_distinct,
        datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
        util::display::{ArrayFormatter, FormatOptions},
    },
    common::tree_node::{Transformed, TreeNode},
    physical_expr::{PhysicalExpr, expressions::Column, utils::collect_columns},
};

use crate::{commit::fit, engine_failure::engine_error, failure::Failure};

/// The rules of one table.
#[derive(Clone, Debug, Default)]
pub struct RowRules {
    generated: Vec<Generated>,
    checks: Vec<Check>,
    /// Messages show no values.
    hides_values: bool,
}

/// A column whose value follows from the others.
#[derive(Clone, Debug)]
struct Generated {
    column: String,
    text: String,
    value: Arc<dyn PhysicalExpr>,
}

/// A predicate that is FALSE for no row.
#[derive(Clone, Debug)]
struct Check {
    name: String,
    text: String,
    predicate: Arc<dyn PhysicalExpr>,
}

impl RowRules {
    /// No rules, with messages that show values unless they are hidden.
    pub fn new(hides_values: bool) -> Self {
        Self { hides_values, ..Self::default() }
    }

    /// Also: `column` is `value`, which reads columns by name.
    #[must_use]
    pub fn generated(mut self, column: &str, text: &str, value: Arc<dyn PhysicalExpr>) -> Self {
        self.generated.push(Generated { column: column.to_owned(), text: text.to_owned(), value });
        self
    }

    /// Also: `predicate`, which reads columns by name, is FALSE for no row.
    #[must_use]
    pub fn check(mut self, name: &str, text: &str, predicate: Arc<dyn PhysicalExpr>) -> Self {
        self.checks.push(Check { name: name.to_owned(), text: text.to_owned(), predicate });
        self
    }

    /// What computes `column` of rows with the columns of `schema`, if the table does and they have what it reads.
    pub fn value_of(&self, column: &str, schema: &Schema) -> Option<Arc<dyn PhysicalExpr>> {
        let found = self.generated.iter().find(|generated| generated.column.eq_ignore_ascii_case(column))?;
        over(&found.value, schema).ok()
    }

    /// The rows of `batch` with the columns of `schema`, computed ones included; they keep all rules.
    pub(super) fn applied(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Failure> {
        let rows = if self.generated.is_empty() { fit::fit(batch, schema)? } else { self.computed(batch, schema)? };
        for check in &self.checks {
            let holds = evaluated(&check.predicate, &rows)?;
            if let Some(row) = holds.as_boolean_opt().and_then(first_false) {
                let text = format!("CHECK constraint {} ({}) is violated by a row with {}", check.name, check.text, {
                    self.values(&rows, row, &check.predicate, None)
                });
                return Err(violated(text));
            }
        }
        Ok(rows)
    }

    /// The first check among `names` that a row breaks, and what it reads of that row.
    pub fn broken(&self, rows: &RecordBatch, names: &[String]) -> Result<Option<(String, String)>, Failure> {
        for check in self.checks.iter().filter(|check| names.iter().any(|name| name.eq_ignore_ascii_case(&check.name))) {
            let holds = evaluated(&check.predicate, rows)?;
            if let Some(row) = holds.as_boolean_opt().and_then(first_false) {
                let rule = format!("CHECK constraint {} ({})", check.name, check.text);
                return Ok(Some((rule, self.values(rows, row, &check.predicate, None))));
            }
        }
        Ok(None)
    }

    fn computed(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Failure> {
        let is_generated = |field: &FieldRef| self.generated.iter().any(|generated| generated.column.eq_ignore_ascii_case(field.name()));
        let loose =
            |field: &FieldRef| if is_generated(field) { Arc::new(field.as_ref().clone().with_nullable(true)) } else { Arc::clone(field) };
        let loose = Arc::new(Schema::new(schema.fields().iter().map(loose).collect::<Vec<_>>()));
        let rows = fit::fit(batch, &loose)?;
        let mut columns = rows.columns().to_vec();
        for generated in &self.generated {
            let Some((at, field)) = schema.column_with_name(&generated.column) else { continue };
            let value = fit::fit_column(&evaluated(&generated.value, &rows)?, field)?;
            let is_given = batch.schema().fields().iter().any(|given| given.name().eq_ignore_ascii_case(&generated.column));
            if is_given && let Some(row) = first_different(&columns[at], &value)? {
                let text = format!("generated column {} is {}, but the query gives a row with {}", generated.column, generated.text, {
                    self.values(&rows, row, &generated.value, Some(field))
                });
                return Err(violated(text));
            }
            columns[at] = value;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let complete = RecordBatch::try_new_with_options(loose, columns, &options)
            .map_err(|error| Failure::internal(format!("computed columns do not fit: {error}")))?;
        fit::fit(&complete, schema)
    }

    /// `id = -1, name = x`: what the rule reads of the row, and of `more`.
    fn values(&self, rows: &RecordBatch, row: usize, rule: &Arc<dyn PhysicalExpr>, more: Option<&Field>) -> String {
        if self.hides_values {
            return "***".to_owned();
        }
        let mut names: Vec<String> = collect_columns(rule).into_iter().map(|column| column.name().to_owned()).collect();
        names.sort();
        names.extend(more.map(|field| field.name().clone()));
        let options = FormatOptions::default().with_null("NULL");
        let shown = names.iter().map(|name| {
            let column = rows.schema().fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
            let value = column.and_then(|at| Some(ArrayFormatter::try_new(rows.column(at), &options).ok()?.value(row).to_string()));
            format!("{name} = {}", value.unwrap_or_default())
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

fn violated(text: String) -> Failure {
    Failure::user("DELTA_VIOLATE_CONSTRAINT_WITH_VALUES", text).help(
        "filter such rows out with an expectation (ON VIOLATION DROP ROW), or correct them in the query; no row of the batch was written",
    )
}

/// `rule` over rows with the columns of `schema`, found by their names.
fn over(rule: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>, Failure> {
    let moved = Arc::clone(rule).transform(|part| {
        let Some(column) = part.downcast_ref::<Column>() else { return Ok(Transformed::no(part)) };
        let at = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(column.name()));
        let at = at.ok_or_else(|| datafusion::error::DataFusionError::Internal(format!("no column {}", column.name())))?;
        Ok(Transformed::yes(Arc::new(Column::new(schema.field(at).name(), at)) as Arc<dyn PhysicalExpr>))
    });
    Ok(moved.map_err(engine_error)?.data)
}

fn evaluated(rule: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef, Failure> {
    let value = over(rule, &rows.schema())?.evaluate(rows).and_then(|value| value.into_array(rows.num_rows()));
    value.map_err(engine_error)
}

/// The first row that is FALSE; NULL is not.
fn first_false(holds: &BooleanArray) -> Option<usize> {
    (0..holds.len()).find(|row| holds.is_valid(*row) && !holds.value(*row))
}

fn first_different(given: &ArrayRef, wanted: &ArrayRef) -> Result<Option<usize>, Failure> {
    if matches!(given.data_type(), DataType::Struct(_) | DataType::List(_) | DataType::Map(..)) {
        return Ok((0..given.len()).find(|row| given.slice(*row, 1) != wanted.slice(*row, 1)));
    }
    let same = not_distinct(given, wanted).map_err(|error| Failure::internal(format!("a generated column: {error}")))?;
    Ok(first_false(&same))
}

/// True if a row of `rows` has no value in `column`.
pub fn has_null(rows: &RecordBatch, column: &str) -> bool {
    let at = rows.schema().fields().iter().position(|field| field.name().eq_ignore_ascii_case(column));
    at.is_some_and(|at| rows.column(at).logical_null_count() > 0)
}
