//! Types of columns that only the rows tell: of tables that belong to somebody else.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};

use super::rows::{Rows, Value};
use crate::source::files::infer::{
    kind::{Kind, Shape, Typing},
    text::{Patterns, kind_of},
};

/// The columns of `rows`: kinds as in files that tell their schema, and texts of JSON in ISO form are DATE and TIMESTAMP.
pub fn schema(rows: &[&Rows]) -> SchemaRef {
    let mut shape = Shape::default();
    for file in rows {
        let places: Vec<usize> = file.columns.iter().map(|(name, _)| shape.named(name)).collect();
        for (column, _, value) in file.rows.iter().flat_map(|row| &row.values) {
            let known = places.get(*column).and_then(|place| shape.kind_mut(*place));
            if let Some(kind) = known {
                *kind = std::mem::take(kind).and(of_value(value));
            }
        }
    }
    Arc::new(Schema::new(shape.columns(Typing { infer_types: true, primitives_as_string: false })))
}

fn of_value(value: &Value) -> Kind {
    match value {
        Value::Null => Kind::Null,
        Value::Json(text) => of_json(&serde_json::from_str(text).unwrap_or_default()),
        // A text without a letter is there, other than NULL.
        Value::Text(text) if text.trim().is_empty() => Kind::Text,
        Value::Text(text) => kind_of(text, &Patterns::default()),
    }
}

fn of_json(value: &serde_json::Value) -> Kind {
    use serde_json::Value as Json;
    match value {
        Json::Null => Kind::Null,
        Json::Bool(_) => Kind::Boolean,
        Json::Number(number) if number.is_i64() => Kind::Long,
        Json::Number(_) => Kind::Double,
        Json::String(text) => match kind_of(text, &Patterns::default()) {
            kind @ (Kind::Date | Kind::Timestamp) => kind,
            _ => Kind::Text,
        },
        Json::Array(items) => Kind::List(Box::new(items.iter().map(of_json).fold(Kind::Null, Kind::and))),
        Json::Object(entries) => {
            let mut shape = Shape::default();
            for (name, value) in entries {
                let place = shape.named(name);
                if let Some(kind) = shape.kind_mut(place) {
                    *kind = std::mem::take(kind).and(of_json(value));
                }
            }
            Kind::Struct(Box::new(shape))
        }
    }
}
