//! Functions that take functions: a lambda is evaluated once for the items of all rows, over a table of its parameters and what it captures.

use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::{Arc, OnceLock},
};

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray,
            UInt64Array, new_empty_array,
        },
        buffer::{NullBuffer, OffsetBuffer},
        compute::{cast, concat, take},
        datatypes::{DataType, Field, FieldRef, Int32Type, Schema, SchemaRef},
    },
    common::{DFSchema, Result, internal_datafusion_err},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility, execution_props::ExecutionProps,
        physical_planning_context::PhysicalPlanningContext, simplify::SimplifyContext,
    },
    optimizer::simplify_expressions::ExprSimplifier,
    physical_expr::{PhysicalExpr, create_physical_expr},
};
use floe_graph::function::{LambdaBody, LambdaCall, LambdaKind as Kind, capture_name};

use super::{
    aggregate::unexpected,
    call::{Answer, gather},
    collection::{Lists, comparable, ranges},
    error::FunctionError,
    map_functions::Maps,
    scalar::plain_value,
};

/// A function that takes functions; its lambdas carry the settings that they need.
#[derive(Clone, Debug)]
pub(super) struct LambdaImplementation {
    call: LambdaCall,
    plan_name: String,
    signature: Signature,
    /// The lambdas, made when the types of what they capture are known.
    ready: Arc<OnceLock<Vec<ReadyLambda>>>,
}

impl PartialEq for LambdaImplementation {
    fn eq(&self, other: &Self) -> bool {
        self.call == other.call
    }
}

impl Eq for LambdaImplementation {}

impl Hash for LambdaImplementation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.call.hash(state);
    }
}

impl LambdaImplementation {
    pub fn new(call: LambdaCall) -> Self {
        // Time is that of the batch, so it is as constant as a literal.
        let volatility = if call.volatility() == Volatility::Volatile { Volatility::Volatile } else { Volatility::Immutable };
        let (plan_name, signature) = (call.plan_name(), Signature::user_defined(volatility));
        Self { call, plan_name, signature, ready: Arc::default() }
    }

    fn lambdas(&self, captured: &[Vec<ArrayRef>]) -> Result<&[ReadyLambda]> {
        if let Some(ready) = self.ready.get() {
            return Ok(ready);
        }
        let parts = self.call.bodies.iter().zip(&self.call.parameters).zip(captured);
        let made = parts.map(|((lambda, types), captured)| ReadyLambda::new(lambda, types, captured)).collect::<Result<Vec<_>>>()?;
        Ok(self.ready.get_or_init(|| made))
    }
}

/// A lambda that can be evaluated, and the columns that it wants: those that it captures, then its parameters.
#[derive(Debug)]
struct ReadyLambda {
    schema: SchemaRef,
    body: Arc<dyn PhysicalExpr>,
}

impl ReadyLambda {
    fn new(lambda: &LambdaBody, parameters: &[DataType], captured: &[ArrayRef]) -> Result<Self> {
        let captured = captured.iter().enumerate().map(|(index, column)| Field::new(capture_name(index), column.data_type().clone(), true));
        let own = lambda.parameters.iter().zip(parameters).map(|(name, data_type)| Field::new(name, data_type.clone(), true));
        let schema = Arc::new(Schema::new(captured.chain(own).collect::<Vec<_>>()));
        let table = Arc::new(DFSchema::try_from(Arc::clone(&schema))?);
        let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::clone(&table)).build());
        let body = simplifier.simplify(simplifier.coerce(lambda.body.clone(), &table)?)?;
        let body = create_physical_expr(&body, &table, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
        Ok(Self { schema, body })
    }

    fn evaluate(&self, columns: impl Iterator<Item = Answer>, rows: usize) -> Answer {
        if rows == 0 {
            // Without items there is nothing that may fail.
            return Ok(new_empty_array(&self.body.data_type(&self.schema)?));
        }
        let fitted = columns.zip(self.schema.fields()).map(|(column, field)| {
            let column = column?;
            Ok(if column.data_type() == field.data_type() { column } else { cast(&column, field.data_type())? })
        });
        let columns = fitted.collect::<Result<Vec<_>>>()?;
        let count = RecordBatchOptions::new().with_row_count(Some(rows));
        self.body.evaluate(&RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &count)?)?.into_array(rows)
    }
}

