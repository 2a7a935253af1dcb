//! Functions on arrays. Results are lists of places in the values of the arguments, gathered at the end.

use std::{cmp::Ordering, collections::HashSet, ops::Range, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray, StructArray, UInt64Array},
        buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
        compute::{cast, concat, take},
        datatypes::DataType,
        row::{RowConverter, Rows, SortField},
    },
    common::Result,
};

use super::{
    aggregate::unexpected,
    call::{Answer, Call, Kernel, gather},
    cast::{Rules, cast_array},
    encoding::{concat_bytes, concat_texts},
    error::FunctionError,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("array", array),
    ("concat", concat_any),
    ("reverse", reverse),
    ("size", |call| size(call, if call.settings.ansi { None } else { Some(-1) })),
    ("array_size", |call| size(call, None)),
    ("array_contains", array_contains),
    ("array_position", array_position),
    ("array_distinct", |call| keep(call, 1, distinct)),
    ("array_union", |call| keep(call, 2, union)),
    ("array_intersect", |call| keep(call, 2, |sides| sides.among(true))),
    ("array_except", |call| keep(call, 2, |sides| sides.among(false))),
    ("arrays_overlap", arrays_overlap),
    ("array_append", |call| with_value(call, false)),
    ("array_prepend", |call| with_value(call, true)),
    ("array_insert", array_insert),
    ("$arrays_zip", arrays_zip),
    ("array_remove", array_remove),
    ("array_compact", |call| select(call, |values, range| Ok(range.filter(|item| values.is_valid(*item)).collect()))),
    ("array_repeat", array_repeat),
    ("array_join", array_join),
    ("array_max", |call| extreme(call, Ordering::Greater)),
    ("array_min", |call| extreme(call, Ordering::Less)),
    ("array_sort", |call| sorted(call, false)),
    ("sort_array", |call| sorted(call, true)),
    ("slice", slice),
    ("flatten", flatten),
    ("sequence", sequence),
    ("$with_position", with_position),
];

/// Places of the items, where the lists end, and which lists are no NULL.
type Parts = (Vec<Option<u64>>, OffsetBuffer<i32>, Option<NullBuffer>);

/// Lists that are built as places in an array of values.
pub(super) struct Lists {
    items: Vec<Option<u64>>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

/// Most elements of one array that a number asks for.
const MAX_ELEMENTS: i64 = 10_000_000;
/// The same for all rows that are computed at once.
const MAX_BATCH_ELEMENTS: i64 = 32_000_000;

impl Lists {
    pub fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { items: Vec::with_capacity(rows), offsets, valid: Vec::with_capacity(rows) }
    }

    pub fn push(&mut self, items: impl IntoIterator<Item = Option<u64>>) {
        self.items.extend(items);
        self.close(true);
    }

    pub fn push_null(&mut self) {
        self.close(false);
    }

    /// `count`, if a list of so many elements may be made from a number. Such lists are not in the memory pool.
    pub fn room_for(&self, count: i128) -> Result<i64> {
        match i64::try_from(count) {
            Ok(count) if count <= MAX_ELEMENTS && self.items.len() as i64 + count <= MAX_BATCH_ELEMENTS => Ok(count),
            _ => {
                let message = format!(
                    "an array would have {count} elements; the most are {MAX_ELEMENTS} in one, and {MAX_BATCH_ELEMENTS} in all arrays of a batch"
                );
                Err(FunctionError::new("COLLECTION_SIZE_LIMIT_EXCEEDED", message).into())
            }
        }
    }

    fn close(&mut self, valid: bool) {
        self.offsets.push(i32::try_from(self.items.len()).unwrap_or(i32::MAX));
        self.valid.push(valid);
    }

    /// The places, where the lists end, and which lists are no NULL.
    pub fn parts(self) -> Result<Parts> {
        if i32::try_from(self.items.len()).is_err() {
            return Err(FunctionError::new("COLLECTION_SIZE_LIMIT_EXCEEDED", "the arrays of one batch have too many elements").into());
        }
        let nulls = NullBuffer::from(self.valid);
        Ok((self.items, OffsetBuffer::new(ScalarBuffer::from(self.offsets)), (nulls.null_count() > 0).then_some(nulls)))
    }

