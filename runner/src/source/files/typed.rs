//! Files whose columns have types of their own (Parquet, Avro, ORC): columns by name without regard to letter case, cast to those of the
//! relation, NULL where a file lacks one; what does not fit goes to the rescued data column.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringBuilder, StructArray, new_null_array},
        buffer::{BooleanBuffer, OffsetBuffer},
        compute::{CastOptions, cast, kernels::cmp::distinct, nullif},
        datatypes::{DataType, Fields, Schema, SchemaRef},
    },
    common::{format::DEFAULT_FORMAT_OPTIONS, nested_struct::cast_column},
};
use floe_graph::{
    file_schema::{widened, with_hints},
    type_widening::{Retyped, changes, with_wider_types},
};

use super::{
    infer::storable,
    reader::ReadColumns,
    scan::FileRead,
    surprise::{Surprising, new_fields, wider_types},
};
use crate::{
    failure::Failure,
    functions::json::{rescued_json, value_text},
};

/// How the columns of a file become those of the relation.
pub(super) struct Fitting {
    needed: SchemaRef,
    /// All that have to be read: any of them may hold something to rescue.
    decoded: SchemaRef,
    content: SchemaRef,
    known: Vec<String>,
    surprising: Surprising,
    /// Of the relation, in DDL.
    hints: Option<String>,
}

/// Values that have no place: their path, the values, and where they are.
struct Misfits {
    path: Vec<String>,
    values: ArrayRef,
    rows: Option<BooleanArray>,
}

impl Misfits {
    fn new(path: &[String], values: &ArrayRef, rows: Option<BooleanArray>) -> Self {
        Self { path: path.to_vec(), values: cast_or_null(values, &storable(values.data_type())), rows }
    }
}

impl Fitting {
    pub(super) fn new(columns: &ReadColumns, read: &FileRead) -> Self {
        let surprising = Surprising::new(columns, &read.options.schema);
        let decoded = surprising.decoded(columns);
        let (needed, content) = (Arc::clone(&columns.needed), Arc::clone(&columns.content));
        let hints = read.options.schema.hints.clone();
        Self { needed, decoded, content, known: columns.known.clone(), surprising, hints }
    }

    /// A failure if the file has fields that the schema lacks, and these must not be passed over.
    pub(super) fn check(&self, found: &Schema, path: &str) -> Result<(), Failure> {
        if !self.surprising.stops {
            return Ok(());
        }
        let fields = found.fields().iter().map(|field| field.as_ref().clone().with_data_type(storable(field.data_type())));
        let found = Schema::new(fields.collect::<Vec<_>>());
        let (_, added) = widened(&self.content, &found);
        let new: BTreeSet<String> = added.into_iter().filter(|name| !self.is_known(name)).collect();
        if !new.is_empty() {
            return Err(new_fields(path, &new));
        }
        let wider = if self.surprising.widens { self.wider(&found) } else { Vec::new() };
        if wider.is_empty() { Ok(()) } else { Err(wider_types(path, &wider)) }
    }

    /// The columns for which the file has a wider type; those with a hint have none.
    fn wider(&self, found: &Schema) -> Vec<Retyped> {
        let wider = with_wider_types(&self.content, found);
        let wider = match &self.hints {
            Some(hints) => with_hints(&wider, hints).unwrap_or(wider),
            None => wider,
        };
        changes(&self.content, &wider)
    }

    /// True for a column of a file that has to be read.
    pub(super) fn wants(&self, name: &str) -> bool {
        let is_decoded = self.decoded.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
        is_decoded || (self.may_rescue() && !self.is_known(name))
    }

