//! Values as texts: what is compared, shown, and written into expected files.

use chrono::{DateTime, SecondsFormat};
use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, TimeUnit, TimestampMicrosecondType},
};

use crate::{
    engine_failure::engine_error,
    failure::Failure,
    functions::{
        json::{WriteOptions, write_value},
        temporal::{pattern::Pattern, zone::UTC},
    },
};

/// Digits of floating-point numbers that are compared.
const DIGITS: usize = 12;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// JSON that reads back as the value; `null` for NULL.
    pub json: String,
    /// Equal for equal values.
    pub key: String,
}

impl Cell {
    /// What people see: texts without quotes, NULL as such.
    pub fn shown(&self) -> String {
        match serde_json::from_str::<String>(&self.json) {
            // A text that could be taken for something else keeps its quotes.
            Ok(text) if text.is_empty() || text.trim() != text || text == "NULL" || text.chars().any(char::is_control) => self.json.clone(),
            Ok(text) => text,
            Err(_) if self.json == "null" => "NULL".to_string(),
            Err(_) => self.json.clone(),
        }
    }
}

/// The values of one row, one per column.
pub type Cells = Vec<Cell>;

/// All rows of `batches`, which have the same columns.
pub fn rows(batches: &[RecordBatch]) -> Result<Vec<Cells>, Failure> {
    let pattern = |text: &str| Pattern::new(text).map_err(|error| Failure::internal(error.to_string()));
    let options = WriteOptions {
        ignore_null_fields: false,
        zone: UTC,
        timestamp_format: pattern("yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX")?,
        local_format: pattern("yyyy-MM-dd'T'HH:mm:ss.SSSSSS")?,
    };
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| cell(column, row, &options));
            rows.push(cells.collect::<Result<Cells, Failure>>()?);
        }
    }
    Ok(rows)
}

fn cell(column: &ArrayRef, row: usize, options: &WriteOptions) -> Result<Cell, Failure> {
    let mut json = String::new();
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, zone) if column.is_valid(row) => {
            let value = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let text = DateTime::from_timestamp_micros(value).map(|instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            let text = text.unwrap_or_else(|| value.to_string());
            let text = if zone.is_some() { text } else { text.trim_end_matches('Z').to_string() };
            json = serde_json::Value::String(text).to_string();
        }
        _ => write_value(column, row, options, &mut json).map_err(engine_error)?,
    }
    let key = if has_floats(column.data_type()) { rounded(&json) } else { json.clone() };
    Ok(Cell { json, key })
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(item) | DataType::Map(item, _) => has_floats(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}

/// The JSON with numbers that have a fraction cut to the digits that count.
fn rounded(json: &str) -> String {
    fn walk(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Number(number) => {
                if let Some(float) = number.as_f64().filter(|_| number.is_f64()) {
                    let float = if float == 0.0 { 0.0 } else { float };
                    *value = serde_json::Value::String(format!("{float:.*e}", DIGITS - 1));
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(walk),
            serde_json::Value::Object(entries) => entries.values_mut().for_each(walk),
            _ => {}
        }
    }
    let Ok(mut value) = serde_json::from_str(json) else { return json.to_string() };
    walk(&mut value);
    value.to_string()
}
