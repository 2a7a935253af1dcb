//! The functions on JSON text.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, ListBuilder, StringBuilder},
        datatypes::DataType,
    },
    common::Result,
};
use floe_graph::analysis::ddl::type_text;
use serde_json::Value;

use super::{
    call::{Answer, Call, Compiled, Kernel},
    error::FunctionError,
    json::{DecoderError, DecoderOptions, JsonPath, ParseMode, RecordOutcome, ValueDecoder, WriteOptions, write_value},
    temporal::pattern::Pattern,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("from_json", from_json),
    ("to_json", to_json),
    ("get_json_object", |call| path(call, false)),
    ("$json_path", |call| path(call, true)),
    ("json_array_length", |call| {
        let text = call.text(0)?;
        call.ints(|row| match serde_json::from_str(text.at(row)?) {
            Ok(Value::Array(items)) => Some(items.len() as i32),
            _ => None,
        })
    }),
    ("json_object_keys", json_object_keys),
    ("schema_of_json", schema_of_json),
];

/// The entries of a constant map argument; keys in lower case.
fn options(call: &Call<'_>, index: usize) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    if !call.has(index) || call.rows == 0 {
        return Ok(found);
    }
    let argument = call.array(index)?;
    if !matches!(argument.data_type(), DataType::Map(..)) {
        return Err(
            FunctionError::new("INVALID_OPTIONS.NON_MAP_FUNCTION", format!("the options of {} must be a map of texts", call.name)).into()
        );
    }
    let entries = argument.as_map().value(0);
    let texts = |column: usize| datafusion::arrow::compute::cast(entries.column(column), &DataType::Utf8);
    let (keys, values) = (texts(0)?, texts(1)?);
    for (key, value) in keys.as_string::<i32>().iter().zip(values.as_string::<i32>()) {
        found.insert(key.unwrap_or_default().to_lowercase(), value.unwrap_or_default().to_string());
    }
    Ok(found)
}

fn pattern(text: &str) -> Result<Pattern> {
    Pattern::new(text).map_err(|error| FunctionError::new("INVALID_DATETIME_PATTERN", error.to_string()).into())
}

fn decoder_options(call: &Call<'_>) -> Result<DecoderOptions> {
    let given = options(call, 2)?;
    let mode = match given.get("mode").map(|mode| mode.to_ascii_uppercase()) {
        Some(mode) if mode == "FAILFAST" => ParseMode::FailFast,
        // Other words mean PERMISSIVE, as they do in Spark.
        Some(mode) if mode == "DROPMALFORMED" => {
            let message = format!("from_json takes the modes PERMISSIVE and FAILFAST, not {mode}");
            return Err(FunctionError::new("PARSE_MODE_UNSUPPORTED", message).into());
        }
        _ => ParseMode::Permissive,
    };
    let plain = DecoderOptions::default();
    Ok(DecoderOptions {
        mode,
        corrupt_record_column: given.get("columnnameofcorruptrecord").cloned().unwrap_or_else(|| plain.corrupt_record_column.clone()),
        time_zone: call.settings.zone,
        timestamp_format: given.get("timestampformat").map(|text| pattern(text)).transpose()?,
        date_format: given.get("dateformat").map(|text| pattern(text)).transpose()?,
        ..plain
    })
}

fn from_json(call: &Call<'_>) -> Answer {
    let text = call.bytes(0)?;
    let options = decoder_options(call)?;
    let fail_fast = options.mode == ParseMode::FailFast;
    let mut decoder = ValueDecoder::new(call.returns, options).map_err(|error| {
        let class = match error {
            DecoderError::CorruptRecordType { .. } => "INVALID_CORRUPT_RECORD_TYPE",
            DecoderError::UnsupportedType { .. } => "DATATYPE_MISMATCH.INVALID_JSON_SCHEMA",
        };
        FunctionError::new(class, format!("from_json: {error}"))
    })?;
    for row in 0..call.rows {
        let Some(text) = text.at(row) else {
            decoder.append_null();
            continue;
        };
        if let RecordOutcome::Malformed(cause) = decoder.decode(text)
            && fail_fast
        {
            let excerpt: String = String::from_utf8_lossy(text).chars().take(200).collect();
            let message = format!("malformed JSON in from_json: {cause}: {excerpt}");
            return Err(FunctionError::new("MALFORMED_RECORD_IN_PARSING", message).into());
        }
    }
    Ok(decoder.finish()?)
}

