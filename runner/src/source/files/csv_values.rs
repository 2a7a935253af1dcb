//! Text values to typed columns: what a CSV field means for each type. Text that does not fit is NULL.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, NullBuilder, PrimitiveBuilder,
        StringBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit},
};

use crate::{
    failure::Failure,
    functions::{
        number::parse_decimal,
        temporal::{parse, pattern::Pattern, zone::Zone},
    },
};

/// How text of all columns is read.
#[derive(Debug)]
pub(super) struct ValueFormat {
    /// Text that means NULL.
    pub null_value: String,
    pub time_zone: Zone,
    pub timestamp_format: Option<Pattern>,
    pub date_format: Option<Pattern>,
}

/// One column under construction.
pub(super) struct ValueColumn {
    format: Arc<ValueFormat>,
    builder: Builder,
}

enum Builder {
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Boolean(BooleanBuilder),
    Tiny(PrimitiveBuilder<Int8Type>),
    Small(PrimitiveBuilder<Int16Type>),
    Int(PrimitiveBuilder<Int32Type>),
    Big(PrimitiveBuilder<Int64Type>),
    Float(PrimitiveBuilder<Float32Type>),
    Double(PrimitiveBuilder<Float64Type>),
    Decimal(Decimal128Builder, u8, i8),
    Date(Date32Builder),
    Instant(TimestampMicrosecondBuilder),
    /// Date and time without a zone.
    Local(TimestampMicrosecondBuilder),
    Null(NullBuilder),
}

impl ValueColumn {
    pub(super) fn new(field: &Field, format: &Arc<ValueFormat>) -> Result<Self, Failure> {
        let builder = match field.data_type() {
            DataType::Utf8 => Builder::Text(StringBuilder::new()),
            DataType::Binary => Builder::Bytes(BinaryBuilder::new()),
            DataType::Boolean => Builder::Boolean(BooleanBuilder::new()),
            DataType::Int8 => Builder::Tiny(PrimitiveBuilder::new()),
            DataType::Int16 => Builder::Small(PrimitiveBuilder::new()),
            DataType::Int32 => Builder::Int(PrimitiveBuilder::new()),
            DataType::Int64 => Builder::Big(PrimitiveBuilder::new()),
            DataType::Float32 => Builder::Float(PrimitiveBuilder::new()),
            DataType::Float64 => Builder::Double(PrimitiveBuilder::new()),
            DataType::Decimal128(precision, scale) => {
                let builder = Decimal128Builder::new().with_data_type(field.data_type().clone());
                Builder::Decimal(builder, *precision, *scale)
            }
            DataType::Date32 => Builder::Date(Date32Builder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
                Builder::Instant(TimestampMicrosecondBuilder::new().with_timezone(Arc::clone(zone)))
            }
            DataType::Timestamp(TimeUnit::Microsecond, None) => Builder::Local(TimestampMicrosecondBuilder::new()),
            DataType::Null => Builder::Null(NullBuilder::new()),
            other => {
                let text = format!("column '{}' has type {other}, which CSV cannot be read into", field.name());
                return Err(Failure::user("UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE", text).help("read it as STRING and use from_json"));
            }
        };
        Ok(Self { format: Arc::clone(format), builder })
    }

    /// A field. An unquoted one that says `nullValue` is NULL, and an empty one for every type but STRING. False if it has a value that does
    /// not fit the type, which is NULL then.
    pub(super) fn append(&mut self, bytes: &[u8], quoted: bool) -> bool {
        let null = !quoted && bytes == self.format.null_value.as_bytes();
        let text = if null { None } else { std::str::from_utf8(bytes).ok() };
        match &mut self.builder {
            Builder::Text(builder) if null => builder.append_null(),
            Builder::Text(builder) => builder.append_value(text.map_or_else(|| String::from_utf8_lossy(bytes), Into::into)),
            Builder::Bytes(builder) => builder.append_option((!null).then_some(bytes)),
            builder => return builder.append_parsed(text, &self.format) || bytes.trim_ascii().is_empty() || null,
        }
        true
    }

