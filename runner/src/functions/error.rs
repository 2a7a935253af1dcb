//! Errors of functions at run time: the error class of Spark and a message, recognisable inside any DataFusion error.

use datafusion::{arrow::error::ArrowError, error::DataFusionError};
use floe_graph::function::date_pattern::PATTERN_HELP;

use crate::failure::Failure;

/// What a function refuses while it runs. The fault is the user's data or query; another attempt gives the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[{class}] {message}")]
pub struct FunctionError {
    /// Error class, e.g. `CAST_INVALID_INPUT`.
    pub class: &'static str,
    /// Lower-case text without a final dot.
    pub message: String,
}

impl FunctionError {
    /// An error of `class`.
    pub fn new(class: &'static str, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }

    /// The error of a function anywhere among the causes of `error`.
    pub fn find(error: &DataFusionError) -> Option<&Self> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(found) = current.downcast_ref::<Self>() {
                return Some(found);
            }
            cause = current.source();
        }
        None
    }

    fn help(&self) -> Option<&'static str> {
        Some(match self.class {
            "CAST_INVALID_INPUT" | "CAST_OVERFLOW" => "use try_cast, or SET spark.sql.ansi.enabled = false, to get NULL instead",
            "CANNOT_PARSE_TIMESTAMP" => "use try_to_timestamp or try_to_date to get NULL instead",
            "INVALID_DATETIME_PATTERN" => PATTERN_HELP,
            "DIVIDE_BY_ZERO" | "REMAINDER_BY_ZERO" => "use try_divide or nullif(divisor, 0) to get NULL instead",
            "INVALID_ARRAY_INDEX" | "INVALID_ARRAY_INDEX_IN_ELEMENT_AT" => "use get or try_element_at to get NULL instead",
            "ARITHMETIC_OVERFLOW" => "cast to a wider type first, or use try_add, try_subtract, try_multiply, try_sum",
            _ => return None,
        })
    }
}

impl From<FunctionError> for DataFusionError {
    fn from(error: FunctionError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<FunctionError> for ArrowError {
    fn from(error: FunctionError) -> Self {
        ArrowError::ExternalError(Box::new(error))
    }
}

impl From<&FunctionError> for Failure {
    fn from(error: &FunctionError) -> Self {
        let failure = Failure::user(error.class, error.message.clone());
        match error.help() {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}
