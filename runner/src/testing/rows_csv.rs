//! Rows as CSV with a header: an empty field is NULL, `""` an empty text; dates, numbers and JSON of nested values as they are.

use super::rows::{Place, Row, Rows, Value, Wrong};
use crate::source::files::csv_fields::{Dialect, Fields};

/// The rows of `text`.
pub fn parse(text: &str) -> Result<Rows, Wrong> {
    let dialect = Dialect { separator: b',', quote: Some(b'"'), escape: Some(b'"'), comment: None, multi_line: true };
    let mut rows = Rows::default();
    let (mut rest, mut line, mut has_header) = (text.as_bytes(), 1, false);
    let mut fields = Fields::default();
    while let Some(record) = dialect.next_record(rest, true) {
        let content = rest.get(..record.length).unwrap_or_default();
        let begins = line;
        line += 1 + record.extra_lines as u32;
        rest = rest.get(record.used..).unwrap_or_default();
        if record.is_blank {
            // In a file with one column the field of an empty line is NULL.
            if has_header && rows.columns.len() == 1 && content.iter().all(|byte| *byte == b'\r') {
                rows.rows.push(Row { values: vec![(0, (begins, 1), Value::Null)] });
            }
            continue;
        }
        fields.split(content, &dialect);
        if fields.is_broken() {
            let help = "close it, and write a quote within quotes twice".to_string();
            return Err(Wrong { message: "a quote is opened and never closed".to_string(), place: (begins, 1), help });
        }
        let places = places(content, begins);
        if has_header {
            rows.rows.push(row(&fields, &places, rows.columns.len(), begins)?);
        } else {
            header(&fields, &places, &mut rows)?;
            has_header = true;
        }
    }
    Ok(rows)
}

fn header(fields: &Fields, places: &[Place], rows: &mut Rows) -> Result<(), Wrong> {
    for at in 0..fields.len() {
        let name = String::from_utf8_lossy(fields.get(at).0).trim().to_string();
        let place = places.get(at).copied().unwrap_or((1, 1));
        if name.is_empty() || rows.columns.iter().any(|(known, _)| *known == name) {
            let message = if name.is_empty() { "a column without a name".to_string() } else { format!("the column {name} stands twice") };
            return Err(Wrong { message, place, help: "the first line names the columns".to_string() });
        }
        rows.column(&name, place);
    }
    Ok(())
}

fn row(fields: &Fields, places: &[Place], columns: usize, line: u32) -> Result<Row, Wrong> {
    if fields.len() != columns {
        let message = format!("the row has {} fields, the header {columns}", fields.len());
        let help = "put values with commas into quotes".to_string();
        return Err(Wrong { message, place: (line, 1), help });
    }
    let value = |at: usize| {
        let (bytes, quoted) = fields.get(at);
        let value = if bytes.is_empty() && !quoted { Value::Null } else { Value::Text(String::from_utf8_lossy(bytes).into_owned()) };
        (at, places.get(at).copied().unwrap_or((line, 1)), value)
    };
    Ok(Row { values: (0..columns).map(value).collect() })
}

/// Where the fields of a record begin.
fn places(record: &[u8], line: u32) -> Vec<Place> {
    let text = String::from_utf8_lossy(record);
    let mut places = vec![(line, 1)];
    let (mut at, mut inside) = ((line, 1), false);
    for character in text.chars() {
        at = if character == '\n' { (at.0 + 1, 1) } else { (at.0, at.1 + 1) };
        inside ^= character == '"';
        if character == ',' && !inside {
            places.push(at);
        }
    }
    places
}
