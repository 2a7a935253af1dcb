//! Delta's JSON schema to Arrow and back. Arrow names inside lists and maps are always `element`, `key_value`, `key`, `value`.

use std::{collections::HashMap, sync::Arc};

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// Key of a column's comment in the metadata of an Arrow field and of a Delta field.
const COMMENT: &str = "comment";

/// `schema` as Delta's schema string.
pub(super) fn to_delta(schema: &Schema) -> Result<String, Failure> {
    let fields = schema.fields().iter().map(|field| delta_field(field)).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({"type": "struct", "fields": fields}).to_string())
}

/// The Arrow schema of Delta's schema string.
pub(super) fn from_delta(text: &str) -> Result<SchemaRef, Failure> {
    let value: Value = serde_json::from_str(text).map_err(|error| corrupt(&error.to_string()))?;
    let DataType::Struct(fields) = arrow_type(&value)? else { return Err(corrupt("the schema is not a struct")) };
    Ok(Arc::new(Schema::new(fields)))
}

/// True if any part of the schema is a timestamp without zone, which needs a table feature.
pub(super) fn has_timestamp_ntz(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, None) => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_timestamp_ntz(field.data_type())),
        DataType::List(field) | DataType::LargeList(field) | DataType::Map(field, _) => has_timestamp_ntz(field.data_type()),
        _ => false,
    }
}

fn delta_field(field: &Field) -> Result<Value, Failure> {
    let mut metadata: Map<String, Value> = Map::new();
    let mut entries: Vec<_> =
        field.metadata().iter().filter(|(key, _)| !key.starts_with("ARROW:") && !key.starts_with("PARQUET:")).collect();
    entries.sort();
    for (key, value) in entries {
        // Other engines' field metadata is JSON of any shape; it travels through Arrow as text.
        let value = if key == COMMENT {
            Value::String(value.clone())
        } else {
            serde_json::from_str(value).unwrap_or_else(|_| value.clone().into())
        };
        metadata.insert(key.clone(), value);
    }
    let delta = delta_type(field.data_type()).map_err(|failure| failure_in(failure, field.name()))?;
    Ok(json!({"name": field.name(), "type": delta, "nullable": field.is_nullable(), "metadata": metadata}))
}

fn failure_in(failure: Failure, column: &str) -> Failure {
    Failure { message: format!("column `{column}`: {}", failure.message), ..failure }
}

/// The Delta type of `data_type`, as it stands in a schema string.
pub(super) fn delta_type(data_type: &DataType) -> Result<Value, Failure> {
    Ok(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "byte".into(),
        DataType::Int16 | DataType::UInt8 => "short".into(),
        DataType::Int32 | DataType::UInt16 => "integer".into(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "long".into(),
        DataType::Float16 | DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "binary".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp".into(),
        DataType::Timestamp(_, None) => "timestamp_ntz".into(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale)
            if *precision <= 38 && *scale >= 0 =>
        {
            format!("decimal({precision},{scale})").into()
        }
        DataType::Dictionary(_, value) => delta_type(value)?,
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| delta_field(field)).collect::<Result<Vec<_>, _>>()?;
            json!({"type": "struct", "fields": fields})
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::FixedSizeList(item, _) => {
            json!({"type": "array", "elementType": delta_type(item.data_type())?, "containsNull": item.is_nullable()})
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else { return Err(unsupported(data_type)) };
            let [key, value] = pair.as_ref() else { return Err(unsupported(data_type)) };
            json!({"type": "map", "keyType": delta_type(key.data_type())?, "valueType": delta_type(value.data_type())?,
                "valueContainsNull": value.is_nullable()})
        }
        other => return Err(unsupported(other)),
    })
}

fn unsupported(data_type: &DataType) -> Failure {
    Failure::user("DELTA_UNSUPPORTED_TYPE", format!("a Delta table cannot hold values of type {data_type}"))
        .help("cast the column in the query to a type that Delta knows, for example STRING")
}

fn corrupt(reason: &str) -> Failure {
    Failure::user("DELTA_SCHEMA_NOT_READABLE", format!("the schema of the Delta table cannot be read: {reason}"))
        .help("the table uses a type that this release does not know, or its log is damaged")
}

fn arrow_type(value: &Value) -> Result<DataType, Failure> {
    match value {
        Value::String(name) => primitive(name),
        Value::Object(object) => match object.get("type").and_then(Value::as_str) {
            Some("struct") => {
                let fields = object.get("fields").and_then(Value::as_array).ok_or_else(|| corrupt("a struct without fields"))?;
                Ok(DataType::Struct(fields.iter().map(arrow_field).collect::<Result<Fields, _>>()?))
            }
            Some("array") => {
                let nullable = object.get("containsNull").and_then(Value::as_bool).unwrap_or(true);
                Ok(DataType::List(Arc::new(Field::new("element", arrow_type(&object["elementType"])?, nullable))))
            }
            Some("map") => {
                let nullable = object.get("valueContainsNull").and_then(Value::as_bool).unwrap_or(true);
                let key = Field::new("key", arrow_type(&object["keyType"])?, false);
                let value = Field::new("value", arrow_type(&object["valueType"])?, nullable);
                let entries = Field::new("key_value", DataType::Struct(Fields::from(vec![key, value])), false);
                Ok(DataType::Map(Arc::new(entries), false))
            }
            other => Err(corrupt(&format!("unknown type {other:?}"))),
        },
        other => Err(corrupt(&format!("unknown type {other}"))),
    }
}

fn arrow_field(value: &Value) -> Result<Field, Failure> {
    let name = value.get("name").and_then(Value::as_str).ok_or_else(|| corrupt("a field without name"))?;
    let nullable = value.get("nullable").and_then(Value::as_bool).unwrap_or(true);
    let metadata: HashMap<String, String> = match value.get("metadata").and_then(Value::as_object) {
        Some(entries) => entries.iter().map(|(key, value)| (key.clone(), text_of(key, value))).collect(),
        None => HashMap::new(),
    };
    let data_type = arrow_type(value.get("type").unwrap_or(&Value::Null)).map_err(|failure| failure_in(failure, name))?;
    Ok(Field::new(name, data_type, nullable).with_metadata(metadata))
}

fn text_of(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) if key == COMMENT || serde_json::from_str::<Value>(text).is_err() => text.clone(),
        other => other.to_string(),
    }
}

fn primitive(name: &str) -> Result<DataType, Failure> {
    Ok(match name {
        "string" => DataType::Utf8,
        "boolean" => DataType::Boolean,
        "byte" => DataType::Int8,
        "short" => DataType::Int16,
        "integer" => DataType::Int32,
        "long" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
        decimal => {
            let inner = decimal.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')'));
            let parts = inner.and_then(|inner| inner.split_once(','));
            let parsed = parts.and_then(|(precision, scale)| Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?)));
            let (precision, scale) = parsed.ok_or_else(|| corrupt(&format!("unknown type {decimal:?}")))?;
            DataType::Decimal128(precision, scale)
        }
    })
}
