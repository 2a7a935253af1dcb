//! Rows with the types of their columns. What production would read as NULL because it does not fit is an error here.

use std::{fmt::Write, sync::Arc};

use datafusion::arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, Schema},
};
use floe_crds::text::nearest;
use floe_graph::{analysis::ddl::type_text, origin::Diagnostic};

use super::{
    TestFile,
    rows::{Place, Rows, Value},
};
use crate::{
    failure::Failure,
    functions::{
        json::{DecoderOptions, RecordOutcome, ValueDecoder},
        temporal::zone::Zone,
    },
};

/// So many findings about one file are enough to see what is wrong.
const MOST_FINDINGS: usize = 20;

/// Rows that fit their columns.
#[derive(Debug)]
pub struct Typed {
    /// The columns that the file names, in the order of the dataset.
    pub batch: RecordBatch,
    /// The same rows, one JSON object per line, for readers of files.
    pub lines: String,
}

/// What the rows of a file are rows of.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The dataset as people call it.
    pub dataset: &'a str,
    pub schema: &'a Schema,
    /// What a timestamp without a zone means.
    pub zone: Zone,
}

/// Fits `rows` to the columns of `target`, or says of each value where and why not.
pub fn typed(rows: &Rows, target: &Target<'_>, file: &TestFile) -> Result<Typed, Failure> {
    let mut findings = Vec::new();
    let columns = columns(rows, target, file, &mut findings);
    let mut used: Vec<usize> = columns.iter().flatten().copied().collect();
    used.sort_unstable();
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    let mut texts: Vec<Vec<Option<String>>> = Vec::new();
    for index in used {
        let field = target.schema.field(index);
        let of_file = columns.iter().position(|column| *column == Some(index));
        let column = Column { field, file, zone: target.zone };
        let (array, text) = column.values(rows, of_file, &mut findings)?;
        fields.push(Field::new(field.name(), array.data_type().clone(), true));
        arrays.push(array);
        texts.push(text);
    }
    if !findings.is_empty() {
        findings.sort_by(|a, b| a.origin.cmp(&b.origin));
        findings.truncate(MOST_FINDINGS);
        return Err(super::refused(findings));
    }
    let lines = lines(rows.rows.len(), &fields, &texts);
    let options = RecordBatchOptions::new().with_row_count(Some(rows.rows.len()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|error| Failure::internal("the rows of a test make no batch").caused_by(error))?;
    Ok(Typed { batch, lines })
}

/// Per column of the file that of the dataset; letter case does not count if nothing else fits.
fn columns(rows: &Rows, target: &Target<'_>, file: &TestFile, findings: &mut Vec<Diagnostic>) -> Vec<Option<usize>> {
    let fields = target.schema.fields();
    let mut taken = Vec::new();
    let mut columns = Vec::new();
    for (name, place) in &rows.columns {
        let exact = fields.iter().position(|field| field.name() == name);
        let found = exact.or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)));
        let at = file.at(place.0, place.1);
        match found {
            None => {
                let message = format!("{} has no column {name}", target.dataset);
                let finding = Diagnostic::error("UNRESOLVED_COLUMN.WITH_SUGGESTION", message).at(&at);
                let known = || fields.iter().map(|field| field.name().as_str());
                findings.push(match nearest(name, known()) {
                    Some(near) => finding.help(format!("did you mean {near}?")),
                    None => finding.help(format!("its columns are {}", known().collect::<Vec<_>>().join(", "))),
                });
            }
            Some(index) if taken.contains(&index) => {
                let message = format!("column {} of {} has two spellings", fields[index].name(), target.dataset);
                findings.push(Diagnostic::error("COLUMN_ALREADY_EXISTS", message).at(&at).help("use one of them in all rows"));
            }
            Some(index) => taken.push(index),
        }
        columns.push(found);
    }
    columns
}

struct Column<'a> {
    field: &'a Field,
    file: &'a TestFile,
    zone: Zone,
}

