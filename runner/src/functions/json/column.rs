//! One growing column per field of the wanted schema: values go from the scanner straight into Arrow buffers.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use datafusion::arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, NullBufferBuilder,
        PrimitiveArray, StringArray, TimestampMicrosecondArray,
    },
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
        TimestampMicrosecondType,
    },
    error::ArrowError,
};

use super::{
    DecoderError, Reading,
    nested::{ListColumn, MapColumn, StructColumn},
    scan::{Malformed, Scanner, Text},
};
use crate::functions::number::{parse_decimal, special_float};
use crate::functions::temporal::{SECOND_US, parse};

/// Whether a value fitted its column. A misfit was consumed and nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Fits,
    Misfit,
}

/// Values of a fixed width.
#[derive(Debug)]
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn new() -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    fn push(&mut self, value: Option<T::Native>) -> Fit {
        let Some(value) = value else { return Fit::Misfit };
        self.values.push(value);
        self.nulls.append_non_null();
        Fit::Fits
    }

    fn append_null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }

    fn truncate(&mut self, length: usize) {
        self.values.truncate(length);
        self.nulls.truncate(length);
    }

    fn finish(&mut self) -> PrimitiveArray<T> {
        PrimitiveArray::new(ScalarBuffer::from(std::mem::take(&mut self.values)), self.nulls.finish())
    }
}

