//! All objects of a namespace in a form that is equal for two runs that came to the same end: without times, uids, versions of resources and what else
//! the clock decides.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;

use crate::{rights, tenant::Tenant};

/// The kinds that the operator makes or writes.
const KINDS: &[(&str, &str, &str)] = &[
    ("floe.dev", "v1alpha1", "Pipeline"),
    ("floe.dev", "v1alpha1", "Table"),
    ("floe.dev", "v1alpha1", "PipelineUpdate"),
    ("floe.dev", "v1alpha1", "RunReport"),
    ("floe.dev", "v1alpha1", "Job"),
    ("floe.dev", "v1alpha1", "JobRun"),
    ("batch", "v1", "Job"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "ServiceAccount"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("policy", "v1", "PodDisruptionBudget"),
];

/// Fields of metadata that the API server fills.
const METADATA: &[&str] = &["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink", "deletionTimestamp"];

/// What depends on how often and how long, and on uids: counters, through which states of waiting it went, hashes over uids.
const COUNTERS: &[&str] = &[
    "sequence",
    "durationSeconds",
    "runDurationSeconds",
    "observedGeneration",
    "generation",
    "phaseTimes",
    "stateTimes",
    "floe.dev/cleanup",
    "floe.dev/asked",
];

/// `Kind/name` → the object as YAML.
pub async fn dump(tenant: &Tenant) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = Vec::new();
    for (group, version, kind) in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(tenant.client.clone(), &tenant.name, &resource);
        for object in api.list(&ListParams::default()).await? {
            let name = object.name_any();
            // What the cluster and the test itself put there.
            if !matches!(name.as_str(), "kube-root-ca.crt" | "default" | rights::OPERATOR) && !name.starts_with("test-") {
                // Two groups have Jobs.
                let kind = if (*group, *kind) == ("floe.dev", "Job") { "jobs.floe.dev" } else { kind };
                found.push((format!("{kind}/{}", object.name_any()), object));
            }
        }
    }
    let uids: Vec<(String, String)> = found.iter().filter_map(|(name, object)| Some((object.uid()?, format!("<uid of {name}>")))).collect();
    let mut dumped = BTreeMap::new();
    for (name, object) in found {
        let mut value = serde_json::to_value(&object)?;
        judge_generation(&mut value);
        canonical(&mut value, &uids, &tenant.name);
        dumped.insert(name, serde_yaml::to_string(&value)?);
    }
    Ok(dumped)
}

/// What is in one dump and not in the other, for people; empty if both are equal.
pub fn differences(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>) -> String {
    let mut told: Vec<String> = Vec::new();
    for name in left.keys().chain(right.keys().filter(|name| !left.contains_key(*name))) {
        match (left.get(name), right.get(name)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                let only = |sign: char, lines: &str, others: &str| {
                    let lines = lines.lines().filter(|line| !others.lines().any(|other| other == *line));
                    lines.map(|line| format!("  {sign} {line}")).collect::<Vec<_>>()
                };
                told.push(format!("{name}:"));
                told.extend(only('-', a, b));
                told.extend(only('+', b, a));
            }
            (Some(_), None) => told.push(format!("{name} is missing")),
            _ => told.push(format!("{name} should not be there")),
        }
    }
    told.join("\n")
}

/// Says whether the status is of the newest generation, in place of the numbers.
fn judge_generation(value: &mut Value) {
    let is_newest = value.pointer("/status/observedGeneration").map(|observed| Some(observed) == value.pointer("/metadata/generation"));
    if let Some(is_newest) = is_newest {
        value["status"]["isOfNewestGeneration"] = is_newest.into();
    }
}

fn canonical(value: &mut Value, uids: &[(String, String)], namespace: &str) {
    match value {
        Value::Object(fields) => {
            if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.retain(|key, _| !METADATA.contains(&key.as_str()));
            }
            fields.retain(|key, _| !COUNTERS.contains(&key.as_str()));
            fields.values_mut().for_each(|field| canonical(field, uids, namespace));
            if let Some(Value::Array(conditions)) = fields.get_mut("conditions") {
                conditions.sort_by_key(|condition| condition["type"].as_str().unwrap_or_default().to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| canonical(item, uids, namespace)),
        Value::String(text) => {
            // A request is JSON in a text.
            if let Ok(mut inner @ Value::Object(_)) = serde_json::from_str::<Value>(text) {
                canonical(&mut inner, uids, namespace);
                *value = inner;
            } else {
                *text = same(text, uids, namespace);
            }
        }
        _ => {}
    }
}

fn same(text: &str, uids: &[(String, String)], namespace: &str) -> String {
    let mut text = text.replace(namespace, "<namespace>");
    for (uid, name) in uids {
        text = text.replace(uid, name);
    }
    let word = |word| match word {
        word if is_uuid(word) => "<uid>",
        word if word.parse::<Timestamp>().is_ok() => "<time>",
        word => word,
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A uid of an object that is not among the dumped ones, such as a pod.
fn is_uuid(word: &str) -> bool {
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_clock_decides_is_left_out_and_the_rest_stays() {
        let uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let request = json!({"update": {"id": uid, "createdAt": "2026-01-01T00:00:00Z", "attempt": 2}}).to_string();
        let mut object = json!({
            "metadata": {"name": "a", "uid": uid, "resourceVersion": "7", "ownerReferences": [{"kind": "Pipeline", "uid": uid}]},
            "data": {"request.json": request},
            "status": {"endTime": "2026-01-01T00:00:00Z", "durationSeconds": 7, "state": "COMPLETED", "other": "7c9e6679-7425-40de-944b-e07fc1f90ae7"},
        });
        canonical(&mut object, &[(uid.to_string(), "<uid of Pipeline/a>".to_string())], "ns-1");
        let expected = json!({
            "metadata": {"name": "a", "ownerReferences": [{"kind": "Pipeline", "uid": "<uid of Pipeline/a>"}]},
            "data": {"request.json": {"update": {"id": "<uid of Pipeline/a>", "createdAt": "<time>", "attempt": 2}}},
            "status": {"endTime": "<time>", "state": "COMPLETED", "other": "<uid>"},
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn a_status_of_an_older_generation_differs() {
        let judged = |observed: i64| {
            let mut object = json!({"metadata": {"generation": 3}, "status": {"observedGeneration": observed}});
            judge_generation(&mut object);
            object["status"]["isOfNewestGeneration"].clone()
        };
        assert_eq!((judged(3), judged(2)), (true.into(), false.into()));
    }

    #[test]
    fn differences_name_object_and_line() {
        let dump = |text: &str| BTreeMap::from([("Pipeline/a".to_string(), text.to_string())]);
        assert_eq!(differences(&dump("a: 1\nb: 2\n"), &dump("a: 1\nb: 2\n")), "");
        assert_eq!(differences(&dump("a: 1\nb: 2\n"), &dump("a: 1\nb: 3\n")), "Pipeline/a:\n  - b: 2\n  + b: 3");
        assert_eq!(differences(&dump("a: 1\n"), &BTreeMap::new()), "Pipeline/a is missing");
    }
}
