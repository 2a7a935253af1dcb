//! Overlays of pod templates: twenty that are merged and those that are refused. What each changes is golden.

use serde_json::Value;

use super::{pipeline, settings};
use crate::attempt::pod_template;

/// Every difference between two values, one line each.
fn changes(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    let inside = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                match after.get(name) {
                    Some(other) => changes(&inside(name), value, other, lines),
                    None => lines.push(format!("- {} {value}", inside(name))),
                }
            }
            let added = after.iter().filter(|(name, _)| !before.contains_key(*name));
            lines.extend(added.map(|(name, value)| format!("+ {} {value}", inside(name))));
        }
        (Value::Array(before), Value::Array(after)) => {
            for at in 0..before.len().max(after.len()) {
                let place = format!("{path}[{at}]");
                match (before.get(at), after.get(at)) {
                    (Some(before), Some(after)) => changes(&place, before, after, lines),
                    (Some(before), None) => lines.push(format!("- {place} {before}")),
                    (None, Some(after)) => lines.push(format!("+ {place} {after}")),
                    (None, None) => {}
                }
            }
        }
        _ if before == after => {}
        _ => lines.push(format!("~ {path} {before} -> {after}")),
    }
}

/// The cases of a file: a name above each document.
fn cases(text: &str) -> Vec<(String, Value)> {
    let cases = text.split("\n---\n").map(|case| {
        let name = case.trim().lines().next().unwrap().trim_start_matches("# ").to_string();
        (name, serde_yaml::from_str(case).unwrap())
    });
    cases.collect()
}

#[test]
fn o14_overlays_change_what_they_say_and_nothing_else() {
    let settings = settings(&[]);
    let template = |overlay: Value| pod_template(&settings, &pipeline(serde_json::json!({"runner": {"podTemplate": overlay}})));
    let base = serde_json::to_value(template(serde_json::json!({})).unwrap()).unwrap();
    let mut golden = Vec::new();
    let all = cases(include_str!("overlays.yaml"));
    assert!(all.len() >= 20);
    for (name, overlay) in all {
        let mut lines = Vec::new();
        match template(overlay) {
            Ok(merged) => changes("", &base, &serde_json::to_value(merged).unwrap(), &mut lines),
            Err(refused) => panic!("{name}: {refused}"),
        }
        golden.push(format!("{name}\n{}", lines.join("\n")));
    }
    insta::assert_snapshot!(golden.join("\n\n"));
}

#[test]
fn o14_refused_overlays_name_the_field() {
    let settings = settings(&[]);
    let refused = cases(include_str!("refused.yaml")).into_iter().map(|(name, overlay)| {
        let refused = pod_template(&settings, &pipeline(serde_json::json!({"runner": {"podTemplate": overlay}}))).unwrap_err();
        format!("{name}\n{} {refused}", refused.reason)
    });
    insta::assert_snapshot!(refused.collect::<Vec<_>>().join("\n\n"));
}
