//! Schemas that no derive can say: maps with bounds, conditions, and objects of Kubernetes itself that are kept as they are.
//!
//! Every list, map and string has a maximum: the cluster reckons the cost of rules from it.

use schemars::{Schema, SchemaGenerator, json_schema};

fn string_map(max_entries: u32, max_length: u32) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": max_entries,
        "additionalProperties": {"type": "string", "maxLength": max_length},
    })
}

pub(crate) fn configuration(_: &mut SchemaGenerator) -> Schema {
    string_map(200, 4096)
}

pub(crate) fn properties(_: &mut SchemaGenerator) -> Schema {
    string_map(200, 4096)
}

pub(crate) fn options(_: &mut SchemaGenerator) -> Schema {
    string_map(50, 4096)
}

/// Annotations that are copied to an object.
pub(crate) fn annotations(_: &mut SchemaGenerator) -> Schema {
    string_map(50, 4096)
}

/// What a trigger has seen: name → text.
pub(crate) fn cursor(_: &mut SchemaGenerator) -> Schema {
    string_map(20, 512)
}

/// Parameters of a run or a task.
pub(crate) fn parameters(_: &mut SchemaGenerator) -> Schema {
    string_map(100, 65_536)
}

/// Parameters of a run as its status shows them.
pub(crate) fn shown_parameters(_: &mut SchemaGenerator) -> Schema {
    string_map(100, 1100)
}

/// Labels of nodes.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    string_map(50, 63)
}

/// Key → JSON text of a task value.
pub(crate) fn task_values(_: &mut SchemaGenerator) -> Schema {
    string_map(100, 49152)
}

/// Parameters of a task.
pub(crate) fn task_parameters(_: &mut SchemaGenerator) -> Schema {
    string_map(200, 65536)
}

/// Table → version.
pub(crate) fn table_versions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 10,
        "additionalProperties": {"type": "integer", "format": "int64"},
    })
}

/// Resource name → quantity.
pub(crate) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 20,
        "additionalProperties": {"x-kubernetes-int-or-string": true, "maxLength": 64},
    })
}

/// State → time.
pub(crate) fn times(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "format": "date-time"},
    })
}

/// An object whose schema is that of another API: the operator reads it, the cluster only keeps it.
pub(crate) fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A list of such objects.
pub(crate) fn free_form_list(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 50, "x-kubernetes-list-type": "atomic", "items": free_form(generator)})
}

/// Conditions, one entry per type.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "description": "What it speaks of.", "minLength": 1, "maxLength": 64},
                "status": {"type": "string", "description": "Whether it is so.", "enum": ["True", "False", "Unknown"]},
                "reason": {"type": "string", "description": "Why, as a word for machines.", "minLength": 1, "maxLength": 64},
                "message": {"type": "string", "description": "Why, as a sentence for people.", "maxLength": 2048},
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "The generation of the spec that it speaks of."
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When the status changed."
                },
            },
        },
    })
}