impl Column<'_> {
    /// All values, and the JSON text of each; NULL where a row does not have the column.
    fn values(
        &self,
        rows: &Rows,
        column: Option<usize>,
        findings: &mut Vec<Diagnostic>,
    ) -> Result<(ArrayRef, Vec<Option<String>>), Failure> {
        let options = DecoderOptions { time_zone: self.zone, ..DecoderOptions::default() };
        let mut decoder = ValueDecoder::new(self.field.data_type(), options).map_err(|error| {
            Failure::user("UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE", format!("{}: {error}", self.file.place)).help("leave the column out")
        })?;
        let mut texts = Vec::new();
        for row in &rows.rows {
            let value = row.values.iter().find(|(at, ..)| Some(*at) == column);
            let text = value.and_then(|(_, place, value)| Some((*place, self.json(value)?)));
            let Some((place, text)) = text else {
                decoder.append_null();
                texts.push(None);
                continue;
            };
            let before = decoder.counts().mismatches;
            let outcome = decoder.decode(text.as_bytes());
            if matches!(outcome, RecordOutcome::Malformed(_)) || decoder.counts().mismatches > before {
                findings.push(self.misfit(&text, place));
            } else if let Some(unknown) = unknown_key(&serde_json::from_str(&text).unwrap_or_default(), self.field.data_type(), "") {
                let message = format!("column {} has no field {unknown}", self.field.name());
                let finding = Diagnostic::error("UNRESOLVED_COLUMN.WITH_SUGGESTION", message).at(&self.file.at(place.0, place.1));
                findings.push(finding.help(format!("its type is {}", type_text(self.field.data_type()))));
            }
            texts.push(Some(text));
        }
        let array = decoder.finish().map_err(|error| Failure::internal("the values of a test make no column").caused_by(error))?;
        Ok((array, texts))
    }

    fn misfit(&self, text: &str, place: Place) -> Diagnostic {
        let shown: String = if text.chars().count() > 60 { text.chars().take(60).chain(['…']).collect() } else { text.to_string() };
        let data_type = self.field.data_type();
        let message = format!("{shown} is no value of column {}, which is {}", self.field.name(), type_text(data_type));
        let help = match data_type {
            DataType::Timestamp(..) => "write it like 2026-01-31T08:00:00Z",
            DataType::Date32 => "write it like 2026-01-31",
            DataType::Binary => "write it in base64",
            DataType::Decimal128(..) => "write it with at most so many digits",
            DataType::Struct(_) | DataType::List(_) | DataType::Map(..) => "write it as JSON, each value with the type of its field",
            _ => "correct the value, or the type in the query",
        };
        Diagnostic::error("CAST_INVALID_INPUT", message).at(&self.file.at(place.0, place.1)).help(help)
    }

    /// The value as JSON; `None` is NULL.
    fn json(&self, value: &Value) -> Option<String> {
        let text = match value {
            Value::Null => return None,
            Value::Json(text) => return Some(text.clone()),
            Value::Text(text) => text,
        };
        let is_json = match self.field.data_type() {
            DataType::Struct(_) | DataType::List(_) | DataType::Map(..) => true,
            DataType::Boolean if ["true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word)) => return Some(text.to_lowercase()),
            DataType::Boolean => false,
            data_type => data_type.is_numeric() && serde_json::from_str::<serde_json::Number>(text).is_ok(),
        };
        Some(if is_json { text.replace(['\n', '\r'], " ") } else { serde_json::Value::String(text.clone()).to_string() })
    }
}

/// A key that no field of `data_type` has.
fn unknown_key(value: &serde_json::Value, data_type: &DataType, path: &str) -> Option<String> {
    use serde_json::Value as Json;
    match (value, data_type) {
        (Json::Object(entries), DataType::Struct(fields)) => entries.iter().find_map(|(name, value)| {
            let path = format!("{path}{name}");
            match fields.iter().find(|field| field.name() == name) {
                Some(field) => unknown_key(value, field.data_type(), &format!("{path}.")),
                None => Some(path),
            }
        }),
        (Json::Array(items), DataType::List(item)) => items.iter().find_map(|value| unknown_key(value, item.data_type(), path)),
        (Json::Object(entries), DataType::Map(pair, _)) => match pair.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                entries.iter().find_map(|(name, value)| unknown_key(value, fields[1].data_type(), &format!("{path}{name}.")))
            }
            _ => None,
        },
        _ => None,
    }
}

fn lines(rows: usize, fields: &[Field], texts: &[Vec<Option<String>>]) -> String {
    let mut lines = String::new();
    for row in 0..rows {
        let value = |(field, texts): (&Field, &Vec<Option<String>>)| {
            let text = texts.get(row)?.as_deref()?;
            Some(format!("{}:{text}", serde_json::Value::String(field.name().clone())))
        };
        let values: Vec<String> = fields.iter().zip(texts).filter_map(value).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{{{}}}", values.join(","));
    }
    lines
}
