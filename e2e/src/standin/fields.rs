//! Sets of fields, as `managedFields` writes them: `f:` a field, `k:` an entry of a list that is a map, `v:` one of a set, `.` the thing itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::shape::{List, Shape, key_of};

/// A set of fields of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The thing itself is in the set.
    is_in: bool,
    below: BTreeMap<String, Fields>,
}

impl Fields {
    fn leaf() -> Self {
        Self { is_in: true, below: BTreeMap::new() }
    }

    /// All fields of `value`.
    pub fn of(value: &Value, shape: Shape<'_>) -> Self {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                let below = fields.iter().map(|(name, value)| (format!("f:{name}"), Self::of(value, shape.field(name))));
                Self { is_in: false, below: below.collect() }
            }
            Value::Array(items) if !items.is_empty() => match shape.list() {
                List::Atomic => Self::leaf(),
                List::Set => Self { is_in: false, below: items.iter().map(|item| (format!("v:{item}"), Self::leaf())).collect() },
                List::Map(keys) => {
                    let below = items.iter().map(|item| (format!("k:{}", key_of(item, &keys)), Self::of(item, shape.item()).and_itself()));
                    Self { is_in: false, below: below.collect() }
                }
            },
            _ => Self::leaf(),
        }
    }

    fn and_itself(mut self) -> Self {
        self.is_in = true;
        self
    }

    /// The fields of `new` that are not the same in `old`.
    pub fn changed(old: Option<&Value>, new: &Value, shape: Shape<'_>) -> Self {
        let Some(old) = old else { return Self::of(new, shape) };
        if old == new {
            return Self::default();
        }
        match (old, new) {
            (Value::Object(old), Value::Object(new)) if !new.is_empty() => {
                let below = new.iter().map(|(name, value)| (format!("f:{name}"), Self::changed(old.get(name), value, shape.field(name))));
                Self::below(below)
            }
            (Value::Array(old), Value::Array(new)) if !new.is_empty() => match shape.list() {
                List::Atomic => Self::leaf(),
                List::Set => Self::below(new.iter().filter(|item| !old.contains(item)).map(|item| (format!("v:{item}"), Self::leaf()))),
                List::Map(keys) => Self::below(new.iter().map(|item| {
                    let key = key_of(item, &keys);
                    match old.iter().find(|old| key_of(old, &keys) == key) {
                        Some(old) => (format!("k:{key}"), Self::changed(Some(old), item, shape.item())),
                        None => (format!("k:{key}"), Self::of(item, shape.item()).and_itself()),
                    }
                })),
            },
            _ => Self::of(new, shape),
        }
    }

    /// The fields of `old` that `new` does not have.
    pub fn missing(old: &Value, new: Option<&Value>, shape: Shape<'_>) -> Self {
        let Some(new) = new else { return Self::of(old, shape).and_itself() };
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                Self::below(old.iter().map(|(name, value)| (format!("f:{name}"), Self::missing(value, new.get(name), shape.field(name)))))
            }
            (Value::Array(old), Value::Array(new)) => match shape.list() {
                List::Atomic => Self::default(),
                List::Set => Self::below(old.iter().filter(|item| !new.contains(item)).map(|item| (format!("v:{item}"), Self::leaf()))),
                List::Map(keys) => Self::below(old.iter().map(|item| {
                    let key = key_of(item, &keys);
                    let new = new.iter().find(|new| key_of(new, &keys) == key);
                    (format!("k:{key}"), Self::missing(item, new, shape.item()))
                })),
            },
            _ => Self::default(),
        }
    }

    fn below(all: impl Iterator<Item = (String, Self)>) -> Self {
        Self { is_in: false, below: all.filter(|(_, fields)| !fields.is_empty()).collect() }
    }

    /// True if nothing is in the set.
    pub fn is_empty(&self) -> bool {
        !self.is_in && self.below.is_empty()
    }

    /// Takes in all fields of `other`.
    pub fn add(&mut self, other: &Self) {
        self.is_in |= other.is_in;
        for (step, fields) in &other.below {
            self.below.entry(step.clone()).or_default().add(fields);
        }
    }

    /// Takes out all fields of `other`.
    pub fn take(&mut self, other: &Self) {
        self.is_in &= !other.is_in;
        for (step, fields) in &other.below {
            let Some(mine) = self.below.get_mut(step) else { continue };
            mine.take(fields);
            if mine.is_empty() {
                self.below.remove(step);
            }
        }
    }

    /// The fields that are in both.
    pub fn shared(&self, other: &Self) -> Self {
        let below = self.below.iter().filter_map(|(step, fields)| Some((step.clone(), fields.shared(other.below.get(step)?))));
        Self { is_in: self.is_in && other.is_in, ..Self::below(below) }
    }

    /// The fields that nobody of `others` has. An entry of a list in which another one has a field is not among them.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let below = self.below.iter().map(|(step, fields)| {
            let left = other.below.get(step).map_or_else(|| fields.clone(), |other| fields.without(other));
            (step.clone(), left)
        });
        Self { is_in: self.is_in && other.is_empty(), ..Self::below(below) }
    }

    /// Removes these fields from `value`, and what is empty then.
    pub fn remove_from(&self, value: &mut Value, shape: Shape<'_>) {
        for (step, fields) in &self.below {
            match (step.split_once(':'), &mut *value) {
                (Some(("f", name)), Value::Object(object)) => {
                    let Some(child) = object.get_mut(name) else { continue };
                    if !fields.is_in {
                        fields.remove_from(child, shape.field(name));
                    }
                    if fields.is_in || is_hollow(child) {
                        object.shift_remove(name);
                    }
                }
                (Some(("k", key)), Value::Array(items)) => {
                    let List::Map(keys) = shape.list() else { continue };
                    let Some(place) = items.iter().position(|item| key_of(item, &keys) == key) else { continue };
                    if fields.is_in {
                        items.remove(place);
                    } else {
                        fields.remove_from(&mut items[place], shape.item());
                    }
                }
                (Some(("v", _)), Value::Array(items)) => items.retain(|item| format!("v:{item}") != *step),
                _ => {}
            }
        }
    }

    /// As `fieldsV1` has it.
    pub fn to_value(&self) -> Value {
        let mut all = Map::new();
        if self.is_in && !self.below.is_empty() {
            all.insert(".".to_string(), json!({}));
        }
        all.extend(self.below.iter().map(|(step, fields)| {
            let is_entry = step.starts_with("k:") && fields.below.is_empty();
            (step.clone(), if is_entry { json!({".": {}}) } else { fields.to_value() })
        }));
        Value::Object(all)
    }

    /// The first field of the set, for people: `.spec.suspend`.
    pub fn first(&self) -> String {
        match self.below.iter().next() {
            Some((step, fields)) => format!(".{}{}", step.split_once(':').map_or(step.as_str(), |(_, name)| name), fields.first()),
            None => String::new(),
        }
    }
}

fn is_hollow(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}
