//! Functions on maps and structs.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, ListArray, MapArray, StringBuilder, StructArray},
        compute::{cast, concat},
        datatypes::DataType,
    },
    common::Result,
};

use super::{
    aggregate::unexpected,
    call::{Answer, Call, Compiled, Kernel, gather},
    collection::{Lists, comparable, ranges},
    error::FunctionError,
    pattern_text::compile,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("map", map_of_pairs),
    ("named_struct", named_struct),
    ("map_from_arrays", map_from_arrays),
    ("map_from_entries", map_from_entries),
    ("str_to_map", str_to_map),
    ("map_keys", |call| entries_part(call, |map| Arc::clone(map.keys()))),
    ("map_values", |call| entries_part(call, |map| Arc::clone(map.values()))),
    ("map_entries", |call| entries_part(call, |map| Arc::new(map.entries().clone()))),
    ("map_concat", map_concat),
    ("map_contains_key", |call| {
        let places = places_of_key(call)?;
        let (map, key) = (call.array(0)?, call.array(1)?);
        call.booleans(|row| (map.is_valid(row) && key.is_valid(row)).then(|| places.get(row).copied().flatten().is_some()))
    }),
];

/// Maps that are built as places in an array of keys and one of values.
pub(super) struct Maps {
    keys: Lists,
    values: Vec<Option<u64>>,
}

impl Maps {
    pub fn new(rows: usize) -> Self {
        Self { keys: Lists::new(rows), values: Vec::with_capacity(rows) }
    }

    pub fn push(&mut self, entries: impl IntoIterator<Item = (u64, u64)>) {
        let values = &mut self.values;
        self.keys.push(entries.into_iter().map(|(key, value)| {
            values.push(Some(value));
            Some(key)
        }));
    }

    pub fn push_null(&mut self) {
        self.keys.push_null();
    }

    /// Gathers keys and values; a NULL key and a key that comes twice are errors.
    pub fn finish(self, keys: &ArrayRef, values: &ArrayRef, returns: &DataType) -> Answer {
        let DataType::Map(entries_field, sorted) = returns else { return Err(unexpected("a function on maps")) };
        let DataType::Struct(fields) = entries_field.data_type() else { return Err(unexpected("a function on maps")) };
        let [key_field, value_field] = fields.as_ref() else { return Err(unexpected("a function on maps")) };
        let (places, offsets, nulls) = self.keys.parts()?;
        let keys = cast(&gather(keys, places)?, key_field.data_type())?;
        let values = cast(&gather(values, self.values)?, value_field.data_type())?;
        if keys.logical_null_count() > 0 {
            return Err(FunctionError::new("NULL_MAP_KEY", "a key of a map must not be NULL").into());
        }
        let rows = comparable(&[&keys])?.into_iter().next().ok_or_else(|| unexpected("a function on maps"))?;
        for bounds in offsets.windows(2) {
            let [start, end] = bounds else { continue };
            let mut seen = HashSet::new();
            if (*start as usize..*end as usize).any(|item| !seen.insert(rows.row(item))) {
                return Err(FunctionError::new("DUPLICATED_MAP_KEY", "a key comes twice in a map").into());
            }
        }
        let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
        Ok(Arc::new(MapArray::try_new(Arc::clone(entries_field), offsets, entries, nulls, *sorted)?))
    }
}

fn joined(arrays: &[ArrayRef], data_type: &DataType) -> Result<ArrayRef> {
    let arrays = arrays.iter().map(|array| cast(array, data_type)).collect::<std::result::Result<Vec<_>, _>>()?;
    if arrays.is_empty() {
        return Ok(datafusion::arrow::array::new_empty_array(data_type));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(concat(&arrays)?)
}

/// Types of keys and values of the result.
fn pair_types(call: &Call<'_>) -> Result<(DataType, DataType)> {
    if let DataType::Map(entries, _) = call.returns
        && let DataType::Struct(fields) = entries.data_type()
        && let [key, value] = fields.as_ref()
    {
        return Ok((key.data_type().clone(), value.data_type().clone()));
    }
    Err(unexpected(call.name))
}

fn map_of_pairs(call: &Call<'_>) -> Answer {
    let pairs = call.args.len() / 2;
    let (key_type, value_type) = pair_types(call)?;
    let keys = (0..pairs).map(|pair| call.array(pair * 2)).collect::<Result<Vec<_>>>()?;
    let values = (0..pairs).map(|pair| call.array(pair * 2 + 1)).collect::<Result<Vec<_>>>()?;
    let mut maps = Maps::new(call.rows);
    for row in 0..call.rows {
        maps.push((0..pairs).map(|pair| {
            let place = (pair * call.rows + row) as u64;
            (place, place)
        }));
    }
    maps.finish(&joined(&keys, &key_type)?, &joined(&values, &value_type)?, call.returns)
}

fn named_struct(call: &Call<'_>) -> Answer {
    let DataType::Struct(fields) = call.returns else { return Err(unexpected(call.name)) };
    let columns = fields.iter().enumerate().map(|(index, field)| {
        let column = call.array(index * 2 + 1)?;
        Ok(if column.data_type() == field.data_type() { column } else { cast(&column, field.data_type())? })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, call.rows)?))
}

