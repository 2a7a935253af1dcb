//! Errors of reads that come back through the query engine, as failures.

use std::error::Error;

use datafusion::error::DataFusionError;
use floe_graph::origin::Diagnostic;
use object_store::Error as StoreError;

use crate::failure::Failure;

/// The failure that a source put into an engine error, or what a storage error inside it means. `None`: not an error of a read.
pub fn read_failure(error: DataFusionError) -> Result<Failure, DataFusionError> {
    match own_failure(error) {
        Ok(failure) => Ok(failure),
        Err(error) => store_failure(&error).map(|failure| failure.caused_by(error.to_string())).ok_or(error),
    }
}

/// Refused options as a failure. Validation finds them first; here they come only from queries that no graph has checked.
pub fn invalid_options(diagnostics: Vec<Diagnostic>) -> Failure {
    let Some(first) = diagnostics.first() else { return Failure::internal("options were refused without a reason") };
    let mut failure = Failure::user(first.class.clone(), first.message.clone());
    failure.origin.clone_from(&first.origin);
    failure.help.clone_from(&first.help);
    failure.diagnostics = diagnostics;
    failure
}

/// Takes our own failure out of the wrappers of the engine.
fn own_failure(error: DataFusionError) -> Result<Failure, DataFusionError> {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Failure>() {
            Ok(failure) => Ok(*failure),
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(inner) => own_failure(*inner),
                Err(inner) => Err(DataFusionError::External(inner)),
            },
        },
        DataFusionError::Context(text, inner) => own_failure(*inner).map_err(|inner| inner.context(text)),
        DataFusionError::Shared(inner) => match find::<Failure>(inner.as_ref()) {
            Some(failure) => Ok(copy(failure)),
            None => Err(DataFusionError::Shared(inner)),
        },
        other => match find::<Failure>(&other) {
            Some(failure) => Ok(copy(failure)),
            None => Err(other),
        },
    }
}

/// A failure behind a shared reference; its cause stays behind.
fn copy(failure: &Failure) -> Failure {
    Failure {
        class: failure.class,
        error: failure.error.clone(),
        message: failure.message.clone(),
        flow: failure.flow.clone(),
        dataset: failure.dataset.clone(),
        origin: failure.origin.clone(),
        help: failure.help.clone(),
        source: None,
        diagnostics: failure.diagnostics.clone(),
    }
}

/// A data file of a Delta table that is gone, or a store that does not answer.
fn store_failure(error: &DataFusionError) -> Option<Failure> {
    match find::<StoreError>(error) {
        Some(StoreError::NotFound { path, .. }) => Some(data_file_missing(path)),
        Some(StoreError::PermissionDenied { path, .. } | StoreError::Unauthenticated { path, .. }) => {
            let failure = Failure::storage("STORAGE_ACCESS_DENIED", format!("cannot read {path}: access is denied"));
            Some(failure.help("give the user or role of this process the right to read there, or check its credentials"))
        }
        Some(other) => Some(Failure::transient("STORAGE_UNAVAILABLE", format!("cannot read a data file: {other}"))),
        // The Parquet reader keeps only the text of what went wrong while it fetched a footer.
        None => {
            let text = error.to_string();
            let (_, rest) = text.split_once("Object at location ")?;
            rest.split_once(" not found").map(|(path, _)| data_file_missing(path))
        }
    }
}

fn data_file_missing(path: &str) -> Failure {
    Failure::user("DATA_FILE_MISSING", format!("data file {path} of a table is gone, probably removed by a vacuum")).help(
        "reset the checkpoint of the flow or refresh it fully; keep delta.deletedFileRetentionDuration longer than the slowest reader",
    )
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<E>() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn our_failure_survives_the_wrappers_of_the_engine() {
        let wrapped = || DataFusionError::External(Box::new(Failure::user("FILE_NOT_EXIST", "x").help("y"))).context("while reading");
        for error in [wrapped(), DataFusionError::Shared(Arc::new(wrapped()))] {
            let failure = read_failure(error).unwrap();
            assert_eq!((failure.error.as_str(), failure.help.as_deref()), ("FILE_NOT_EXIST", Some("y")));
        }
    }

    #[test]
    fn a_data_file_that_is_gone_is_named() {
        let source = "no such file".into();
        let error = DataFusionError::ObjectStore(Box::new(StoreError::NotFound { path: "t/part-1.parquet".into(), source }));
        let failure = read_failure(error).unwrap();
        assert_eq!(failure.error, "DATA_FILE_MISSING");
        assert!(failure.message.contains("t/part-1.parquet"), "{}", failure.message);
        assert!(read_failure(DataFusionError::Plan("x".into())).is_err());
    }
}
