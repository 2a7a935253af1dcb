//! Which keys are wanted. The answer may be a false yes, which costs time, and never a false no.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array},
        buffer::BooleanBuffer,
        compute::cast,
        datatypes::{DataType, FieldRef, Float32Type, Float64Type},
        row::{RowConverter, SortField},
    },
    common::hash_utils::{RandomState, create_hashes},
    error::{DataFusionError, Result as EngineResult},
};

use super::{
    hashes::{HashSet, MAX_HASHES},
    ranges::Ranges,
};
use crate::{engine_failure::engine_error, failure::Failure};

/// Some keys, or all.
#[derive(Debug)]
pub struct KeyFilter {
    columns: Vec<KeyColumn>,
    /// `None`: every key within the bounds.
    hashes: Option<HashSet>,
}

/// One column of the keys.
#[derive(Debug)]
struct KeyColumn {
    /// In the type that is hashed.
    field: FieldRef,
    converter: RowConverter,
    /// `None`: values of this type are not compared.
    ranges: Option<Ranges>,
    holds_null: bool,
}

/// What is known of the values of a column in a file, a row group or a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub nulls: Option<u64>,
    pub rows: Option<u64>,
}

impl KeyFilter {
    /// Lets every row through.
    pub fn all() -> Self {
        Self { columns: Vec::new(), hashes: None }
    }

    /// True if no key is left out, so that key columns need not be looked at.
    pub fn is_all(&self) -> bool {
        self.columns.is_empty()
    }

    /// How many different keys are wanted, if they were counted.
    pub fn keys(&self) -> Option<usize> {
        self.hashes.as_ref().map(HashSet::len)
    }

    /// The key columns in the types that [`matches`](Self::matches) takes.
    pub fn fields(&self) -> Vec<FieldRef> {
        self.columns.iter().map(|column| Arc::clone(&column.field)).collect()
    }

    /// The rows whose key may be wanted. `keys` are the columns of [`fields`](Self::fields).
    pub fn matches(&self, keys: &[ArrayRef]) -> EngineResult<BooleanArray> {
        let rows = keys.first().map_or(0, Array::len);
        let Some(wanted) = &self.hashes else { return Ok(BooleanArray::new(BooleanBuffer::new_set(rows), None)) };
        let hashes = hashes_of(keys, rows)?;
        Ok(BooleanArray::new(BooleanBuffer::collect_bool(rows, |row| wanted.contains(hashes[row])), None))
    }

    /// The key column `index` between `low` and `high`, value by value: where a wanted key may be, as far as this column tells.
    /// NULL is a bound that is not known.
    pub(super) fn may_match(&self, index: usize, low: &ArrayRef, high: &ArrayRef, known: &[Known]) -> EngineResult<Vec<bool>> {
        let column = &self.columns[index];
        let Some(ranges) = &column.ranges else { return Ok(vec![true; known.len()]) };
        let encode = |bounds: &ArrayRef| -> EngineResult<_> {
            let bounds = cast(bounds, column.field.data_type())?;
            let rows = column.converter.convert_columns(std::slice::from_ref(&bounds))?;
            Ok((bounds, rows))
        };
        let ((lows, low), (highs, high)) = (encode(low)?, encode(high)?);
        let verdict = |(index, known): (usize, &Known)| {
            if column.holds_null && known.nulls != Some(0) {
                return true;
            }
            if lows.is_null(index) || highs.is_null(index) {
                // Nothing but NULL has no bounds.
                return known.nulls.is_none() || known.nulls != known.rows;
            }
            ranges.overlap(low.row(index).as_ref(), high.row(index).as_ref())
        };
        Ok(known.iter().enumerate().map(verdict).collect())
    }
}

/// Gathers keys.
#[derive(Debug)]
pub struct KeyFilterBuilder {
    columns: Vec<KeyColumn>,
    hashes: Option<Vec<u64>>,
}