    pub fn finish(self, values: &ArrayRef, returns: &DataType) -> Answer {
        let DataType::List(field) = returns else { return Err(unexpected("a function on arrays")) };
        let (items, offsets, nulls) = self.parts()?;
        let values = gather(values, items)?;
        let values = if values.data_type() == field.data_type() { values } else { cast(&values, field.data_type())? };
        Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, nulls)?))
    }
}

/// Where the items of a row lie; nothing for NULL.
pub(super) fn ranges(array: &ArrayRef) -> Result<impl Fn(usize) -> Option<Range<usize>> + use<>> {
    let offsets = match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().offsets().clone(),
        DataType::Map(..) => array.as_map().offsets().clone(),
        _ => return Err(unexpected("a function on arrays")),
    };
    let nulls = array.nulls().cloned();
    Ok(move |row: usize| {
        let valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let bounds = valid.then(|| offsets.get(row).zip(offsets.get(row + 1))).flatten();
        bounds.map(|(start, end)| *start as usize..*end as usize)
    })
}

/// Values in a form that compares them, of any type.
pub(super) fn comparable(arrays: &[&ArrayRef]) -> Result<Vec<Rows>> {
    let Some(first) = arrays.first() else { return Ok(Vec::new()) };
    let converter = RowConverter::new(vec![SortField::new(first.data_type().clone())])?;
    arrays.iter().map(|array| Ok(converter.convert_columns(&[Arc::clone(array)])?)).collect()
}

fn joined(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(concat(&arrays)?)
}

fn array(call: &Call<'_>) -> Answer {
    let columns = (0..call.args.len()).map(|index| call.array(index)).collect::<Result<Vec<_>>>()?;
    let DataType::List(field) = call.returns else { return Err(unexpected(call.name)) };
    let values = if columns.is_empty() { datafusion::arrow::array::new_empty_array(field.data_type()) } else { joined(&columns)? };
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        lists.push((0..columns.len()).map(|column| Some((column * call.rows + row) as u64)));
    }
    lists.finish(&values, call.returns)
}

fn size(call: &Call<'_>, of_null: Option<i32>) -> Answer {
    let value = call.array(0)?;
    let ranges = ranges(&value)?;
    call.ints(|row| ranges(row).map_or(of_null, |range| Some(range.len() as i32)))
}

fn concat_any(call: &Call<'_>) -> Answer {
    match call.returns {
        DataType::List(_) => {}
        DataType::Binary => return concat_bytes(call),
        _ => return concat_texts(call),
    }
    let arrays = (0..call.args.len()).map(|index| call.array(index)).collect::<Result<Vec<_>>>()?;
    let values: Vec<ArrayRef> = arrays.iter().map(|array| Arc::clone(array.as_list::<i32>().values())).collect();
    let mut base = 0;
    let mut sides = Vec::new();
    for (array, values) in arrays.iter().zip(&values) {
        sides.push((ranges(array)?, base));
        base += values.len();
    }
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        let parts: Option<Vec<Range<usize>>> =
            sides.iter().map(|(ranges, base)| ranges(row).map(|range| range.start + base..range.end + base)).collect();
        match parts {
            Some(parts) => lists.push(parts.into_iter().flatten().map(|item| Some(item as u64))),
            None => lists.push_null(),
        }
    }
    lists.finish(&joined(&values)?, call.returns)
}

/// A list of chosen items per row that is not NULL.
fn select(call: &Call<'_>, choose: impl Fn(&ArrayRef, Range<usize>) -> Result<Vec<usize>>) -> Answer {
    let value = call.array(0)?;
    let values = value.as_list::<i32>().values();
    let ranges = ranges(&value)?;
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        match ranges(row) {
            Some(range) => lists.push(choose(values, range)?.into_iter().map(|item| Some(item as u64))),
            None => lists.push_null(),
        }
    }
    lists.finish(values, call.returns)
}

fn reverse(call: &Call<'_>) -> Answer {
    if matches!(call.returns, DataType::List(_)) {
        return select(call, |_, range| Ok(range.rev().collect()));
    }
    let text = call.text(0)?;
    call.texts(|row| Some(text.at(row)?.chars().rev().collect::<String>()))
}

