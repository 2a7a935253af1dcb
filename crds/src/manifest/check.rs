//! A document against the schema of its kind: unknown keys, missing fields, wrong types and values, each at its place.
//!
//! The schema is the one that the cluster gets: there is no second list of keys.

use std::sync::LazyLock;

use kube::CustomResourceExt;
use serde_json::Value;

use super::Finding;
use crate::{
    job::Job,
    pipeline::Pipeline,
    table::Table,
    text::nearest,
    yaml::{Content, Key, Node},
};

/// Schema of `spec` of a Pipeline.
pub(super) static PIPELINE: LazyLock<Value> = LazyLock::new(|| spec_schema(&Pipeline::crd()));
/// Schema of `spec` of a Table.
pub(super) static TABLE: LazyLock<Value> = LazyLock::new(|| spec_schema(&Table::crd()));
/// Schema of `spec` of a Job.
pub(super) static JOB: LazyLock<Value> = LazyLock::new(|| spec_schema(&Job::crd()));

fn spec_schema(definition: &impl serde::Serialize) -> Value {
    let definition = serde_json::to_value(definition).unwrap_or_default();
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").cloned().unwrap_or_default()
}

/// The finding for a key that does not exist at its place.
pub(super) fn unknown_key(key: &Key, known: &[&str]) -> Finding {
    let finding = |text: String| Finding::new("MANIFEST_UNKNOWN_KEY", text, key.position);
    match nearest(&key.name, known.iter().copied()) {
        Some(near) => finding(format!("unknown key `{}`, did you mean `{near}`?", key.name)),
        None => finding(format!("unknown key `{}`", key.name)).help(format!("known keys here are {}", known.join(", "))),
    }
}

/// Checks `node`, which stands at `path` (for messages), against `schema`.
pub(super) fn check(node: &Node, schema: &Value, path: &str, findings: &mut Vec<Finding>) {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => check_mapping(node, schema, path, findings),
        Some("array") => check_list(node, schema, path, findings),
        Some("string") => check_text(node, schema, path, findings),
        Some("integer") => check_integer(node, schema, path, findings),
        Some("boolean") if !matches!(node.content, Content::Bool(_)) => findings.push(wrong_type(node, "true or false", path)),
        _ => {}
    }
}

fn check_mapping(node: &Node, schema: &Value, path: &str, findings: &mut Vec<Finding>) {
    let Content::Mapping(entries) = &node.content else {
        let finding = wrong_type(node, "a mapping", path);
        let known = schema.get("properties").and_then(Value::as_object).filter(|known| !known.is_empty());
        findings.push(match known.map(|known| known.keys().map(String::as_str).collect::<Vec<_>>()) {
            Some(known) => finding.help(format!("known keys here are {}", known.join(", "))),
            None => finding,
        });
        return;
    };
    if let Some(values) = schema.get("additionalProperties") {
        check_bound(node, schema, "maxProperties", (entries.len(), "entries"), path, findings);
        for (key, value) in entries {
            check(value, values, &format!("{path}.{}", key.name), findings);
        }
        return;
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
    for (key, value) in entries {
        match properties.get(&key.name) {
            None => findings.push(unknown_key(key, &known)),
            Some(_) if value.is_null() => {}
            Some(schema) => check(value, schema, &format!("{path}.{}", key.name), findings),
        }
    }
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if node.get(required).is_none_or(Node::is_null) {
            findings.push(missing(node, required, path));
        }
    }
}

/// The finding for a required field that is not there.
pub(super) fn missing(node: &Node, field: &str, path: &str) -> Finding {
    Finding::new("MANIFEST_MISSING_FIELD", format!("required field `{path}.{field}` is missing"), node.position)
}

/// How the entries of a mapping are written as the list that is wanted.
fn as_list(node: &Node, schema: &Value) -> Option<String> {
    let Content::Mapping(entries) = &node.content else { return None };
    let fields: Vec<&str> = schema.get("items")?.get("properties")?.as_object()?.keys().map(String::as_str).collect();
    let key = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).and_then(|keys| keys.first()?.as_str());
    let key = key.or_else(|| fields.contains(&"name").then_some("name"))?;
    let first = entries.first().map_or("x", |(key, _)| key.name.as_str());
    let others: Vec<&str> = fields.into_iter().filter(|field| *field != key).collect();
    Some(format!("write one item for each entry: `- {key}: {first}`, and below it {}", others.join(" or ")))
}

