//! Every rule of a kind with an object that keeps it and one that breaks it. The samples are files, so that a real API server judges the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use kube::core::cel::Validator;
use serde_json::Value;

use super::lint::{definitions, schema, walk};
use crate::{API_VERSION, job::Job, job_run::JobRun, pipeline::Pipeline, pipeline_update::PipelineUpdate, table::Table, yaml};

/// Where a rule stands in its kind, and its expression.
type Rule = (String, String, String);

/// `object` as it is sent to a cluster.
fn sent(kind: &str, object: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = API_VERSION.into();
    object["kind"] = kind.into();
    object
}

/// The schema without the descriptions of metadata: a rule of the whole object sees its name.
fn with_metadata(schema: &Value) -> Value {
    let mut schema = schema.clone();
    schema["properties"]["metadata"] = serde_json::json!({"type": "object", "properties": {"name": {"type": "string"}}});
    schema
}

/// The rules that `object` breaks.
fn broken(kind: &str, schema: &Value, object: &Value, old: Option<&Value>) -> BTreeMap<Rule, String> {
    let Err(errors) = Validator::new().validate(schema, object, old) else { return BTreeMap::new() };
    let path = |path: &str| {
        let parts: Vec<String> = path.split('.').map(|part| part.split('[').next().unwrap_or_default().to_string()).collect();
        parts.join(".")
    };
    errors.into_iter().map(|error| ((kind.to_string(), path(&error.field_path), error.rule.clone()), error.message.clone())).collect()
}

/// True if a value stands at `path` of `object`, in any entry of the lists on the way.
fn stands(object: &Value, path: &str) -> bool {
    let Some((step, rest)) = path.split_once('.').or((!path.is_empty()).then_some((path, ""))) else { return true };
    match object.get(step) {
        Some(Value::Array(items)) => items.iter().any(|item| stands(item, rest)),
        Some(value) => stands(value, rest),
        None => false,
    }
}

/// The types of this crate read what the rules accept.
fn read(kind: &str, object: &Value) {
    let object = object.clone();
    match kind {
        "Pipeline" => drop(serde_json::from_value::<Pipeline>(object).unwrap()),
        "Job" => drop(serde_json::from_value::<Job>(object).unwrap()),
        "JobRun" => drop(serde_json::from_value::<JobRun>(object).unwrap()),
        "Table" => drop(serde_json::from_value::<Table>(object).unwrap()),
        _ => drop(serde_json::from_value::<PipelineUpdate>(object).unwrap()),
    }
}

#[test]
fn every_rule_has_an_object_that_keeps_it_and_one_that_breaks_it() {
    let schemas: BTreeMap<String, Value> = definitions().into_iter().map(|(kind, all)| (kind, with_metadata(schema(&all)))).collect();
    let mut rules = BTreeSet::new();
    for (kind, schema) in &schemas {
        walk(schema, "", &mut |path, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                rules.insert((kind.clone(), path.replace("[]", ""), rule["rule"].as_str().unwrap().to_string()));
            }
        });
    }
    let mut seen = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for sample in yaml::parse(&text).0[0].0.to_json().as_array().unwrap() {
            let kind = sample["kind"].as_str().unwrap();
            let old = sample.get("old").map(|old| sent(kind, old));
            let (accepted, rejected) = (sent(kind, &sample["accepted"]), sent(kind, &sample["rejected"]));
            for object in old.iter().chain([&accepted]) {
                assert_eq!(broken(kind, &schemas[kind], object, None), BTreeMap::new(), "{object}");
                read(kind, object);
            }
            assert_eq!(broken(kind, &schemas[kind], &accepted, old.as_ref()), BTreeMap::new(), "{accepted}");
            let errors = broken(kind, &schemas[kind], &rejected, old.as_ref());
            let messages: Vec<&str> = errors.values().map(String::as_str).collect();
            assert_eq!(messages, [sample["message"].as_str().unwrap()], "{rejected}");
            for rule in errors.into_keys() {
                assert!(stands(&accepted, &rule.1), "the rule at {} does not see {accepted}", rule.1);
                seen.insert(rule);
            }
        }
    }
    let missing: Vec<&Rule> = rules.difference(&seen).collect();
    assert!(missing.is_empty(), "rules without a sample: {missing:#?}");
    assert_eq!(rules.len(), seen.len());
}