/// Items of the array and the value that they are compared with, both of the value's type.
fn items_and_value(call: &Call<'_>) -> Result<(ArrayRef, ArrayRef, Rows, Rows)> {
    let (array, value) = (call.array(0)?, call.array(1)?);
    let items = cast(array.as_list::<i32>().values(), value.data_type())?;
    let mut rows = comparable(&[&items, &value])?.into_iter();
    let (Some(left), Some(right)) = (rows.next(), rows.next()) else { return Err(unexpected(call.name)) };
    Ok((items, value, left, right))
}

fn array_contains(call: &Call<'_>) -> Answer {
    let array = call.array(0)?;
    let ranges = ranges(&array)?;
    let (items, value, left, right) = items_and_value(call)?;
    call.booleans(|row| {
        let range = ranges(row).filter(|_| value.is_valid(row))?;
        let found = range.clone().any(|item| left.row(item) == right.row(row));
        if !found && range.clone().any(|item| items.is_null(item)) { None } else { Some(found) }
    })
}

fn array_position(call: &Call<'_>) -> Answer {
    let array = call.array(0)?;
    let ranges = ranges(&array)?;
    let (_, value, left, right) = items_and_value(call)?;
    call.longs(|row| {
        let mut range = ranges(row).filter(|_| value.is_valid(row))?;
        Some(range.position(|item| left.row(item) == right.row(row)).map_or(0, |place| place as i64 + 1))
    })
}

fn array_remove(call: &Call<'_>) -> Answer {
    let array = call.array(0)?;
    let ranges = ranges(&array)?;
    let (_, value, left, right) = items_and_value(call)?;
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        match ranges(row).filter(|_| value.is_valid(row)) {
            Some(range) => lists.push(range.filter(|item| left.row(*item) != right.row(row)).map(|item| Some(item as u64))),
            None => lists.push_null(),
        }
    }
    lists.finish(array.as_list::<i32>().values(), call.returns)
}

/// The items of one row of one or two arrays; the second's places come after all values of the first.
struct Sides<'r> {
    left: Range<usize>,
    right: Range<usize>,
    rows: &'r Rows,
}

impl Sides<'_> {
    fn first_ones(&self, items: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut seen = HashSet::new();
        items.filter(|item| seen.insert(self.rows.row(*item))).collect()
    }

    fn among(&self, wanted: bool) -> Vec<usize> {
        let others: HashSet<_> = self.right.clone().map(|item| self.rows.row(item)).collect();
        self.first_ones(self.left.clone().filter(|item| others.contains(&self.rows.row(*item)) == wanted))
    }
}

fn distinct(sides: &Sides<'_>) -> Vec<usize> {
    sides.first_ones(sides.left.clone())
}

fn union(sides: &Sides<'_>) -> Vec<usize> {
    sides.first_ones(sides.left.clone().chain(sides.right.clone()))
}

fn keep(call: &Call<'_>, arrays: usize, choose: impl Fn(&Sides<'_>) -> Vec<usize>) -> Answer {
    let left = call.array(0)?;
    let right = if arrays == 2 { call.array(1)? } else { Arc::clone(&left) };
    let (left_values, right_values) = (left.as_list::<i32>().values(), right.as_list::<i32>().values());
    let values = joined(&[Arc::clone(left_values), Arc::clone(right_values)])?;
    let rows = comparable(&[&values])?.into_iter().next().ok_or_else(|| unexpected(call.name))?;
    let (left_ranges, right_ranges) = (ranges(&left)?, ranges(&right)?);
    let base = left_values.len();
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        match left_ranges(row).zip(right_ranges(row)) {
            Some((left, right)) => {
                let sides = Sides { left, right: right.start + base..right.end + base, rows: &rows };
                lists.push(choose(&sides).into_iter().map(|item| Some(item as u64)));
            }
            None => lists.push_null(),
        }
    }
    lists.finish(&values, call.returns)
}