impl KeyFilterBuilder {
    /// No key yet; `fields` are the key columns in the types of the table.
    pub fn new(fields: &[FieldRef]) -> Result<Self, Failure> {
        let columns = fields.iter().map(KeyColumn::new).collect::<EngineResult<Vec<_>>>().map_err(engine_error)?;
        Ok(Self { columns, hashes: Some(Vec::new()) })
    }

    /// Adds the keys of `batch`, whose columns are the key columns in their order.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        self.try_add(batch.columns(), batch.num_rows()).map_err(engine_error)
    }

    /// The filter of all keys that were added.
    pub fn finish(self) -> KeyFilter {
        KeyFilter { columns: self.columns, hashes: self.hashes.map(HashSet::new).filter(|set| set.len() <= MAX_HASHES) }
    }

    fn try_add(&mut self, keys: &[ArrayRef], rows: usize) -> EngineResult<()> {
        if keys.len() != self.columns.len() {
            return Err(DataFusionError::Internal(format!("{} key columns were given, not {}", keys.len(), self.columns.len())));
        }
        let keys = keys.iter().zip(&self.columns).map(|(key, column)| Ok(cast(key, column.field.data_type())?));
        let keys = keys.collect::<EngineResult<Vec<ArrayRef>>>()?;
        for (column, values) in self.columns.iter_mut().zip(&keys) {
            column.add(values)?;
        }
        if let Some(hashes) = &mut self.hashes {
            hashes.extend(hashes_of(&keys, rows)?);
            if hashes.len() > 2 * MAX_HASHES {
                hashes.sort_unstable();
                hashes.dedup();
                if hashes.len() > MAX_HASHES {
                    self.hashes = None;
                }
            }
        }
        Ok(())
    }
}

impl KeyColumn {
    fn new(field: &FieldRef) -> EngineResult<Self> {
        let data_type = match field.data_type() {
            // Long and short texts hash alike only within one layout.
            DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
            other => other.clone(),
        };
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        // Bounds of floating-point columns leave out NaN, those of nested ones do not exist.
        let is_compared = !data_type.is_nested() && !data_type.is_floating();
        let field = Arc::new(field.as_ref().clone().with_data_type(data_type).with_nullable(true));
        Ok(Self { field, converter, ranges: is_compared.then(Ranges::default), holds_null: false })
    }

    fn add(&mut self, values: &ArrayRef) -> EngineResult<()> {
        self.holds_null |= values.logical_null_count() > 0;
        let Some(ranges) = &mut self.ranges else { return Ok(()) };
        let rows = self.converter.convert_columns(std::slice::from_ref(values))?;
        ranges.extend((0..values.len()).filter(|row| values.is_valid(*row)).map(|row| rows.row(row).data()).collect());
        Ok(())
    }
}

/// One hash per row. It is the same for all layouts of equal values.
fn hashes_of(keys: &[ArrayRef], rows: usize) -> EngineResult<Vec<u64>> {
    let keys: Vec<ArrayRef> = keys.iter().map(normalized).collect();
    let mut hashes = vec![0; rows];
    create_hashes(&keys, &RandomState::with_seed(0), &mut hashes)?;
    for hash in &mut hashes {
        // The set looks at leading bits first: all of them must depend on the whole key.
        *hash = (*hash ^ (*hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    Ok(hashes)
}

/// Zero and minus zero are equal, and so is every NaN.
pub fn normalized(key: &ArrayRef) -> ArrayRef {
    match key.data_type() {
        DataType::Float32 => {
            let values = key.as_primitive::<Float32Type>();
            Arc::new(values.unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value + 0.0 }))
        }
        DataType::Float64 => {
            let values = key.as_primitive::<Float64Type>();
            Arc::new(values.unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value + 0.0 }))
        }
        DataType::Null => new_null_array(&DataType::Boolean, key.len()),
        _ => Arc::clone(key),
    }
}
