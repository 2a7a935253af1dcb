//! What a request asks for: its path, its query, its verb.

use std::collections::HashMap;

use http::{Method, Uri};

use super::{refusal::Refusal, resource::Resource, store::Kind};

/// One request for a kind or an object of it.
#[derive(Debug)]
pub struct Ask {
    /// The kind.
    pub kind: Kind,
    /// The namespace; none for all, and for kinds of the cluster.
    pub namespace: Option<String>,
    /// The object; none for all of them.
    pub name: Option<String>,
    /// The part of the object: `status`, `binding`, `token`; empty for all of it.
    pub part: String,
    /// The query.
    pub query: Query,
}

/// The query of a request.
#[derive(Debug, Default)]
pub struct Query(HashMap<String, String>);

/// What the stand-in does not know how to do, if it is asked to.
const NOT_PLAYED: &[&str] = &["dryRun", "sendInitialEvents"];

impl Query {
    /// Reads the query of a request.
    pub fn of(uri: &Uri) -> Self {
        Self(url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// True if a key says so.
    pub fn is_set(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "1"))
    }

    /// A number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(|text| text.parse().ok())
    }
}

impl Ask {
    /// What a request is about.
    pub fn of(uri: &Uri) -> Result<Self, Refusal> {
        let nowhere = || Refusal::new(404, "NotFound", "the server could not find the requested resource");
        let query = Query::of(uri);
        if let Some(key) = NOT_PLAYED.iter().find(|key| query.get(key).is_some_and(|value| !value.is_empty() && value != "false")) {
            return Err(Refusal::not_played(key));
        }
        let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(nowhere()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_string()), rest),
            rest => (None, rest),
        };
        let (plural, name, part) = match rest {
            [plural] => (*plural, None, ""),
            [plural, name] => (*plural, Some((*name).to_string()), ""),
            [plural, name, part] => (*plural, Some((*name).to_string()), *part),
            _ => return Err(nowhere()),
        };
        let kind = Resource::find(group, version, plural).ok_or_else(nowhere)?;
        Ok(Self { kind, namespace, name, part: part.to_string(), query })
    }

    /// The verb as the counters name it.
    pub fn verb(&self, method: &Method, is_apply: bool) -> &'static str {
        match (method.as_str(), &self.name) {
            ("GET", None) if self.query.is_set("watch") => "WATCH",
            ("GET", None) => "LIST",
            ("GET", Some(_)) => "GET",
            ("POST", _) => "POST",
            ("PUT", _) => "PUT",
            ("PATCH", _) if is_apply => "APPLY",
            ("PATCH", _) => "PATCH",
            ("DELETE", Some(_)) => "DELETE",
            ("DELETE", None) => "DELETECOLLECTION",
            _ => "OTHER",
        }
    }
}