    /// The needed columns of rows of a file.
    pub(super) fn fitted(&self, batch: &RecordBatch, path: &str) -> Result<RecordBatch, Failure> {
        let found = batch.schema();
        let mut misfits: Vec<Misfits> = Vec::new();
        let mut columns = Vec::with_capacity(self.decoded.fields().len());
        for field in self.decoded.fields() {
            let column = place_of(found.fields(), field.name()).map(|index| batch.column(index));
            columns.push(match column {
                None => new_null_array(field.data_type(), batch.num_rows()),
                Some(column) if !self.may_rescue() => cast_or_null(column, field.data_type()),
                Some(column) => fitting(column, field.data_type(), &mut vec![field.name().clone()], &mut misfits),
            });
        }
        if self.may_rescue() {
            let is_new = |name: &str| !self.is_known(name);
            for (field, column) in found.fields().iter().zip(batch.columns()).filter(|(field, _)| is_new(field.name())) {
                misfits.push(Misfits::new(&[field.name().clone()], column, None));
            }
            let rescued = rescued(&misfits, batch.num_rows(), path)?;
            for (field, column) in self.decoded.fields().iter().zip(&mut columns) {
                if self.surprising.is_rescued(field.name()) {
                    *column = Arc::clone(&rescued);
                }
            }
        }
        let needed = self.needed.fields().iter().filter_map(|field| columns.get(self.decoded.index_of(field.name()).ok()?)).cloned();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.needed), needed.collect(), &options).map_err(|error| {
            Failure::user("FILE_SCHEMA_NOT_COMPATIBLE", format!("the files do not fit the schema of the relation: {error}"))
        })
    }

    fn may_rescue(&self) -> bool {
        self.surprising.rescued_column.is_some()
    }

    fn is_known(&self, name: &str) -> bool {
        self.known.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The column of that name, or else one that differs in letter case only.
fn place_of(fields: &Fields, name: &str) -> Option<usize> {
    let exact = fields.iter().position(|field| field.name() == name);
    exact.or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)))
}

/// The values as `data_type`; NULL for values, or for a whole column, of another kind.
fn cast_or_null(array: &ArrayRef, data_type: &DataType) -> ArrayRef {
    if array.data_type() == data_type {
        return Arc::clone(array);
    }
    let options = CastOptions { safe: true, format_options: DEFAULT_FORMAT_OPTIONS };
    cast_column(array, data_type, &options).unwrap_or_else(|_| new_null_array(data_type, array.len()))
}

/// The values as `data_type`, NULL where that would change them; those are added to `misfits`. `path` leads to the values.
fn fitting(array: &ArrayRef, data_type: &DataType, path: &mut Vec<String>, misfits: &mut Vec<Misfits>) -> ArrayRef {
    if let (Some(found), DataType::Struct(wanted)) = (array.as_struct_opt(), data_type) {
        return fitting_struct(found, wanted, path, misfits);
    }
    if array.data_type() == data_type {
        return Arc::clone(array);
    }
    let values = cast_or_null(array, data_type);
    // Files call the parts of lists and maps, and their types, by many names.
    let plain = if data_type.is_nested() { cast_or_null(array, &storable(array.data_type())) } else { Arc::clone(array) };
    let changed = changed(&plain, &values);
    if data_type.is_nested() && loses_fields(plain.data_type(), data_type) {
        misfits.push(Misfits::new(path, array, None));
    } else if changed.true_count() > 0 {
        misfits.push(Misfits::new(path, array, Some(changed.clone())));
    }
    if changed.true_count() == 0 {
        return values;
    }
    nullif(&values, &changed).unwrap_or_else(|_| new_null_array(data_type, array.len()))
}

/// True for the rows of `values`, cast from `array`, that are not what they were, or within which something is not.
fn changed(array: &ArrayRef, values: &ArrayRef) -> BooleanArray {
    let within = match (array.data_type(), values.data_type()) {
        (DataType::Struct(_), DataType::Struct(_)) => Some(changed_fields(array.as_struct(), values.as_struct())),
        (DataType::List(_), DataType::List(_)) => {
            let (array, values) = (array.as_list::<i32>(), values.as_list::<i32>());
            let parts = [(Arc::clone(array.values()), Arc::clone(values.values()))];
            changed_items(array.offsets(), values.offsets(), &parts)
        }
        (DataType::Map(_, _), DataType::Map(_, _)) => {
            let (array, values) = (array.as_map(), values.as_map());
            let parts = [(Arc::clone(array.keys()), Arc::clone(values.keys())), (Arc::clone(array.values()), Arc::clone(values.values()))];
            changed_items(array.offsets(), values.offsets(), &parts)
        }
        (found, wanted) if found == wanted || storable(found) == *wanted => None,
        // What does not come back as it was would be another value.
        (found, _) => cast(values, found).and_then(|back| distinct(&back, array)).ok(),
    };
    if within.as_ref().is_none_or(|within| within.true_count() == 0) && array.logical_nulls() == values.logical_nulls() {
        return BooleanArray::new(BooleanBuffer::new_unset(array.len()), None);
    }
    let is_changed = |row: usize| array.is_valid(row) && (values.is_null(row) || within.as_ref().is_some_and(|within| within.value(row)));
    let is_other = |row: usize| array.is_null(row) && values.is_valid(row);
    (0..array.len()).map(|row| Some(is_changed(row) || is_other(row))).collect()
}

