//! Fits the rows of a query to the columns of a table: by name, missing columns NULL, types cast, NOT NULL kept.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array},
    buffer::NullBuffer,
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, Fields, SchemaRef},
    error::ArrowError,
};

use crate::failure::Failure;

/// `batch` with the columns, order and types of `schema`. Column names are compared without regard to letter case.
pub fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Failure> {
    let given = batch.schema();
    if Arc::ptr_eq(&given, schema) && schema.fields().iter().all(|field| field.is_nullable()) {
        return Ok(batch.clone());
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let index = given.fields().iter().position(|other| other.name().eq_ignore_ascii_case(field.name()));
        let column = match index {
            Some(index) => fit_array(batch.column(index), field, field.name())?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        require_values(&column, field, None, field.name())?;
        columns.push(column);
    }
    if let Some(extra) = extra_column(given.fields(), schema.fields()) {
        // The definition decides which columns a table has before any row is written: this one was forgotten there.
        return Err(Failure::internal(format!("the query gives a column `{extra}` that the table does not have")));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Failure::internal(format!("rows do not fit: {error}")))
}

fn extra_column<'a>(given: &'a Fields, wanted: &Fields) -> Option<&'a str> {
    let known = |name: &str| wanted.iter().any(|field| field.name().eq_ignore_ascii_case(name));
    given.iter().map(|field| field.name().as_str()).find(|name| !known(name))
}

/// `array` as a column of a table.
pub(super) fn fit_column(array: &ArrayRef, field: &Field) -> Result<ArrayRef, Failure> {
    fit_array(array, field, field.name())
}

/// `array` with the type of `field`; `path` is its name for messages.
fn fit_array(array: &ArrayRef, field: &Field, path: &str) -> Result<ArrayRef, Failure> {
    if array.data_type() == field.data_type() && !has_required_parts(field.data_type()) {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), field.data_type()) {
        (DataType::Struct(_), DataType::Struct(wanted)) => fit_struct(array.as_struct(), wanted, path),
        (DataType::List(_), DataType::List(element)) => {
            let list = array.as_list::<i32>();
            let path = format!("{path}.element");
            let values = fit_array(list.values(), element, &path)?;
            require_values(&values, element, None, &path)?;
            let fitted = ListArray::try_new(Arc::clone(element), list.offsets().clone(), values, list.nulls().cloned());
            Ok(Arc::new(fitted.map_err(|error| mismatch(&path, &error))?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let DataType::Struct(pair) = entries.data_type() else { return Err(Failure::internal(format!("column `{path}` is no map"))) };
            let [key, value] = pair.as_ref() else { return Err(Failure::internal(format!("column `{path}` is no map"))) };
            let keys = fit_array(map.keys(), key, &format!("{path}.key"))?;
            let values = fit_array(map.values(), value, &format!("{path}.value"))?;
            require_values(&values, value, None, &format!("{path}.value"))?;
            let fitted = StructArray::try_new(pair.clone(), vec![keys, values], None)
                .and_then(|pairs| MapArray::try_new(Arc::clone(entries), map.offsets().clone(), pairs, map.nulls().cloned(), *sorted));
            Ok(Arc::new(fitted.map_err(|error| mismatch(path, &error))?))
        }
        // Other list layouts become plain lists first, then their elements are fitted.
        (given, DataType::List(_)) if given.is_list() && !matches!(given, DataType::List(_)) => {
            let (DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::ListView(item) | DataType::LargeListView(item)) =
                given
            else {
                return cast(array, field.data_type(), path);
            };
            let plain = cast(array, &DataType::List(Arc::clone(item)), path)?;
            fit_array(&plain, field, path)
        }
        _ => cast(array, field.data_type(), path),
    }
}

fn fit_struct(array: &StructArray, wanted: &Fields, path: &str) -> Result<ArrayRef, Failure> {
    let mut columns = Vec::with_capacity(wanted.len());
    for field in wanted {
        let path = format!("{path}.{}", field.name());
        let index = array.fields().iter().position(|other| other.name().eq_ignore_ascii_case(field.name()));
        let column = match index {
            Some(index) => fit_array(array.column(index), field, &path)?,
            None => new_null_array(field.data_type(), array.len()),
        };
        require_values(&column, field, array.nulls(), &path)?;
        columns.push(column);
    }
    if let Some(extra) = extra_column(array.fields(), wanted) {
        return Err(Failure::internal(format!("the query gives a field `{path}.{extra}` that the table does not have")));
    }
    let fitted = StructArray::try_new_with_length(wanted.clone(), columns, array.nulls().cloned(), array.len());
    Ok(Arc::new(fitted.map_err(|error| mismatch(path, &error))?))
}

/// Overflow and text that is no number are errors here: the query has decided what becomes NULL.
fn cast(array: &ArrayRef, wanted: &DataType, path: &str) -> Result<ArrayRef, Failure> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, wanted, &options).map_err(|error| mismatch(path, &error))
}

fn mismatch(path: &str, error: &ArrowError) -> Failure {
    let class = if matches!(error, ArrowError::CastError(_)) { "CAST_INVALID_INPUT" } else { "CAST_OVERFLOW" };
    Failure::user(class, format!("column `{path}`: {error}")).help("cast the column in the query to the type of the table")
}

/// A NULL in a column that must have a value. Within a struct a NULL counts only where the struct itself is there.
fn require_values(array: &ArrayRef, field: &Field, parent: Option<&NullBuffer>, path: &str) -> Result<(), Failure> {
    if field.is_nullable() || array.null_count() == 0 {
        return Ok(());
    }
    let rows = (0..array.len()).filter(|row| array.is_null(*row) && parent.is_none_or(|parent| parent.is_valid(*row))).count();
    if rows == 0 {
        return Ok(());
    }
    Err(Failure::user(
        "DELTA_NOT_NULL_CONSTRAINT_VIOLATED",
        format!("column `{path}` is NOT NULL, but {rows} of {} rows have no value", array.len()),
    )
    .help("filter these rows out in the query or with an expectation, or make the column nullable"))
}

fn has_required_parts(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| !field.is_nullable() || has_required_parts(field.data_type())),
        DataType::List(field) => !field.is_nullable() || has_required_parts(field.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            // Keys are required by their nature, and Arrow checks them.
            DataType::Struct(pair) => pair.iter().skip(1).any(|value| !value.is_nullable() || has_required_parts(value.data_type())),
            _ => false,
        },
        _ => false,
    }
}
