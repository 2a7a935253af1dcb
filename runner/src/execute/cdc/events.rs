//! From the rows of a source to events: operation, sequence, selected columns, source order. Rows that cannot be events are counted, and the
//! micro-batch fails when all of them are.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StructArray, UInt8Array, new_null_array},
        buffer::BooleanBuffer,
        compute::{cast, filter_record_batch, nullif},
        datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef, UInt8Type},
    },
    error::{DataFusionError, Result},
    physical_expr::PhysicalExpr,
};

use super::{
    definition::Definition,
    fold::Op,
    merge::{SORT_COLUMNS, with_sort_columns},
    sort_key::SortKeys,
    sorted::sorted_schema,
};
use crate::{
    commit::fit,
    execute::expectation::record_json,
    failure::Failure,
    keyed::{KeyFilter, KeyFilterBuilder},
};

/// The expressions of a flow, bound to the columns of its source.
#[derive(Clone, Debug)]
pub struct EventExpressions {
    /// Orders the events of a key.
    pub sequence: Arc<dyn PhysicalExpr>,
    /// TRUE: a delete.
    pub delete: Option<Arc<dyn PhysicalExpr>>,
    /// TRUE: a truncate.
    pub truncate: Option<Arc<dyn PhysicalExpr>>,
}

/// Makes events of one micro-batch. Shared by all partitions.
#[derive(Debug)]
pub struct Events {
    definition: Definition,
    expressions: EventExpressions,
    /// Positions in the source: the selected columns, those that order equal rows.
    columns: Vec<usize>,
    order: Vec<usize>,
    sort_keys: Arc<SortKeys>,
    /// Of the events with their sort keys.
    schema: SchemaRef,
    seen: Mutex<Seen>,
}

/// What passed.
#[derive(Debug)]
struct Seen {
    keys: KeyFilterBuilder,
    truncates: bool,
    wrong: [Wrong; 3],
}

/// Rows that are no events.
#[derive(Debug, Default)]
struct Wrong {
    rows: u64,
    sample: Option<String>,
}

/// Why a row is no event.
const WRONG: [(&str, &str); 3] = [
    ("AUTOCDC_MICROBATCH_VALIDATION.NULL_KEY", "have a NULL key"),
    ("AUTOCDC_MICROBATCH_VALIDATION.NULL_SEQUENCE", "have a NULL sequence"),
    ("AUTOCDC_MICROBATCH_VALIDATION.NON_ORDERABLE_SEQUENCE", "have a sequence that is not a number"),
];

impl Events {
    /// For rows of `source`.
    pub fn new(
        definition: &Definition,
        expressions: EventExpressions,
        source: &SchemaRef,
        sort_keys: Arc<SortKeys>,
    ) -> Result<Self, Failure> {
        let position = |name: &String| {
            let found = source.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
            found.ok_or_else(|| Failure::internal(format!("the source of Auto CDC has no column {name}")))
        };
        let keys = KeyFilterBuilder::new(&definition.keys())?;
        Ok(Self {
            columns: definition.cdc.columns.iter().map(position).collect::<Result<_, _>>()?,
            order: definition.cdc.order.iter().map(position).collect::<Result<_, _>>()?,
            definition: definition.clone(),
            expressions,
            sort_keys,
            schema: sorted_schema(&definition.events()),
            seen: Mutex::new(Seen { keys, truncates: false, wrong: Default::default() }),
        })
    }

    /// The columns of what [`Events::of`] makes.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The events of some rows of the source, with their sort keys.
    pub fn of(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let sequence = self.expressions.sequence.evaluate(rows)?.into_array(rows.num_rows())?;
        let sequence = cast(&sequence, &self.definition.cdc.sequence_type)?;
        let ops = self.ops(rows)?;
        let mut columns = self.fitted(rows)?;
        columns.push(sequence);
        columns.push(Arc::new(ops));
        columns.extend(self.order.iter().map(|at| Arc::clone(rows.column(*at))));
        let all =
            RecordBatch::try_from_iter_with_nullable(columns.iter().enumerate().map(|(at, c)| (at.to_string(), Arc::clone(c), true)))?;
        let right = self.check(rows, &all)?;
        let all = if right.true_count() == all.num_rows() { all } else { filter_record_batch(&all, &right)? };
        self.sorted(&all)
    }

