//! Errors of the query engine as failures. Those of sources and functions travel through the engine and come back unchanged.

use datafusion::{arrow::error::ArrowError, error::DataFusionError};

use crate::{failure::Failure, functions::FunctionError, source::read_failure};

/// Whose fault an error of the engine is.
pub fn engine_error(error: DataFusionError) -> Failure {
    if let Some(found) = FunctionError::find(&error) {
        return found.into();
    }
    let error = match read_failure(error) {
        Ok(failure) => return failure,
        Err(error) => error,
    };
    match error.find_root() {
        DataFusionError::ResourcesExhausted(text) => {
            Failure::user("OUT_OF_MEMORY", format!("the query needs more memory than its pool has: {text}"))
                .help("raise --memory, or let the query aggregate or join less at once")
        }
        DataFusionError::ArrowError(arrow, _) => arrow_error(arrow),
        DataFusionError::IoError(_) => storage_error(&error),
        DataFusionError::Execution(text) => Failure::user("QUERY_EXECUTION_FAILED", text.clone()),
        other => Failure::internal(other.strip_backtrace()),
    }
}

/// A spill file that could not be written, most of all.
fn storage_error(error: &DataFusionError) -> Failure {
    let text = error.strip_backtrace();
    let full = ["No space left", "os error 28", "File too large"].iter().any(|part| text.contains(part));
    let class = if full { "NO_SPACE_LEFT" } else { "STORAGE_ERROR" };
    Failure::storage(class, text).help("check the space and the rights of the spill directory and of the storage")
}

fn arrow_error(error: &ArrowError) -> Failure {
    match error {
        ArrowError::DivideByZero => Failure::user("DIVIDE_BY_ZERO", "division by zero"),
        ArrowError::ArithmeticOverflow(text) => Failure::user("ARITHMETIC_OVERFLOW", text.clone())
            .help("cast the operands to a wider type, for example DECIMAL(38, 0) or DOUBLE"),
        ArrowError::CastError(text) => Failure::user("CAST_INVALID_INPUT", text.clone()),
        ArrowError::ParquetError(text) => Failure::user("FAILED_READ_FILE.NO_HINT", text.clone()),
        other => Failure::internal(other.to_string()),
    }
}