impl ScalarUDFImpl for LambdaImplementation {
    fn name(&self) -> &str {
        &self.plan_name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // Planning has cast all arguments already.
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.call.returns.clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.call.name, self.call.returns.clone(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let plain = args.args.into_iter().map(|value| plain_value(value)?.into_array(rows));
        let mut values = plain.collect::<Result<Vec<_>>>()?;
        let mut rest = values.split_off(self.call.values.min(values.len()));
        let mut captured = Vec::with_capacity(self.call.bodies.len());
        for lambda in &self.call.bodies {
            let behind = rest.split_off(lambda.captures.min(rest.len()));
            captured.push(std::mem::replace(&mut rest, behind));
        }
        let lambdas = self.lambdas(&captured)?;
        let input = Input { name: self.call.name, values, captured, lambdas, rows, returns: &self.call.returns };
        let answer = match self.call.kind {
            Kind::Transform => transform(&input),
            Kind::Filter => filter(&input),
            Kind::Exists => any(&input, true),
            Kind::ForAll => any(&input, false),
            Kind::Aggregate => aggregate(&input),
            Kind::ZipWith => zip_with(&input),
            Kind::ArraySort => array_sort(&input),
            Kind::MapFilter => map_filter(&input),
            Kind::TransformKeys | Kind::TransformValues => transform_entries(&input, self.call.kind == Kind::TransformKeys),
            Kind::MapZipWith => map_zip_with(&input),
        }?;
        Ok(ColumnarValue::Array(if answer.data_type() == input.returns { answer } else { cast(&answer, input.returns)? }))
    }
}

struct Input<'a> {
    name: &'static str,
    values: Vec<ArrayRef>,
    /// What each lambda captures, for all rows.
    captured: Vec<Vec<ArrayRef>>,
    lambdas: &'a [ReadyLambda],
    rows: usize,
    returns: &'a DataType,
}

/// The items of all rows, one after the other.
struct Items {
    /// The row of each item.
    rows: UInt64Array,
    /// The place of each item in the values; nothing where a shorter array is filled up.
    places: Vec<Option<u64>>,
    lengths: Vec<usize>,
    /// Rows that are no NULL.
    valid: Vec<bool>,
}

impl Items {
    fn of(collection: &ArrayRef) -> Result<Self> {
        let ranges = ranges(collection)?;
        let mut items = Self { rows: UInt64Array::from(Vec::<u64>::new()), places: vec![], lengths: vec![], valid: vec![] };
        let mut rows = Vec::new();
        for row in 0..collection.len() {
            let range = ranges(row);
            items.valid.push(range.is_some());
            let range = range.unwrap_or_default();
            items.lengths.push(range.len());
            rows.extend(std::iter::repeat_n(row as u64, range.len()));
            items.places.extend(range.map(|place| Some(place as u64)));
        }
        items.rows = UInt64Array::from(rows);
        Ok(items)
    }

    fn count(&self) -> usize {
        self.places.len()
    }

    fn nulls(&self) -> Option<NullBuffer> {
        let nulls = NullBuffer::from(self.valid.clone());
        (nulls.null_count() > 0).then_some(nulls)
    }

    fn offsets(&self) -> OffsetBuffer<i32> {
        OffsetBuffer::from_lengths(self.lengths.iter().copied())
    }

    /// Positions within the rows, from 0.
    fn positions(&self) -> ArrayRef {
        let positions = self.lengths.iter().flat_map(|length| 0..i32::try_from(*length).unwrap_or(i32::MAX));
        Arc::new(positions.collect::<Int32Array>())
    }

    /// Where the items of each row lie among all items.
    fn bounds(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.lengths.iter().scan(0, |start, length| {
            let range = *start..*start + length;
            *start = range.end;
            Some(range)
        })
    }
}

