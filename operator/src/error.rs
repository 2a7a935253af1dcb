//! Why a reconcile failed, and what follows from it.

use std::time::Duration;

use crate::key::Key;

/// A reconcile that did not reach its end. Wrong definitions are no errors: they end in conditions.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server, or the way to it.
    #[error("cannot {act} {kind} {key}: {}", told(source))]
    Api {
        /// What was tried: get, list, create, apply, delete, write the status of.
        act: &'static str,
        /// Kind of the object.
        kind: &'static str,
        /// Which object.
        key: Key,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// A name that the operator needs belongs to an object that it did not make.
    #[error("{kind} {key} exists and belongs to someone else; delete or rename it")]
    NameTaken {
        /// Kind of the object.
        kind: &'static str,
        /// Which object.
        key: Key,
    },
    /// A name that the operator needs belongs to an object that it made, and that lost its owner.
    #[error("{kind} {key} was left behind by an earlier Pipeline, deleted with --cascade=orphan; delete it too, then it is made anew")]
    Orphaned {
        /// Kind of the object.
        kind: &'static str,
        /// Which object.
        key: Key,
    },
    /// A name that the operator needs still belongs to what an earlier object of the same name owned.
    #[error("{kind} {key} of an earlier life is still being deleted")]
    Leaving {
        /// Kind of the object.
        kind: &'static str,
        /// Which object.
        key: Key,
    },
    /// The reconcile took longer than it may.
    #[error("not done after {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A stored object that is not as this operator wrote it.
    #[error("{what} in {key} cannot be read: {source}")]
    Unreadable {
        /// What was read.
        what: &'static str,
        /// Where it stands.
        key: Key,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A value that cannot be written as JSON.
    #[error("cannot write {what} as JSON: {source}")]
    Unwritable {
        /// Which value.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// What kind of failure it was; the words are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Someone must change something.
    User,
    /// Passes by itself.
    Transient,
    /// The object changed meanwhile.
    Conflict,
    /// A right is missing.
    Forbidden,
    /// Took too long.
    Timeout,
    /// Our own fault.
    Internal,
}

impl ErrorClass {
    /// All classes.
    pub const ALL: &'static [Self] = &[Self::User, Self::Transient, Self::Conflict, Self::Forbidden, Self::Timeout, Self::Internal];

    /// The word of the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Transient => "transient",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }
}

impl Error {
    /// What kind of failure it is.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Api { source, .. } => class_of(source),
            Self::NameTaken { .. } | Self::Orphaned { .. } => ErrorClass::User,
            Self::Leaving { .. } => ErrorClass::Transient,
            Self::TimedOut(_) => ErrorClass::Timeout,
            Self::Unwritable { .. } | Self::Unreadable { .. } => ErrorClass::Internal,
        }
    }

    /// True if nothing can be made any more because the namespace is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.status().is_some_and(is_terminating)
    }

    /// True if the answer of the API server could not be read.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(source.as_ref(), kube::Error::SerdeError(_)))
    }

    /// True if a quota of the namespace is used up.
    pub fn is_quota(&self) -> bool {
        self.status().is_some_and(is_quota)
    }

    /// The answer of the API server, if there was one.
    pub fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What the API server says, in its own words and without the rest of its answer.
fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

fn is_terminating(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// A quota answers as a missing right does; only the words tell them apart.
fn is_quota(status: &kube::core::Status) -> bool {
    status.code == 403 && status.message.contains("exceeded quota")
}

fn class_of(error: &kube::Error) -> ErrorClass {
    match error {
        kube::Error::Api(status) => match status.code {
            // A missing object means that the cache is behind.
            404 | 409 | 410 => ErrorClass::Conflict,
            // Said of an owner whose kind was installed seconds ago, by API servers that check who may hold back its deletion.
            403 if status.message.contains("cannot find RESTMapping") => ErrorClass::Transient,
            // It passes, as the namespace does; or someone raises the quota, and nobody tells.
            403 if is_terminating(status) || is_quota(status) => ErrorClass::Transient,
            401 | 403 => ErrorClass::Forbidden,
            400 | 405..=407 | 411..=428 | 430..=499 => ErrorClass::Internal,
            _ => ErrorClass::Transient,
        },
        kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) => ErrorClass::Internal,
        _ => ErrorClass::Transient,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_are_told_in_the_words_of_the_api_server() {
        let status = kube::core::Status::failure("pods is forbidden: no", "Forbidden").with_code(403);
        let source = Box::new(kube::Error::Api(status.boxed()));
        let error = Error::Api { act: "create", kind: "Job", key: Key::new("data", "j"), source };
        assert_eq!(error.to_string(), "cannot create Job data/j: pods is forbidden: no");
        assert_eq!(error.class(), ErrorClass::Forbidden);
    }

    fn answer(code: u16, cause: &str) -> Error {
        let status = json!({"code": code, "message": "no", "details": {"causes": [{"reason": cause, "message": "", "field": "metadata.namespace"}]}});
        let source = Box::new(kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())));
        Error::Api { act: "create", kind: "Job", key: Key::new("data", "a"), source }
    }

    #[test]
    fn a_used_up_quota_is_no_missing_right() {
        let said = "jobs.batch \"a\" is forbidden: exceeded quota: none, requested: count/jobs.batch=1, used: 0, limited: 0";
        let source = Box::new(kube::Error::Api(kube::core::Status::failure(said, "Forbidden").with_code(403).boxed()));
        let error = Error::Api { act: "create", kind: "Job", key: Key::new("data", "a"), source };
        assert_eq!((error.is_quota(), error.class()), (true, ErrorClass::Transient));
        assert!(!answer(403, "").is_quota());
    }

    #[test]
    fn a_namespace_that_goes_is_no_missing_right() {
        let going = answer(403, "NamespaceTerminating");
        assert_eq!((going.is_terminating(), going.class()), (true, ErrorClass::Transient));
        let forbidden = answer(403, "");
        assert_eq!((forbidden.is_terminating(), forbidden.class()), (false, ErrorClass::Forbidden));
    }
}
