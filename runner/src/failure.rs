//! A failure as a user sees it: whose fault, which flow and dataset, where, and what to do.

use std::fmt;

pub use floe_crds::state::FailureClass;
use floe_graph::origin::{Diagnostic, Origin};

/// The one error value that leaves a room. Step errors become it through `From`, with their sources kept.
#[derive(Debug)]
pub struct Failure {
    /// Decides exit code and retry.
    pub class: FailureClass,
    /// Error class, e.g. `CAST_INVALID_INPUT`.
    pub error: String,
    /// One sentence for the user.
    pub message: String,
    /// Name of the flow that failed.
    pub flow: Option<String>,
    /// Full name of the dataset that it is about.
    pub dataset: Option<String>,
    /// Place in the definition.
    pub origin: Option<Origin>,
    /// What to do.
    pub help: Option<String>,
    /// The error beneath, for the log.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Findings of planning, when that is what failed.
    pub diagnostics: Vec<Diagnostic>,
}

impl Failure {
    /// A failure of `class` with its error class and a lower-case text.
    pub fn new(class: FailureClass, error: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            error: error.into(),
            message: message.into(),
            flow: None,
            dataset: None,
            origin: None,
            help: None,
            source: None,
            diagnostics: Vec::new(),
        }
    }

    /// The user's fault: never retried, exit code 10.
    pub fn user(error: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureClass::User, error, message)
    }

    /// Storage or credentials: never retried, exit code 12.
    pub fn storage(error: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureClass::Storage, error, message)
    }

    /// A failure that another attempt may not meet, exit code 20.
    pub fn transient(error: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureClass::Transient, error, message)
    }

    /// Our own fault, exit code 10.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FailureClass::Internal, "INTERNAL_ERROR", message)
    }

    /// The same failure with what to do.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same failure, in `flow`.
    #[must_use]
    pub fn in_flow(self, flow: impl Into<String>) -> Self {
        Self { flow: Some(flow.into()), ..self }
    }

    /// The same failure, about `dataset`.
    #[must_use]
    pub fn about(self, dataset: impl Into<String>) -> Self {
        Self { dataset: Some(dataset.into()), ..self }
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.error, self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}