impl Input<'_> {
    fn value(&self, index: usize) -> Result<&ArrayRef> {
        self.values.get(index).ok_or_else(|| internal_datafusion_err!("{} lacks argument {}", self.name, index + 1))
    }

    /// What a lambda gives for the items; columns that it captures come from the item's row.
    fn evaluate(&self, lambda: usize, rows: &UInt64Array, arguments: &[ArrayRef]) -> Answer {
        let (Some(ready), Some(captured)) = (self.lambdas.get(lambda), self.captured.get(lambda)) else {
            return Err(internal_datafusion_err!("{} lacks its lambda", self.name));
        };
        let captured = captured.iter().map(|column| Ok(take(column, rows, None)?));
        ready.evaluate(captured.chain(arguments.iter().map(|argument| Ok(Arc::clone(argument)))), rows.len())
    }

    fn list(&self, items: &Items, values: ArrayRef) -> Answer {
        let DataType::List(field) = self.returns else { return Err(unexpected(self.name)) };
        let values = if values.data_type() == field.data_type() { values } else { cast(&values, field.data_type())? };
        Ok(Arc::new(ListArray::try_new(Arc::clone(field), items.offsets(), values, items.nulls())?))
    }
}

fn values_of(list: &ArrayRef) -> &ArrayRef {
    list.as_list::<i32>().values()
}

fn transform(input: &Input<'_>) -> Answer {
    let list = input.value(0)?;
    let items = Items::of(list)?;
    let elements = gather(values_of(list), items.places.clone())?;
    let values = input.evaluate(0, &items.rows, &[elements, items.positions()])?;
    input.list(&items, values)
}

/// For each item whether the lambda is true; NULL counts as false.
fn chosen(input: &Input<'_>, items: &Items, arguments: &[ArrayRef]) -> Result<BooleanArray> {
    Ok(input.evaluate(0, &items.rows, arguments)?.as_boolean().clone())
}

fn filter(input: &Input<'_>) -> Answer {
    let list = input.value(0)?;
    let items = Items::of(list)?;
    let elements = gather(values_of(list), items.places.clone())?;
    let chosen = chosen(input, &items, &[elements, items.positions()])?;
    let mut lists = Lists::new(input.rows);
    for (bounds, valid) in items.bounds().zip(&items.valid) {
        if *valid {
            lists.push(bounds.filter(|item| chosen.is_valid(*item) && chosen.value(*item)).map(|item| items.places[item]));
        } else {
            lists.push_null();
        }
    }
    lists.finish(values_of(list), input.returns)
}

/// `exists` looks for true, `forall` for false; without one a NULL makes the answer NULL.
fn any(input: &Input<'_>, wanted: bool) -> Answer {
    let list = input.value(0)?;
    let items = Items::of(list)?;
    let elements = gather(values_of(list), items.places.clone())?;
    let tested = chosen(input, &items, &[elements])?;
    let answer = |(mut bounds, valid): (std::ops::Range<usize>, &bool)| {
        let found = bounds.clone().any(|item| tested.is_valid(item) && tested.value(item) == wanted);
        let unknown = !found && bounds.any(|item| tested.is_null(item));
        (*valid && !unknown).then_some(found == wanted)
    };
    Ok(Arc::new(items.bounds().zip(&items.valid).map(answer).collect::<BooleanArray>()))
}

/// The n-th items of all rows that have so many are taken in at once. Rows are in the order of their lengths, the longest first, so those that
/// still have an item are the first ones, and a row costs as many steps as it has items.
fn aggregate(input: &Input<'_>) -> Answer {
    let list = input.value(0)?;
    let items = Items::of(list)?;
    let elements = values_of(list);
    let bounds: Vec<_> = items.bounds().collect();
    let mut order: Vec<usize> = (0..input.rows).filter(|row| items.valid[*row]).collect();
    order.sort_by_key(|row| std::cmp::Reverse(items.lengths[*row]));
    let row_numbers: UInt64Array = order.iter().map(|row| Some(*row as u64)).collect();
    let mut sums = take(input.value(1)?, &row_numbers, None)?;
    // Sums of rows that have no more items, the shortest rows first.
    let mut ended = Vec::new();
    let mut position = 0;
    while !order.is_empty() {
        let active = order.partition_point(|row| items.lengths[*row] > position);
        if active < order.len() {
            ended.push(sums.slice(active, order.len() - active));
            sums = sums.slice(0, active);
            order.truncate(active);
        }
        if active == 0 {
            break;
        }
        let places = order.iter().map(|row| items.places[bounds[*row].start + position]).collect();
        let taken_in = input.evaluate(0, &row_numbers.slice(0, active), &[Arc::clone(&sums), gather(elements, places)?])?;
        sums = if taken_in.data_type() == sums.data_type() { taken_in } else { cast(&taken_in, sums.data_type())? };
        position += 1;
    }
    ended.reverse();
    let ended: Vec<&dyn Array> = ended.iter().map(AsRef::as_ref).collect();
    let mut results = if ended.is_empty() { sums } else { concat(&ended)? };
    if input.lambdas.len() > 1 {
        results = input.evaluate(1, &row_numbers, &[results])?;
    }
    let mut places = vec![None; input.rows];
    for (place, row) in row_numbers.values().iter().enumerate() {
        places[*row as usize] = Some(place as u64);
    }
    gather(&results, places)
}