    /// Text as it is: the column for corrupt records.
    pub(super) fn append_text(&mut self, bytes: &[u8]) {
        match &mut self.builder {
            Builder::Text(builder) => builder.append_value(String::from_utf8_lossy(bytes)),
            _ => self.append_null(),
        }
    }

    pub(super) fn append_null(&mut self) {
        match &mut self.builder {
            Builder::Text(builder) => builder.append_null(),
            Builder::Bytes(builder) => builder.append_null(),
            builder => {
                builder.append_parsed(None, &self.format);
            }
        }
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match &mut self.builder {
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Bytes(builder) => Arc::new(builder.finish()),
            Builder::Boolean(builder) => Arc::new(builder.finish()),
            Builder::Tiny(builder) => Arc::new(builder.finish()),
            Builder::Small(builder) => Arc::new(builder.finish()),
            Builder::Int(builder) => Arc::new(builder.finish()),
            Builder::Big(builder) => Arc::new(builder.finish()),
            Builder::Float(builder) => Arc::new(builder.finish()),
            Builder::Double(builder) => Arc::new(builder.finish()),
            Builder::Decimal(builder, ..) => Arc::new(builder.finish()),
            Builder::Date(builder) => Arc::new(builder.finish()),
            Builder::Instant(builder) | Builder::Local(builder) => Arc::new(builder.finish()),
            Builder::Null(builder) => Arc::new(builder.finish()),
        }
    }
}

impl Builder {
    /// True if the text gave a value.
    fn append_parsed(&mut self, text: Option<&str>, format: &ValueFormat) -> bool {
        let text = text.map(str::trim).filter(|text| !text.is_empty());
        match self {
            Self::Boolean(builder) => {
                let value = text.and_then(boolean);
                builder.append_option(value);
                value.is_some()
            }
            Self::Tiny(builder) => push(builder, text.and_then(|text| text.parse().ok())),
            Self::Small(builder) => push(builder, text.and_then(|text| text.parse().ok())),
            Self::Int(builder) => push(builder, text.and_then(|text| text.parse().ok())),
            Self::Big(builder) => push(builder, text.and_then(|text| text.parse().ok())),
            Self::Float(builder) => push(builder, text.and_then(float).map(|value| value as f32)),
            Self::Double(builder) => push(builder, text.and_then(float)),
            Self::Decimal(builder, precision, scale) => {
                push(builder, text.and_then(|text| parse_decimal(text.as_bytes(), *precision, *scale)))
            }
            Self::Date(builder) => push(builder, text.and_then(|text| date(text, format))),
            Self::Instant(builder) => {
                push(builder, text.and_then(|text| timestamp(text, format)).and_then(|time| time.instant(format.time_zone)))
            }
            Self::Local(builder) => push(builder, text.and_then(|text| timestamp(text, format)).map(|time| time.local_us)),
            Self::Null(builder) => {
                builder.append_null();
                true
            }
            // Both are appended by the caller, who has the bytes.
            Self::Text(builder) => {
                builder.append_null();
                true
            }
            Self::Bytes(builder) => {
                builder.append_null();
                true
            }
        }
    }
}

fn push<T: ArrowPrimitiveType>(builder: &mut PrimitiveBuilder<T>, value: Option<T::Native>) -> bool {
    builder.append_option(value);
    value.is_some()
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") { Some(true) } else { text.eq_ignore_ascii_case("false").then_some(false) }
}

/// Numbers, and the words that Spark writes for the three that have no digits.
fn float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Inf" | "+Inf" | "Infinity" => Some(f64::INFINITY),
        "-Inf" | "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust would also read `inf` and `nan` in any letter case.
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => text.parse().ok(),
        _ => None,
    }
}

fn date(text: &str, format: &ValueFormat) -> Option<i32> {
    match &format.date_format {
        Some(pattern) => pattern.parse_date(text),
        None => parse::date(text.as_bytes()),
    }
}

fn timestamp(text: &str, format: &ValueFormat) -> Option<parse::LocalTime> {
    match &format.timestamp_format {
        Some(pattern) => pattern.parse(text),
        None => parse::timestamp(text.as_bytes()),
    }
}