fn check_list(node: &Node, schema: &Value, path: &str, findings: &mut Vec<Finding>) {
    let Content::List(items) = &node.content else {
        let finding = wrong_type(node, "a list", path);
        findings.push(match as_list(node, schema) {
            Some(help) => finding.help(help),
            None => finding,
        });
        return;
    };
    check_bound(node, schema, "minItems", (items.len(), "entries"), path, findings);
    check_bound(node, schema, "maxItems", (items.len(), "entries"), path, findings);
    let Some(item_schema) = schema.get("items") else { return };
    for (index, item) in items.iter().enumerate() {
        check(item, item_schema, &format!("{path}[{index}]"), findings);
    }
    for key in schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        check_unique(items, key, path, findings);
    }
}

/// Entries of a list that are told apart by `key` must differ in it.
fn check_unique(items: &[Node], key: &str, path: &str, findings: &mut Vec<Finding>) {
    let class = if path == "spec.expectations" { "EXPECTATION_DUPLICATE_NAME" } else { "MANIFEST_DUPLICATE_NAME" };
    for (index, item) in items.iter().enumerate() {
        let Some((value, text)) = item.get(key).and_then(|value| value.as_text().map(|text| (value, text))) else { continue };
        let first = items[..index].iter().find(|other| other.get(key).and_then(Node::as_text) == Some(text));
        if let Some(first) = first {
            let message = format!("two entries of {path} have the {key} `{text}`, the first in line {}", first.position.line);
            findings.push(Finding::new(class, message, value.position).help("give each its own name"));
        }
    }
}

fn check_text(node: &Node, schema: &Value, path: &str, findings: &mut Vec<Finding>) {
    let Content::Text(text) = &node.content else {
        let finding = wrong_type(node, "text", path);
        let scalar = matches!(node.content, Content::Bool(_) | Content::Number(_));
        findings.push(if scalar { finding.help("put the value into quotes") } else { finding });
        return;
    };
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        check_word(node, text, words, path, findings);
        return;
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let longest = schema.get("maxLength").and_then(Value::as_u64).unwrap_or(u64::MAX);
        check_pattern(node, text, &Pattern::of(pattern), longest, path, findings);
        return;
    }
    let length = text.chars().count();
    check_bound(node, schema, "minLength", (length, "characters"), path, findings);
    check_bound(node, schema, "maxLength", (length, "characters"), path, findings);
}

/// The patterns that schemas have: certain characters only, or certain words only.
pub(super) enum Pattern<'s> {
    /// Any of these words.
    Words(Vec<&'s str>),
    /// One or more of these characters: single ones, and the first and last of each range.
    Characters(Vec<(char, char)>),
}

impl<'s> Pattern<'s> {
    pub fn of(pattern: &'s str) -> Self {
        let between = |open: &str, close: &str| pattern.split_once(open).and_then(|(_, rest)| Some(rest.rsplit_once(close)?.0));
        if let Some(words) = between("^(", ")$") {
            return Self::Words(words.split('|').collect());
        }
        let mut class = between("[", "]").unwrap_or_default().chars().peekable();
        let mut ranges = Vec::new();
        while let Some(first) = class.next() {
            let is_range = class.peek() == Some(&'-') && class.clone().nth(1).is_some();
            let last = if is_range { class.nth(1).unwrap_or(first) } else { first };
            ranges.push((first, last));
        }
        Self::Characters(ranges)
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Words(words) => words.contains(&text),
            Self::Characters(ranges) => {
                let fits = |any: char| ranges.iter().any(|(first, last)| (*first..=*last).contains(&any));
                !text.is_empty() && text.chars().all(fits)
            }
        }
    }

    /// What is allowed, for people.
    pub fn words(&self) -> Vec<String> {
        let ranges = match self {
            Self::Words(words) => return words.iter().map(|word| format!("`{word}`")).collect(),
            Self::Characters(ranges) => ranges,
        };
        let has = |first: char| ranges.iter().any(|range| range.0 == first && range.1 != first);
        let letters = match (has('A'), has('a')) {
            (true, true) => Some("letters"),
            (false, true) => Some("lower-case letters"),
            _ => None,
        };
        let digits = has('0').then_some("digits");
        let single = ranges.iter().filter(|(first, last)| first == last).map(|(one, _)| format!("`{one}`"));
        letters.into_iter().chain(digits).map(str::to_string).chain(single).collect()
    }
}

