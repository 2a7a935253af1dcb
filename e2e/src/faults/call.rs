//! One request to the API server, as a fault sees it.

use std::fmt;

use http::{Method, Uri};
use serde_json::Value;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// One object is read.
    Get,
    /// Many are read.
    List,
    /// Changes are followed.
    Watch,
    /// An object is made.
    Create,
    /// An object is replaced.
    Update,
    /// Fields are changed, or an object is applied.
    Patch,
    /// An object is deleted.
    Delete,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it does.
    pub verb: Verb,
    /// Plural name of the kind.
    pub resource: String,
    /// `status`, `binding` and so on; empty for the object itself.
    pub subresource: String,
    /// Namespace; empty for all and for kinds without.
    pub namespace: String,
    /// Name; empty for lists.
    pub name: String,
}

impl Call {
    /// Reads a request; the body of a creation holds the name.
    pub fn of(method: &Method, uri: &Uri, body: &[u8]) -> Self {
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            other => other,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            other => ("", other),
        };
        let at = |place: usize| rest.get(place).copied().unwrap_or_default().to_string();
        let watches = uri.query().is_some_and(|query| query.split('&').any(|part| part == "watch=true" || part == "watch=1"));
        let verb = match *method {
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ if watches => Verb::Watch,
            _ if rest.len() > 1 => Verb::Get,
            _ => Verb::List,
        };
        let mut call = Self { verb, resource: at(0), subresource: at(2), namespace: namespace.to_string(), name: at(1) };
        if verb == Verb::Create && call.name.is_empty() {
            let object: Value = serde_json::from_slice(body).unwrap_or_default();
            call.name = object["metadata"]["name"].as_str().unwrap_or_default().to_string();
        }
        call
    }

    /// True if it does the same as `other`, whatever the object's name.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.verb, &self.resource, &self.subresource) == (other.verb, &other.resource, &other.subresource)
    }

    /// True if it changes what the API server keeps, apart from the lease and from Events, which no decision depends on.
    pub fn is_write(&self) -> bool {
        let writes = matches!(self.verb, Verb::Create | Verb::Update | Verb::Patch | Verb::Delete);
        writes && !matches!(self.resource.as_str(), "leases" | "events" | "selfsubjectaccessreviews" | "selfsubjectrulesreviews")
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        write!(f, "{:?} {}{slash}{} {}", self.verb, self.resource, self.subresource, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &Method, uri: &str, body: &str) -> String {
        Call::of(method, &uri.parse().unwrap(), body.as_bytes()).to_string()
    }

    #[test]
    fn requests_are_read_as_what_they_do() {
        assert_eq!(call(&Method::GET, "/apis/floe.dev/v1alpha1/pipelines?limit=500", ""), "List pipelines ");
        assert_eq!(call(&Method::GET, "/apis/floe.dev/v1alpha1/namespaces/a/pipelines?watch=true&x=1", ""), "Watch pipelines ");
        assert_eq!(call(&Method::GET, "/api/v1/namespaces/kube-system", ""), "Get namespaces kube-system");
        assert_eq!(call(&Method::POST, "/apis/batch/v1/namespaces/a/jobs?fieldManager=x", r#"{"metadata":{"name":"j"}}"#), "Create jobs j");
        assert_eq!(call(&Method::PATCH, "/apis/floe.dev/v1alpha1/namespaces/a/pipelines/p/status", ""), "Patch pipelines/status p");
        assert_eq!(call(&Method::DELETE, "/api/v1/namespaces/a/pods/p", ""), "Delete pods p");
    }

    #[test]
    fn leases_and_events_are_no_writes() {
        let is_write = |method, uri: &str| Call::of(&method, &uri.parse().unwrap(), b"").is_write();
        assert!(is_write(Method::PATCH, "/apis/floe.dev/v1alpha1/namespaces/a/pipelines/p/status"));
        assert!(!is_write(Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/floe-operator"));
        assert!(!is_write(Method::POST, "/apis/events.k8s.io/v1/namespaces/a/events"));
        assert!(!is_write(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"));
        assert!(!is_write(Method::GET, "/api/v1/namespaces/a/pods/p"));
    }
}
