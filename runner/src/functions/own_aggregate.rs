//! Aggregates that DataFusion lacks: percentiles, joined text, and the value that belongs to an extreme.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Float64Array, ListArray, RecordBatch, UInt64Array},
        buffer::OffsetBuffer,
        compute::{cast, concat, sort, take},
        datatypes::{DataType, Field, FieldRef, Float64Type},
        row::{OwnedRow, RowConverter, SortField},
    },
    common::{Result, ScalarValue},
    logical_expr::{
        Accumulator, AggregateUDFImpl, ColumnarValue, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::{AggregateOrderSensitivity, format_state_name},
    },
};

use super::{aggregate::unexpected, error::FunctionError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Percentile,
    PercentileDisc,
    PercentileApprox,
    Mode,
    Skewness,
    Kurtosis,
    Listagg,
    MaxBy,
    MinBy,
}

/// One of our own aggregates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OwnAggregate {
    name: String,
    kind: Kind,
    signature: Signature,
}

impl OwnAggregate {
    pub fn new(name: &str) -> Option<Self> {
        let kind = match name {
            "percentile" | "percentile_cont" => Kind::Percentile,
            "percentile_disc" => Kind::PercentileDisc,
            "mode" => Kind::Mode,
            "skewness" => Kind::Skewness,
            "kurtosis" => Kind::Kurtosis,
            "percentile_approx" => Kind::PercentileApprox,
            "listagg" => Kind::Listagg,
            "max_by" => Kind::MaxBy,
            "min_by" => Kind::MinBy,
            _ => return None,
        };
        Some(Self { name: name.to_string(), kind, signature: Signature::any(1, Volatility::Immutable) })
    }

    fn is_extreme(&self) -> bool {
        matches!(self.kind, Kind::MaxBy | Kind::MinBy)
    }
}

