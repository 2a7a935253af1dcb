//! Rows of a query as a table for people or as JSON.

use comfy_table::{CellAlignment, ContentArrangement, Table};
use datafusion::arrow::{
    array::{Array, RecordBatch},
    datatypes::{DataType, Schema},
    error::ArrowError,
    json::{WriterBuilder, writer::JsonArray},
    util::display::{ArrayFormatter, FormatOptions},
};
use serde_json::Value;

use super::{HEADER_LINE_ONLY, Hidden, counted};

/// Longest cell in a table.
const MAX_CELL_CHARS: usize = 1_000;

/// `batches` as a table with a line that counts its rows; at most `max_rows` are shown (0 = all), without what is `hidden`.
pub fn table(schema: &Schema, batches: &[RecordBatch], max_rows: usize, hidden: &Hidden) -> Result<String, ArrowError> {
    let mut table = Table::new();
    table.load_preset(HEADER_LINE_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(schema.fields().iter().map(|field| field.name().clone()));
    for (i, field) in schema.fields().iter().enumerate() {
        if let Some(column) = table.column_mut(i)
            && field.data_type().is_numeric()
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let options = FormatOptions::default().with_null("NULL").with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let options = options.with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"));
    let limit = if max_rows == 0 { usize::MAX } else { max_rows };
    let (mut shown, mut total) = (0, 0);
    for batch in batches {
        total += batch.num_rows();
        let formatters: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows().min(limit - shown) {
            let cell = |(i, formatter): (usize, &ArrayFormatter<'_>)| {
                // Before it is broken into lines.
                hidden.text(&cell(batch.column(i).as_ref(), row, formatter)).into_owned()
            };
            table.add_row(formatters.iter().enumerate().map(cell).collect::<Vec<_>>());
            shown += 1;
        }
    }
    let count = counted(total as u64, "row");
    let count = if shown < total { format!("{count}, {shown} shown (--max-rows)") } else { count };
    if schema.fields().is_empty() { Ok(count) } else { Ok(format!("{}\n{count}", table.trim_fmt())) }
}

fn cell(column: &dyn Array, row: usize, formatter: &ArrayFormatter<'_>) -> String {
    let text = if column.is_valid(row) && matches!(column.data_type(), DataType::Binary | DataType::LargeBinary) {
        format!("0x{}", formatter.value(row))
    } else {
        formatter.value(row).to_string()
    };
    if text.chars().count() <= MAX_CELL_CHARS {
        return text;
    }
    let cut: String = text.chars().take(MAX_CELL_CHARS).collect();
    format!("{cut}…")
}

/// `batches` as a JSON array of objects; NULL columns are `null`.
pub fn json(batches: &[RecordBatch]) -> Result<Value, ArrowError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let text = writer.into_inner();
    if text.is_empty() {
        return Ok(Value::Array(Vec::new()));
    }
    serde_json::from_slice(&text).map_err(|error| ArrowError::JsonError(error.to_string()))
}

/// `batch` as one JSON object per row; fields that are NULL are absent.
pub fn json_objects(batch: &RecordBatch) -> Result<Vec<Value>, ArrowError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(false).build::<_, JsonArray>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    match serde_json::from_slice(&writer.into_inner()) {
        Ok(Value::Array(rows)) => Ok(rows),
        Ok(other) => Ok(vec![other]),
        Err(error) => Err(ArrowError::JsonError(error.to_string())),
    }
}