/// True for the structs of which a field is changed.
fn changed_fields(array: &StructArray, values: &StructArray) -> BooleanArray {
    let fields = values.fields().iter().zip(values.columns());
    let pairs = fields.filter_map(|(field, to)| place_of(array.fields(), field.name()).map(|from| (array.column(from), to)));
    let masks: Vec<BooleanArray> = pairs.map(|(from, to)| changed(from, to)).collect();
    (0..array.len()).map(|row| Some(masks.iter().any(|mask| mask.value(row)))).collect()
}

/// True for the lists (or maps) of which an item is changed; `parts` are the items before and after.
fn changed_items(before: &OffsetBuffer<i32>, after: &OffsetBuffer<i32>, parts: &[(ArrayRef, ArrayRef)]) -> Option<BooleanArray> {
    let (first, last) = (*before.first()? as usize, *before.last()? as usize);
    let (first_after, last_after) = (*after.first()? as usize, *after.last()? as usize);
    if last - first != last_after - first_after {
        return None;
    }
    let mask = |(from, to): &(ArrayRef, ArrayRef)| changed(&from.slice(first, last - first), &to.slice(first_after, last - first));
    let masks: Vec<BooleanArray> = parts.iter().map(mask).collect();
    let is_changed =
        |ends: &[i32]| (ends[0] as usize - first..ends[1] as usize - first).any(|item| masks.iter().any(|mask| mask.value(item)));
    Some(before.windows(2).map(|ends| Some(is_changed(ends))).collect())
}

fn fitting_struct(found: &StructArray, wanted: &Fields, path: &mut Vec<String>, misfits: &mut Vec<Misfits>) -> ArrayRef {
    let mut columns = Vec::with_capacity(wanted.len());
    for field in wanted {
        path.push(field.name().clone());
        columns.push(match place_of(found.fields(), field.name()) {
            None => new_null_array(field.data_type(), found.len()),
            Some(index) => fitting(found.column(index), field.data_type(), path, misfits),
        });
        path.pop();
    }
    for (field, column) in found.fields().iter().zip(found.columns()) {
        if place_of(wanted, field.name()).is_none() {
            path.push(field.name().clone());
            misfits.push(Misfits::new(path, column, None));
            path.pop();
        }
    }
    let all = StructArray::try_new_with_length(wanted.clone(), columns, found.nulls().cloned(), found.len());
    all.map_or_else(|_| new_null_array(&DataType::Struct(wanted.clone()), found.len()), |all| Arc::new(all) as ArrayRef)
}

/// True if lists or maps hold fields that `wanted` lacks: no path leads to them, so the whole value is kept beside its column.
fn loses_fields(found: &DataType, wanted: &DataType) -> bool {
    match (found, wanted) {
        (DataType::List(found), DataType::List(wanted)) | (DataType::Map(found, _), DataType::Map(wanted, _)) => {
            loses_fields(found.data_type(), wanted.data_type())
        }
        (DataType::Struct(found), DataType::Struct(wanted)) => found.iter().any(|field| {
            place_of(wanted, field.name())
                .and_then(|index| wanted.get(index))
                .is_none_or(|to| loses_fields(field.data_type(), to.data_type()))
        }),
        _ => false,
    }
}

/// The rescued data column.
fn rescued(misfits: &[Misfits], rows: usize, path: &str) -> Result<ArrayRef, Failure> {
    let mut column = StringBuilder::new();
    let mut texts: Vec<(&[String], Vec<u8>)> = Vec::new();
    for row in 0..rows {
        texts.clear();
        for misfit in misfits {
            let is_one = misfit.rows.as_ref().is_none_or(|rows| rows.value(row)) && misfit.values.is_valid(row);
            if is_one {
                let text = value_text(&misfit.values, row)
                    .map_err(|error| Failure::internal(format!("a value cannot be written as JSON: {error}")))?;
                texts.push((misfit.path.as_slice(), text.into_bytes()));
            }
        }
        if texts.is_empty() {
            column.append_null();
            continue;
        }
        let values: Vec<(&[String], &[u8])> = texts.iter().map(|(path, text)| (*path, text.as_slice())).collect();
        column.append_value(String::from_utf8_lossy(&rescued_json(&values, path)));
    }
    Ok(Arc::new(column.finish()))
}
