//! The ways in which a change is said: merge patch, strategic merge patch, server-side apply. Pure.

use serde_json::{Map, Value};

use super::{
    fields::Fields,
    refusal::Refusal,
    shape::{List, Shape, key_of},
    version::Manager,
};

/// Fields that say which object is meant, and those that the server writes: nobody owns them.
const NOT_OWNED: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "generateName",
    "selfLink",
];

/// A merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: &Value) {
    join(target, patch, Shape::Free);
}

/// A strategic merge patch: lists with keys are merged by them. Directives are not known.
pub fn strategic(target: &mut Value, patch: &Value, shape: Shape<'_>) {
    join(target, patch, shape);
}

fn join(target: &mut Value, patch: &Value, shape: Shape<'_>) {
    match (&mut *target, patch) {
        (Value::Array(items), Value::Array(new)) => join_lists(items, new, shape),
        (_, Value::Object(fields)) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let Value::Object(object) = target else { return };
            for (name, value) in fields {
                if value.is_null() {
                    object.shift_remove(name);
                } else {
                    join(object.entry(name).or_insert(Value::Null), value, shape.field(name));
                }
            }
        }
        _ => *target = patch.clone(),
    }
}

fn join_lists(items: &mut Vec<Value>, new: &[Value], shape: Shape<'_>) {
    match shape.list() {
        List::Atomic => *items = new.to_vec(),
        List::Set => {
            for item in new.iter().filter(|item| !items.contains(item)).cloned().collect::<Vec<_>>() {
                items.push(item);
            }
        }
        List::Map(keys) => {
            for item in new {
                let key = key_of(item, &keys);
                match items.iter_mut().find(|old| key_of(old, &keys) == key) {
                    Some(old) => join(old, item, shape.item()),
                    None => items.push(item.clone()),
                }
            }
        }
    }
}

/// The object less what nobody owns.
pub fn owned(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("apiVersion");
        fields.shift_remove("kind");
    }
    let metadata = value.get_mut("metadata").and_then(Value::as_object_mut);
    let is_bare = metadata.is_some_and(|metadata| {
        metadata.retain(|name, _| !NOT_OWNED.contains(&name.as_str()));
        metadata.is_empty()
    });
    if is_bare && let Some(fields) = value.as_object_mut() {
        fields.shift_remove("metadata");
    }
    value
}

/// Server-side apply: `live` and its managers after `applier` said that `wanted` is all it wants.
pub fn apply(
    live: &Value,
    managers: &[Manager],
    wanted: &Value,
    mut applier: Manager,
    (shape, is_forced): (Shape<'_>, bool),
) -> Result<(Value, Vec<Manager>), Refusal> {
    applier.fields = Fields::of(wanted, shape);
    let changes = Fields::changed(Some(live), wanted, shape);
    let mut others: Vec<Manager> = managers.iter().filter(|known| !known.is_same(&applier)).cloned().collect();
    let mut theirs = Fields::default();
    for other in &mut others {
        let contested = other.fields.shared(&changes);
        if !contested.is_empty() && !is_forced {
            let message = format!("Apply failed with 1 conflict: conflict with \"{}\": {}", other.name, contested.first());
            return Err(Refusal::new(409, "Conflict", message));
        }
        other.fields.take(&contested);
        theirs.add(&other.fields);
    }
    others.retain(|other| !other.fields.is_empty());
    let before = managers.iter().find(|known| known.is_same(&applier));
    let mut merged = live.clone();
    if let Some(before) = before {
        before.fields.without(&applier.fields).without(&theirs).remove_from(&mut merged, shape);
    }
    join(&mut merged, wanted, shape);
    if let Some(before) = before.filter(|before| before.fields == applier.fields) {
        applier.time.clone_from(&before.time);
    }
    others.push(applier);
    Ok((merged, others))
}

/// Who owns what after `writer` made `new` of `old`.
pub fn managers_after(old: Option<&Value>, new: &Value, managers: &[Manager], mut writer: Manager, shape: Shape<'_>) -> Vec<Manager> {
    let (old, new) = (old.map(owned), owned(new));
    let mut changes = Fields::changed(old.as_ref(), &new, shape);
    let gone = old.map(|old| Fields::missing(&old, Some(&new), shape)).unwrap_or_default();
    let mut all = managers.to_vec();
    for known in &mut all {
        known.fields.take(&gone);
        if !known.is_same(&writer) {
            known.fields.take(&changes);
        }
    }
    if !changes.is_empty() {
        let place = all.iter().position(|known| known.is_same(&writer));
        changes.add(&place.map(|place| all.remove(place).fields).unwrap_or_default());
        writer.fields = changes;
        all.push(writer);
    }
    all.retain(|known| !known.fields.is_empty());
    all
}
