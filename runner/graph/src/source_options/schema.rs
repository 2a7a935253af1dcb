//! Options about the schema of files: where it comes from, and what becomes of fields and values that it does not have.

use super::OptionReader;
use crate::{file_schema, origin::Diagnostic, relation::Relation};

/// The rescued data column of relations that do not name another one.
const RESCUED_DATA: &str = "_rescued_data";

/// What becomes of fields that the schema does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EvolutionMode {
    /// They are not read, unless there is a rescued data column.
    #[default]
    None,
    /// They are rescued.
    Rescue,
    /// They become columns.
    AddNewColumns,
    /// They become columns, and types become wider.
    AddNewColumnsWithTypeWidening,
    /// The flow fails.
    FailOnNewColumns,
}

impl EvolutionMode {
    /// True if new fields become columns.
    pub fn adds_columns(self) -> bool {
        matches!(self, Self::AddNewColumns | Self::AddNewColumnsWithTypeWidening)
    }
}

/// Where the columns of a relation come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaReadOptions {
    /// The files tell it.
    pub inferred: bool,
    /// Types over what the files tell, in DDL.
    pub hints: Option<String>,
    /// False: every column is text.
    pub infer_types: bool,
    /// For fields that the schema does not have.
    pub evolution: EvolutionMode,
    /// Takes what does not fit the schema.
    pub rescued_column: Option<String>,
}

impl OptionReader<'_> {
    pub(super) fn schema(&mut self, relation: &Relation) -> SchemaReadOptions {
        let inferred = file_schema::is_inferred(relation);
        let is_fixed = !inferred && !relation.options.contains_key("schema");
        let evolution = self.evolution(inferred, is_fixed, relation.streaming);
        let rescued_column = match self.options.get("rescueddatacolumn") {
            Some(name) => Some(name.trim().to_string()).filter(|name| !name.is_empty()),
            None => (inferred || evolution == EvolutionMode::Rescue).then(|| RESCUED_DATA.to_string()),
        };
        let hints = self.text("schemahints");
        if is_fixed {
            for (key, given) in [("rescueddatacolumn", rescued_column.is_some()), ("schemahints", hints.is_some())] {
                if given {
                    self.without_meaning(key, "the format has columns of its own");
                }
            }
        } else if hints.is_some() && !inferred {
            self.without_meaning("schemahints", "the schema is given");
        }
        let spelling = if self.options.contains_key("infercolumntypes") { "infercolumntypes" } else { "inferschema" };
        SchemaReadOptions { inferred, hints, infer_types: self.flag(spelling, true), evolution, rescued_column }
    }

    fn evolution(&mut self, inferred: bool, is_fixed: bool, streaming: bool) -> EvolutionMode {
        let given = self.text("schemaevolutionmode");
        let mode = match given.as_deref().map(str::to_lowercase).as_deref() {
            None if inferred => EvolutionMode::AddNewColumns,
            None | Some("none") => EvolutionMode::None,
            Some("rescue") => EvolutionMode::Rescue,
            Some("failonnewcolumns") => EvolutionMode::FailOnNewColumns,
            Some("addnewcolumns") => EvolutionMode::AddNewColumns,
            Some("addnewcolumnswithtypewidening") => EvolutionMode::AddNewColumnsWithTypeWidening,
            Some(other) => {
                self.invalid(
                    "schemaevolutionmode",
                    other,
                    "addNewColumns, addNewColumnsWithTypeWidening, rescue, failOnNewColumns or none",
                );
                EvolutionMode::None
            }
        };
        if is_fixed && mode != EvolutionMode::None {
            self.without_meaning("schemaevolutionmode", "the format has columns of its own");
        } else if mode.adds_columns() && !inferred {
            self.without_meaning("schemaevolutionmode", "columns are added only to a schema that was inferred, and here it is given");
        }
        // A batch read looks at its files every time; what its sample did not have is kept beside the columns.
        if mode.adds_columns() && !streaming { EvolutionMode::Rescue } else { mode }
    }

    fn without_meaning(&mut self, key: &str, why: &str) {
        let text = format!("option `{}` has no meaning here: {why}", self.spelled(key));
        self.find(key, Diagnostic::error("INVALID_READ_OPTION", text).help("leave it out"));
    }
}