impl AggregateUDFImpl for OwnAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let value = types.first().cloned().unwrap_or(DataType::Null);
        Ok(match (self.kind, types.get(1)) {
            (Kind::Percentile | Kind::PercentileApprox, Some(DataType::List(_))) => DataType::new_list(value, true),
            _ => value,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |suffix: &str, data_type: DataType| Arc::new(Field::new(format_state_name(args.name, suffix), data_type, true));
        let given = |index: usize| args.input_fields.get(index).map_or(DataType::Null, |field| field.data_type().clone());
        if self.is_extreme() {
            return Ok(vec![field("value", given(0)), field("by", given(1))]);
        }
        Ok(vec![field("values", DataType::new_list(given(0), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let given = |index: usize| args.expr_fields.get(index).map_or(DataType::Null, |field| field.data_type().clone());
        if self.is_extreme() {
            return Ok(Box::new(Extreme::new(self.kind == Kind::MaxBy, &given(0), &given(1))?));
        }
        let parameter = match args.exprs.get(1) {
            Some(expr) => constant(expr.evaluate(&RecordBatch::new_empty(Arc::new(args.schema.clone())))?)?,
            None => None,
        };
        let finish = match self.kind {
            Kind::Listagg => Finish::Join(parameter.and_then(|text| text.try_as_str().flatten().map(str::to_string)).unwrap_or_default()),
            Kind::Mode => Finish::Mode,
            Kind::Skewness | Kind::Kurtosis => Finish::Shape { kurtosis: self.kind == Kind::Kurtosis },
            _ => {
                let many = matches!(given(1), DataType::List(_));
                Finish::Percentiles { fractions: fractions(parameter)?, many, interpolate: self.kind == Kind::Percentile }
            }
        };
        Ok(Box::new(Collected { data_type: given(0), arrays: Vec::new(), distinct: args.is_distinct, finish }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        // Only listagg has an order, and planning writes that as a sorted array.
        AggregateOrderSensitivity::Insensitive
    }
}

fn constant(value: ColumnarValue) -> Result<Option<ScalarValue>> {
    match value {
        ColumnarValue::Scalar(scalar) => Ok(Some(scalar)),
        ColumnarValue::Array(array) if !array.is_empty() => Ok(Some(ScalarValue::try_from_array(&array, 0)?)),
        ColumnarValue::Array(_) => {
            Err(FunctionError::new("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "the second argument must be a literal").into())
        }
    }
}

fn fractions(parameter: Option<ScalarValue>) -> Result<Vec<f64>> {
    let array = parameter.ok_or_else(|| unexpected("percentile"))?.to_array()?;
    let array = match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value(0),
        _ => array,
    };
    let values = cast(&array, &DataType::Float64)?;
    let values: Vec<f64> = values.as_primitive::<Float64Type>().iter().flatten().collect();
    if values.is_empty() || values.iter().any(|fraction| !(0.0..=1.0).contains(fraction)) {
        return Err(FunctionError::new("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", "the fractions must be between 0.0 and 1.0").into());
    }
    Ok(values)
}

#[derive(Debug)]
enum Finish {
    Join(String),
    Percentiles {
        fractions: Vec<f64>,
        many: bool,
        interpolate: bool,
    },
    Mode,
    /// Skewness or kurtosis.
    Shape {
        kurtosis: bool,
    },
}

/// All values of a group, used at its end.
#[derive(Debug)]
struct Collected {
    data_type: DataType,
    arrays: Vec<ArrayRef>,
    distinct: bool,
    finish: Finish,
}

impl Collected {
    fn push(&mut self, array: &ArrayRef) -> Result<()> {
        let valid = datafusion::arrow::compute::is_not_null(array)?;
        let kept = datafusion::arrow::compute::filter(array, &valid)?;
        if !kept.is_empty() {
            self.arrays.push(kept);
        }
        Ok(())
    }

    fn all(&self) -> Result<ArrayRef> {
        let arrays: Vec<&dyn Array> = self.arrays.iter().map(AsRef::as_ref).collect();
        if arrays.is_empty() {
            return Ok(datafusion::arrow::array::new_empty_array(&self.data_type));
        }
        let all = concat(&arrays)?;
        if !self.distinct {
            return Ok(all);
        }
        let rows = RowConverter::new(vec![SortField::new(self.data_type.clone())])?.convert_columns(&[Arc::clone(&all)])?;
        let mut seen = std::collections::HashSet::new();
        let first: UInt64Array = (0..all.len()).filter(|row| seen.insert(rows.row(*row))).map(|row| Some(row as u64)).collect();
        Ok(take(&all, &first, None)?)
    }
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let array = values.first().ok_or_else(|| unexpected("an aggregate"))?;
        self.push(array)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let all = self.all()?;
        match &self.finish {
            Finish::Join(_) if all.is_empty() => Ok(ScalarValue::Utf8(None)),
            Finish::Join(delimiter) => {
                let texts: Vec<&str> = all.as_string::<i32>().iter().flatten().collect();
                Ok(ScalarValue::from(texts.join(delimiter)))
            }
            Finish::Mode => most_frequent(&all),
            Finish::Shape { kurtosis } => Ok(ScalarValue::Float64(shape(all.as_primitive::<Float64Type>(), *kurtosis))),
            Finish::Percentiles { fractions, many, interpolate } => percentiles(&all, fractions, (*many, *interpolate)),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.arrays.iter().map(Array::get_array_memory_size).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![list_of(self.all()?)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states.first().ok_or_else(|| unexpected("an aggregate"))?.as_list::<i32>();
        for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
            self.push(&lists.value(row))?;
        }
        Ok(())
    }
}

/// The value that comes most often, of several the least.
fn most_frequent(all: &ArrayRef) -> Result<ScalarValue> {
    let rows = RowConverter::new(vec![SortField::new(all.data_type().clone())])?.convert_columns(&[Arc::clone(all)])?;
    let mut counts = std::collections::BTreeMap::new();
    for row in 0..all.len() {
        counts.entry(rows.row(row)).or_insert((0_usize, row)).0 += 1;
    }
    let most = counts.values().rev().max_by_key(|(count, _)| *count);
    match most {
        Some((_, row)) => ScalarValue::try_from_array(all, *row),
        None => ScalarValue::try_from(all.data_type()),
    }
}

/// The third or fourth moment of a population, by its standard deviation.
fn shape(all: &Float64Array, kurtosis: bool) -> Option<f64> {
    let count = all.len() as f64;
    let mean = all.values().iter().sum::<f64>() / count;
    let moment = |power: i32| all.values().iter().map(|value| (value - mean).powi(power)).sum::<f64>();
    let second = moment(2);
    if all.is_empty() || second == 0.0 {
        return None;
    }
    Some(if kurtosis { count * moment(4) / (second * second) - 3.0 } else { count.sqrt() * moment(3) / (second * second * second).sqrt() })
}

fn list_of(values: ArrayRef) -> ScalarValue {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    ScalarValue::List(Arc::new(ListArray::new(field, offsets, values, None)))
}

fn percentiles(all: &ArrayRef, fractions: &[f64], shape: (bool, bool)) -> Result<ScalarValue> {
    let (many, interpolate) = shape;
    if all.is_empty() {
        let data_type = if many { DataType::new_list(all.data_type().clone(), true) } else { all.data_type().clone() };
        return ScalarValue::try_from(&data_type);
    }
    let sorted = sort(all, None)?;
    let values: ArrayRef = if interpolate {
        let sorted = sorted.as_primitive::<Float64Type>();
        Arc::new(fractions.iter().map(|fraction| Some(interpolated(sorted, *fraction))).collect::<Float64Array>())
    } else {
        let nearest = |fraction: &f64| ((fraction * sorted.len() as f64).ceil() as u64).max(1) - 1;
        take(&sorted, &fractions.iter().map(|fraction| Some(nearest(fraction))).collect::<UInt64Array>(), None)?
    };
    if many { Ok(list_of(values)) } else { ScalarValue::try_from_array(&values, 0) }
}

fn interpolated(sorted: &Float64Array, fraction: f64) -> f64 {
    let place = fraction * (sorted.len() - 1) as f64;
    let (low, high) = (place.floor(), place.ceil());
    let (low_value, high_value) = (sorted.value(low as usize), sorted.value(high as usize));
    low_value + (high_value - low_value) * (place - low)
}

/// `max_by` and `min_by`.
#[derive(Debug)]
struct Extreme {
    greatest: bool,
    value: ScalarValue,
    by: ScalarValue,
    converter: RowConverter,
    best: Option<OwnedRow>,
}

impl Extreme {
    fn new(greatest: bool, value: &DataType, by: &DataType) -> Result<Self> {
        Ok(Self {
            greatest,
            value: ScalarValue::try_from(value)?,
            by: ScalarValue::try_from(by)?,
            converter: RowConverter::new(vec![SortField::new(by.clone())])?,
            best: None,
        })
    }
}

impl Accumulator for Extreme {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [value, by] = values else { return Err(unexpected("max_by")) };
        let rows = self.converter.convert_columns(&[Arc::clone(by)])?;
        let mut found = None;
        for row in (0..by.len()).filter(|row| by.is_valid(*row)) {
            let current = rows.row(row);
            let known = found.map(|row| rows.row(row)).or(self.best.as_ref().map(OwnedRow::row));
            let better = known.is_none_or(|known| if self.greatest { current > known } else { current < known });
            if better {
                found = Some(row);
            }
        }
        if let Some(row) = found {
            self.best = Some(rows.row(row).owned());
            self.value = ScalarValue::try_from_array(value, row)?;
            self.by = ScalarValue::try_from_array(by, row)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.value.size() + self.by.size() + self.converter.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.by.clone()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}
