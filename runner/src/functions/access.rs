//! One item of an array or map, and fields of structs.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, ListArray},
    compute::{is_null, nullif},
    datatypes::DataType,
};

use super::{
    aggregate::unexpected,
    call::{Answer, Call, Kernel, gather},
    collection::ranges,
    error::FunctionError,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("get", |call| item(call, Counting::FromZero, false)),
    ("$item", item_or_value),
    ("element_at", |call| element_at(call, call.settings.ansi)),
    ("try_element_at", |call| element_at(call, false)),
    ("$field", field),
];

/// Where an index begins to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    FromZero,
    /// From 1, negative from the end.
    FromOne,
}

fn item(call: &Call<'_>, counting: Counting, strict: bool) -> Answer {
    let (array, index) = (call.array(0)?, call.long(1)?);
    let ranges = ranges(&array)?;
    let mut items = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (Some(range), Some(index)) = (ranges(row), index.at(row)) else {
            items.push(None);
            continue;
        };
        let total = range.len() as i64;
        let place = match counting {
            Counting::FromZero => index,
            Counting::FromOne if index == 0 => {
                return Err(FunctionError::new(
                    "INVALID_INDEX_OF_ZERO",
                    "the index 0 of element_at is invalid: elements count from 1 or -1",
                )
                .into());
            }
            Counting::FromOne if index > 0 => index - 1,
            Counting::FromOne => total.saturating_add(index),
        };
        let found = (0..total).contains(&place);
        if strict && !found {
            let class = if counting == Counting::FromZero { "INVALID_ARRAY_INDEX" } else { "INVALID_ARRAY_INDEX_IN_ELEMENT_AT" };
            return Err(FunctionError::new(class, format!("the index {index} is out of bounds: the array has {total} elements")).into());
        }
        items.push(found.then(|| (range.start as i64 + place) as u64));
    }
    gather(array.as_list::<i32>().values(), items)
}

fn item_or_value(call: &Call<'_>) -> Answer {
    match call.data_type(0) {
        DataType::Map(..) => super::map_functions::value_of_key(call),
        _ => item(call, Counting::FromZero, call.settings.ansi),
    }
}

fn element_at(call: &Call<'_>, strict: bool) -> Answer {
    match call.data_type(0) {
        DataType::Map(..) => super::map_functions::value_of_key(call),
        _ => item(call, Counting::FromOne, strict),
    }
}

fn struct_field(array: &ArrayRef, name: &str) -> Answer {
    let group = array.as_struct();
    let column = group.column_by_name(name).ok_or_else(|| unexpected("a field"))?;
    if group.null_count() == 0 { Ok(Arc::clone(column)) } else { Ok(nullif(column, &is_null(group)?)?) }
}

fn field(call: &Call<'_>) -> Answer {
    let name = call.literal(1).unwrap_or_default();
    let value = call.array(0)?;
    let DataType::List(_) = value.data_type() else { return struct_field(&value, name) };
    let list = value.as_list::<i32>();
    let DataType::List(item) = call.returns else { return Err(unexpected(call.name)) };
    let values = struct_field(list.values(), name)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())?))
}