/// Items of two collections side by side, as many as the longer one has.
fn side_by_side(left: &ArrayRef, right: &ArrayRef) -> Result<(Items, Vec<Option<u64>>)> {
    let (left_ranges, right_ranges) = (ranges(left)?, ranges(right)?);
    let mut items = Items { rows: UInt64Array::from(Vec::<u64>::new()), places: vec![], lengths: vec![], valid: vec![] };
    let (mut rows, mut others) = (Vec::new(), Vec::new());
    for row in 0..left.len() {
        let both = left_ranges(row).zip(right_ranges(row));
        items.valid.push(both.is_some());
        let (left, right) = both.unwrap_or_default();
        let length = left.len().max(right.len());
        items.lengths.push(length);
        rows.extend(std::iter::repeat_n(row as u64, length));
        let place = |range: &std::ops::Range<usize>, position: usize| (position < range.len()).then(|| (range.start + position) as u64);
        items.places.extend((0..length).map(|position| place(&left, position)));
        others.extend((0..length).map(|position| place(&right, position)));
    }
    items.rows = UInt64Array::from(rows);
    Ok((items, others))
}

fn zip_with(input: &Input<'_>) -> Answer {
    let (left, right) = (input.value(0)?, input.value(1)?);
    let (items, others) = side_by_side(left, right)?;
    let arguments = [gather(values_of(left), items.places.clone())?, gather(values_of(right), others)?];
    let values = input.evaluate(0, &items.rows, &arguments)?;
    input.list(&items, values)
}

/// Sorts each row by comparisons that the lambda makes; the order of equal items stays.
fn array_sort(input: &Input<'_>) -> Answer {
    let list = input.value(0)?;
    let items = Items::of(list)?;
    let elements = values_of(list);
    let mut lists = Lists::new(input.rows);
    for (row, (bounds, valid)) in items.bounds().zip(&items.valid).enumerate() {
        if !*valid {
            lists.push_null();
            continue;
        }
        let row = UInt64Array::from(vec![row as u64]);
        let mut is_behind = |left: Option<u64>, right: Option<u64>| -> Result<bool> {
            let order = input.evaluate(0, &row, &[gather(elements, vec![left])?, gather(elements, vec![right])?])?;
            if order.is_null(0) {
                return Err(FunctionError::new("COMPARATOR_RETURNS_NULL", "the lambda of array_sort gave NULL instead of a number").into());
            }
            Ok(order.as_primitive::<Int32Type>().value(0) > 0)
        };
        lists.push(merge_sorted(items.places[bounds].to_vec(), &mut is_behind)?);
    }
    lists.finish(elements, input.returns)
}

/// Tells whether the first item belongs behind the second.
type IsBehind<'f> = dyn FnMut(Option<u64>, Option<u64>) -> Result<bool> + 'f;

