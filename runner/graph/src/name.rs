//! Names of datasets: three parts, kept as first written, compared without regard to letter case.

use std::{
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

    /// The lower-case full name: equal for equal names, used as map key and for paths.
    pub fn key(&self) -> String {
        self.to_string().to_lowercase()
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

impl PartialEq for DatasetName {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for DatasetName {}
impl Hash for DatasetName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
impl PartialOrd for DatasetName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for DatasetName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.schema, self.name)
    }
}
