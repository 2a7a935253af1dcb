//! Manifests as text: YAML documents become typed Pipelines and Tables with the place of every field.
//!
//! The one validation of manifests: the command line and the operator call the same functions and say the same messages.

mod document;

pub use document::{Document, Position, SourceText};

use crate::{pipeline::PipelineSpec, table::TableSpec};

/// One thing that is wrong with a manifest; `line` and `column` count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Error class, e.g. `MANIFEST_UNKNOWN_KEY`.
    pub class: &'static str,
    /// What is wrong, lower case, without a final dot.
    pub message: String,
    /// Line in the file.
    pub line: u32,
    /// Column in the line, in characters.
    pub column: u32,
    /// What to do.
    pub help: Option<String>,
}

/// A document of a YAML file.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// A Pipeline of this version.
    Pipeline(Box<PipelineManifest>),
    /// A Table of this version.
    Table(Box<TableManifest>),
    /// Anything else: another kind of Floe, or no object of Floe at all.
    Other(OtherManifest),
}

/// A Pipeline with the places of its fields.
#[derive(Clone, Debug)]
pub struct PipelineManifest {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// The typed spec, defaults filled in.
    pub spec: PipelineSpec,
    /// Where its fields stand.
    pub document: Document,
}

/// A Table with the places of its fields.
#[derive(Clone, Debug)]
pub struct TableManifest {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// The typed spec, defaults filled in.
    pub spec: TableSpec,
    /// Where its fields stand.
    pub document: Document,
}

impl TableManifest {
    /// The dataset's name: `spec.name`, or the name of the object with `-` replaced by `_`.
    pub fn dataset(&self) -> String {
        self.spec.name.clone().unwrap_or_else(|| self.name.replace('-', "_"))
    }
}

/// A document that is neither a Pipeline nor a Table of Floe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherManifest {
    /// `apiVersion`, empty if there is none.
    pub api_version: String,
    /// `kind`, empty if there is none.
    pub kind: String,
    /// `metadata.name`, empty if there is none.
    pub name: String,
    /// Where the document begins.
    pub position: Position,
}

/// What a YAML file holds. With findings the manifests are only those that are right.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The documents without findings, in the order of the file.
    pub manifests: Vec<Manifest>,
    /// Everything that is wrong, in the order of the file.
    pub findings: Vec<Finding>,
}

/// Reads all documents of a YAML file.
pub fn read(_text: &str) -> Reading {
    Reading::default()
}

/// What a cluster requires beyond `read`: storage that is given and absolute, names that fit.
pub fn cluster_findings(_manifest: &Manifest) -> Vec<Finding> {
    Vec::new()
}
