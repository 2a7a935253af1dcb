//! What is known of a field: how its list is merged, what it is when nobody says it. Kinds of Floe say so in their schemas, kinds of Kubernetes
//! by the names of their fields.

use serde_json::{Map, Value};

/// What is known of one field.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'a> {
    /// An object of a kind with a schema.
    Root(&'a Value),
    /// A field with a schema.
    Typed(&'a Value),
    /// A field of which the schema says nothing: maps are merged, lists are one value.
    Free,
    /// A field of Kubernetes' own kinds, by its name.
    Named(&'a str),
}

/// How two lists become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List<'a> {
    /// The new one takes the place of the old one.
    Atomic,
    /// Equal values are one.
    Set,
    /// Entries with equal values of these fields are one.
    Map(Vec<&'a str>),
}

impl<'a> Shape<'a> {
    /// What is known of the field `name` of an object.
    pub fn field<'b>(self, name: &'b str) -> Shape<'b>
    where
        'a: 'b,
    {
        match self {
            Self::Root(_) if name == "metadata" => Shape::Named(name),
            Self::Root(schema) | Self::Typed(schema) => {
                let found = schema.get("properties").and_then(|all| all.get(name)).or_else(|| schema.get("additionalProperties"));
                found.filter(|schema| schema.is_object()).map_or(Shape::Free, Shape::Typed)
            }
            Self::Free => Shape::Free,
            Self::Named(_) => Shape::Named(name),
        }
    }

    /// What is known of the entries of a list.
    pub fn item(self) -> Self {
        match self {
            Self::Root(schema) | Self::Typed(schema) => schema.get("items").map_or(Self::Free, Self::Typed),
            Self::Free => Self::Free,
            Self::Named(_) => Self::Named(""),
        }
    }

    /// How a list in this place is merged.
    pub fn list(self) -> List<'a> {
        match self {
            Self::Root(_) | Self::Free => List::Atomic,
            Self::Typed(schema) => match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
                Some("map") => {
                    List::Map(schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect())
                }
                Some("set") => List::Set,
                _ => List::Atomic,
            },
            Self::Named(name) => match name {
                "ownerReferences" => List::Map(vec!["uid"]),
                "conditions" => List::Map(vec!["type"]),
                "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => List::Map(vec!["name"]),
                "volumeMounts" => List::Map(vec!["mountPath"]),
                "finalizers" => List::Set,
                _ => List::Atomic,
            },
        }
    }

    /// Fills in what the schema says of fields that are not there.
    pub fn fill(self, value: &mut Value) {
        let (Self::Root(schema) | Self::Typed(schema)) = self else { return };
        match value {
            Value::Object(fields) => self.fill_fields(schema, fields),
            Value::Array(items) => items.iter_mut().for_each(|item| self.item().fill(item)),
            _ => {}
        }
    }

    fn fill_fields(self, schema: &Value, fields: &mut Map<String, Value>) {
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if let Some(default) = schema.get("default").filter(|_| !fields.contains_key(name)) {
                fields.insert(name.clone(), default.clone());
            }
        }
        for (name, value) in fields {
            self.field(name).fill(value);
        }
    }
}

/// The key of an entry in a list that is a map: `{"type":"Ready"}`.
pub fn key_of(item: &Value, keys: &[&str]) -> String {
    let fields: Map<String, Value> = keys.iter().filter_map(|key| Some(((*key).to_string(), item.get(key)?.clone()))).collect();
    Value::Object(fields).to_string()
}
