//! What becomes of fields and values that the schema of a relation does not have, in files of every format.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use floe_graph::{
    source_options::{EvolutionMode, SchemaReadOptions},
    type_widening::Retyped,
};

use super::{location::shown, reader::ReadColumns};
use crate::failure::Failure;

/// The class of a file with fields that the schema lacks, where they must not be passed over.
pub const NEW_FIELDS: &str = "UNKNOWN_FIELD_EXCEPTION.NEW_FIELDS_IN_FILE";

/// New fields that a message names.
const NAMED_FIELDS: usize = 10;

/// What a reader does with surprises.
#[derive(Clone, Debug)]
pub(super) struct Surprising {
    /// The rescued data column, if it is needed.
    pub rescued_column: Option<String>,
    /// New fields end the read.
    pub stops: bool,
    /// Wider types do.
    pub widens: bool,
}

impl Surprising {
    pub(super) fn new(columns: &ReadColumns, options: &SchemaReadOptions) -> Self {
        let needed = |name: &&String| columns.needed.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
        Self {
            rescued_column: options.rescued_column.as_ref().filter(needed).cloned(),
            stops: options.evolution.adds_columns() || options.evolution == EvolutionMode::FailOnNewColumns,
            widens: options.evolution == EvolutionMode::AddNewColumnsWithTypeWidening,
        }
    }

    /// True for the column that takes rescued data.
    pub(super) fn is_rescued(&self, name: &str) -> bool {
        self.rescued_column.as_ref().is_some_and(|rescued| rescued.eq_ignore_ascii_case(name))
    }

    /// The columns that have to be decoded: any of them may hold something to rescue.
    pub(super) fn decoded(&self, columns: &ReadColumns) -> SchemaRef {
        if self.rescued_column.is_some() { columns.content.clone() } else { columns.needed.clone() }
    }
}

/// Where the columns of `needed` stand in `decoded`; `None` if they are the same.
pub(super) fn places(needed: &Schema, decoded: &Schema) -> Option<Vec<usize>> {
    if needed.fields() == decoded.fields() {
        return None;
    }
    Some(needed.fields().iter().filter_map(|field| decoded.index_of(field.name()).ok()).collect())
}

/// The failure of a file whose fields the schema lacks.
pub(super) fn new_fields(path: &str, fields: &BTreeSet<String>) -> Failure {
    let named: Vec<&str> = fields.iter().take(NAMED_FIELDS).map(String::as_str).collect();
    let more = fields.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let noun = if fields.len() == 1 { "a field" } else { "fields" };
    Failure::user(NEW_FIELDS, format!("{} has {noun} that the schema lacks: {}{more}", shown(path), named.join(", "))).help(
        "add them to the schema, or choose another schemaEvolutionMode: rescue keeps them in the rescued data column, none reads the known ones only",
    )
}

/// The failure of a file with fields of wider types than those of the schema.
pub(super) fn wider_types(path: &str, fields: &[Retyped]) -> Failure {
    let named = fields.iter().take(NAMED_FIELDS).map(|Retyped { path, from, to }| format!("{path} {from} as {to}"));
    Failure::user(NEW_FIELDS, format!("{} has wider types than the schema: {}", shown(path), named.collect::<Vec<_>>().join(", ")))
        .help("choose another schemaEvolutionMode: rescue keeps the values in the rescued data column")
}