fn to_json(call: &Call<'_>) -> Answer {
    let given = options(call, 1)?;
    let options = WriteOptions {
        ignore_null_fields: given.get("ignorenullfields").is_none_or(|value| !value.eq_ignore_ascii_case("false")),
        zone: call.settings.zone,
        timestamp_format: pattern(given.get("timestampformat").map_or("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", String::as_str))?,
        local_format: pattern("yyyy-MM-dd'T'HH:mm:ss.SSS")?,
    };
    let value = call.array(0)?;
    call.try_texts(|row| {
        if value.is_null(row) || value.data_type().is_null() {
            return Ok(None);
        }
        let mut text = String::new();
        write_value(&value, row, &options, &mut text)?;
        Ok(Some(text))
    })
}

fn path(call: &Call<'_>, ignore_case: bool) -> Answer {
    let (json, path) = (call.text(0)?, call.text(1)?);
    let mut compiled = Compiled::new();
    call.try_texts(|row| {
        let (Some(json), Some(path)) = (json.at(row), path.at(row)) else { return Ok(None) };
        let path = compiled.get(path, |path| Ok(JsonPath::parse(path, ignore_case)))?;
        Ok(path.as_ref().and_then(|path| path.extract(json)))
    })
}

fn json_object_keys(call: &Call<'_>) -> Answer {
    let text = call.text(0)?;
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        match text.at(row).map(serde_json::from_str) {
            Some(Ok(Value::Object(object))) => {
                object.keys().for_each(|key| builder.values().append_value(key));
                builder.append(true);
            }
            _ => builder.append(false),
        }
    }
    Ok(Arc::new(builder.finish()) as ArrayRef)
}

fn schema_of_json(call: &Call<'_>) -> Answer {
    let text = call.text(0)?;
    call.try_texts(|row| {
        let Some(text) = text.at(row) else { return Ok(None) };
        let value: Value = serde_json::from_str(text)
            .map_err(|error| FunctionError::new("MALFORMED_RECORD_IN_PARSING", format!("schema_of_json: {error}")))?;
        Ok(Some(type_text(&inferred(&value))))
    })
}

/// The type of a JSON value; the types of an array's items are merged.
fn inferred(value: &Value) -> DataType {
    match value {
        Value::Null | Value::String(_) => DataType::Utf8,
        Value::Bool(_) => DataType::Boolean,
        Value::Number(number) if number.is_i64() => DataType::Int64,
        Value::Number(_) => DataType::Float64,
        Value::Array(items) => {
            let item = items.iter().filter(|item| !item.is_null()).map(inferred).reduce(|left, right| merged(&left, &right));
            DataType::new_list(item.unwrap_or(DataType::Utf8), true)
        }
        Value::Object(object) => {
            let sorted: BTreeMap<&String, DataType> = object.iter().map(|(name, value)| (name, inferred(value))).collect();
            struct_of(sorted.into_iter().map(|(name, data_type)| (name.clone(), data_type)))
        }
    }
}

fn struct_of(fields: impl Iterator<Item = (String, DataType)>) -> DataType {
    use datafusion::arrow::datatypes::Field;
    DataType::Struct(fields.map(|(name, data_type)| Field::new(name, data_type, true)).collect())
}

fn merged(left: &DataType, right: &DataType) -> DataType {
    match (left, right) {
        (left, right) if left == right => left.clone(),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => DataType::Float64,
        (DataType::List(left), DataType::List(right)) => DataType::new_list(merged(left.data_type(), right.data_type()), true),
        (DataType::Struct(left), DataType::Struct(right)) => {
            let mut all: BTreeMap<String, DataType> = left.iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
            for field in right {
                let known = all.get(field.name()).map(|known| merged(known, field.data_type()));
                all.insert(field.name().clone(), known.unwrap_or_else(|| field.data_type().clone()));
            }
            struct_of(all.into_iter())
        }
        _ => DataType::Utf8,
    }
}
