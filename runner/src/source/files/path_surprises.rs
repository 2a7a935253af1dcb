//! What `k=v` directories say that the schema of a relation does not have: names without a column, and values of another type.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, StringBuilder},
    datatypes::Schema,
};
use floe_graph::source_options::{EvolutionMode, FileReadOptions, PartitionColumns, SchemaReadOptions};

use super::{
    columns::{HIVE_NULL, partition_values, typed_value},
    surprise::new_fields,
};
use crate::{failure::Failure, functions::json::rescued_json, state::FileEntry};

/// Of one file.
#[derive(Debug, Default)]
pub(super) struct PathSurprises {
    /// Names without a column.
    new: BTreeSet<String>,
    /// What would be rescued, as JSON.
    values: Vec<(String, Vec<u8>)>,
    rescued_column: Option<String>,
}

/// What a path adds to the rescued data of each row of its file.
#[derive(Debug)]
pub(super) struct PathRescue {
    /// The text for a row that has nothing else to rescue.
    whole: String,
    /// The entries alone, without brackets.
    entries: String,
}

impl PathSurprises {
    /// Of `file`, of which `in_path` are the columns of `relation` that its path gives. Only where the files tell the schema a name without a
    /// column is a surprise; a given schema says which directories are wanted.
    pub(super) fn of(file: &FileEntry, options: &FileReadOptions, relation: &Schema, in_path: &[String]) -> Self {
        let mut found = Self { rescued_column: options.schema.rescued_column.clone(), ..Self::default() };
        for (name, value) in partition_values(&file.path) {
            let is_wanted = match &options.partition_columns {
                PartitionColumns::All => true,
                PartitionColumns::Named(names) => names.iter().any(|wanted| wanted.eq_ignore_ascii_case(&name)),
            };
            let column = relation.fields().iter().find(|field| field.name().eq_ignore_ascii_case(&name));
            let is_misfit = match column {
                None if options.schema.inferred && is_wanted => {
                    found.new.insert(name.clone());
                    true
                }
                None => false,
                Some(field) => in_path.contains(field.name()) && typed_value(&value, field.data_type()).is_none(),
            };
            if is_misfit && value != HIVE_NULL {
                // Of a name that comes twice the last value counts.
                found.values.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
                found.values.push((name, serde_json::Value::from(value).to_string().into_bytes()));
            }
        }
        found
    }

    /// The failure of rows with a field that must not be passed over.
    pub(super) fn check(&self, path: &str, options: &SchemaReadOptions) -> Result<(), Failure> {
        let stops = matches!(options.evolution, EvolutionMode::AddNewColumns | EvolutionMode::FailOnNewColumns);
        if stops && !self.new.is_empty() { Err(new_fields(path, &self.new)) } else { Ok(()) }
    }

    /// The rescued data column and what goes there, if there is such a column and anything for it.
    pub(super) fn rescue(&self, path: &str) -> Option<(&str, PathRescue)> {
        let column = self.rescued_column.as_deref().filter(|_| !self.values.is_empty())?;
        let names: Vec<Vec<String>> = self.values.iter().map(|(name, _)| vec![name.clone()]).collect();
        let values: Vec<(&[String], &[u8])> =
            names.iter().zip(&self.values).map(|(path, (_, value))| (path.as_slice(), value.as_slice())).collect();
        let whole = String::from_utf8_lossy(&rescued_json(&values, path)).into_owned();
        let alone = rescued_json(&[], path).len();
        // Behind the entries a comma and what every text ends with.
        let entries = whole.get(1..whole.len().saturating_sub(alone)).unwrap_or_default().to_owned();
        Some((column, PathRescue { whole, entries }))
    }
}

impl PathRescue {
    /// The texts of the column with the entries of the path before their own.
    pub(super) fn added_to(&self, rescued: &ArrayRef) -> ArrayRef {
        let Some(texts) = rescued.as_string_opt::<i32>() else { return Arc::clone(rescued) };
        let mut all = StringBuilder::with_capacity(texts.len(), texts.values().len() + texts.len() * self.whole.len());
        for text in texts {
            match text.and_then(|text| text.strip_prefix('{')) {
                Some(own) => all.append_value(format!("{{{},{own}", self.entries)),
                None => all.append_value(&self.whole),
            }
        }
        Arc::new(all.finish())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;

    use super::*;

    #[test]
    fn entries_of_the_path_stand_before_those_of_the_row() {
        let values = vec![("k".to_string(), b"\"v\"".to_vec()), ("n".to_string(), b"\"x\"".to_vec())];
        let surprises = PathSurprises { values, rescued_column: Some("r".into()), ..PathSurprises::default() };
        let (column, rescue) = surprises.rescue("file:///a").unwrap();
        let own = r#"{"b":1,"_file_path":"file:///a"}"#;
        let rescued = rescue.added_to(&(Arc::new(StringArray::from(vec![None, Some(own)])) as ArrayRef));
        let texts: Vec<_> = rescued.as_string::<i32>().iter().flatten().collect();
        assert_eq!(column, "r");
        assert_eq!(texts, [r#"{"k":"v","n":"x","_file_path":"file:///a"}"#, r#"{"k":"v","n":"x","b":1,"_file_path":"file:///a"}"#]);
    }
}
