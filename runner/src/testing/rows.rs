//! Rows of a file of a test, each value with its place, before their types are known.

use std::fs;

use floe_graph::origin::{Diagnostic, Origin};

use super::{
    TestFile,
    find::{Format, RowsFile},
    refused, rows_csv, rows_json,
};
use crate::{failure::Failure, storage::io_failure};

/// A file larger than this is no fixture.
const MOST_BYTES: u64 = 64 << 20;

/// The rows of one file.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Names in the order in which they first appear, with their first place.
    pub columns: Vec<(String, Place)>,
    pub rows: Vec<Row>,
}

/// One row: its values by column of the file.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub values: Vec<(usize, Place, Value)>,
}

/// Line and column, from 1.
pub type Place = (u32, u32);

/// A value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// JSON on one line.
    Json(String),
    /// A field of CSV, without quotes; what it is depends on the type of its column.
    Text(String),
    Null,
}

impl Rows {
    /// The index of the column, which is new if no row had it before.
    pub fn column(&mut self, name: &str, place: Place) -> usize {
        if let Some(at) = self.columns.iter().position(|(known, _)| known == name) {
            return at;
        }
        self.columns.push((name.to_string(), place));
        self.columns.len() - 1
    }
}

/// Reads the file.
pub fn read(file: &RowsFile) -> Result<Rows, Failure> {
    let TestFile { path, place } = &file.file;
    let unreadable = |error| io_failure("read", place, error);
    if fs::metadata(path).map_err(unreadable)?.len() > MOST_BYTES {
        let finding = Diagnostic::error("TEST_ROWS_INVALID", "the file is larger than 64 MiB").at(&Origin::new(place.as_str(), 1, 1));
        return Err(refused(vec![finding.help("a test needs a few rows; large data belong into a benchmark")]));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let parsed = match String::from_utf8(bytes) {
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            match file.format {
                Format::Json => rows_json::parse(text),
                Format::Csv => rows_csv::parse(text),
            }
        }
        Err(_) => {
            Err(Wrong { message: "the file is not a text in UTF-8".to_string(), place: (1, 1), help: "save it as UTF-8".to_string() })
        }
    };
    parsed.map_err(|wrong| {
        let origin = file.file.at(wrong.place.0, wrong.place.1);
        refused(vec![Diagnostic::error("TEST_ROWS_INVALID", wrong.message).at(&origin).help(wrong.help)])
    })
}

/// Why a text holds no rows.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub message: String,
    pub place: Place,
    pub help: String,
}

/// Line and column of a byte of `text`.
pub fn place(text: &str, byte: usize) -> Place {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() as u32 + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
    (line, column)
}