fn arrays_overlap(call: &Call<'_>) -> Answer {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let (left_values, right_values) = (left.as_list::<i32>().values(), right.as_list::<i32>().values());
    let rows = comparable(&[left_values, right_values])?;
    let [left_rows, right_rows] = rows.as_slice() else { return Err(unexpected(call.name)) };
    let (left_ranges, right_ranges) = (ranges(&left)?, ranges(&right)?);
    call.booleans(|row| {
        let (left, right) = left_ranges(row).zip(right_ranges(row))?;
        let others: HashSet<_> = right.clone().filter(|item| right_values.is_valid(*item)).map(|item| right_rows.row(item)).collect();
        if left.clone().any(|item| left_values.is_valid(item) && others.contains(&left_rows.row(item))) {
            return Some(true);
        }
        let holes = left.clone().any(|item| left_values.is_null(item)) || right.clone().any(|item| right_values.is_null(item));
        if holes && !left.is_empty() && !right.is_empty() { None } else { Some(false) }
    })
}

fn with_value(call: &Call<'_>, first: bool) -> Answer {
    let array = call.array(0)?;
    let items = array.as_list::<i32>().values();
    let value = cast(&call.array(1)?, items.data_type())?;
    let values = joined(&[Arc::clone(items), value])?;
    let ranges = ranges(&array)?;
    let base = items.len() as u64;
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        let Some(range) = ranges(row) else {
            lists.push_null();
            continue;
        };
        let own = range.map(|item| Some(item as u64));
        let added = std::iter::once(Some(base + row as u64));
        if first { lists.push(added.chain(own)) } else { lists.push(own.chain(added)) }
    }
    lists.finish(&values, call.returns)
}

fn array_insert(call: &Call<'_>) -> Answer {
    let (array, position) = (call.array(0)?, call.int(1)?);
    let items = array.as_list::<i32>().values();
    let values = joined(&[Arc::clone(items), cast(&call.array(2)?, items.data_type())?])?;
    let ranges = ranges(&array)?;
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        let (Some(range), Some(position)) = (ranges(row), position.at(row)) else {
            lists.push_null();
            continue;
        };
        if position == 0 {
            return Err(FunctionError::new("INVALID_INDEX_OF_ZERO", "array_insert counts from 1 or -1, not from 0").into());
        }
        let total = range.len() as i64;
        let mut kept: Vec<Option<u64>> = range.map(|item| Some(item as u64)).collect();
        // From the end: -1 is behind the last element.
        let place = if position > 0 { i64::from(position) - 1 } else { total + i64::from(position) + 1 };
        let missing = lists.room_for(i128::from((place - total).max(-place).max(0)))? as usize;
        if place >= 0 {
            kept.resize(kept.len() + missing, None);
        } else {
            kept.splice(0..0, std::iter::repeat_n(None, missing));
        }
        kept.insert(place.max(0) as usize, Some((items.len() + row) as u64));
        lists.push(kept);
    }
    lists.finish(&values, call.returns)
}

/// Names and arrays take turns; each position becomes a struct.
fn arrays_zip(call: &Call<'_>) -> Answer {
    let arrays = (0..call.args.len() / 2).map(|index| call.array(index * 2 + 1)).collect::<Result<Vec<_>>>()?;
    let DataType::List(item) = call.returns else { return Err(unexpected(call.name)) };
    let DataType::Struct(fields) = item.data_type() else { return Err(unexpected(call.name)) };
    let all_ranges = arrays.iter().map(|array| if array.data_type().is_null() { Ok(None) } else { ranges(array).map(Some) });
    let all_ranges = all_ranges.collect::<Result<Vec<_>>>()?;
    let mut lists = Lists::new(call.rows);
    let mut places: Vec<Vec<Option<u64>>> = vec![Vec::new(); arrays.len()];
    let mut count = 0u64;
    for row in 0..call.rows {
        let sides: Option<Vec<Range<usize>>> = all_ranges.iter().map(|ranges| ranges.as_ref().and_then(|ranges| ranges(row))).collect();
        let Some(sides) = sides else {
            lists.push_null();
            continue;
        };
        let length = sides.iter().map(Range::len).max().unwrap_or(0);
        for (places, side) in places.iter_mut().zip(&sides) {
            places.extend((0..length).map(|position| (position < side.len()).then(|| (side.start + position) as u64)));
        }
        lists.push((count..count + length as u64).map(Some));
        count += length as u64;
    }
    let columns = arrays.iter().zip(places).zip(fields).map(|((array, places), field)| match array.data_type() {
        DataType::List(_) => Ok(cast(&gather(array.as_list::<i32>().values(), places)?, field.data_type())?),
        _ => Ok(datafusion::arrow::array::new_null_array(field.data_type(), places.len())),
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let structs: ArrayRef = Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, count as usize)?);
    lists.finish(&structs, call.returns)
}

