//! What a request to the API server is: its verb and resource as Kubernetes names them.

use http::{Method, Uri};

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// get, list, watch, create, update, patch, delete or deletecollection; the method in lower case for paths that are no resource.
    pub verb: &'static str,
    /// Plural, and subresource after a slash, e.g. `pipelines/status`; `other` for paths that are no resource.
    pub resource: String,
    /// API group; empty for core.
    group: String,
}

impl Call {
    /// What a request with `method` to `uri` is.
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, rest) = match segments.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => ("", &[][..]),
        };
        let rest = match rest {
            ["namespaces", _, rest @ ..] if !rest.is_empty() && !matches!(rest, ["status" | "finalize"]) => rest,
            rest => rest,
        };
        let resource = match rest {
            [] => return Self { verb: plain_verb(method), resource: "other".to_string(), group: group.to_string() },
            [resource] | [resource, _] => (*resource).to_string(),
            [resource, _, sub, ..] => format!("{resource}/{sub}"),
        };
        let watches = uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")));
        Self { verb: verb(method, rest.len() > 1, watches), resource, group: group.to_string() }
    }

    /// True for calls that go on for as long as something may happen.
    pub fn is_watch(&self) -> bool {
        self.verb == "watch"
    }

    /// True for calls that change something which only the holder of the lease may change.
    pub fn needs_lease(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch") && !self.is_own()
    }

    /// True for calls of the process about itself: its lease, and what it may do. They wait for nothing.
    pub fn is_own(&self) -> bool {
        matches!(self.group.as_str(), "coordination.k8s.io" | "authorization.k8s.io")
    }
}

fn verb(method: &Method, named: bool, watches: bool) -> &'static str {
    match (method.as_str(), named) {
        ("GET", _) if watches => "watch",
        ("GET", false) => "list",
        ("DELETE", false) => "deletecollection",
        _ => plain_verb(method),
    }
}

fn plain_verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" | "HEAD" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_kubernetes_reads_them() {
        let cases = [
            ("GET", "/apis/floe.dev/v1alpha1/pipelines?limit=500", "list", "pipelines"),
            ("GET", "/apis/floe.dev/v1alpha1/pipelines?watch=true&timeoutSeconds=290", "watch", "pipelines"),
            ("GET", "/apis/floe.dev/v1alpha1/namespaces/a/pipelines", "list", "pipelines"),
            ("GET", "/apis/floe.dev/v1alpha1/namespaces/a/pipelines/p", "get", "pipelines"),
            ("PATCH", "/apis/floe.dev/v1alpha1/namespaces/a/pipelines/p/status?force=true", "patch", "pipelines/status"),
            ("POST", "/apis/batch/v1/namespaces/a/jobs", "create", "jobs"),
            ("DELETE", "/api/v1/namespaces/a/pods/p", "delete", "pods"),
            ("DELETE", "/api/v1/namespaces/a/pods", "deletecollection", "pods"),
            ("GET", "/api/v1/namespaces/kube-system", "get", "namespaces"),
            ("GET", "/api/v1/namespaces", "list", "namespaces"),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l", "update", "leases"),
            ("GET", "/version", "get", "other"),
        ];
        for (method, uri, verb, resource) in cases {
            let call = Call::of(&Method::from_bytes(method.as_bytes()).unwrap(), &uri.parse().unwrap());
            assert_eq!((call.verb, call.resource.as_str()), (verb, resource), "{method} {uri}");
        }
    }

    #[test]
    fn only_writes_to_objects_of_others_need_the_lease() {
        let needs = |method: Method, uri: &str| Call::of(&method, &uri.parse().unwrap()).needs_lease();
        assert!(needs(Method::PATCH, "/apis/floe.dev/v1alpha1/namespaces/a/pipelines/p/status"));
        assert!(needs(Method::POST, "/apis/events.k8s.io/v1/namespaces/a/events"));
        assert!(!needs(Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/l"));
        assert!(!needs(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"));
        assert!(!needs(Method::GET, "/api/v1/namespaces/a/pods/p"));
    }
}