/// A merge sort: comparisons may fail, and need not be consistent.
fn merge_sorted(mut items: Vec<Option<u64>>, is_behind: &mut IsBehind<'_>) -> Result<Vec<Option<u64>>> {
    let mut width = 1;
    while width < items.len() {
        let mut merged = Vec::with_capacity(items.len());
        for pair in items.chunks(width * 2) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([first, left_rest @ ..], [second, right_rest @ ..]) = (left, right) {
                if is_behind(*first, *second)? {
                    merged.push(*second);
                    right = right_rest;
                } else {
                    merged.push(*first);
                    left = left_rest;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        items = merged;
        width *= 2;
    }
    Ok(items)
}

/// Keys and values of the entries at some places.
fn entries(map: &MapArray, places: &[Option<u64>]) -> Result<[ArrayRef; 2]> {
    Ok([gather(map.keys(), places.to_vec())?, gather(map.values(), places.to_vec())?])
}

fn map_filter(input: &Input<'_>) -> Answer {
    let map = input.value(0)?;
    let items = Items::of(map)?;
    let chosen = chosen(input, &items, &entries(map.as_map(), &items.places)?)?;
    let mut maps = Maps::new(input.rows);
    for (bounds, valid) in items.bounds().zip(&items.valid) {
        if *valid {
            let kept = bounds.filter(|item| chosen.is_valid(*item) && chosen.value(*item));
            maps.push(kept.filter_map(|item| items.places[item]).map(|place| (place, place)));
        } else {
            maps.push_null();
        }
    }
    maps.finish(map.as_map().keys(), map.as_map().values(), input.returns)
}

fn transform_entries(input: &Input<'_>, keys: bool) -> Answer {
    let map = input.value(0)?;
    let items = Items::of(map)?;
    let given = entries(map.as_map(), &items.places)?;
    let made = input.evaluate(0, &items.rows, &given)?;
    let [own_keys, own_values] = &given;
    let mut maps = Maps::new(input.rows);
    for (bounds, valid) in items.bounds().zip(&items.valid) {
        if *valid {
            maps.push(bounds.map(|item| (item as u64, item as u64)));
        } else {
            maps.push_null();
        }
    }
    if keys { maps.finish(&made, own_values, input.returns) } else { maps.finish(own_keys, &made, input.returns) }
}

fn map_zip_with(input: &Input<'_>) -> Answer {
    let (left, right) = (input.value(0)?, input.value(1)?);
    let (left_map, right_map) = (left.as_map(), right.as_map());
    let right_keys = cast(right_map.keys(), left_map.keys().data_type())?;
    let rows = comparable(&[left_map.keys(), &right_keys])?;
    let [left_rows, right_rows] = rows.as_slice() else { return Err(unexpected(input.name)) };
    let (left_ranges, right_ranges) = (ranges(left)?, ranges(right)?);
    let mut items = Items { rows: UInt64Array::from(Vec::<u64>::new()), places: vec![], lengths: vec![], valid: vec![] };
    let (mut row_numbers, mut others, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..input.rows {
        let both = left_ranges(row).zip(right_ranges(row));
        items.valid.push(both.is_some());
        let (left, right) = both.unwrap_or_default();
        let before = items.places.len();
        let mut partners = HashMap::with_capacity(right.len());
        for other in right.clone() {
            partners.entry(right_rows.row(other)).or_insert(other);
        }
        let own: HashSet<_> = left.clone().map(|place| left_rows.row(place)).collect();
        for place in left {
            items.places.push(Some(place as u64));
            others.push(partners.get(&left_rows.row(place)).map(|other| *other as u64));
            keys.push(Some(place as u64));
        }
        for other in right.filter(|other| !own.contains(&right_rows.row(*other))) {
            items.places.push(None);
            others.push(Some(other as u64));
            keys.push(Some((left_map.keys().len() + other) as u64));
        }
        items.lengths.push(items.count() - before);
        row_numbers.extend(std::iter::repeat_n(row as u64, items.count() - before));
    }
    items.rows = UInt64Array::from(row_numbers);
    let keys = gather(&concat(&[left_map.keys().as_ref(), right_keys.as_ref()])?, keys)?;
    let arguments = [Arc::clone(&keys), gather(left_map.values(), items.places.clone())?, gather(right_map.values(), others)?];
    let values = input.evaluate(0, &items.rows, &arguments)?;
    let DataType::Map(field, sorted) = input.returns else { return Err(unexpected(input.name)) };
    let DataType::Struct(fields) = field.data_type() else { return Err(unexpected(input.name)) };
    let columns = [keys, values].into_iter().zip(fields).map(|(column, field)| cast(&column, field.data_type()));
    let entries = StructArray::try_new(fields.clone(), columns.collect::<std::result::Result<Vec<_>, _>>()?, None)?;
    Ok(Arc::new(MapArray::try_new(Arc::clone(field), items.offsets(), entries, items.nulls(), *sorted)?))
}
