//! Schemas of files that no query declares: what storage must tell, hints over what it told, and what later files add. Pure.

use std::{collections::BTreeMap, sync::Arc};

use datafusion_common::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};

use crate::{
    analysis::ddl,
    origin::Diagnostic,
    relation::{Relation, RelationKind},
    type_widening,
};

/// The class of a relation whose schema nobody has looked up.
pub const NOT_OBSERVED: &str = "FILE_SCHEMA_NOT_OBSERVED";

/// Columns and nested fields of one relation; data whose keys are values would make a table of any width.
pub const MOST_FIELDS: usize = 5_000;

/// Columns and nested fields.
pub fn width(fields: &Fields) -> usize {
    fn below(data_type: &DataType) -> usize {
        match data_type {
            DataType::Struct(fields) => width(fields),
            DataType::List(item) => below(item.data_type()),
            DataType::Map(entries, _) => below(entries.data_type()),
            _ => 0,
        }
    }
    fields.iter().map(|field| 1 + below(field.data_type())).sum()
}

/// The error of an inferred schema with more fields than that; `what` has them.
pub fn too_wide(what: &str) -> Diagnostic {
    let error = Diagnostic::error("FILE_SCHEMA_TOO_WIDE", format!("{what} are more than {MOST_FIELDS}"));
    error.help("give a schema, in which an object whose keys are values is a MAP<STRING, …>")
}

/// The option with the time zone of texts, which the query that reads them gives if its user does not.
pub(crate) const TIME_ZONE: &str = "timezone";

/// A relation over files whose schema storage must tell before `resolve`.
#[derive(Clone, Debug)]
pub struct NeededFileSchema {
    /// What is read.
    pub relation: Relation,
    /// The flows whose queries read it as a stream, through views too: their checkpoints may know the schema.
    pub flows: Vec<String>,
}

/// By `file_schema::key` what was found in the files of a relation, or why nothing was.
pub type FileSchemas = BTreeMap<String, Result<SchemaRef, Diagnostic>>;

/// What the found schema of a relation is known by: two relations with one key read the same in the same way.
pub fn key(relation: &Relation) -> String {
    let RelationKind::Files { path, format } = &relation.kind else { return relation.source_id() };
    // What a timestamp means is not asked when columns are looked for.
    let options: BTreeMap<_, _> = relation.options.iter().filter(|(name, _)| *name != TIME_ZONE).collect();
    format!("{path}\n{format}\n{}\n{options:?}", relation.streaming)
}

/// True if the schema of the relation is found in its files.
pub fn is_inferred(relation: &Relation) -> bool {
    let RelationKind::Files { format, .. } = &relation.kind else { return false };
    let has_own = ["text", "binaryfile"].iter().any(|own| own.eq_ignore_ascii_case(format));
    !has_own && !relation.options.contains_key("schema")
}

/// `found` with the types of `hints` (`'id BIGINT, address.zip STRING'`) over it; columns that it lacks are added. The error says what is
/// wrong with the hints.
pub fn with_hints(found: &Schema, hints: &str) -> Result<Schema, String> {
    let mut fields: Vec<FieldRef> = found.fields().iter().cloned().collect();
    for (path, data_type) in parse_hints(hints)? {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        set(&mut fields, &path, &data_type)?;
    }
    Ok(Schema::new(fields))
}

/// `known` with what only `newer` has behind it, at every level, and the paths of what was added. Types stay.
pub fn widened(known: &Schema, newer: &Schema) -> (SchemaRef, Vec<String>) {
    let mut added = Vec::new();
    let fields = widened_fields(known.fields(), newer.fields(), "", &mut added);
    (Arc::new(Schema::new(fields)), added)
}

/// `known` with what only `newer` has, and with the wider of their types if the relation `widens` types.
pub fn joined(known: &Schema, newer: &Schema, widens: bool) -> SchemaRef {
    if widens { widened(&type_widening::with_wider_types(known, newer), newer).0 } else { widened(known, newer).0 }
}

fn widened_fields(known: &Fields, newer: &Fields, path: &str, added: &mut Vec<String>) -> Fields {
    let of_newer = |name: &str| newer.iter().find(|field| field.name().eq_ignore_ascii_case(name));
    let mut fields: Vec<FieldRef> = known
        .iter()
        .map(|field| match of_newer(field.name()) {
            None => Arc::clone(field),
            Some(newer) => {
                let path = format!("{path}{}", field.name());
                let data_type = widened_type(field.data_type(), newer.data_type(), &path, added);
                Arc::new(field.as_ref().clone().with_data_type(data_type))
            }
        })
        .collect();
    for field in newer {
        if !fields.iter().any(|known| known.name().eq_ignore_ascii_case(field.name())) {
            added.push(format!("{path}{}", field.name()));
            fields.push(Arc::clone(field));
        }
    }
    fields.into()
}

fn widened_type(known: &DataType, newer: &DataType, path: &str, added: &mut Vec<String>) -> DataType {
    match (known, newer) {
        (DataType::Struct(known), DataType::Struct(newer)) => DataType::Struct(widened_fields(known, newer, &format!("{path}."), added)),
        (DataType::List(known), DataType::List(newer)) => {
            let item = widened_type(known.data_type(), newer.data_type(), &format!("{path}.element"), added);
            DataType::List(Arc::new(known.as_ref().clone().with_data_type(item)))
        }
        _ => known.clone(),
    }
}

