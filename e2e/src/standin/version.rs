//! One version of an object: its value, who wrote which field, and the bytes in which everybody gets it, made once.

use axum::body::Bytes;
use serde_json::{Value, json};

use super::{fields::Fields, resource::Resource};

/// An object as it was from one revision to the next.
#[derive(Debug)]
pub struct Version {
    /// The object without `managedFields`.
    pub value: Value,
    /// Who wrote which field.
    pub managers: Vec<Manager>,
    /// The object as it is sent.
    pub bytes: Bytes,
    /// Its `resourceVersion`.
    pub revision: u64,
}

/// The fields that one manager has written in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Its name.
    pub name: String,
    /// True for server-side apply.
    pub applies: bool,
    /// It wrote the status.
    pub is_of_status: bool,
    /// When its fields became these.
    pub time: String,
    /// What it wrote.
    pub fields: Fields,
}

impl Manager {
    /// True if both are the same writer.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, self.applies, self.is_of_status) == (&other.name, other.applies, other.is_of_status)
    }

    fn to_value(&self, api_version: &str) -> Value {
        let operation = if self.applies { "Apply" } else { "Update" };
        let mut entry = json!({
            "manager": self.name, "operation": operation, "apiVersion": api_version, "time": self.time, "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_value(),
        });
        if self.is_of_status {
            entry["subresource"] = "status".into();
        }
        entry
    }
}

impl Version {
    /// The object `value` from `revision` on.
    pub fn new(resource: &Resource, mut value: Value, managers: Vec<Manager>, revision: u64) -> Self {
        value["metadata"]["resourceVersion"] = revision.to_string().into();
        if !managers.is_empty() {
            let api_version = resource.api_version();
            value["metadata"]["managedFields"] = managers.iter().map(|manager| manager.to_value(&api_version)).collect();
        }
        let bytes = Bytes::from(value.to_string());
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.shift_remove("managedFields");
        }
        Self { value, managers, bytes, revision }
    }

    /// A text of its metadata; empty if it is not there.
    pub fn meta(&self, field: &str) -> &str {
        self.value["metadata"][field].as_str().unwrap_or_default()
    }

    /// True if it was asked to go.
    pub fn is_going(&self) -> bool {
        !self.value["metadata"]["deletionTimestamp"].is_null()
    }

    /// What holds it back from going.
    pub fn finalizers(&self) -> Vec<&str> {
        self.value["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Uids of its owners, and whether their going waits for it.
    pub fn owners(&self) -> Vec<(&str, bool)> {
        let references = self.value["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        references.map(|owner| (owner["uid"].as_str().unwrap_or_default(), owner["blockOwnerDeletion"] == true)).collect()
    }
}
