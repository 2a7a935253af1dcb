//! Values as JSON text: `to_json`.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        datatypes::{DataType, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType},
        util::display::{ArrayFormatter, FormatOptions},
    },
    common::Result,
    error::DataFusionError,
};

use super::path::quote_into;
use crate::functions::temporal::{pattern::Pattern, zone::Zone};

/// How values are written.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub ignore_null_fields: bool,
    pub zone: Zone,
    pub timestamp_format: Pattern,
    pub local_format: Pattern,
}

/// The value of one row, with times as ISO 8601 in UTC. A value of a type that JSON has no form for is its text.
pub fn value_text(array: &ArrayRef, row: usize) -> Result<String> {
    let pattern = |text: &str| Pattern::new(text).map_err(|error| DataFusionError::Internal(error.to_string()));
    let options = WriteOptions {
        ignore_null_fields: true,
        zone: crate::functions::temporal::zone::UTC,
        timestamp_format: pattern("yyyy-MM-dd'T'HH:mm:ss.SSSXXX")?,
        local_format: pattern("yyyy-MM-dd'T'HH:mm:ss.SSS")?,
    };
    let mut text = String::new();
    write_value(array, row, &options, &mut text)?;
    Ok(text)
}

/// Appends the value of one row.
pub(crate) fn write_value(array: &ArrayRef, row: usize, options: &WriteOptions, text: &mut String) -> Result<()> {
    if array.is_null(row) || array.data_type().is_null() {
        text.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => quote_into(array.as_string::<i32>().value(row), text),
        DataType::Binary => quote_into(&STANDARD.encode(array.as_binary::<i32>().value(row)), text),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row), text),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            // The shortest text of the 32-bit value, not that of its 64-bit neighbour.
            float(value.to_string().parse().unwrap_or(f64::from(value)), text);
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let value = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let mut time = String::new();
            match zone {
                Some(_) => options.timestamp_format.format_into(value, options.zone, &mut time),
                None => options.local_format.format_into(value, crate::functions::temporal::zone::UTC, &mut time),
            }
            quote_into(&time, text);
        }
        DataType::Date32 => {
            let format = FormatOptions::default();
            quote_into(&ArrayFormatter::try_new(array, &format)?.value(row).to_string(), text);
        }
        DataType::List(_) => write_items(&array.as_list::<i32>().value(row), options, text)?,
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter();
            write_fields(fields.iter().map(|field| field.name().as_str()).zip(columns), row, options, text)?;
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            text.push('{');
            for entry in 0..entries.len() {
                if entry > 0 {
                    text.push(',');
                }
                quote_into(&key_text(entries.column(0), entry)?, text);
                text.push(':');
                write_value(entries.column(1), entry, options, text)?;
            }
            text.push('}');
        }
        _ => {
            let format = FormatOptions::default();
            // Writing into a string cannot fail.
            let _ = write!(text, "{}", ArrayFormatter::try_new(array, &format)?.value(row));
        }
    }
    Ok(())
}

fn float(value: f64, text: &mut String) {
    if value.is_finite() {
        crate::functions::cast::double_text(value, text);
    } else {
        let mut word = String::new();
        crate::functions::cast::double_text(value, &mut word);
        quote_into(&word, text);
    }
}

fn key_text(keys: &ArrayRef, row: usize) -> Result<String> {
    Ok(ArrayFormatter::try_new(keys, &FormatOptions::default())?.value(row).to_string())
}

fn write_items(items: &ArrayRef, options: &WriteOptions, text: &mut String) -> Result<()> {
    text.push('[');
    for row in 0..items.len() {
        if row > 0 {
            text.push(',');
        }
        write_value(items, row, options, text)?;
    }
    text.push(']');
    Ok(())
}

fn write_fields<'a>(
    fields: impl Iterator<Item = (&'a str, &'a ArrayRef)>,
    row: usize,
    options: &WriteOptions,
    text: &mut String,
) -> Result<()> {
    text.push('{');
    let mut first = true;
    for (name, column) in fields {
        if options.ignore_null_fields && (column.is_null(row) || column.data_type().is_null()) {
            continue;
        }
        if !first {
            text.push(',');
        }
        first = false;
        quote_into(name, text);
        text.push(':');
        write_value(column, row, options, text)?;
    }
    text.push('}');
    Ok(())
}