fn array_repeat(call: &Call<'_>) -> Answer {
    let (value, count) = (call.array(0)?, call.int(1)?);
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        match count.at(row) {
            Some(count) => {
                let count = lists.room_for(i128::from(count.max(0)))?;
                lists.push(std::iter::repeat_n(Some(row as u64), count as usize));
            }
            None => lists.push_null(),
        }
    }
    lists.finish(&value, call.returns)
}

fn array_join(call: &Call<'_>) -> Answer {
    let array = call.array(0)?;
    let rules = Rules { ansi: call.settings.ansi, fractions: false, zone: call.settings.zone };
    let texts = cast_array(array.as_list::<i32>().values(), &DataType::Utf8, &rules)?;
    let texts = texts.as_string::<i32>();
    let delimiter = call.text(1)?;
    let replacement = if call.has(2) { Some(call.text(2)?) } else { None };
    let ranges = ranges(&array)?;
    call.texts(|row| {
        let (range, delimiter) = (ranges(row)?, delimiter.at(row)?);
        let replacement = replacement.as_ref().map_or(Some(None), |replacement| replacement.at(row).map(Some))?;
        let parts = range.filter_map(|item| if texts.is_valid(item) { Some(texts.value(item)) } else { replacement });
        Some(parts.collect::<Vec<_>>().join(delimiter))
    })
}

fn extreme(call: &Call<'_>, wanted: Ordering) -> Answer {
    let array = call.array(0)?;
    let values = array.as_list::<i32>().values();
    let rows = comparable(&[values])?.into_iter().next().ok_or_else(|| unexpected(call.name))?;
    let ranges = ranges(&array)?;
    let best = |row: usize| {
        let items = ranges(row)?.filter(|item| values.is_valid(*item));
        items.reduce(|best, item| if rows.row(item).cmp(&rows.row(best)) == wanted { item } else { best }).map(|item| item as u64)
    };
    gather(values, (0..call.rows).map(best).collect())
}

fn sorted(call: &Call<'_>, nulls_are_least: bool) -> Answer {
    let ascending = if call.has(1) { Some(call.boolean(1)?) } else { None };
    let array = call.array(0)?;
    let values = array.as_list::<i32>().values();
    // A NULL inside an element is always the least.
    let keys = comparable(&[values])?.into_iter().next().ok_or_else(|| unexpected(call.name))?;
    let order = |left: usize, right: usize| match (values.is_valid(left), values.is_valid(right)) {
        (true, true) | (false, false) => keys.row(left).cmp(&keys.row(right)),
        (valid, _) if valid == nulls_are_least => Ordering::Greater,
        _ => Ordering::Less,
    };
    let ranges = ranges(&array)?;
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        let ascending = ascending.as_ref().map_or(Some(true), |ascending| ascending.at(row));
        match ranges(row).zip(ascending) {
            Some((range, ascending)) => {
                let mut items: Vec<usize> = range.collect();
                items.sort_by(|left, right| if ascending { order(*left, *right) } else { order(*right, *left) });
                lists.push(items.into_iter().map(|item| Some(item as u64)));
            }
            None => lists.push_null(),
        }
    }
    lists.finish(values, call.returns)
}