    /// The keys that occurred: all if a truncate did. `None` if nothing did.
    pub fn keys(&self) -> Result<KeyFilter, Failure> {
        let builder = KeyFilterBuilder::new(&self.definition.keys())?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = std::mem::replace(&mut seen.keys, builder);
        if seen.truncates {
            return Ok(KeyFilter::all());
        }
        // What the journal knows of no key in particular concerns all.
        let fields: Vec<Field> = self.definition.keys().iter().map(|field| field.as_ref().clone()).collect();
        let nulls = fields.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let no_key = RecordBatch::try_new(Arc::new(Schema::new(fields)), nulls);
        keys.add(&no_key.map_err(|error| Failure::internal(format!("a key of NULLs: {error}")))?)?;
        Ok(keys.finish())
    }

    /// The failure of `flow` if there were rows that are no events.
    pub fn failure(&self, flow: &str, show_samples: bool) -> Option<Failure> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (wrong, (class, what)) = seen.wrong.iter().zip(WRONG).find(|(wrong, _)| wrong.rows > 0)?;
        let is_key = class.ends_with("NULL_KEY");
        let of = if is_key { format!(" ({})", self.definition.cdc.keys.join(", ")) } else { String::new() };
        let (count, rows) = (wrong.rows, if wrong.rows == 1 { "row" } else { "rows" });
        let verb = if wrong.rows == 1 { what.replacen("have", "has", 1) } else { what.to_string() };
        let sample = wrong.sample.as_deref().filter(|_| show_samples).unwrap_or("***");
        let text = format!("{count} {rows} of flow {flow} {verb}{of}; nothing of the micro-batch was applied. Sample: {sample}");
        Some(
            Failure::user(class, text)
                .help("filter such rows in the source, or add an expectation with ON VIOLATION DROP ROW to the target"),
        )
    }

    fn ops(&self, rows: &RecordBatch) -> Result<UInt8Array> {
        let delete = holds(self.expressions.delete.as_ref(), rows)?;
        let truncate = holds(self.expressions.truncate.as_ref(), rows)?;
        let is = |condition: &Option<BooleanArray>, row: usize| condition.as_ref().is_some_and(|c| c.is_valid(row) && c.value(row));
        let op = |row: usize| match () {
            () if is(&truncate, row) => Op::Truncate,
            () if is(&delete, row) => Op::Delete,
            () => Op::Upsert,
        };
        Ok(UInt8Array::from_iter_values((0..rows.num_rows()).map(|row| op(row) as u8)))
    }

    /// The selected columns with the types of the target.
    fn fitted(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let selected = rows.project(&self.columns)?;
        let fitted = fit::fit(&selected, &self.definition.columns).map_err(|failure| DataFusionError::External(Box::new(failure)))?;
        Ok(fitted.columns().to_vec())
    }

    /// Which rows are events; counts the others.
    fn check(&self, source: &RecordBatch, all: &RecordBatch) -> Result<BooleanArray> {
        let rows = all.num_rows();
        let width = self.columns.len();
        let (sequence, ops) = (all.column(width), all.column(width + 1).as_primitive::<UInt8Type>());
        let is_truncate = |row: usize| ops.value(row) == Op::Truncate as u8;
        let has_key = |row: usize| is_truncate(row) || self.definition.shape.keys.iter().all(|key| all.column(*key).is_valid(row));
        let numbers = orderable(sequence);
        let reason = |row: usize| match () {
            () if !has_key(row) => Some(0),
            () if sequence.is_null(row) => Some(1),
            () if !numbers.value(row) => Some(2),
            () => None,
        };
        let reasons: Vec<Option<usize>> = (0..rows).map(reason).collect();
        let right = reasons.iter().map(Option::is_none).collect::<BooleanBuffer>();
        let mut seen = self.seen.lock().map_err(|_| DataFusionError::Internal("events were not counted".to_string()))?;
        for (row, reason) in reasons.iter().enumerate().filter_map(|(row, reason)| Some((row, (*reason)?))) {
            let wrong = &mut seen.wrong[reason];
            wrong.rows += 1;
            if wrong.sample.is_none() {
                let visible: Vec<usize> = (0..source.num_columns()).filter(|at| !self.order.contains(at)).collect();
                wrong.sample = Some(record_json(&source.project(&visible)?.slice(row, 1))?);
            }
        }
        Ok(BooleanArray::new(right, None))
    }

    /// Deletes and truncates keep nothing but what identifies them; then everything gets its sort key.
    fn sorted(&self, all: &RecordBatch) -> Result<RecordBatch> {
        let width = self.columns.len();
        let ops = all.column(width + 1).as_primitive::<UInt8Type>().clone();
        let codes = ops.values();
        let is_upsert_not = BooleanArray::new(BooleanBuffer::collect_bool(codes.len(), |row| codes[row] != Op::Upsert as u8), None);
        let is_truncate = BooleanArray::new(BooleanBuffer::collect_bool(codes.len(), |row| codes[row] == Op::Truncate as u8), None);
        let mut columns = Vec::with_capacity(width + 1);
        for at in 0..width {
            let without = if self.definition.shape.keys.contains(&at) { &is_truncate } else { &is_upsert_not };
            let column = if without.true_count() == 0 { Arc::clone(all.column(at)) } else { nullif(all.column(at), without)? };
            columns.push(column);
        }
        let keys: Vec<ArrayRef> = self.definition.shape.keys.iter().map(|key| Arc::clone(&columns[*key])).collect();
        columns.push(Arc::clone(all.column(width)));
        let order = &all.columns()[width + 2..];
        let sort = self.sort_keys.of_events(&keys, all.column(width), &ops, order)?;
        with_sort_columns(&self.schema, sort, ops, &columns)
    }

    /// Notes the keys of events that will be applied; `events` are what [`Events::of`] or [`Events::deletes`] has made.
    pub fn noted(&self, events: RecordBatch) -> Result<RecordBatch> {
        let truncates = events.column(SORT_COLUMNS - 1).as_primitive::<UInt8Type>().values().contains(&(Op::Truncate as u8));
        let keys: Vec<ArrayRef> = self.definition.shape.keys.iter().map(|key| Arc::clone(events.column(SORT_COLUMNS + key))).collect();
        self.note_keys(&keys, truncates)?;
        Ok(events)
    }

    /// Deletes of `rows` keys that a snapshot does not have.
    pub fn deletes(&self, keys: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
        let none = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let sequence = cast(&self.expressions.sequence.evaluate(&none)?.into_array(rows)?, &self.definition.cdc.sequence_type)?;
        let ops = UInt8Array::from(vec![Op::Delete as u8; rows]);
        let order: Vec<ArrayRef> = self.order.iter().map(|_| new_null_array(&DataType::UInt64, rows)).collect();
        let sort = self.sort_keys.of_events(keys, &sequence, &ops, &order)?;
        let position = |at: usize| self.definition.shape.keys.iter().position(|key| *key == at);
        let column = |(at, field): (usize, &Arc<Field>)| {
            position(at).map_or_else(|| new_null_array(field.data_type(), rows), |key| Arc::clone(&keys[key]))
        };
        let mut columns: Vec<ArrayRef> = self.definition.columns.fields().iter().enumerate().map(column).collect();
        columns.push(sequence);
        with_sort_columns(&self.schema, sort, ops, &columns)
    }

    fn note_keys(&self, keys: &[ArrayRef], truncates: bool) -> Result<()> {
        let fields = self.definition.keys().into_iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>();
        let keys = RecordBatch::try_new(Arc::new(Schema::new(fields)), keys.to_vec())?;
        let mut seen = self.seen.lock().map_err(|_| DataFusionError::Internal("keys were not noted".to_string()))?;
        seen.truncates |= truncates;
        if seen.truncates {
            return Ok(());
        }
        seen.keys.add(&keys).map_err(|failure| DataFusionError::External(Box::new(failure)))
    }
}

