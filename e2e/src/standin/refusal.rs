//! Why a request is refused, in the words of an API server.

use serde_json::{Value, json};

use super::resource::Resource;

/// A request that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The word for machines.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
}

impl Refusal {
    /// A refusal with these words.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into() }
    }

    /// There is no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", resource.plural))
    }

    /// The object has changed since it was read, or is another one.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.plural))
    }

    /// The request says something that cannot be.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// What an API server does and the stand-in does not.
    pub fn not_played(what: &str) -> Self {
        Self::new(501, "NotImplemented", format!("the stand-in for an API server does not play {what}"))
    }

    /// The version that was asked for is not kept any more.
    pub fn too_old(asked: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked}"))
    }

    /// As the body of an answer.
    pub fn to_value(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        })
    }
}
