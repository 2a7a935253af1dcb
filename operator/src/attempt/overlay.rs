//! Overlays of pod templates: a strategic merge of JSON values, and what an overlay must not set.

use floe_crds::request::RESERVED_PREFIX;
use serde_json::{Map, Value};

use super::{RUNNER, Refused, VOLUMES};
use crate::labels;

/// How a list of the overlay joins the list below it.
enum ListRule {
    /// Elements with the same value of this field are one; its other fields merge.
    ByKey(&'static str),
    /// As `ByKey`, but fields that the overlay's element lacks go: they exclude each other (sources of a volume, of a value).
    ByKeyRetaining(&'static str),
    /// Elements come after those below.
    Append,
    /// The overlay's list takes the place of the other.
    Replace,
}

fn rule(field: &str) -> ListRule {
    match field {
        "containers" | "initContainers" | "imagePullSecrets" => ListRule::ByKey("name"),
        "env" | "volumes" => ListRule::ByKeyRetaining("name"),
        "volumeMounts" => ListRule::ByKey("mountPath"),
        "tolerations" | "topologySpreadConstraints" => ListRule::Append,
        _ => ListRule::Replace,
    }
}

/// Merges `overlay` into `base`: maps merge, `null` deletes, lists by their rule.
pub fn merge(base: &mut Map<String, Value>, overlay: &Map<String, Value>) {
    for (field, value) in overlay {
        match (value, base.get_mut(field)) {
            (Value::Null, _) => {
                base.shift_remove(field);
            }
            (Value::Object(value), Some(Value::Object(below))) => merge(below, value),
            (Value::Array(items), Some(Value::Array(below))) => merge_list(below, items, field),
            _ => {
                base.insert(field.clone(), without_nulls(value));
            }
        }
    }
}

fn merge_list(base: &mut Vec<Value>, items: &[Value], field: &str) {
    let (key, retain) = match rule(field) {
        ListRule::ByKey(key) => (key, false),
        ListRule::ByKeyRetaining(key) => (key, true),
        ListRule::Append => return base.extend(items.iter().map(without_nulls)),
        ListRule::Replace => {
            *base = items.iter().map(without_nulls).collect();
            return;
        }
    };
    for item in items {
        let same = base.iter_mut().find(|below| below.get(key) == item.get(key));
        match (same, item) {
            (Some(Value::Object(below)), Value::Object(item)) => {
                if retain {
                    below.retain(|name, _| item.contains_key(name));
                }
                merge(below, item);
            }
            _ => base.push(without_nulls(item)),
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// The overlay as a map, if it sets nothing that belongs to the operator. `root` is the field that it stands in.
pub fn checked<'a>(overlay: &'a Value, root: &str) -> Result<&'a Map<String, Value>, Refused> {
    let fields = object(overlay, root)?;
    for (field, value) in fields {
        let path = format!("{root}.{field}");
        match field.as_str() {
            "metadata" => check_metadata(value, &path)?,
            "spec" => check_spec(value, &path)?,
            _ => return Err(Refused::template(path, "a pod template has metadata and spec, nothing else")),
        }
    }
    Ok(fields)
}

fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>, Refused> {
    value.as_object().ok_or_else(|| Refused::template(path, "must be an object"))
}

fn check_metadata(metadata: &Value, path: &str) -> Result<(), Refused> {
    for (field, value) in object(metadata, path)? {
        let path = format!("{path}.{field}");
        let names = match field.as_str() {
            "labels" => object(value, &path)?,
            "annotations" => {
                object(value, &path)?;
                continue;
            }
            _ => return Err(Refused::template(path, "only labels and annotations of the pod can be set")),
        };
        let ours = |name: &str| name.starts_with("floe.dev/") || [labels::MANAGED_BY, labels::PART_OF].contains(&name);
        if let Some(name) = names.keys().find(|name| ours(name)) {
            return Err(Refused::template(format!("{path}.{name}"), "this label belongs to the operator"));
        }
    }
    Ok(())
}

fn check_spec(spec: &Value, path: &str) -> Result<(), Refused> {
    for (field, value) in object(spec, path)? {
        let path = format!("{path}.{field}");
        match field.as_str() {
            "restartPolicy" => return Err(Refused::template(path, "belongs to the operator: a new pod is made by its batch/v1 Job")),
            "automountServiceAccountToken" if *value != Value::Bool(false) => {
                return Err(Refused::template(path, "must stay false: only the runner's container has a token"));
            }
            "hostNetwork" | "hostPID" | "hostIPC" if *value != Value::Bool(false) => {
                return Err(Refused::template(path, "a runner does not share the node's namespaces"));
            }
            "containers" | "initContainers" => check_containers(value, &path)?,
            "volumes" => check_volumes(value, &path)?,
            "imagePullSecrets" => keyed(value, "name", &path).map(drop)?,
            _ => {}
        }
    }
    Ok(())
}

/// The elements of a list that merges by `key`, with the value of the key.
fn keyed<'a>(list: &'a Value, key: &str, path: &str) -> Result<Vec<(&'a str, &'a Value)>, Refused> {
    let items = list.as_array().ok_or_else(|| Refused::template(path, "must be a list"))?;
    let mut found: Vec<(&str, &Value)> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let name = item
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| Refused::template(&path, format!("needs a {key}: the list merges by it")))?;
        if found.iter().any(|(other, _)| *other == name) {
            return Err(Refused::template(&path, format!("{key} {name} is there twice")));
        }
        found.push((name, item));
    }
    Ok(found)
}

fn check_containers(list: &Value, path: &str) -> Result<(), Refused> {
    for (at, (name, container)) in keyed(list, "name", path)?.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        if name == RUNNER && path.contains("initContainers") {
            return Err(Refused::template(path, "the name runner belongs to the container of the operator"));
        }
        if let Some(mounts) = container.get("volumeMounts") {
            check_mounts(mounts, name, &format!("{path}.volumeMounts"))?;
        }
        if let Some(variables) = container.get("env") {
            check_env(variables, name, &format!("{path}.env"))?;
        }
        for field in ["command", "args"] {
            if name == RUNNER && container.get(field).is_some() {
                return Err(Refused::template(format!("{path}.{field}"), "the operator decides what the runner does"));
            }
        }
    }
    Ok(())
}

fn check_mounts(mounts: &Value, container: &str, path: &str) -> Result<(), Refused> {
    for (at, (place, _)) in keyed(mounts, "mountPath", path)?.into_iter().enumerate() {
        let place = place.trim_end_matches('/');
        if container == RUNNER && VOLUMES.iter().any(|(_, ours)| *ours == place) {
            return Err(Refused::template(format!("{path}[{at}]"), format!("{place} is a folder of the operator")));
        }
    }
    Ok(())
}

fn check_env(variables: &Value, container: &str, path: &str) -> Result<(), Refused> {
    for (at, (name, _)) in keyed(variables, "name", path)?.into_iter().enumerate() {
        if container == RUNNER && name.starts_with(RESERVED_PREFIX) {
            return Err(Refused::template(
                format!("{path}[{at}]"),
                format!("{name}: names that begin with {RESERVED_PREFIX} are reserved"),
            ));
        }
    }
    Ok(())
}

fn check_volumes(volumes: &Value, path: &str) -> Result<(), Refused> {
    for (at, (name, _)) in keyed(volumes, "name", path)?.into_iter().enumerate() {
        if name == "values" || VOLUMES.iter().any(|(ours, _)| *ours == name) {
            return Err(Refused::template(
                format!("{path}[{at}]"),
                format!("the volume {name} belongs to the operator; choose another name"),
            ));
        }
    }
    Ok(())
}