fn map_from_arrays(call: &Call<'_>) -> Answer {
    let (keys, values) = (call.array(0)?, call.array(1)?);
    let (key_ranges, value_ranges) = (ranges(&keys)?, ranges(&values)?);
    let mut maps = Maps::new(call.rows);
    for row in 0..call.rows {
        let Some((keys, values)) = key_ranges(row).zip(value_ranges(row)) else {
            maps.push_null();
            continue;
        };
        if keys.len() != values.len() {
            let message = format!("map_from_arrays got {} keys and {} values", keys.len(), values.len());
            return Err(FunctionError::new("INVALID_PARAMETER_VALUE.LENGTH", message).into());
        }
        maps.push(keys.zip(values).map(|(key, value)| (key as u64, value as u64)));
    }
    maps.finish(keys.as_list::<i32>().values(), values.as_list::<i32>().values(), call.returns)
}

fn map_from_entries(call: &Call<'_>) -> Answer {
    let array = call.array(0)?;
    let entries = array.as_list::<i32>().values();
    let group = entries.as_struct();
    let ranges = ranges(&array)?;
    let mut maps = Maps::new(call.rows);
    for row in 0..call.rows {
        // A NULL entry makes the whole map NULL.
        match ranges(row).filter(|range| range.clone().all(|item| entries.is_valid(item))) {
            Some(range) => maps.push(range.map(|item| (item as u64, item as u64))),
            None => maps.push_null(),
        }
    }
    maps.finish(group.column(0), group.column(1), call.returns)
}

fn str_to_map(call: &Call<'_>) -> Answer {
    let text = call.text(0)?;
    let pair = if call.has(1) { Some(call.text(1)?) } else { None };
    let inner = if call.has(2) { Some(call.text(2)?) } else { None };
    let (mut pairs, mut inners) = (Compiled::new(), Compiled::new());
    let (mut keys, mut values) = (StringBuilder::new(), StringBuilder::new());
    let mut maps = Maps::new(call.rows);
    let mut count = 0u64;
    for row in 0..call.rows {
        let pair = pair.as_ref().map_or(Some(","), |pair| pair.at(row));
        let inner = inner.as_ref().map_or(Some(":"), |inner| inner.at(row));
        let (Some(text), Some(pair), Some(inner)) = (text.at(row), pair, inner) else {
            maps.push_null();
            continue;
        };
        let pair = pairs.get(pair, |pattern| compile("str_to_map", pattern))?;
        let inner = inners.get(inner, |pattern| compile("str_to_map", pattern))?;
        let start = count;
        for entry in pair.split(text) {
            let mut parts = inner.splitn(entry, 2);
            keys.append_value(parts.next().unwrap_or_default());
            values.append_option(parts.next());
            count += 1;
        }
        maps.push((start..count).map(|place| (place, place)));
    }
    let (keys, values): (ArrayRef, ArrayRef) = (Arc::new(keys.finish()), Arc::new(values.finish()));
    maps.finish(&keys, &values, call.returns)
}

fn entries_part(call: &Call<'_>, part: impl Fn(&MapArray) -> ArrayRef) -> Answer {
    let array = call.array(0)?;
    let map = array.as_map();
    let DataType::List(item) = call.returns else { return Err(unexpected(call.name)) };
    let values = part(map);
    let values = if values.data_type() == item.data_type() { values } else { cast(&values, item.data_type())? };
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), map.offsets().clone(), values, map.nulls().cloned())?))
}

fn map_concat(call: &Call<'_>) -> Answer {
    let (key_type, value_type) = pair_types(call)?;
    let arrays = (0..call.args.len()).map(|index| call.array(index)).collect::<Result<Vec<_>>>()?;
    let mut sides = Vec::new();
    let mut base = 0;
    for array in &arrays {
        sides.push((ranges(array)?, base));
        base += array.as_map().keys().len();
    }
    let mut maps = Maps::new(call.rows);
    for row in 0..call.rows {
        let parts: Option<Vec<_>> =
            sides.iter().map(|(ranges, base)| ranges(row).map(|range| range.start + base..range.end + base)).collect();
        match parts {
            Some(parts) => maps.push(parts.into_iter().flatten().map(|item| (item as u64, item as u64))),
            None => maps.push_null(),
        }
    }
    let keys: Vec<ArrayRef> = arrays.iter().map(|array| Arc::clone(array.as_map().keys())).collect();
    let values: Vec<ArrayRef> = arrays.iter().map(|array| Arc::clone(array.as_map().values())).collect();
    maps.finish(&joined(&keys, &key_type)?, &joined(&values, &value_type)?, call.returns)
}

/// Where the key of each row lies among all entries.
fn places_of_key(call: &Call<'_>) -> Result<Vec<Option<u64>>> {
    let array = call.array(0)?;
    let keys = array.as_map().keys();
    let key = cast(&call.array(1)?, keys.data_type())?;
    let rows = comparable(&[keys, &key])?;
    let [all, wanted] = rows.as_slice() else { return Err(unexpected(call.name)) };
    let ranges = ranges(&array)?;
    let place = |row: usize| {
        let mut range = ranges(row).filter(|_| key.is_valid(row))?;
        range.find(|item| all.row(*item) == wanted.row(row)).map(|item| item as u64)
    };
    Ok((0..call.rows).map(place).collect())
}

/// The value of a map's key, NULL if it is absent.
pub(super) fn value_of_key(call: &Call<'_>) -> Answer {
    let places = places_of_key(call)?;
    let array = call.array(0)?;
    gather(array.as_map().values(), places)
}