fn check_pattern(node: &Node, text: &str, pattern: &Pattern<'_>, longest: u64, path: &str, findings: &mut Vec<Finding>) {
    if pattern.fits(text) && text.len() as u64 <= longest {
        return;
    }
    let mut words = pattern.words();
    let last = words.pop().unwrap_or_default();
    let words = if words.is_empty() { last } else { format!("{} or {last}", words.join(", ")) };
    let expected = match pattern {
        Pattern::Words(_) => words,
        Pattern::Characters(_) => format!("1 to {longest} {words}"),
    };
    findings.push(invalid(node, format!("{path} is `{text}`, but must be {expected}")));
}

fn check_word(node: &Node, text: &str, words: &[Value], path: &str, findings: &mut Vec<Finding>) {
    let known: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    if known.contains(&text) {
        return;
    }
    let near = nearest(text, known.iter().copied()).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
    findings.push(invalid(node, format!("{path} is `{text}`{near}")).help(format!("possible values are {}", known.join(", "))));
}

fn check_integer(node: &Node, schema: &Value, path: &str, findings: &mut Vec<Finding>) {
    let Content::Number(number) = &node.content else {
        findings.push(wrong_type(node, "a whole number", path));
        return;
    };
    let Some(value) = number.as_i64() else {
        findings.push(wrong_type(node, "a whole number", path));
        return;
    };
    let bound = |name: &str, missing: i64| schema.get(name).and_then(Value::as_f64).map_or(missing, |bound| bound as i64);
    let (least, most) = (bound("minimum", i64::MIN), bound("maximum", i64::MAX));
    if value < least || value > most {
        let bounds = if most == i64::MAX { format!("at least {least}") } else { format!("between {least} and {most}") };
        findings.push(invalid(node, format!("{path} is {value}, but must be {bounds}")));
    }
}

/// `size` is a count and its unit.
fn check_bound(node: &Node, schema: &Value, bound: &str, size: (usize, &str), path: &str, findings: &mut Vec<Finding>) {
    let Some(limit) = schema.get(bound).and_then(Value::as_u64) else { return };
    let (size, unit) = (size.0 as u64, size.1);
    if bound.starts_with("min") && size < limit {
        findings.push(invalid(node, format!("{path} needs at least {limit} {unit}")));
    } else if bound.starts_with("max") && size > limit {
        findings.push(invalid(node, format!("{path} has {size} {unit}, but at most {limit} are allowed")));
    }
}

/// The finding for a value that its field does not take.
pub(super) fn invalid(node: &Node, message: String) -> Finding {
    Finding::new("MANIFEST_INVALID_VALUE", message, node.position)
}

/// The finding for a value of another kind than its field takes.
pub(super) fn wrong_type(node: &Node, expected: &str, path: &str) -> Finding {
    let found = match &node.content {
        Content::Null => "nothing".to_string(),
        Content::Bool(value) => format!("`{value}`"),
        Content::Number(number) => format!("the number {number}"),
        Content::Text(text) if text.chars().count() <= 40 && !text.contains('\n') => format!("the text `{text}`"),
        Content::Text(_) => "a text".to_string(),
        Content::List(_) => "a list".to_string(),
        Content::Mapping(_) => "a mapping".to_string(),
    };
    Finding::new("MANIFEST_INVALID_TYPE", format!("{path} must be {expected}, not {found}"), node.position)
}
