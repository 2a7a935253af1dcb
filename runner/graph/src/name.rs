//! Names of datasets: three parts, kept as first written, compared without regard to letter case.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use serde::Serialize;

/// The default catalog and schema of unqualified names at one place of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// First part of a full name.
    pub catalog: String,
    /// Second part of a full name.
    pub schema: String,
}

/// `catalog.schema.name`. Two names that differ only in letter case are equal.
#[derive(Clone, Debug, Serialize)]
pub struct DatasetName {
    /// First part of the full name.
    pub catalog: String,
    /// Second part of the full name.
    pub schema: String,
    /// Last part, as written where it is defined.
    pub name: String,
}

impl DatasetName {
    /// `name` in `namespace`.
    pub fn in_namespace(namespace: &Namespace, name: impl Into<String>) -> Self {
        Self { catalog: namespace.catalog.clone(), schema: namespace.schema.clone(), name: name.into() }
    }

    /// The full name of one to three parts; the others are those of `namespace`.
    pub fn of_parts(parts: &[String], namespace: &Namespace) -> Option<Self> {
        let (catalog, schema, name) = match parts {
            [name] => (&namespace.catalog, &namespace.schema, name),
            [schema, name] => (&namespace.catalog, schema, name),
            [catalog, schema, name] => (catalog, schema, name),
            _ => return None,
        };
        Some(Self { catalog: catalog.clone(), schema: schema.clone(), name: name.clone() })
    }

    /// The lower-case full name: equal for equal names, used as map key and for paths.
    pub fn key(&self) -> String {
        let mut key = String::with_capacity(self.catalog.len() + self.schema.len() + self.name.len() + 2);
        for (nth, part) in self.parts().into_iter().enumerate() {
            if nth > 0 {
                key.push('.');
            }
            key.extend(folded(part));
        }
        key
    }

    fn parts(&self) -> [&str; 3] {
        [&self.catalog, &self.schema, &self.name]
    }

    /// The shortest name that is unambiguous in `namespace`: `t`, `schema.t` or `catalog.schema.t`.
    pub fn short(&self, namespace: &Namespace) -> String {
        if !self.catalog.eq_ignore_ascii_case(&namespace.catalog) {
            self.to_string()
        } else if self.schema.eq_ignore_ascii_case(&namespace.schema) {
            self.name.clone()
        } else {
            format!("{}.{}", self.schema, self.name)
        }
    }
}

/// The characters that count when names are compared. Graphs compare names all the time: nothing is allocated.
fn folded(part: &str) -> impl Iterator<Item = char> {
    part.chars().flat_map(char::to_lowercase)
}

/// Parts are the same text most often: then nothing is folded.
fn compare(a: &str, b: &str) -> Ordering {
    if a == b { Ordering::Equal } else { folded(a).cmp(folded(b)) }
}

impl PartialEq for DatasetName {
    fn eq(&self, other: &Self) -> bool {
        // Names differ in their last part most often.
        self.parts().into_iter().rev().zip(other.parts().into_iter().rev()).all(|(a, b)| compare(a, b).is_eq())
    }
}
impl Eq for DatasetName {}
impl Hash for DatasetName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for part in self.parts() {
            folded(part).for_each(|c| c.hash(state));
            '.'.hash(state);
        }
    }
}
impl PartialOrd for DatasetName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for DatasetName {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = self.parts().into_iter().zip(other.parts());
        parts.map(|(a, b)| compare(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.schema, self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::DatasetName;

    fn name(name: &str) -> DatasetName {
        DatasetName { catalog: "floe".to_string(), schema: "Default".to_string(), name: name.to_string() }
    }

    #[test]
    fn letter_case_does_not_count() {
        let names = [name("Orders"), name("ORDERS"), name("orders"), name("órders"), name("Órders")];
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 2);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 2);
        assert_eq!(names.iter().map(DatasetName::key).collect::<BTreeSet<_>>().len(), 2);
        assert_eq!(name("Órders").key(), "floe.default.órders");
    }
}