/// The rows for which `condition` is TRUE.
fn holds(condition: Option<&Arc<dyn PhysicalExpr>>, rows: &RecordBatch) -> Result<Option<BooleanArray>> {
    let Some(condition) = condition else { return Ok(None) };
    let value = condition.evaluate(rows)?.into_array(rows.num_rows())?;
    let value = value.as_boolean_opt().ok_or_else(|| DataFusionError::Internal("a condition of Auto CDC is not a boolean".to_string()))?;
    Ok(Some(value.clone()))
}

/// False where a sequence, or a field of it, is NaN.
fn orderable(sequence: &ArrayRef) -> BooleanBuffer {
    let rows = sequence.len();
    match sequence.data_type() {
        DataType::Float32 => {
            let values = sequence.as_primitive::<Float32Type>().values();
            BooleanBuffer::collect_bool(rows, |row| !values[row].is_nan())
        }
        DataType::Float64 => {
            let values = sequence.as_primitive::<Float64Type>().values();
            BooleanBuffer::collect_bool(rows, |row| !values[row].is_nan())
        }
        DataType::Struct(_) => {
            let fields: &StructArray = sequence.as_struct();
            fields.columns().iter().fold(BooleanBuffer::new_set(rows), |all, field| &all & &orderable(field))
        }
        _ => BooleanBuffer::new_set(rows),
    }
}
