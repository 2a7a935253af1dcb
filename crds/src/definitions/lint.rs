//! What a cluster and its tools want of every definition, checked on the files that are committed.

use std::{collections::BTreeSet, fs, path::Path};

use kube::core::cel::{compile_schema, estimate_rule_cost};
use serde_json::Value;

use crate::yaml;

/// Client-side apply copies an object into an annotation of 256 KiB.
const MAX_BYTES: usize = 200 * 1024;
/// What one rule may cost in an API server.
const MAX_COST: u64 = 10_000_000;
/// Words that readers of YAML 1.1, kubectl among them, take for true or false.
const BOOLEAN_WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];

/// All definitions with the schema of their only version.
pub(super) fn definitions() -> Vec<(String, Value)> {
    let definition = |(_, text): (String, String)| yaml::parse(&text).0[0].0.to_json();
    let all: Vec<Value> = super::files().unwrap().into_iter().map(definition).collect();
    all.into_iter().map(|definition| (definition["spec"]["names"]["kind"].as_str().unwrap().to_string(), definition)).collect()
}

/// The schema of an object of the kind.
pub(super) fn schema(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Calls `visit` with the path and the schema of each value below `schema`.
pub(super) fn walk<'a>(schema: &'a Value, path: &str, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        walk(property, &path, visit);
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            walk(&schema[key], &format!("{path}{suffix}"), visit);
        }
    }
}

#[test]
fn committed_definitions_are_current_and_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let files = super::files().unwrap();
    for (file, text) in &files {
        let committed = fs::read_to_string(folder.join(file)).unwrap_or_default();
        assert!(committed == *text, "crds/yaml/{file} is not current: run `cargo run -p floe-crds --bin crdgen`");
        assert!(text.len() < MAX_BYTES, "crds/yaml/{file} has {} bytes", text.len());
    }
    let committed: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(committed, files.into_iter().map(|(file, _)| file).collect());
}

#[test]
fn definitions_hold_no_empty_lists() {
    for (kind, definition) in definitions() {
        for pointer in ["/spec", "/spec/names", "/spec/versions/0"] {
            let fields = definition.pointer(pointer).unwrap().as_object().unwrap();
            let empty = fields.iter().find(|(_, value)| value.as_array().is_some_and(Vec::is_empty));
            assert_eq!(empty, None, "{kind} {pointer} would show as a difference for ever");
        }
    }
}

#[test]
fn every_list_map_and_text_has_a_maximum() {
    let mut unbounded = Vec::new();
    for (kind, definition) in definitions() {
        walk(schema(&definition), "", &mut |path, schema| {
            let (bound, exempt) = match schema["type"].as_str() {
                Some("array") => ("maxItems", false),
                Some("string") => ("maxLength", schema["enum"].is_array() || schema["format"] == "date-time"),
                Some("object") => ("maxProperties", !schema["additionalProperties"].is_object()),
                _ => return,
            };
            if !exempt && !schema[bound].is_u64() {
                unbounded.push(format!("{kind} {path} has no {bound}"));
            }
        });
    }
    assert_eq!(unbounded, [""; 0]);
}

#[test]
fn lists_of_objects_say_how_they_merge() {
    for (kind, definition) in definitions() {
        let mut conditions = 0;
        walk(schema(&definition), "", &mut |path, schema| {
            let list_type = schema["x-kubernetes-list-type"].as_str();
            if schema["items"]["type"] == "object" {
                assert!(list_type.is_some(), "{kind} {path} is neither map nor atomic");
            }
            for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
                let required = schema["items"]["required"].as_array().is_some_and(|fields| fields.contains(key));
                assert!(required, "{kind} {path}: key {key} of the map is not required");
            }
            if path.ends_with("conditions") {
                conditions += 1;
                assert_eq!((list_type, schema["x-kubernetes-list-map-keys"][0].as_str()), (Some("map"), Some("type")), "{kind} {path}");
            }
        });
        assert_eq!(conditions, usize::from(kind != "RunReport"), "{kind}");
    }
}

#[test]
fn names_and_formats_are_those_of_the_api() {
    for (kind, definition) in definitions() {
        walk(schema(&definition), "", &mut |path, schema| {
            let format = schema["format"].as_str().unwrap_or_default();
            assert!(
                ["", "int32", "int64", "date-time"].contains(&format),
                "{kind} {path} has format {format}, which the cluster does not know"
            );
            let name = path.rsplit('.').next().unwrap_or_default().trim_end_matches(['[', ']', '{', '}']);
            assert!(!BOOLEAN_WORDS.contains(&name), "{kind} {path}: kubectl reads this key as true or false");
            assert!(!name.contains(['_', '-']) && !name.starts_with(char::is_uppercase), "{kind} {path} is not camelCase");
        });
        assert!(definition["spec"]["names"]["categories"].as_array().is_some_and(|all| all.contains(&"floe".into())), "{kind}");
    }
}

#[test]
fn columns_and_selectable_fields_exist() {
    for (kind, definition) in definitions() {
        let mut fields = BTreeSet::from([".metadata.creationTimestamp".to_string()]);
        walk(schema(&definition), "", &mut |path, _| {
            fields.insert(format!(".{path}"));
        });
        let version = &definition["spec"]["versions"][0];
        let (columns, selectable) = (version["additionalPrinterColumns"].as_array(), version["selectableFields"].as_array());
        for column in columns.into_iter().flatten().chain(selectable.into_iter().flatten()) {
            let path = column["jsonPath"].as_str().unwrap();
            assert!(path.contains("[?(@.type==") || fields.contains(path), "{kind} shows {path}, which does not exist");
        }
    }
}

/// The estimate warns a good way before the limit of the API server, and takes every text for the longest of its object.
fn is_affordable(warning: &str) -> bool {
    let cost = warning.strip_prefix("estimated cost ").and_then(|rest| rest.split(' ').next());
    cost.and_then(|cost| cost.parse::<u64>().ok()).is_some_and(|cost| cost < MAX_COST)
}

#[test]
fn rules_are_cheap_and_say_what_is_wrong() {
    for (kind, definition) in definitions() {
        walk(schema(&definition), "", &mut |path, schema| {
            let compiled = compile_schema(schema);
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let text = rule["rule"].as_str().unwrap();
                assert!(rule["message"].as_str().is_some_and(|message| !message.is_empty()), "{kind} {path}: {text} has no message");
                let warnings = estimate_rule_cost(text, &compiled);
                let dear: Vec<&str> =
                    warnings.iter().map(|warning| warning.message.as_str()).filter(|message| !is_affordable(message)).collect();
                assert_eq!(dear, [""; 0], "{kind} {path}: {text}");
            }
        });
    }
}