/// `a BIGINT, b.c STRING` as paths and types.
fn parse_hints(text: &str) -> Result<Vec<(Vec<String>, DataType)>, String> {
    let mut hints = Vec::new();
    for hint in split(text, ',').into_iter().map(str::trim).filter(|hint| !hint.is_empty()) {
        let parts = split(hint, ' ');
        let name = parts.first().copied().unwrap_or_default();
        let data_type = hint.get(name.len()..).unwrap_or_default().trim();
        let data_type = ddl::parse_type(data_type).map_err(|error| format!("`{hint}`: {error}"))?;
        let plain = |part: &str| part.trim().trim_matches('`').replace("``", "`");
        let path: Vec<String> = split(name, '.').into_iter().map(plain).collect();
        if path.iter().any(String::is_empty) {
            return Err(format!("`{hint}` names no column"));
        }
        hints.push((path, data_type));
    }
    Ok(hints)
}

/// Parts between separators that stand outside of brackets and backticks; a tabulator or line end counts as a blank.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0_usize, false);
    for (at, found) in text.char_indices() {
        let separates = found == separator || (separator == ' ' && found.is_whitespace());
        match found {
            '`' => quoted = !quoted,
            '<' | '(' if !quoted => depth += 1,
            '>' | ')' if !quoted => depth = depth.saturating_sub(1),
            _ if separates && !quoted && depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + found.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

fn set(fields: &mut Vec<FieldRef>, path: &[&str], data_type: &DataType) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else { return Ok(()) };
    let at = fields.iter().position(|field| field.name().eq_ignore_ascii_case(name));
    let known = at.and_then(|at| fields.get(at)).map(|field| field.data_type().clone());
    let data_type = set_type(known.as_ref(), name, rest, data_type)?;
    match at.and_then(|at| fields.get_mut(at)) {
        Some(field) => *field = Arc::new(field.as_ref().clone().with_data_type(data_type)),
        None => fields.push(Arc::new(Field::new(*name, data_type, true))),
    }
    Ok(())
}

fn set_type(known: Option<&DataType>, name: &str, rest: &[&str], wanted: &DataType) -> Result<DataType, String> {
    let Some(inner) = rest.first() else { return Ok(wanted.clone()) };
    match known {
        None => set_type(Some(&DataType::Struct(Fields::empty())), name, rest, wanted),
        Some(DataType::Struct(fields)) => {
            let mut fields: Vec<FieldRef> = fields.iter().cloned().collect();
            set(&mut fields, rest, wanted)?;
            Ok(DataType::Struct(fields.into()))
        }
        Some(DataType::List(item)) if inner.eq_ignore_ascii_case("element") => {
            let item_type = set_type(Some(item.data_type()), inner, rest.get(1..).unwrap_or_default(), wanted)?;
            Ok(DataType::List(Arc::new(item.as_ref().clone().with_data_type(item_type))))
        }
        Some(other) => Err(format!("`{name}` is {}, which has no field {inner}", ddl::type_text(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        ddl::parse_schema(text).unwrap()
    }

    #[test]
    fn hints_override_and_add_at_every_level() {
        let found = schema("id BIGINT, address STRUCT<zip: BIGINT, city: STRING>, tags ARRAY<STRUCT<n: BIGINT>>");
        let hinted = |hints| with_hints(&found, hints).map(|schema| ddl::schema_text(&schema));
        assert_eq!(
            hinted("ID decimal(10,2), address.zip STRING,\n `odd name`.x MAP<STRING, INT>, tags.element.n INT").unwrap(),
            "id DECIMAL(10,2), address STRUCT<zip: STRING, city: STRING>, tags ARRAY<STRUCT<n: INT>>, `odd name` STRUCT<x: MAP<STRING, INT>>"
        );
        assert_eq!(hinted("address STRING").unwrap(), "id BIGINT, address STRING, tags ARRAY<STRUCT<n: BIGINT>>");
        assert_eq!(hinted("id.x INT").unwrap_err(), "`id` is BIGINT, which has no field x");
        assert!(hinted("id NUMBERISH").unwrap_err().contains("NUMBERISH"));
    }

    #[test]
    fn what_only_newer_files_have_is_added_at_the_end_of_its_level() {
        let known = schema("id BIGINT, a STRUCT<x: BIGINT>, l ARRAY<STRUCT<p: STRING>>");
        let newer = schema("New STRING, ID STRING, a STRUCT<y: DOUBLE, X: STRING>, l ARRAY<STRUCT<q: BIGINT>>");
        let (all, added) = widened(&known, &newer);
        assert_eq!(ddl::schema_text(&all), "id BIGINT, a STRUCT<x: BIGINT, y: DOUBLE>, l ARRAY<STRUCT<p: STRING, q: BIGINT>>, New STRING");
        assert_eq!(added, ["a.y", "l.element.q", "New"]);
        assert!(widened(&all, &newer).1.is_empty());
    }
}
