//! One evaluation of a function: arguments as typed columns, and the ways to build the result row by row.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array, PrimitiveArray,
            StringArray, StringBuilder, new_null_array,
        },
        compute::{cast, take},
        datatypes::{
            DataType, Date32Type, Float64Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
            TimestampMicrosecondType,
        },
    },
    common::{DataFusionError, Result, ScalarValue, internal_datafusion_err},
    logical_expr::ColumnarValue,
};

use super::{error::FunctionError, temporal::zone::Zone};

/// What settings and the batch decide for all calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    pub ansi: bool,
    pub zone: Zone,
    pub zone_name: String,
    /// The recorded time of the batch, microseconds since the epoch.
    pub batch_us: i64,
}

/// Result of a kernel: one value per row.
pub(crate) type Answer = Result<ArrayRef>;

/// An implementation of a scalar function.
pub(crate) type Kernel = fn(&Call<'_>) -> Answer;

/// Arguments and circumstances of one evaluation.
pub(crate) struct Call<'a> {
    pub name: &'static str,
    pub args: &'a [ColumnarValue],
    /// Rows of the result; 1 if all arguments are constants.
    pub rows: usize,
    pub settings: &'a Settings,
    pub returns: &'a DataType,
}

/// An argument as an array of one type; a constant has one value for all rows.
pub(crate) struct Arg<A> {
    array: A,
    constant: bool,
}

impl<A> Arg<A> {
    fn index(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }
}

impl Arg<StringArray> {
    pub fn at(&self, row: usize) -> Option<&str> {
        let index = self.index(row);
        self.array.is_valid(index).then(|| self.array.value(index))
    }
}

impl Arg<BinaryArray> {
    pub fn at(&self, row: usize) -> Option<&[u8]> {
        let index = self.index(row);
        self.array.is_valid(index).then(|| self.array.value(index))
    }
}

impl Arg<BooleanArray> {
    pub fn at(&self, row: usize) -> Option<bool> {
        let index = self.index(row);
        self.array.is_valid(index).then(|| self.array.value(index))
    }
}

impl<T: ArrowPrimitiveType> Arg<PrimitiveArray<T>> {
    pub fn at(&self, row: usize) -> Option<T::Native> {
        let index = self.index(row);
        self.array.is_valid(index).then(|| self.array.value(index))
    }
}

