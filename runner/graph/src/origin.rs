//! Where a definition stands in the user's files, and what was found there: origins and diagnostics.

mod render;

use std::{fmt, sync::Arc};

use serde::Serialize;

pub use render::{Sources, render};

/// A place in a file of the project. `file` is relative to the project root with `/` as separator; line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Origin {
    /// Path relative to the root of the project.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// Characters, from 1.
    pub column: u32,
}

impl Origin {
    /// The place `line`:`column` of `file`, both counted from 1.
    pub fn new(file: impl Into<Arc<str>>, line: u32, column: u32) -> Self {
        Self { file: file.into(), line, column }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How much a diagnostic matters: an error stops the update before it writes anything, a lint never fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Stops the update before it begins.
    Error,
    /// Stops nothing, unless lints are errors (`--strict`).
    Lint,
}

/// One finding about a project: class (`PARSE_SYNTAX_ERROR`, `W001`), text, place, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Class of the error (`FEATURE_NOT_SUPPORTED`) or number of the lint.
    pub class: String,
    /// Error or lint.
    pub severity: Severity,
    /// One sentence for the user, without place and class.
    pub message: String,
    /// Where in the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Full name of the dataset that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error of `class` with a lower-case text without a final dot.
    pub fn error(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class: class.into(), severity: Severity::Error, message: message.into(), origin: None, dataset: None, help: None }
    }

    /// A lint (`W001` …) with its text.
    pub fn lint(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Lint, ..Self::error(code, message) }
    }

    /// The error for a construct that this release recognises and refuses.
    pub fn not_supported(feature: &str) -> Self {
        Self::error("FEATURE_NOT_SUPPORTED", format!("{feature} is not supported in this release"))
    }

    /// The same finding, at `origin`.
    #[must_use]
    pub fn at(self, origin: &Origin) -> Self {
        Self { origin: Some(origin.clone()), ..self }
    }

    /// The same finding, about `dataset`.
    #[must_use]
    pub fn about(self, dataset: impl Into<String>) -> Self {
        Self { dataset: Some(dataset.into()), ..self }
    }

    /// The same finding, with what to do.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.class, self.message)?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}