fn slice(call: &Call<'_>) -> Answer {
    let array = call.array(0)?;
    let (start, length) = (call.int(1)?, call.int(2)?);
    let ranges = ranges(&array)?;
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        let (Some(range), Some(start), Some(length)) = (ranges(row), start.at(row), length.at(row)) else {
            lists.push_null();
            continue;
        };
        if start == 0 {
            return Err(FunctionError::new("INVALID_PARAMETER_VALUE.START", "slice counts from 1 or -1, not from 0").into());
        }
        if length < 0 {
            return Err(FunctionError::new("INVALID_PARAMETER_VALUE.LENGTH", "the length of slice must not be negative").into());
        }
        let total = range.len() as i64;
        let first = if start > 0 { i64::from(start) - 1 } else { total + i64::from(start) };
        let items = if first < 0 || first >= total { 0..0 } else { first..(first + i64::from(length)).min(total) };
        lists.push(items.map(|item| Some(range.start as u64 + item as u64)));
    }
    lists.finish(array.as_list::<i32>().values(), call.returns)
}

fn flatten(call: &Call<'_>) -> Answer {
    let array = call.array(0)?;
    let inner = array.as_list::<i32>().values();
    if !matches!(inner.data_type(), DataType::List(_)) {
        return Err(FunctionError::new("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", "flatten takes an array of arrays").into());
    }
    let (outer_ranges, inner_ranges) = (ranges(&array)?, ranges(inner)?);
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        let parts = outer_ranges(row).and_then(|range| range.map(&inner_ranges).collect::<Option<Vec<_>>>());
        match parts {
            Some(parts) => lists.push(parts.into_iter().flatten().map(|item| Some(item as u64))),
            None => lists.push_null(),
        }
    }
    lists.finish(inner.as_list::<i32>().values(), call.returns)
}

fn sequence(call: &Call<'_>) -> Answer {
    let (first, last) = (call.long(0)?, call.long(1)?);
    let steps = if call.has(2) { Some(call.long(2)?) } else { None };
    let mut numbers: Vec<i64> = Vec::new();
    let mut lists = Lists::new(call.rows);
    for row in 0..call.rows {
        // Without a step the sequence goes by one towards its end.
        let step = steps.as_ref().map_or(Some(None), |steps| steps.at(row).map(Some));
        let (Some(first), Some(last), Some(step)) = (first.at(row), last.at(row), step) else {
            lists.push_null();
            continue;
        };
        let step = step.unwrap_or(if first <= last { 1 } else { -1 });
        let count = lists.room_for(sequence_length(first, last, step)?)?;
        let base = numbers.len() as u64;
        // In 128 bits: the way from the smallest number to the largest does not fit into 64.
        numbers.extend((0..count).map(|place| (i128::from(first) + i128::from(place) * i128::from(step)) as i64));
        lists.push((0..count as u64).map(|place| Some(base + place)));
    }
    let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
    lists.finish(&numbers, call.returns)
}

fn sequence_length(first: i64, last: i64, step: i64) -> Result<i128> {
    if (step > 0 && first > last) || (step < 0 && first < last) || (step == 0 && first != last) {
        let message = format!("sequence from {first} to {last} never ends with the step {step}");
        return Err(FunctionError::new("INVALID_PARAMETER_VALUE.SEQUENCE", message).into());
    }
    Ok(if step == 0 { 1 } else { (i128::from(last) - i128::from(first)) / i128::from(step) + 1 })
}

fn with_position(call: &Call<'_>) -> Answer {
    let value = call.array(0)?;
    let ranges = ranges(&value)?;
    let mut lists = Lists::new(call.rows);
    let mut positions = Vec::new();
    for row in 0..call.rows {
        match ranges(row) {
            Some(range) => {
                positions.extend(0..range.len() as i32);
                lists.push(range.map(|item| Some(item as u64)));
            }
            None => lists.push_null(),
        }
    }
    let DataType::List(item) = call.returns else { return Err(unexpected(call.name)) };
    let DataType::Struct(fields) = item.data_type() else { return Err(unexpected(call.name)) };
    let (items, offsets, nulls) = lists.parts()?;
    let items = UInt64Array::from(items);
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(positions))];
    match value.data_type() {
        DataType::Map(..) => {
            let map = value.as_map();
            columns.push(take(map.keys(), &items, None)?);
            columns.push(take(map.values(), &items, None)?);
        }
        _ => columns.push(take(value.as_list::<i32>().values(), &items, None)?),
    }
    let entries: ArrayRef = Arc::new(StructArray::try_new(fields.clone(), columns, None)?);
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, entries, nulls)?))
}
