//! Types of columns that only the rows tell: of tables that belong to somebody else.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::rows::{Rows, Value};
use crate::functions::temporal::parse;

/// The columns of `rows`: whole numbers are BIGINT, others DOUBLE, texts in ISO form DATE and TIMESTAMP. What differs from row to row, or is
/// never there, is STRING.
pub fn schema(rows: &[&Rows]) -> SchemaRef {
    let mut fields: Vec<(String, Option<DataType>)> = Vec::new();
    for file in rows {
        for (name, _) in &file.columns {
            if !fields.iter().any(|(known, _)| known == name) {
                fields.push((name.clone(), None));
            }
        }
        for (column, _, value) in file.rows.iter().flat_map(|row| &row.values) {
            let Some((name, _)) = file.columns.get(*column) else { continue };
            let found = of_value(value);
            if let Some((_, known)) = fields.iter_mut().find(|(known, _)| known == name) {
                *known = joined(known.take(), found);
            }
        }
    }
    let field = |(name, data_type): (String, Option<DataType>)| Field::new(name, complete(data_type), true);
    Arc::new(Schema::new(fields.into_iter().map(field).collect::<Vec<_>>()))
}

/// `None` for NULL.
fn of_value(value: &Value) -> Option<DataType> {
    match value {
        Value::Null => None,
        Value::Json(text) => of_json(&serde_json::from_str(text).unwrap_or_default()),
        Value::Text(text) => Some(of_field(text)),
    }
}

fn of_json(value: &serde_json::Value) -> Option<DataType> {
    use serde_json::Value as Json;
    Some(match value {
        Json::Null => return None,
        Json::Bool(_) => DataType::Boolean,
        Json::Number(number) if number.is_i64() => DataType::Int64,
        Json::Number(_) => DataType::Float64,
        Json::String(text) => of_text(text),
        Json::Array(items) => {
            let item = items.iter().map(of_json).fold(None, joined);
            DataType::List(Arc::new(Field::new_list_field(complete(item), true)))
        }
        Json::Object(entries) => {
            let fields = entries.iter().map(|(name, value)| Field::new(name, complete(of_json(value)), true));
            DataType::Struct(fields.collect::<Vec<_>>().into())
        }
    })
}

fn of_field(text: &str) -> DataType {
    match text {
        "true" | "false" => DataType::Boolean,
        _ if text.parse::<i64>().is_ok() => DataType::Int64,
        _ if text.parse::<f64>().is_ok() => DataType::Float64,
        _ => of_text(text),
    }
}

fn of_text(text: &str) -> DataType {
    let begins_like_a_date = text.len() >= 10 && text.as_bytes().get(4) == Some(&b'-') && text.as_bytes().get(7) == Some(&b'-');
    if begins_like_a_date && text.len() == 10 && parse::date(text.as_bytes()).is_some() {
        return DataType::Date32;
    }
    if begins_like_a_date && text.len() > 10 && parse::timestamp(text.as_bytes()).is_some() {
        return DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    }
    DataType::Utf8
}

fn joined(known: Option<DataType>, found: Option<DataType>) -> Option<DataType> {
    match (known, found) {
        (None, other) | (other, None) => other,
        (Some(one), Some(other)) if one == other => Some(one),
        (Some(DataType::Int64), Some(DataType::Float64)) | (Some(DataType::Float64), Some(DataType::Int64)) => Some(DataType::Float64),
        (Some(DataType::Struct(one)), Some(DataType::Struct(other))) => {
            let mut fields: Vec<Field> = one.iter().map(|field| field.as_ref().clone()).collect();
            for field in &other {
                match fields.iter_mut().find(|known| known.name() == field.name()) {
                    Some(known) => {
                        let both = joined(Some(known.data_type().clone()), Some(field.data_type().clone()));
                        *known = Field::new(field.name(), complete(both), true);
                    }
                    None => fields.push(field.as_ref().clone()),
                }
            }
            Some(DataType::Struct(fields.into()))
        }
        (Some(DataType::List(one)), Some(DataType::List(other))) => {
            let item = joined(Some(one.data_type().clone()), Some(other.data_type().clone()));
            Some(DataType::List(Arc::new(Field::new_list_field(complete(item), true))))
        }
        _ => Some(DataType::Utf8),
    }
}

fn complete(data_type: Option<DataType>) -> DataType {
    data_type.unwrap_or(DataType::Utf8)
}