/// Values of any length.
#[derive(Debug)]
pub(super) struct Bytes {
    values: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Bytes {
    pub(super) fn new() -> Self {
        Self { values: Vec::new(), offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(super) fn value(&self, index: usize) -> &[u8] {
        let bound = |at: usize| self.offsets.get(at).map_or(0, |offset| *offset as usize);
        self.values.get(bound(index)..bound(index + 1)).unwrap_or_default()
    }

    /// Ends the value whose bytes were pushed. The decoder bounds the bytes of a batch, so the offset fits.
    fn close(&mut self) {
        self.offsets.push(i32::try_from(self.values.len()).unwrap_or(i32::MAX));
        self.nulls.append_non_null();
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.values.extend_from_slice(bytes);
        self.close();
    }

    fn append_null(&mut self) {
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.nulls.append_null();
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        self.values.truncate(self.offsets.last().copied().unwrap_or(0) as usize);
        self.nulls.truncate(length);
    }

    pub(super) fn push_text(&mut self, text: &Text<'_>, scanner: &Scanner<'_>) -> Result<(), Malformed> {
        text.unescape_into(&mut self.values).map_err(|reason| scanner.malformed(reason))?;
        self.close();
        Ok(())
    }

    fn push_base64(&mut self, text: &Text<'_>) -> Fit {
        let start = self.values.len();
        let unescaped;
        let raw = if text.escaped {
            let mut buffer = Vec::with_capacity(text.raw.len());
            if text.unescape_into(&mut buffer).is_err() {
                return Fit::Misfit;
            }
            unescaped = buffer;
            unescaped.as_slice()
        } else {
            text.raw
        };
        self.values.resize(start + base64::decoded_len_estimate(raw.len()), 0);
        let target = self.values.get_mut(start..).unwrap_or_default();
        let Ok(length) = STANDARD.decode_slice(raw, target) else {
            self.values.truncate(start);
            return Fit::Misfit;
        };
        self.values.truncate(start + length);
        self.close();
        Fit::Fits
    }

    fn parts(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<datafusion::arrow::buffer::NullBuffer>) {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        (offsets, Buffer::from_vec(std::mem::take(&mut self.values)), self.nulls.finish())
    }

    pub(super) fn finish_text(&mut self) -> Result<ArrayRef, ArrowError> {
        let (offsets, values, nulls) = self.parts();
        Ok(Arc::new(StringArray::try_new(offsets, values, nulls)?))
    }
}

/// A column of any supported type.
#[derive(Debug)]
pub(super) enum Column {
    Boolean { values: BooleanBufferBuilder, nulls: NullBufferBuilder },
    Int8(Numbers<Int8Type>),
    Int16(Numbers<Int16Type>),
    Int32(Numbers<Int32Type>),
    Int64(Numbers<Int64Type>),
    Float32(Numbers<Float32Type>),
    Float64(Numbers<Float64Type>),
    Decimal { values: Numbers<Decimal128Type>, precision: u8, scale: i8 },
    Date(Numbers<Date32Type>),
    Timestamp { values: Numbers<TimestampMicrosecondType>, zone: Option<Arc<str>> },
    Text(Bytes),
    Binary(Bytes),
    List(Box<ListColumn>),
    Struct(Box<StructColumn>),
    Map(Box<MapColumn>),
}

/// Runs the same code for every variant of fixed width.
macro_rules! for_numbers {
    ($column:expr, $values:ident => $body:expr, $($rest:tt)*) => {
        match $column {
            Column::Int8($values) => $body,
            Column::Int16($values) => $body,
            Column::Int32($values) => $body,
            Column::Int64($values) => $body,
            Column::Float32($values) => $body,
            Column::Float64($values) => $body,
            Column::Decimal { values: $values, .. } => $body,
            Column::Date($values) => $body,
            Column::Timestamp { values: $values, .. } => $body,
            $($rest)*
        }
    };
}

impl Column {
    pub(super) fn new(data_type: &DataType, path: &str, case_sensitive: bool) -> Result<Self, DecoderError> {
        Ok(match data_type {
            DataType::Boolean => Self::Boolean { values: BooleanBufferBuilder::new(0), nulls: NullBufferBuilder::new(0) },
            DataType::Int8 => Self::Int8(Numbers::new()),
            DataType::Int16 => Self::Int16(Numbers::new()),
            DataType::Int32 => Self::Int32(Numbers::new()),
            DataType::Int64 => Self::Int64(Numbers::new()),
            DataType::Float32 => Self::Float32(Numbers::new()),
            DataType::Float64 => Self::Float64(Numbers::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal { values: Numbers::new(), precision: *precision, scale: *scale },
            DataType::Date32 => Self::Date(Numbers::new()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Self::Timestamp { values: Numbers::new(), zone: zone.clone() },
            DataType::Utf8 => Self::Text(Bytes::new()),
            DataType::Binary => Self::Binary(Bytes::new()),
            DataType::List(item) => Self::List(Box::new(ListColumn::new(item, path, case_sensitive)?)),
            DataType::Struct(fields) => Self::Struct(Box::new(StructColumn::new(fields, path, case_sensitive)?)),
            DataType::Map(entries, sorted) => Self::Map(Box::new(MapColumn::new(entries, *sorted, path, case_sensitive)?)),
            other => return Err(DecoderError::UnsupportedType { field: path.to_string(), data_type: other.to_string() }),
        })
    }

    pub(super) fn len(&self) -> usize {
        for_numbers!(self, numbers => numbers.values.len(),
            Self::Boolean { values, .. } => values.len(),
            Self::Text(bytes) | Self::Binary(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Struct(group) => group.len(),
            Self::Map(map) => map.len(),
        )
    }

    pub(super) fn append_null(&mut self) {
        for_numbers!(self, numbers => numbers.append_null(),
            Self::Boolean { values, nulls } => {
                values.append(false);
                nulls.append_null();
            }
            Self::Text(bytes) | Self::Binary(bytes) => bytes.append_null(),
            Self::List(list) => list.append_null(),
            Self::Struct(group) => group.append_null(),
            Self::Map(map) => map.append_null(),
        );
    }

    /// Forgets what comes after the first `length` values, also the rest of a value that was begun.
    pub(super) fn truncate(&mut self, length: usize) {
        for_numbers!(self, numbers => numbers.truncate(length),
            Self::Boolean { values, nulls } => {
                values.truncate(length);
                nulls.truncate(length);
            }
            Self::Text(bytes) | Self::Binary(bytes) => bytes.truncate(length),
            Self::List(list) => list.truncate(length),
            Self::Struct(group) => group.truncate(length),
            Self::Map(map) => map.truncate(length),
        );
    }

    /// Reads the next value of any kind.
    pub(super) fn decode(&mut self, scanner: &mut Scanner<'_>, reading: &mut Reading<'_>) -> Result<Fit, Malformed> {
        match scanner.peek() {
            Some(b'n') if scanner.word(b"null") => {
                self.append_null();
                Ok(Fit::Fits)
            }
            Some(b'"' | b'\'') => self.decode_string(scanner, reading),
            Some(b'{') => match self {
                Self::Struct(group) => group.decode(scanner, reading),
                Self::Map(map) => map.decode(scanner, reading),
                _ => self.decode_raw(scanner),
            },
            Some(b'[') => match self {
                Self::List(list) => list.decode(scanner, reading),
                _ => self.decode_raw(scanner),
            },
            Some(b't' | b'f') => self.decode_boolean(scanner),
            Some(_) => self.decode_number(scanner),
            None => Err(scanner.malformed("text without an end")),
        }
    }

    /// A string column takes any other value as its JSON text.
    fn decode_raw(&mut self, scanner: &mut Scanner<'_>) -> Result<Fit, Malformed> {
        let raw = scanner.skip()?;
        let Self::Text(bytes) = self else { return Ok(Fit::Misfit) };
        if !raw.is_ascii() && std::str::from_utf8(raw).is_err() {
            return Err(scanner.malformed("string is not UTF-8"));
        }
        bytes.push(raw);
        Ok(Fit::Fits)
    }

    fn decode_boolean(&mut self, scanner: &mut Scanner<'_>) -> Result<Fit, Malformed> {
        let Self::Boolean { values, nulls } = self else { return self.decode_raw(scanner) };
        let value = scanner.word(b"true");
        if !value && !scanner.word(b"false") {
            return Err(scanner.malformed("expected a value"));
        }
        values.append(value);
        nulls.append_non_null();
        Ok(Fit::Fits)
    }

    fn decode_number(&mut self, scanner: &mut Scanner<'_>) -> Result<Fit, Malformed> {
        let number = scanner.number()?;
        let float = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        Ok(match self {
            Self::Int64(values) => values.push(number.integer),
            Self::Int32(values) => values.push(number.integer.and_then(|value| value.try_into().ok())),
            Self::Int16(values) => values.push(number.integer.and_then(|value| value.try_into().ok())),
            Self::Int8(values) => values.push(number.integer.and_then(|value| value.try_into().ok())),
            Self::Float64(values) => values.push(float(number.text)),
            Self::Float32(values) => values.push(std::str::from_utf8(number.text).ok().and_then(|text| text.parse().ok())),
            Self::Decimal { values, precision, scale } => values.push(parse_decimal(number.text, *precision, *scale)),
            Self::Timestamp { values, zone: Some(_) } => values.push(number.integer.and_then(|seconds| seconds.checked_mul(SECOND_US))),
            Self::Text(bytes) => {
                bytes.push(number.text);
                Fit::Fits
            }
            _ => Fit::Misfit,
        })
    }

    fn decode_string(&mut self, scanner: &mut Scanner<'_>, reading: &mut Reading<'_>) -> Result<Fit, Malformed> {
        let text = scanner.string()?;
        match self {
            Self::Text(bytes) => {
                bytes.push_text(&text, scanner)?;
                return Ok(Fit::Fits);
            }
            Self::Binary(bytes) => return Ok(bytes.push_base64(&text)),
            _ => {}
        }
        let mut unescaped = Vec::new();
        let raw = if text.escaped {
            text.unescape_into(&mut unescaped).map_err(|reason| scanner.malformed(reason))?;
            unescaped.as_slice()
        } else {
            text.raw
        };
        Ok(self.push_parsed(raw, reading))
    }

    fn push_parsed(&mut self, text: &[u8], reading: &Reading<'_>) -> Fit {
        let utf8 = || std::str::from_utf8(text).ok();
        match self {
            Self::Timestamp { values, zone } => {
                let local = match &reading.options.timestamp_format {
                    Some(format) => utf8().and_then(|text| format.parse(text)),
                    None => parse::timestamp(text),
                };
                values.push(local.and_then(|time| match zone {
                    Some(_) => time.instant(reading.options.time_zone),
                    None => Some(time.local_us),
                }))
            }
            Self::Date(values) => values.push(match &reading.options.date_format {
                Some(format) => utf8().and_then(|text| format.parse_date(text)),
                None => parse::date(text),
            }),
            Self::Decimal { values, precision, scale } => values.push(parse_decimal(text, *precision, *scale)),
            Self::Float64(values) => values.push(utf8().and_then(special_float)),
            Self::Float32(values) => values.push(utf8().and_then(special_float).map(|value| value as f32)),
            _ => Fit::Misfit,
        }
    }

    /// The array of all values; the column is empty afterwards.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean { values, nulls } => Arc::new(BooleanArray::new(values.finish(), nulls.finish())),
            Self::Int8(values) => Arc::new(values.finish()),
            Self::Int16(values) => Arc::new(values.finish()),
            Self::Int32(values) => Arc::new(values.finish()),
            Self::Int64(values) => Arc::new(values.finish()),
            Self::Float32(values) => Arc::new(values.finish()),
            Self::Float64(values) => Arc::new(values.finish()),
            Self::Decimal { values, precision, scale } => {
                let array: Decimal128Array = values.finish();
                Arc::new(array.with_precision_and_scale(*precision, *scale)?)
            }
            Self::Date(values) => Arc::new(values.finish()),
            Self::Timestamp { values, zone } => {
                let array: TimestampMicrosecondArray = values.finish();
                Arc::new(array.with_timezone_opt(zone.clone()))
            }
            Self::Text(bytes) => bytes.finish_text()?,
            Self::Binary(bytes) => {
                let (offsets, values, nulls) = bytes.parts();
                Arc::new(BinaryArray::try_new(offsets, values, nulls)?) as Arc<dyn Array>
            }
            Self::List(list) => list.finish()?,
            Self::Struct(group) => group.finish()?,
            Self::Map(map) => map.finish()?,
        })
    }
}
