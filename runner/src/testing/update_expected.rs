//! `--update-expected`: what came out becomes what is expected, with as few changed lines as possible.

use std::fs;

use super::{
    cells::{Cell, Cells},
    difference::Difference,
    find::{Format, RowsFile},
};
use crate::{failure::Failure, storage::io_failure};

/// The rows as they are now: those of the file in its order, new ones behind them.
pub fn rows(expected: Vec<Cells>, difference: &Difference) -> Vec<Cells> {
    let mut rows: Vec<Option<Cells>> = expected.into_iter().map(Some).collect();
    for line in &difference.missing {
        if let Some(row) = rows.get_mut(line.at) {
            *row = None;
        }
    }
    for pair in &difference.changed {
        if let Some(row) = rows.get_mut(pair.expected.at) {
            *row = Some(pair.actual.cells.clone());
        }
    }
    rows.into_iter().flatten().chain(difference.unexpected.iter().map(|line| line.cells.clone())).collect()
}

/// Writes the rows into the file.
pub fn write(file: &RowsFile, columns: &[String], rows: &[Cells]) -> Result<(), Failure> {
    let text = match file.format {
        Format::Json => json(columns, rows),
        Format::Csv => csv(columns, rows),
    };
    let failure = |error| io_failure("write", &file.file.place, error);
    if let Some(folder) = file.file.path.parent() {
        fs::create_dir_all(folder).map_err(failure)?;
    }
    fs::write(&file.file.path, text).map_err(failure)
}

fn json(columns: &[String], rows: &[Cells]) -> String {
    let row = |cells: &Cells| {
        let value = |(name, cell): (&String, &Cell)| format!("{}: {}", serde_json::Value::String(name.clone()), cell.json);
        format!("{{{}}}\n", columns.iter().zip(cells).map(value).collect::<Vec<_>>().join(", "))
    };
    rows.iter().map(row).collect()
}

fn csv(columns: &[String], rows: &[Cells]) -> String {
    let header = columns.iter().map(|name| field(name)).collect::<Vec<_>>().join(",");
    let value = |cell: &Cell| match serde_json::from_str::<String>(&cell.json) {
        Ok(text) if text.is_empty() => "\"\"".to_string(),
        Ok(text) => field(&text),
        Err(_) if cell.json == "null" => String::new(),
        Err(_) => field(&cell.json),
    };
    let row = |cells: &Cells| cells.iter().map(value).collect::<Vec<_>>().join(",");
    std::iter::once(header).chain(rows.iter().map(row)).map(|line| line + "\n").collect()
}

fn field(text: &str) -> String {
    let is_plain = !text.contains([',', '"', '\n', '\r']) && text.trim() == text && !text.is_empty();
    if is_plain { text.to_string() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}