impl Call<'_> {
    fn value(&self, index: usize) -> Result<&ColumnarValue> {
        self.args.get(index).ok_or_else(|| internal_datafusion_err!("{} lacks argument {}", self.name, index + 1))
    }

    /// The type of an argument, NULL for one that is not given.
    pub fn data_type(&self, index: usize) -> DataType {
        self.args.get(index).map_or(DataType::Null, ColumnarValue::data_type)
    }

    pub fn has(&self, index: usize) -> bool {
        index < self.args.len()
    }

    /// The argument cast to `data_type`, with one value if it is a constant.
    fn cast_to(&self, index: usize, data_type: &DataType) -> Result<(ArrayRef, bool)> {
        let (array, constant) = match self.value(index)? {
            ColumnarValue::Array(array) => (Arc::clone(array), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        let array = if array.data_type() == data_type { array } else { cast(&array, data_type)? };
        Ok((array, constant))
    }

    pub fn text(&self, index: usize) -> Result<Arg<StringArray>> {
        let (array, constant) = self.cast_to(index, &DataType::Utf8)?;
        Ok(Arg { array: array.as_string().clone(), constant })
    }

    pub fn bytes(&self, index: usize) -> Result<Arg<BinaryArray>> {
        let (array, constant) = self.cast_to(index, &DataType::Binary)?;
        Ok(Arg { array: array.as_binary().clone(), constant })
    }

    pub fn boolean(&self, index: usize) -> Result<Arg<BooleanArray>> {
        let (array, constant) = self.cast_to(index, &DataType::Boolean)?;
        Ok(Arg { array: array.as_boolean().clone(), constant })
    }

    fn primitive<T: ArrowPrimitiveType>(&self, index: usize, data_type: &DataType) -> Result<Arg<PrimitiveArray<T>>> {
        let (array, constant) = self.cast_to(index, data_type)?;
        Ok(Arg { array: array.as_primitive::<T>().clone(), constant })
    }

    pub fn int(&self, index: usize) -> Result<Arg<Int32Array>> {
        self.primitive::<Int32Type>(index, &DataType::Int32)
    }

    pub fn long(&self, index: usize) -> Result<Arg<Int64Array>> {
        self.primitive::<Int64Type>(index, &DataType::Int64)
    }

    pub fn double(&self, index: usize) -> Result<Arg<PrimitiveArray<Float64Type>>> {
        self.primitive(index, &DataType::Float64)
    }

    pub fn date(&self, index: usize) -> Result<Arg<PrimitiveArray<Date32Type>>> {
        self.primitive(index, &DataType::Date32)
    }

    /// Microseconds as stored: instants for TIMESTAMP, local time for TIMESTAMP_NTZ.
    pub fn micros(&self, index: usize) -> Result<Arg<PrimitiveArray<TimestampMicrosecondType>>> {
        let zone = match self.data_type(index) {
            DataType::Timestamp(_, zone) => zone,
            _ => Some("UTC".into()),
        };
        self.primitive(index, &DataType::Timestamp(TimeUnit::Microsecond, zone))
    }

    pub fn interval(&self, index: usize) -> Result<Arg<PrimitiveArray<IntervalMonthDayNanoType>>> {
        self.primitive(index, &DataType::Interval(IntervalUnit::MonthDayNano))
    }

    /// The argument as it is, one value per row.
    pub fn array(&self, index: usize) -> Result<ArrayRef> {
        self.value(index)?.to_array(self.rows)
    }

    /// The text of a constant argument; nothing if it is NULL, missing or a column.
    pub fn literal(&self, index: usize) -> Option<&str> {
        match self.args.get(index)? {
            ColumnarValue::Scalar(scalar) => scalar.try_as_str().flatten(),
            ColumnarValue::Array(_) => None,
        }
    }

    /// A NULL of the result type for every row.
    #[expect(clippy::unnecessary_wraps, reason = "every helper gives the answer of a kernel")]
    pub fn nulls(&self) -> Answer {
        Ok(new_null_array(self.returns, self.rows))
    }

    pub fn texts<S: AsRef<str>>(&self, mut value: impl FnMut(usize) -> Option<S>) -> Answer {
        self.try_texts(|row| Ok(value(row)))
    }

    pub fn try_texts<S: AsRef<str>>(&self, mut value: impl FnMut(usize) -> Result<Option<S>>) -> Answer {
        let mut builder = StringBuilder::with_capacity(self.rows, self.rows * 8);
        for row in 0..self.rows {
            let value = value(row)?;
            let length = value.as_ref().map_or(0, |value| value.as_ref().len());
            if builder.values_slice().len() + length > i32::MAX as usize {
                let message = format!("the texts that {} gives for one batch of rows have more than 2 GiB", self.name);
                return Err(FunctionError::new("COLLECTION_SIZE_LIMIT_EXCEEDED", message).into());
            }
            builder.append_option(value);
        }
        Ok(Arc::new(builder.finish()))
    }

    pub fn binaries<B: AsRef<[u8]>>(&self, mut value: impl FnMut(usize) -> Result<Option<B>>) -> Answer {
        let mut builder = BinaryBuilder::with_capacity(self.rows, self.rows * 8);
        for row in 0..self.rows {
            builder.append_option(value(row)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    #[expect(clippy::unnecessary_wraps, reason = "every helper gives the answer of a kernel")]
    pub fn booleans(&self, mut value: impl FnMut(usize) -> Option<bool>) -> Answer {
        Ok(Arc::new((0..self.rows).map(&mut value).collect::<BooleanArray>()))
    }

    pub fn numbers<T: ArrowPrimitiveType>(&self, mut value: impl FnMut(usize) -> Option<T::Native>) -> Answer {
        self.try_numbers::<T>(|row| Ok(value(row)))
    }

    pub fn try_numbers<T: ArrowPrimitiveType>(&self, value: impl FnMut(usize) -> Result<Option<T::Native>>) -> Answer {
        let values = (0..self.rows).map(value).collect::<Result<Vec<Option<T::Native>>>>()?;
        let array = PrimitiveArray::<T>::from_iter(values);
        Ok(if array.data_type() == self.returns { Arc::new(array) } else { Arc::new(array.with_data_type(self.returns.clone())) })
    }

    pub fn ints(&self, value: impl FnMut(usize) -> Option<i32>) -> Answer {
        self.numbers::<Int32Type>(value)
    }

    pub fn longs(&self, value: impl FnMut(usize) -> Option<i64>) -> Answer {
        self.numbers::<Int64Type>(value)
    }

    pub fn doubles(&self, value: impl FnMut(usize) -> Option<f64>) -> Answer {
        self.numbers::<Float64Type>(value)
    }

    pub fn dates(&self, value: impl FnMut(usize) -> Option<i32>) -> Answer {
        self.numbers::<Date32Type>(value)
    }

    pub fn timestamps(&self, value: impl FnMut(usize) -> Option<i64>) -> Answer {
        self.numbers::<TimestampMicrosecondType>(value)
    }
}

/// Rows of `values` by index, NULL where there is none.
pub(crate) fn gather(values: &ArrayRef, indices: Vec<Option<u64>>) -> Answer {
    let indices = datafusion::arrow::array::UInt64Array::from(indices);
    take(values, &indices, None).map_err(DataFusionError::from)
}

/// Something compiled from a text that is nearly always the same.
#[derive(Default)]
pub(crate) struct Compiled<T> {
    last: Option<(String, T)>,
}

impl<T> Compiled<T> {
    pub fn new() -> Self {
        Self { last: None }
    }

    pub fn get(&mut self, text: &str, compile: impl FnOnce(&str) -> Result<T>) -> Result<&T> {
        if self.last.as_ref().is_none_or(|(known, _)| known != text) {
            self.last = Some((text.to_string(), compile(text)?));
        }
        self.last.as_ref().map(|(_, compiled)| compiled).ok_or_else(|| internal_datafusion_err!("nothing compiled"))
    }
}

/// The single value of an array of one row.
pub(crate) fn first_value(array: &ArrayRef) -> Result<ScalarValue> {
    ScalarValue::try_from_array(array, 0)
}
