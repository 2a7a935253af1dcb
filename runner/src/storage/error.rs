//! Errors of stores as failures: whose fault, which path, what to do, and whether another attempt may help.

use std::{error::Error, io};

use deltalake::DeltaTableError;
use object_store::Error as StoreError;
use url::Url;

use super::Location;
use crate::failure::Failure;

/// `url` for people: a path for local places, never credentials or query.
pub(super) fn shown(url: &Url) -> String {
    if url.scheme() == "file"
        && let Ok(path) = url.to_file_path()
    {
        let text = path.display().to_string();
        return if text.len() > 1 { text.trim_end_matches('/').to_owned() } else { text };
    }
    let user = if url.username().is_empty() { String::new() } else { format!("{}@", url.username()) };
    format!("{}://{user}{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path().trim_end_matches('/'))
}

/// The object at `relative` below `url`, for people.
pub(super) fn shown_child(url: &Url, relative: &str) -> String {
    if relative.is_empty() { shown(url) } else { format!("{}/{relative}", shown(url).trim_end_matches('/')) }
}

/// The failure of `action` ("read", "write", "list" …) at `place`.
pub fn store_failure(action: &str, place: &str, error: StoreError) -> Failure {
    match &error {
        StoreError::NotFound { .. } if !is_missing_bucket(&text_of(&error)) => {
            return Failure::user("PATH_NOT_FOUND", format!("cannot {action} {place}: it does not exist"))
                .help("check the path; if it was deleted meanwhile, restore it")
                .caused_by(error);
        }
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => return denied(action, place).caused_by(error),
        _ => {}
    }
    if let Some(failure) = find_io(&error).and_then(|io| known_io(action, place, io)) {
        return failure.caused_by(error);
    }
    remote_failure(action, place, &text_of(&error)).caused_by(error)
}

/// The failure of `action` at `place` for an error of the file system.
pub fn io_failure(action: &str, place: &str, error: io::Error) -> Failure {
    // Stores hide their own errors in errors of the file system when they are written to like a file.
    let error = match error.downcast::<StoreError>() {
        Ok(inner) => return store_failure(action, place, inner),
        Err(error) => error,
    };
    match known_io(action, place, &error) {
        Some(failure) => failure.caused_by(error),
        None => Failure::storage("STORAGE_ERROR", format!("cannot {action} {place}: {error}")).caused_by(error),
    }
}

/// The failure of `action` on the Delta table at `location`.
pub fn delta_failure(action: &str, location: &Location, error: DeltaTableError) -> Failure {
    let place = location.to_string();
    match error {
        DeltaTableError::ObjectStore { source } => store_failure(action, &place, source),
        DeltaTableError::NotATable(text) => {
            Failure::user("DELTA_TABLE_NOT_FOUND", format!("{place} is not a Delta table: {text}")).help("check the location of the table")
        }
        other => {
            if let Some(failure) = find_io(&other).and_then(|io| known_io(action, &place, io)) {
                return failure.caused_by(other);
            }
            let text = text_of(&other);
            if looks_remote(&text) {
                return remote_failure(action, &place, &text).caused_by(other);
            }
            Failure::user("DELTA_ERROR", format!("cannot {action} the Delta table at {place}: {text}")).caused_by(other)
        }
    }
}

fn denied(action: &str, place: &str) -> Failure {
    Failure::storage("STORAGE_ACCESS_DENIED", format!("cannot {action} {place}: access is denied"))
        .help("give the user or role of this process the right to read and write there, or check its credentials")
}

fn known_io(action: &str, place: &str, error: &io::Error) -> Option<Failure> {
    Some(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Failure::storage("NO_SPACE_LEFT", format!("cannot {action} {place}: no space left on the device"))
                .help("free or add space and run again; nothing that was committed is lost")
        }
        io::ErrorKind::FileTooLarge => {
            Failure::storage("NO_SPACE_LEFT", format!("cannot {action} {place}: the file would be larger than this process may write"))
                .help("raise the limit (ulimit -f, or that of the file system) and run again; nothing that was committed is lost")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => denied(action, place),
        io::ErrorKind::NotFound => {
            Failure::user("PATH_NOT_FOUND", format!("cannot {action} {place}: it does not exist")).help("check the path")
        }
        io::ErrorKind::NotADirectory => {
            Failure::user("PATH_NOT_A_DIRECTORY", format!("cannot {action} {place}: a part of the path is a file")).help("check the path")
        }
        io::ErrorKind::TimedOut | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted => {
            Failure::transient("STORAGE_UNAVAILABLE", format!("cannot {action} {place}: {error}"))
        }
        _ => return None,
    })
}

/// Stores behind HTTP keep the reason in their text only.
fn remote_failure(action: &str, place: &str, text: &str) -> Failure {
    let lower = text.to_lowercase();
    if is_missing_bucket(text) {
        return Failure::storage("BUCKET_NOT_FOUND", format!("cannot {action} {place}: the bucket or container does not exist"))
            .help("create the bucket or correct the URI");
    }
    let has_any = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    // Who is asked for an identity is not the store: without credentials the service of virtual machines is, whatever it answers.
    let lacks_identity = has_any(&["169.254.169.254", "metadata.google"]);
    if !lacks_identity && has_any(&["status code: 401", "status code: 403", "401 unauthorized", "403 forbidden"]) {
        return denied(action, place);
    }
    if lacks_identity || has_any(&["credential", "missing region", "account must be specified"]) {
        return Failure::storage("STORAGE_CREDENTIALS_MISSING", format!("cannot {action} {place}: {text}"))
            .help("set the credentials of the store (AWS_ACCESS_KEY_ID, AZURE_STORAGE_ACCOUNT_KEY, GOOGLE_SERVICE_ACCOUNT, or a role)");
    }
    if looks_remote(text) {
        return Failure::transient("STORAGE_UNAVAILABLE", format!("cannot {action} {place}: {text}"))
            .help("the store may answer again; run again");
    }
    Failure::storage("STORAGE_ERROR", format!("cannot {action} {place}: {text}"))
}

fn is_missing_bucket(text: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "specified bucket does not exist"].iter().any(|part| text.contains(part))
}

fn looks_remote(text: &str) -> bool {
    let lower = text.to_lowercase();
    [
        "status code: 5",
        "status code: 429",
        "status code: 408",
        "timed out",
        "timeout",
        "connect",
        "dns",
        "reset by peer",
        "retries",
        "http error",
    ]
    .iter()
    .any(|part| lower.contains(part))
}

/// The whole chain of an error on one line; most causes repeat in the text of their effects.
fn text_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let part = cause.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = cause.source();
    }
    text
}

fn find_io<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Some(io);
        }
        next = cause.source();
    }
    None
}
